import numpy as np
import pytest

from reclab import data
from reclab.intent import ZeroShotClassifier


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
