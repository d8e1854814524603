"""Text in, unit vectors out: BERT, TF-Hub, TF-IDF and averaged word vectors behind one contract."""

import copy
import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer
from tqdm.auto import tqdm

from reclab import bert, device, fetch, text

HUB_INPUTS = {"input_ids": "input_word_ids", "attention_mask": "input_mask", "token_type_ids": "input_type_ids"}
READING = "reading.json"  # the asset of an exported encoder that says how it pools and how much it reads
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
    """What every encoder offers: `name`, `dim` and `encode`.

    A subclass that reads tokens sets `tokenizer` (a fast Hugging Face tokenizer) and `max_length`, and gives `embed`.
    """

    def encode(
        self,
        texts: Sequence[str],
        *,
        batch_size: int | None = None,
        precision: str | None = None,
        progress: bool = False,
    ) -> np.ndarray:
        """Vectors of unit length, one a text, in the order of the texts: (n, dim) float32.

        Args:
            texts: any strings, the empty one too; what exceeds the model's limit (256 tokens for "minilm") is not read.
            batch_size: how many texts of 32 tokens are computed at once; longer ones travel in smaller batches. By
                default 64, or what suits the GPU (`device.found`).
            precision: "float32" gives the same numbers on every machine; "bfloat16" and "float16" are faster where the
                machine has them, and differ in the third and the fourth digit. By default what suits the machine:
                float32 without a GPU.
            progress: show a bar.

        Raises:
            TypeError: a text is not a string; the message has its index.
            ValueError: batch_size is below 1, or precision is none of the three.

        >>> load("minilm").encode([]).shape
        (0, 384)
        """
        texts = _checked(texts, batch_size, precision)
        batch_size = device.found().batch_size if batch_size is None else batch_size
        sequences = self.tokenize(texts)
        vectors = np.empty((len(texts), self.dim), np.float32)
        embed = self.embed(precision or self.precision)
        with tqdm(total=len(texts), desc=f"encode ({self.name})", unit="text", disable=not progress) as bar:
            for batch in text.batches([len(sequence) for sequence in sequences], batch_size * TOKENS_PER_TEXT):
                ids, mask = text.pad([sequences[i] for i in batch])
                vectors[batch] = embed(ids, mask).numpy()
                bar.update(len(batch))
        return vectors

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, with [CLS] and [SEP], cut after `max_length`."""
        return text.tokenize(self.tokenizer, texts, self.max_length)

    @property
    def precision(self) -> str:
        """In which `encode` computes unless it is told."""
        return "float32"

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

    def forward(self, ids: tf.Tensor, mask: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """Unit vectors (b, dim) of token ids and mask, int32 (b, l), for use in one's own network: gradients flow."""
        return _forward(self.bert, self.pooling, ids, mask, training)

    def embed(self, precision):
        """Compiled, and traced once for all shapes."""
        key = precision, len(self.bert.variables)  # LoRA adds variables that an older trace does not read
        if key in self._compiled:
            network, function = self._compiled[key]
            if network is not self.bert:
                bert.assign(network, self.bert.tensors())
        else:
            network = self._network(precision)
            self._compiled[key] = network, (function := _compile(network, self.pooling))
        return function

    def _network(self, precision):
        """A network with the weights as they are that computes in `precision`."""
        own = self.bert.embeddings.compute_dtype  # after training in half precision it is not float32
        return self.bert if precision == own else bert.copy(self.bert, dtype=precision)

    @property
    def precision(self):
        return device.found().precision

    def copy(self, *, dtype: str = "float32") -> "BertEncoder":
        """An encoder with weights of its own, of the same values, to be trained without changing this one.

        `dtype` is as in `bert.copy`.

        >>> enc = load("minilm")
        >>> twin = enc.copy()
        >>> _ = twin.bert.embeddings.norm.beta.assign(np.ones(384))
        >>> bool(enc.encode(["a"])[0] @ twin.encode(["a"])[0] < 0.99)
        True
        """
        twin = copy.copy(self)
        twin.bert, twin._compiled = bert.copy(self.bert, dtype=dtype), {}
        return twin

    def save(self, folder: str | Path) -> None:
        """Write a folder that `load` reads, with the same vectors to the bit, as sentence-transformers does.

        Each file is written aside and renamed; the weights come last, so that a folder which has them is whole. LoRA's
        products are added to the weights that they update.
        """
        folder = Path(folder)
        files = {
            "modules.json": [
                {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                for i, (kind, path) in enumerate(_MODULES.items())
            ],
            "sentence_bert_config.json": {"max_seq_length": self.max_length, "do_lower_case": False},
            "1_Pooling/config.json": {"word_embedding_dimension": self.dim}
            | {f"pooling_mode_{long}": short == self.pooling for long, short in _POOLING.items()},
        }
        for name, content in files.items():
            fetch.write(folder / name, json.dumps(content, indent=2))
        with tempfile.TemporaryDirectory() as scratch:
            self.tokenizer.save_pretrained(scratch)
            for path in Path(scratch).iterdir():
                fetch.write(folder / path.name, path.read_bytes())
        bert.save(self.bert, folder)

    def export(self, folder: str | Path) -> None:
        """Write a TF-Hub SavedModel that `load("tfhub:" + folder)` reads, with vectors equal up to rounding.

        From `input_word_ids`, `input_mask` and `input_type_ids`, int32 (b, l), it computes `sequence_output` (b, l,
        dim) and, with a pooler, `pooled_output` (b, dim). It needs TensorFlow to run, but neither reclab nor Keras. It
        is written aside and renamed.

        Raises:
            FileExistsError: the folder is there and not empty.
        """
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} must be a new or an empty folder, it holds files.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            vocabulary, reading = Path(scratch, "vocab.txt"), Path(scratch, READING)
            tokens = self.tokenizer.convert_ids_to_tokens(range(len(self.tokenizer)))
            vocabulary.write_text("\n".join(tokens) + "\n", encoding="utf-8")
            reading.write_text(json.dumps({"pooling": self.pooling, "max_length": self.max_length}))
            _save_quietly(_HubModule(self._network("float32"), [vocabulary, reading]), Path(scratch, "model"))
            if folder.exists():
                folder.rmdir()
            Path(scratch, "model").rename(folder)


class _HubModule(tf.Module):
    """A BERT in the signature of TF-Hub's text encoders, with the files that its texts are read by."""

    def __init__(self, network, assets):
        self.network = network
        self.files = [tf.saved_model.Asset(str(path)) for path in assets]

    @tf.function(input_signature=[dict.fromkeys(HUB_INPUTS.values(), tf.TensorSpec((None, None), tf.int32))])
    def __call__(self, inputs):
        return self.network({ours: inputs[theirs] for ours, theirs in HUB_INPUTS.items()}, training=False)


def _save_quietly(module, folder):
    """`tf.saved_model.save` without the note that it was done."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        tf.saved_model.save(module, str(folder))
    finally:
        logger.setLevel(level)


class HubEncoder(Encoder):
    """A TF-Hub text encoder: a SavedModel from `input_word_ids`, `input_mask`, `input_type_ids` to `sequence_output`.

    Its vocabulary is read from the SavedModel's assets; its token vectors are averaged, and 512 tokens read, unless the
    assets say otherwise, as those of `BertEncoder.export` do.
    """

    def __init__(self, handle: str):
        from transformers import BertTokenizerFast

        self.name = f"tfhub:{handle}"
        folder = Path(handle)
        if not folder.is_dir():
            import tensorflow_hub as hub

            folder = Path(hub.resolve(handle))
        vocabulary = next(folder.glob("assets/*vocab*"), None)
        if vocabulary is None:
            raise ValueError(
                f"{handle}: the SavedModel has no vocabulary in its assets, so it is not a BERT text encoder."
            )
        tokens = vocabulary.read_text(encoding="utf-8").split()
        lower = not any(token.isalpha() and token != token.lower() for token in tokens)
        self.tokenizer = BertTokenizerFast(str(vocabulary), do_lower_case=lower)
        self.model = tf.saved_model.load(str(folder))
        said = _json(folder / "assets" / READING, {})
        self.pooling, self.max_length = said.get("pooling", "mean"), said.get("max_length", 512)
        self.dim = int(self._call(tf.constant([[1]]), tf.constant([[1]])).shape[-1])

    def _call(self, ids, mask):
        inputs = {"input_word_ids": ids, "input_mask": mask, "input_type_ids": tf.zeros_like(ids)}
        return self.model(inputs)["sequence_output"]

    def embed(self, precision):
        if precision != "float32":
            raise ValueError(
                f"a SavedModel computes as it was exported; precision must be 'float32', got {precision!r}."
            )
        return lambda ids, mask: _pool(self._call(tf.constant(ids), tf.constant(mask)), mask, self.pooling)


class WordVectorEncoder(Encoder):
    """The mean of BERT's own word vectors, as they enter the network: no position, no neighbours, no layers.

    What it lacks beside `enc` is exactly what the layers add. A text without any token has a row of zeros.

    >>> enc = WordVectorEncoder(load("minilm"))
    >>> a, b = enc.encode(["the dog bit the man", "the man bit the dog"])
    >>> bool(a @ b > 0.9999)
    True
    """

    def __init__(self, enc: BertEncoder):
        self.name, self.dim = f"words of {enc.name}", enc.dim
        self.tokenizer, self.max_length = enc.tokenizer, enc.max_length
        self.table = enc.bert.embeddings.word.embeddings

    def embed(self, precision):
        marks = tf.constant([self.tokenizer.cls_token_id, self.tokenizer.sep_token_id])

        def mean(ids, mask):
            words = mask * tf.cast(tf.reduce_all(ids[:, :, None] != marks, axis=-1), tf.int32)
            return _pool(tf.gather(tf.cast(self.table, precision), ids), words, "mean")

        return mean


class TfidfEncoder(Encoder):
    """Each text as its weighted words: one dimension for each word of the corpus (scikit-learn's TfidfVectorizer).

    A word counts 1 + log(how often it stands in the text), times how rare it is in the corpus. The rows are dense, so
    a corpus of 10,000 different words takes 40 kB a text. A text without a word of the corpus has a row of zeros.

    Args:
        corpus: the texts whose words count; for a fair comparison those that a model may learn from.

    Raises:
        ValueError: no text of the corpus has a word.

    >>> enc = TfidfEncoder(["jazz piano", "jazz club", "running shoes"])
    >>> enc.dim, enc.encode(["piano", "shoes to run in", "xylophone"]).round(2).tolist()
    (5, [[0.0, 0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    """

    def __init__(self, corpus: Sequence[str]):
        self.name = "tfidf"
        self.vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32)
        try:
            self.vectorizer.fit(text.check(corpus))
        except ValueError as error:
            raise ValueError(f"the corpus must have at least one word ({error}).") from error
        self.dim = len(self.vectorizer.vocabulary_)

    def encode(self, texts, *, batch_size=None, precision=None, progress=False):
        """As every encoder; the options change nothing, since counting words takes no time."""
        texts = _checked(texts, batch_size, precision)
        return self.vectorizer.transform(texts).toarray() if texts else np.empty((0, self.dim), np.float32)


class RememberingEncoder(Encoder):
    """Another encoder that computes each text once: many small classifiers on the same texts then cost little.

    A text's first vector is kept for the life of the object, at that call's precision.

    >>> enc = RememberingEncoder(load("minilm"))
    >>> first, again = enc.encode(["a quiet beach"]), enc.encode(["a quiet beach", "a deserted shore"])
    >>> bool((first[0] == again[0]).all())
    True
    """

    def __init__(self, enc: Encoder):
        self.enc, self.name, self.dim = enc, enc.name, enc.dim
        self._vectors = {}

    def encode(self, texts, *, batch_size=None, precision=None, progress=False):
        """As every encoder."""
        texts = _checked(texts, batch_size, precision)
        new = [one for one in dict.fromkeys(texts) if one not in self._vectors]
        vectors = self.enc.encode(new, batch_size=batch_size, precision=precision, progress=progress)
        self._vectors.update(zip(new, vectors, strict=True))
        return np.array([self._vectors[one] for one in texts], np.float32).reshape(len(texts), self.dim)


def encode_once(enc: BertEncoder, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
    """`enc.encode(texts)`, kept under `fetch.cache()`: the same texts with the same weights are computed only once."""
    digest = hashlib.sha256(json.dumps([text.check(texts), enc.pooling, enc.max_length, enc.precision]).encode())
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


def _checked(texts, batch_size, precision):
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    if precision is not None and precision not in device.PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(device.PRECISIONS)}, got {precision!r}.")
    return text.check(texts)


def _compile(network, pooling):
    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32)] * 2)
    def embed(ids, mask):
        return _forward(network, pooling, ids, mask, training=False)

    return embed


def _forward(network, pooling, ids, mask, training):
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": tf.zeros_like(ids)}
    return _pool(network(inputs, training=training)["sequence_output"], mask, pooling)


def _pool(tokens, mask, pooling):
    """One unit vector a text, float32: (b, l, d) -> (b, d)."""
    tokens = tf.cast(tokens, tf.float32)
    if pooling == "cls":
        return tf.math.l2_normalize(tokens[:, 0], axis=-1)
    weights = tf.cast(mask, tf.float32)[:, :, None]
    return tf.math.l2_normalize(tf.reduce_sum(tokens * weights, axis=1), axis=-1)  # the length cancels the count


# What sentence-transformers calls a model's parts, with the folder of each, and the ways to pool.
_MODULES = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
_POOLING = {"mean_tokens": "mean", "cls_token": "cls"}


def _pooling(folder):
    """How `modules.json` of sentence-transformers pools the tokens: "mean" or "cls"."""
    modules = {module["type"].rsplit(".", 1)[-1]: module["path"] for module in _json(folder / "modules.json", [])}
    if unknown := modules.keys() - _MODULES.keys():
        raise ValueError(
            f"{folder / 'modules.json'}: module {min(unknown)} is not supported, only Transformer, Pooling, Normalize."
        )
    stored = _json(folder / modules["Pooling"] / "config.json", {}) if "Pooling" in modules else {}
    modes = {name.removeprefix("pooling_mode_") for name, value in stored.items() if value is True and "mode" in name}
    if len(modes) < 2 and (mode := next(iter(modes), "mean_tokens")) in _POOLING:
        return _POOLING[mode]
    raise ValueError(f"{folder}: pooling must be mean_tokens or cls_token, got {', '.join(sorted(modes))}.")


def _json(path, default):
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else default
