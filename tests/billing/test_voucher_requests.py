"""Requests for vouchers: asked for, decided once, both ends told (rules.md 8.4, B1, B8)."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from billing import checks, ledger, voucher_requests
from billing.db import Database
from billing.errors import BillingError, Conflict, NotFound, OutOfRange
from billing.models import AuditEntry, Customer, Notice, RequestStatus, Voucher, VoucherRequest
from billing.money import Currency
from billing.terms import Terms
from billing.voucher_requests import MOST_PENDING, TooManyRequests
from tests.billing.builders import at, make_customer

NOW = at("2026-01-10 12:00")
BOSS, OTHER_BOSS = 9000, 9001
TERMS = Terms(Currency.of("usd"))


async def customer_in(database: Database) -> Customer:
    async with database.transaction() as session:
        return await make_customer(session)


async def ask(database: Database, customer: Customer, operation: str, amount: int = 1000) -> VoucherRequest:
    async with database.transaction() as session:
        return await voucher_requests.ask(
            session, customer, amount=amount, reason="a fair", operation=operation, terms=TERMS, now=NOW
        )


async def decide(database: Database, request: VoucherRequest, *, approve: bool, actor: int = BOSS) -> VoucherRequest:
    act = voucher_requests.approve if approve else voucher_requests.reject
    async with database.transaction() as session:
        return await act(session, request.id, actor=actor, now=NOW)


async def told(database: Database) -> list[tuple[str, int | None]]:
    async with database.read() as session:
        rows = await session.scalars(select(Notice).order_by(Notice.id))
        return [(notice.kind, notice.recipient) for notice in rows]


async def money(database: Database, customer: Customer) -> int:
    async with database.read() as session:
        assert await checks.differences(session, currency=Currency.of("usd")) == []
        return (await ledger.balances(session, customer.id)).voucher


async def test_approving_issues_and_redeems_in_one_act_and_tells_both_ends(database: Database) -> None:
    """Rule 8.4."""
    ann = await customer_in(database)
    request = await ask(database, ann, "update:1")
    done = await decide(database, request, approve=True)
    assert (done.status, done.decided_by) == (RequestStatus.APPROVED, BOSS)
    assert await money(database, ann) == 1000
    async with database.read() as session:
        voucher = (await session.scalars(select(Voucher))).one()
        actions = list(await session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))
    assert (voucher.redeemed_by, voucher.id) == (ann.id, done.voucher_id)
    assert actions == ["issue_vouchers", "approve_request"]
    assert await told(database) == [("voucher_requested", None), ("voucher_approved", ann.telegram_id)]


async def test_rejecting_gives_nothing_and_tells(database: Database) -> None:
    ann = await customer_in(database)
    request = await ask(database, ann, "update:1")
    await decide(database, request, approve=False)
    assert await money(database, ann) == 0
    assert (await told(database))[-1] == ("voucher_rejected", ann.telegram_id)


async def test_a_request_is_decided_once_whoever_taps(database: Database) -> None:
    ann = await customer_in(database)
    request = await ask(database, ann, "update:1")
    acts = [decide(database, request, approve=approve, actor=actor) for approve in (True, False) for actor in (1, 2, 3)]
    outcomes = await asyncio.gather(*acts, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert len(refused) == 3
    async with database.read() as session:
        status = (await session.scalars(select(VoucherRequest.status))).one()
    assert await money(database, ann) == (1000 if status is RequestStatus.APPROVED else 0)
    assert len(await told(database)) == 2


async def test_the_same_message_again_asks_once(database: Database) -> None:
    ann = await customer_in(database)
    first, second = await ask(database, ann, "update:1"), await ask(database, ann, "update:1")
    assert first.id == second.id
    assert len(await told(database)) == 1


async def test_so_many_may_wait_at_once(database: Database) -> None:
    ann, bob = await customer_in(database), await customer_in(database)
    asked = await asyncio.gather(
        *(ask(database, ann, f"update:{number}") for number in range(MOST_PENDING + 2)), return_exceptions=True
    )
    assert sum(isinstance(outcome, TooManyRequests) for outcome in asked) == 2
    await ask(database, bob, "update:b")
    waiting = next(outcome for outcome in asked if isinstance(outcome, VoucherRequest))
    await decide(database, waiting, approve=False)
    await ask(database, ann, "update:again")


async def test_more_than_a_top_up_cannot_be_asked_for(database: Database) -> None:
    ann = await customer_in(database)
    with pytest.raises(OutOfRange):
        await ask(database, ann, "update:1", TERMS.topup_most + 1)
    assert issubclass(TooManyRequests, BillingError)


async def test_there_must_be_a_request(database: Database) -> None:
    async with database.transaction() as session:
        with pytest.raises(NotFound):
            await voucher_requests.approve(session, 17, actor=BOSS, now=NOW)


async def test_administrators_are_reminded_once_a_day(database: Database) -> None:
    ann = await customer_in(database)

    async def remind(days: int) -> int:
        async with database.transaction() as session:
            return await voucher_requests.remind(session, now=NOW + timedelta(days=days))

    assert await remind(0) == 0
    request = await ask(database, ann, "update:1")
    await ask(database, ann, "update:2", 500)
    assert [await remind(0), await remind(0), await remind(1)] == [2, 2, 2]
    async with database.read() as session:
        rows = (await session.scalars(select(Notice).where(Notice.kind == "requests_waiting"))).all()
    assert [(notice.recipient, notice.data["count"], notice.data["total"]) for notice in rows] == [(None, 2, 1500)] * 2
    await decide(database, request, approve=True)
    assert await remind(2) == 1


async def test_all_up_to_one_are_found(database: Database) -> None:
    ann = await customer_in(database)
    asked = [await ask(database, ann, f"update:{number}") for number in range(3)]
    async with database.read() as session:
        waiting = await voucher_requests.pending(session, up_to=asked[1].id)
    assert [request.id for request in waiting] == [asked[0].id, asked[1].id]
