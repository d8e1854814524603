"""Find texts: the nearest vectors, exactly and for many queries at once; the words they share; and both together."""

import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from scipy import sparse

from reclab import text

QUERIES, ITEMS = 512, 12288  # a block of scores; a search needs about 200 MB beside its input and output
THREADS = 2  # while one block of queries sorts, another multiplies
SPARE = 8  # candidates beyond k, so that rounding in the fast pass rarely calls for the slow one
UNIT = 1e-6  # vectors whose lengths are this close to 1 are taken as they are


def top_k(queries: np.ndarray, items: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact cosine search: for each query the `k` nearest items, best first.

    `scores[i, j] = cos(queries[i], items[indices[i, j]])`. Products are summed in float64 and rounded to float32, so
    that equal items have equal scores; of equal scores the lower index comes first. A vector of zeros has cosine 0 with
    everything.

    Args:
        queries: (n, dim), real numbers.
        items: (m, dim), real numbers.
        k: how many, from 1 to m.

    Returns:
        indices (n, k) int64 and scores (n, k) float32.

    Raises:
        ValueError: the shapes do not fit, k is out of range, or a vector holds NaN or infinity; the message says where.

    >>> indices, scores = top_k(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0], [2.0, 0.0], [3.0, 4.0], [3.0, 0.0]]), k=3)
    >>> indices.tolist(), scores.round(3).tolist()
    ([[1, 3, 2]], [[1.0, 1.0, 0.6000000238418579]])
    """
    queries, items = _Unit(queries, "queries"), _Unit(items, "items")
    if queries.dim != items.dim:
        raise ValueError(f"queries and items must have one dimension, got {queries.dim} and {items.dim}.")
    if not (isinstance(k, int | np.integer) and 1 <= k <= len(items)):
        raise ValueError(f"k must be a whole number between 1 and the number of items ({len(items)}), got {k}.")
    indices = np.empty((len(queries), k), np.int64)
    scores = np.empty((len(queries), k), np.float32)

    def fill(start):
        block = slice(start, start + QUERIES)
        indices[block], scores[block] = _search(queries[block], items, k)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(fill, range(0, len(queries), QUERIES)))
    return indices, scores


class _Unit:
    """A matrix of real numbers whose rows are read as float32 vectors of unit length, a few at a time."""

    def __init__(self, vectors, name):
        self.vectors = np.asarray(vectors)
        if self.vectors.ndim != 2 or self.vectors.dtype.kind not in "fiu":
            shape, dtype = self.vectors.shape, self.vectors.dtype
            raise ValueError(f"{name} must be a matrix of real numbers, got shape {shape} and type {dtype}.")
        self.dim = self.vectors.shape[1]
        self.lengths = np.empty(len(vectors))
        for start in range(0, len(vectors), ITEMS):
            rows = self.vectors[start : start + ITEMS]
            rows = rows if rows.dtype == np.float32 else rows.astype(np.float64)
            self.lengths[start : start + ITEMS] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        if not np.isfinite(self.lengths).all():
            row = int(np.flatnonzero(~np.isfinite(self.lengths))[0])
            raise ValueError(f"{name}[{row}] must hold finite numbers of moderate size, got {self.vectors[row]}.")
        self.given = bool((np.abs(self.lengths - 1) < UNIT).all())
        self.lengths[self.lengths == 0] = 1

    def __len__(self):
        return len(self.vectors)

    def __getitem__(self, rows):
        vectors = self.vectors[rows]
        return (vectors if self.given else vectors / self.lengths[rows][..., None]).astype(np.float32, copy=False)


def _search(queries, items, k):
    """Find candidates by float32 products, order them by float64 sums; look again where rounding may have decided."""
    kept = min(k + SPARE, len(items))
    candidates, floor = _candidates(tf.constant(queries), items, kept)
    candidates.sort(axis=1)
    indices, scores = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    for start in range(0, len(queries), 8):
        block = slice(start, start + 8)
        indices[block], scores[block] = _best(queries[block], items, candidates[block], k)
    if kept < len(items):
        # Rounding moves a float32 product of unit vectors by less than dim * eps; the rest was at most at the floor.
        rounding = queries.shape[1] * np.finfo(np.float32).eps
        for i in np.flatnonzero(scores[:, -1] <= floor + rounding):
            query, least = queries[i : i + 1], scores[i, -1] - rounding
            near = [
                start + np.flatnonzero(_products(query, items[start : start + ITEMS])[0] >= least)
                for start in range(0, len(items), ITEMS)
            ]
            indices[i], scores[i] = _best(query, items, np.concatenate(near)[None], k)
    return indices, scores


def _candidates(queries, items, kept):
    """For each query the `kept` items of highest float32 product, (n, kept), and the lowest of these products, (n,)."""
    first = max(ITEMS, kept)
    values, indices = (found.numpy() for found in tf.math.top_k(_products(queries, items[:first]), kept))
    indices, passed, waiting = indices.astype(np.int64), [], 0
    for start in range(first, len(items), ITEMS):
        scores = _products(queries, items[start : start + ITEMS])
        hits = np.flatnonzero(scores > values[:, -1:])
        rows, columns = np.divmod(hits, scores.shape[1])
        passed.append((rows, columns + start, scores.ravel()[hits]))
        waiting += len(hits)
        if waiting > 2 * values.size or start + ITEMS >= len(items):
            values, indices = _merge(values, indices, *map(np.concatenate, zip(*passed, strict=True)))
            passed, waiting = [], 0
    return indices, values[:, -1]


def _products(queries, vectors):
    """All dot products (n, m) in float32, seen as an array without a copy."""
    return np.asarray(memoryview(tf.matmul(queries, vectors, transpose_b=True)))


def _merge(values, indices, rows, items, scores):
    """The best of each row's present values and of its new (row, item, score), as many as there were, best first."""
    n, kept = values.shape
    counts = np.bincount(rows, minlength=n)
    order = np.argsort(rows.astype(np.int16), kind="stable")
    rows, items, scores = rows[order], items[order], scores[order]
    places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts) + kept
    both, where = np.full((n, kept + counts.max()), -np.inf, np.float32), np.zeros((n, kept + counts.max()), np.int64)
    both[:, :kept], where[:, :kept] = values, indices
    both[rows, places], where[rows, places] = scores, items
    best, order = tf.math.top_k(both, kept)
    return best.numpy(), np.take_along_axis(where, order.numpy(), 1)


def _best(queries, items, candidates, k):
    """The `k` best of each query's ascending `candidates` (n, c): products summed in float64, rounded to float32."""
    scores = np.empty(candidates.shape, np.float32)
    for start in range(0, candidates.shape[1], ITEMS):
        some = slice(start, start + ITEMS)
        vectors = items[candidates[:, some]].astype(np.float64)
        scores[:, some] = np.einsum("ncd,nd->nc", vectors, queries.astype(np.float64))  # each row summed alike
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(candidates, order, 1), np.take_along_axis(scores, order, 1)


class BM25:
    """How well texts answer a query by the words they share (Robertson and Zaragoza 2009, doi:10.1561/1500000019).

    A word counts for how rare it is, log(1 + (n - n_w + ½) / (n_w + ½)), times how often a text holds it, which has
    less and less to say (`k1`), the less the longer the text is (`b`): f (k1 + 1) / (f + k1 (1 - b + b length / mean)).
    Words are letters and digits in lower case; a plural s at the end is dropped.

    >>> shelf = BM25(["red apples", "a green apple and a red pear", "milk"])
    >>> (100 * shelf.score(["Apple", "red milk"])).round().astype(int).tolist()
    [[56, 32, 0], [56, 32, 137]]
    """

    def __init__(self, texts: Sequence[str], *, k1: float = 1.2, b: float = 0.75):
        if k1 < 0 or not 0 <= b <= 1:
            raise ValueError(f"k1 must be at least 0 and b from 0 to 1, got {k1} and {b}.")
        counts = [Counter(_words(one)) for one in text.check(texts)]
        self.vocabulary = {word: i for i, word in enumerate(sorted(set().union(*counts)))}
        rows = np.repeat(np.arange(len(counts)), [len(count) for count in counts])
        columns = np.array([self.vocabulary[word] for count in counts for word in count], np.int64)
        often = np.array([times for count in counts for times in count.values()], float)
        lengths = np.bincount(rows, often, minlength=len(counts))
        holders = np.bincount(columns, minlength=len(self.vocabulary))
        rare = np.log1p((len(counts) - holders + 0.5) / (holders + 0.5))
        longer = 1 - b + b * lengths / max(lengths.mean(), 1e-12)
        weights = rare[columns] * often * (k1 + 1) / (often + k1 * longer[rows])
        self.weights = sparse.csc_array((weights.astype(np.float32), (rows, columns)), (len(counts), len(rare)))

    def score(self, queries: Sequence[str]) -> np.ndarray:
        """(queries, texts) float32, 0 where they share no word. A word that stands twice in a query counts twice."""
        found = [[self.vocabulary[word] for word in _words(one) if word in self.vocabulary] for one in queries]
        ends = np.cumsum([0, *map(len, found)])
        asked = (np.ones(ends[-1], np.float32), [column for columns in found for column in columns], ends)
        return (sparse.csr_array(asked, (len(found), len(self.vocabulary))) @ self.weights.T).toarray()


def _words(one):
    words = re.findall(r"\w+", one.lower())
    return [re.sub(r"(?<=..[^s])s$", "", re.sub(r"(?<=..)ies$", "y", word)) for word in words]


def fuse_ranks(*scores: np.ndarray, constant: float = 60.0) -> np.ndarray:
    """Reciprocal rank fusion: the sum of 1 / (constant + rank) over several scorings of the same pairs.

    It needs no common scale (Cormack, Clarke and Buettcher 2009, doi:10.1145/1571941.1572114). Equal scores rank in
    the order of the items.

    Args:
        scores: each (queries, items), higher is better.
        constant: the higher, the less the first ranks stand out; 60 is its authors'.

    Returns:
        (queries, items) float64.

    >>> fuse_ranks([[0.9, 0.5, 0.1]], [[2.0, 7.0, 1.0]], constant=1).round(3).tolist()
    [[0.833, 0.833, 0.5]]
    """
    if constant < 0 or len({np.shape(one) for one in scores}) != 1:
        shapes = ", ".join(str(np.shape(one)) for one in scores)
        raise ValueError(f"constant must be at least 0 and all scores of one shape, got {constant} and {shapes}.")
    orders = [np.argsort(-np.asarray(one), axis=1, kind="stable") for one in scores]
    ranks = [np.argsort(order, axis=1, kind="stable") + 1 for order in orders]
    return sum(1 / (constant + rank) for rank in ranks)
