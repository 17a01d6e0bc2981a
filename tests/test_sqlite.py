"""SQLite under asyncio: what is done at once, what goes to the thread, and that nobody can tell from the results."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from billing.db import Database

LONG = (
    "SELECT sum(n) FROM"
    " (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < :count) SELECT n FROM s)"
)
QUICK = "SELECT count(*) FROM things"


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Database]:
    """A database with one table that holds one thing."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/small.sqlite3")
    async with database.transaction() as session:
        await session.execute(sa.text("CREATE TABLE things (n INTEGER)"))
        await session.execute(sa.text("INSERT INTO things VALUES (1)"))
    yield database
    await database.close()


@pytest.fixture
def where(small: Database) -> set[str]:
    """The names of the threads that SQLite has called back in."""
    seen: set[str] = set()

    def note(connection: sa.Connection, *_: object) -> None:
        database = connection.connection.driver_connection
        assert database is not None
        database._conn.set_trace_callback(lambda _: seen.add(threading.current_thread().name))

    for engine in (small._reader, small._writer):
        sa.event.listen(engine.sync_engine, "before_cursor_execute", note)
    return seen


async def test_a_quick_read_needs_no_other_thread(small: Database, where: set[str]) -> None:
    async with small.read() as session:
        await session.scalar(sa.text(QUICK))  # a first connection is asked what it can do
    where.clear()
    async with small.read() as session:
        assert await session.scalar(sa.text(QUICK)) == 1
    assert where == {threading.main_thread().name}


async def test_a_long_read_is_broken_off_and_begun_again_in_the_thread(small: Database, where: set[str]) -> None:
    count = 100_000
    async with small.read() as session:
        assert await session.scalar(sa.text(LONG), {"count": count}) == count * (count + 1) // 2
    assert len(where) == 2, where


async def test_a_write_is_in_the_thread(small: Database, where: set[str]) -> None:
    async with small.transaction() as session:
        await session.execute(sa.text("INSERT INTO things VALUES (2)"))
    assert threading.main_thread().name not in where


async def test_a_transaction_reads_one_state_also_around_a_long_read(small: Database) -> None:
    async with small.read() as session:
        assert await session.scalar(sa.text(QUICK)) == 1
        async with small.transaction() as other:
            await other.execute(sa.text("INSERT INTO things VALUES (2)"))
        await session.scalar(sa.text(LONG), {"count": 100_000})
        assert await session.scalar(sa.text(QUICK)) == 1
    async with small.read() as session:
        assert await session.scalar(sa.text(QUICK)) == 2


async def test_what_was_written_is_undone_also_after_a_long_read(small: Database) -> None:
    async with small.transaction() as session:
        await session.execute(sa.text("INSERT INTO things VALUES (2)"))
        await session.scalar(sa.text(LONG), {"count": 100_000})
        assert await session.scalar(sa.text(QUICK)) == 2
        await session.rollback()
    async with small.read() as session:
        assert await session.scalar(sa.text(QUICK)) == 1


async def test_the_loop_goes_on_while_a_long_read_takes_its_time(small: Database) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    async with small.read() as session:
        await session.scalar(sa.text(LONG), {"count": 1_000_000})
    counting.cancel()
    assert turns > 10


async def test_after_a_cancelled_read_the_connection_serves_on(small: Database) -> None:
    async def read(count: int) -> int | None:
        async with small.read() as session:
            found: int | None = await session.scalar(sa.text(LONG), {"count": count})
            return found

    for _ in range(20):  # more than there are connections
        reading = asyncio.create_task(read(200_000))
        await asyncio.sleep(0.001)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert await read(10) == 55


async def test_after_a_cancelled_write_nothing_of_it_is_there(small: Database) -> None:
    async def write() -> None:
        async with small.transaction() as session:
            await session.execute(sa.text(f"INSERT INTO things {LONG}"), {"count": 300_000})

    for _ in range(5):
        writing = asyncio.create_task(write())
        await asyncio.sleep(0.01)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    async with small.transaction() as session:
        assert await session.scalar(sa.text(QUICK)) == 1
