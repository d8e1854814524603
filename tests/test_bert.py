import json

import keras
import ml_dtypes
import numpy as np
import pytest
from scipy.special import erf, softmax

from reclab import bert
from tests.conftest import CONFIG

IDS = np.array([[2, 5, 6, 3, 0], [2, 7, 8, 9, 3]])
MASK = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])
TYPES = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 1, 1]])


def call(model, ids=IDS, mask=MASK, types=TYPES):
    outputs = model({"input_ids": ids, "attention_mask": mask, "token_type_ids": types})
    return {name: np.asarray(value) for name, value in outputs.items()}


def naive(tensors, config, ids, types):
    """BERT for one unpadded text, one token and one head at a time, straight from the paper's equations."""

    def dense(x, name):
        return x @ tensors[f"{name}.weight"].astype(float).T + tensors[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean()
        return centred / np.sqrt((centred**2).mean() + 1e-12) * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    x = [
        norm(
            tensors["embeddings.word_embeddings.weight"][i].astype(float)
            + tensors["embeddings.position_embeddings.weight"][position]
            + tensors["embeddings.token_type_embeddings.weight"][t],
            "embeddings.LayerNorm",
        )
        for position, (i, t) in enumerate(zip(ids, types, strict=True))
    ]
    size = config["hidden_size"] // config["num_attention_heads"]
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"
        q, k, v = ([dense(token, f"{at}.attention.self.{part}") for token in x] for part in ("query", "key", "value"))
        after = []
        for i, token in enumerate(x):
            heads = []
            for head in range(config["num_attention_heads"]):
                part = slice(head * size, (head + 1) * size)
                weights = softmax([q[i][part] @ k[j][part] / np.sqrt(size) for j in range(len(x))])
                heads.append(sum(w * v[j][part] for j, w in enumerate(weights)))
            token = norm(
                token + dense(np.concatenate(heads), f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm"
            )
            wide = dense(token, f"{at}.intermediate.dense")
            wide = wide * (1 + erf(wide / np.sqrt(2))) / 2
            after.append(norm(token + dense(wide, f"{at}.output.dense"), f"{at}.output.LayerNorm"))
        x = after
    return np.array(x), np.tanh(dense(x[0], "pooler.dense"))


def test_forward_equals_the_equations(checkpoint):
    outputs = call(bert.load(checkpoint.write()))
    for row in range(len(IDS)):
        length = MASK[row].sum()
        tokens, pooled = naive(checkpoint.tensors, checkpoint.config, IDS[row][:length], TYPES[row][:length])
        np.testing.assert_allclose(outputs["sequence_output"][row, :length], tokens, atol=2e-6)
        np.testing.assert_allclose(outputs["pooled_output"][row], pooled, atol=2e-6)


def test_what_stands_in_the_padding_changes_nothing(checkpoint):
    model, other = bert.load(checkpoint.write()), IDS.copy()
    other[0, 4] = 9
    a, b = call(model)["sequence_output"], call(model, ids=other)["sequence_output"]
    np.testing.assert_array_equal(a[0, :4], b[0, :4])
    assert np.abs(a[0, 4] - b[0, 4]).max() > 1e-3


def test_layers_are_named():
    model = bert.Bert(bert.Config(5, 4, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8))
    names = [layer.name for layer in model.layers if layer.weights]
    assert names == ["embeddings", "layer_0", "layer_1", "pooler"]
    assert any(variable.path.endswith("layer_1/attention/query/kernel") for variable in model.weights)


# --- reading checkpoints --------------------------------------------------------------------------------------------


def test_prefix_old_names_extra_heads_and_half_precision_are_read(checkpoint):
    expected = call(bert.load(checkpoint.write()))
    renamed = {
        "bert."
        + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in checkpoint.tensors.items()
    }
    heads = {"cls.predictions.bias": np.zeros(12, np.float32), "bert.embeddings.position_ids": np.arange(10)[None]}
    checkpoint.tensors = renamed | heads
    np.testing.assert_array_equal(call(bert.load(checkpoint.write()))["sequence_output"], expected["sequence_output"])
    checkpoint.tensors = {name: tensor.astype(ml_dtypes.bfloat16) for name, tensor in renamed.items()}
    half = call(bert.load(checkpoint.write()))["sequence_output"]
    np.testing.assert_allclose(half, expected["sequence_output"], atol=0.1)


def test_no_pooler_no_pooled_output(checkpoint):
    checkpoint.tensors = {name: t for name, t in checkpoint.tensors.items() if not name.startswith("pooler")}
    assert set(call(bert.load(checkpoint.write()))) == {"sequence_output"}


def test_a_missing_tensor_is_named(checkpoint):
    del checkpoint.tensors["encoder.layer.1.output.dense.bias"]
    with pytest.raises(ValueError, match=r"1 tensors are missing, the first is encoder\.layer\.1\.output\.dense\.bias"):
        bert.load(checkpoint.write())


def test_a_wrong_shape_is_named(checkpoint):
    name = "encoder.layer.0.intermediate.dense.weight"
    checkpoint.tensors[name] = checkpoint.tensors[name][:, :7].copy()
    with pytest.raises(ValueError, match=rf"{name} must have the shape \(16, 8\), got \(16, 7\)"):
        bert.load(checkpoint.write())


def test_a_tensor_too_many_is_named(checkpoint):
    checkpoint.tensors["encoder.layer.2.output.dense.bias"] = np.zeros(8, np.float32)
    with pytest.raises(ValueError, match=r"do not belong to config.json's network, such as encoder\.layer\.2"):
        bert.load(checkpoint.write())


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("model_type", "roberta", "model_type must be 'bert', got 'roberta'"),
        ("hidden_act", "relu", "hidden_act must be 'gelu', got 'relu'"),
        ("num_attention_heads", 3, "multiple of num_attention_heads, got 8 and 3"),
    ],
)
def test_another_network_is_refused(checkpoint, field, value, said):
    checkpoint.config[field] = value
    with pytest.raises(ValueError, match=said):
        bert.load(checkpoint.write())


def test_a_config_that_lacks_a_number_is_refused(checkpoint):
    del checkpoint.config["hidden_size"]
    with pytest.raises(ValueError, match="no value for hidden_size"):
        bert.load(checkpoint.write())


def test_damaged_and_missing_files_are_named(checkpoint):
    folder = checkpoint.write()
    whole = (folder / "model.safetensors").read_bytes()
    for damaged in (whole[:-10], whole[:5], b""):
        (folder / "model.safetensors").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"model\.safetensors cannot be read as safetensors"):
            bert.load(folder)
    (folder / "config.json").write_text('{"vocab_size": 12,')
    with pytest.raises(ValueError, match=r"config\.json cannot be read as JSON"):
        bert.load(folder)
    (folder / "config.json").write_text(json.dumps(checkpoint.config))
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors is missing"):
        bert.load(folder)


# --- training -------------------------------------------------------------------------------------------------------


def step(model):
    """One step of gradient descent; the names of the variables that it changed."""
    before = {variable.path: np.array(variable) for variable in model.variables}
    head = keras.layers.Dense(2)(model.output["sequence_output"][:, 0])
    trained = keras.Model(model.input, head)
    trained.compile(keras.optimizers.SGD(1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    data = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": TYPES}
    trained.fit(data, np.array([0, 1]), verbose=0)
    seeds = {variable.path for variable in model.variables if "seed" in variable.path}
    changed = {v.path for v in model.variables if not np.array_equal(before[v.path], np.array(v))}
    return changed - seeds


def test_full_fine_tuning_updates_every_weight_the_loss_can_reach(checkpoint):
    model = bert.load(checkpoint.write())
    everything = {variable.path for variable in model.trainable_variables}
    unreached = {path for path in everything if "/pooler/" in f"/{path}"}
    # A constant added to all keys leaves a softmax over keys as it is, so the key biases have no gradient.
    constant = {path for path in everything if path.endswith("attention/key/bias")}
    assert unreached
    assert constant
    assert step(model) | constant == everything - unreached | constant


def test_dropout_works_in_training_only(checkpoint):
    model = bert.load(checkpoint.write())
    data = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": TYPES}
    first, second, third = (np.asarray(model(data, training=training)["sequence_output"]) for training in (1, 1, 0))
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(third, call(model)["sequence_output"])


def test_lora_updates_its_matrices_and_nothing_else(checkpoint):
    model = bert.load(checkpoint.write())
    before = call(model)["sequence_output"]
    model.enable_lora(rank=2)
    np.testing.assert_array_equal(call(model)["sequence_output"], before)
    changed = step(model)
    assert changed
    assert all("lora" in path and ("query" in path or "value" in path) for path in changed)
    assert {v.path for v in model.trainable_variables} >= changed
    assert np.abs(call(model)["sequence_output"] - before).max() > 1e-4


def test_lora_of_rank_4_leaves_under_one_percent_trainable(minilm):
    model = bert.Bert(minilm.bert.config)
    model.enable_lora(rank=4)
    trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert 0 < trainable < 0.01 * model.count_params()
    assert trainable == 6 * 2 * 4 * (384 + 384)  # layers, parts, rank, a and b


@pytest.mark.parametrize(
    ("options", "said"), [({"rank": 0}, "rank must be at least 1, got 0"), ({"parts": ("x",)}, "'x'")]
)
def test_lora_refuses_what_it_cannot_do(checkpoint, options, said):
    model = bert.load(checkpoint.write())
    with pytest.raises(ValueError, match=said):
        model.enable_lora(**options)


def test_config_ignores_what_it_does_not_know(tmp_path):
    stored = {name: CONFIG[name] for name in CONFIG if name not in ("model_type", "hidden_act")}
    (tmp_path / "config.json").write_text(json.dumps(stored | {"torch_dtype": "float32"}))
    assert bert.Config.read(tmp_path / "config.json") == bert.Config(**stored)
