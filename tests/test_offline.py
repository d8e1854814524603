"""Where there is no network, other machines are out of reach and this one is not."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests import offline

ROOT = Path(__file__).parents[1]
REACH = """
import socket, sys
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as error:
    print("other machine:", type(error).__name__)
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname(), timeout=5).close()
    print("this machine: reached")
try:
    socket.getaddrinfo("example.org", 80)
except OSError as error:
    print("names: none")
"""
NAMESPACE = pytest.mark.skipif(not offline.has_namespaces(), reason="network namespaces are not allowed here")


@pytest.mark.parametrize("namespace", [pytest.param(True, marks=NAMESPACE), False])
def test_only_this_machine_is_reached(namespace, capfd):
    assert offline.run([sys.executable, "-c", REACH], namespace=namespace) == 0
    assert capfd.readouterr().out.splitlines() == ["other machine: OSError", "this machine: reached", "names: none"]


def test_the_command_s_own_end_is_passed_on():
    command = [sys.executable, "-m", "tests.offline", sys.executable, "-c", "raise SystemExit(7)"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 7
    assert done.stdout.startswith("Without a network, ")


@NAMESPACE
def test_what_listens_outside_a_namespace_is_out_of_reach_inside():
    with socket.create_server(("127.0.0.1", 0)) as server:
        reach = f"import socket; socket.create_connection({server.getsockname()!r}, timeout=5)"
        threading.Thread(target=server.accept, daemon=True).start()
        assert offline.run([sys.executable, "-c", reach], namespace=True) == 1
        assert offline.run([sys.executable, "-c", reach], namespace=False) == 0
