import importlib.metadata
import json
import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from reclab import doctor
from reclab.__main__ import app

run = CliRunner().invoke


def test_json_is_one_object_a_sentence_and_nothing_else(minilm_folder):
    command = [
        sys.executable,
        "-m",
        "reclab",
        "recommend",
        "I want to learn jazz piano",
        "安静的海边",
        "-k",
        "3",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONUTF8": "1"})
    assert done.returncode == 0, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert list(first) == ["text", "intent", "probability", "items"]
    assert (first["text"], first["intent"]) == ("I want to learn jazz piano", "learning")
    assert 0.1 < first["probability"] < 1
    assert [list(item) for item in first["items"]] == [["item", "title", "score", "why"]] * 3
    assert first["items"][0]["title"] == "Home Row Sonata"
    assert "piano" in first["items"][0]["why"]
    assert second["text"] == "安静的海边"
    chatter = re.compile(r"WARNING: All log messages before absl|I0000 ")  # TensorFlow 2.21 heeds no setting
    assert [line for line in done.stderr.splitlines() if not chatter.match(line)] == []


def test_the_table_shows_what_the_json_has(minilm):
    done = run(app, ["recommend", "a novel set on a spaceship", "-k", "2"])
    assert done.exit_code == 0
    for part in ("a novel set on a spaceship", "intent: books (", "The Airlock Readers", "novel"):
        assert part in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["recommend"], "Missing argument"),
        (["recommend", "  "], "must have something to read"),
        (["recommend", "a", "-k", "0"], "Invalid value for '-k'"),
        (["recommend", "a", "-k", "601"], "world has 600 items, got 601"),
        (["recommend", "a", "--data", "netflix"], "'netflix' is not"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_loaded(arguments, said):
    done = run(app, arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_help_names_the_commands():
    assert all(word in run(app, ["--help"]).output for word in ("recommend", "doctor"))
    assert all(word in run(app, ["recommend", "--help"]).output for word in ("--json", "--data", "ml-latest-small"))


def test_without_weights_and_network_the_reason_is_told_without_a_traceback(tmp_path):
    environment = os.environ | {"RECLAB_CACHE": str(tmp_path), "PIP_NO_INDEX": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    environment.pop("PIP_FIND_LINKS", None)
    command = [sys.executable, "-m", "reclab", "recommend", "a quiet beach", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Error: minilm could not be downloaded. Tried:" in done.stderr
    assert "Traceback" not in done.stderr


# --- doctor ---------------------------------------------------------------------------------------------------------


def test_the_doctor_finds_this_machine_well(minilm_folder):
    done = run(app, ["doctor"])
    assert done.exit_code == 0
    for subject in ("Python:", "packages:", "processor:", "memory:", "disk:", "minilm: here and verified"):
        assert subject in done.output


def test_the_doctor_sees_what_is_missing_or_differs(tmp_path, monkeypatch):
    pins = tmp_path / "requirements.txt"
    pins.write_text("numpy==1.0  # old\nno-such-package>=2\nno-such-check==1\n")
    monkeypatch.setattr(doctor, "PINS", pins)
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: ["numpy>=2.0", "No_Such.Package>=2"])
    monkeypatch.setenv("RECLAB_CACHE", str(tmp_path / "empty"))
    monkeypatch.delenv("RECLAB_DATA", raising=False)
    findings = list(doctor.examine())
    packages = [finding for finding in findings if finding.subject == "packages"]
    assert [finding.state for finding in packages] == ["bad", "note", "note"]
    assert packages[0].found == "no-such-package is not installed"
    assert packages[1].found == "not installed: no-such-check"
    assert packages[2].found.endswith("(==1.0)")
    assert next(finding for finding in findings if finding.subject == "minilm").found == "not here yet"
    assert run(app, ["doctor"]).exit_code == 1


def test_the_doctor_in_a_folder_that_was_only_copied(monkeypatch):
    def requires(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.importlib.metadata, "requires", requires)
    assert [f.found for f in doctor.examine() if f.subject == "packages"] == ["reclab is not installed"]


def test_the_doctor_takes_tensorflow_without_its_code_for_gpus(tmp_path, monkeypatch):
    pins, real = tmp_path / "requirements.txt", importlib.metadata.version

    def version(name):
        if name == "tensorflow":
            raise importlib.metadata.PackageNotFoundError(name)
        return "2.20.0" if name == "tensorflow-cpu" else real(name)

    pins.write_text("tensorflow==2.20.0\n")
    monkeypatch.setattr(doctor, "PINS", pins)
    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    assert [f.found for f in doctor.examine() if f.subject == "packages"] == ["1 as required"]


def test_the_doctor_knows_which_pythons_will_do(monkeypatch):
    monkeypatch.setattr(doctor.sys, "version_info", (3, 14, 0))
    assert next(doctor.examine()).state == "bad"
