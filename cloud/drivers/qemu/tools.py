"""Runs the host's programs, and says which package is missing."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from cloud.drivers.base import TryAgain

_SECONDS_MAX = 1200

PACKAGES: Mapping[str, str] = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "busybox": "busybox-static",
    "dropbear": "dropbear-bin",
    "dropbearconvert": "dropbear-bin",
    "mke2fs": "e2fsprogs",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
    "apt-cache": "apt",
    "ldd": "libc-bin",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "nice": "coreutils",
    "ip": "iproute2",
    "useradd": "passwd",
}
"""The Debian package that brings each program."""


class MissingTools(TryAgain):
    """Programs that are not on this host."""

    def __init__(self, names: list[str]) -> None:
        packages = " ".join(sorted({PACKAGES.get(name, name) for name in names}))
        super().__init__(f"Machines need programs that are not here; as root: apt-get install {packages}")


class ToolFailed(TryAgain):
    """A program of the host ended with an error."""

    def __init__(self, name: str, output: str) -> None:
        lines = output.strip().splitlines()
        super().__init__(f"{name} does not work: {lines[-1] if lines else output}")
        self.output = output


def find(name: str) -> Path | None:
    """Return where a program is; an ordinary user's PATH lacks the directories of the administrator's."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")
    return Path(found) if found else None


def need(*names: str) -> None:
    """Raise `MissingTools` naming all of `names` that are not there."""
    missing = [name for name in names if find(name) is None]
    if missing:
        raise MissingTools(missing)


def run(
    name: str, *args: str | Path, cwd: Path | None = None, input_text: str = "", pass_fds: Sequence[int] = ()
) -> str:
    """Run a program to its end and return what it printed. Blocks: call it in a thread.

    It gets its own session, so that what stops the product from a terminal does not stop it half way.

    Raises:
        MissingTools: it is not installed.
        ToolFailed: it ended with an error, or not within twenty minutes.
    """
    need(name)
    command = [str(find(name)), *map(str, args)]
    try:
        done = subprocess.run(  # noqa: S603 -- no shell; every argument is ours or a checked name
            command,
            cwd=cwd,
            input=input_text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=pass_fds,
            env={**os.environ, "LC_ALL": "C"},
            timeout=_SECONDS_MAX,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolFailed(name, f"it did not end within {_SECONDS_MAX} s") from error
    if done.returncode:
        raise ToolFailed(name, done.stdout or f"it ended with {done.returncode}")
    return done.stdout
