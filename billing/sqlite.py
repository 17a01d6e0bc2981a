"""SQLite under asyncio with few visits to another thread: each costs more than what most statements do there.

aiosqlite gives every connection a thread. SQLAlchemy's own adapter goes there four times for a statement: for the
cursor, to run it, for its rows, and to close it. Here a statement goes once, and one that reads does not go at all
as long as it is done in a blink: SQLite is told to break it off after so many steps, and then it is begun again in
the thread, where it may take its time. What writes, and what waits for the disk or for other writers, is always there.
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
)
from sqlalchemy.util import await_only

T = TypeVar("T")

_STEPS = 20_000
"""Of SQLite's virtual machine: about a millisecond."""


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    """Runs a statement, in this thread or the connection's, and holds its rows."""

    __slots__ = ()
    _adapt_connection: "_Connection"
    _cursor: Any

    def _aenter_cursor(self, cursor: Any) -> Any:  # noqa: ANN401 the library's signature
        return cursor

    def _make_new_cursor(self, connection: Any) -> Any:  # noqa: ANN401 the library's signature
        return connection._conn.cursor()  # noqa: SLF001 as SQLAlchemy does; making one reads nothing

    async def _execute_async(self, operation: Any, parameters: Any) -> Any:  # noqa: ANN401 the library's signature
        def run() -> None:
            self._cursor.execute(operation, parameters or ())
            self._rows = deque(self._cursor.fetchall() if self._cursor.description else ())

        async with self._adapt_connection._execute_mutex:  # noqa: SLF001 its other half
            if not (operation.startswith("SELECT") and self._adapt_connection.at_once(run)):
                await self._adapt_connection.in_thread(run)

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> Any:  # noqa: ANN401 the library's signature
        async with self._adapt_connection._execute_mutex:  # noqa: SLF001 its other half
            await self._adapt_connection.in_thread(lambda: self._cursor.executemany(operation, seq_of_parameters))

    async def _async_soft_close(self) -> None:
        """Do nothing: the rows are fetched, and closing waits for nobody."""

    def close(self) -> None:
        """Let go of the statement."""
        self._rows.clear()
        self._cursor.close()


class _Connection(AsyncAdapt_aiosqlite_connection):
    """A connection that knows whether its thread is at work, and whether there is anything to write down."""

    __slots__ = ("_last", "_threaded")
    _cursor_cls = _Cursor

    def __init__(self, dbapi: Any, connection: Any) -> None:  # noqa: ANN401 the library's signature
        super().__init__(dbapi, connection)
        self._last = threading.Event()
        """Set when the thread has done what it was given last."""
        self._last.set()
        self._threaded = False

    def at_once(self, run: Callable[[], None]) -> bool:
        """Run what reads here and now; return false when it would take long, and has to be begun again."""
        if not self._last.is_set():
            return False  # whoever waited for it was cancelled, and it goes on
        database: sqlite3.Connection = self._connection._conn  # noqa: SLF001 as SQLAlchemy does
        database.set_progress_handler(_give_up, _STEPS)
        try:
            run()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                return False
            raise
        finally:
            database.set_progress_handler(None, 0)
        return True

    async def in_thread(self, run: Callable[[], T]) -> T:
        """Run something where it may take its time, after what is there already."""
        self._threaded = True
        self._last = done = threading.Event()

        def tell() -> T:
            try:
                return run()
            finally:
                done.set()

        result: T = await self._connection._execute(tell)  # noqa: SLF001 its public ways go there several times
        return result

    def begin(self) -> None:
        """Begin a transaction that takes its locks when it needs them."""
        self._connection._conn.execute("BEGIN")  # noqa: SLF001 as SQLAlchemy does

    def rollback(self) -> None:
        """Undo what was done since the beginning."""
        self._end("rollback")

    def commit(self) -> None:
        """Keep what was done since the beginning."""
        self._end("commit")

    def _end(self, how: str) -> None:
        if not self._connection._connection:  # noqa: SLF001 as SQLAlchemy does
            return  # closed
        end: Callable[[], None] = getattr(self._connection._conn, how)  # noqa: SLF001 same
        try:
            if self._threaded:
                await_only(self.in_thread(end))
                self._threaded = False
            else:
                end()
        except Exception as error:  # noqa: BLE001 the library sorts them
            self._handle_exception(error)


def begin(connection: sa.Connection) -> None:
    """Begin a transaction that reads: no statement of SQLAlchemy's, for SQLite only makes a note of it."""
    adapted = connection.connection.dbapi_connection
    assert isinstance(adapted, _Connection)  # noqa: S101 our driver's
    adapted.begin()


def _give_up() -> int:
    return 1


class Driver(AsyncAdapt_aiosqlite_dbapi):
    """What SQLAlchemy takes as the driver's module."""

    def __init__(self) -> None:
        """Take both libraries."""
        super().__init__(aiosqlite, sqlite3)

    def connect(self, *arg: Any, **kw: Any) -> _Connection:  # noqa: ANN401 the library's signature
        """Open a connection."""
        connection = aiosqlite.connect(*arg, **kw)
        connection._thread.daemon = True  # noqa: SLF001 as SQLAlchemy does: a thread of its own must not outlive us
        return _Connection(self, await_only(connection))
