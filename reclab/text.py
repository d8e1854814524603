"""Turn behaviour into sentences and sentences into padded token ids."""

import re
from collections.abc import Iterator, Sequence

import numpy as np


def check(texts: Sequence[str]) -> list[str]:
    """The texts as a list; a TypeError says where one is not a string.

    >>> check(["a", 3])
    Traceback (most recent call last):
    TypeError: texts[1] must be a string, got int.
    """
    if isinstance(texts, str):
        raise TypeError(f"texts must be a list of strings, got one string: {texts[:40]!r}.")
    texts = list(texts)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{i}] must be a string, got {type(text).__name__}.")
    return texts


def tokenize(tokenizer, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids of each text, with [CLS] and [SEP], cut after `max_length`.

    Args:
        tokenizer: a fast Hugging Face tokenizer.
        texts: any strings; halves of surrogate pairs, which no tokenizer can read, become question marks.
        max_length: in tokens, [CLS] and [SEP] included.
    """
    readable = [text.encode("utf-8", "replace").decode() for text in texts]
    return tokenizer(readable, truncation=True, max_length=max_length, padding=False)["input_ids"] if readable else []


def pad(sequences: Sequence[Sequence[int]], value: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of one length and the mask that tells tokens (1) from padding (0), both (n, longest) int32.

    >>> ids, mask = pad([[5, 6, 7], [8]])
    >>> ids.tolist(), mask.tolist()
    ([[5, 6, 7], [8, 0, 0]], [[1, 1, 1], [1, 0, 0]])
    """
    lengths = np.array([len(sequence) for sequence in sequences])
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int32)
    ids = np.full(mask.shape, value, np.int32)
    ids[mask == 1] = np.concatenate([np.asarray(sequence, np.int32) for sequence in sequences])
    return ids, mask


def batches(lengths: Sequence[int], budget: int) -> Iterator[np.ndarray]:
    """Positions of texts, longest first, in batches whose padded size stays within `budget` tokens.

    Neighbours in length share a batch, so that little is padded. A text longer than the budget gets a batch of its own.

    >>> [batch.tolist() for batch in batches([3, 9, 4, 2], budget=10)]
    [[1], [2, 0], [3]]
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        stop = start + max(1, budget // int(lengths[order[start]]))
        yield order[start:stop]
        start = stop


_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+(?:['’-][^\W\u3400-\u9fff]+)*")


def words(text: str) -> list[tuple[str, str]]:
    """Each word of the text beside the text without it; a Chinese character counts as a word.

    >>> words("jazz for free")
    [('jazz', 'for free'), ('for', 'jazz free'), ('free', 'jazz for')]
    """
    return [
        (found.group(), " ".join((text[: found.start()] + text[found.end() :]).split()))
        for found in _WORD.finditer(text)
    ]
