"""The jobs by name: what each does, run once to its end. Each may run at any time, twice, or in two processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from billing import checkouts, checks, metering, month_run, payments

if TYPE_CHECKING:
    from bot.app import App

Chore = Callable[[], Awaitable[int]]
"""Returns the exit code."""


def jobs(app: App) -> Mapping[str, Chore]:
    """Return every job by its name."""

    async def meter() -> int:
        await metering.catch_up(app.database, now=app.clock.now())
        return 0

    async def invoice() -> int:
        await month_run.issue_due(app.database, now=app.clock.now(), terms=app.terms)
        await app.cashier.settle_due()
        return 0

    async def settle() -> int:
        await app.cashier.settle_due()
        return 0

    async def reconcile() -> int:
        while await app.reconciler.tick():
            pass
        # Who runs the job by hand wants to know now, not when the next look is due.
        async with app.database.transaction() as session:
            await checkouts.hurry(session, now=app.clock.now())
            await payments.hurry(session, now=app.clock.now())
        await look_after_money(app)
        return 0

    async def deliver() -> int:
        async with app.telegram.bot:
            deliverer = app.deliverer(real=(await app.driver.capabilities()).real)
            while await deliverer.step():
                pass
        return 0

    async def check() -> int:
        return await report(app)

    return {
        "meter": meter,
        "invoice": invoice,
        "settle": settle,
        "reconcile": reconcile,
        "deliver": deliver,
        "check": check,
    }


async def look_after_money(app: App) -> None:
    """Events, open pages, wishes to settle, payments in flight, cards to forget: whatever is due now."""
    await app.inbox.handle_due()
    await app.checkouts.poll()
    await app.cashier.settle_due()
    await app.cashier.look_after()
    await app.cashier.detach()


async def report(app: App) -> int:
    """Print what differs from what must always be true; return 1 if anything does."""
    async with app.database.read() as session:
        found = await checks.differences(session, currency=app.terms.currency)
        found += await checks.usage_differences(session)
    for one in found:
        print(f"{one.check}: {one.subject}: expected {one.expected}, found {one.found}")  # noqa: T201 the answer
    return 1 if found else 0
