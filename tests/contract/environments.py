"""Stand-ins for clouds, which others wrote: each in an environment of its own, outside the checkout, made once.

They are no dependencies of this project: some need another Python, all bring much that nothing else here needs, and
one is under a licence that we talk to over HTTP only.
"""

import fcntl
import hashlib
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmbot-tests" / "stand-ins"
_SCRIPTS = Path(__file__).parent / "stand_ins"
_INSTALL_SECONDS, _START_SECONDS = 300, 60
_PYTHONS = ("python3", "python3.14", "python3.13", "python3.12", "python3.11")
_missing: dict[str, str] = {}
"""Why a stand-in cannot be had, so that it is tried once."""


@dataclass(frozen=True)
class StandIn:
    """A stand-in.

    Attributes:
        name: of its script in `stand_ins`.
        package: what is installed, without what it says that it needs; with `[extras]`, with what they need.
        needs: what it needs of that.
        python: the least version that it runs with.
        debian: `package` is one of Debian's, of pure Python, and is unpacked beside the environment.
    """

    name: str
    package: str
    needs: tuple[str, ...]
    python: tuple[int, int] = (3, 11)
    debian: bool = False

    @property
    def folder(self) -> Path:
        """Where its environment is; another one when anything of it changes."""
        key = hashlib.sha256(repr((self, sys.version_info[:2])).encode()).hexdigest()[:12]
        return _CACHE / f"{self.name}-{key}"

    @property
    def modules(self) -> Path:
        """Where Debian's modules are."""
        return self.folder / "debian" / "usr" / "lib" / "python3" / "dist-packages"


PROXMOX = StandIn("proxmox", "fakepve==0.5.0", ("aiohttp>=3.14.3,<4", "cryptography>=50"))
HETZNER = StandIn(
    "hetzner",
    "cloudalone==0.2.0",  # says that it needs libvirt, which only its real machines do
    (
        "advanced-alchemy==1.12.0",
        "aiosqlite>=0.22,<0.23",
        "alembic>=1.16,<2",
        "litestar==2.25.0",
        "pyyaml>=6,<7",
        "sqlalchemy>=2.0.58,<2.1",
        "uvicorn>=0.49,<1",
    ),
    python=(3, 12),
)
CLOUD_INIT = StandIn(
    "cloud-init",
    "cloud-init",
    ("configobj>=5", "jinja2>=3", "jsonpatch>=1.32", "jsonschema>=4", "oauthlib>=3", "pyyaml>=6", "requests>=2"),
    debian=True,
)
EC2 = StandIn("ec2", "moto[ec2]==5.2.5", ("flask>=3,<4", "flask-cors>=6,<7"))


@contextmanager
def served(stand_in: StandIn) -> Iterator[str]:
    """Run a stand-in on a free port, and yield its address; skip the test where it cannot be had."""
    python = python_of(stand_in)
    with TemporaryDirectory() as folder:
        command = [str(python), str(_SCRIPTS / f"{stand_in.name}.py"), "0"]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 ours
            try:
                yield _first_line(process)
            finally:
                process.kill()


def _first_line(process: subprocess.Popen[str]) -> str:
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    threading.Thread(target=lambda out=process.stdout: lines.put(out.readline()), daemon=True).start()
    address = lines.get(timeout=_START_SECONDS).strip()
    assert address, "it ended instead of listening"
    return address


def python_of(stand_in: StandIn) -> Path:
    """Return the interpreter of its environment, made now unless it is there; skip the test where it cannot be."""
    if stand_in.name in _missing:
        pytest.skip(_missing[stand_in.name])
    python, done = stand_in.folder / "bin" / "python", stand_in.folder / ".done"
    stand_in.folder.mkdir(parents=True, exist_ok=True)
    with (stand_in.folder.parent / f"{stand_in.folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            try:
                _install(stand_in)
            except (OSError, subprocess.SubprocessError) as error:
                shutil.rmtree(stand_in.folder, ignore_errors=True)
                _missing[stand_in.name] = f"{stand_in.package} cannot be installed: {_last_words(error)}"
                pytest.skip(_missing[stand_in.name])
            done.touch()
    return python


def _last_words(error: Exception) -> str:
    """Return the last line of what a program complained of, or what kept it from running."""
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else ""
    return (said.strip() or str(error)).splitlines()[-1]


def _install(stand_in: StandIn) -> None:
    base = _interpreter(stand_in.python)
    if base is None:
        raise OSError(f"Python {stand_in.python[0]}.{stand_in.python[1]} or newer is not here")
    _run(base, "-m", "venv", "--clear", str(stand_in.folder))
    pip = (str(stand_in.folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    if stand_in.debian:
        _unpack(stand_in)
        _run(*pip, *stand_in.needs)
    elif "[" in stand_in.package:
        _run(*pip, stand_in.package, *stand_in.needs)
    else:
        _run(*pip, *stand_in.needs)
        _run(*pip, "--no-deps", stand_in.package)


def _unpack(stand_in: StandIn) -> None:
    """Fetch Debian's package and unpack it; nothing of it is run."""
    _run("apt-get", "download", stand_in.package, cwd=stand_in.folder)
    for file in stand_in.folder.glob("*.deb"):
        _run("dpkg-deb", "-x", str(file), str(stand_in.folder / "debian"))


def _run(*command: str, cwd: Path | None = None) -> None:
    subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)  # noqa: S603


def _interpreter(least: tuple[int, int]) -> str | None:
    """Return a Python that is new enough: the one that runs this, or another of this machine."""
    if sys.version_info[:2] >= least:
        return sys.executable
    others = sorted(Path.home().glob(".pyenv/versions/*/bin/python"), reverse=True)
    for name in [*filter(None, map(shutil.which, _PYTHONS)), *map(str, others)]:
        question = f"import sys, ensurepip; sys.exit(sys.version_info < {least})"
        if subprocess.run([name, "-c", question], check=False, capture_output=True).returncode == 0:  # noqa: S603 ours
            return name
    return None
