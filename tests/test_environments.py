"""Each environment has the versions that it is for, and the files that describe them agree."""

import importlib.metadata
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import bootstrap

ROOT = Path(__file__).parents[1]
HERE = Path(sys.prefix)
LATEST = {"tensorflow": "2.21", "keras": "3.15", "transformers": "5.23", "numpy": "2.5", "pandas": "3"}


def pins(path):
    lines = [line.split("#")[0].strip() for line in (ROOT / path).read_text(encoding="utf-8").splitlines()]
    return {requirement.name: requirement for requirement in map(Requirement, filter(None, lines))}


def differing(requirements):
    return [str(one) for one in requirements if importlib.metadata.version(one.name) not in one.specifier]


@pytest.mark.skipif(HERE != ROOT / ".venv", reason="for the environment of make test")
def test_the_pinned_versions_are_installed():
    assert differing(pins("requirements.txt").values()) == []


@pytest.mark.skipif(HERE != ROOT / "build" / "colab", reason="for the environment of make test ENV=colab")
def test_nothing_that_colab_has_was_changed():
    assert differing(pins("tests/environments/colab.txt").values()) == []


@pytest.mark.skipif(HERE != ROOT / "build" / "latest", reason="for the environment of make test ENV=latest")
@pytest.mark.parametrize("name", LATEST)
def test_the_newest_versions_are_installed(name):
    assert Version(importlib.metadata.version(name)) >= Version(LATEST[name])


def test_our_pins_are_colab_s_where_they_decide_a_number():
    ours, theirs = pins("requirements.txt"), pins("tests/environments/colab.txt")
    free = {"setuptools", "ipykernel", "ipywidgets", "pillow"}  # of no matter to a number
    assert [name for name in ours if name in theirs and name not in free and ours[name] != theirs[name]] == []
    assert {
        "tensorflow",
        "keras",
        "numpy",
        "scipy",
        "pandas",
        "scikit-learn",
        "tokenizers",
    } <= ours.keys() & theirs.keys()


def test_binder_installs_our_pins_and_leaves_out_only_the_checks():
    ours, theirs = pins("requirements.txt"), pins("binder/requirements.txt")
    last = (ROOT / "binder" / "postBuild").read_text(encoding="utf-8")
    theirs |= {one.name: one for one in map(Requirement, re.findall(r"[\w-]+==[\d.]+", last))}
    small = theirs.pop("tensorflow-cpu")
    assert small.specifier == ours.pop("tensorflow").specifier
    assert set(ours) - set(theirs) == {"nbval", "pytest", "pytest-xdist", "ruff"}
    assert [name for name in theirs if theirs[name] != ours[name]] == []


def test_what_is_added_to_colab_has_our_pins():
    ours = pins("requirements.txt")
    assert [one for one in map(Requirement, bootstrap.CHECKS) if one != ours[one.name]] == []


FREE = r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Unlicense|MPL|Mozilla"
TOLD_ELSEWHERE = {"namex": "Apache-2.0, in its LICENSE file"}


def licence(package):
    told = importlib.metadata.metadata(package)
    classifiers = [line for line in told.get_all("Classifier", []) if line.startswith("License ::")]
    return " ".join([told.get("License-Expression") or "", *classifiers]) or told.get("License") or ""


@pytest.mark.skipif(HERE != ROOT / ".venv", reason="for the environment of make test")
def test_every_installed_package_has_a_free_licence():
    packages = {distribution.metadata["Name"] for distribution in importlib.metadata.distributions()} - {"reclab"}
    unknown = {name: licence(name) for name in packages if not re.search(FREE, licence(name))}
    copyleft = {name: licence(name) for name in packages if re.search(r"(?<!L)GPL|AGPL|SSPL", licence(name))}
    assert unknown.keys() == TOLD_ELSEWHERE.keys()
    assert copyleft == {}
