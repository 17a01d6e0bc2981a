"""Small files that hold a driver's state: written whole or not at all, one writer at a time."""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cloud.drivers.base import MachineSpec, Refused

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def is_name(name: str) -> bool:
    """Return whether `name` can be a machine's; nothing else ever becomes part of a path."""
    return NAME.fullmatch(name) is not None


def check_name(name: str) -> None:
    """Raise `Refused` when `name` cannot be a machine's."""
    if not is_name(name):
        raise Refused(f"{name!r} cannot be a machine's name: up to 63 of a-z, 0-9 and hyphens inside.")


def write_atomic(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file so that a crash leaves the old content or the new, never a part."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file that we wrote, `None` when there is no such file."""
    try:
        data: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return data


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, waiting for whoever has it, other processes too. Blocks."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # closing gives the lock back


def try_lock(path: Path) -> int | None:
    """Return the open descriptor that holds the lock file `path`, `None` when somebody else has it.

    Closing gives it back. Who holds it may remove the file: whoever waited for the old one is told to try again.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def spec_to_json(spec: MachineSpec) -> dict[str, Any]:
    """Return a spec as what JSON can hold."""
    return asdict(spec)


def spec_from_json(data: Mapping[str, Any]) -> MachineSpec:
    """Return the spec that `spec_to_json` wrote down."""
    lists = {"authorized_keys": tuple(data["authorized_keys"]), "ports": tuple(data.get("ports", ()))}
    return MachineSpec(**{**data, **lists})
