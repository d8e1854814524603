"""Precision and batch size are chosen in one place, and everything that reads or learns follows it."""

import dataclasses

import numpy as np
import pytest

from reclab import device, encoder
from reclab.intent import IntentClassifier


@pytest.mark.parametrize(
    ("gpus", "precision", "batch_size"),
    [
        ([], "float32", 64),
        ([("Tesla T4", (7, 5))], "float16", 512),
        ([("Tesla P100", (6, 0))], "float32", 512),
        ([("NVIDIA L4", (8, 9)), ("Tesla K80", (3, 7))], "float32", 512),  # the slower of the two decides
    ],
)
def test_what_suits_a_machine(gpus, precision, batch_size):
    chosen = device.choose(gpus)
    assert (chosen.precision, chosen.batch_size) == (precision, batch_size)
    assert chosen.gpus == tuple(name for name, _ in gpus)
    assert device.choose(gpus, "bfloat16").precision == "bfloat16"


def test_a_wish_that_is_no_precision_is_refused():
    with pytest.raises(ValueError, match="RECLAB_PRECISION must be one of float32, bfloat16, float16, got 'int8'"):
        device.choose([], "int8")


def test_the_environment_sets_the_precision(monkeypatch):
    monkeypatch.setenv("RECLAB_PRECISION", "bfloat16")
    assert device.found.__wrapped__().precision == "bfloat16"


def test_the_advice_says_what_was_found_and_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(device, "found", lambda: device.choose([("Tesla T4", (7, 5))]))
    device.advise()
    assert capsys.readouterr().out == "Computing with: Tesla T4; float16, 512 texts at a time\n"
    monkeypatch.setattr(device, "found", lambda: device.choose([]))
    device.advise()
    assert "Runtime > Change runtime type > T4 GPU" in capsys.readouterr().out


@pytest.fixture
def half(monkeypatch):
    found = device.choose([("Tesla T4", (7, 5))])
    monkeypatch.setattr(device, "found", lambda: found)


def test_an_encoder_reads_as_the_machine_does_unless_it_is_told(minilm, half):
    texts = ["a quiet beach", "boots for wet hills"]
    np.testing.assert_array_equal(minilm.encode(texts), minilm.encode(texts, precision="float16", batch_size=512))
    exact = minilm.encode(texts, precision="float32")
    assert 1e-6 < np.abs(minilm.encode(texts) - exact).max() < 2e-3
    assert encoder.WordVectorEncoder(minilm).precision == "float32"


def test_vectors_that_are_kept_are_kept_by_precision(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("RECLAB_CACHE", str(tmp_path))
    enc = encoder.BertEncoder(checkpoint.write())
    exact = encoder.encode_once(enc, ["sea"])
    rough = dataclasses.replace(device.found(), precision="bfloat16")
    monkeypatch.setattr(device, "found", lambda: rough)
    assert (encoder.encode_once(enc, ["sea"]) != exact).any()


@pytest.mark.parametrize("tune", ["full", "lora"])
def test_a_classifier_learns_in_half_precision_what_it_learns_in_full(checkpoint, tmp_path, monkeypatch, tune):
    enc = encoder.BertEncoder(checkpoint.write())
    texts, labels = ["quiet sea", "running book", "a quiet sea", "running"] * 4, ["sea", "run", "sea", "run"] * 4
    told = {"epochs": 3, "learning_rate": 1e-3, "batch_size": 4, "progress": False}
    full = IntentClassifier(enc, tune).fit(texts, labels, **told)
    float16 = device.choose([("Tesla T4", (7, 5))])
    with monkeypatch.context() as patch:
        patch.setattr(device, "found", lambda: float16)
        rough = IntentClassifier(enc, tune).fit(texts, labels, **told)
    losses = [[epoch["loss"] for epoch in clf.history_] for clf in (full, rough)]
    np.testing.assert_allclose(*losses, rtol=0.02)
    assert losses[0] != losses[1]
    served = rough.predict_proba(texts)
    np.testing.assert_allclose(full.predict_proba(texts), served, atol=0.02)
    rough.save(tmp_path / "saved")
    np.testing.assert_array_equal(IntentClassifier.load(tmp_path / "saved").predict_proba(texts), served)
    rough.encoder_.export(tmp_path / "exported")
    exported = encoder.load(f"tfhub:{tmp_path / 'exported'}").encode(texts)
    np.testing.assert_allclose(exported, rough.encoder_.encode(texts, precision="float32"), atol=1e-6)
