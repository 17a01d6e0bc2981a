"""A PostgreSQL server of the tests' own: made in a temporary folder, on a free port of the loopback, without fsync."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ATTEMPTS = 3
"""A free port may be taken by somebody else before the server has it."""
_PATIENCE = 30.0
_ROOM = 1 << 30
_FLAGS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "shared_buffers=32MB",
    "max_connections=120",
    "listen_addresses=127.0.0.1",
    "log_min_messages=fatal",
)
_WITH_STANDBY = (
    *(flag for flag in _FLAGS if not flag.startswith("synchronous_commit")),
    "synchronous_commit=on",
    "wal_level=replica",
    "hot_standby=on",
    "max_wal_senders=4",
)


class Missing(Exception):
    """PostgreSQL cannot be started here; the message says why."""


@dataclass(frozen=True)
class Server:
    """A running server; its superuser is `postgres`, without a password."""

    port: int
    psql: Path
    pid: int

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database on it."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        """Run one statement of administration, such as CREATE DATABASE."""
        command: list[str | Path] = [
            self.psql,
            "-X",
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            "postgres",
            "-c",
            statement,
        ]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)  # noqa: S603 our own words


@contextmanager
def server(flags: Sequence[str] = _FLAGS, where: Path | None = None) -> Iterator[Server]:
    """Start a server, and stop it at the end.

    Args:
        flags: its settings.
        where: the folder in which it keeps its files; in memory where that is possible.

    Raises:
        Missing: it is not installed, or root has no other user to run it as.
    """
    programs = _programs()
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="vmbot-pg-", dir=where or _fastest()))
    try:
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
        access = ["-U", "postgres", "-A", "trust"]
        _run([*_as(user), programs / "initdb", "-D", folder / "data", "-N", "-E", "UTF8", "--locale=C", *access])
        process, port = _start([*_as(user), programs / "postgres", "-D", folder / "data"], flags, folder)
        try:
            yield Server(port, programs / "psql", process.pid)
        finally:
            _stop(process)
    finally:
        shutil.rmtree(folder)


@dataclass
class Pair:
    """Two servers: what the first has committed the second has as well, and can take over."""

    first: Server
    second: Server
    _processes: list[subprocess.Popen[bytes]]

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database, on whichever of the two can be written to."""
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in (self.first, self.second))
        return f"postgresql+asyncpg://postgres@/{database}?{hosts}&target_session_attrs=read-write"

    def lose_the_first(self) -> None:
        """End the first server at once, as if its machine had lost power."""
        _stop(self._processes[0])

    def promote(self) -> None:
        """Have the second server take over, which needs no other any more."""
        # Its settings are a copy of the first's; the standby that they ask for is itself.
        self.second.execute("SELECT pg_promote()")
        self.second.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
        self.second.execute("SELECT pg_reload_conf()")


@contextmanager
def pair() -> Iterator[Pair]:
    """Start two servers with synchronous replication, and stop them at the end.

    Raises:
        Missing: as `server`.
    """
    programs, user = _programs(), _user()
    folder = Path(tempfile.mkdtemp(prefix="vmbot-pg-", dir=_fastest()))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
        access = ["-U", "postgres", "-A", "trust"]
        _run([*_as(user), programs / "initdb", "-D", folder / "1", "-N", "-E", "UTF8", "--locale=C", *access])
        first, port = _start([*_as(user), programs / "postgres", "-D", folder / "1"], _WITH_STANDBY, folder)
        processes.append(first)
        source: list[str | Path] = ["-h", "127.0.0.1", "-p", str(port), "-U", "postgres"]
        _run([*_as(user), programs / "pg_basebackup", *source, "-D", folder / "2", "-R", "-c", "fast", "-X", "stream"])
        second, other = _start([*_as(user), programs / "postgres", "-D", folder / "2"], _WITH_STANDBY, folder)
        processes.append(second)
        servers = [Server(at, programs / "psql", one.pid) for at, one in ((port, first), (other, second))]
        # From here on a commit waits for the second server.
        servers[0].execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        servers[0].execute("SELECT pg_reload_conf()")
        yield Pair(servers[0], servers[1], processes)
    finally:
        for process in reversed(processes):
            _stop(process)
        shutil.rmtree(folder)


def _start(command: list[str | Path], given: Sequence[str], sockets: Path) -> tuple[subprocess.Popen[bytes], int]:
    flags = [part for flag in (*given, f"unix_socket_directories={sockets}") for part in ("-c", flag)]
    for _ in range(_ATTEMPTS):
        port = _free_port()
        process = subprocess.Popen(  # noqa: S603 our own words
            [*command, "-p", str(port), *flags], stdin=subprocess.DEVNULL, cwd="/"
        )
        if _answers(process, port):
            return process, port
        _stop(process)
    raise RuntimeError("PostgreSQL did not start; what it said is above")


def _fastest() -> str:
    """Return where files are made: in memory a copy of a database takes a tenth. Socket paths stay short in both."""
    memory = Path("/dev/shm")  # noqa: S108 made by mkdtemp, private
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM
    return str(memory) if roomy else "/tmp"  # noqa: S108 same


def _programs() -> Path:
    """Return the folder with the newest server's programs."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found = versions[-1] if versions else shutil.which("initdb")
    if not found:
        raise Missing("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return Path(found).resolve().parent


def _user() -> pwd.struct_passwd | None:
    """Return whom to run the server as; none is ourselves, which it refuses to root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise Missing("PostgreSQL refuses to run as root, and there is no user postgres") from None


def _as(user: pwd.struct_passwd | None) -> list[str | Path]:
    """Return the prefix that runs a program as a user, to end when we do, however we end."""
    setpriv = shutil.which("setpriv")
    if not setpriv:
        if user:
            raise Missing("there is no setpriv to run PostgreSQL as another user than root")
        return []
    prefix: list[str | Path] = [setpriv, "--pdeathsig=QUIT"]
    if user:
        prefix += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return prefix


def _run(command: list[str | Path]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/")  # noqa: S603 our own words


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the server takes connections; false when it ended instead."""
    ready: list[str | Path] = [_programs() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres"]
    end = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < end:
        if subprocess.run(ready, check=False, stdin=subprocess.DEVNULL).returncode == 0:  # noqa: S603 our own words
            # Somebody else's server on this port would answer as well, and ours end.
            return process.poll() is None
        time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGQUIT)
    process.wait()
