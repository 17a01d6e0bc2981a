"""Telegram Stars: asked before, credited once per charge of the chat, given back once (rules.md 7.5, C11)."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from billing import checks, ledger, payment_results, stars, topups
from billing.clock import DAY, ManualClock
from billing.db import Database
from billing.errors import Conflict, InsufficientFunds, NotFound
from billing.gateway import Charge, ChargeStatus, GatewayBusy, GatewayError, GatewayRefused, OutcomeUnknown
from billing.models import (
    AccountKind,
    AuditEntry,
    Customer,
    Invoice,
    InvoiceKind,
    Notice,
    Payment,
    PaymentStatus,
    SettlementWish,
)
from billing.money import Currency
from billing.stars import MOST_STARS, Receipt, StarsDesk
from billing.terms import Terms
from tests.billing.builders import at, make_customer

NOW = at("2026-01-10 12:00")
TERMS = Terms(Currency.of("usd"), stars_rate=2)
BOSS = 9000


@dataclass
class Chat:
    """Gives stars back as it is told to: errors first, in their order."""

    errors: list[GatewayError] = field(default_factory=list)
    given: list[tuple[int, str]] = field(default_factory=list)

    async def refund(self, telegram_id: int, charge_id: str) -> None:
        """Raise the next error, or remember."""
        if self.errors:
            raise self.errors.pop(0)
        self.given.append((telegram_id, charge_id))


async def customer_in(database: Database) -> Customer:
    async with database.transaction() as session:
        return await make_customer(session)


async def wanted(database: Database, customer: Customer, amount: int = 501, operation: str = "update:1") -> Payment:
    async with database.transaction() as session:
        checkout = await topups.want(session, customer, amount, operation=operation, terms=TERMS, now=NOW)
        offered = await topups.get(session, customer.id, checkout.payment_id or 0)
        return await stars.want(session, customer, offered, terms=TERMS, now=NOW)


async def credit(
    database: Database, customer: Customer, key: str, charge: str, count: int = 251, terms: Terms = TERMS
) -> Payment | None:
    async with database.transaction() as session:
        return await stars.credit(session, customer, Receipt(key, charge, count), terms=terms, now=NOW)


async def money(database: Database, customer: Customer) -> int:
    async with database.read() as session:
        assert await checks.differences(session, currency=Currency.of("usd")) == []
        return (await ledger.balances(session, customer.id)).balance


async def kinds(database: Database) -> list[str]:
    async with database.read() as session:
        return list(await session.scalars(select(Notice.kind).order_by(Notice.id)))


async def paid(database: Database, customer: Customer) -> Payment:
    payment = await wanted(database, customer)
    credited = await credit(database, customer, payment.idempotency_key, "charge")
    assert credited is not None
    return credited


@given(st.integers(1, 200_000), st.integers(0, 500))
def test_the_price_is_the_least_number_of_stars_that_is_enough(amount: int, rate: int) -> None:
    """Rule 7.5: the configured rate."""
    count = stars.price(amount, Terms(Currency.of("usd"), stars_rate=rate))
    if count is None:
        assert rate == 0 or amount > rate * MOST_STARS
    else:
        assert (count - 1) * rate < amount <= count * rate


async def test_what_came_is_credited_once_however_often_it_is_told(database: Database) -> None:
    """Rule 7.5."""
    customer = await customer_in(database)
    payment = await wanted(database, customer)
    assert (payment.amount, payment.stars) == (502, 251)
    told = await asyncio.gather(*(credit(database, customer, payment.idempotency_key, "charge") for _ in range(5)))
    assert {one.id for one in told if one is not None} == {payment.id}
    assert await money(database, customer) == 502
    assert await kinds(database) == ["balance_charged"]
    async with database.read() as session:
        assert [wish.cards for wish in await session.scalars(select(SettlementWish))] == [False]


async def test_a_second_charge_of_the_same_invoice_is_the_customers_too(database: Database) -> None:
    """6.8: money that still arrives twice goes to the balance."""
    customer = await customer_in(database)
    payment = await wanted(database, customer)
    for charge in ("first", "second", "second"):
        await credit(database, customer, payment.idempotency_key, charge)
    assert await money(database, customer) == 1004


async def test_the_rate_is_that_of_the_invoice_and_without_one_that_of_now(database: Database) -> None:
    customer = await customer_in(database)
    payment = await wanted(database, customer)
    dearer = Terms(Currency.of("usd"), stars_rate=3)
    await credit(database, customer, payment.idempotency_key, "a", terms=dearer)
    assert await money(database, customer) == 502
    await credit(database, customer, payment.idempotency_key, "b", 100, dearer)
    assert await money(database, customer) == 702
    await credit(database, customer, "made-up", "c", 100, dearer)
    assert await money(database, customer) == 1002


async def test_stars_that_nobody_knows_the_worth_of_are_told_to_the_house(database: Database) -> None:
    customer = await customer_in(database)
    none = Terms(Currency.of("usd"))
    for _ in range(2):
        assert await credit(database, customer, "made-up", "c", 100, none) is None
    assert await money(database, customer) == 0
    assert await kinds(database) == ["stars_unclaimed"]


async def test_money_that_comes_after_the_invoice_was_ended_is_credited(database: Database) -> None:
    customer = await customer_in(database)
    payment = await wanted(database, customer)
    async with database.transaction() as session:
        await payment_results.record(session, payment.id, Charge("", ChargeStatus.CANCELLED, 502), now=NOW)
    assert await money(database, customer) == 0
    await credit(database, customer, payment.idempotency_key, "late")
    assert await money(database, customer) == 502
    assert await kinds(database) == ["balance_charged"]


async def test_only_what_stands_in_a_row_is_let_through(database: Database) -> None:
    ann, bob = await customer_in(database), await customer_in(database)
    payment = await wanted(database, ann)
    key = payment.idempotency_key

    async def ask(customer: Customer, name: str, count: int, now_after: timedelta = timedelta()) -> Payment:
        async with database.transaction() as session:
            return await stars.let_through(session, customer, name, count, now=NOW + now_after)

    assert (await ask(ann, key, 251)).id == payment.id
    for customer, name, count, after, error in (
        (bob, key, 251, timedelta(), NotFound),
        (ann, "made-up", 251, timedelta(), NotFound),
        (ann, key, 1, timedelta(), Conflict),
        (ann, key, 251, DAY, Conflict),
    ):
        with pytest.raises(error):
            await ask(customer, name, count, after)
    late = await ask(ann, key, 251, DAY - timedelta(minutes=1))
    assert late.check_at == NOW + DAY + timedelta(minutes=59)
    await credit(database, ann, key, "charge")
    with pytest.raises(Conflict):
        await ask(ann, key, 251)


async def test_one_tap_or_five_make_one_invoice(database: Database) -> None:
    customer = await customer_in(database)
    first, second = await wanted(database, customer), await wanted(database, customer)
    assert first.id == second.id


# --- giving back


async def begin(database: Database, payment: Payment) -> Payment:
    async with database.transaction() as session:
        return await stars.begin_refund(session, payment.id, actor=BOSS, now=NOW)


async def test_a_refund_happens_once(database: Database) -> None:
    """Rule 7.5, C11."""
    customer = await customer_in(database)
    payment = await paid(database, customer)
    chat, clock = Chat(), ManualClock(NOW)
    desk = StarsDesk(database, chat, clock)
    await asyncio.gather(*(begin(database, payment) for _ in range(3)))
    assert await money(database, customer) == 0
    await desk.refund(payment.id)
    await desk.refund(payment.id)
    await begin(database, payment)
    assert await desk.look_after() == 0
    assert chat.given == [(customer.telegram_id, "charge")]
    assert await kinds(database) == ["balance_charged", "stars_refunded"]
    async with database.read() as session:
        assert await session.scalar(select(func.count()).where(AuditEntry.action == "refund_stars")) == 1


@pytest.mark.parametrize("error", [OutcomeUnknown("reset"), GatewayBusy("429")])
async def test_no_word_is_asked_again_until_there_is_one(database: Database, error: GatewayError) -> None:
    """A crash between the two transactions looks the same: the row says when to ask again."""
    customer = await customer_in(database)
    payment = await begin(database, await paid(database, customer))
    chat, clock = Chat([error]), ManualClock(NOW)
    desk = StarsDesk(database, chat, clock)
    assert await desk.look_after() == 1
    assert await desk.look_after() == 0
    assert chat.given == []
    clock.move(timedelta(minutes=1))
    assert await desk.look_after() == 1
    assert len(chat.given) == 1
    assert await money(database, customer) == 0
    async with database.read() as session:
        assert (await session.get_one(Payment, payment.id)).refund_try_at is None


async def test_a_refund_that_the_chat_refuses_returns_to_the_balance(database: Database) -> None:
    customer = await customer_in(database)
    payment = await begin(database, await paid(database, customer))
    chat = Chat([GatewayRefused("CHARGE_NOT_FOUND")])
    desk = StarsDesk(database, chat, ManualClock(NOW))
    after = await desk.refund(payment.id)
    assert (after.refunded, after.refund_try_at) == (0, None)
    assert await money(database, customer) == 502
    assert (await kinds(database))[-1] == "stars_refund_refused"
    await begin(database, payment)
    await desk.refund(payment.id)
    assert len(chat.given) == 1
    assert await money(database, customer) == 0


async def test_only_what_is_there_is_given_back(database: Database) -> None:
    customer = await customer_in(database)
    payment = await paid(database, customer)
    async with database.transaction() as session:
        await ledger.transfer(
            session,
            operation="spent",
            debit=ledger.Side(AccountKind.BALANCE, customer.id),
            credit=ledger.Side(AccountKind.CORRECTIONS),
            amount=1,
            about=ledger.About("correction", note="test"),
            now=NOW,
        )
    with pytest.raises(InsufficientFunds):
        await begin(database, payment)
    assert await money(database, customer) == 501


async def test_only_stars_that_came_are_listed_and_given_back(database: Database) -> None:
    customer = await customer_in(database)
    open_one = await wanted(database, customer)
    with pytest.raises(NotFound):
        await begin(database, open_one)
    await credit(database, customer, open_one.idempotency_key, "charge")
    async with database.read() as session:
        rows, more = await stars.paid(session)
    assert ([payment.id for payment, _ in rows], more) == ([open_one.id], False)
    assert rows[0][0].status is PaymentStatus.SUCCEEDED


# --- given back without us


async def back(database: Database, customer: Customer, charge: str = "charge") -> Payment | None:
    async with database.transaction() as session:
        return await stars.taken_back(session, customer, charge, terms=TERMS, now=NOW)


async def test_what_the_chat_gives_back_by_itself_leaves_the_balance_once(database: Database) -> None:
    """10.2: as far as the balance holds it."""
    customer = await customer_in(database)
    await paid(database, customer)
    await asyncio.gather(*(back(database, customer) for _ in range(3)))
    assert await money(database, customer) == 0
    assert (await kinds(database))[1:] == ["stars_refunded", "stars_taken_back"]


async def test_what_was_spent_of_it_becomes_a_debit_note(database: Database) -> None:
    customer = await customer_in(database)
    await paid(database, customer)
    async with database.transaction() as session:
        await ledger.transfer(
            session,
            operation="spent",
            debit=ledger.Side(AccountKind.BALANCE, customer.id),
            credit=ledger.Side(AccountKind.CORRECTIONS),
            amount=500,
            about=ledger.About("correction", note="test"),
            now=NOW,
        )
    await back(database, customer)
    await back(database, customer)
    assert await money(database, customer) == 0
    async with database.read() as session:
        (note,) = (await session.scalars(select(Invoice))).all()
        owed = (await ledger.balances(session, customer.id)).receivable
    assert (note.kind, note.due, owed) == (InvoiceKind.DEBIT_NOTE, 500, 500)


async def test_our_own_refund_is_not_taken_twice(database: Database) -> None:
    customer, other = await customer_in(database), await customer_in(database)
    await begin(database, await paid(database, customer))
    assert await back(database, customer) is None
    assert await back(database, other) is None
    assert await back(database, customer, "unknown") is None
    assert await money(database, customer) == 0
