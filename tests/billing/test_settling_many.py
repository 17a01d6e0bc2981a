"""Many customers settled at once end as if each had been tried alone."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import delete, select

from billing import dues, settling_many
from billing.clock import HOUR, ManualClock
from billing.db import Database
from billing.models import AccountKind, Customer, Invoice, Quote, SettlementWish, Transfer
from tests.billing.till import Till, open_till

CASES = {
    "voucher alone": ((300,), 500, 0),
    "balance alone": ((300,), 0, 500),
    "to the last cent": ((300,), 300, 0),
    "voucher first, the rest from the balance": ((300,), 100, 250),
    "the voucher ends inside the smaller one": ((300, 200), 150, 400),
    "the voucher ends inside the larger one": ((300, 100), 150, 400),
    "equal ones, the oldest first": ((300, 100, 300), 350, 350),
}
LEFT = {
    "funds do not suffice": ((300,), 100, 100),
    "funds pay one of two": ((300, 100), 100, 0),
    "no funds": ((300,), 0, 0),
}


@pytest.fixture
async def till(database: Database, clock: ManualClock) -> AsyncIterator[Till]:
    async with open_till(database, clock) as opened:
        yield opened


async def owing(till: Till, case: tuple[tuple[int, ...], int, int]) -> Customer:
    """A customer with open invoices and funds, whose wish to settle them waits."""
    amounts, voucher, balance = case
    customer = await till.customer()
    await till.give(customer, voucher=voucher, balance=balance)
    for amount in amounts:
        await till.invoice(customer, amount)
    async with till.database.transaction() as session:
        mine = (SettlementWish.customer_id == customer.id, SettlementWish.cards.is_(False))
        await session.execute(delete(SettlementWish).where(*mine))
    return customer


async def settle_at_once(till: Till) -> None:
    await settling_many.settle(till.database, now=till.clock.now())


async def outcome(till: Till, customer: Customer) -> Any:
    """What a customer has, owes, paid and was told, without the numbers that differ between two customers."""
    async with till.database.read() as session:
        mine = select(Invoice).where(Invoice.customer_id == customer.id).order_by(Invoice.id)
        invoices = list(await session.scalars(mine))
        places = {invoice.id: place for place, invoice in enumerate(invoices)}
        rows = await session.scalars(
            select(Transfer).where(Transfer.invoice_id.in_(places), Transfer.reason == "settle").order_by(Transfer.id)
        )
        transfers = [
            (places[row.invoice_id or 0], row.operation.rpartition(":")[2], row.phase, row.amount, row.created_at)
            for row in rows
        ]
    told = [
        (kind, places[data.pop("invoice_id")], data.pop("number") != "", data)
        for kind, data in await till.told(customer)
        if kind == "invoice_paid"
    ]
    standing = [(invoice.due, invoice.by_hand, invoice.paid_at) for invoice in invoices]
    return await till.balances(customer), standing, transfers, told, await till.wish(customer) is None


async def test_many_end_as_each_alone(till: Till) -> None:
    alone = {name: await owing(till, case) for name, case in (CASES | LEFT).items()}
    for customer in alone.values():
        await till.cashier.settle(customer.id, by_card=True)
    many = {name: await owing(till, case) for name, case in (CASES | LEFT).items()}
    await settle_at_once(till)
    for name in CASES:
        assert await outcome(till, many[name]) == await outcome(till, alone[name]), name
    for name in LEFT:
        assert await till.wish(many[name]) is not None, name
    await till.cashier.settle_due()
    for name in LEFT:
        assert await outcome(till, many[name]) == await outcome(till, alone[name]), name
    await till.check()


async def test_who_is_not_simple_is_left_to_a_try_of_their_own(till: Till) -> None:
    case = CASES["voucher alone"]
    simple = [await owing(till, case) for _ in range(7)]
    disputed, waits, paid_before, moving = [await owing(till, case) for _ in range(4)]
    now = till.clock.now()
    async with till.database.transaction() as session:
        invoice = (await session.scalars(select(Invoice).where(Invoice.customer_id == disputed.id))).one()
        invoice.disputed = 100
        session.add(
            Quote(
                customer_id=waits.id, item="vm-small", name="web", workers=0, control_monthly=500, worker_monthly=0,
                created_at=now, expires_at=now, kept_until=now + HOUR,
            )
        )  # fmt: skip
        tried = await session.get_one(SettlementWish, (moving.id, True))
        tried.attempt_at = now
        first = (await session.scalars(select(Invoice).where(Invoice.customer_id == paid_before.id))).one()
        await dues.pay_from(session, paid_before, first.id, AccountKind.VOUCHER, 100, now=now)
    await settle_at_once(till)
    assert [customer.id for customer in simple if await till.wish(customer) is not None] == []
    for customer in (disputed, waits, paid_before, moving):
        assert await till.wish(customer) is not None


async def test_a_few_are_left_alone(till: Till) -> None:
    customer = await owing(till, CASES["voucher alone"])
    await settling_many.settle(till.database, now=till.clock.now())
    assert await till.wish(customer) is not None
