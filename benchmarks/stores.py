"""Databases to measure on: an SQLite file, and a PostgreSQL server of our own with the settings of a real one."""

import os
import shutil
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from benchmarks.report import Cost
from tests import postgres

_TICKS = os.sysconf("SC_CLK_TCK")
_SERVER = (
    "shared_buffers=1GB",
    "work_mem=64MB",
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
    "max_connections=50",
    "listen_addresses=127.0.0.1",
    "log_min_messages=fatal",
    "client_min_messages=warning",
)


class Store(Protocol):
    """Where databases are."""

    name: str

    def url(self, database: str) -> str:
        """Return the URL of a database."""

    def make(self, database: str) -> None:
        """Make an empty database."""

    def copy(self, source: str, target: str) -> None:
        """Make a database as another one is; nobody is connected to that."""

    def drop_if_there(self, database: str) -> None:
        """Remove a database."""

    def cpu(self) -> float:
        """Return the seconds of processor time that this process and the database have used."""


class Sqlite:
    """Files in a folder; the database is in our own process."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        """Take the folder."""
        self._folder = folder

    def _path(self, database: str) -> Path:
        return self._folder / f"{database}.sqlite3"

    def url(self, database: str) -> str:
        """Return the URL of a file."""
        return f"sqlite+aiosqlite:///{self._path(database)}"

    def make(self, database: str) -> None:
        """Nothing: the first connection makes it."""

    def copy(self, source: str, target: str) -> None:
        """Copy a file."""
        shutil.copyfile(self._path(source), self._path(target))

    def drop_if_there(self, database: str) -> None:
        """Remove a file with what SQLite keeps beside it."""
        for ending in ("", "-wal", "-shm"):
            Path(f"{self._path(database)}{ending}").unlink(missing_ok=True)

    def cpu(self) -> float:
        """Return what this process has used."""
        return time.process_time()


class Postgres:
    """A running server."""

    name = "PostgreSQL"

    def __init__(self, server: postgres.Server) -> None:
        """Take the server."""
        self._server = server

    def url(self, database: str) -> str:
        """Return the URL of a database on it."""
        return self._server.url(database)

    def make(self, database: str) -> None:
        """Make an empty database."""
        self._server.execute(f"CREATE DATABASE {database}")

    def copy(self, source: str, target: str) -> None:
        """Make one from another."""
        self._server.execute(f"CREATE DATABASE {target} TEMPLATE {source} STRATEGY file_copy")

    def drop_if_there(self, database: str) -> None:
        """Remove one."""
        self._server.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def cpu(self) -> float:
        """Return what this process and the server's processes have used."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(") ")[2].split()
            except OSError:
                continue
            if int(stat.parent.name) == self._server.pid:
                ticks += sum(int(field) for field in fields[11:15])  # its own, and of children that have ended
            elif int(fields[1]) == self._server.pid:
                ticks += int(fields[11]) + int(fields[12])
        return time.process_time() + ticks / _TICKS


@contextmanager
def stores(folder: Path) -> Iterator[list[Store]]:
    """Give both databases, or SQLite alone where PostgreSQL is not installed."""
    try:
        running = postgres.server(_SERVER, folder)
        server = running.__enter__()
    except postgres.Missing as missing:
        print(f"without PostgreSQL: {missing}")
        yield [Sqlite(folder)]
        return
    try:
        yield [Sqlite(folder), Postgres(server)]
    finally:
        running.__exit__(None, None, None)


async def timed(store: Store, work: Awaitable[object]) -> Cost:
    """Return what a piece of work costs."""
    wall, cpu = time.perf_counter(), store.cpu()
    await work
    return Cost(time.perf_counter() - wall, store.cpu() - cpu)


def forget_peak() -> None:
    """Count the most memory that this process has had from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """Return the most memory that this process has had, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise LookupError("this kernel does not say")
