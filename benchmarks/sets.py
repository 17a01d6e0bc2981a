"""Metering, the monthly run, and settling from funds: a million deployments at once, beside SQL written by hand."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update

from benchmarks import floors, seed
from benchmarks.report import Cost, Report, Row, exponent, percentile, ratio, within
from benchmarks.stores import Store, forget_peak, peak_mb, timed
from billing import metering, month_run
from billing.cashier import Cashier
from billing.clock import HOUR, ManualClock, Month
from billing.db import Database
from billing.models import Invoice, Watermark
from billing.money import Currency
from billing.stripe_gateway import StripeGateway
from billing.terms import Terms

SIZE = 1_000_000
_JANUARY = Month(2026, 1)
_ISSUED_AT = datetime(2026, 2, 5, 12, tzinfo=UTC)
_NOWHERE = "http://127.0.0.1:9"
_TERMS = Terms(Currency.of("usd"))


@dataclass(frozen=True, slots=True)
class Costs:
    """What a shop of one size took, and its floors."""

    hour: Cost
    hour_floor: Cost
    week: Cost
    month: Cost
    month_floor: Cost
    settle: Cost
    settle_floor: Cost
    invoices: int
    memory_mb: float


async def measure(report: Report, store: Store, scale: float) -> None:
    """Measure a shop of three sizes, each ten times the one before."""
    sizes = [int(SIZE * scale / part) for part in (100, 10, 1)]
    costs = [await _shop(store, size) for size in sizes]
    _tell(report, store, sizes[-1], costs[-1])
    for work, of in (
        ("hourly metering", [cost.hour for cost in costs]),
        ("metering a week over a month's end", [cost.week for cost in costs]),
        ("monthly run", [cost.month for cost in costs]),
        ("settle from funds", [cost.settle for cost in costs]),
    ):
        power = exponent(sizes, [cost.cpu for cost in of])
        reached = f"exponent {power:.2f}"
        seconds = ", ".join(f"{cost.cpu:.3g}" for cost in of)
        data = ", ".join(f"{size:,}" for size in sizes)
        report.add(
            Row(f"growth of: {work}, {store.name}", data, reached, f"cpu s {seconds}", must="≤ 1.1", met=power <= 1.1)
        )


def _tell(report: Report, store: Store, size: int, cost: Costs) -> None:
    data = f"{size:,} deployments"
    invoices = f"{cost.invoices:,} invoices, {size:,} lines"
    hourly = within(cost.hour, cost.hour_floor, 2)
    report.add(
        Row(
            f"hourly metering, {store.name}",
            data,
            str(cost.hour),
            str(cost.hour_floor),
            ratio(cost.hour, cost.hour_floor),
            "≤ 2 × floor",
            hourly,
        ),
        Row(f"its memory, {store.name}", data, f"{cost.memory_mb:.0f} MB", must="≤ 200 MB", met=cost.memory_mb <= 200),
        Row(
            f"metering a week over a month's end, {store.name}",
            data,
            str(cost.week),
            f"an hour: {cost.hour}",
            ratio(cost.week, cost.hour),
            "≤ 3 × an hour",
            within(cost.week, cost.hour, 3),
        ),
        Row(
            f"monthly run, {store.name}",
            invoices,
            f"{cost.month}, {cost.invoices / cost.month.wall:,.0f}/s",
            f"{cost.month_floor}, {cost.invoices / cost.month_floor.wall:,.0f}/s",
            ratio(cost.month, cost.month_floor),
            "≤ 3 × floor; ≥ 15,000/s on SQLite",
            within(cost.month, cost.month_floor, 3)
            and (store.name != "SQLite" or cost.invoices / cost.month.cpu >= 15_000),
        ),
        Row(
            f"settle from funds, {store.name}",
            f"{cost.invoices:,} invoices",
            f"{cost.settle}, {cost.invoices / cost.settle.wall:,.0f}/s",
            f"{cost.settle_floor}, {cost.invoices / cost.settle_floor.wall:,.0f}/s",
            ratio(cost.settle, cost.settle_floor),
            "≥ 5,000/s",
            cost.invoices / cost.settle.cpu >= 5_000,
        ),
    )


async def _shop(store: Store, size: int) -> Costs:
    """Go through a month with a shop of one size; floors do the same on the same file, or on a copy of it."""
    store.drop_if_there("shop")
    store.make("shop")
    await seed.shop(store.url("shop"), size)
    async with _opened(store, "shop") as database:
        forget_peak()
        await metering.catch_up(database, now=seed.NOW)
        hours, hour_floors = [], []
        for place in range(2):
            now = seed.NOW + (2 * place + 1) * HOUR
            hour_floors.append(await timed(store, floors.meter(database, _JANUARY, now)))
            hours.append(await timed(store, metering.catch_up(database, now=now + HOUR)))
        memory = peak_mb()
        last = _ISSUED_AT - timedelta(days=7)
        await metering.catch_up(database, now=last)
        week = await timed(store, metering.catch_up(database, now=_ISSUED_AT))
        await seed.analyze(database)
    store.copy("shop", "floor")
    async with _opened(store, "floor") as database:
        month_floor = await timed(store, floors.issue(database, _JANUARY, _ISSUED_AT))
    store.drop_if_there("floor")
    async with _opened(store, "shop") as database:
        issued = 0

        async def issue() -> None:
            nonlocal issued
            issued = await month_run.issue_due(database, now=_ISSUED_AT, terms=_TERMS)

        # Metering is measured by itself: here the hours are there, and it only looks.
        month = await timed(store, issue())
        await seed.analyze(database)
    store.copy("shop", "floor")
    async with _opened(store, "floor") as database:
        settle_floor = await timed(store, floors.settle(database, _ISSUED_AT + HOUR))
        await _all_paid(database)
    store.drop_if_there("floor")
    async with _opened(store, "shop") as database:
        settle = await timed(store, _cashier(database).settle_due())
        await _all_paid(database)
    store.drop_if_there("shop")
    return Costs(
        min(hours, key=_cpu), min(hour_floors, key=_cpu), week, month, month_floor, settle, settle_floor, issued, memory
    )


def _cpu(cost: Cost) -> float:
    return cost.cpu


def _cashier(database: Database) -> Cashier:
    clock = ManualClock(_ISSUED_AT + HOUR)
    # Asked for nothing: voucher and balance suffice.
    gateway = StripeGateway(api_key="sk_test_none", currency=_TERMS.currency, webhook_secret="", api_url=_NOWHERE)
    return Cashier(database, gateway, clock, terms=_TERMS, return_url="https://shop.example/done")


async def _all_paid(database: Database) -> None:
    async with database.read() as session:
        left = await session.scalar(select(func.count()).where(Invoice.due > 0))
    assert left == 0, f"{left} invoices are open"


@contextlib.asynccontextmanager
async def _opened(store: Store, name: str) -> AsyncIterator[Database]:
    database = Database(store.url(name))
    try:
        yield database
    finally:
        await database.close()


# --- who writes to the bot meanwhile


async def measure_waits(report: Report, store: Store, scale: float) -> None:
    """Measure how long somebody who taps waits for the database while everything is metered, invoiced and settled."""
    size = int(SIZE * scale)
    store.drop_if_there("shop")
    store.make("shop")
    await seed.shop(store.url("shop"), size)
    waits: list[float] = []
    async with _opened(store, "shop") as database:
        tapping = asyncio.create_task(_tap(database, waits))
        await metering.catch_up(database, now=seed.NOW)
        await month_run.issue_due(database, now=_ISSUED_AT, terms=_TERMS)
        await _cashier(database).settle_due()
        tapping.cancel()
        await asyncio.gather(tapping, return_exceptions=True)
    store.drop_if_there("shop")
    worst = percentile(waits, 0.99) * 1000
    report.add(
        Row(
            f"a writer of the chat waits while all this goes on, {store.name}",
            f"{size:,} deployments, {len(waits)} writes",
            f"p50 {percentile(waits, 0.5) * 1000:.0f} ms, p99 {worst:.0f} ms", must="p99 ≤ 200 ms", met=worst <= 200,
        )
    )  # fmt: skip


async def _tap(database: Database, waits: list[float]) -> None:
    """Write something small again and again."""
    while True:
        begun = time.perf_counter()
        async with database.transaction() as session:
            await session.execute(update(Watermark).where(Watermark.name == "tap").values(until=seed.NOW))
        waits.append(time.perf_counter() - begun)
        await asyncio.sleep(0.01)
