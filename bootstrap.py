"""Make the environment `.venv` from requirements.lock, once; make it anew when the requirements change.

Runs on any Python 3, so that an unsupported one is told so, and needs nothing but the standard library.
`--exactly` asks for an environment of the very Python that runs this; without it, an existing one of another
supported Python will do.
"""

import hashlib
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
BIN = os.path.join(VENV, "bin")
STAMP = os.path.join(VENV, "made-from")
LOG = os.path.join(ROOT, "build", "setup.log")
SUPPORTED = ((3, 11), (3, 12), (3, 13))
GIGABYTES = 5
PIP = "pip==26.2"


def stop(sentence):
    sys.exit("setup: " + sentence)


def digest():
    """What the environment depends on."""
    total = hashlib.sha256(PIP.encode())
    for name in ("requirements.lock", "pyproject.toml"):
        with open(os.path.join(ROOT, name), "rb") as file:
            total.update(file.read())
    return total.hexdigest()


def made_from():
    """The Python version and the digest of an environment that was finished, or nothing."""
    try:
        with open(STAMP, encoding="utf-8") as file:
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


def main():
    version = "{}.{}.{}".format(*sys.version_info[:3])
    wanted = [version, digest()]
    found = made_from()
    if found == wanted or (found[1:] == wanted[1:] and "--exactly" not in sys.argv):
        return
    if sys.version_info[:2] not in SUPPORTED:
        stop(
            "Python {} will not do: TensorFlow 2.20 needs 3.11, 3.12 or 3.13. Name one: make PYTHON=python3.12".format(
                version
            )
        )
    os.makedirs(os.path.dirname(LOG), exist_ok=True)
    open(LOG, "wb").close()
    shutil.rmtree(VENV, ignore_errors=True)
    if shutil.disk_usage(ROOT).free < GIGABYTES * 1e9:
        stop("the disk is nearly full. Make {} GB free at {} and run it again.".format(GIGABYTES, ROOT))
    python = os.path.join(BIN, "python")
    run("making .venv with Python " + version, sys.executable, "-m", "venv", VENV)
    install = (python, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off")
    run("installing pip", *install, PIP)
    run("installing the packages (about 900 MB, once)", *install, "--require-hashes", "-r", "requirements.lock")
    run("installing reclab", *install, "--no-deps", "--no-build-isolation", "--editable", ".")
    with open(STAMP + ".new", "w", encoding="utf-8") as file:
        file.write("\n".join(wanted) + "\n")
    os.replace(STAMP + ".new", STAMP)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        stop("interrupted; run it again to go on.")
    except OSError as error:
        stop("{}. Mend that and run it again.".format(error))
