"""The stored notebooks are whole, their exercises tell right from wrong, and what runs them keeps count."""

import copy
import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib
import nbformat
import pytest

import bootstrap

matplotlib.use("Agg")

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in PATHS}
LESSONS = [name for name in NOTEBOOKS if name[0].isdigit()]
APPENDICES = [name for name in NOTEBOOKS if name.startswith("appendix_")]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "notebooks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run, badges = script("run"), script("badges")


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_stored_notebook_was_executed_in_order_without_errors(name):
    cells = code(NOTEBOOKS[name])
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_leaves_the_machine_alone(name):
    sources = "\n".join(cell.source for cell in code(NOTEBOOKS[name])[1:])  # the first is for Colab alone
    assert not re.search(r"pip install|sys\.path|filterwarnings|urlopen|requests\.get|^[!%]", sources, re.M)


def test_every_notebook_is_a_lesson_or_an_appendix():
    assert [*LESSONS, *APPENDICES] == list(NOTEBOOKS)


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_has_its_parts(name):
    notebook = NOTEBOOKS[name]
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert prose.startswith(f"# {name[:2]} · ")
    for part in ("Baseline", "claim", "Where it fails", "take away", "Exercise 1", "Exercise 2", "Next", "References"):
        assert part in prose
    assert sum(cell.source.count("assert ") for cell in code(notebook)) >= 10
    assert sum("image/png" in o.get("data", {}) for cell in code(notebook) for o in cell.outputs) >= 2
    assert all(len(cell.source.splitlines()) <= 20 for cell in code(notebook))


@pytest.mark.parametrize("name", APPENDICES)
def test_an_appendix_shows_and_claims(name):
    notebook, figures = NOTEBOOKS[name], {"appendix_world": 5, "appendix_tfbert": 1}[name]
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert prose.startswith("# Appendix · ")
    for part in ("claim", "Next", "References"):
        assert part in prose
    assert sum(cell.source.count("assert ") for cell in code(notebook)) >= 5
    assert sum("image/png" in o.get("data", {}) for cell in code(notebook) for o in cell.outputs) >= figures
    assert all(len(cell.source.splitlines()) <= 20 for cell in code(notebook))


@pytest.mark.parametrize("name", LESSONS)
def test_every_exercise_has_a_solution_out_of_sight_and_a_check(name):
    notebook = NOTEBOOKS[name]
    kinds = [
        tag
        for cell in notebook.cells
        for tag in cell.metadata.get("tags", [])
        if tag in ("exercise", "solution", "check")
    ]
    assert kinds
    assert kinds == ["exercise", "solution", "check"] * (len(kinds) // 3)
    for cell in tagged(notebook, "solution"):
        assert cell.metadata["jupyter"]["source_hidden"]
        assert cell.source.startswith("# solution") and cell.source.endswith("# solution")


@functools.cache
def before_exercises(name):
    """What a lesson's cells have defined by the time its exercises begin."""
    notebook, names = NOTEBOOKS[name], {"display": lambda *_: None}
    first = notebook.cells.index(tagged(notebook, "exercise")[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT / "notebooks")
        for cell in notebook.cells[:first]:
            if cell.cell_type == "code" and not {"not-for-exercises", "colab"} & set(cell.metadata.get("tags", [])):
                exec(cell.source, names)
    return names


CASES = [
    pytest.param(name, *case, id=f"{name}-{i}")
    for name in LESSONS
    for i, case in enumerate(importlib.import_module(f"tests.answers.lesson_{name}").ANSWERS)
]


@pytest.mark.parametrize(("name", "exercise", "answer", "said"), CASES)
def test_a_check_takes_right_answers_and_tells_wrong_ones_apart(name, exercise, answer, said):
    check = tagged(NOTEBOOKS[name], "check")[exercise].source
    names = dict(before_exercises(name))
    exec(answer, names)
    if said is None:
        exec(check, names)
    else:
        with pytest.raises(AssertionError, match=said):
            exec(check, names)


@pytest.mark.parametrize("name", LESSONS)
def test_each_exercise_has_right_answers_and_three_wrong_ones(name):
    checks = tagged(NOTEBOOKS[name], "check")
    answers = importlib.import_module(f"tests.answers.lesson_{name}").ANSWERS
    for exercise in range(len(checks)):
        said = [said for number, _, said in answers if number == exercise]
        assert said.count(None) >= 1
        assert len({message for message in said if message}) >= 3


def test_the_list_of_notebooks_is_what_the_measurements_say_and_none_is_stale():
    measured = run.read_measured()
    assert list(measured) == list(NOTEBOOKS)
    for name, told in measured.items():
        for place in ("here", "binder"):
            stale = f"{name} has changed: make measure ONLY={name}, or python -m tests.binder {name}"
            assert told[place]["cells"] == run.cells_digest(ROOT / "notebooks" / f"{name}.ipynb"), stale
    text = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    assert run.with_table(text) == text
    assert re.findall(r"\((\w+)\.ipynb\)", text) == list(NOTEBOOKS)


def test_a_measured_notebook_stays_within_the_limits_of_the_course():
    for name, told in run.read_measured().items():
        assert told["here"]["failure"] is told["binder"]["failure"] is None
        assert told["here"]["peak_mb"] <= 1800
        assert told["here"]["seconds"] <= (150 if name in badges.TRAIN else 90)


# --- where they are found ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_notebook_begins_with_the_same_cell_for_colab_and_the_badges_of_the_address(name):
    notebook = copy.deepcopy(NOTEBOOKS[name])
    badges.write(notebook, name, badges.address((ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    assert notebook == NOTEBOOKS[name]
    assert code(notebook)[0].id == "colab"
    assert code(notebook)[0].outputs == []


def test_the_cell_for_colab_installs_what_no_pin_of_ours_contradicts():
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    for package in re.findall(r'"([\w-]+==[\d.]+)"', badges.COLAB):
        assert re.search(rf"^{re.escape(package)}\b", pins, re.M)


def test_the_cell_gets_the_course_and_nothing_else_that_colab_has(tmp_path):
    repository, site, cell = tmp_path / "repository", tmp_path / "site", tmp_path / "cell.ipy"
    shutil.copytree(ROOT / "reclab", repository / "reclab")
    shutil.copytree(ROOT / "data", repository / "data")
    site.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, repository)
    for command in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -qm a"):
        subprocess.run(["git", *command.split()], cwd=repository, check=True)
    source = re.sub("course = .*", f'course = "{repository.as_uri()}"', code(NOTEBOOKS["00_tour"])[0].source)
    cell.write_text(source + "\n    import reclab\n\n    print(reclab.__file__)\n")
    colab = {"COLAB_RELEASE_TAG": "any", "PIP_TARGET": str(site), "PYTHONPATH": str(site), "IPYTHONDIR": str(tmp_path)}
    command = [sys.executable, "-m", "IPython", "--no-banner", str(cell)]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | colab, capture_output=True, text=True, timeout=300)
    assert "Computing with: " in done.stdout, done.stdout + done.stderr
    assert str(site / "reclab" / "__init__.py") in done.stdout
    assert sorted(path.name.split("-")[0] for path in site.glob("*.dist-info")) == ["pytrec_eval_terrier", "reclab"]


def test_an_address_is_written_everywhere_and_taken_back():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 03 · Intent")])
    badges.write(notebook, "03_intent", None)
    without = copy.deepcopy(notebook)
    assert [cell.id for cell in notebook.cells[1:]] == ["colab"]
    assert "course = input(" in notebook.cells[1].source
    badges.write(notebook, "03_intent", "owner/name")
    assert [cell.id for cell in notebook.cells[1:]] == ["badges", "colab"]
    assert "github/owner/name/blob/main/notebooks/03_intent.ipynb" in notebook.cells[1].source
    assert 'course = "https://github.com/owner/name"' in notebook.cells[2].source
    assert notebook.metadata["accelerator"] == "GPU"
    badges.write(notebook, "03_intent", None)
    assert notebook == without

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    bare = badges.readme(text, None)
    assert "[![" not in bare
    once = badges.readme(bare, "owner/name")
    assert once.startswith("# RecLab\n\n[![Tests](https://github.com/owner/name/actions/")
    assert badges.readme(once, "else/where").count("[![") == once.count("[![") == 3
    assert badges.readme(once, None) == bare


def test_the_address_stands_in_pyproject():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    there = badges.with_address(text, "owner/name")
    assert badges.address(there) == "owner/name"
    assert badges.address(badges.with_address(there, "else/where")) == "else/where"
    assert badges.with_address(there, "owner/name") == there
    for wrong in ("owner", "https://github.com/owner/name", "owner/na me", ""):
        with pytest.raises(ValueError, match="REPO must be owner/name"):
            badges.with_address(text, wrong)


def test_an_address_makes_no_new_environment_and_another_requirement_does(tmp_path, monkeypatch):
    monkeypatch.setattr(bootstrap, "ROOT", str(tmp_path))
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    changed = text.replace('"numpy>=2.0"', '"numpy>=2.1"')
    digests = []
    for form in (text, badges.with_address(text, "owner/name"), changed, badges.with_address(changed, "else/where")):
        (tmp_path / "pyproject.toml").write_text(form, encoding="utf-8")
        digests.append(bootstrap.digest())
    assert digests[0] == digests[1] != digests[2] == digests[3]


def test_the_readme_has_the_badges_of_the_address():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert badges.readme(text, badges.address((ROOT / "pyproject.toml").read_text(encoding="utf-8"))) == text


# --- running them ---------------------------------------------------------------------------------------------------


def write_notebook(path, *sources):
    cells = [nbformat.v4.new_markdown_cell(f"# {path.stem} · a title")]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(run, "COURSE", run.ROOT / "build" / tmp_path.name)
    yield tmp_path
    for path in sorted(run.COURSE.glob("*")):
        path.unlink()
    run.COURSE.rmdir()


def test_a_failure_is_placed_and_the_others_still_run(place, capsys):
    bad = write_notebook(place / "01_bad.ipynb", "a = 1", "\nb = a / 0", "c = 2")
    good = write_notebook(place / "02_good.ipynb", "print(6 * 7)")
    runs = run.course([bad, good])
    assert runs[0].failure == "code cell 2 (b = a / 0): ZeroDivisionError: division by zero"
    assert runs[1].failure is None
    assert runs[1].peak_mb > 20
    page = (run.COURSE / "index.html").read_text(encoding="utf-8")
    assert "ZeroDivisionError" in page
    assert '<a href="02_good.html">02_good · a title</a>' in page
    assert "42" in (run.COURSE / "02_good.html").read_text(encoding="utf-8")
    assert "cell 1/1" in capsys.readouterr().err


def test_a_page_does_not_give_the_solution_away(place):
    path = write_notebook(place / "01_exercise.ipynb", "secret = 1", "assert secret")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].metadata["tags"] = ["solution"]
    nbformat.write(notebook, path)
    assert run.course([path])[0].failure is None
    page = (run.COURSE / "01_exercise.html").read_text(encoding="utf-8")
    assert page.count("secret") == 1  # in the check


def test_what_ran_well_and_did_not_change_is_not_run_again(place, capsys):
    path = write_notebook(place / "01_once.ipynb", "print('first')")
    first = run.course([path])[0]
    assert run.course([path])[0] == first
    assert "01_once: unchanged" in capsys.readouterr().err
    (run.COURSE / "01_once.json").write_text("{")
    run.course([path])
    write_notebook(place / "01_once.ipynb", "print('second')")
    assert run.course([path])[0].key != first.key
    assert "second" in (run.COURSE / "01_once.html").read_text(encoding="utf-8")


def test_refresh_stores_outputs_only_of_what_ran_well(place):
    good = write_notebook(place / "01_good.ipynb", "print(6 * 7)")
    bad = write_notebook(place / "02_bad.ipynb", "1 / 0")
    before = bad.read_text()
    runs = run.refresh([good, bad])
    stored = json.loads(good.read_text())
    assert stored["cells"][1]["outputs"][0]["text"] == ["42\n"]
    assert "execution" not in stored["cells"][1]["metadata"]
    assert runs[1].failure
    assert bad.read_text() == before
    run.COURSE.mkdir(parents=True)


def test_a_kernel_that_dies_is_a_failure(place):
    path = write_notebook(place / "01_dies.ipynb", "import os; os._exit(9)")
    assert run.course([path])[0].failure.startswith("code cell 1 (import os; os._exit(9)): ")
