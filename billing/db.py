"""The database: engines, sessions, and the transaction that edges open.

SQLite and PostgreSQL are served by the same code. What differs stands here: SQLite has one writer at a time, so a
writing transaction begins with `BEGIN IMMEDIATE` behind an in-process lock (waiting in the loop is fairer and
cheaper than in SQLite's busy handler), and readers use connections of their own that never wait.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from sqlalchemy import Connection, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from billing import sqlite

log = logging.getLogger(__name__)

_BUSY_MS = 10_000
"""How long SQLite waits for another process' writer; far beyond any of our transactions."""
_WRITERS = 20
"""So many of them in a row may hold up a new connection to a new file."""
_READERS = 8
_SERVER_CONNECTIONS = 20


class ReadSession(AsyncSession):
    """A session for reading: its transaction sees one state and cannot write."""


class Database:
    """One database and the two ways into it."""

    def __init__(self, url: str) -> None:
        """Take an SQLAlchemy URL, `sqlite+aiosqlite:///data/bot.db` or `postgresql+asyncpg://…`; connects later."""
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            make_folder(self.url)
            self._writer = _sqlite_engine(self.url, size=1)
            self._reader = _sqlite_engine(self.url, size=_READERS, read_only=True)
        else:
            self._writer = create_async_engine(
                self.url, pool_size=_SERVER_CONNECTIONS, max_overflow=0, pool_pre_ping=True
            )
            self._reader = self._writer
        self._writing = asyncio.Lock()

    @property
    def engine(self) -> AsyncEngine:
        """The engine that may write, for migrations and checks of the schema."""
        return self._writer

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a writing transaction: commits at the end, rolls back when anything is raised.

        Only edges (handlers, routes, jobs) call this, and nothing outside the database is called inside it.
        """
        async with AsyncExitStack() as stack:
            if self.is_sqlite:
                await stack.enter_async_context(self._writing)
            session = await stack.enter_async_context(AsyncSession(self._writer, expire_on_commit=False))
            began = asyncio.get_running_loop().time()
            async with session.begin():
                yield session
            log.debug("transaction: %.1f ms", 1000 * (asyncio.get_running_loop().time() - began))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[ReadSession]:
        """Open a reading transaction: one consistent state, never waits for writers on SQLite."""
        async with ReadSession(self._reader, expire_on_commit=False) as session:
            if not self.is_sqlite:
                await session.connection(
                    execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
                )
            yield session

    async def close(self) -> None:
        """Close every connection."""
        await self._writer.dispose()
        if self._reader is not self._writer:
            await self._reader.dispose()


def make_folder(url: URL) -> None:
    """Make the folder that an SQLite file is in, if there is none: for its owner alone."""
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # it tells of people


def _sqlite_engine(url: URL, *, size: int, read_only: bool = False) -> AsyncEngine:
    engine = create_async_engine(url, module=sqlite.Driver(), pool_size=size, max_overflow=0, pool_timeout=60)

    def connect(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions on its own: it would begin deferred ones.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")  # first: what follows waits for others as well
        _write_ahead(cursor)
        for pragma in (
            "synchronous=FULL" if not read_only else "synchronous=NORMAL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            f"query_only={'ON' if read_only else 'OFF'}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def start(connection: Connection) -> None:
        if read_only:
            sqlite.begin(connection)
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine.sync_engine, "connect", connect)
    event.listen(engine.sync_engine, "begin", start)
    return engine


def _write_ahead(cursor: DBAPICursor) -> None:
    """Switch the file to a write-ahead log, which it keeps.

    Where it has none yet, SQLite does not wait here for one who writes (two that start at once, one of them still
    migrating), whatever `busy_timeout` says. It does wait to write.
    """
    for _ in range(_WRITERS):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("COMMIT")
        else:
            return
    raise sqlite3.OperationalError("database is locked")
