"""The package keeps its shape: imports go downward, nothing heavy comes before it is needed, pins agree."""

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import reclab

ROOT = Path(__file__).parents[1]
MODULES = {path.stem: path for path in (ROOT / "reclab").glob("*.py") if not path.stem.startswith("__")}


def places():
    """Module -> (level, how far to the left), as the docstring of the package draws it."""
    rows = re.findall(r"level (\d) \| ([^|\n]+)", reclab.__doc__)
    return {name: (int(level), -i) for level, names in rows for i, name in enumerate(names.split())}


def imported(path):
    """The modules of the package, and the packages outside it, that a file imports at its top."""
    inside, outside = set(), set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module == "reclab":
            inside |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("reclab."):
            inside.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            outside |= {name.split(".")[0] for name in names}
    return inside, outside


def test_the_map_in_the_package_names_every_module():
    assert places().keys() == MODULES.keys()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_downward(name):
    inside, outside = imported(MODULES[name])
    assert all(places()[other] < places()[name] for other in inside)
    if places()[name][0] == 0:
        assert not outside & {"tensorflow", "keras", "transformers"}


def test_every_module_says_in_its_first_sentence_what_it_is():
    for path in MODULES.values():
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert docstring
        assert docstring.split("\n\n")[0].count("\n") == 0


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import reclab", {"tensorflow", "keras", "transformers", "numpy", "pandas"}),
        ("from reclab import data, fetch, text, doctor", {"tensorflow", "keras", "transformers"}),
        ("from reclab import __main__", {"tensorflow", "keras", "transformers"}),
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code, heavy):
    tell = f"{code}; import sys, json; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", tell], capture_output=True)
    assert not heavy & set(json.loads(done.stdout))


# --- requirements ---------------------------------------------------------------------------------------------------


def requirements(text):
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    return {r.name.lower().replace("_", "-"): r for r in (Requirement(line) for line in lines if line)}


PINS = requirements((ROOT / "requirements.txt").read_text())


def test_every_pin_is_exact_and_in_the_lock():
    lock = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(), re.M))
    for name, pin in PINS.items():
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        assert lock[name] == specifier.version


def test_the_packages_own_ranges_admit_the_pins():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, wanted in requirements("\n".join(project["dependencies"])).items():
        (specifier,) = PINS[name].specifier
        assert Version(specifier.version) in wanted.specifier


def test_an_installed_package_brings_its_data(tmp_path):
    builder = Requirement(tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"][0])
    if importlib.metadata.version(builder.name) not in builder.specifier:
        pytest.skip(f"{builder} builds the package; with an older one pip must fetch it, as on Colab")
    copy = tmp_path / "source"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "notebooks", "tests"))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*install, "--target", str(tmp_path / "site"), str(copy)], check=True)
    code = "from reclab import data; print(data.WORLD, data.load('world'))"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert (
        done.stdout.strip()
        == f"{tmp_path / 'site' / 'reclab' / 'world'} World(600 items, 2000 people, 146526 events, 5760 utterances)"
    )


# --- what never enters ----------------------------------------------------------------------------------------------


def test_no_paths_of_a_machine_and_no_package_index_by_name():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    unwanted = re.compile(
        "|".join(("/ro" + "ot/", "/wo" + "rk/", "/ho" + "me/", "py" + r"pi\.org", "python" + "hosted"))
    )
    for name in tracked:
        if not name.endswith((".npz", ".png", ".wav", ".gz")):
            found = unwanted.search((ROOT / name).read_text(encoding="utf-8"))
            assert found is None, f"{name}: {found.group()}"
