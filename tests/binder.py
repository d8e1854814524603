"""Build what Binder would build, from a clone and `binder/` alone, and run every notebook in it as Binder would.

`python -m tests.binder` takes a while: it installs the packages into build/binder/ and runs the notebooks on one core.
Notebook and Jupyter server together may hold 2 GB; a kernel that wants more is killed, as on Binder. What was measured
goes into notebooks/measured.json and the table of notebooks/README.md.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build" / "binder"
CLONE, VENV = PLACE / "reclab", PLACE / "environment"
MEMORY_MB = 2147  # 2 GiB
PORT = 8899
MEASURED = ("measured.json", "README.md")


def build() -> None:
    """A clone of the last commit, and an environment by the steps that Binder takes."""
    shutil.rmtree(PLACE, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", ROOT, CLONE], check=True)
    python = (CLONE / "binder" / "runtime.txt").read_text().strip().replace("-", "")  # python-3.13
    subprocess.run([python, "-m", "venv", VENV], check=True)
    install = [VENV / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    subprocess.run([*install, "-r", "binder/requirements.txt"], cwd=CLONE, check=True)
    subprocess.run(["binder/postBuild"], cwd=CLONE, env=environment(), check=True)


def environment() -> dict[str, str]:
    """As in a session: the environment's programs first, weights of its own, and no data from elsewhere."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("RECLAB", "MALLOC", "PYTHON"))}
    path = os.pathsep.join([str(VENV / "bin"), os.environ["PATH"]])
    return outside | {"PATH": path, "RECLAB_CACHE": str(PLACE / "cache"), "JUPYTER_DATA_DIR": str(PLACE / "jupyter")}


def start(*command: str) -> subprocess.Popen:
    """A command as Binder's entry point calls it, on one core."""
    one = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))]
    return subprocess.Popen([*one, "binder/start", *command], cwd=CLONE, env=environment())


def server_mb() -> int:
    """What JupyterLab itself holds once it answers."""
    server = start("jupyter", "lab", "--no-browser", "--allow-root", f"--port={PORT}", "--IdentityProvider.token=")
    try:
        for _ in range(120):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/api/contents/notebooks/00_tour.ipynb") as answer:
                    answer.read()
                break
            except OSError:
                time.sleep(0.5)
        else:
            raise TimeoutError("JupyterLab did not answer within a minute.")
        return round(psutil.Process(server.pid).memory_info().rss / 1e6)
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="notebooks, such as 00_tour; all if none is named")
    parser.add_argument("--again", action="store_true", help="use the environment that was built before")
    args = parser.parse_args()
    if not args.again:
        build()
    size = sum(path.stat().st_size for path in VENV.rglob("*") if not path.is_symlink()) / 1e9
    server = server_mb()
    print(f"The environment takes {size:.2f} GB, JupyterLab {server} MB.", flush=True)
    for name in MEASURED:
        shutil.copy(ROOT / "notebooks" / name, CLONE / "notebooks" / name)
    measure = ["python", "notebooks/run.py", "measure", *args.names, "--binder", "--limit-mb", str(MEMORY_MB - server)]
    code = start(*measure).wait()
    for name in MEASURED:
        shutil.copy(CLONE / "notebooks" / name, ROOT / "notebooks" / name)
    sys.exit(code)


if __name__ == "__main__":
    main()
