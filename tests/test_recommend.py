import numpy as np
import pytest

from reclab import data
from reclab.recommend import Recommender


@pytest.fixture(scope="module")
def world():
    return data.load("world")


@pytest.fixture(scope="module")
def recommend(minilm, world):
    return Recommender(minilm, world, world.descriptions)


def test_items_come_by_cosine_with_the_sentence(recommend, minilm, world):
    sentence = "something warm for cold evenings"
    answer = recommend([sentence], k=7)[0]
    cosines = (minilm.encode(world.texts()) @ minilm.encode([sentence]).T)[:, 0]
    best = np.argsort(-cosines)[:7]
    assert [item.item for item in answer.items] == world.items["item"].iloc[best].tolist()
    assert [item.title for item in answer.items] == [world.titles[i] for i in best]
    np.testing.assert_allclose([item.score for item in answer.items], cosines[best], atol=1e-6)


def test_what_names_a_thing_finds_the_thing(recommend):
    wanted = {
        "a sourdough starter": "foo01",
        "watercolour paint set": "lea06",
        "telescope club for astronomy pictures": "tec09",
        "sleeper train to Rome": "tra04",
        "split ergonomic keyboard": "tec04",
        "a wool blanket": "sho10",
        "black and white crime films on disc": "mov02",
        "novel about miners in space": "boo04",
    }
    answers = recommend(list(wanted), k=3)
    found = [
        item in [found.item for found in answer.items] for item, answer in zip(wanted.values(), answers, strict=True)
    ]
    assert sum(found) >= 7, dict(zip(wanted, found, strict=True))


def test_why_is_what_leaving_a_word_out_costs(recommend, minilm, world):
    sentence = "piano lessons for my uncle"
    answer = recommend([sentence], k=1)[0]
    item = minilm.encode([world.texts()[world.items["item"].tolist().index(answer.items[0].item)]])[0]
    whole = minilm.encode([sentence])[0] @ item
    words = sentence.split()
    falls = {word: whole - minilm.encode([" ".join(w for w in words if w != word)])[0] @ item for word in words}
    strongest = max(falls.values())
    expected = [word for word in sorted(falls, key=falls.get, reverse=True) if falls[word] >= strongest / 2][:3]
    assert list(answer.items[0].why) == expected
    assert expected[0] == "piano"


def test_a_word_said_twice_is_one_reason(recommend):
    answer = recommend(["piano piano lessons"], k=5)[0]
    assert all(len(set(item.why)) == len(item.why) for item in answer.items)


def test_a_long_text_is_answered_by_what_is_read_of_it(recommend):
    long = recommend(["a warm blanket. " + "word " * 3000], k=1)[0]
    assert set(long.items[0].why) <= {"a", "warm", "blanket", "word"}


def test_answers_keep_the_order_of_the_sentences(recommend):
    sentences = ["a novel", "noodle soup", "a keyboard"]
    together = recommend(sentences, k=4)
    assert [answer.text for answer in together] == sentences
    assert [recommend([s], k=4)[0].intent for s in sentences] == [answer.intent for answer in together]
    assert [recommend([s], k=4)[0].items[0].item for s in sentences] == [answer.items[0].item for answer in together]


def test_a_sentence_without_words_gets_items_and_no_reasons(recommend):
    answer = recommend(["?!"], k=2)[0]
    assert [item.why for item in answer.items] == [(), ()]


def test_no_sentence_no_answer(recommend):
    assert recommend([]) == []


def test_bad_sentences_are_refused(recommend):
    with pytest.raises(ValueError, match=r"texts\[1\] must have something to read, got ' '"):
        recommend(["a", " "])
    with pytest.raises(TypeError, match=r"texts\[0\] must be a string, got int"):
        recommend([3])
    with pytest.raises(
        ValueError, match=r"k must be a whole number between 1 and the number of items \(600\), got 601"
    ):
        recommend(["a"], k=601)
