"""`python -m bot move SOURCE`: everything in one database copied into another, empty one (SQLite to PostgreSQL, say).

All or nothing: one transaction of the target copies every table, compares every row with the source, and asks the
books what must always be true (rules.md 2.6). The source is only read.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, RowMapping, Table, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

import cloud.models
from billing import checks, leases
from billing.db import Database
from billing.models import Account, Base, Customer
from billing.money import Currency
from bot import migrate, models, switches
from bot.migrate import Schema
from bot.settings import CannotStart

log = logging.getLogger(__name__)

_CHUNK = 2_000
_ALIVE = timedelta(seconds=30)
"""A process that serves a database shows so every few seconds."""
_SUBJECTS = (cloud.models, models)
"""Imported for their tables."""

_HOUSE = Account.customer_id.is_(None)


class CannotMove(CannotStart):
    """The move cannot be made; nothing was changed."""


async def move(source_url: str, target_url: str, *, now: datetime) -> int:
    """Copy everything; returns how many rows. `now` is the true time, in which processes show that they live.

    Raises:
        CannotMove: the source is in use or not of this version, the target is not empty, or they differ afterwards.
        CannotStart: one of them cannot be reached.
    """
    if source_url == target_url:
        raise CannotMove("source and target are the same database")
    await _need_current(source_url)
    await migrate.upgrade(target_url)
    source, target = Database(source_url), Database(target_url)
    try:
        async with source.read() as there, target.transaction() as here:
            await _need_stopped(there, now)
            await _need_empty(here)
            count = await _copy_all(there, here)
            await _compare_books(there, here)
            return count
    except DBAPIError as error:
        raise CannotMove(f"the target refuses a row: {str(error.orig).splitlines()[0]}") from error
    finally:
        await source.close()
        await target.close()


async def _need_current(url: str) -> None:
    found = await migrate.state(url)
    if found is Schema.BEHIND:
        raise CannotMove(
            "the source is empty, or behind this program; with DATABASE_URL set to it, run: python -m bot migrate"
        )
    if found is Schema.UNKNOWN:
        raise migrate.SchemaUnknown


async def _need_stopped(there: AsyncSession, now: datetime) -> None:
    since = now - _ALIVE
    alive = await there.scalars(select(models.Replica.name).where(models.Replica.seen_at > since))
    if any(not leases.is_dead(name) for name in alive):
        raise CannotMove("a program serves the source; stop it first, or wait half a minute after it died")


async def _need_empty(here: AsyncSession) -> None:
    for table in _tables():
        rows = select(sa.literal(1)).select_from(table)
        if table is _table(Account):
            rows = rows.where(~_HOUSE)
        if await here.scalar(rows.limit(1)):
            raise CannotMove(f"DATABASE_URL: expected an empty database, there is something in {table.name}")
    await here.execute(sa.delete(Account).where(_HOUSE))  # the migration made them; the source's have their own ids


async def _copy_all(there: AsyncSession, here: AsyncSession) -> int:
    count = 0
    for table in _tables():
        copied = await _copy(there, here, table)
        log.info("%s: %s rows", table.name, copied)
        count += copied
    await _set_default_cards(there, here)
    for table in _tables():
        await _compare(there, here, table)
        await _go_on_counting(here, table)
    return count


def _tables() -> Sequence[Table]:
    """Return all tables, each after those that it refers to."""
    return Base.metadata.sorted_tables


def _table(model: type[Base]) -> Table:
    return Base.metadata.tables[model.__tablename__]


async def _copy(there: AsyncSession, here: AsyncSession, table: Table) -> int:
    count = 0
    async for rows in _chunks(there, table):
        await here.execute(sa.insert(table), [_without_default_card(row, table) for row in rows])
        count += len(rows)
    return count


def _without_default_card(row: RowMapping, table: Table) -> dict[str, Any]:
    """Return a row as it can be written first: customers and cards refer to each other."""
    return {**row, "default_card_id": None} if table is _table(Customer) else dict(row)


async def _set_default_cards(there: AsyncSession, here: AsyncSession) -> None:
    customers = _table(Customer)
    this: sa.BindParameter[int] = sa.bindparam("this")
    card: sa.BindParameter[int] = sa.bindparam("card")
    bound = sa.update(customers).where(customers.c.id == this).values(default_card_id=card)
    connection = await here.connection()
    async for rows in _chunks(there, customers):
        if cards := [{"this": row["id"], "card": row["default_card_id"]} for row in rows if row["default_card_id"]]:
            await connection.execute(bound, cards)


async def _compare(there: AsyncSession, here: AsyncSession, table: Table) -> None:
    """Hold every row of a table against the source's."""
    copies = _rows(here, table)
    async for original in _rows(there, table):
        if await anext(copies, None) != original:
            raise CannotMove(f"{table.name} differs after copying: {_key(original, table)}")
    if await anext(copies, None) is not None:
        raise CannotMove(f"{table.name} has more rows than the source")


def _key(row: Mapping[str, Any], table: Table) -> str:
    return ", ".join(f"{column.name} {row[column.name]}" for column in table.primary_key)


async def _rows(session: AsyncSession, table: Table) -> AsyncIterator[dict[str, Any]]:
    async for rows in _chunks(session, table):
        for row in rows:
            yield dict(row)


async def _chunks(session: AsyncSession, table: Table) -> AsyncIterator[Sequence[RowMapping]]:
    """Yield a table in the order of its key, which for rows that refer to earlier ones of their own is time's."""
    last: tuple[sa.ColumnElement[Any], ...] | None = None
    key = [_ordered(column, session.get_bind().dialect.name) for column in table.primary_key]
    while True:
        query = select(table).order_by(*key).limit(_CHUNK)
        if last is not None:
            query = query.where(sa.tuple_(*key) > sa.tuple_(*last))
        rows = (await session.execute(query)).mappings().all()
        if rows:
            yield rows
        if len(rows) < _CHUNK:
            return
        last = tuple(sa.literal(rows[-1][column.name], column.type) for column in table.primary_key)


def _ordered(column: Column[Any], dialect: str) -> sa.ColumnElement[Any]:
    """Return a column of a key in an order that both databases agree on: texts by their bytes."""
    if dialect != "sqlite" and isinstance(column.type, sa.String):
        return sa.collate(column, "C")
    return column


async def _go_on_counting(here: AsyncSession, table: Table) -> None:
    """Have the server number the next row after the last one; SQLite does by itself."""
    column = table.autoincrement_column
    if column is None or here.get_bind().dialect.name == "sqlite":
        return
    last = select(func.max(column)).scalar_subquery()
    sequence = func.pg_get_serial_sequence(table.name, column.name)
    await here.execute(select(func.setval(sequence, last)).where(last.is_not(None)))


async def _compare_books(there: AsyncSession, here: AsyncSession) -> None:
    """Ask both what must always be true: what was wrong before is told, anything else stops the move."""
    code = await switches.currency(there)
    if code is None:
        return
    before = set(await checks.differences(there, currency=Currency.of(code)))
    after = set(await checks.differences(here, currency=Currency.of(code)))
    for one in sorted(map(str, before & after)):
        log.warning("wrong already in the source: %s", one)
    if after != before:
        raise CannotMove(f"the books differ after copying: {next(map(str, after ^ before))}")
