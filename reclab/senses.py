"""Pictures and sounds as vectors: what a sound is made of, and a small network that learns to look."""

import keras
import numpy as np
import tensorflow as tf

from reclab import training
from reclab.data import Interactions
from reclab.rank import association_loss, history_shares, in_batches, log_popularity

STEP = 0.016  # seconds from one moment of a log-mel to the next
WINDOW = 0.032  # seconds that a moment looks at
SCALE = 10.0  # of the cosines in the softmax


# --- sounds ----------------------------------------------------------------------------------------------------------


def log_mel(sounds: np.ndarray, *, rate: int = 8000, bands: int = 40) -> np.ndarray:
    """What a sound looks like: for each moment (a row) the loudness in each band of pitches, in logarithms.

    The spectrum of windows of 32 ms, 16 ms apart, summed in bands that widen with the pitch as hearing does (the mel
    scale of Stevens, Volkmann and Newman 1937, doi:10.1121/1.1915893), then its logarithm.

    Args:
        sounds: (n, samples) from -1 to 1.
        rate: samples a second.
        bands: how many, from 20 Hz to half the rate.

    Returns:
        (n, moments, bands) float32.

    Raises:
        ValueError: the sounds are not a matrix of finite numbers, or shorter than one window.

    >>> high = np.sin(2 * np.pi * 3000 * np.arange(8000) / 8000)
    >>> heard = log_mel(high[None])
    >>> heard.shape, bool(heard[0, 30].argmax() > 30)
    ((1, 61, 40), True)
    """
    sounds = np.asarray(sounds, np.float32)
    window, step = round(rate * WINDOW), round(rate * STEP)
    if sounds.ndim != 2 or sounds.shape[1] < window or not np.isfinite(sounds).all():
        rule = f"sounds must be (n, samples) of at least {window} samples, all finite"
        raise ValueError(f"{rule}, got shape {sounds.shape}.")
    spectrum = tf.abs(tf.signal.stft(sounds, window, step)) ** 2  # (n, moments, frequencies)
    mel = tf.signal.linear_to_mel_weight_matrix(bands, spectrum.shape[-1], rate, 20.0, rate / 2)
    return tf.math.log(tf.tensordot(spectrum, mel, 1) + 1e-6).numpy()


def timbre(mels: np.ndarray) -> np.ndarray:
    """How loudness is spread over the bands, whatever is played when: mean and spread over time.

    Args:
        mels: (n, moments, bands), from `log_mel`.

    Returns:
        (n, 2 * bands) float32.

    >>> timbre(np.array([[[1.0, 5.0], [3.0, 5.0]]])).tolist()
    [[2.0, 5.0, 1.0, 0.0]]
    """
    mels = _mels(mels)
    return np.concatenate([mels.mean(axis=1), mels.std(axis=1)], axis=1)


def echoes(mels: np.ndarray) -> np.ndarray:
    """How much what begins now resembles what began some time ago: the autocorrelation of the rises in loudness.

    A beat makes many bands louder at once, and comes again after a fixed time; there the echo is strong.

    Args:
        mels: (n, moments, bands), from `log_mel`.

    Returns:
        (n, moments - 1) float32; column i tells of i steps of `STEP` seconds, column 0 is 1 (0 if nothing ever rises).

    >>> beat = np.zeros((1, 40, 2))
    >>> beat[:, ::10] = 1  # every ten steps
    >>> int(echoes(beat)[0, 5:].argmax()) + 5
    10
    """
    rises = np.maximum(np.diff(_mels(mels), axis=1), 0).sum(axis=2)  # (n, moments - 1)
    rises -= rises.mean(axis=1, keepdims=True)
    moments = rises.shape[1]
    found = np.stack([(rises[:, lag:] * rises[:, : moments - lag]).sum(axis=1) for lag in range(moments)], axis=1)
    return found / np.maximum(found[:, :1], 1e-6)


def tempo(mels: np.ndarray, *, slowest: float = 60.0, fastest: float = 180.0) -> np.ndarray:
    """Beats a minute, (n,): where the echo is strongest between the slowest and the fastest tempo.

    Raises:
        ValueError: the tempos are not in order, or the sounds too short for the slowest.

    >>> beat = np.zeros((1, 125, 2))
    >>> beat[:, ::25] = 1  # 25 steps are 0.4 s
    >>> tempo(beat).tolist()
    [150.0]
    """
    strength = echoes(mels)
    if not 0 < slowest < fastest < 60 / STEP or 60 / slowest / STEP >= strength.shape[1]:
        rule = f"slowest must be above 0, below fastest, and one beat shorter than the {strength.shape[1]} moments"
        raise ValueError(f"{rule}, got {slowest} and {fastest}.")
    first, last = int(np.ceil(60 / fastest / STEP)), int(60 / slowest / STEP)
    return 60 / ((first + strength[:, first : last + 1].argmax(axis=1)) * STEP)


def _mels(mels):
    mels = np.asarray(mels, np.float32)
    if mels.ndim != 3 or mels.shape[1] < 2:
        raise ValueError(f"mels must be (n, moments, bands) with at least two moments, got shape {mels.shape}.")
    return mels


# --- pictures --------------------------------------------------------------------------------------------------------


def network(shape: tuple[int, int, int], *, seed: int = 0) -> keras.Model:
    """Three convolutions, each halving the picture; of every channel of each the mean, the spread and the maximum.

    The mean says how much of something is in a picture, the spread how unevenly it lies, the maximum whether it is
    there at all. A texture shows in the spread after the first, a form after the last.

    Args:
        shape: height, width and channels of a picture; its numbers are from 0 to 255.
        seed: of the weights, as nothing is learned here.

    >>> network((64, 64, 3))(np.zeros((2, 64, 64, 3))).shape
    TensorShape([2, 336])
    """
    picture = keras.Input(shape)
    x, seen = keras.layers.Rescaling(1 / 64, offset=-2)(picture), []
    for level, (channels, size) in enumerate(((16, 5), (32, 3), (64, 3))):
        start = keras.initializers.GlorotUniform(seed + level)
        options = {"strides": 2, "padding": "same", "activation": "relu", "kernel_initializer": start}
        x = keras.layers.Conv2D(channels, size, **options)(x)
        spread = keras.ops.sqrt(keras.ops.var(x, axis=(1, 2)) + 1e-4)
        seen += [keras.ops.mean(x, axis=(1, 2)), spread, keras.ops.max(x, axis=(1, 2))]
    return keras.Model(picture, keras.ops.concatenate(seen, axis=1))


def look(model: keras.Model, pictures: np.ndarray, *, batch_size: int = 100) -> np.ndarray:
    """What a network sees in pictures, a few at a time: (n, dim) float32.

    >>> look(network((64, 64, 3)), np.zeros((3, 64, 64, 3)), batch_size=2).shape
    (3, 336)
    """
    pictures = _pictures(pictures)
    starts = range(0, max(len(pictures), 1), batch_size)
    return np.concatenate([model(pictures[start : start + batch_size]).numpy() for start in starts])


def learn_from_clicks(
    pictures: np.ndarray,
    interactions: Interactions,
    *,
    dim: int = 16,
    epochs: int = 3,
    learning_rate: float = 3e-3,
    batch_size: int = 512,
    seed: int = 0,
    progress: bool = True,
) -> keras.Model:
    """A network in whose space a person's next picture is near the mean of that person's earlier ones.

    `network` and a map to `dim` numbers learn from the association loss of `rank.TwoTower`, with its correction for
    popular items. A picture that nobody has met can be put through the model as well.

    Args:
        pictures: (items, height, width, channels) from 0 to 255, one an item in the order of the interactions' items.
        interactions: who met what.
        dim: of the space.
        epochs: how often each click is seen.
        learning_rate: at its highest.
        batch_size: clicks a step.
        seed: of the weights and the order.
        progress: show a bar.

    Returns:
        From pictures to vectors of unit length, (n, dim).

    Raises:
        ValueError: pictures are not one an item.
    """
    pictures = _pictures(pictures)
    if len(pictures) != len(interactions.items):
        raise ValueError(f"pictures must be one an item, got {len(pictures)} for {len(interactions.items)} items.")
    model = _with_map(network(pictures.shape[1:], seed=seed), pictures, dim, seed)
    shares, every = history_shares(interactions, np.inf), tf.constant(pictures)
    popular = log_popularity(interactions)

    def loss(histories, items):
        vectors = model(every)
        people = tf.math.l2_normalize(tf.matmul(histories, vectors), axis=1)
        logits = SCALE * tf.matmul(people, tf.gather(vectors, items), transpose_b=True) - tf.gather(popular, items)
        return association_loss(logits, items)

    def batches(epoch):
        found = []
        for rows in in_batches(len(interactions), batch_size, (seed, epoch)):
            items, histories = interactions.item[rows], shares[interactions.person[rows]].toarray()
            histories[np.arange(len(rows)), items] = 0  # the item itself is not told
            found.append((histories, items))
        return found

    settings = {"epochs": epochs, "learning_rate": learning_rate, "progress": progress}
    training.train(loss, model.trainable_variables, batches, **settings)
    return model


def learn_from_pairs(
    pictures: np.ndarray,
    *,
    crop: int = 32,
    dim: int = 32,
    epochs: int = 10,
    learning_rate: float = 3e-3,
    batch_size: int = 100,
    temperature: float = 0.2,
    seed: int = 0,
    progress: bool = True,
) -> keras.Model:
    """A network that knows two views of one picture from views of others, without being told anything else.

    SimCLR (Chen et al., arXiv:2002.05709). A view is a square cut out at a random place, perhaps mirrored, brighter or
    darker, but never of another hue. The map that is compared is thrown away after learning.

    Args:
        pictures: (n, height, width, channels) from 0 to 255.
        crop: the side of a view.
        dim: of the space in which views are compared.
        epochs: how often each picture is seen.
        learning_rate: at its highest.
        batch_size: pictures a step; each has the views of all others to be told from.
        temperature: what the cosines are divided by; lower looks more at the most similar others.
        seed: of the weights, the order and the views.
        progress: show a bar.

    Returns:
        From pictures to what `network` sees in them, (n, 336).

    Raises:
        ValueError: the crop is larger than the pictures.
    """
    pictures = _pictures(pictures)
    height, width, channels = pictures.shape[1:]
    if not 1 <= crop <= min(height, width):
        raise ValueError(f"crop must be from 1 to the pictures' side ({min(height, width)}), got {crop}.")
    part = network((crop, crop, channels), seed=seed)
    compared = _with_map(part, pictures[:, :crop, :crop], dim, seed)

    def loss(first, second):
        both = tf.ensure_shape(tf.concat([first, second], axis=0), (None, crop, crop, channels))
        vectors = compared(both)
        n = tf.shape(first)[0]
        logits = tf.matmul(vectors, vectors, transpose_b=True) / temperature - 1e9 * tf.eye(2 * n)
        other = tf.concat([tf.range(n) + n, tf.range(n)], axis=0)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(other, logits))

    def batches(epoch):
        rng, rows = np.random.default_rng((seed, epoch)), in_batches(len(pictures), batch_size, (seed, epoch))
        return [(views(pictures[some], crop, rng), views(pictures[some], crop, rng)) for some in rows]

    settings = {"epochs": epochs, "learning_rate": learning_rate, "progress": progress}
    training.train(loss, compared.trainable_variables, batches, **settings)
    whole = network(pictures.shape[1:], seed=seed)
    whole.set_weights(part.get_weights())
    return whole


def views(pictures: np.ndarray, crop: int, rng: np.random.Generator) -> np.ndarray:
    """Of each picture a square at a random place, mirrored or not, with other contrast and brightness.

    >>> views(np.full((2, 64, 64, 3), 100.0), 32, np.random.default_rng(0)).shape
    (2, 32, 32, 3)
    """
    found = []
    for picture in pictures:
        y, x = (rng.integers(side - crop + 1) for side in picture.shape[:2])
        view = picture[y : y + crop, x : x + crop]
        view = view[:, ::-1] if rng.random() < 0.5 else view
        found.append(view * rng.uniform(0.8, 1.25) + rng.uniform(-15, 15))
    return np.stack(found).astype(np.float32)


def _with_map(net, pictures, dim, seed):
    """The network, a map to unit vectors after it; what it sees of these pictures is brought to one scale between."""
    seen = look(net, pictures)
    scale = keras.layers.Normalization(mean=seen.mean(axis=0), variance=seen.var(axis=0) + 1e-6)
    start = keras.initializers.GlorotUniform(seed + 3)
    x = keras.layers.Dense(dim, use_bias=False, kernel_initializer=start)(scale(net.output))
    return keras.Model(net.input, keras.layers.UnitNormalization()(x))


def _pictures(pictures):
    pictures = np.asarray(pictures, np.float32)
    if pictures.ndim != 4 or not np.isfinite(pictures).all():
        raise ValueError(f"pictures must be (n, height, width, channels), all finite, got shape {pictures.shape}.")
    return pictures
