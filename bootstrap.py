"""Make an environment from the files that describe it, once; make it anew when they change.

Runs on any Python 3, so that an unsupported one is told so, and needs nothing but the standard library.
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.abspath(__file__))
LOG = os.path.join(ROOT, "build", "setup.log")
LOCK = os.path.join(ROOT, "build", "setup.lock")
SUPPORTED = ((3, 11), (3, 12), (3, 13))
GIGABYTES = 5
PIP = "pip==26.2"
COURSE = ["--no-deps", "--editable", "."]
CHECKS = ["nbval==0.11.0", "pytest==9.2.0", "pytest-xdist==3.8.0", "pytrec-eval-terrier==0.5.11"]
# For each environment its folder, what it is made from, and the packages to install, step after step.
ENVIRONMENTS = {
    "": (
        ".venv",
        ["requirements.lock", "pyproject.toml"],
        [
            ("installing the packages (about 900 MB, once)", ["--require-hashes", "-r", "requirements.lock"]),
            ("installing reclab", ["--no-build-isolation", *COURSE]),
        ],
    ),
    "colab": (
        os.path.join("build", "colab"),
        [os.path.join("tests", "environments", "colab.txt"), "pyproject.toml"],
        [
            ("installing what Colab has", ["-r", "tests/environments/colab.txt"]),
            ("installing reclab", COURSE),
            ("installing what Colab lacks", ["-c", "tests/environments/colab.txt", *CHECKS]),
        ],
    ),
    "latest": (
        os.path.join("build", "latest"),
        [os.path.join("tests", "environments", "latest.txt"), "pyproject.toml"],
        [
            ("installing the newest packages", ["--upgrade", "-r", "tests/environments/latest.txt", "--editable", "."]),
        ],
    ),
}


def stop(sentence):
    sys.exit("setup: " + sentence)


def folder(name=""):
    return os.path.join(ROOT, ENVIRONMENTS[name][0])


def program(venv, name):
    """Where an environment keeps its Python, and what was installed into it."""
    return os.path.join(venv, "Scripts", name + ".exe") if os.name == "nt" else os.path.join(venv, "bin", name)


def digest(name=""):
    """What the environment depends on: its files, but for the repository's address in pyproject.toml."""
    total = hashlib.sha256(PIP.encode())
    for path in ENVIRONMENTS[name][1]:
        with open(os.path.join(ROOT, path), "rb") as file:
            total.update(re.sub(rb"\[project\.urls\]\s[^\[]*", b"", file.read()))
    return total.hexdigest()


def stamp(name):
    return os.path.join(folder(name), "made-from")


def made_from(name):
    """The Python version and the digest of an environment that was finished, or nothing."""
    try:
        with open(stamp(name), encoding="utf-8") as file:
            return file.read().split()
    except OSError:
        return []


def run(what, *command):
    """Run one step, its output in the log; on failure say in a sentence what to do."""
    sys.stderr.write("setup: {} ...\n".format(what))
    with open(LOG, "ab") as log:
        begin = log.tell()
        code = subprocess.call(command, stdout=log, stderr=log, cwd=ROOT)
    if code == 0:
        return
    with open(LOG, "rb") as log:
        log.seek(begin)
        said = log.read().decode("utf-8", "replace")
    if "No space left" in said or "Disk quota" in said:
        stop("the disk is full. Make {} GB free at {} and run it again.".format(GIGABYTES, ROOT))
    if "ensurepip" in said:
        stop("this Python cannot make environments. On Debian and Ubuntu: apt install python3-venv. Then run it again.")
    if any(
        sign in said
        for sign in ("NewConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "No matching distribution")
    ):
        stop(
            "the package index cannot be reached, or lacks a pinned package. Check the network, or name another index "
            "(PIP_INDEX_URL), and run it again. Details: {}".format(LOG)
        )
    stop("{} failed. The reason is at the end of {}. Run it again when it is mended.".format(what, LOG))


@contextlib.contextmanager
def alone():
    """Wait for other setups to end; the lock goes with the process that holds it, however that ends."""
    os.makedirs(os.path.dirname(LOCK), exist_ok=True)
    with open(LOCK, "ab") as file:
        told = False
        while not locked(file):
            if not told:
                sys.stderr.write("setup: waiting for another setup to end ...\n")
            told = True
            time.sleep(0.2)
        yield


def locked(file):
    """Whether this process has got the lock."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False


def setup(name="", exactly=False):
    """Make the environment unless it is there; `exactly`: and of the very Python that runs this."""
    with alone():
        version = "{}.{}.{}".format(*sys.version_info[:3])
        wanted, found = [version, digest(name)], made_from(name)
        if found == wanted or (found[1:] == wanted[1:] and not exactly):
            return
        build(name, version, wanted)


def build(name, version, wanted):
    """Make the environment, and note what it was made from when it is whole."""
    if sys.version_info[:2] not in SUPPORTED:
        stop(
            "Python {} will not do: TensorFlow 2.20 needs 3.11, 3.12 or 3.13. Name one: make PYTHON=python3.12".format(
                version
            )
        )
    open(LOG, "wb").close()
    venv = folder(name)
    shutil.rmtree(venv, ignore_errors=True)
    if shutil.disk_usage(ROOT).free < GIGABYTES * 1e9:
        stop("the disk is nearly full. Make {} GB free at {} and run it again.".format(GIGABYTES, ROOT))
    install = [program(venv, "python"), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off"]
    run("making {} with Python {}".format(os.path.relpath(venv, ROOT), version), sys.executable, "-m", "venv", venv)
    run("installing pip", *install, PIP)
    for what, packages in ENVIRONMENTS[name][2]:
        run(what, *install, *packages)
    with open(stamp(name) + ".new", "w", encoding="utf-8") as file:
        file.write("\n".join(wanted) + "\n")
    os.replace(stamp(name) + ".new", stamp(name))


def main(task):
    """Do the task; say in a sentence why it cannot go on."""
    try:
        task()
    except KeyboardInterrupt:
        stop("interrupted; run it again to go on.")
    except OSError as error:
        stop("{}. Mend that and run it again.".format(error))


if __name__ == "__main__":
    main(lambda: setup(exactly="--exactly" in sys.argv))
