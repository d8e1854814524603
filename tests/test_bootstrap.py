"""What the setup says when it cannot go on: one sentence, and what to do."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import make

ROOT = Path(__file__).parents[1]


@pytest.fixture
def clone(tmp_path):
    for name in ("bootstrap.py", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def change(clone, old, new):
    text = (clone / "bootstrap.py").read_text()
    assert old in text
    (clone / "bootstrap.py").write_text(text.replace(old, new))


def setup(clone, *options, **environment):
    command = [sys.executable, str(clone / "bootstrap.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=120)


def finished(clone, version):
    """As if an environment had been made by that Python from the files as they are."""
    (clone / ".venv").mkdir(exist_ok=True)
    code = f"import sys; sys.path.insert(0, {str(clone)!r}); import bootstrap; print(bootstrap.digest())"
    digest = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    (clone / ".venv" / "made-from").write_text(f"{version}\n{digest}")


def refused(done):
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_another_python_is_told_which_will_do(clone):
    change(clone, "SUPPORTED = ((3, 11), (3, 12), (3, 13))", "SUPPORTED = ()")
    said = refused(setup(clone))
    assert said.startswith("setup: Python 3.")
    assert "Name one: make PYTHON=python3.12" in said


def test_a_full_disk(clone):
    change(clone, "GIGABYTES = 5", "GIGABYTES = 10**9")
    assert "the disk is nearly full. Make 1000000000 GB free" in refused(setup(clone))


def test_an_index_that_cannot_be_reached(clone):
    done = setup(
        clone, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="0", PIP_EXTRA_INDEX_URL="", PIP_FIND_LINKS=""
    )
    said = refused(done)
    assert "the package index cannot be reached, or lacks a pinned package" in said
    assert "PIP_INDEX_URL" in said
    assert not (clone / ".venv" / "made-from").exists()  # so that the next run starts again


def test_what_was_built_is_reused_until_the_requirements_change(clone):
    finished(clone, "3.12.0")
    done = setup(clone)
    assert (done.returncode, done.stderr) == (0, "")
    with (clone / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    change(clone, "GIGABYTES = 5", "GIGABYTES = 10**9")  # so that it stops before it builds
    assert "disk" in refused(setup(clone))
    assert not (clone / ".venv").exists()


def test_a_python_that_was_asked_for_is_the_one_that_is_used(clone):
    version = ".".join(map(str, sys.version_info[:3]))
    finished(clone, version)
    assert setup(clone, "--exactly").returncode == 0
    finished(clone, "3.1.4")
    change(clone, "GIGABYTES = 5", "GIGABYTES = 10**9")
    assert "disk" in refused(setup(clone, "--exactly"))


def test_two_at_once_wait_for_each_other(clone):
    code = f"import sys; sys.path.insert(0, {str(clone)!r}); import bootstrap, time\n"
    hold = code + "with bootstrap.alone(): print('held', flush=True); time.sleep(1); print(time.monotonic())"
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        wait = code + "with bootstrap.alone(): print(time.monotonic())"
        second = subprocess.run([sys.executable, "-c", wait], capture_output=True, text=True, check=True)
        assert float(first.stdout.readline()) <= float(second.stdout)
    assert second.stderr == "setup: waiting for another setup to end ...\n"


def test_a_setup_that_was_killed_does_not_hold_the_next_one_up(clone):
    code = f"import sys; sys.path.insert(0, {str(clone)!r}); import bootstrap, time\n"
    hold = code + "with bootstrap.alone(): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        first.kill()
    subprocess.run([sys.executable, "-c", code + "with bootstrap.alone(): pass"], check=True, timeout=20)


def test_make_has_the_tasks_of_its_twin_and_tells_of_each():
    text = (ROOT / "Makefile").read_text()
    assert re.search("^TASKS := (.*)$", text, re.M)[1].split() == list(make.TASKS)
    for task in make.TASKS:
        assert f"# make {task} " in text or task in ("lint", "lock", "clean")


def test_the_twin_passes_on_what_it_is_told(monkeypatch):
    called = []
    monkeypatch.setattr(make.bootstrap, "setup", lambda *_: None)
    monkeypatch.setattr(make.subprocess, "call", lambda command, cwd, env: called.append((command, env)) or 0)
    monkeypatch.setenv("RECLAB_DATA", "data")
    monkeypatch.setattr(sys, "argv", ["make.py", "course", "--only", "00_tour", "02_encode"])
    make.main()
    [(command, env)] = called
    assert command == [str(ROOT / ".venv/bin/python"), "notebooks/run.py", "course", "00_tour", "02_encode"]
    assert (env["RECLAB_DATA"], env["PYTHONHASHSEED"]) == (str(Path("data").absolute()), "0")


def test_the_twin_stops_at_what_failed(monkeypatch):
    called = []
    monkeypatch.setattr(make.bootstrap, "setup", lambda *_: None)
    monkeypatch.setattr(make.subprocess, "call", lambda command, **_: called.append(command) or 3)
    monkeypatch.setattr(sys, "argv", ["make.py", "lint"])
    with pytest.raises(SystemExit, match="3"):
        make.main()
    assert len(called) == 1


def test_make_says_when_there_is_no_such_python():
    done = subprocess.run(["make", "setup", "PYTHON=python9.9"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode
    assert "python9.9 does not run here: install Python 3.11, 3.12 or 3.13" in done.stdout
