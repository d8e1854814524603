"""Draw the picture of an item from its style: palette, shape and texture. Everything else about it is chance."""

import numpy as np
from PIL import Image

SIDE = 64
FINER = 4  # drawn so many times larger, then averaged, so that edges are smooth

# Ground, second ground, and three colours to draw with.
PALETTES = {
    "dusk": ("#241b4b", "#4a2a6b", "#f2709c", "#ff9e6d", "#ffd9a0"),
    "moss": ("#26331f", "#4b5d2a", "#a3b553", "#d9c77a", "#f1ead0"),
    "sea": ("#0d3b4c", "#17657d", "#3fb8af", "#a8e0d1", "#f3ead7"),
    "ember": ("#2a1412", "#5c1f1a", "#d1382a", "#f08a24", "#f7e3c6"),
    "candy": ("#fbe3ec", "#cdeee4", "#ef6f9f", "#5cc2b0", "#ffd166"),
    "ink": ("#f2f0ea", "#d5d2ca", "#2b2b2e", "#77767a", "#b5453c"),
}
SHAPES = ("rings", "waves", "blocks", "petals", "rays", "peaks")
TEXTURES = ("flat", "grain", "stripes", "dots", "weave")


def draw(palette: str, shape: str, texture: str, rng: np.random.Generator) -> Image.Image:
    """A 64 x 64 picture in the given style; `rng` decides place, size, turn and order of colours."""
    ground, second, *inks = (_rgb(colour) for colour in PALETTES[palette])
    y, x = np.mgrid[0 : 1 : 1j * SIDE * FINER, 0 : 1 : 1j * SIDE * FINER]
    blend = _turned(x, y, rng.uniform(0, 2 * np.pi))[0][..., None] + 0.5
    canvas = ground + (second - ground) * np.clip(blend, 0, 1)
    inks = [inks[i] for i in rng.permutation(3)]
    for layer, ink in _SHAPES[shape](x, y, inks, rng):
        canvas = np.where(layer[..., None], ink, canvas)
    canvas = canvas + _texture(texture, x, y, rng)[..., None]
    small = canvas.reshape(SIDE, FINER, SIDE, FINER, 3).mean(axis=(1, 3))
    return Image.fromarray(np.clip(np.rint(small), 0, 255).astype(np.uint8))


def _rgb(colour):
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], float)


def _turned(x, y, angle):
    """Coordinates around the middle, turned by `angle`: each from -0.5 to 0.5 and a little beyond."""
    c, s = np.cos(angle), np.sin(angle)
    return c * (x - 0.5) + s * (y - 0.5), c * (y - 0.5) - s * (x - 0.5)


def _rings(x, y, inks, rng):
    cx, cy, width = rng.uniform(0.25, 0.75), rng.uniform(0.25, 0.75), rng.uniform(0.06, 0.1)
    distance = np.hypot(x - cx, y - cy)
    for ring in range(int(rng.integers(3, 6)), 0, -1):
        yield (distance < 2 * ring * width) & (distance > (2 * ring - 1) * width), inks[ring % 3]
    yield distance < width * 0.8, inks[0]


def _waves(x, y, inks, rng):
    u, v = _turned(x, y, rng.uniform(-0.5, 0.5))
    waves, height, lines = rng.uniform(1.5, 3), rng.uniform(0.04, 0.08), int(rng.integers(3, 6))
    for line in range(lines):
        middle = -0.45 + (line + 0.5) * 0.9 / lines
        crest = middle + height * np.sin(2 * np.pi * waves * u + rng.uniform(0, 2 * np.pi))
        yield np.abs(v - crest) < 0.3 / lines, inks[line % 3]


def _blocks(x, y, inks, rng):
    u, v = _turned(x, y, rng.choice([0, np.pi / 4]) + rng.uniform(-0.1, 0.1))
    for block in range(int(rng.integers(4, 7))):
        cu, cv = rng.uniform(-0.35, 0.35, 2)
        wide, high = rng.uniform(0.08, 0.2, 2)
        yield (np.abs(u - cu) < wide) & (np.abs(v - cv) < high), inks[block % 3]


def _petals(x, y, inks, rng):
    cx, cy, leaves, turn = rng.uniform(0.35, 0.65), rng.uniform(0.35, 0.65), int(rng.integers(5, 9)), rng.uniform(0, 6)
    distance, angle = np.hypot(x - cx, y - cy), np.arctan2(y - cy, x - cx)
    for size, ink in zip(rng.uniform(0.9, 1.1) * np.array([0.42, 0.26]), inks, strict=False):
        yield distance < size * np.abs(np.cos(leaves * (angle + turn) / 2)) ** 0.7, ink
    yield distance < 0.07, inks[2]


def _rays(x, y, inks, rng):
    cx, cy, rays, turn = rng.uniform(0, 1), rng.choice([-0.05, 1.05]), int(rng.integers(9, 15)), rng.uniform(0, 6)
    angle = np.arctan2(y - cy, x - cx) + turn
    for beam in range(2):
        yield np.floor(angle * rays / np.pi).astype(int) % 4 == 2 * beam, inks[beam]
    yield np.hypot(x - cx, y - cy) < rng.uniform(0.18, 0.28), inks[2]


def _peaks(x, y, inks, rng):
    cx, cy = rng.uniform(0.2, 0.8), rng.uniform(0.15, 0.3)
    yield np.hypot(x - cx, y - cy) < rng.uniform(0.08, 0.13), inks[0]
    for row in range(3):
        tops = rng.uniform(0, 1, 3) + np.arange(3) * 0.5 - 0.4
        steep, foot = rng.uniform(0.9, 1.5), 0.45 + 0.17 * row
        ridge = np.min([steep * np.abs(x - top) for top in tops], axis=0)
        yield y > foot - 0.15 + ridge, inks[(row + 1) % 3]


_SHAPES = {"rings": _rings, "waves": _waves, "blocks": _blocks, "petals": _petals, "rays": _rays, "peaks": _peaks}


def _texture(texture, x, y, rng):
    """What is added to each colour, in steps of 255."""
    u, v = _turned(x, y, rng.uniform(-0.3, 0.3))
    lines = rng.uniform(13, 17)
    match texture:
        case "flat":
            return np.zeros_like(x)
        case "grain":
            return np.kron(rng.normal(0, 22, (SIDE, SIDE)), np.ones((FINER, FINER)))
        case "stripes":
            return 20 * np.sin(2 * np.pi * lines * v)
        case "dots":
            return 70 * ((np.cos(2 * np.pi * lines * u * 0.7) + np.cos(2 * np.pi * lines * v * 0.7)) > 1.1) - 10
        case "weave":
            return 20 * np.sign(np.sin(2 * np.pi * lines * u) * np.sin(2 * np.pi * lines * v))
    raise ValueError(f"texture must be one of {', '.join(TEXTURES)}, got {texture!r}.")
