import numpy as np
import pandas as pd
import pytest

from reclab import data, truth


@pytest.fixture
def small():
    items = pd.DataFrame(
        {
            "item": ["loaf", "tune"],
            "appeal": [0.5, -0.25],
            "palette": ["sea", "moss"],
            "shape": ["rings", "rays"],
            "texture": ["flat", "dots"],
            "timbre": [None, "bell"],
            "tempo": [np.nan, 100.0],
        }
    ).astype({"timbre": "string"})
    themes = pd.DataFrame(
        {"item": ["loaf", "loaf", "tune"], "theme": ["bread", "folk", "folk"], "weight": [0.6, 0.4, 1.0]}
    )
    people = pd.DataFrame(
        {
            "person": ["ann", "bob"],
            "loved_palette": ["sea", "dusk"],
            "disliked_palette": ["moss", "sea"],
            "loved_shape": ["rays", "rings"],
            "loved_texture": ["flat", "dots"],
            "loved_timbre": ["bell", "drum"],
            "tempo": [100.0, 140.0],
        }
    )
    tastes = pd.DataFrame(
        {
            "person": ["ann", "ann", "bob"],
            "theme": ["bread", "folk", "folk"],
            "start": [1.0, 0.0, 1.0],
            "end": [0.0, 1.0, 1.0],
        }
    )
    return truth.Truth(items, themes, people, tastes, days=11)


def test_match_is_a_cosine_that_drifts(small):
    bread, folk = 0.36 / np.hypot(0.36, 0.16), 0.16 / np.hypot(0.36, 0.16)
    np.testing.assert_allclose(small.match(0), [[bread, 0], [folk, 1]])
    np.testing.assert_allclose(small.match(10), [[folk, 1], [folk, 1]])
    np.testing.assert_allclose(small.match(5)[0], [(bread + folk) / np.sqrt(2), 1 / np.sqrt(2)])


def test_pictures_and_sounds_by_hand(small):
    np.testing.assert_allclose(small.looks(), [[2.0 + 0.8, -2.0 + 1.2], [-2.0 + 1.2, 0.8]])
    np.testing.assert_allclose(small.sounds(), [[0, 2.0 + 2.0], [0, 2.0 * np.exp(-2)]])


def test_liking_is_the_sum(small):
    whole = 9 * small.match(3) + [[0.5, -0.25]] + small.looks() + small.sounds()
    np.testing.assert_allclose(small.liking(3), whole)


@pytest.mark.parametrize("day", [-1, 11])
def test_a_day_outside_the_log_is_refused(small, day):
    with pytest.raises(ValueError, match=f"day must be between 0 and 10, got {day}"):
        small.liking(day)


def test_the_worlds_truth_knows_everybody():
    world = data.load("world")
    assert repr(world.truth) == "Truth(2000 people, 600 items, 90 days)"
    assert world.truth.liking(45).shape == (2000, 600)
    assert (world.truth.match(45).max(axis=1) > 0.5).mean() > 0.95, "nearly everybody finds something"
