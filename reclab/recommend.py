"""One sentence in, explained recommendations out."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from reclab import search, text
from reclab.data import MovieLens, World
from reclab.encoder import BertEncoder, encode_once
from reclab.intent import ZeroShotClassifier


@dataclasses.dataclass(frozen=True)
class Item:
    """One recommended item: its cosine with the sentence, and the words that bring it there, strongest first."""

    item: str | int
    title: str
    score: float
    why: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the sentence seems to want, how sure that is, and the items that fit it best."""

    text: str
    intent: str
    probability: float
    items: tuple[Item, ...]


class Recommender:
    """Reads a sentence, names its intent, ranks all items by cosine, and says which words made each match.

    Args:
        enc: encodes sentences and items alike.
        dataset: what to recommend from.
        intents: what each intent means; `data.load("world").descriptions` has the course's ten.
        progress: show a bar while the items are encoded, which is done once for a text and kept in the cache.

    >>> from reclab import data, encoder
    >>> world = data.load("world")
    >>> answer = Recommender(encoder.load(), world, world.descriptions)(["a sourdough starter"], k=1)[0]
    >>> answer.intent, answer.items[0].title, answer.items[0].why
    ('food', 'Grumpy Jar Dried Starter', ('sourdough', 'starter'))
    """

    def __init__(
        self, enc: BertEncoder, dataset: World | MovieLens, intents: dict[str, str], *, progress: bool = False
    ):
        self.enc, self.dataset = enc, dataset
        self.classifier = ZeroShotClassifier(enc, intents)
        self.vectors = encode_once(enc, dataset.texts(), progress=progress)

    def __call__(self, texts: Sequence[str], k: int = 5) -> list[Answer]:
        """Answer each sentence with its `k` nearest items.

        Raises:
            TypeError: a text is not a string.
            ValueError: a text has nothing to read, or k is not between 1 and the number of items.
        """
        texts = text.check(texts)
        for i, sentence in enumerate(texts):
            if not sentence.strip():
                raise ValueError(f"texts[{i}] must have something to read, got {sentence!r}.")
        if not texts:
            return []
        vectors = self.enc.encode(texts)
        chances = self.classifier.proba(vectors)
        indices, scores = search.top_k(vectors, self.vectors, k)
        reasons = self.reasons(texts, vectors, indices)
        titles, ids = self.dataset.titles, self.dataset.items["item"].tolist()
        return [
            Answer(
                sentence,
                str(self.classifier.classes_[chances[i].argmax()]),
                float(chances[i].max()),
                tuple(
                    Item(ids[j], titles[j], float(score), why)
                    for j, score, why in zip(indices[i], scores[i], reasons[i], strict=True)
                ),
            )
            for i, sentence in enumerate(texts)
        ]

    def reasons(self, texts, vectors, indices, *, most: int = 3) -> list[list[tuple[str, ...]]]:
        """For each sentence and item, the words without which the cosine falls, strongest first.

        A word counts if leaving it out costs at least half of what the strongest costs. Where no single word matters
        there is none.
        """
        parts = [text.words(sentence)[: self.enc.max_length] for sentence in texts]  # later words are not read anyway
        shorter = self.enc.encode([rest for part in parts for _, rest in part])
        reasons, start = [], 0
        for i, part in enumerate(parts):
            stop = start + len(part)
            falls = (vectors[i] - shorter[start:stop]) @ self.vectors[indices[i]].T  # (words, items)
            reasons.append([_strongest([word for word, _ in part], fall, most) for fall in falls.T])
            start = stop
        return reasons


def _strongest(words, falls, most):
    order = np.argsort(-falls, kind="stable")[:most]
    return tuple(dict.fromkeys(words[w] for w in order if falls[w] > 0 and falls[w] >= falls[order[0]] / 2))
