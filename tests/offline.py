"""Run a command without a network: `python -m tests.offline COMMAND ...`.

It runs in a network namespace that has nothing but its own loopback. Where namespaces are not allowed, every Python
beneath it refuses to reach any other machine (`refuse/sitecustomize.py`).
"""

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

NAMESPACE = ["unshare", "--net", "--map-root-user"]
REFUSE = Path(__file__).parent / "refuse"
UP = "up"  # said to the process inside the namespace, whose loopback must still be switched on


def has_namespaces() -> bool:
    if not shutil.which(NAMESPACE[0]):
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode == 0


def switch_loopback_on():
    import fcntl
    import socket

    get, set_, is_up = 0x8913, 0x8914, 1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name, flags = struct.unpack("16sh", fcntl.ioctl(any_socket, get, struct.pack("16sh", b"lo", 0)))
        fcntl.ioctl(any_socket, set_, struct.pack("16sh", name, flags | is_up))


def run(command: list[str], *, namespace: bool) -> int:
    environment = dict(os.environ)
    if namespace:
        command = [*NAMESPACE, sys.executable, "-m", "tests.offline", UP, *command]
    else:
        environment["PYTHONPATH"] = os.pathsep.join([str(REFUSE), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.call(command, env=environment)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if sys.argv[1] == UP:
        switch_loopback_on()
        os.execvp(sys.argv[2], sys.argv[2:])
    namespace = has_namespaces()
    how = "in a network namespace of its own" if namespace else "with other machines refused to Python"
    print(f"Without a network, {how}:", flush=True)
    sys.exit(run(sys.argv[1:], namespace=namespace))


if __name__ == "__main__":
    main()
