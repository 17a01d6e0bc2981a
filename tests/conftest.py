"""What all tests share: databases as the product's migrations make them, a clock that stands still, no network."""

import asyncio
import ipaddress
import itertools
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings

from billing.clock import ManualClock
from billing.db import Database
from billing.money import Currency
from billing.terms import Terms
from bot import migrate
from tests import postgres

# How long an example takes says how loaded the machine is, and no more.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

_numbers = itertools.count(1)


class OutsideConnection(BaseException):
    """A test reached for the network; no handler of the product's swallows this."""


def _stay_at_home(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse connections and look-ups of names beyond this machine."""
    if event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if not _is_home(host):
        raise OutsideConnection(f"{event} {host!r}: tests talk to loopback only")


def _is_home(host: object) -> bool:
    if host in {None, "", b"", "localhost", b"localhost"}:
        return True
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


# An audit hook sees what any library does and cannot be patched away.
sys.addaudithook(_stay_at_home)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at 2026-01-10 12:00 UTC until it is moved."""
    return ManualClock(datetime(2026, 1, 10, 12, tzinfo=UTC))


@pytest.fixture
def terms() -> Terms:
    """US dollars, no tax, everything else as it is by default."""
    return Terms(Currency.of("usd"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A PostgreSQL server for this session, or, under xdist, for this worker."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PG")]:
            patch.delenv(name)  # a developer's own server is none of ours
        try:
            running = postgres.server()
            server = running.__enter__()
        except postgres.Missing as missing:
            pytest.skip(str(missing))
        try:
            yield server
        finally:
            running.__exit__(None, None, None)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: postgres.Server) -> str:
    """Name of a migrated database to make others from."""
    postgres_server.execute("CREATE DATABASE migrated")
    _migrate(postgres_server.url("migrated"))
    return "migrated"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to make others from."""
    path = tmp_path_factory.mktemp("template") / "migrated.sqlite3"
    _migrate(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture
def empty_postgres_url(postgres_server: postgres.Server) -> Iterator[str]:
    """URL of a PostgreSQL database without any table."""
    yield from _postgres_database(postgres_server, "template0")


@pytest.fixture
def postgres_url(postgres_server: postgres.Server, postgres_template: str) -> Iterator[str]:
    """URL of a fresh migrated PostgreSQL database."""
    yield from _postgres_database(postgres_server, postgres_template)


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """URL of a fresh migrated SQLite database."""
    path = tmp_path / "vmbot.sqlite3"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of a fresh migrated database, on SQLite and, where it is installed, on PostgreSQL."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh migrated database, on SQLite and on PostgreSQL."""
    async for opened in _opened(database_url):
        yield opened


@pytest.fixture
async def sqlite_database(sqlite_url: str) -> AsyncIterator[Database]:
    """A fresh migrated SQLite database, for tests to which the kind of database makes no difference."""
    async for opened in _opened(sqlite_url):
        yield opened


@pytest.fixture
async def postgres_database(postgres_url: str) -> AsyncIterator[Database]:
    """A fresh migrated PostgreSQL database, for what only it does."""
    async for opened in _opened(postgres_url):
        yield opened


async def _opened(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    yield database
    await database.close()


def _migrate(url: str) -> None:
    # In a thread: the fixtures of a test may have a loop of their own here.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, migrate.upgrade(url)).result()


def _postgres_database(server: postgres.Server, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")
