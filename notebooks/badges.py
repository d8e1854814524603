"""Write the repository's address wherever a reader needs it.

It stands in pyproject.toml, under `[project.urls]`; `badges.py --repo owner/name` puts it there
first. The README and the notebooks get their badges, and the first code cell of every notebook the
place from which Colab takes the course. Without an address there are no badges, and that cell asks.
"""

import argparse
import re
import tomllib
from pathlib import Path
from urllib.parse import quote

import nbformat

from reclab import fetch

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
TRAIN = ("03_intent", "05_fuse")  # where a GPU pays: they train networks
COLAB = """\
# On Colab this gets the course and the package that Colab lacks; elsewhere it does nothing.
import os

if "COLAB_RELEASE_TAG" in os.environ:
    course = {course}
    %pip install --quiet --no-deps "git+{{course}}" "pytrec-eval-terrier==0.5.11"
    from reclab import device

    device.advise()"""
ASK = 'input("Where is the course? https://github.com/owner/name: ")'


def address(pyproject: str) -> str | None:
    """The repository as "owner/name", as the text of a pyproject.toml has it."""
    found = tomllib.loads(pyproject)["project"].get("urls", {}).get("Repository")
    return found and found.removeprefix("https://github.com/")


def with_address(pyproject: str, repo: str) -> str:
    """The text of a pyproject.toml with another repository."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise ValueError(f"REPO must be owner/name, got {repo!r}.")
    without = re.sub(r'\[project\.urls\]\nRepository = ".*"\n\n', "", pyproject)
    entry = f'[project.urls]\nRepository = "https://github.com/{repo}"\n\n[tool.setuptools]\n'
    return without.replace("[tool.setuptools]\n", entry, 1)


def badge(name: str, picture: str, target: str) -> str:
    return f"[![{name}]({picture})]({target})"


def colab(repo: str, notebook: str) -> str:
    site = "https://colab.research.google.com"
    target = f"{site}/github/{repo}/blob/main/notebooks/{notebook}.ipynb"
    return badge("Open in Colab", f"{site}/assets/colab-badge.svg", target)


def binder(repo: str, notebook: str) -> str:
    path = quote(f"lab/tree/notebooks/{notebook}.ipynb", safe="")
    target = f"https://mybinder.org/v2/gh/{repo}/main?urlpath={path}"
    return badge("Open in Binder", "https://mybinder.org/badge_logo.svg", target)


def tests(repo: str) -> str:
    workflow = f"https://github.com/{repo}/actions/workflows/test.yml"
    return badge("Tests", f"{workflow}/badge.svg", workflow)


def readme(text: str, repo: str | None) -> str:
    """The README's text with its badges under the heading."""
    text = re.sub(r"^(# .*\n)\n\[!\[.*\n", r"\1", text)
    line = repo and " ".join([tests(repo), colab(repo, "00_tour"), binder(repo, "00_tour")])
    return text.replace("\n", f"\n\n{line}\n", 1) if line else text


def write(notebook: nbformat.NotebookNode, name: str, repo: str | None) -> None:
    """Give the notebook its badges, its Colab cell and, where it trains, the wish for a GPU."""
    old = {cell.id: cell for cell in notebook.cells}
    notebook.cells = [cell for cell in notebook.cells if cell.id not in ("badges", "colab")]
    cell = old.get("colab") or nbformat.v4.new_code_cell(id="colab", metadata={"tags": ["colab"]})
    cell.source = COLAB.format(course=f'"https://github.com/{repo}"' if repo else ASK)
    notebook.cells.insert(1, cell)
    if repo:
        line = f"{colab(repo, name)} {binder(repo, name)}"
        notebook.cells.insert(1, nbformat.v4.new_markdown_cell(line, id="badges"))
    if name in TRAIN:
        notebook.metadata.update({"accelerator": "GPU", "colab": {"gpuType": "T4"}})


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repo", metavar="owner/name", help="the repository on GitHub")
    repo = parser.parse_args().repo
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if repo:
        try:
            pyproject = with_address(pyproject, repo)
        except ValueError as error:
            parser.error(str(error))
        fetch.write(ROOT / "pyproject.toml", pyproject)
    repo = address(pyproject)
    fetch.write(ROOT / "README.md", readme((ROOT / "README.md").read_text(encoding="utf-8"), repo))
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        write(notebook, path.stem, repo)
        fetch.write(path, nbformat.writes(notebook) + "\n")
    print(f"The course is at https://github.com/{repo}" if repo else "No address yet: no badges.")


if __name__ == "__main__":
    main()
