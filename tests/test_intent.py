import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors import safe_open
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import LabelSpreading

from reclab import data, encoder
from reclab.intent import IntentClassifier, ZeroShotClassifier, soup, spread


@pytest.fixture(scope="module")
def sentences():
    return data.load("world").said(split="test")


@pytest.fixture(scope="module")
def clf(minilm):
    return ZeroShotClassifier(minilm, data.load("world").descriptions)


def test_the_right_intent_comes_first(clf, sentences):
    right = clf.predict(sentences["text"].tolist()) == sentences["intents"].to_numpy()
    assert len(right) > 900
    assert right.mean() > 0.67, "where a guess is right one time in ten"
    named = {"I want to learn jazz piano", "somewhere quiet by the sea in spring", "shoes for muddy hills"}
    assert right[sentences["text"].isin(named)].sum() == 3


def test_probabilities_are_the_softmax_of_scaled_cosines(minilm):
    meanings = {"sea": "the sea", "tea": "a cup of tea", "run": "running"}
    clf = ZeroShotClassifier(minilm, meanings, scale=7.0)
    cosines = minilm.encode(["jogging by the ocean"])[0] @ minilm.encode(list(meanings.values())).T
    odds = np.exp(7 * cosines.astype(float))
    np.testing.assert_allclose(clf.predict_proba(["jogging by the ocean"])[0], odds / odds.sum(), atol=1e-6)
    assert clf.classes_.tolist() == list(meanings)


def test_a_surer_scale_keeps_the_order(minilm):
    meanings = {"sea": "the sea", "tea": "a cup of tea", "run": "running"}
    mild, sure = (ZeroShotClassifier(minilm, meanings, scale=s).predict_proba(["green leaves"])[0] for s in (5, 50))
    assert mild.argsort().tolist() == sure.argsort().tolist()
    assert sure.max() > mild.max()


def test_bad_arguments_are_refused(minilm):
    with pytest.raises(ValueError, match="at least one intent"):
        ZeroShotClassifier(minilm, {})
    with pytest.raises(ValueError, match="scale must be above 0, got -1"):
        ZeroShotClassifier(minilm, {"a": "b"}, scale=-1)


# --- learning from labels -------------------------------------------------------------------------------------------

FOOD = ["boil an egg", "bake a loaf of bread", "a pan of fried rice", "soup for a cold day"]
MUSIC = ["a saxophone solo", "a new album", "songs for the drive", "who plays the drums"]
TEXTS, LABELS = FOOD + MUSIC, ["food"] * 4 + ["music"] * 4
SEA = ["sea", "a quiet sea", "quiet sea a", "sea sea", "a book", "book running", "run a book", "quiet book run"]
TOPICS = ["sea"] * 4 + ["book"] * 4


@pytest.fixture
def tiny(checkpoint):
    return encoder.load(str(checkpoint.write()))


def tuned(enc, tune, **options):
    settings = {"epochs": 12, "learning_rate": 0.02, "progress": False} | options
    return IntentClassifier(enc, tune).fit(SEA, TOPICS, **settings)


def test_the_head_is_scikit_learns_logistic_regression(minilm):
    rows = data.load("world").said(split="train").groupby("intents").head(30)
    vectors = minilm.encode(rows["text"].tolist())
    peer = LogisticRegression(C=2.0, tol=1e-8, max_iter=5000).fit(vectors, rows["intents"])
    clf = IntentClassifier(minilm, C=2.0).fit(rows["text"].tolist(), rows["intents"], progress=False)
    assert clf.classes_.tolist() == peer.classes_.tolist()
    np.testing.assert_allclose(
        clf.predict_proba(FOOD + MUSIC), peer.predict_proba(minilm.encode(FOOD + MUSIC)), atol=2e-3
    )
    np.testing.assert_allclose(clf.predict_proba(FOOD).sum(axis=1), 1, atol=1e-5)


def test_several_labels_are_one_logistic_regression_each(minilm):
    labels = [("food",)] * 3 + [("food", "music")] + [["music"]] * 3 + [()]
    clf = IntentClassifier(minilm, several=True, C=5.0).fit(TEXTS, labels, progress=False)
    for i, name in enumerate(clf.classes_):
        peer = LogisticRegression(C=5.0, tol=1e-8, max_iter=5000).fit(
            minilm.encode(TEXTS), [name in row for row in labels]
        )
        np.testing.assert_allclose(
            clf.predict_proba(TEXTS)[:, i], peer.predict_proba(minilm.encode(TEXTS))[:, 1], atol=2e-3
        )
    sure = IntentClassifier(minilm, several=True, C=1e4).fit(TEXTS, labels, progress=False)
    assert sure.predict(TEXTS) == [tuple(row) for row in labels]


@pytest.mark.parametrize("tune", ["full", "lora"])
def test_tuning_learns_what_the_head_cannot_and_leaves_the_encoder_alone(tiny, tune):
    before = tiny.encode(SEA)
    clf = tuned(tiny, tune, epochs=60)
    head = IntentClassifier(tiny).fit(SEA, TOPICS, progress=False)
    wanted = np.array(TOPICS)
    assert (clf.predict(SEA) == wanted).all()
    right = clf.classes_ == wanted[:, None]
    assert clf.predict_proba(SEA)[right].mean() > head.predict_proba(SEA)[right].mean() + 0.1
    assert clf.history_[-1]["loss"] < clf.history_[0]["loss"]
    np.testing.assert_array_equal(tiny.encode(SEA), before)
    assert np.abs(clf.encoder_.encode(SEA) - before).max() > 1e-3


def test_lora_changes_the_attention_only(tiny):
    clf = tuned(tiny, "lora")
    before, after = tiny.bert.tensors(), clf.encoder_.bert.tensors()
    changed = {
        name for name, tensor in after.items() if np.abs(np.asarray(tensor) - np.asarray(before[name])).max() > 0
    }
    parts = {name.split("attention.self.")[-1] for name in changed}
    assert parts == {"query.weight", "value.weight"}
    assert len(changed) == 4


@pytest.mark.parametrize("tune", ["full", "lora"])
def test_the_seed_decides(tiny, tune):
    first, second, other = (tuned(tiny, tune, seed=seed).predict_proba(SEA) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-5


def test_early_stopping_keeps_the_epoch_with_the_lowest_validation_loss(tiny):
    clf = tuned(tiny, "full", epochs=40, learning_rate=0.05, validation=(["sea", "sea book"], ["book", "sea"]))
    losses = [epoch["validation_loss"] for epoch in clf.history_]
    assert len(losses) < 40
    assert len(losses) - 1 - int(np.argmin(losses)) == 2
    found = -np.log(clf.predict_proba(["sea", "sea book"])[[0, 1], [0, 1]]).mean()
    assert found == pytest.approx(min(losses), abs=1e-4)


@pytest.mark.parametrize("tune", ["head", "full", "lora"])
def test_a_saved_classifier_is_equal_to_the_bit(tiny, tmp_path, tune):
    clf = IntentClassifier(tiny).fit(SEA, TOPICS, progress=False) if tune == "head" else tuned(tiny, tune)
    clf.calibrate(SEA, TOPICS)
    clf.save(tmp_path / "saved")
    again = IntentClassifier.load(tmp_path / "saved")
    np.testing.assert_array_equal(again.predict_proba(SEA), clf.predict_proba(SEA))
    assert (again.classes_ == clf.classes_).all()
    assert again.history_ == clf.history_
    np.testing.assert_array_equal(encoder.load(str(tmp_path / "saved")).encode(SEA), clf.encoder_.encode(SEA))
    assert {path.suffix for path in (tmp_path / "saved").rglob("*.*")} <= {".json", ".safetensors", ".txt"}


def test_a_damaged_folder_is_named(tiny, tmp_path):
    folder = tmp_path / "saved"
    IntentClassifier(tiny).fit(SEA, TOPICS, progress=False).save(folder)
    for name, bad, said in (
        ("intent.json", b"{", "cannot be read as a saved IntentClassifier"),
        ("intent.json", b"{}", "cannot be read as a saved IntentClassifier: 'tune'"),
        ("head.safetensors", b"", "cannot be read as a saved IntentClassifier"),
        ("model.safetensors", b"0123456789", r"model\.safetensors cannot be read"),
    ):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(bad)
        with pytest.raises(ValueError, match=said):
            IntentClassifier.load(folder)
        (folder / name).write_bytes(whole)
    told = json.loads((folder / "intent.json").read_text())
    (folder / "intent.json").write_text(json.dumps(told | {"classes": ["a", "b", "c"]}))
    with pytest.raises(ValueError, match=r"the head must have the shape \(8, 3\), got \(8, 2\)"):
        IntentClassifier.load(folder)
    (folder / "head.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"head\.safetensors is missing"):
        IntentClassifier.load(folder)


KILLED = """
import sys
from reclab import encoder
from reclab.intent import IntentClassifier
from tests.test_intent import SEA, TOPICS
clf = IntentClassifier(encoder.load(sys.argv[1]), "full")
clf.fit(SEA, TOPICS, epochs=60, learning_rate=0.02, checkpoint=sys.argv[2], seed=3)
"""


def test_a_killed_process_is_resumed_with_the_same_numbers(checkpoint, tmp_path):
    """The first process is killed outright, somewhere after its first checkpoint."""
    folder, path = checkpoint.write(), tmp_path / "run.safetensors"
    command = [sys.executable, "-c", KILLED, str(folder)]
    process = subprocess.Popen([*command, str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not path.exists() and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it was still at work"
    before = json.loads(safe_open(path, "np").metadata()["history"])
    assert 1 <= len(before) < 60
    enc, settings = encoder.load(str(folder)), {"epochs": 60, "learning_rate": 0.02, "seed": 3, "progress": False}
    resumed = IntentClassifier(enc, "full").fit(SEA, TOPICS, checkpoint=path, **settings)
    whole = IntentClassifier(enc, "full").fit(SEA, TOPICS, **settings)
    np.testing.assert_array_equal(resumed.predict_proba(SEA), whole.predict_proba(SEA))
    assert len(resumed.history_) == 60
    assert resumed.history_[: len(before)] == before
    with pytest.raises(ValueError, match="belongs to a run with other texts, labels, weights or settings"):
        IntentClassifier(enc, "full").fit(SEA, TOPICS[::-1], checkpoint=path, **settings)


def test_progress_can_be_silenced(tiny, capfd):
    tuned(tiny, "full", epochs=1)
    assert capfd.readouterr().err == ""
    tuned(tiny, "full", epochs=1, progress=True)
    assert "train" in capfd.readouterr().err


def test_a_soup_has_the_mean_of_all_weights(tiny):
    runs = [tuned(tiny, "full", seed=seed) for seed in (1, 2, 3)]
    mixed = soup(runs)
    wanted = [run.encoder_.bert.tensors() for run in runs]
    for name, tensor in mixed.encoder_.bert.tensors().items():
        np.testing.assert_allclose(tensor, np.mean([its[name] for its in wanted], axis=0), atol=1e-6)
    np.testing.assert_allclose(mixed.weights_, np.mean([run.weights_ for run in runs], axis=0), atol=1e-6)
    assert np.abs(mixed.decision_function(SEA) - runs[0].decision_function(SEA)).max() > 1e-4
    assert mixed.predict(SEA).tolist() == TOPICS
    np.testing.assert_allclose(soup(runs[:1]).decision_function(SEA), runs[0].decision_function(SEA), atol=1e-6)


def test_a_soup_of_what_does_not_fit_is_refused(tiny, minilm):
    one = tuned(tiny, "full")
    other = IntentClassifier(tiny).fit(["a", "b"], ["x", "y"], progress=False)
    with pytest.raises(ValueError, match=r"same classes and shapes, classifiers\[1\] differs"):
        soup([one, other])
    with pytest.raises(ValueError, match=r"classifiers\[2\] differs"):
        soup([one, one, IntentClassifier(minilm).fit(SEA, TOPICS, progress=False)])
    with pytest.raises(ValueError, match="at least one, got none"):
        soup([])


def test_calibration_finds_the_temperature_that_was_hidden(tiny):
    clf = IntentClassifier(tiny, C=100.0).fit(SEA, TOPICS, progress=False)
    clf.weights_ *= 500
    order = clf.predict(SEA)
    logits = clf.decision_function(SEA)
    shares = 1 / (1 + np.exp((logits[:, 0] - logits[:, 1]) / 2.5))  # honest: the logits are 2.5 times too large
    counts = np.round(1000 * shares).astype(int)
    texts = [text for text in SEA for _ in range(1000)]
    labels = [clf.classes_[int(i < n)] for n in counts for i in range(1000)]
    clf.calibrate(texts, labels)
    assert clf.temperature_ == pytest.approx(2.5, rel=0.02)
    assert (clf.predict(SEA) == order).all()


def test_what_cannot_be_learned_from_is_refused(tiny):
    clf = IntentClassifier(tiny, "full")
    for texts, labels, said in (
        ([], [], "texts must not be empty"),
        (["a", "b"], ["x", "x"], "labels must have at least two classes, got 'x'"),
        (["a", "b"], ["x"], "texts and labels must be equally many, got 2 and 1"),
    ):
        with pytest.raises(ValueError, match=said):
            clf.fit(texts, labels)
    with pytest.raises(ValueError, match="labels must be among those seen in training, got 'travel', 'zoo'"):
        clf.fit(["a", "b"], ["x", "y"], validation=(["c", "d", "e"], ["zoo", "x", "travel"]))
    with pytest.raises(ValueError, match="validation texts and labels must be equally many, got 1 and 2"):
        clf.fit(["a", "b"], ["x", "y"], validation=(["c"], ["x", "y"]))
    with pytest.raises(TypeError, match=r"texts\[1\] must be a string, got int"):
        clf.fit(["a", 2], ["x", "y"])
    with pytest.raises(TypeError, match=r"labels\[1\] must be a string, got 3"):
        clf.fit(["a", "b"], ["x", 3])
    with pytest.raises(TypeError, match=r"labels\[0\] must be a collection of strings, since several=True, got 'x'"):
        IntentClassifier(tiny, several=True).fit(["a", "b"], ["x", "y"])
    with pytest.raises(ValueError, match=r"tune must be one of .*, got 'all'"):
        IntentClassifier(tiny, "all")
    with pytest.raises(ValueError, match="a head is solved"):
        IntentClassifier(tiny).fit(["a", "b"], ["x", "y"], epochs=3)
    with pytest.raises(ValueError, match="C must be above 0 and rank at least 1, got 0 and 8"):
        IntentClassifier(tiny, C=0)


# --- labels that spread ---------------------------------------------------------------------------------------------


def test_spreading_is_scikit_learns():
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(3, 6))
    vectors = np.repeat(centres, 30, axis=0) + 0.6 * rng.normal(size=(90, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.full(90, -1)
    labels[[0, 35, 70]] = [0, 1, 2]

    def graph(a, b):
        cosines = a @ b.T
        np.fill_diagonal(cosines, -np.inf)
        near = np.zeros_like(cosines, bool)
        np.put_along_axis(near, np.argsort(-cosines, axis=1)[:, :7], True, axis=1)
        return np.where(near | near.T, np.exp(10 * (cosines - 1)), 0)

    peer = LabelSpreading(kernel=graph, alpha=0.9, max_iter=500, tol=1e-9).fit(vectors, labels)
    beliefs = np.eye(3)[labels] * (labels >= 0)[:, None]
    found = spread(vectors, beliefs, neighbours=7)
    np.testing.assert_allclose(found / found.sum(axis=1, keepdims=True), peer.label_distributions_, atol=5e-3)


def test_unlabelled_texts_tell_where_a_meaning_ends():
    """Two rows of points: the far end of each is nearer to the other's label, but its own row leads to it."""
    angles = np.concatenate([np.linspace(0, 1.2, 25), np.linspace(1.5, 2.7, 25)])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)])
    beliefs = np.zeros((50, 2))
    beliefs[0, 0] = beliefs[25, 1] = 1
    nearest = (vectors @ vectors[[0, 25]].T).argmax(axis=1)
    own = np.repeat([0, 1], 25)
    assert (nearest != own).sum() > 5
    assert (spread(vectors, beliefs, neighbours=2).argmax(axis=1) == own).all()


def test_spreading_refuses_what_makes_no_sense():
    vectors, beliefs = np.eye(3), np.eye(3)
    with pytest.raises(ValueError, match="vectors and beliefs must be equally many, got 3 and 2"):
        spread(vectors, beliefs[:2])
    for bad in ({"neighbours": 3}, {"neighbours": 0}, {"scale": 0.0}, {"alpha": 1.0}):
        with pytest.raises(ValueError, match="neighbours must be 1 to 2, scale above 0, alpha above 0 and below 1"):
            spread(vectors, beliefs, **({"neighbours": 1} | bad))
