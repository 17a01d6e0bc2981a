"""The jobs by name: what each does, run once to its end. Each may run at any time, twice, or in two processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import exists, select

from billing import (
    announcements,
    budgets,
    checkouts,
    checks,
    corrector,
    low_funds,
    metering,
    month_run,
    outbox,
    payments,
    reconciliation,
    reminders,
    stars_reconciliation,
    taken_back,
    voucher_requests,
    wishes,
)
from billing.gateway import GatewayError
from billing.models import Notice, NoticeStatus, SettlementWish
from bot import connection
from bot.invitations import Invitations
from cloud import comparison
from cloud.drivers.base import DriverError
from cloud.drivers.logged import LoggedDriver

if TYPE_CHECKING:
    from sqlalchemy.sql.selectable import Exists

    from bot.app import App
    from bot.deliver import Deliverer

log = logging.getLogger(__name__)

_LINES, _LINE = 10, 200
"""Differences in the chat, and characters of each; the job prints all of all."""

_OTHERS_SECONDS, _LOOK_SECONDS = 60.0, 0.2
"""How long to wait for what another process has in hand, longer than its lease if it died; and between looks."""

Chore = Callable[[], Awaitable[int]]
"""Returns the exit code."""


def jobs(app: App) -> Mapping[str, Chore]:
    """Return every job by its name."""
    return {
        job.__name__: partial(job, app)
        for job in (meter, invoice, settle, remind, reap, reconcile, deliver, requests, check)
    }


async def to_the_end(app: App, name: str) -> int:
    """Run a job for somebody who wants it done when this returns, whichever process has a part of it in hand."""
    job = jobs(app)[name]
    patience = asyncio.get_running_loop().time() + _OTHERS_SECONDS
    code = await job()
    while await _others_have(app, name):
        while await _others_have(app, name):
            if asyncio.get_running_loop().time() > patience:
                log.error("%s: another process has not done its part in %.0f s", name, _OTHERS_SECONDS)
                return 1
            await asyncio.sleep(_LOOK_SECONDS)
        code = await job()
    return code


async def _others_have(app: App, name: str) -> bool:
    """Return whether a part of a job is leased: our own leases are over when a job is."""
    now = app.clock.now()
    wishes_held = exists().where(SettlementWish.wanted_at <= now, SettlementWish.leased_until > now)
    notices_held = exists().where(Notice.status == NoticeStatus.WAITING, Notice.leased_until > now)
    held: Mapping[str, Exists] = {
        "invoice": wishes_held,
        "settle": wishes_held,
        "reconcile": wishes_held,
        "deliver": notices_held,
    }
    if name not in held:
        return False
    async with app.database.read() as session:
        return bool(await session.scalar(select(held[name])))


async def meter(app: App) -> int:
    """Bring the hours up to now, and warn whose own budget they have reached."""
    now = app.clock.now()
    await metering.catch_up(app.database, now=now)
    await budgets.warn_all(app.database, now=now, terms=app.terms)
    return 0


async def invoice(app: App) -> int:
    """Issue what is due to be invoiced, give back hours that were taken back, and settle."""
    await month_run.issue_due(app.database, now=app.clock.now(), terms=app.terms)
    await taken_back.credit_all(app.database, currency=app.terms.currency, now=app.clock.now())
    await app.cashier.settle_due()
    return 0


async def settle(app: App) -> int:
    """Try what is due by the calendar; find what ought to be tried, or was disputed, though nothing told of it."""
    async with app.database.transaction() as session:
        await wishes.recreate(session, minimum=app.terms.card_minimum, now=app.clock.now())
    await app.cashier.settle_due()
    try:
        await app.corrector.look_for_disputes()
    except GatewayError as error:
        log.warning("disputes are listed again in an hour: %s", error)
    return 0


async def reconcile(app: App) -> int:
    """Look after machines, unknown payments and open pages, all now."""
    while await app.reconciler.tick():
        pass
    # Who runs the job by hand wants to know now, not when the next look is due.
    async with app.database.transaction() as session:
        await checkouts.hurry(session, now=app.clock.now())
        await payments.hurry(session, now=app.clock.now())
        await corrector.hurry(session, now=app.clock.now())
    await look_after_money(app)
    # A payment whose result became known lets the rest of its customer's dues have their turn.
    await app.cashier.settle_due()
    return 0


async def remind(app: App) -> int:
    """Write reminders of what is unpaid, and tell whose money will not last."""
    now = app.clock.now()
    await reminders.remind(app.database, now=now, terms=app.terms)
    await low_funds.tell_all(app.database, now=now, terms=app.terms)
    return 0


async def reap(app: App) -> int:
    """Delete what was announced, and switch off or on what debts ask for."""
    await app.overdue.reap()
    return 0


async def deliver(app: App) -> int:
    """Send everything that waits."""
    await connection.open_bot(app.telegram)
    try:
        deliverer = app.deliverer(real=(await app.driver.capabilities()).real)
        more = True
        while more:
            more = await _write_more(app)
            await deliverer.drain()
    finally:
        await app.telegram.shutdown()
    return 0


async def requests(app: App) -> int:
    """Remind the administrators of requests for vouchers that wait (B8)."""
    async with app.database.transaction() as session:
        await voucher_requests.remind(session, now=app.clock.now())
    return 0


async def check(app: App) -> int:
    """Compare, and print what differs; 1 if anything does."""
    return await report(app)


async def send_messages(app: App, deliverer: Deliverer) -> bool:
    """Write the next messages of an announcement, deliver some; return whether there may be more to do now."""
    wrote = await _write_more(app)
    return await deliverer.step() or wrote


async def _write_more(app: App) -> bool:
    """Write the next messages of an announcement, mail the next link to a user of the former system."""
    bot = app.telegram.bot
    links = Invitations(app.database, app.clock, app.mailer, app.terms, app.chat_url, bot.first_name)
    wrote = await announcements.step(app.database, now=app.clock.now())
    return await links.step() or wrote


async def look_after_money(app: App) -> None:
    """Events, open pages, wishes to settle, payments and refunds in flight, cards to forget, what is paid again."""
    await app.inbox.handle_due()
    await app.checkouts.poll()
    await app.cashier.settle_due()
    await app.cashier.look_after()
    await app.corrector.look_after()
    await app.cashier.detach()
    await app.stars.look_after()
    await app.overdue.resume()


async def _compare_stars(app: App) -> list[checks.Difference]:
    return await stars_reconciliation.differences(
        app.database, app.star_payments, now=app.clock.now(), offered=bool(app.terms.stars_rate)
    )


async def report(app: App) -> int:
    """Print what differs from what must always be true, and tell the administrators, once a day; return 1 if any.

    Ledger and hours, machines, what Stripe and what the chat say of money: compared, and nothing is changed (C13).
    """
    async with app.database.read() as session:
        found = await checks.differences(session, currency=app.terms.currency)
    for asked, compare in (
        ("machines", partial(comparison.differences, app.database, LoggedDriver(app.driver))),
        ("provider", partial(reconciliation.differences, app.database, app.gateway, now=app.clock.now())),
        ("stars", partial(_compare_stars, app)),
    ):
        try:
            found += await compare()
        except (DriverError, GatewayError) as error:
            found.append(checks.Difference(asked, "the comparison", "an answer", str(error)))
    for one in found:
        print(one)  # noqa: T201 the answer
    if found:
        now = app.clock.now()
        facts = {"count": len(found), "lines": [str(one)[:_LINE] for one in found[:_LINES]]}
        async with app.database.transaction() as session:
            await outbox.tell_house(session, "checks_differ", facts, now=now, dedup=f"check:{now.date()}")
    return 1 if found else 0
