"""BERT as a Keras model, read from published weights.

The network is the encoder of Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers" (arXiv:1810.04805),
with the exact GELU. `Bert(config)` builds it, `load` fills it from a Hugging Face checkpoint, and `save` writes one.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as safetensors_bytes

from reclab import fetch

# --- configuration ---------------------------------------------------------------------------------------------------


_KIND = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}


@dataclasses.dataclass(frozen=True)
class Config:
    """The numbers that fix the shape of a BERT, under the names of Hugging Face's `config.json`.

    >>> Config(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=3, intermediate_size=16)
    Traceback (most recent call last):
    ValueError: hidden_size must be a multiple of num_attention_heads, got 8 and 3.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    initializer_range: float = 0.02  # 0 starts from zeros

    def __post_init__(self):
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                "hidden_size must be a multiple of num_attention_heads, "
                f"got {self.hidden_size} and {self.num_attention_heads}."
            )

    @classmethod
    def read(cls, path: str | Path) -> "Config":
        """Read `config.json`; a ValueError names the field if it is missing or describes another kind of network."""
        try:
            stored = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} cannot be read as JSON ({error}); download or copy it again.") from error
        for field, known in _KIND.items():
            if stored.get(field, known) != known:
                raise ValueError(f"{path}: {field} must be {known!r}, got {stored[field]!r}.")
        fields = dataclasses.fields(cls)
        if missing := [f.name for f in fields if f.default is dataclasses.MISSING and f.name not in stored]:
            raise ValueError(f"{path}: no value for {', '.join(missing)}.")
        return cls(**{f.name: stored[f.name] for f in fields if f.name in stored})

    def write(self, path: str | Path) -> None:
        """Write a `config.json` that `read`, transformers and sentence-transformers understand."""
        stored = {"architectures": ["BertModel"], **_KIND, **dataclasses.asdict(self)}
        fetch.write(Path(path), json.dumps(stored, indent=2))


FAR = 3e4  # softmax makes an exact zero of what lies so far below, and float16 can still hold it


# --- layers: b texts, l tokens, d hidden size, h heads, e = d / h ----------------------------------------------------


def _dense(config, units, name, dtype, activation=None):
    return layers.Dense(units, activation, kernel_initializer=_initializer(config), dtype=dtype, name=name)


def _embedding(config, rows, name, dtype):
    return layers.Embedding(rows, config.hidden_size, _initializer(config), dtype=dtype, name=name)


def _norm(config, name, dtype):
    return layers.LayerNormalization(epsilon=config.layer_norm_eps, dtype=dtype, name=name)


def _initializer(config):
    spread = config.initializer_range
    return keras.initializers.TruncatedNormal(stddev=spread) if spread else "zeros"


class Embeddings(layers.Layer):
    """Add the vectors of word, position and segment, then normalise: ids (b, l) -> (b, l, d)."""

    def __init__(self, config: Config, **kwargs):
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        self.word = _embedding(config, config.vocab_size, "word", dtype)
        self.position = _embedding(config, config.max_position_embeddings, "position", dtype)
        self.token_type = _embedding(config, config.type_vocab_size, "token_type", dtype)
        self.norm = _norm(config, "norm", dtype)
        self.dropout = layers.Dropout(config.hidden_dropout_prob, dtype=dtype)

    def call(self, input_ids, token_type_ids, training=False):
        positions = ops.arange(ops.shape(input_ids)[1])
        total = self.word(input_ids) + self.position(positions) + self.token_type(token_type_ids)  # (b, l, d)
        return self.dropout(self.norm(total), training=training)


class SelfAttention(layers.Layer):
    """Let every token gather from its whole text, softmax(q kᵀ / √e) v in each head: (b·l, d) -> (b·l, d)."""

    def __init__(self, config: Config, **kwargs):
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        self.heads = config.num_attention_heads
        self.query = _dense(config, config.hidden_size, "query", dtype)
        self.key = _dense(config, config.hidden_size, "key", dtype)
        self.value = _dense(config, config.hidden_size, "value", dtype)
        self.output_dense = _dense(config, config.hidden_size, "output", dtype)
        self.dropout = layers.Dropout(config.attention_probs_dropout_prob, dtype=dtype)

    def call(self, x, attention_mask, training=False):
        b, l = ops.shape(attention_mask)  # noqa: E741
        e = x.shape[-1] // self.heads

        def split(rows):
            return ops.transpose(ops.reshape(rows, (b, l, self.heads, e)), (0, 2, 1, 3))  # (b, h, l, e)

        query, key, value = split(self.query(x)), split(self.key(x)), split(self.value(x))
        padding = (1 - ops.cast(attention_mask, x.dtype))[:, None, None, :]  # (b, 1, 1, l): 1 where nothing may be read
        scores = ops.matmul(query * e**-0.5, ops.transpose(key, (0, 1, 3, 2))) - FAR * padding  # (b, h, l, l)
        weights = self.dropout(ops.softmax(scores, axis=-1), training=training)
        gathered = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))  # (b, l, h, e)
        return self.output_dense(ops.reshape(gathered, ops.shape(x)))


class Block(layers.Layer):
    """Attention, then two dense layers on each token, each added to its input and normalised: (b, l, d) -> same."""

    def __init__(self, config: Config, **kwargs):
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        self.attention = SelfAttention(config, name="attention", dtype=dtype)
        self.attention_norm = _norm(config, "attention_norm", dtype)
        self.intermediate = _dense(config, config.intermediate_size, "intermediate", dtype)
        self.output_dense = _dense(config, config.hidden_size, "output", dtype)
        self.output_norm = _norm(config, "output_norm", dtype)
        self.dropout = layers.Dropout(config.hidden_dropout_prob, dtype=dtype)

    def call(self, x, attention_mask, training=False):
        shape = ops.shape(x)
        x = ops.reshape(x, (-1, shape[-1]))  # (b·l, d): one tall matrix product is faster than b small ones
        gathered = self.attention(x, attention_mask, training=training)
        x = self.attention_norm(x + self.dropout(gathered, training=training))
        wide = ops.gelu(self.intermediate(x), approximate=False)  # (b·l, intermediate)
        x = self.output_norm(x + self.dropout(self.output_dense(wide), training=training))
        return ops.reshape(x, shape)


# --- model -----------------------------------------------------------------------------------------------------------


class Bert(keras.Model):
    """The whole encoder, from token ids to one vector a token.

    Call it with a dict of int arrays (b, l): `input_ids`, `attention_mask` (1 for tokens, 0 for padding) and
    `token_type_ids`. It returns a dict: `sequence_output` (b, l, d) and, with a pooler, `pooled_output` (b, d), the
    first token's vector through one more tanh layer.

    >>> config = Config(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    >>> ids = np.array([[2, 7, 3]])
    >>> outputs = Bert(config)({"input_ids": ids, "attention_mask": ids * 0 + 1, "token_type_ids": ids * 0})
    >>> {name: tuple(value.shape) for name, value in outputs.items()}
    {'sequence_output': (1, 3, 8), 'pooled_output': (1, 8)}
    """

    def __init__(self, config: Config, *, pooler: bool = True, dtype: str = "float32", name: str = "bert"):
        names = ("input_ids", "attention_mask", "token_type_ids")
        inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
        embeddings = Embeddings(config, dtype=dtype, name="embeddings")
        blocks = [Block(config, dtype=dtype, name=f"layer_{i}") for i in range(config.num_hidden_layers)]
        x = embeddings(inputs["input_ids"], inputs["token_type_ids"])
        for block in blocks:
            x = block(x, inputs["attention_mask"])
        outputs = {"sequence_output": x}
        if pooler:
            pool = _dense(config, config.hidden_size, "pooler", dtype, activation="tanh")
            outputs["pooled_output"] = pool(x[:, 0])
        super().__init__(inputs, outputs, name=name)
        self.config = config
        self.embeddings, self.blocks, self.pooler = embeddings, blocks, pool if pooler else None

    def modules(self) -> dict[str, layers.Layer]:
        """The layers that hold weights, under their names in Hugging Face checkpoints."""
        found = {
            "embeddings.word_embeddings": self.embeddings.word,
            "embeddings.position_embeddings": self.embeddings.position,
            "embeddings.token_type_embeddings": self.embeddings.token_type,
            "embeddings.LayerNorm": self.embeddings.norm,
        }
        for i, block in enumerate(self.blocks):
            inside = {
                "attention.self.query": block.attention.query,
                "attention.self.key": block.attention.key,
                "attention.self.value": block.attention.value,
                "attention.output.dense": block.attention.output_dense,
                "attention.output.LayerNorm": block.attention_norm,
                "intermediate.dense": block.intermediate,
                "output.dense": block.output_dense,
                "output.LayerNorm": block.output_norm,
            }
            found |= {f"encoder.layer.{i}.{name}": layer for name, layer in inside.items()}
        if self.pooler:
            found["pooler.dense"] = self.pooler
        return found

    def tensors(self) -> dict[str, keras.Variable]:
        """The weights as the layers use them (LoRA's product added), under their checkpoint names."""
        return {
            f"{name}.{kind}": getattr(layer, attribute)
            for name, layer in self.modules().items()
            for kind, attribute in _ATTRIBUTES[type(layer)].items()
        }

    def enable_lora(self, rank: int = 4, *, parts: tuple[str, ...] = ("query", "value"), seed: int = 0) -> None:
        """Freeze the network and add trainable low-rank updates to some Dense layers (Hu et al., arXiv:2106.09685).

        Raises:
            ValueError: `rank` is below 1, or no Dense layer has the name of a part.
        """
        dense = [layer for layer in self.modules().values() if isinstance(layer, layers.Dense)]
        names = sorted({layer.name for layer in dense})
        if rank < 1:
            raise ValueError(f"rank must be at least 1, got {rank}.")
        if unknown := set(parts) - set(names):
            raise ValueError(f"parts must be among {names}, got {min(unknown)!r}.")
        for variable in self.trainable_variables:
            variable.trainable = False
        chosen = [layer for layer in dense if layer.name in parts]
        for layer, own in zip(chosen, np.random.SeedSequence(seed).generate_state(len(chosen)), strict=True):
            layer.enable_lora(rank, a_initializer=keras.initializers.HeUniform(seed=int(own)))


_ATTRIBUTES = {
    layers.Dense: {"weight": "kernel", "bias": "bias"},
    layers.Embedding: {"weight": "embeddings"},
    layers.LayerNormalization: {"weight": "gamma", "bias": "beta"},
}


# --- weights ---------------------------------------------------------------------------------------------------------


def load(folder: str | Path) -> Bert:
    """Build the BERT that `folder/config.json` describes and fill it from `folder/model.safetensors`.

    The tensors may carry a prefix (`bert.`), the old names `gamma` and `beta`, and heads for other tasks, which are
    left out; a pooler is built if its weights are there.

    Raises:
        FileNotFoundError: one of the two files is not there.
        ValueError: a file cannot be read, or a tensor is missing, unknown or of another shape; the message names it.
    """
    config, path = Path(folder, "config.json"), Path(folder, "model.safetensors")
    for needed in (config, path):
        if not needed.is_file():
            raise FileNotFoundError(f"{needed} is missing: a BERT checkpoint has config.json and model.safetensors.")
    described = Config.read(config)
    try:
        with safe_open(path, "np") as file:
            return _fill(described, file, path)
    except SafetensorError as error:
        raise ValueError(f"{path} cannot be read as safetensors ({error}); download or copy it again.") from error


def blank(config: Config, **options) -> Bert:
    """A `Bert(config, **options)` of zeros, for weights to come: random numbers would take longer than reading them."""
    model = Bert(dataclasses.replace(config, initializer_range=0.0), **options)
    model.config = config
    return model


def save(model: Bert, folder: str | Path) -> None:
    """Write `folder/config.json` and `folder/model.safetensors`, which `load` and transformers read.

    The tensors have the orientation of PyTorch; LoRA's products are added to the weights that they update. Each file is
    written aside and renamed, so that a killed run leaves the old one or the new one.

    >>> import tempfile
    >>> config = Config(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Bert(config), folder)
    ...     load(folder).config == config
    True
    """
    dense = _kernels(model)
    tensors = {
        name: np.ascontiguousarray(np.asarray(value).T if name in dense else value)
        for name, value in model.tensors().items()
    }
    with fetch.writing(Path(folder, "model.safetensors")) as file:
        file.write(safetensors_bytes(tensors, metadata={"format": "pt"}))
    model.config.write(Path(folder, "config.json"))


def copy(model: Bert, *, dtype: str = "float32") -> Bert:
    """A network of its own with weights of the same values, all trainable; LoRA's products are added to them.

    `dtype` is a Keras policy: with "mixed_float16" the weights stay float32, and only the products are in float16.

    >>> config = Config(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    >>> first = Bert(config)
    >>> second = copy(first)
    >>> _ = second.embeddings.word.embeddings.assign(np.zeros((50, 8)))
    >>> bool(np.any(first.embeddings.word.embeddings))
    True
    """
    twin = blank(model.config, pooler=model.pooler is not None, dtype=dtype)
    assign(twin, model.tensors())
    return twin


def assign(model: Bert, tensors: Mapping[str, keras.Variable]) -> None:
    """Give the network's weights the values of `tensors`, another network's `tensors()`, whatever the precision."""
    for name, variable in model.tensors().items():
        variable.assign(tensors[name])


def _kernels(model):
    """The names of the tensors that PyTorch stores as (out, in) and Keras as (in, out)."""
    return {f"{name}.weight" for name, layer in model.modules().items() if isinstance(layer, layers.Dense)}


def _fill(config, file, path):
    stored = _names(file.keys())
    model = blank(config, pooler="pooler.dense.weight" in stored)
    wanted = model.tensors()
    if missing := sorted(wanted.keys() - stored.keys()):
        raise ValueError(f"{path}: {len(missing)} tensors are missing, the first is {missing[0]}.")
    if unknown := sorted(stored.keys() - wanted.keys()):
        raise ValueError(
            f"{path}: {len(unknown)} tensors do not belong to config.json's network, such as {unknown[0]}."
        )
    dense = _kernels(model)
    for name, variable in wanted.items():
        value = file.get_tensor(stored[name]).astype(np.float32)
        shape = tuple(variable.shape[::-1] if name in dense else variable.shape)  # PyTorch's kernels are (out, in)
        if value.shape != shape:
            raise ValueError(f"{path}: tensor {stored[name]} must have the shape {shape}, got {value.shape}.")
        variable.assign(value.T if name in dense else value)
    return model


def _names(keys):
    """The tensors of the encoder, by their plain names: without prefix, with weight and bias for gamma and beta."""
    anchor = "embeddings.word_embeddings.weight"
    prefix = next((key.removesuffix(anchor) for key in keys if key.endswith(anchor)), "")
    plain = {key.removeprefix(prefix).replace(".gamma", ".weight").replace(".beta", ".bias"): key for key in keys}
    constant = "embeddings.position_ids"  # 0, 1, 2, ... in old checkpoints
    parts = ("embeddings.", "encoder.", "pooler.")
    return {name: key for name, key in plain.items() if name.startswith(parts) and name != constant}
