import numpy as np
import pytest

from reclab import text


def test_batches_hold_every_position_once_and_keep_to_the_budget():
    lengths = np.random.default_rng(0).integers(1, 200, 500)
    batches = list(text.batches(lengths, budget=1024))
    assert sorted(np.concatenate(batches)) == list(range(500))
    assert all(len(batch) * lengths[batch].max() <= 1024 for batch in batches)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.1 * lengths.sum()  # in the order given it would be nearly twice as much


def test_a_text_longer_than_the_budget_travels_alone():
    assert [batch.tolist() for batch in text.batches([5, 300, 5], budget=100)] == [[1], [0, 2]]


def test_padding_fills_and_masks():
    ids, mask = text.pad([[1], [2, 3, 4], []], value=9)
    assert ids.tolist() == [[1, 9, 9], [2, 3, 4], [9, 9, 9]]
    assert mask.tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Don't stop, rock-'n'-roll!", ["Don't", "stop", "rock", "n", "roll"]),
        ("我想学jazz", ["我", "想", "学", "jazz"]),
        ("well-known café", ["well-known", "café"]),
        ("?!", []),
    ],
)
def test_words_of_a_sentence(sentence, words):
    assert [word for word, _ in text.words(sentence)] == words


def test_each_word_is_left_out_once():
    assert [rest for _, rest in text.words("我想学 jazz, now")] == [
        "想学 jazz, now",
        "我学 jazz, now",
        "我想 jazz, now",
        "我想学 , now",
        "我想学 jazz,",
    ]
