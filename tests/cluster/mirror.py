"""A mirror where guests find it: neither on this host nor in a private network, which they are kept from.

It is an HTTP server in a network namespace, at an address like any other of the internet's.
"""

import ipaddress
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloud.drivers.base import TryAgain
from cloud.drivers.qemu.tools import run

_NAME = "vmtest-mirror"
_NETWORK = ipaddress.ip_network("192.31.196.0/30")  # of a service (AS112) that nobody waits for
_HERE, _THERE = list(_NETWORK.hosts())
_SECONDS = 60.0


@contextmanager
def served(folder: Path, log: Path) -> Iterator[str]:
    """Serve a folder as long as this holds, and give its URL; who asked for what is in `log`. Needs root.

    Raises:
        TryAgain: the network cannot be made here.
        RuntimeError: the server does not start.
    """
    _remove()
    run("ip", "netns", "add", _NAME)
    try:
        run("ip", "link", "add", _NAME, "type", "veth", "peer", "name", "eth0", "netns", _NAME)
        run("ip", "address", "add", f"{_HERE}/{_NETWORK.prefixlen}", "dev", _NAME)
        run("ip", "link", "set", _NAME, "up")
        run("ip", "-n", _NAME, "address", "add", f"{_THERE}/{_NETWORK.prefixlen}", "dev", "eth0")
        run("ip", "-n", _NAME, "link", "set", "eth0", "up")
        program = [sys.executable, "-u", "-m", "http.server", "--bind", str(_THERE), "--directory", str(folder), "80"]
        with log.open("wb") as output:
            command = ["ip", "netns", "exec", _NAME, *program]  # ip becomes the server: one process to end
            server = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603 -- no shell
            try:
                _wait(server, log)
                yield f"http://{_THERE}"
            finally:
                server.terminate()
                server.wait()
    finally:
        _remove()


def _wait(server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _SECONDS
    while b"Serving HTTP" not in log.read_bytes():
        if server.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the mirror does not start: {log.read_text()}")
        time.sleep(0.1)


def _remove() -> None:
    """Remove it all, also what a run that was killed left."""
    for command in (("link", "delete", _NAME), ("netns", "delete", _NAME)):
        try:
            run("ip", *command)
        except TryAgain:
            continue  # it is not there
