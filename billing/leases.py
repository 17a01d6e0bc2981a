"""Who holds a claim on a row, and whether that process can still be alive.

A lease runs out by the clock, which is what frees the work of a process that died on another machine. On the same
machine there is no need to wait: the owner's name says which process it was.
"""

import hashlib
import os
import secrets
import socket
from pathlib import Path

_PROC = Path("/proc")
_START_AFTER_NAME = 19


def new_owner() -> str:
    """Return the name of a worker in this process: place, process id, its start, and a part of its own."""
    pid = os.getpid()
    return f"{_place()}:{pid}:{_started(pid)}:{secrets.token_hex(4)}"


def is_dead(owner: str) -> bool:
    """Return whether an owner was a process of this place that is gone; false where that cannot be known."""
    place, _, rest = owner.partition(":")
    pid, _, rest = rest.partition(":")
    started = rest.partition(":")[0]
    if place != _place() or not pid.isdecimal() or not started:
        return False
    return _started(int(pid)) != started


def _place() -> str:
    """Return what processes that see each other's ids have in common: host, boot and namespace."""
    parts = [socket.gethostname(), _read("sys/kernel/random/boot_id")]
    try:
        parts.append(str((_PROC / "self/ns/pid").readlink()))
    except OSError:
        parts.append("")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _started(pid: int) -> str:
    """Return a process' start in clock ticks since boot: with it, an id that was given again is another process.

    Empty where there is no such process, or no such thing as /proc.
    """
    # The second field is the program's name in parentheses and may hold anything; the start is the 22nd.
    after_name = _read(f"{pid}/stat").rpartition(")")[2].split()
    return after_name[_START_AFTER_NAME] if after_name else ""


def _read(name: str) -> str:
    try:
        return (_PROC / name).read_text(errors="replace")
    except OSError:
        return ""
