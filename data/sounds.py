"""Play the sound of a music item from its style: timbre and tempo. The tune itself is chance."""

import wave
from typing import BinaryIO

import numpy as np
from scipy import signal

RATE = 8000  # samples a second
SECONDS = 2
TIMBRES = ("pluck", "organ", "reed", "bell", "drum")
TEMPOS = (60, 180)  # beats a minute, from and to


def play(timbre: str, tempo: float, rng: np.random.Generator) -> np.ndarray:
    """Two seconds of a tune in the given style: (16000,) int16; `rng` decides root, notes and pauses."""
    sound = np.zeros(RATE * SECONDS)
    beat = 60 / tempo
    root = rng.uniform(110, 220)
    start = 0.0
    while start < SECONDS:
        first, rest = int(start * RATE), rng.random() < 0.12
        pitch = root * 2 ** (rng.choice([0, 3, 5, 7, 10, 12, 15]) / 12)
        if not rest:
            note = _NOTES[timbre](pitch, 1.2 * beat, rng)[: len(sound) - first]
            sound[first : first + len(note)] += note * rng.uniform(0.7, 1.0)
        start += beat
    loudest = np.abs(sound).max()
    return np.rint(sound / (loudest or 1) * rng.uniform(0.5, 0.9) * 32767).astype(np.int16)


def write(file: BinaryIO, samples: np.ndarray) -> None:
    """Write samples as a WAV file: one channel, 8 kHz, 16 bit."""
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.astype("<i2").tobytes())


def _time(seconds):
    return np.arange(int(seconds * RATE)) / RATE


def _pluck(pitch, seconds, rng):
    """Karplus and Strong (1983, doi:10.2307/3680062): a burst of noise that circulates and grows dull."""
    period = round(RATE / pitch)
    burst = np.zeros(int(seconds * RATE))
    burst[:period] = rng.uniform(-1, 1, period)
    return signal.lfilter([1], np.r_[1, np.zeros(period - 1), -0.497, -0.497], burst)


def _organ(pitch, seconds, rng):
    t = _time(seconds)
    tone = sum(np.sin(2 * np.pi * pitch * n * t) * share for n, share in ((1, 0.5), (2, 0.3), (3, 0.15), (4, 0.1)))
    return tone * np.minimum(1, np.minimum(t / 0.03, (seconds - t) / 0.08))


def _reed(pitch, seconds, rng):
    """A saw with vibrato, which a filter softens."""
    t = _time(seconds)
    saw = signal.sawtooth(2 * np.pi * pitch * t + 0.6 * np.sin(2 * np.pi * 5.5 * t))
    soft = signal.lfilter(*signal.butter(2, 1800, fs=RATE), saw)
    return 0.6 * soft * np.minimum(1, np.minimum(t / 0.05, (seconds - t) / 0.05))


def _bell(pitch, seconds, rng):
    """Chowning (1973): a sine whose phase another, inharmonic sine bends."""
    t = _time(seconds)
    bend = 3 * np.exp(-4 * t) * np.sin(2 * np.pi * pitch * 2.76 * t)
    return np.sin(2 * np.pi * 2 * pitch * t + bend) * np.exp(-3.5 * t)


def _drum(pitch, seconds, rng):
    t = _time(seconds)
    skin = np.sin(2 * np.pi * (pitch / 2) * t + 6 * (1 - np.exp(-25 * t))) * np.exp(-12 * t)
    return skin + 0.5 * rng.normal(0, 1, len(t)) * np.exp(-40 * t)


_NOTES = {"pluck": _pluck, "organ": _organ, "reed": _reed, "bell": _bell, "drum": _drum}
