"""What does this person want?"""

import copy
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy import sparse
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_expit, log_softmax, softmax

from reclab import bert, device, fetch, search, text, training
from reclab.encoder import BertEncoder, Encoder

TUNE = ("head", "full", "lora")
LOSS_SCALE = 1024.0
ROUNDS = 50  # of spreading; what a label still gains after them is below 1 % of it
DEFAULTS = {"full": (5, 5e-5), "lora": (10, 1e-3)}  # epochs and learning rate; chosen on the world's validation split


class ZeroShotClassifier:
    """Name the intent whose description is nearest, with no example of any intent.

    The probability of intent i is the softmax over `scale * cos(text, description_i)`. The default encoder was trained
    to make exactly this softmax, with scale 20, high for the true pair (see its model card, sentence-transformers/
    all-MiniLM-L6-v2; the loss is that of Henderson et al., arXiv:1705.00652).

    Args:
        enc: any encoder.
        descriptions: what each intent means, in a sentence.
        scale: above 0; higher is surer.

    >>> from reclab import encoder
    >>> meanings = {"food": "Cooking and eating.", "music": "Listening to songs and concerts."}
    >>> clf = ZeroShotClassifier(encoder.load(), meanings)
    >>> clf.predict(["a saxophone solo", "how long to boil an egg"]).tolist()
    ['music', 'food']
    """

    def __init__(self, enc: Encoder, descriptions: Mapping[str, str], *, scale: float = 20.0):
        if not descriptions:
            raise ValueError("descriptions must name at least one intent, got none.")
        if scale <= 0:
            raise ValueError(f"scale must be above 0, got {scale}.")
        self.enc, self.scale = enc, scale
        self.classes_ = np.array(list(descriptions))
        self.vectors_ = enc.encode(list(descriptions.values()))

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities (n, number of intents), in the order of `classes_`; rows add up to 1."""
        return self.proba(self.enc.encode(texts))

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """The most probable intent of each text, (n,)."""
        return self.classes_[self.predict_proba(texts).argmax(axis=1)]

    def proba(self, vectors: np.ndarray) -> np.ndarray:
        """`predict_proba` for texts that are already encoded: unit vectors (n, dim)."""
        logits = self.scale * (vectors @ self.vectors_.T)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)


class IntentClassifier:
    """Learn from labelled sentences: softmax(W v + b) over the unit vector v of a text.

    `tune` says what may change:

    - "head": W and b alone. The sum of the cross-entropies plus |W|² / (2 C) has one minimum, which is found exactly.
    - "full": after the head has found its place, every weight of a copy of the encoder as well (Kumar et al.,
      arXiv:2202.10054, show why the head should come first).
    - "lora": the same with low-rank updates of the attention's queries and values (arXiv:2106.09685).

    Args:
        enc: the encoder; it stays as it is. "full" and "lora" need a BERT.
        tune: "head", "full" or "lora".
        several: a text may have several labels, or none: sigmoids instead of the softmax.
        C: how little the head's weights are held back, as in scikit-learn.
        rank: of LoRA's updates.

    Attributes:
        classes_: the labels, sorted, (classes,).
        weights_, bias_: the head, (dim, classes) and (classes,).
        encoder_: the encoder as it was tuned; with "head" the one that was given.
        history_: what `training.train` tells of each epoch; with "head" empty.

    >>> from reclab import encoder
    >>> texts = ["boil an egg", "bake bread", "a saxophone solo", "a new album"]
    >>> clf = IntentClassifier(encoder.load()).fit(texts, ["food", "food", "music", "music"])
    >>> clf.predict(["how long to cook rice", "who sings this song"]).tolist()
    ['food', 'music']
    """

    def __init__(self, enc: Encoder, tune: str = "head", *, several: bool = False, C: float = 10.0, rank: int = 8):  # noqa: N803
        if tune not in TUNE:
            raise ValueError(f"tune must be one of {', '.join(map(repr, TUNE))}, got {tune!r}.")
        if tune != "head" and not isinstance(enc, BertEncoder):
            raise TypeError(f'tune="{tune}" needs a BertEncoder, got {type(enc).__name__}; use tune="head".')
        if C <= 0 or rank < 1:
            raise ValueError(f"C must be above 0 and rank at least 1, got {C} and {rank}.")
        self.enc, self.tune, self.several, self.C, self.rank = enc, tune, several, C, rank

    def fit(
        self,
        texts: Sequence[str],
        labels: Sequence,
        *,
        validation: tuple[Sequence[str], Sequence] | None = None,
        epochs: int | None = None,
        learning_rate: float | None = None,
        batch_size: int = 32,
        seed: int = 0,
        checkpoint: str | Path | None = None,
        progress: bool = True,
    ) -> "IntentClassifier":
        """Learn; see the class for what.

        Args:
            texts: n strings.
            labels: n strings; with `several`, n collections of strings.
            validation: texts and labels on which the loss is watched after every epoch ("full" and "lora"): the best
                epoch's weights are kept, and training ends after two epochs without a better one.
            epochs: at most so many (default 5; "lora" 10). Not for the head alone.
            learning_rate: at its highest (default 5e-5; "lora" 1e-3). Not for the head alone.
            batch_size: texts a step.
            seed: of the order of the texts, of dropout, and of where LoRA starts.
            checkpoint: a file that keeps a long run after every epoch; the same call goes on where it was stopped.
            progress: show a bar.

        Raises:
            TypeError: a text or a label is not a string.
            ValueError: there are no texts, fewer than two labels, lengths that differ, or a label in `validation` that
                `labels` do not have; the message names it.
        """
        texts, labels = self._pairs(texts, labels, "")
        classes = sorted(set(itertools.chain.from_iterable(labels)))
        if len(classes) < 2:
            raise ValueError(f"labels must have at least two classes, got {', '.join(map(repr, classes)) or 'none'}.")
        self.classes_ = np.array(classes)
        targets = self._targets(labels)
        if validation is not None:
            valid_texts, valid_labels = self._pairs(*validation, "validation ")
            validation = valid_texts, self._targets(valid_labels)
        self.encoder_, self.history_, self.temperature_ = self.enc, [], 1.0
        vectors = self.enc.encode(texts, progress=progress)
        self.weights_, self.bias_ = _fit_head(vectors, targets, self.several, self.C)
        if self.tune != "head":
            self._fine_tune(texts, targets, validation, epochs, learning_rate, batch_size, seed, checkpoint, progress)
        elif epochs is not None or learning_rate is not None or checkpoint is not None:
            raise ValueError('epochs, learning_rate and checkpoint are for tune="full" and "lora"; a head is solved.')
        return self

    def _fine_tune(self, texts, targets, validation, epochs, learning_rate, batch_size, seed, checkpoint, progress):
        default_epochs, default_rate = DEFAULTS[self.tune]
        epochs = default_epochs if epochs is None else epochs
        learning_rate = default_rate if learning_rate is None else learning_rate
        half = device.found().precision
        self.encoder_ = self.enc.copy(dtype="float32" if half == "float32" else f"mixed_{half}")
        network = self.encoder_.bert
        if self.tune == "lora":
            network.enable_lora(self.rank, seed=seed)
        head = [keras.Variable(self.weights_), keras.Variable(self.bias_)]
        changing = [v for v in network.trainable_variables if "pooler" not in v.path] + head
        seeds = _seed(network, seed)
        tokens = self.encoder_.tokenize(texts)

        def loss(ids, mask, wanted):
            vectors = self.encoder_.forward(ids, mask, training=True)
            logits = tf.matmul(vectors, head[0]) + head[1]
            if self.several:
                return tf.reduce_mean(tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(wanted, logits), axis=1))
            return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(wanted, logits))

        def validate():
            self.weights_, self.bias_ = (variable.numpy() for variable in head)
            return _losses(self.decision_function(validation[0]), validation[1], self.several).mean()

        settings = [texts, targets.tolist(), validation and [validation[0], validation[1].tolist()]]
        settings += [self.tune, self.several, self.C, self.rank, epochs, learning_rate, batch_size, seed]
        self.history_ = training.train(
            loss,
            changing,
            lambda epoch: _batches(tokens, targets, batch_size, (seed, epoch)),
            epochs=epochs,
            learning_rate=learning_rate,
            loss_scale=LOSS_SCALE if half == "float16" else 1.0,
            validate=validate if validation else None,
            seeds=seeds,
            checkpoint=checkpoint,
            key=_digest(settings, network),
            progress=progress,
        )
        self.weights_, self.bias_ = (variable.numpy() for variable in head)

    def decision_function(self, texts: Sequence[str]) -> np.ndarray:
        """Logits W v + b, divided by the temperature: (n, classes) float32."""
        return (self.encoder_.encode(texts) @ self.weights_ + self.bias_) / self.temperature_

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities (n, classes), in the order of `classes_`; rows add up to 1, unless `several`."""
        logits = self.decision_function(texts)
        return expit(logits) if self.several else softmax(logits, axis=1)

    def predict(self, texts: Sequence[str]) -> np.ndarray | list[tuple[str, ...]]:
        """The most probable label of each text, (n,); with `several`, those with a probability of at least a half."""
        proba = self.predict_proba(texts)
        if self.several:
            return [tuple(self.classes_[row >= 0.5].tolist()) for row in proba]
        return self.classes_[proba.argmax(axis=1)]

    def calibrate(self, texts: Sequence[str], labels: Sequence) -> "IntentClassifier":
        """Divide the logits by the temperature that makes the probabilities of held-out texts fit best.

        The order of the classes stays as it was (Guo et al., arXiv:1706.04599).
        """
        texts, labels = self._pairs(texts, labels, "")
        targets = self._targets(labels)
        self.temperature_ = 1.0
        logits = self.decision_function(texts)
        found = minimize_scalar(lambda t: _losses(logits / np.exp(t), targets, self.several).mean(), bounds=(-3, 3))
        self.temperature_ = float(np.exp(found.x))
        return self

    def save(self, folder: str | Path) -> None:
        """Write the encoder and the head to a folder that `load` reads; the encoder alone can be read from it, too."""
        if not isinstance(self.encoder_, BertEncoder):
            raise TypeError(f"only classifiers on a BertEncoder can be saved, this one has {self.encoder_!r}.")
        folder = Path(folder)
        self.encoder_.save(folder)
        head = {"weight": self.weights_, "bias": self.bias_, "temperature": np.array(self.temperature_)}
        with fetch.writing(folder / "head.safetensors") as file:
            save_file(head, file.name)
        told = {"classes": self.classes_.tolist(), "history": self.history_}
        told |= {"tune": self.tune, "several": self.several, "C": self.C, "rank": self.rank}
        fetch.write(folder / "intent.json", json.dumps(told, indent=1, ensure_ascii=False))

    @classmethod
    def load(cls, folder: str | Path) -> "IntentClassifier":
        """What `save` has written, equal to the bit.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file cannot be read, or the parts do not fit together.
        """
        folder = Path(folder)
        for path in (folder / "intent.json", folder / "head.safetensors"):
            if not path.is_file():
                raise FileNotFoundError(f"{path} is missing: {folder} is not a saved IntentClassifier.")
        try:
            told = json.loads((folder / "intent.json").read_text(encoding="utf-8"))
            head = load_file(folder / "head.safetensors")
            clf = cls(BertEncoder(folder), told["tune"], several=told["several"], C=told["C"], rank=told["rank"])
            clf.classes_, clf.history_ = np.array(told["classes"]), told["history"]
            clf.weights_, clf.bias_, clf.temperature_ = head["weight"], head["bias"], float(head["temperature"])
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{folder} cannot be read as a saved IntentClassifier: {error}") from error
        clf.encoder_ = clf.enc
        if clf.weights_.shape != (clf.enc.dim, len(clf.classes_)):
            wanted, found = (clf.enc.dim, len(clf.classes_)), clf.weights_.shape
            raise ValueError(f"{folder}: the head must have the shape {wanted}, got {found}.")
        return clf

    def _pairs(self, texts, labels, name):
        """Texts and, for each, a tuple of labels; or an error that says what is wrong."""
        texts, labels = text.check(texts), list(labels)
        if len(texts) != len(labels):
            raise ValueError(f"{name}texts and labels must be equally many, got {len(texts)} and {len(labels)}.")
        if not texts:
            raise ValueError(f"{name}texts must not be empty.")
        for i, label in enumerate(labels):
            if isinstance(label, str) == self.several:
                rule = "a collection of strings, since several=True" if self.several else "a string"
                raise TypeError(f"{name}labels[{i}] must be {rule}, got {label!r}.")
        return texts, [tuple(label) if self.several else (label,) for label in labels]

    def _targets(self, labels):
        """One row a text and one column a class, 1 where the text has the label: (n, classes) float32."""
        if unseen := sorted(set(itertools.chain.from_iterable(labels)) - set(self.classes_.tolist())):
            raise ValueError(f"labels must be among those seen in training, got {', '.join(map(repr, unseen))}.")
        column = {label: i for i, label in enumerate(self.classes_.tolist())}
        targets = np.zeros((len(labels), len(column)), np.float32)
        for row, named in zip(targets, labels, strict=True):
            row[[column[label] for label in named]] = 1
        return targets


def soup(classifiers: Sequence[IntentClassifier]) -> IntentClassifier:
    """One classifier whose weights are the means of those of several, tuned from the same start with other seeds.

    Their errors are partly their own and cancel, as in an ensemble, at the price of one (Wortsman et al.,
    arXiv:2203.05482). It works because tuning moves them little: they still lie in one valley.

    Raises:
        ValueError: there are none, or they do not have the same classes and weights of the same shapes.

    >>> from reclab import encoder
    >>> texts, labels = ["boil an egg", "bake bread", "a saxophone solo"], ["food", "food", "music"]
    >>> runs = [IntentClassifier(encoder.load(), C=c).fit(texts, labels) for c in (1, 10)]
    >>> bool(np.allclose(soup(runs).weights_, (runs[0].weights_ + runs[1].weights_) / 2))
    True
    """
    if not classifiers:
        raise ValueError("classifiers must be at least one, got none.")
    tensors = [clf.encoder_.bert.tensors() for clf in classifiers]
    forms = [{name: tuple(tensor.shape) for name, tensor in its.items()} for its in tensors]
    for i, (clf, form) in enumerate(zip(classifiers, forms, strict=True)):
        if clf.classes_.tolist() != classifiers[0].classes_.tolist() or form != forms[0]:
            raise ValueError(
                f"classifiers must have the same classes and shapes, classifiers[{i}] differs from the first."
            )
    mixed = copy.copy(classifiers[0])
    mixed.encoder_, mixed.history_, mixed.temperature_ = mixed.encoder_.copy(), [], 1.0
    means = {name: np.mean([its[name].numpy() for its in tensors], axis=0) for name in tensors[0]}
    bert.assign(mixed.encoder_.bert, means)
    mixed.weights_ = np.mean([clf.weights_ for clf in classifiers], axis=0)
    mixed.bias_ = np.mean([clf.bias_ for clf in classifiers], axis=0)
    return mixed


def spread(
    vectors: np.ndarray, beliefs: np.ndarray, *, neighbours: int = 10, scale: float = 10.0, alpha: float = 0.9
) -> np.ndarray:
    """Let what is believed of some texts flow to the texts near them, (n, classes) -> (n, classes).

    F = alpha S F + (1 - alpha) Y, with Y the beliefs and S the symmetrically normalised graph that ties each text to
    its nearest `neighbours` with the weight exp(scale (cos - 1)) (Zhou et al. 2004, "Learning with Local and Global
    Consistency"). Texts without a label take part: they tell where one meaning ends and the next begins.

    Args:
        vectors: (n, dim), real numbers.
        beliefs: (n, classes); a row of zeros says nothing.
        neighbours: from 1 to n - 1.
        scale: above 0; higher trusts only the very near.
        alpha: how much a text listens to its neighbours, above 0 and below 1.

    >>> vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    >>> spread(vectors, np.array([[1, 0], [0, 0], [0, 1], [0, 0]]), neighbours=1).argmax(axis=1).tolist()
    [0, 0, 1, 1]
    """
    n = len(vectors)
    if len(beliefs) != n:
        raise ValueError(f"vectors and beliefs must be equally many, got {n} and {len(beliefs)}.")
    if not (1 <= neighbours < n and scale > 0 and 0 < alpha < 1):
        rules = f"neighbours must be 1 to {n - 1}, scale above 0, alpha above 0 and below 1"
        raise ValueError(f"{rules}, got {neighbours}, {scale} and {alpha}.")
    near, cosines = search.top_k(vectors, vectors, neighbours + 1)
    ties = (np.exp(scale * (cosines.ravel() - 1)), (np.repeat(np.arange(n), neighbours + 1), near.ravel()))
    graph = sparse.csr_array(ties, shape=(n, n))
    graph.setdiag(0)
    graph = graph.maximum(graph.T)
    root = sparse.diags_array(1 / np.sqrt(np.maximum(graph.sum(axis=1), 1e-12)))
    graph, found = root @ graph @ root, beliefs
    for _ in range(ROUNDS):
        found = alpha * (graph @ found) + (1 - alpha) * beliefs
    return found


def _fit_head(vectors, targets, several, C):  # noqa: N803
    """W and b at the minimum of the summed cross-entropy plus |W|² / (2 C), by L-BFGS; its gradient is vᵀ (p - y).

    The walk is over vectors that are shifted to mean 0 and stretched to spread 1: the same minimum in a rounder valley.
    """
    (n, dim), classes = vectors.shape, targets.shape[1]
    middle = vectors.mean(axis=0)
    spread_out = float((vectors - middle).std()) or 1.0
    rounder, C = (vectors - middle) / spread_out, C * spread_out**2  # noqa: N806

    def cost(parameters):
        weights, bias = parameters[:-classes].reshape(dim, classes), parameters[-classes:]
        logits = rounder @ weights.astype(np.float32) + bias.astype(np.float32)
        error = (expit(logits) if several else softmax(logits, axis=1)) - targets
        value = _losses(logits, targets, several).sum(dtype=np.float64) + (weights**2).sum() / (2 * C)
        return value / n, np.append(rounder.T @ error + weights / C, error.sum(axis=0)) / n

    found = minimize(cost, np.zeros((dim + 1) * classes), jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    weights = found.x[:-classes].reshape(dim, classes) / spread_out
    return weights.astype(np.float32), (found.x[-classes:] - middle @ weights).astype(np.float32)


def _losses(logits, targets, several):
    """The cross-entropy of each text, (n,)."""
    if several:
        return -(targets * log_expit(logits) + (1 - targets) * log_expit(-logits)).sum(axis=1)
    return -(targets * log_softmax(logits, axis=1)).sum(axis=1)


def _batches(tokens, targets, size, seed):
    """All texts in a random order, in batches of `size` of similar lengths: (ids, mask, targets) each."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(tokens))
    near = 20 * size  # texts among which neighbours in length are looked for
    sorted_ = [sorted(order[i : i + near], key=lambda row: len(tokens[row])) for i in range(0, len(order), near)]
    rows = np.array(list(itertools.chain.from_iterable(sorted_)))
    batches = [rows[i : i + size] for i in range(0, len(rows), size)]
    return [
        (*text.pad([tokens[row] for row in batches[i]]), targets[batches[i]]) for i in rng.permutation(len(batches))
    ]


def _seed(network, seed):
    """Start the network's random layers from the seed; their states."""
    states = [variable for variable in network.non_trainable_variables if "seed" in variable.path]
    for i, state in enumerate(states):
        state.assign([seed, i])
    return states


def _digest(settings, network):
    digest = hashlib.sha256(json.dumps(settings).encode())
    for tensor in network.tensors().values():
        digest.update(np.ascontiguousarray(tensor))
    return digest.hexdigest()
