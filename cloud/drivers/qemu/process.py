"""Finds a machine's QEMU and ends it, never anybody else's process.

A number in a file may belong to another program by now, and a zombie still takes signals. So a process is ours
only when its command line names this machine's own pidfile, and it is signalled through a handle that cannot
pass to another process.
"""

import asyncio
import itertools
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_STARTED = 19  # field 22 of /proc/PID/stat, counted after the name in brackets and the state


@dataclass(frozen=True, slots=True)
class Process:
    """A running QEMU.

    Attributes:
        pid: its number.
        started: its start in clock ticks since the host's; with the number it means this process and no other.
        pidfile: what its command line names.
    """

    pid: int
    started: int
    pidfile: Path

    def is_alive(self) -> bool:
        """Return whether it still runs; a zombie does not."""
        return _ours(self.pid, self.pidfile) == self

    def kill(self) -> None:
        """End it at once, if it still is what it was."""
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(self.pid)
            try:
                if self.is_alive():  # checked after opening: the handle is of the process that was looked at
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)

    async def ended(self, seconds: float) -> bool:
        """Return whether it ends within `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.is_alive():  # noqa: ASYNC110 -- not our child: there is no event to wait for
                    await asyncio.sleep(0.05)
        return not self.is_alive()


def find(pidfile: Path, *, thorough: bool = False) -> Process | None:
    """Return the QEMU whose pidfile this is, `None` when it does not run.

    Args:
        pidfile: absolute path, as on its command line.
        thorough: look at all processes if the file leads nowhere, as when we were killed while it started.
    """
    try:
        process = _ours(int(pidfile.read_text()), pidfile)
    except (OSError, ValueError):
        process = None
    if process is not None or not thorough:
        return process
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return next((found for pid in pids if (found := _ours(pid, pidfile))), None)


def _ours(pid: int, pidfile: Path) -> Process | None:
    try:
        arguments = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")  # empty for a zombie
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    if (b"-pidfile", os.fsencode(pidfile)) not in itertools.pairwise(arguments):
        return None
    return Process(pid, int(stat.rpartition(")")[2].split()[_STARTED]), pidfile)
