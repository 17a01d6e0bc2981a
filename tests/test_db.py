"""The database: who waits for whom, and what it refuses by itself."""

import asyncio
import sqlite3
from contextlib import AbstractAsyncContextManager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts
from billing.clock import ManualClock, Month
from billing.db import Database
from billing.ledger import About, Side, transfer
from billing.models import (
    HOUSE_KINDS,
    Account,
    AccountKind,
    CreditNote,
    Customer,
    Invoice,
    InvoiceKind,
    InvoiceLine,
    Transfer,
)

MAY_CHANGE = {"due", "disputed", "due_since", "paid_at", "by_hand"}
NOW = datetime(2026, 2, 1, 0, 10, tzinfo=UTC)


async def add_customer(session: AsyncSession, telegram_id: int = 7) -> Customer:
    return await accounts.register(session, telegram_id=telegram_id, username="", name="Ada", language="en", now=NOW)


async def find(database: Database, telegram_id: int = 7) -> Customer | None:
    async with database.read() as session:
        return await accounts.by_telegram_id(session, telegram_id)


async def test_a_fresh_database_has_the_houses_accounts(database: Database) -> None:
    async with database.read() as session:
        kinds = list(await session.scalars(sa.select(Account.kind).where(Account.customer_id.is_(None))))
    assert sorted(kinds) == sorted(HOUSE_KINDS)


# --- transactions


async def test_a_transaction_is_kept_when_it_ends(database: Database) -> None:
    async with database.transaction() as session:
        await add_customer(session)
    assert await find(database)


async def test_a_transaction_is_gone_when_it_raises(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as session:
            await add_customer(session)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await find(database) is None


async def test_a_transaction_is_gone_when_its_task_is_cancelled(database: Database) -> None:
    added = asyncio.Event()

    async def hang() -> None:
        async with database.transaction() as session:
            await add_customer(session)
            added.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(hang())
    await added.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await find(database) is None
    async with database.transaction() as session:  # and it holds nobody up
        await add_customer(session)


async def test_readers_do_not_wait_for_a_writer_and_see_one_state(database: Database) -> None:
    async with database.transaction() as session:
        await add_customer(session)
        assert await asyncio.wait_for(find(database), 5) is None
    async with database.read() as reader:
        assert await accounts.by_telegram_id(reader, 8) is None
        async with database.transaction() as session:
            await add_customer(session, 8)
        assert await accounts.by_telegram_id(reader, 8) is None
    assert await find(database, 8)


async def test_a_reader_cannot_write(database: Database) -> None:
    async def write() -> None:
        async with database.read() as session:
            await session.execute(sa.insert(Account).values(kind=AccountKind.TAX))

    with pytest.raises(DBAPIError, match=r"readonly|read-only"):
        await write()


async def test_writers_that_read_first_lose_nothing(database: Database) -> None:
    """Fifty tasks add one each to what they read: none is lost, none fails."""
    async with database.transaction() as session:
        customer_id = (await add_customer(session)).id

    async def add_one() -> None:
        async with database.transaction() as session:
            customer = await accounts.lock(session, customer_id)
            customer.budget = (customer.budget or 0) + 1

    await asyncio.gather(*(add_one() for _ in range(50)))
    customer = await find(database)
    assert customer
    assert customer.budget == 50


async def test_another_process_that_writes_is_waited_for(sqlite_database: Database) -> None:
    """As `python -m bot job` beside the running bot."""
    other = Database(str(sqlite_database.url))
    order = []

    async def write(database: Database, name: str, telegram_id: int) -> None:
        async with database.transaction() as session:
            await add_customer(session, telegram_id)
            order.append(f"{name} begins")
            await asyncio.sleep(0.05)
            order.append(f"{name} ends")

    await asyncio.gather(
        *(write(sqlite_database, "one", n) for n in range(1, 4)), *(write(other, "two", n) for n in range(11, 14))
    )
    await other.close()
    assert len(order) == 12
    assert all(begins.split()[0] == ends.split()[0] for begins, ends in zip(order[::2], order[1::2], strict=True))
    assert all(line.endswith("ends") for line in order[1::2])


async def test_a_new_file_is_opened_while_another_process_writes_to_it(tmp_path: Path) -> None:
    """As it happens where two start at once: one has migrated, the other is still at it."""
    path = tmp_path / "x.sqlite3"
    database = Database(f"sqlite+aiosqlite:///{path}")

    async def look(opened: AbstractAsyncContextManager[AsyncSession]) -> object:
        async with opened as session:
            return await session.scalar(sa.text("PRAGMA journal_mode"))

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE migrated (version TEXT)")
        other.execute("BEGIN IMMEDIATE")
        looks = [asyncio.create_task(look(each)) for each in (database.transaction(), database.read())]
        await asyncio.wait(looks, timeout=0.2, return_when=asyncio.FIRST_EXCEPTION)
        other.execute("COMMIT")
    assert await asyncio.gather(*looks) == ["wal", "wal"]
    await database.close()


async def test_sqlite_opens_as_it_should(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'new' / 'folder' / 'x.sqlite3'}")
    for opened, read_only in ((database.transaction(), 0), (database.read(), 1)):
        async with opened as session:
            for pragma, value in (("journal_mode", "wal"), ("foreign_keys", 1), ("query_only", read_only)):
                assert await session.scalar(sa.text(f"PRAGMA {pragma}")) == value
            assert await session.scalar(sa.text("PRAGMA busy_timeout")) >= 5000
    await database.close()


async def test_rows_must_refer_to_something(database: Database) -> None:
    async def refer() -> None:
        async with database.transaction() as session:
            session.add(Account(customer_id=404, kind=AccountKind.BALANCE, posted=0, reserved=0))

    with pytest.raises(DBAPIError, match=r"(?i)foreign key"):
        await refer()


# --- what was written stays (rules.md 2.5, 5.3)


@pytest.fixture
async def issued(database: Database) -> Database:
    """A database with one transfer, and an invoice with a line and a credit note."""
    party = {"name": "", "address": "", "tax_id": ""}
    async with database.transaction() as session:
        customer = await add_customer(session)
        receivable = Side(AccountKind.RECEIVABLE, customer.id)
        revenue = Side(AccountKind.REVENUE)
        await transfer(
            session, operation="x", debit=receivable, credit=revenue, amount=8, about=About("issue"), now=NOW
        )
        invoice = Invoice(
            kind=InvoiceKind.INVOICE, number="INV-2026-000001", customer_id=customer.id, month=Month(2026, 1),
            issued_at=NOW, net=8, tax_basis_points=0, tax=0, total=8, seller=party, buyer=party, due=8,
        )  # fmt: skip
        session.add(invoice)
        await session.flush()
        session.add(
            InvoiceLine(
                invoice_id=invoice.id, position=1, name="web", item="vm-small", hours=11, monthly=500, capped=False,
                amount=8,
            )
        )  # fmt: skip
        session.add(
            CreditNote(
                operation="c", number="CN-2026-000001", invoice_id=invoice.id, customer_id=customer.id, issued_at=NOW,
                net=1, tax=0, total=1, reason="late",
            )
        )  # fmt: skip
    return database


async def attempt(database: Database, statement: sa.Executable) -> None:
    async with database.transaction() as session:
        await session.execute(statement)


APPEND_ONLY = (Transfer, InvoiceLine, CreditNote)


@pytest.mark.parametrize("model", APPEND_ONLY)
async def test_what_is_append_only_takes_no_change(issued: Database, model: type[Any]) -> None:
    for column in sa.inspect(model).columns:
        with pytest.raises(DBAPIError, match="is append-only"):
            await attempt(issued, sa.update(model).values({column.key: column}))


@pytest.mark.parametrize("model", APPEND_ONLY)
async def test_what_is_append_only_cannot_be_deleted(issued: Database, model: type[Any]) -> None:
    with pytest.raises(DBAPIError, match="is append-only"):
        await attempt(issued, sa.delete(model))


async def test_an_invoice_cannot_be_deleted(issued: Database) -> None:
    with pytest.raises(DBAPIError, match=r"cannot be deleted|never changes"):
        await attempt(issued, sa.text("DELETE FROM invoices"))


@pytest.mark.parametrize("table", ["transfers", "invoices", "invoice_lines", "credit_notes"])
async def test_nothing_is_truncated(postgres_database: Database, table: str) -> None:
    """PostgreSQL's way around triggers on rows."""
    with pytest.raises(DBAPIError, match="append-only"):
        await attempt(postgres_database, sa.text(f"TRUNCATE {table} CASCADE"))


def another(value: object) -> object:
    """Return a value of the same type that differs."""
    match value:
        case None:
            return 5
        case InvoiceKind():
            return InvoiceKind.DEBIT_NOTE
        case int():
            return value + 1
        case datetime():
            return value + timedelta(seconds=1)
        case Month():
            return value.next()
        case dict():
            return value | {"name": "Eve"}
        case _:
            return f"{value}x"


@pytest.mark.parametrize(
    "column", [column.key for column in sa.inspect(Invoice).columns if column.key not in MAY_CHANGE]
)
async def test_what_is_printed_on_an_invoice_never_changes(issued: Database, column: str) -> None:
    async with issued.read() as session:
        value = await session.scalar(sa.select(getattr(Invoice, column)))
    with pytest.raises(DBAPIError, match="an issued invoice never changes"):
        await attempt(issued, sa.update(Invoice).values({column: another(value)}))


async def test_where_an_invoice_stands_may_change(issued: Database, clock: ManualClock) -> None:
    now = clock.now()
    for values in (
        {"disputed": 3},
        {"disputed": 0, "due_since": now},
        {"due": 0, "paid_at": now},
        {"net": 8, "due": 1},
    ):
        await attempt(issued, sa.update(Invoice).values(values))
    async with issued.read() as session:
        invoice = (await session.scalars(sa.select(Invoice))).one()
    assert (invoice.due, invoice.disputed, invoice.due_since, invoice.paid_at) == (1, 0, now, now)


async def test_a_folder_made_for_a_database_is_its_owners_only(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/data/vmbot.sqlite3")
    await database.close()
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
