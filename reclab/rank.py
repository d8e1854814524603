"""Which items, in what order?

Every ranker keeps one contract: `fit(interactions)` learns who met what, `recommend(people, k)` names the best items.
Rankers that know items by their ids (ItemKNN, EASE, ALS) can neither serve a person without history nor an item that
nobody has met, and say so. Rankers that read texts (TextProfile, TwoTower) serve such items; Popularity serves anyone.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from scipy import sparse
from scipy.linalg import lapack

from reclab import training
from reclab.data import Interactions
from reclab.search import top_k as top_k

BLOCK = 2**22  # scores that are held at once


class Ranker:
    """What every ranker offers. A subclass gives `_learn(matrix, interactions)` and `_score(rows)`.

    Attributes:
        people_, items_: the ids that it was told of.
        seen_: how often each person met each item in training, sparse (people, items) float32.
        servable_: (items,) whether it can say anything of the item.
    """

    needs_history = True

    def fit(self, interactions: Interactions) -> "Ranker":
        """Learn from who met what, and when.

        Raises:
            ValueError: there are no interactions.
        """
        if not len(interactions):
            raise ValueError(f"interactions must not be empty, got {interactions!r}.")
        self.people_, self.items_ = interactions.people, interactions.items
        self.seen_ = interactions.matrix()
        self.servable_ = self._servable()
        self._learn(interactions)
        return self

    def score(self, people: Sequence) -> np.ndarray:
        """What the ranker thinks of every item for each person: (n, items) float32, -inf where it cannot say.

        Raises:
            ValueError: the ranker is not fitted, an id is unknown, or a person has no history and it needs one.
        """
        return self._scores(self._rows(people))

    def recommend(self, people: Sequence, k: int = 10, *, exclude_seen: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """The best items of each person, best first; of equal scores the item that comes first in the catalogue.

        Args:
            people: n ids.
            k: how many.
            exclude_seen: leave out what the person met in training.

        Returns:
            The items' ids (n, k) and their scores (n, k) float32.

        Raises:
            ValueError: as in `score`, or a person has fewer than k items left.
        """
        rows = self._rows(people)
        if not (isinstance(k, int | np.integer) and k >= 1):
            raise ValueError(f"k must be a whole number of at least 1, got {k!r}.")
        left = self._left(rows, exclude_seen)
        if len(rows) and left.min() < k:
            first = int(np.argmin(left))
            raise ValueError(
                f"k must be at most the number of items that are left, got {k}: {type(self).__name__} can serve "
                f"{self.servable_.sum()} of {len(self.items_)} items, and people[{first}] ({people[first]!r}) has "
                f"{left[first]} of them left."
            )
        indices, scores = np.empty((len(rows), k), np.int64), np.empty((len(rows), k), np.float32)
        size = max(1, BLOCK // len(self.items_))
        for block in (slice(start, start + size) for start in range(0, len(rows), size)):
            found = self._scores(rows[block])
            if exclude_seen:
                seen = self.seen_[rows[block]].tocoo()
                found[seen.row, seen.col] = -np.inf
            best, order = tf.math.top_k(found, k)
            indices[block], scores[block] = order.numpy(), best.numpy()
        return self.items_.to_numpy()[indices], scores

    def _servable(self):
        """An id says nothing of an item that nobody has met."""
        return np.bincount(self.seen_.indices, minlength=len(self.items_)) > 0

    def _learn(self, interactions: Interactions) -> None:
        raise NotImplementedError

    def _score(self, rows: np.ndarray) -> np.ndarray:
        """A new array (n, items), for rows of the matrix."""
        raise NotImplementedError

    def _scores(self, rows):
        found = np.asarray(self._score(rows), np.float32)
        found[:, ~self.servable_] = -np.inf
        return found

    def _left(self, rows, exclude_seen):
        """How many items each person can be recommended, (n,)."""
        served = np.full(len(rows), self.servable_.sum())
        return served - (self.seen_[rows] > 0) @ self.servable_.astype(int) if exclude_seen else served

    def _rows(self, people):
        if not hasattr(self, "seen_"):
            raise ValueError(f"{type(self).__name__} must be fitted first: call fit(interactions).")
        if isinstance(people, str):
            raise TypeError(f"people must be a sequence of ids, got the string {people!r}.")
        rows = self.people_.get_indexer(pd.Index(people))
        if (rows < 0).any():
            i = int(np.argmax(rows < 0))
            raise ValueError(f"people[{i}] must be a known id, got {people[i]!r}.")
        if self.needs_history and (alone := np.diff(self.seen_.indptr)[rows] == 0).any():
            i = int(np.argmax(alone))
            raise ValueError(
                f"people[{i}] ({people[i]!r}) has no history in training, and {type(self).__name__} knows people by "
                "nothing else; Popularity serves anyone."
            )
        return rows


# --- by what is popular, by who met what -----------------------------------------------------------------------------


class Popularity(Ranker):
    """How often an item was met; with `half_life`, a meeting counts half after so many days.

    >>> from reclab import data
    >>> world = data.load("world")
    >>> items, _ = Popularity().fit(world.interactions()).recommend(["p0001", "p0002"], k=3)
    >>> items.shape
    (2, 3)
    """

    needs_history = False

    def __init__(self, *, half_life: float | None = None):
        if half_life is not None and half_life <= 0:
            raise ValueError(f"half_life must be above 0 days, got {half_life}.")
        self.half_life = half_life

    def _servable(self):
        return np.ones(len(self.items_), bool)

    def _learn(self, interactions):
        days = (interactions.time[-1] - interactions.time) / np.timedelta64(1, "D")
        weights = np.ones(len(days)) if self.half_life is None else 0.5 ** (days / self.half_life)
        self.counts_ = np.bincount(interactions.item, weights, minlength=len(self.items_)).astype(np.float32)

    def _score(self, rows):
        return np.tile(self.counts_, (len(rows), 1))


class ItemKNN(Ranker):
    """An item is near to those that the same people met: the sum of its cosines to what the person met.

    The cosine of two columns of the matrix of zeros and ones, shrunk: common / (√(n_i n_j) + shrink), so that two
    items that share one person are no twins. For each item only its `neighbours` nearest count (Sarwar et al. 2001,
    doi:10.1145/371920.372071).
    """

    def __init__(self, *, neighbours: int = 100, shrink: float = 10.0):
        if neighbours < 1 or shrink < 0:
            raise ValueError(f"neighbours must be at least 1 and shrink at least 0, got {neighbours} and {shrink}.")
        self.neighbours, self.shrink = neighbours, shrink

    def _learn(self, interactions):
        met = _binary(self.seen_)
        columns, roots = met.T.tocsr(), np.sqrt(met.sum(axis=0))
        kept, parts = min(self.neighbours, len(roots)), []
        size = max(1, BLOCK // len(roots))
        for start in range(0, len(roots), size):
            common = (columns[start : start + size] @ met).toarray()
            common /= np.maximum(np.outer(roots[start : start + size], roots) + self.shrink, 1e-9)
            common[np.arange(len(common)), np.arange(start, start + len(common))] = 0
            values, indices = (found.numpy() for found in tf.math.top_k(common, kept))
            ends = np.arange(len(common) + 1) * kept
            parts.append(sparse.csr_array((values.ravel(), indices.ravel(), ends), common.shape))
        near = sparse.vstack(parts, format="csr").astype(np.float32)
        near.eliminate_zeros()
        self.near_ = near.T.tocsr()

    def _score(self, rows):
        return (_binary(self.seen_[rows]) @ self.near_).toarray()


class EASE(Ranker):
    """The linear item-to-item model that predicts each person's items best from that person's others.

    B minimises |X - X B|² + l2 |B|² with zeros on its diagonal, and has a closed form: with P = (XᵀX + l2 I)⁻¹,
    B_ij = -P_ij / P_jj (Steck, arXiv:1905.03375). X holds zeros and ones. In float32 this takes 4 bytes for each pair
    of items.

    Args:
        l2: holds the weights back; above 0.
        half_life: when it scores, a meeting counts half as much as one that came so many meetings later. Without it all
            count alike.
    """

    def __init__(self, *, l2: float = 100.0, half_life: float | None = None):
        if l2 <= 0 or (half_life is not None and half_life <= 0):
            raise ValueError(f"l2 and half_life must be above 0, got {l2} and {half_life}.")
        self.l2, self.half_life = l2, half_life

    def _learn(self, interactions):
        met = _binary(self.seen_)
        self.histories_ = met if self.half_life is None else history_shares(interactions, self.half_life)
        gram, columns = np.empty((met.shape[1], met.shape[1]), np.float32), met.T.tocsr()
        for start in range(0, len(gram), 512):  # all at once would hold it twice
            gram[start : start + 512] = (columns[start : start + 512] @ met).toarray()
        gram.ravel()[:: len(gram) + 1] += self.l2
        factor, failed = lapack.spotrf(gram.T, lower=True, overwrite_a=True)
        inverse, wrong = lapack.spotri(factor, lower=True, overwrite_c=True)
        if failed or wrong:
            raise ValueError(f"l2 = {self.l2} is too small for {len(gram)} items: the matrix cannot be inverted.")
        self.weights_ = _mirror(inverse)
        self.weights_ /= -np.diag(self.weights_).copy()
        np.fill_diagonal(self.weights_, 0)

    def _score(self, rows):
        return self.histories_[rows].toarray() @ self.weights_


def _mirror(lower):
    """The symmetric matrix of which only the lower triangle is given; in place, a few columns at a time."""
    for start in range(0, len(lower), 512):
        end = min(start + 512, len(lower))
        corner = np.tril(lower[start:end, start:end])
        lower[start:end, start:end] = corner + np.tril(corner, -1).T
        lower[start:end, end:] = lower[end:, start:end].T
    return lower


class ALS(Ranker):
    """People and items as short vectors whose product says whether they met, by alternating least squares.

    A pair that met counts 1 + alpha × how often and should give 1, any other pair counts 1 and should give 0 (Hu,
    Koren and Volinsky 2008, doi:10.1109/ICDM.2008.22).
    """

    def __init__(
        self, *, factors: int = 64, alpha: float = 10.0, l2: float = 10.0, iterations: int = 15, seed: int = 0
    ):
        if min(factors, iterations) < 1 or min(alpha, l2) <= 0:
            numbers = f"{factors}, {iterations}, {alpha} and {l2}"
            raise ValueError(f"factors and iterations must be at least 1, alpha and l2 above 0, got {numbers}.")
        self.factors, self.alpha, self.l2, self.iterations, self.seed = factors, alpha, l2, iterations, seed

    def _learn(self, interactions):
        met, rng = self.seen_, np.random.default_rng(self.seed)
        self.vectors_ = rng.normal(0, 0.1, (len(self.items_), self.factors)).astype(np.float32)
        for _ in range(self.iterations):
            self.person_vectors_ = self._solve(met, self.vectors_)
            self.vectors_ = self._solve(met.T.tocsr(), self.person_vectors_)

    def _solve(self, met, others):
        """The best vector of each row, the other side being fixed: (Σ c v vᵀ + l2 I)⁻¹ Σ c v over what it met."""
        everyone = others.T @ others + self.l2 * np.eye(self.factors, dtype=np.float32)
        found = np.zeros((met.shape[0], self.factors), np.float32)
        for row in np.flatnonzero(np.diff(met.indptr)):
            span = slice(met.indptr[row], met.indptr[row + 1])
            vectors, extra = others[met.indices[span]], self.alpha * met.data[span, None]
            found[row] = np.linalg.solve(everyone + vectors.T @ (extra * vectors), ((1 + extra) * vectors).sum(axis=0))
        return found

    def _score(self, rows):
        return self.person_vectors_[rows] @ self.vectors_.T


def _binary(matrix):
    return sparse.csr_array((np.ones_like(matrix.data), matrix.indices, matrix.indptr), matrix.shape)


# --- by what the items say -------------------------------------------------------------------------------------------


class TextProfile(Ranker):
    """A person is what was met, an item is its text: the cosine of the item with the person's profile.

    `how` says what the profile is:

    - "mean": the mean of the vectors of what was met.
    - "recent": the same, in which a meeting counts half as much as one that came `half_life` meetings later.
    - "attention": another for each candidate: of what was met, the nearest to it count most, by a softmax over
      10 × cosine; the score is the mean of the cosines with these shares.

    Args:
        vectors: (items, dim), one row an item in the order of the interactions' items; with `encoder.encode` the texts.
        how: as told.
        half_life: in meetings, for "recent".
    """

    HOW = ("mean", "recent", "attention")

    def __init__(self, vectors: np.ndarray, how: str = "mean", *, half_life: float = 10.0):
        if how not in self.HOW:
            raise ValueError(f"how must be one of {', '.join(map(repr, self.HOW))}, got {how!r}.")
        if half_life <= 0:
            raise ValueError(f"half_life must be above 0, got {half_life}.")
        self.vectors, self.how, self.half_life = _unit(vectors), how, half_life

    def _servable(self):
        _one_row_an_item(self.vectors, self.items_)
        return np.ones(len(self.items_), bool)

    def _learn(self, interactions):
        self.shares_ = history_shares(interactions, self.half_life if self.how == "recent" else np.inf)

    def _score(self, rows):
        if self.how != "attention":
            return _unit(self.shares_[rows] @ self.vectors) @ self.vectors.T
        return np.stack([self._attend(row) for row in rows]) if len(rows) else np.empty((0, len(self.vectors)))

    def _attend(self, row):
        met = self.seen_.indices[self.seen_.indptr[row] : self.seen_.indptr[row + 1]]
        cosines = self.vectors[met] @ self.vectors.T
        odds = np.exp(10 * (cosines - cosines.max(axis=0)))
        return (odds * cosines).sum(axis=0) / odds.sum(axis=0)


class TwoTower(Ranker):
    """Two networks that meet in one space: one reads a person's history, one an item's text.

    Both start from the texts' vectors. The item tower is v + W v; the person tower is the same kind of map of the mean
    of what was met. They learn from the association loss -Σ A log softmax M(d, a): of the items in a batch, each
    person's own should score highest. As popular items stand in many batches, the log of their share is taken off the
    scores while learning (Yi et al. 2019, doi:10.1145/3298689.3346996).

    Args:
        vectors: (items, dim), as in `TextProfile`.
        epochs: how often each meeting is seen.
        learning_rate: at its highest.
        scale: of the cosines in the softmax; higher looks more at the hardest of the batch.
        batch_size: meetings a step; each has the others' items to compete with.
        corrected: whether popularity is taken off while learning. Without that, a score says how much likelier the item
            is for this person than for anybody, and lists lead into the long tail.
        seed: of the order of the meetings.
        progress: show a bar.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        *,
        epochs: int = 10,
        learning_rate: float = 3e-3,
        scale: float = 10.0,
        batch_size: int = 512,
        corrected: bool = True,
        seed: int = 0,
        progress: bool = True,
    ):
        if min(epochs, batch_size) < 1 or min(learning_rate, scale) <= 0:
            numbers = f"{epochs}, {batch_size}, {learning_rate} and {scale}"
            raise ValueError(
                f"epochs and batch_size must be at least 1, learning_rate and scale above 0, got {numbers}."
            )
        self.vectors, self.epochs, self.learning_rate, self.scale = _unit(vectors), epochs, learning_rate, scale
        self.batch_size, self.corrected, self.seed, self.progress = batch_size, corrected, seed, progress

    def _servable(self):
        _one_row_an_item(self.vectors, self.items_)
        return np.ones(len(self.items_), bool)

    def _learn(self, interactions):
        shares, dim = history_shares(interactions, np.inf), self.vectors.shape[1]
        popular = log_popularity(interactions) * self.corrected
        towers = [keras.Variable(np.zeros((dim, dim), np.float32)) for _ in range(2)]

        def loss(persons, items, ids, logs):
            people, candidates = _tower(persons, towers[0]), _tower(items, towers[1])
            return association_loss(self.scale * tf.matmul(people, candidates, transpose_b=True) - logs, ids)

        def batches(epoch):
            parts = in_batches(len(interactions), self.batch_size, (self.seed, epoch))
            return [self._batch(interactions, shares, popular, part) for part in parts]

        settings = {"epochs": self.epochs, "learning_rate": self.learning_rate, "progress": self.progress}
        self.history_ = training.train(loss, towers, batches, **settings)
        self.item_vectors_ = _tower(self.vectors, towers[1]).numpy()
        self.person_vectors_ = _tower((shares @ self.vectors).astype(np.float32), towers[0]).numpy()

    def _batch(self, interactions, shares, popular, rows):
        """Of each meeting: the person's history without the item itself, the item's vector, its id, its popularity."""
        people, items = interactions.person[rows], interactions.item[rows]
        own = np.asarray(shares[people, items])[:, None] * self.vectors[items]
        histories = (shares[people] @ self.vectors - own).astype(np.float32)
        return histories, self.vectors[items], items, popular[items]

    def _score(self, rows):
        return self.person_vectors_[rows] @ self.item_vectors_.T


def association_loss(logits: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
    """-Σ A log softmax(logits) over the rows of a batch, where A says which of the batch's items is the person's own.

    Args:
        logits: (b, b) what is thought of each person (row) with each item (column).
        ids: (b,) the items' ids; an item that stands in several columns is the person's own in each of them.

    >>> logits = tf.math.log([[0.7, 0.2, 0.1], [0.3, 0.5, 0.2], [0.1, 0.3, 0.6]])
    >>> loss = association_loss(logits, tf.constant([7, 8, 7]))
    >>> bool(np.isclose(loss, -np.log(0.8 * 0.5 * 0.7) / 3))
    True
    """
    own = tf.where(ids[:, None] == ids[None], logits, -np.inf)
    return tf.reduce_mean(tf.reduce_logsumexp(logits, axis=1) - tf.reduce_logsumexp(own, axis=1))


def in_batches(n: int, size: int, seed: int | tuple[int, ...]) -> list[np.ndarray]:
    """The numbers 0 to n - 1 in a random order, in parts of `size`; what is left over waits for another order.

    >>> [len(part) for part in in_batches(10, 4, seed=0)]
    [4, 4]
    """
    order, size = np.random.default_rng(seed).permutation(n), min(size, n)
    return [order[i : i + size] for i in range(0, n - size + 1, size)]


def _tower(x, weights):
    return tf.math.l2_normalize(x + tf.matmul(x, weights), axis=-1)


def log_popularity(interactions: Interactions) -> np.ndarray:
    """The log of how often each item was met, and once more, so that it is finite: (items,) float32."""
    return np.log(np.bincount(interactions.item, minlength=len(interactions.items)) + 1.0).astype(np.float32)


def history_shares(interactions: Interactions, half_life: float) -> sparse.csr_array:
    """How much each item counts in a person's profile: (people, items) float32, the rows of who met any add up to 1.

    A meeting counts half as much as one that came `half_life` meetings later; with infinity all count alike.
    """
    order = np.lexsort((-np.arange(len(interactions)), interactions.person))
    person = interactions.person[order]
    age = np.arange(len(order)) - np.searchsorted(person, person)  # 0 is the newest
    weights = (0.5 ** (age / half_life)).astype(np.float32)
    weights /= np.bincount(person, weights, minlength=len(interactions.people))[person]
    shape = len(interactions.people), len(interactions.items)
    return sparse.coo_array((weights, (person, interactions.item[order])), shape).tocsr()


def _unit(vectors):
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise ValueError(f"vectors must be a matrix of finite numbers, got shape {vectors.shape}.")
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _one_row_an_item(vectors, items):
    if len(vectors) != len(items):
        raise ValueError(f"vectors must have one row an item, got {len(vectors)} for {len(items)} items.")


# --- together --------------------------------------------------------------------------------------------------------


class Blend(Ranker):
    """Several rankers, each person's scores brought to one scale and added with weights.

    A ranker's scores of a person are reduced by their mean and divided by their spread over the items it can serve;
    where it cannot serve an item, it says 0.

    Args:
        rankers: a name for each, and the ranker; they are fitted with the blend.
        weights: one number a ranker, at least 0; without them all count alike until `tune` finds better ones.
    """

    def __init__(self, rankers: dict[str, Ranker], weights: dict[str, float] | None = None):
        if not rankers:
            raise ValueError("rankers must name at least one, got none.")
        weights = dict.fromkeys(rankers, 1.0) if weights is None else weights
        if weights.keys() != rankers.keys() or min(weights.values()) < 0 or not max(weights.values()) > 0:
            raise ValueError(f"weights must be at least 0, not all 0, one for each of {list(rankers)}, got {weights}.")
        self.rankers, self.weights = rankers, weights
        self.needs_history = any(ranker.needs_history for ranker in rankers.values())

    def fit(self, interactions):
        for ranker in self.rankers.values():
            ranker.fit(interactions)
        return super().fit(interactions)

    def tune(self, measure: Callable[["Blend"], float], *, draws: int = 50, seed: int = 0) -> "Blend":
        """Try random weights, keep those with the highest `measure` of the blend, such as NDCG on held-out events.

        The single rankers and equal weights are tried first.
        """
        names, rng = list(self.rankers), np.random.default_rng(seed)
        tried = [*np.eye(len(names)), np.ones(len(names)), *rng.dirichlet(np.ones(len(names)), draws)]
        found = []
        for weights in tried:
            self.weights = dict(zip(names, weights.tolist(), strict=True))
            found.append(measure(self))
        self.weights = dict(zip(names, tried[int(np.argmax(found))].tolist(), strict=True))
        return self

    def _servable(self):
        return np.any([ranker.servable_ for ranker in self.rankers.values()], axis=0)

    def _learn(self, interactions):
        pass

    def _score(self, rows):
        total = np.zeros((len(rows), len(self.items_)), np.float32)
        for name, ranker in self.rankers.items():
            if self.weights[name]:
                scores = ranker._score(rows)[:, ranker.servable_]
                scale = np.maximum(scores.std(axis=1, keepdims=True), 1e-9)
                total[:, ranker.servable_] += self.weights[name] * (scores - scores.mean(axis=1, keepdims=True)) / scale
        return total


def mmr(scores: np.ndarray, vectors: np.ndarray, k: int, *, variety: float = 0.3) -> np.ndarray:
    """Pick k of the candidates one by one, each for its score and for being unlike those already picked.

    Maximal marginal relevance, (1 - variety) × score - variety × highest cosine with a picked one (Carbonell and
    Goldstein 1998, doi:10.1145/290941.291025). Scores are first brought to the range from 0 to 1.

    Args:
        scores: (candidates,) higher is better; -inf is never picked.
        vectors: (candidates, dim), the space in which they are alike.
        k: how many, at most as many as have a finite score.
        variety: from 0 (the scores alone) to 1.

    Returns:
        Positions of the picked candidates, (k,), in the order of picking.

    >>> mmr(np.array([1.0, 0.9, 0.5]), np.array([[1, 0], [1, 0], [0, 1]]), k=2, variety=0.5).tolist()
    [0, 2]
    """
    scores, unit, open_ = np.asarray(scores, float), _unit(vectors), np.isfinite(scores)
    _one_row_an_item(unit, scores)
    if not 0 <= variety <= 1:
        raise ValueError(f"variety must be from 0 to 1, got {variety}.")
    if not 1 <= k <= open_.sum():
        raise ValueError(f"k must be between 1 and the {open_.sum()} candidates with a finite score, got {k}.")
    low, high = scores[open_].min(), scores[open_].max()
    worth, alike, picked = (scores - low) / max(high - low, 1e-12), np.full(len(scores), -1.0), []
    for _ in range(k):
        value = np.where(open_, (1 - variety) * np.where(open_, worth, 0) - variety * alike, -np.inf)
        picked.append(int(np.argmax(value)))
        open_[picked[-1]] = False
        alike = np.maximum(alike, unit @ unit[picked[-1]])
    return np.array(picked)
