"""Text in, unit vectors out: BERT and TF-Hub behind one contract."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm.auto import tqdm

from reclab import bert, fetch, text

TOKENS_PER_TEXT = 32  # what `batch_size` reckons with: a batch holds batch_size * 32 tokens


def load(name: str = "minilm") -> "Encoder":
    """Load a text encoder.

    Args:
        name: "minilm" (sentence-transformers/all-MiniLM-L6-v2, the course's default), "bert-base", "bert-chinese", a
            folder with a BERT checkpoint, the id of a BERT on the Hugging Face hub ("organisation/name"), or "tfhub:"
            before a TF-Hub handle or a SavedModel folder.

    Raises:
        ValueError: the name is none of these, or what it names is not a BERT.
        fetch.FetchError: it could not be downloaded.

    >>> enc = load("minilm")
    >>> vectors = enc.encode(["a quiet beach", "a deserted shore", "a fast laptop"])
    >>> vectors.shape, bool(vectors[0] @ vectors[1] > vectors[0] @ vectors[2])
    ((3, 384), True)
    """
    if name.startswith("tfhub:"):
        return HubEncoder(name.removeprefix("tfhub:"))
    if name == "minilm":
        return BertEncoder(fetch.folder(name), name=name)
    if Path(name).is_dir():
        return BertEncoder(name)
    if name in fetch.HUB_NAMES or name.count("/") == 1:
        return BertEncoder(fetch.hub(name), name=name)
    raise ValueError(
        f"name must be 'minilm', {', '.join(map(repr, fetch.HUB_NAMES))}, a folder, a hub id 'organisation/name' or "
        f"'tfhub:...', got {name!r}."
    )


class Encoder:
    """What every encoder offers: `name`, `dim`, `tokenizer` (a fast Hugging Face tokenizer) and `encode`.

    A subclass sets these fields and `max_length`, in tokens, and gives `embed`.
    """

    def encode(
        self, texts: Sequence[str], *, batch_size: int = 64, precision: str = "float32", progress: bool = False
    ) -> np.ndarray:
        """Vectors of unit length, one a text, in the order of the texts: (n, dim) float32.

        Args:
            texts: any strings, the empty one too; what exceeds the model's limit (256 tokens for "minilm") is not read.
            batch_size: how many texts of 32 tokens are computed at once; longer ones travel in smaller batches.
            precision: "float32" gives the same numbers on every machine; "bfloat16" is faster where the processor has
                it, and differs in the third digit.
            progress: show a bar.

        Raises:
            TypeError: a text is not a string; the message has its index.
            ValueError: batch_size is below 1, or precision is neither of the two.

        >>> load("minilm").encode([]).shape
        (0, 384)
        """
        texts = text.check(texts)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f'precision must be "float32" or "bfloat16", got {precision!r}.')
        sequences = self.tokenize(texts)
        vectors = np.empty((len(texts), self.dim), np.float32)
        embed = self.embed(precision)
        with tqdm(total=len(texts), desc=f"encode ({self.name})", unit="text", disable=not progress) as bar:
            for batch in text.batches([len(sequence) for sequence in sequences], batch_size * TOKENS_PER_TEXT):
                ids, mask = text.pad([sequences[i] for i in batch])
                vectors[batch] = embed(ids, mask).numpy()
                bar.update(len(batch))
        return vectors

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, with [CLS] and [SEP], cut after `max_length`."""
        return text.tokenize(self.tokenizer, texts, self.max_length)

    def embed(self, precision: str) -> Callable[[np.ndarray, np.ndarray], tf.Tensor]:
        """The function from ids and mask, int32 (b, l), to unit vectors, float32 (b, dim)."""
        raise NotImplementedError

    def __repr__(self):
        return f"{type(self).__name__}({self.name!r}, dim={self.dim})"


class BertEncoder(Encoder):
    """A BERT checkpoint in the Hugging Face layout, pooled as its `modules.json` says, by default the mean."""

    def __init__(self, folder: str | Path, *, name: str | None = None):
        from transformers import AutoTokenizer

        folder = Path(folder)
        self.name = name or folder.name
        self.bert = bert.load(folder)
        self.dim = self.bert.config.hidden_size
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.pooling = _pooling(folder)
        limit = (
            _json(folder / "sentence_bert_config.json", {}).get("max_seq_length")
            or self.bert.config.max_position_embeddings
        )
        self.max_length = min(limit, self.bert.config.max_position_embeddings)
        self._compiled = {}

    def embed(self, precision):
        """Compiled, and traced once for all shapes."""
        key = precision, len(self.bert.variables)  # LoRA adds variables that an older trace does not read
        if key not in self._compiled:
            network = (
                self.bert if precision == "float32" else bert.blank(self.bert.config, pooler=False, dtype=precision)
            )
            self._compiled[key] = network, _compile(network, self.pooling)
        network, function = self._compiled[key]
        if network is not self.bert:
            trained = self.bert.tensors()
            for name, variable in network.tensors().items():
                variable.assign(trained[name])
        return function


class HubEncoder(Encoder):
    """A TF-Hub text encoder: a SavedModel from `input_word_ids`, `input_mask`, `input_type_ids` to `sequence_output`.

    Its vocabulary is read from the SavedModel's assets; its token vectors are averaged.
    """

    def __init__(self, handle: str):
        import tensorflow_hub as hub
        from transformers import BertTokenizerFast

        self.name = f"tfhub:{handle}"
        folder = Path(hub.resolve(handle))
        vocabulary = next(folder.glob("assets/*vocab*"), None)
        if vocabulary is None:
            raise ValueError(
                f"{handle}: the SavedModel has no vocabulary in its assets, so it is not a BERT text encoder."
            )
        tokens = vocabulary.read_text(encoding="utf-8").split()
        lower = not any(token.isalpha() and token != token.lower() for token in tokens)
        self.tokenizer = BertTokenizerFast(str(vocabulary), do_lower_case=lower)
        self.model = hub.load(str(folder))
        self.max_length = 512
        self.dim = int(self._call(tf.constant([[1]]), tf.constant([[1]])).shape[-1])

    def _call(self, ids, mask):
        inputs = {"input_word_ids": ids, "input_mask": mask, "input_type_ids": tf.zeros_like(ids)}
        return self.model(inputs)["sequence_output"]

    def embed(self, precision):
        if precision != "float32":
            raise ValueError(
                f"a SavedModel computes as it was exported; precision must be 'float32', got {precision!r}."
            )
        return lambda ids, mask: _pool(self._call(tf.constant(ids), tf.constant(mask)), mask, "mean")


def encode_once(enc: BertEncoder, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
    """`enc.encode(texts)`, kept under `fetch.cache()`: the same texts with the same weights are computed only once."""
    digest = hashlib.sha256(json.dumps([text.check(texts), enc.pooling, enc.max_length]).encode())
    for tensor in enc.bert.tensors().values():
        digest.update(np.ascontiguousarray(tensor))
    path = fetch.cache() / "vectors" / f"{digest.hexdigest()[:32]}.npy"
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # not there, or damaged: compute it
        vectors = enc.encode(texts, progress=progress)
    with fetch.writing(path) as aside:
        np.save(aside, vectors)
    return vectors


def _compile(network, pooling):
    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32)] * 2)
    def embed(ids, mask):
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": tf.zeros_like(ids)}
        return _pool(network(inputs, training=False)["sequence_output"], mask, pooling)

    return embed


def _pool(tokens, mask, pooling):
    """One unit vector a text, float32: (b, l, d) -> (b, d)."""
    tokens = tf.cast(tokens, tf.float32)
    if pooling == "cls":
        return tf.math.l2_normalize(tokens[:, 0], axis=-1)
    weights = tf.cast(mask, tf.float32)[:, :, None]
    return tf.math.l2_normalize(tf.reduce_sum(tokens * weights, axis=1), axis=-1)  # the length cancels the count


def _pooling(folder):
    """How `modules.json` of sentence-transformers pools the tokens: "mean" or "cls"."""
    modules = {module["type"].rsplit(".", 1)[-1]: module["path"] for module in _json(folder / "modules.json", [])}
    if unknown := modules.keys() - {"Transformer", "Pooling", "Normalize"}:
        raise ValueError(
            f"{folder / 'modules.json'}: module {min(unknown)} is not supported, only Transformer, Pooling, Normalize."
        )
    stored = _json(folder / modules["Pooling"] / "config.json", {}) if "Pooling" in modules else {}
    modes = {name.removeprefix("pooling_mode_") for name, value in stored.items() if value is True and "mode" in name}
    names = {"mean_tokens": "mean", "cls_token": "cls"}
    if len(modes) < 2 and (mode := next(iter(modes), "mean_tokens")) in names:
        return names[mode]
    raise ValueError(f"{folder}: pooling must be mean_tokens or cls_token, got {', '.join(sorted(modes))}.")


def _json(path, default):
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else default
