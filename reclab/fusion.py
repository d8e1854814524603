"""One score from text, picture, sound and behaviour."""

import copy
from collections.abc import Iterable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from reclab import training
from reclab.rank import Ranker, association_loss, history_shares, in_batches, log_popularity

HOW = ("early", "late", "gated", "attention")
GATE = 16  # units between a part's vector and its gate


class Fusion(Ranker):
    """A ranker that knows items by several parts, of which some may be missing.

    Each part m has two maps into one space: an item's vector becomes d_m, the mean of a person's history becomes u_m,
    both of unit length; they agree by s_m = u_m · d_m. `how` says what becomes of the agreements:

    - "early": the vectors of all parts are put side by side first, zeros where one is missing, and have one map each.
    - "late": Σ w_m s_m, every part trained for itself and one weight a part for all items.
    - "gated": w_m depends on the item: a small network looks at each part and says how much it is worth, and a softmax
      over the parts that are there makes shares of it (Arevalo et al., arXiv:1702.01992).
    - "attention": w_m depends on the person, too: a softmax of q(u) · k_m(d), cross-attention with one head.

    All learn from the association loss of `rank.TwoTower`, with its correction for popular items.

    Args:
        parts: a name for each part and its vectors, (items, dim of the part); a row of NaN is a missing part.
        how: as told.
        dim: of the common space.
        epochs, learning_rate, scale, batch_size, seed, progress: as in `rank.TwoTower`.
        drop: the chance with which each part of an item is hidden while learning, so that nothing relies on it alone.

    Raises:
        ValueError: the parts do not fit together, or a setting is out of range.

    >>> rng = np.random.default_rng(0)
    >>> from reclab import data
    >>> clicks = data.load("world").interactions()
    >>> parts = {"text": rng.normal(size=(600, 8)), "picture": rng.normal(size=(600, 4))}
    >>> fused = Fusion(parts, epochs=1, progress=False).fit(clicks)
    >>> items, scores = fused.without("picture").recommend(["p0001"], k=3)
    >>> fused.shares(["p0001"])["text"].shape
    (1, 600)
    """

    def __init__(
        self,
        parts: Mapping[str, np.ndarray],
        how: str = "gated",
        *,
        dim: int = 64,
        epochs: int = 10,
        learning_rate: float = 3e-3,
        scale: float = 10.0,
        batch_size: int = 256,
        drop: float = 0.2,
        seed: int = 0,
        progress: bool = True,
    ):
        if how not in HOW:
            raise ValueError(f"how must be one of {', '.join(map(repr, HOW))}, got {how!r}.")
        if min(dim, epochs, batch_size) < 1 or min(learning_rate, scale) <= 0 or not 0 <= drop < 1:
            rules = (
                "dim, epochs and batch_size must be at least 1, learning_rate and scale above 0, drop from 0 to below 1"
            )
            raise ValueError(f"{rules}, got {dim}, {epochs}, {batch_size}, {learning_rate}, {scale} and {drop}.")
        self.parts, self.there = _read(parts)
        self.how, self.dim, self.epochs, self.learning_rate, self.scale = how, dim, epochs, learning_rate, scale
        self.batch_size, self.drop, self.seed, self.progress = batch_size, drop, seed, progress

    def without(self, names: str | Iterable[str]) -> "Fusion":
        """The same fitted ranker for a day on which these parts are missing for all items; nothing is learned anew."""
        names = {names} if isinstance(names, str) else set(names)
        if unknown := names - set(self.parts):
            raise ValueError(f"names must be among {', '.join(self.parts)}, got {min(unknown)!r}.")
        if names == set(self.parts):
            raise ValueError(f"at least one of {', '.join(self.parts)} must stay.")
        left = copy.copy(self)
        gone = np.array([name in names for name in self.parts])
        left.there = self.there & ~gone
        left.parts = {name: vectors * (name not in names) for name, vectors in self.parts.items()}
        return left

    def shares(self, people: Sequence) -> dict[str, np.ndarray]:
        """How much each part counts in each score: part -> (n, items); of one pair they add up to 1.

        Raises:
            ValueError: with "early" there are no shares; or as in `score`.
        """
        if self.how == "early":
            raise ValueError('how="early" mixes the parts before it scores: it has no shares.')
        _, weights = self._agree(self._rows(people))
        weights = weights / weights.sum(axis=-1, keepdims=True)
        return {name: weights[:, :, m] for m, name in enumerate(self.parts)}

    def _servable(self):
        if len(self.there) != len(self.items_):
            raise ValueError(f"parts must have one row an item, got {len(self.there)} for {len(self.items_)} items.")
        return np.ones(len(self.items_), bool)

    def _learn(self, interactions):
        self.maps_ = _Maps([vectors.shape[1] for vectors in self.parts.values()], self.how, self.dim, self.seed)
        self.history_shares_ = history_shares(interactions, np.inf)
        popular = log_popularity(interactions)

        def loss(ids, logs, there_people, there_items, *vectors):
            people, items = vectors[: len(self.parts)], vectors[len(self.parts) :]
            agreements, weights = self.maps_.agree(people, items, there_people, there_items)
            fused = tf.reduce_sum(agreements * weights, axis=-1)
            total = association_loss(self.scale * fused - logs, ids)
            if self.how == "late":
                fixed = tf.reduce_sum(tf.stop_gradient(agreements) * weights, axis=-1)
                alone = [association_loss(self.scale * one - logs, ids) for one in tf.unstack(agreements, axis=-1)]
                total = association_loss(self.scale * fixed - logs, ids) + tf.add_n(alone)
            return total

        def batches(epoch):
            rng = np.random.default_rng((self.seed, epoch, 1))
            parts = in_batches(len(interactions), self.batch_size, (self.seed, epoch))
            return [self._batch(interactions, popular, rows, rng) for rows in parts]

        settings = {"epochs": self.epochs, "learning_rate": self.learning_rate, "progress": self.progress}
        self.history_ = training.train(loss, self.maps_.variables, batches, **settings)

    def _batch(self, interactions, popular, rows, rng):
        """Ids, popularity, what is there of people and of items, and for each part people's and items' vectors."""
        people, items = interactions.person[rows], interactions.item[rows]
        shares = self.history_shares_[people]
        own = np.asarray(self.history_shares_[people, items])[:, None]
        there = self.there[items] & (rng.random((len(rows), len(self.parts))) >= self.drop)
        there |= ~there.any(axis=1, keepdims=True) & self.there[items]
        histories = [(shares @ vectors - own * vectors[items]).astype(np.float32) for vectors in self.parts.values()]
        of_items = [vectors[items] * there[:, [m]] for m, vectors in enumerate(self.parts.values())]
        return items, popular[items], _nonzero(histories), there.astype(np.float32), *histories, *of_items

    def _agree(self, rows):
        histories = [(self.history_shares_[rows] @ vectors).astype(np.float32) for vectors in self.parts.values()]
        there = self.there.astype(np.float32)
        found = self.maps_.agree(histories, list(self.parts.values()), _nonzero(histories), there)
        return [tensor.numpy() for tensor in found]

    def _score(self, rows):
        agreements, weights = self._agree(rows)
        return (agreements * weights).sum(axis=-1)


class _Maps:
    """The weights of a fusion, and how they make agreements and shares of them."""

    def __init__(self, dims, how, dim, seed):
        self.how = how
        start = keras.initializers.GlorotUniform(seed)
        inputs = [sum(dims)] if how == "early" else dims
        self.people = [keras.Variable(start((n, dim))) for n in inputs]
        self.items = [keras.Variable(variable) for variable in self.people]  # so that at first like agrees with like
        self.variables = [*self.people, *self.items]
        if how == "late":
            self.weights = keras.Variable(np.full(len(dims), 1 / len(dims), np.float32))
            self.variables.append(self.weights)
        if how == "gated":
            self.gates = [
                (keras.Variable(start((n, GATE))), keras.Variable(np.zeros((GATE, 1), np.float32))) for n in dims
            ]
            self.bias = keras.Variable(np.zeros(len(dims), np.float32))
            self.variables += [variable for pair in self.gates for variable in pair] + [self.bias]
        if how == "attention":
            self.query = keras.Variable(start((len(dims) * dim, dim)))
            self.keys = [keras.Variable(np.zeros((dim, dim), np.float32)) for _ in dims]
            self.variables += [self.query, *self.keys]

    def agree(self, people, items, there_people, there_items):
        """Agreements and weights, (n, m, parts) each; a part that is missing on either side has the weight 0."""
        there = there_people[:, None] * there_items[None]
        if self.how == "early":
            people, items = [tf.concat(people, axis=1)], [tf.concat(items, axis=1)]
            there = tf.ones_like(there[:, :, :1])
        u = [tf.math.l2_normalize(tf.matmul(x, w), axis=1) for x, w in zip(people, self.people, strict=True)]
        d = [tf.math.l2_normalize(tf.matmul(x, w), axis=1) for x, w in zip(items, self.items, strict=True)]
        agreements = tf.stack([tf.matmul(a, b, transpose_b=True) for a, b in zip(u, d, strict=True)], axis=-1)
        return agreements, self._weights(u, d, items, there)

    def _weights(self, u, d, items, there):
        if self.how == "early":
            return there
        if self.how == "late":
            return there * tf.nn.relu(self.weights.value)
        if self.how == "gated":
            worth = [tf.matmul(tf.nn.relu(tf.matmul(x, a)), b) for x, (a, b) in zip(items, self.gates, strict=True)]
            logits = (tf.concat(worth, axis=1) + self.bias)[None]
        else:
            query = tf.matmul(tf.concat(u, axis=1), self.query)
            logits = [
                tf.matmul(query, tf.matmul(x, key), transpose_b=True) for x, key in zip(d, self.keys, strict=True)
            ]
            logits = tf.stack(logits, axis=-1)
        return tf.nn.softmax(tf.where(there > 0, logits, -1e9), axis=-1) * there


def _read(parts):
    """Unit vectors of each part, zeros where it is missing, and whether it is there: (items, parts)."""
    if not parts:
        raise ValueError("parts must name at least one, got none.")
    found, there = {}, []
    for name, vectors in parts.items():
        vectors = np.asarray(vectors, np.float32)
        if vectors.ndim != 2 or np.isinf(vectors).any():
            raise ValueError(
                f"parts[{name!r}] must be a matrix of numbers, NaN where missing, got shape {vectors.shape}."
            )
        missing = np.isnan(vectors).any(axis=1)
        vectors = np.where(missing[:, None], 0, vectors)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        found[name] = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
        there.append(~missing & (lengths[:, 0] > 0))
    if len({len(vectors) for vectors in found.values()}) > 1:
        counts = ", ".join(f"{name} {len(vectors)}" for name, vectors in found.items())
        raise ValueError(f"parts must have equally many rows, got {counts}.")
    there = np.stack(there, axis=1)
    if not there.any(axis=1).all():
        raise ValueError(f"every item must have at least one part, item {int(np.argmin(there.any(axis=1)))} has none.")
    return found, there


def _nonzero(vectors):
    """Which of the parts each row has, (n, parts) float32."""
    return np.stack([np.abs(part).max(axis=1, initial=0) > 1e-7 for part in vectors], axis=1).astype(np.float32)
