"""What this machine has, and what to do about what is missing."""

import contextlib
import dataclasses
import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from reclab import device, fetch

GIGABYTE = 1e9
SAME = {"tensorflow": "tensorflow-cpu"}  # the same package without its code for GPUs
PINS = Path(__file__).parents[1] / "requirements.txt"  # there in a clone, not in an installed package


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the report; `state` is "good", "note" (works, but differs) or "bad" (will not work)."""

    subject: str
    state: str
    found: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """Look at Python, packages, processor, memory, disk and weights, one after the other.

    >>> [finding.subject for finding in examine()][:2]
    ['Python', 'packages']
    """
    yield _python()
    yield from _packages()
    yield _processor()
    yield _memory()
    yield _disk()
    for name in fetch.CATALOGUE:
        yield _download(name)


def _python():
    version = platform.python_version()
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("Python", "good", version)
    return Finding(
        "Python", "bad", version, "install Python 3.11, 3.12 or 3.13; TensorFlow 2.20 has no wheel for this one"
    )


def _packages():
    """Held against the pins in a clone, else against the ranges of reclab; what only a pin names may be absent."""
    try:
        ranges = importlib.metadata.requires("reclab")
    except importlib.metadata.PackageNotFoundError:
        yield Finding("packages", "bad", "reclab is not installed", 'run "make setup", or "pip install ."')
        return
    lines = PINS.read_text(encoding="utf-8").splitlines() if PINS.is_file() else ranges
    wanted = [Requirement(line) for text in lines if (line := text.split("#")[0].strip())]
    needed = {canonicalize_name(Requirement(line).name) for line in ranges}
    differing, absent = [], []
    for requirement in wanted:
        version = _version(requirement.name)
        if version is not None:
            if version not in requirement.specifier:
                differing.append(f"{requirement.name} {version} ({requirement.specifier})")
        elif canonicalize_name(requirement.name) in needed:
            advice = f'run "make setup", or "pip install {requirement}"'
            yield Finding("packages", "bad", f"{requirement.name} is not installed", advice)
        else:
            absent.append(requirement.name)
    if absent:
        advice = 'reclab runs without; the notebooks or the checks may not: "make setup" installs all'
        yield Finding("packages", "note", f"not installed: {', '.join(absent)}", advice)
    if differing:
        advice = 'numbers may differ in the last digits; "make setup" installs the pinned versions'
        yield Finding("packages", "note", ", ".join(differing), advice)
    else:
        yield Finding("packages", "good", f"{len(wanted) - len(absent)} as required")


def _version(name):
    for each in (name, SAME.get(name, name)):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(each)
    return None


def _processor():
    import tensorflow as tf

    cores = psutil.cpu_count(logical=False) or psutil.cpu_count()
    if device.found().gpus:
        return Finding("processor", "good", f"{cores} cores; {device.found()}")
    if shutil.which("nvidia-smi"):
        advice = 'for the NVIDIA GPU here: .venv/bin/pip install "tensorflow[and-cuda]==' + tf.__version__ + '"'
        return Finding("processor", "note", f"{cores} cores; TensorFlow sees no GPU", advice)
    return Finding("processor", "good", f"{cores} cores; {device.found()}; the course needs no GPU")


def _memory():
    free = psutil.virtual_memory().available / GIGABYTE
    if free < 2:
        return Finding("memory", "note", f"{free:.1f} GB free", "a notebook may take 1.8 GB: close other programs")
    return Finding("memory", "good", f"{free:.1f} GB free")


def _disk():
    place = fetch.cache()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / GIGABYTE
    if free < 1:
        return Finding(
            "disk", "bad", f"{free:.1f} GB free at {place}", "make room, or set RECLAB_CACHE to another disk"
        )
    return Finding("disk", "good", f"{free:.1f} GB free at {place}")


def _download(name):
    if fetch.is_ready(name):
        return Finding(name, "good", "here and verified")
    size = fetch.CATALOGUE[name].megabytes
    return Finding(
        name,
        "note",
        "not here yet",
        f"downloaded at first use, about {size} MB; or set RECLAB_CACHE to a folder that has it",
    )
