"""Every command of the course, also where there is no make: `python make.py course`, `python make.py --help`.

Runs on any Python 3 and needs nothing but the standard library; `bootstrap` makes the environment that does the work.
"""

import argparse
import os
import shutil
import subprocess
import sys

import bootstrap

TASKS = {
    "course": "run every notebook and build build/course/index.html",
    "test": "every check; with --env colab or --env latest in the versions of Colab or in the newest ones",
    "lab": "open JupyterLab on the first notebook",
    "lint": "only style and formatting",
    "refresh": "run the notebooks and store their outputs in them",
    "measure": "write down how long each notebook takes, and how much memory, for notebooks/README.md",
    "badges": "write the repository's address and its badges; --repo owner/name sets it",
    "bench": "measure speed and quality (makes an environment of its own for the peers)",
    "setup": "only make the environment",
    "lock": "write requirements.lock anew from requirements.txt, for every platform and Python that is supported",
    "clean": "remove the environments and all that was built",
}
BENCHMARKS = ("run", "tuning", "intents", "rankers", "ranking")
UV = "uv==0.13.8"
PINS = ["--output-file", "requirements.lock", "--universal", "--python-version", "3.11", "--generate-hashes"]
PINS += ["--no-annotate", "--no-header", "--quiet"]
# Notebooks show what their code says, not what the runtime mutters. Fewer pools of memory that glibc keeps for later:
# a notebook that trains needs 100 MB less.
VARIABLES = {"PYTHONHASHSEED": "0", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "MALLOC_ARENA_MAX": "2"}


def commands(options):
    """What to run, one after the other."""
    python = bootstrap.program(bootstrap.folder(options.env), "python")
    lint = [
        [python, "-m", "ruff", "check", "--quiet", "."],
        [python, "-m", "ruff", "format", "--check", "--quiet", "."],
    ]
    nbval = [python, "-m", "pytest", "notebooks", "--nbval-cell-timeout", "300"]
    test = [
        [python, "-m", "pytest", "tests"],
        [python, "-m", "pytest", "reclab", "--doctest-modules"],
        [python, "-m", "tests.offline", *nbval, "--nbval-lax" if options.env == "latest" else "--nbval"],
    ]
    uv = os.path.join(bootstrap.ROOT, "build", "uv")
    return {
        "course": [[python, "notebooks/run.py", "course", *options.only]],
        "test": test if options.env else lint + test,
        "lab": [[python, "-m", "jupyterlab", "notebooks/00_tour.ipynb"]],
        "lint": lint,
        "refresh": [[python, "notebooks/run.py", "refresh", *options.only]],
        "measure": [[python, "notebooks/run.py", "measure", *options.only]],
        "badges": [[python, "notebooks/badges.py", *(["--repo", options.repo] if options.repo else [])]],
        "bench": [[python, "-m", "tests.benchmarks." + name] for name in BENCHMARKS],
        "setup": [],
        "lock": [
            [python, "-m", "venv", uv],
            [bootstrap.program(uv, "python"), "-m", "pip", "install", "--quiet", UV],
            [bootstrap.program(uv, "uv"), "pip", "compile", "requirements.txt", *PINS],
        ],
    }[options.task]


def environment():
    found = dict(os.environ, **VARIABLES)
    if found.get("RECLAB_DATA"):  # notebooks run in their own folder, where a relative path would lead elsewhere
        found["RECLAB_DATA"] = os.path.abspath(found["RECLAB_DATA"])
    return found


def main():
    about = "\n".join("  {:8} {}".format(task, what) for task, what in TASKS.items())
    parser = argparse.ArgumentParser(
        description="Every command of the course:\n\n" + about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=list(TASKS), metavar="task", help="one of the above")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="notebooks, such as 00_tour")
    parser.add_argument("--repo", metavar="owner/name", help="the repository on GitHub")
    parser.add_argument("--env", choices=["colab", "latest"], default="", help="other versions than the pinned ones")
    parser.add_argument("--exactly", action="store_true", help="make the environment anew if it has another Python")
    options = parser.parse_args()
    if options.task == "clean":
        for name in (bootstrap.folder(""), os.path.join(bootstrap.ROOT, "build")):
            shutil.rmtree(name, ignore_errors=True)
        return
    bootstrap.main(lambda: bootstrap.setup(options.env, options.exactly))
    for command in commands(options):
        try:
            code = subprocess.call(command, cwd=bootstrap.ROOT, env=environment())
        except KeyboardInterrupt:
            code = 130
        if code:
            sys.exit(code)


if __name__ == "__main__":
    main()
