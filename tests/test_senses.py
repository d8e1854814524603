"""Tones, beats and pictures whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from reclab import data, senses
from reclab.data import Interactions

RATE = 8000


def tone(hertz, seconds=1.0, rate=RATE):
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def beaten(tempo, seconds=2.0):
    """Clicks of 10 ms in silence, so many a minute."""
    sound = np.zeros(int(seconds * RATE), np.float32)
    for start in np.arange(0, seconds, 60 / tempo):
        sound[int(start * RATE) : int(start * RATE) + 80] = tone(1000)[:80]
    return sound


# --- sounds ----------------------------------------------------------------------------------------------------------


def naive_log_mel(sound, window=256, step=128, bands=40):
    """The definition, band by band: triangles between 20 Hz and 4,000 Hz, evenly spaced in mel."""
    mel, back = (lambda f: 1127 * np.log(1 + f / 700)), (lambda m: 700 * (np.exp(m / 1127) - 1))
    edges = np.linspace(mel(20), mel(RATE / 2), bands + 2)
    frequencies = mel(np.arange(window // 2 + 1) * RATE / window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    rows = []
    for start in range(0, len(sound) - window + 1, step):
        power = np.abs(np.fft.rfft(sound[start : start + window] * hann)) ** 2
        row = []
        for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False):
            up, down = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
            triangle = np.maximum(0, np.minimum(up, down))
            triangle[0] = 0  # the constant part is no pitch
            row.append(np.log((power * triangle).sum() + 1e-6))
        rows.append(row)
    assert back(edges[-1]) == pytest.approx(RATE / 2)
    return np.array(rows)


def test_a_log_mel_is_what_its_definition_says():
    sound = 0.3 * tone(440) + 0.1 * np.random.default_rng(0).normal(size=RATE).astype(np.float32)
    np.testing.assert_allclose(senses.log_mel(sound[None])[0], naive_log_mel(sound), atol=2e-3)


def test_a_higher_tone_lies_in_a_higher_band_at_every_rate():
    for rate in (8000, 16000):
        bands = [senses.log_mel(tone(f, rate=rate)[None], rate=rate)[0].mean(axis=0).argmax() for f in (200, 800, 3000)]
        assert bands == sorted(set(bands))


def test_twice_the_pressure_is_the_same_step_everywhere():
    soft, loud = senses.log_mel(np.stack([tone(440), 2 * tone(440)]))
    band = soft.mean(axis=0).argmax()
    np.testing.assert_allclose(loud[:, band] - soft[:, band], np.log(4), atol=1e-3)


def test_timbre_is_mean_and_spread_whatever_comes_when():
    mels = np.random.default_rng(0).normal(size=(2, 30, 4)).astype(np.float32)
    found = senses.timbre(mels)
    np.testing.assert_allclose(found[1, 2], mels[1, :, 2].mean(), atol=1e-6)
    np.testing.assert_allclose(found[1, 4 + 2], mels[1, :, 2].std(), atol=1e-6)
    np.testing.assert_allclose(senses.timbre(mels[:, ::-1]), found, atol=1e-5)


@pytest.mark.parametrize("tempo", [66, 90, 120, 150, 171])
def test_the_tempo_of_beats_in_silence(tempo):
    found = senses.tempo(senses.log_mel(beaten(tempo)[None]))[0]
    assert abs(60 / found - 60 / tempo) <= senses.STEP


def test_an_echo_is_a_share_of_the_whole_and_silence_has_none():
    found = senses.echoes(senses.log_mel(np.stack([beaten(100), np.zeros(2 * RATE, np.float32)])))
    assert found[0, 0] == pytest.approx(1)
    assert np.abs(found[0]).max() <= 1 + 1e-6
    assert (found[1] == 0).all()


def test_most_tempos_and_timbres_of_the_world_are_heard():
    world = data.load("world")
    mels, truth = senses.log_mel(np.stack(list(world.sounds().values()))), world.truth.items
    tempos = truth.set_index("item").loc[list(world.sounds()), "tempo"].to_numpy(float)
    assert (np.abs(senses.tempo(mels) - tempos) < 8).mean() > 0.65  # by chance 0.15


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: senses.log_mel(tone(440)), r"\(n, samples\) of at least 256 samples, all finite, got shape \(8000,\)"),
        (lambda: senses.log_mel(np.zeros((2, 255))), r"at least 256 samples, all finite, got shape \(2, 255\)"),
        (lambda: senses.log_mel(np.full((1, 300), np.nan)), "all finite"),
        (lambda: senses.timbre(np.zeros((3, 40))), r"mels must be \(n, moments, bands\)"),
        (lambda: senses.echoes(np.zeros((3, 1, 40))), "at least two moments"),
        (lambda: senses.tempo(np.zeros((1, 50, 4))), "one beat shorter than the 49 moments, got 60.0 and 180.0"),
        (lambda: senses.tempo(np.zeros((1, 200, 4)), slowest=0), "slowest must be above 0"),
        (lambda: senses.tempo(np.zeros((1, 200, 4)), slowest=90, fastest=80), "below fastest"),
    ],
)
def test_what_is_no_sound_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# --- pictures --------------------------------------------------------------------------------------------------------

N, PEOPLE = 48, 60
RED = np.arange(N) % 2 == 0


def drawn(seed=0):
    """Half are red, half are blue, all with much noise."""
    rng = np.random.default_rng(seed)
    pictures = rng.uniform(0, 150, (N, 16, 16, 3))
    pictures[RED, ..., 0] += 80
    pictures[~RED, ..., 2] += 80
    return pictures.astype(np.float32)


def met(wanted, seed=0):
    """Everybody meets six items of one kind, by `wanted` (items,) of True and False."""
    rng = np.random.default_rng(seed)
    rows = [
        (person, item)
        for person in range(PEOPLE)
        for item in rng.choice(np.flatnonzero(wanted == (person % 2 == 0)), 6, replace=False)
    ]
    table = pd.DataFrame(rows, columns=["person", "item"]).assign(time=pd.Timestamp("2026-01-01"))
    return Interactions.of(table, people=range(PEOPLE), items=range(N))


def apart(vectors, kind):
    """How much more alike pictures of one kind are than pictures of two."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    same = kind[:, None] == kind
    return cosines[same & ~np.eye(len(kind), dtype=bool)].mean() - cosines[~same].mean()


def test_the_network_pools_each_channel_in_three_ways():
    pictures = drawn()[:2]
    net = senses.network((16, 16, 3), seed=3)
    first = net.layers[2]  # after the input and the scaling
    seen = np.asarray(first(pictures / 64 - 2))
    found = senses.look(net, pictures)
    np.testing.assert_allclose(found[:, :16], seen.mean(axis=(1, 2)), atol=1e-5)
    np.testing.assert_allclose(found[:, 16:32], np.sqrt(seen.var(axis=(1, 2)) + 1e-4), atol=1e-4)
    np.testing.assert_allclose(found[:, 32:48], seen.max(axis=(1, 2)), atol=1e-5)
    assert found.shape == (2, 3 * (16 + 32 + 64))


def test_a_look_at_a_few_at_a_time_sees_the_same():
    net, pictures = senses.network((16, 16, 3)), drawn()[:7]
    at_once = np.asarray(net(pictures))
    for size in (1, 3, 7, 100):
        np.testing.assert_allclose(senses.look(net, pictures, batch_size=size), at_once, atol=1e-5)


def test_the_seed_decides_the_weights_and_nothing_global():
    same, again, other = (senses.network((8, 8, 3), seed=seed).get_weights()[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(same, again)
    assert np.abs(same - other).max() > 0.01


def test_clicks_teach_what_people_care_about():
    pictures = drawn()
    settings = {"epochs": 12, "batch_size": 60, "dim": 8, "progress": False}
    model = senses.learn_from_clicks(pictures, met(RED), **settings)
    vectors = senses.look(model, pictures)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert apart(vectors, RED) > apart(senses.look(senses.network((16, 16, 3)), pictures), RED) + 0.2
    new = drawn(seed=9)  # pictures that nobody has met
    assert apart(senses.look(model, new), RED) > 0.3


def test_an_item_does_not_tell_about_itself():
    """Who met one item only has no history to learn from: the vectors stay where they were."""
    table = pd.DataFrame({"person": range(N), "item": range(N)}).assign(time=pd.Timestamp("2026-01-01"))
    alone = Interactions.of(table, people=range(N), items=range(N))
    model = senses.learn_from_clicks(drawn(), alone, epochs=3, batch_size=24, dim=8, progress=False)
    fresh = senses.learn_from_clicks(drawn(), alone, epochs=1, learning_rate=1e-9, batch_size=24, dim=8, progress=False)
    np.testing.assert_allclose(senses.look(model, drawn()), senses.look(fresh, drawn()), atol=0.02)


def test_pairs_bring_views_of_one_picture_together():
    rng, pictures = np.random.default_rng(0), drawn()
    patterns = rng.uniform(0, 255, (N, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    one, two = (senses.views(patterns, 12, rng) for _ in range(2))

    def found_again(model):
        a, b = (senses.look(model, np.pad(v, ((0, 0), (2, 2), (2, 2), (0, 0)), "edge")) for v in (one, two))
        a, b = ((v - v.mean(axis=0)) / (v.std(axis=0) + 1e-6) for v in (a, b))
        a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
        return ((a @ b.T).argmax(axis=1) == np.arange(N)).mean()

    settings = {"crop": 12, "epochs": 15, "batch_size": 24, "progress": False}
    learned = senses.learn_from_pairs(patterns, **settings)
    assert found_again(learned) > found_again(senses.network((16, 16, 3))) + 0.1
    assert senses.look(learned, pictures).shape == (N, 336)


def test_a_view_is_a_part_of_its_picture():
    picture = np.arange(16 * 16).reshape(1, 16, 16, 1).repeat(3, axis=3).astype(np.float32)
    for seed in range(10):
        view = senses.views(picture, 8, np.random.default_rng(seed))[0, :, :, 0]
        across, down = np.diff(view, axis=1), np.diff(view, axis=0)
        assert across.std() < 1e-3 and 0.79 < abs(across.mean()) < 1.26  # mirrored or not, another contrast
        assert down.mean() / abs(across.mean()) == pytest.approx(16, rel=1e-3)  # never upside down


def test_views_keep_the_hue():
    grey = np.full((5, 16, 16, 3), 90.0)
    views = senses.views(grey, 8, np.random.default_rng(0))
    assert np.ptp(views, axis=3).max() == 0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: senses.learn_from_clicks(drawn()[:5], met(RED)), f"one an item, got 5 for {N} items"),
        (lambda: senses.learn_from_clicks(drawn()[0], met(RED)), r"pictures must be \(n, height, width, channels\)"),
        (lambda: senses.learn_from_pairs(np.full((4, 16, 16, 3), np.nan)), "all finite"),
        (lambda: senses.learn_from_pairs(drawn(), crop=17), r"from 1 to the pictures' side \(16\), got 17"),
    ],
)
def test_what_are_no_pictures_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
