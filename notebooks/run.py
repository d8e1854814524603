"""Execute the notebooks.

`run.py course` writes the executed notebooks as pages to build/course/, with an index that has
their minutes and peak memory; what has run well and has not changed since is not run again.
`run.py refresh` stores the outputs in the notebooks themselves. `run.py measure` writes down how
long each takes and how much memory, in measured.json and the table of README.md; with `--binder`
under that heading. Names such as `00_tour` limit all to some notebooks. A failure does not stop the
others; the failures are listed at the end.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import html
import json
import re
import sys
import threading
import time
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from tqdm import tqdm
from traitlets.config import Config

from reclab import fetch

HERE = Path(__file__).parent
ROOT = HERE.parent
MEASURED = HERE / "measured.json"
COURSE = ROOT / "build" / "course"
TIMEOUT = 300  # seconds a cell
KEPT = ("accelerator", "colab")  # metadata by which Colab chooses a machine
WITHOUT_SOLUTIONS = Config(
    {"TagRemovePreprocessor": {"enabled": True, "remove_input_tags": {"solution"}}}
)


@dataclasses.dataclass
class Run:
    """How the execution of one notebook went."""

    name: str
    key: str
    seconds: float
    peak_mb: int
    failure: str | None

    def line(self):
        return f"{self.seconds / 60:.1f} min, {self.peak_mb} MB"


class Watch(threading.Thread):
    """Notes the most memory that a process and its children have held, five times a second.

    Beyond the limit, if there is one, the process is killed, as Binder does.
    """

    def __init__(self, pid, limit_mb=None):
        super().__init__(daemon=True)
        self.process, self.peak, self.over = psutil.Process(pid), 0, threading.Event()
        self.limit = limit_mb and limit_mb * 1e6

    def look(self):
        with contextlib.suppress(psutil.NoSuchProcess):
            held = self.process.memory_info().rss
            for child in self.process.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    held += child.memory_info().rss
            self.peak = max(self.peak, held)
            if self.limit and held > self.limit:
                self.process.kill()

    def run(self):
        while not self.over.wait(0.2):
            self.look()


def execute(path, key="", limit_mb=None):
    """Run the notebook at `path` in a fresh kernel: the executed notebook and its `Run`."""
    notebook = nbformat.read(path, as_version=4)
    places = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    where = {"metadata": {"path": HERE}}
    client = NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3", resources=where)
    shape = "{desc:16} {bar:24} cell {n}/{total} {elapsed}"
    failure, start = None, time.monotonic()
    with (
        tqdm(total=len(places), desc=path.stem, bar_format=shape, file=sys.stderr) as bar,
        client.setup_kernel(),
    ):
        watch = Watch(client.km.provisioner.pid, limit_mb)
        watch.start()
        for number, place in enumerate(places, start=1):
            try:
                client.execute_cell(notebook.cells[place], place)
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                failure = _failure(number, notebook.cells[place], error)
                break
            bar.update()
        watch.over.set()
        watch.join()
        watch.look()  # once more, while the kernel still holds what it has
    seconds, peak_mb = round(time.monotonic() - start, 1), round(watch.peak / 1e6)
    if limit_mb and peak_mb > limit_mb:
        failure = f"{peak_mb} MB is more than {limit_mb} MB; {failure or 'at its end'}"
    return notebook, Run(path.stem, key, seconds, peak_mb, failure)


def _failure(number, cell, error):
    first = next((line for line in cell.source.splitlines() if line.strip()), "")
    reason = (
        f"{error.ename}: {error.evalue}"
        if isinstance(error, CellExecutionError)
        else str(error).splitlines()[0]
    )
    return f"code cell {number} ({first[:60]}): {reason}"


def fingerprint(path):
    """Changes whenever the notebook's cells, the package, its data or the pinned packages do."""
    digest = hashlib.sha256(sys.version.encode())
    for cell in nbformat.read(path, as_version=4).cells:
        digest.update(f"{cell.cell_type}{cell.source}".encode())
    used = [
        ROOT / "requirements.lock",
        *sorted((ROOT / "reclab").glob("*.py")),
        *sorted((ROOT / "data").rglob("*")),
    ]
    for file in used:
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()


def course(paths):
    runs = []
    for path in paths:
        page, record, key = (
            COURSE / f"{path.stem}.html",
            COURSE / f"{path.stem}.json",
            fingerprint(path),
        )
        run = _earlier(record, key) if page.is_file() else None
        if run is None:
            notebook, run = execute(path, key)
            exporter = HTMLExporter(config=WITHOUT_SOLUTIONS)
            fetch.write(page, exporter.from_notebook_node(notebook)[0])
            fetch.write(record, json.dumps(dataclasses.asdict(run)))
            tqdm.write(f"{run.name}: {run.failure or run.line()}", file=sys.stderr)
        else:
            print(f"{run.name}: unchanged since it last ran ({run.line()})", file=sys.stderr)
        runs.append(run)
    fetch.write(COURSE / "index.html", index(runs))
    print(f"The course is at {COURSE.relative_to(ROOT) / 'index.html'}", file=sys.stderr)
    return runs


def _earlier(record, key):
    try:
        run = Run(**json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return run if run.key == key and not run.failure else None


def refresh(paths):
    runs = []
    for path in paths:
        notebook, run = execute(path)
        runs.append(run)
        if run.failure is None:
            notebook.metadata = {
                "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                "language_info": {"name": "python"},
                **{name: notebook.metadata[name] for name in KEPT if name in notebook.metadata},
            }
            for cell in notebook.cells:
                cell.metadata.pop("execution", None)  # times of day
            fetch.write(path, nbformat.writes(notebook) + "\n")
        tqdm.write(f"{run.name}: {run.failure or 'stored, ' + run.line()}", file=sys.stderr)
    return runs


def measure(paths, place, limit_mb):
    """Write down what each notebook takes at a `place`, "here" or "binder", and the table."""
    runs = []
    for path in paths:
        runs.append(run := execute(path, limit_mb=limit_mb)[1])
        told = {"cells": cells_digest(path), "seconds": run.seconds, "peak_mb": run.peak_mb}
        measured = read_measured()
        measured.setdefault(run.name, {})[place] = told | {"failure": run.failure}
        if run.failure is None or place == "binder":
            fetch.write(MEASURED, json.dumps(dict(sorted(measured.items())), indent=1) + "\n")
        tqdm.write(f"{run.name}: {run.failure or run.line()}", file=sys.stderr)
    readme = HERE / "README.md"
    fetch.write(readme, with_table(readme.read_text(encoding="utf-8")))
    return runs


def read_measured():
    return json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.is_file() else {}


def cells_digest(path):
    """Changes whenever the code of a notebook does, but for the cell that only Colab runs."""
    digest = hashlib.sha256()
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and cell.id != "colab":
            digest.update(f"{cell.source}\n".encode())
    return digest.hexdigest()[:16]


def with_table(readme):
    """The text of README.md with the table that the measurements and the notebooks make."""
    lines = [
        "| notebook | question | minutes | peak memory | on Binder |",
        "|---|---|---|---|---|",
        *(row(name, told) for name, told in read_measured().items() if "here" in told),
    ]
    return re.sub(r"^\|.*\n(\|.*\n)+", "\n".join(lines) + "\n", readme, flags=re.M)


def row(name, told):
    here, binder = told["here"], told.get("binder")
    heading, question = title(name), first(name, lambda line: line.startswith("**")).strip("*")
    heading = re.sub(r":.*", "", heading) if name[0].isdigit() else heading
    size = f"{here['peak_mb'] / 1000:.1f} GB"
    carried = "not measured"
    if binder:
        minutes = f"{binder['seconds'] / 60:.1f} minutes, {binder['peak_mb'] / 1000:.1f} GB"
        carried = f"no: {binder['failure']}" if binder["failure"] else f"yes: {minutes}"
    cells = [f"[{heading}]({name}.ipynb)", question, f"{here['seconds'] / 60:.1f}", size, carried]
    return f"| {' | '.join(cells)} |"


def title(name):
    """The heading of a notebook."""
    return first(name, lambda line: line.startswith("# ")).removeprefix("# ")


def first(name, wanted):
    """The first line of a notebook's prose that is wanted."""
    notebook = nbformat.read(HERE / f"{name}.ipynb", as_version=4)
    prose = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return next(line for source in prose for line in source.splitlines() if wanted(line))


def index(runs):
    rows = "\n".join(
        f'<tr><td><a href="{run.name}.html">{html.escape(title(run.name))}</a></td>'
        f"<td>{run.seconds / 60:.1f}</td>"
        f"<td>{run.peak_mb}</td><td>{html.escape(run.failure or 'ran well')}</td></tr>"
        for run in runs
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>RecLab</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; }}
body {{ max-width: 56rem; margin: 3rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; }}
th, td {{ padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #ddd; }}
td:nth-child(2), td:nth-child(3) {{ font-variant-numeric: tabular-nums; }}
</style></head><body>
<h1>RecLab</h1>
<p>How a pretrained language model reads what a person wants, and turns it into recommendations.</p>
<table><tr><th>Notebook</th><th>Minutes</th><th>Peak memory, MB</th><th>Last run</th></tr>
{rows}
</table>
</body></html>
"""


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["course", "refresh", "measure"])
    parser.add_argument("names", nargs="*", help="notebooks, such as 00_tour; all if none is named")
    parser.add_argument("--binder", action="store_true", help="measure what Binder would see")
    parser.add_argument("--limit-mb", type=int, help="measure: end a notebook that takes more")
    args = parser.parse_args()
    there = {path.stem: path for path in sorted(HERE.glob("[0-9a]*_*.ipynb"))}
    if unknown := [name for name in args.names if name not in there]:
        parser.error(f"no notebook {unknown[0]}; there are {', '.join(there)}")
    paths = [there[name] for name in args.names or there]
    if args.what == "measure":
        runs = measure(paths, "binder" if args.binder else "here", args.limit_mb)
    else:
        runs = course(paths) if args.what == "course" else refresh(paths)
    if failed := [run for run in runs if run.failure]:
        print(f"\n{len(failed)} of {len(runs)} notebooks failed:", file=sys.stderr)
        for run in failed:
            print(f"  {run.name}, {run.failure}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
