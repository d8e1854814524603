"""What the machine computes with: the one place that chooses precision and batch size."""

import dataclasses
import functools
import os
from collections.abc import Sequence

PRECISIONS = ("float32", "bfloat16", "float16")
TENSOR_CORES = (7, 0)  # the compute capability from which NVIDIA's GPUs multiply float16 in special units


@dataclasses.dataclass(frozen=True)
class Device:
    """What was found, and what suits it.

    Attributes:
        gpus: the names of the GPUs that TensorFlow can use.
        precision: in which a network reads; in training the weights stay float32 and only the products are in it.
        batch_size: how many texts of 32 tokens are read at once.
    """

    gpus: tuple[str, ...]
    precision: str
    batch_size: int

    def __str__(self):
        return f"{', '.join(self.gpus) or 'no GPU'}; {self.precision}, {self.batch_size} texts at a time"


def choose(gpus: Sequence[tuple[str, tuple[int, int]]], wish: str | None = None) -> Device:
    """What suits these GPUs, of which each has a name and a compute capability.

    Without a GPU it is float32, which gives the same numbers everywhere; a GPU with tensor cores reads in float16.

    Args:
        gpus: none, or some.
        wish: a precision that is taken whatever was found.

    Raises:
        ValueError: the wish is not a precision.

    >>> print(choose([]))
    no GPU; float32, 64 texts at a time
    >>> print(choose([("Tesla T4", (7, 5))]))
    Tesla T4; float16, 512 texts at a time
    """
    if wish and wish not in PRECISIONS:
        raise ValueError(f"RECLAB_PRECISION must be one of {', '.join(PRECISIONS)}, got {wish!r}.")
    fast = bool(gpus) and all(capability >= TENSOR_CORES for _, capability in gpus)
    precision = wish or ("float16" if fast else "float32")
    return Device(tuple(name for name, _ in gpus), precision, 512 if gpus else 64)


@functools.cache
def found() -> Device:
    """What this machine has. The environment variable RECLAB_PRECISION sets another precision.

    >>> found().precision in PRECISIONS
    True
    """
    import tensorflow as tf

    details = [
        (gpu.name, tf.config.experimental.get_device_details(gpu)) for gpu in tf.config.list_physical_devices("GPU")
    ]
    gpus = [(told.get("device_name", name), told.get("compute_capability", (0, 0))) for name, told in details]
    return choose(gpus, os.environ.get("RECLAB_PRECISION"))


def advise() -> None:
    """Say what was found, and what to do on Colab when it is no GPU."""
    print(f"Computing with: {found()}")
    if not found().gpus:
        print(
            "Every notebook runs without a GPU. To have one where networks are trained (03 and 05): "
            "Runtime > Change runtime type > T4 GPU."
        )
