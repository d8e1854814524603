"""Fusions on a small world whose answer is known: texts tell the group, pictures the style, and people want both."""

import numpy as np
import pandas as pd
import pytest

from reclab.data import Interactions
from reclab.fusion import HOW, Fusion

N, PEOPLE = 60, 90
GROUP, STYLE = np.arange(N) % 3, np.arange(N) // 3 % 2
WANTS = [(person % 3, person // 3 % 2) for person in range(PEOPLE)]
SILENT = np.arange(0, N, 4)  # items without a sound


def parts(seed=0):
    rng = np.random.default_rng(seed)
    text = np.eye(3)[GROUP].repeat(3, axis=1) + rng.normal(0, 0.1, (N, 9))
    picture = np.eye(2)[STYLE].repeat(4, axis=1) + rng.normal(0, 0.1, (N, 8))
    sound = rng.normal(size=(N, 6))  # noise
    sound[SILENT] = np.nan
    return {"text": text, "picture": picture, "sound": sound}


def met(seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        (person, item)
        for person, (group, style) in enumerate(WANTS)
        for item in rng.choice(np.flatnonzero((group == GROUP) & (style == STYLE)), 6, replace=False)
    ]
    table = pd.DataFrame(rows, columns=["person", "item"]).assign(time=pd.Timestamp("2026-01-01"))
    return Interactions.of(table, people=range(PEOPLE), items=range(N))


def fitted(how, some=None, **options):
    settings = {"epochs": 12, "batch_size": 64, "dim": 8, "learning_rate": 0.01, "progress": False} | options
    return Fusion(some or parts(), how, **settings).fit(met())


@pytest.fixture(scope="module", params=HOW)
def fused(request):
    return fitted(request.param)


def right(ranker, k=4):
    """The shares of the recommended items that are of the wanted group, and of the wanted style."""
    items, _ = ranker.recommend(range(PEOPLE), k)
    groups, styles = zip(*WANTS, strict=True)
    return (GROUP[items] == np.array(groups)[:, None]).mean(), (STYLE[items] == np.array(styles)[:, None]).mean()


def test_both_parts_are_used(fused):
    groups, styles = right(fused)
    assert groups > 0.95
    assert styles > 0.95
    assert fused.history_[-1]["loss"] < fused.history_[0]["loss"]


def test_one_part_alone_knows_only_its_side(fused):
    groups, styles = right(fitted(fused.how, {"text": parts()["text"]}))
    assert groups > 0.95
    assert 0.2 < styles < 0.8


def test_a_part_can_be_missing_when_served(fused):
    whole = fused.score([0, 1])
    groups, styles = right(fused.without("picture"))
    assert groups > 0.6
    assert 0.2 < styles < 0.8
    assert np.abs(fused.without("picture").score([0, 1]) - whole).max() > 0.01
    np.testing.assert_array_equal(fused.score([0, 1]), whole)  # the fitted ranker is as it was
    both = fused.without(["text", "picture"]).score([3])
    assert np.isfinite(both).all()


def test_a_row_with_any_nan_is_missing():
    whole, holey = parts(), parts()
    whole["sound"][:, 2] = np.nan
    holey["sound"][:] = np.nan
    assert not Fusion(whole).there[:, 2].any()
    np.testing.assert_array_equal(Fusion(whole).parts["sound"], Fusion(holey).parts["sound"])
    assert Fusion(parts()).there[:, 2].tolist() == [item % 4 > 0 for item in range(N)]


@pytest.mark.parametrize("how", [how for how in HOW if how != "early"])
def test_shares_add_up_to_1_and_leave_out_what_is_not_there(how):
    shares = fitted(how, epochs=2).shares([0, 7])
    assert list(shares) == ["text", "picture", "sound"]
    np.testing.assert_allclose(sum(shares.values()), np.ones((2, N)), atol=1e-5)
    assert (shares["sound"][:, SILENT] == 0).all()
    assert min(share.min() for share in shares.values()) >= 0


@pytest.mark.parametrize("how", ["late", "gated"])
def test_noise_is_turned_down(how):
    shares = fitted(how).shares(range(PEOPLE))
    heard = np.setdiff1d(np.arange(N), SILENT)
    means = {name: share[:, heard].mean() for name, share in shares.items()}
    assert means["sound"] < 0.5 * min(means["text"], means["picture"])


def test_early_fusion_has_no_shares():
    with pytest.raises(ValueError, match="mixes the parts before it scores"):
        fitted("early", epochs=1).shares([0])


def test_the_seed_decides():
    first, same, other = (fitted("gated", epochs=2, seed=seed).score([3]) for seed in (1, 1, 2))
    np.testing.assert_allclose(first, same, atol=1e-6)
    assert np.abs(first - other).max() > 1e-3


def test_a_late_fusion_trains_each_part_for_itself():
    """Its maps hardly move when another part changes, through the common clipping of gradients only."""
    one, other = fitted("late"), fitted("late", parts() | {"sound": parts(seed=5)["sound"]})
    np.testing.assert_allclose(one.maps_.people[0], other.maps_.people[0], atol=0.05)
    np.testing.assert_allclose(one.maps_.items[1], other.maps_.items[1], atol=0.05)


def with_part(name, vectors):
    return Fusion(parts() | {name: vectors})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Fusion({}), "parts must name at least one"),
        (lambda: Fusion(parts(), "middle"), "how must be one of 'early', 'late', 'gated', 'attention', got 'middle'"),
        (lambda: Fusion(parts(), drop=1), "drop from 0 to below 1"),
        (lambda: Fusion(parts(), dim=0), "dim, epochs and batch_size must be at least 1"),
        (lambda: with_part("text", np.ones(N)), r"parts\['text'\] must be a matrix"),
        (lambda: with_part("text", np.full((N, 2), np.inf)), r"parts\['text'\] must be a matrix"),
        (
            lambda: with_part("sound", np.ones((N - 1, 2))),
            f"equally many rows, got text {N}, picture {N}, sound {N - 1}",
        ),
        (lambda: Fusion({"sound": parts()["sound"]}), "at least one part, item 0 has none"),
        (lambda: Fusion({"text": np.ones((N + 1, 2))}).fit(met()), f"one row an item, got {N + 1} for {N} items"),
    ],
)
def test_what_does_not_fit_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_only_a_known_part_can_be_missing_and_one_must_stay(fused):
    with pytest.raises(ValueError, match="names must be among text, picture, sound, got 'smell'"):
        fused.without("smell")
    with pytest.raises(ValueError, match="at least one of text, picture, sound must stay"):
        fused.without(["text", "picture", "sound"])
