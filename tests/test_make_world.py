"""The programs in data/ that make the world: the same seed gives the same bytes."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reclab import data

SCRIPT = data.WORLD / "make_world.py"
SMALL = ("--people", "80", "--days", "21", "--items", "6")


def build(out, *options, **environment):
    command = [sys.executable, str(SCRIPT), "--out", str(out), *options]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    out = tmp_path_factory.mktemp("small")
    return out, build(out, *SMALL, PYTHONHASHSEED="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")


@pytest.fixture
def programs(monkeypatch):
    monkeypatch.syspath_prepend(str(data.WORLD))
    import dirt
    import pictures
    import sounds

    return dirt, pictures, sounds


def test_the_same_seed_gives_the_same_bytes(small, tmp_path):
    again = build(tmp_path, *SMALL, PYTHONHASHSEED="2", OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="2")
    assert again.keys() == small[1].keys()
    assert [name for name in again if again[name] != small[1][name]] == []


def test_another_seed_gives_another_world(small, tmp_path):
    other = build(tmp_path, *SMALL, "--seed", "5", "--only", "log")
    assert all(other[name] != small[1][name] for name in ("people.csv", "tastes.csv", "events.csv.gz"))


def test_a_small_world_is_a_whole_world(small):
    world = data.load(small[0])
    assert repr(world).startswith("World(60 items, 80 people, ")
    assert world.pictures().shape == (60, 64, 64, 3)
    assert len(world.sounds()) == 6
    assert len(world.raw_events()) > len(world.events) > 500


def test_what_is_shipped_was_made_so(small):
    """Pictures, sounds and styles depend on the name of the item alone: a small build agrees with the shipped files."""
    shipped, built = data.load("world"), data.load(small[0])
    rows = pd.Index(shipped.items["item"]).get_indexer(built.items["item"])
    np.testing.assert_array_equal(built.pictures(), shipped.pictures()[rows])
    for item, sound in built.sounds().items():
        np.testing.assert_array_equal(sound, shipped.sounds()[item])
    pd.testing.assert_frame_equal(built.truth.items, shipped.truth.items.iloc[rows].reset_index(drop=True))


def test_a_world_that_is_too_small_is_refused(tmp_path):
    command = [sys.executable, str(SCRIPT), "--people", "3", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "a world needs at least 20 people and 7 days" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_style_draws_something_else(programs):
    _, pictures, _ = programs
    drawn = {
        (palette, shape, texture): np.asarray(pictures.draw(palette, shape, texture, np.random.default_rng(3)), int)
        for palette in pictures.PALETTES
        for shape in pictures.SHAPES
        for texture in pictures.TEXTURES
    }
    assert len({picture.tobytes() for picture in drawn.values()}) == 6 * 6 * 5
    assert all(picture.shape == (64, 64, 3) and picture.std() > 5 for picture in drawn.values())


def test_a_flat_picture_has_only_its_palettes_colours(programs):
    _, pictures, _ = programs
    picture = np.asarray(pictures.draw("ink", "blocks", "flat", np.random.default_rng(0)), float)
    palette = np.array([pictures._rgb(colour) for colour in pictures.PALETTES["ink"]])
    nearest = np.abs(picture[:, :, None] - palette).max(axis=-1).min(axis=-1)
    assert np.mean(nearest < 15) > 0.85, "what is left are smoothed edges"


def test_an_unknown_texture_is_refused(programs):
    _, pictures, _ = programs
    with pytest.raises(ValueError, match="texture must be one of flat, grain, stripes, dots, weave, got 'fur'"):
        pictures.draw("ink", "blocks", "fur", np.random.default_rng(0))


def test_a_tune_beats_in_its_tempo(programs):
    """Onsets of a drum at 120 beats a minute are half a second apart, unless the beat rests."""
    _, _, sounds = programs
    sound = sounds.play("drum", 120, np.random.default_rng(1)).astype(float)
    assert sound.shape == (16000,)
    energy = np.add.reduceat(sound**2, np.arange(0, 16000, 200))  # 25 ms
    onsets = np.flatnonzero(energy[1:] > 4 * energy[:-1] + 1e6) + 1
    assert len(onsets) >= 2
    np.testing.assert_array_equal(onsets % 20, 0)


def test_dirt_lies_where_the_card_says(programs):
    dirt, _, _ = programs
    world = data.load("world")
    raw = world.raw_events()
    share = lambda mask: mask.mean()  # noqa: E731
    assert share(raw["price"].isna()) == pytest.approx(dirt.NO_PRICE, rel=0.1)
    assert share(raw["price"].str.endswith("c", na=False)) == pytest.approx(dirt.IN_CENTS, rel=0.1)
    assert share(raw["item"].str.startswith("old")) == pytest.approx(dirt.GONE, rel=0.2)
    assert share(raw["action"].isin(list(dirt.OTHERWISE.values()))) == pytest.approx(dirt.SPELLED, rel=0.1)
    bots = raw[~raw["person"].isin(world.people["person"])]
    assert bots["person"].nunique() == dirt.BOTS
    assert (bots["action"].str.lower() == "click").all()
    stuck = raw["dwell_s"].isin(["-1.0", "86400.0"])
    assert stuck.sum() / raw["dwell_s"].notna().sum() == pytest.approx(dirt.STUCK, rel=0.3)


def test_the_dirty_log_can_be_cleaned(programs):
    """Undoing each kind of dirt gives back the clean log, but for rows whose item or dwell time is lost."""
    world = data.load("world")
    raw = world.raw_events()
    raw = raw[raw["person"].isin(world.people["person"]) & ~raw["item"].str.startswith("old")]
    time = pd.to_datetime(raw["time"], format="%Y-%m-%dT%H:%M:%S", errors="coerce")
    time = time.fillna(pd.to_datetime(raw["time"], format="%d/%m/%Y %H:%M:%S", errors="coerce"))
    time = time.fillna(pd.to_datetime(pd.to_numeric(raw["time"], errors="coerce"), unit="s"))
    assert time.notna().all()
    time = time.where(time < "2027-01-01", time - pd.Timedelta(days=365))
    action = raw["action"].str.strip().str.lower().replace({"view": "impression", "buy": "purchase"})
    clean = raw.assign(time=time, action=action)[time.dt.year == 2026]
    clean = clean.drop_duplicates(["person", "item", "time", "action", "session"])
    keys = ["person", "item", "time", "action"]
    both = clean.merge(world.events[keys], on=keys, how="outer", indicator=True)["_merge"].value_counts()
    assert both["both"] / len(world.events) > 0.985, "nearly all rows come back"
    assert both["left_only"] / len(clean) < 0.002, "what is left over are clicks that were sent again"


def test_pictures_have_no_hidden_text():
    """PNG chunks other than the picture's own could carry what the text should not tell."""
    for path in sorted((data.WORLD / "images").glob("*.png"))[::60]:
        with Image.open(path) as picture:
            assert picture.info == {}
            assert picture.mode == "RGB"


def test_compressed_logs_carry_no_date(small):
    assert small[1]["events.csv.gz"][4:8] == bytes(4)
    assert gzip.decompress(small[1]["events.csv.gz"]).startswith(b"person,item,time,scene,action,")
    assert Path(small[0] / "log.csv").read_text() == "first_day,days\n2026-07-01,21\n"
