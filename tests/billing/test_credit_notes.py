"""Credit notes, refunds and write-offs (rules.md 10.3, 10.4): what is lowered, what goes back, and to whom."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from billing import accounts, credit_notes, metering, month_run, subscriptions, taken_back
from billing.clock import DAY, HOUR, ManualClock, Month
from billing.credit_notes import Credit
from billing.db import Database
from billing.errors import Conflict, OutOfRange
from billing.models import (
    AccountKind,
    CreditNote,
    CreditNoteLine,
    Customer,
    Invoice,
    Payment,
    Refund,
    RefundStatus,
    Subscription,
    Usage,
)
from billing.money import Currency
from billing.terms import Terms
from tests.billing.builders import at, make_customer, ran
from tests.billing.shop import ASKS_ALWAYS
from tests.billing.till import Till, open_till

USD = Currency.of("usd")
REFUND_FAILS = "4000000000005126"


@pytest.fixture
async def till(database: Database, clock: ManualClock) -> AsyncIterator[Till]:
    async with open_till(database, clock) as opened:
        yield opened
        await opened.check()


async def credit(till: Till, invoice: Invoice, total: int, *, operation: str = "") -> CreditNote:
    """Issue a credit note, as an administrator does, and let the workers act on it."""
    async with till.database.transaction() as session:
        customer = await accounts.lock(session, invoice.customer_id)
        note = await credit_notes.issue(
            session,
            customer,
            invoice.id,
            Credit(operation or f"test:{total}", total, "test", actor=1),
            currency=USD,
            now=till.clock.now(),
        )
    await till.work()
    return note


async def paid_by_card(till: Till, amount: int, number: str = "4242424242424242") -> tuple[Customer, Invoice]:
    customer = await till.customer()
    await till.add_card(customer, number)
    await till.work()
    invoice = await till.invoice(customer, amount)
    await till.work()
    assert await till.due(invoice) == 0
    return customer, invoice


async def refunds(till: Till) -> list[Refund]:
    async with till.database.read() as session:
        return list(await session.scalars(select(Refund).order_by(Refund.id)))


def refunded_at_stripe(till: Till) -> int:
    return sum(charge["amount_refunded"] for charge in till.stripe.control.charges())


async def test_it_lowers_what_is_due_first(till: Till) -> None:
    """Rule 10.4: nothing was paid, nothing goes back."""
    customer = await till.customer()
    invoice = await till.invoice(customer, 1000)
    note = await credit(till, invoice, 300)
    assert note.number == "CN-2026-000001"
    assert await till.due(invoice) == 700
    assert (await till.balances(customer)).receivable == 700
    assert await refunds(till) == []


async def test_what_was_paid_beyond_it_is_refunded_and_the_invoice_is_not_reopened(till: Till) -> None:
    """Rules 10.3 and 10.4: 400 of 1000 are due; 600 came from the balance; 700 are credited."""
    customer = await till.customer()
    await till.give(customer, balance=600)
    invoice = await till.invoice(customer, 1000)
    await till.work()
    await credit(till, invoice, 700)
    assert await till.due(invoice) == 0
    assert (await till.balances(customer)).balance == 300


async def test_it_goes_back_to_card_balance_and_voucher_each_at_most_what_it_paid(till: Till) -> None:
    """Rule 10.3: voucher 300, balance 200 and card 500 paid 1000."""
    customer = await till.customer()
    await till.give(customer, voucher=300, balance=200)
    await till.add_card(customer)
    await till.work()
    invoice = await till.invoice(customer, 1000)
    await till.work()
    assert await till.sources(invoice) == [("voucher", 300), ("balance", 200), ("card_clearing", 500)]
    await credit(till, invoice, 600, operation="first")
    assert refunded_at_stripe(till) == 500
    assert (await till.balances(customer)).balance == 100
    await credit(till, invoice, 400, operation="second")
    have = await till.balances(customer)
    assert (have.voucher, have.balance, refunded_at_stripe(till)) == (300, 200, 500)
    async with till.database.read() as session:
        assert await credit_notes.most(session, await session.get_one(Invoice, invoice.id)) == 0
    with pytest.raises(OutOfRange):
        await credit(till, invoice, 1, operation="third")


async def test_voucher_money_stays_voucher_money(till: Till) -> None:
    """Rule 8.3: what vouchers paid goes back to the voucher balance, never to the balance or a card."""
    customer = await till.customer()
    await till.add_card(customer)
    await till.give(customer, voucher=500)
    await till.work()
    invoice = await till.invoice(customer, 500)
    await till.work()
    await credit(till, invoice, 500)
    have = await till.balances(customer)
    assert (have.voucher, have.balance) == (500, 0)
    assert till.stripe.control.charges() == []
    assert await refunds(till) == []


async def test_numbers_of_their_own_without_a_gap(till: Till) -> None:
    """Rule 10.4: one that was refused takes none."""
    _, invoice = await paid_by_card(till, 1000)
    first = await credit(till, invoice, 300)
    with pytest.raises(OutOfRange):
        await credit(till, invoice, 800)
    second = await credit(till, invoice, 400)
    assert (first.number, second.number) == ("CN-2026-000001", "CN-2026-000002")


async def test_the_same_operation_credits_once(till: Till) -> None:
    customer = await till.customer()
    invoice = await till.invoice(customer, 1000)
    first = await credit(till, invoice, 300, operation="tap")
    again = await credit(till, invoice, 300, operation="tap")
    assert first.id == again.id
    assert await till.due(invoice) == 700


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "error_before", "error_after", "rate_limit"])
async def test_one_refund_whatever_the_first_answer(till: Till, fault: str) -> None:
    """The row, then the call with its key, then the result; a lost answer is asked for again."""
    _, invoice = await paid_by_card(till, 500)
    till.stripe.control.fault(fault, method="POST", path="/v1/refunds")
    await credit(till, invoice, 500)
    await till.pass_time(timedelta(minutes=20), step=timedelta(minutes=1))
    assert refunded_at_stripe(till) == 500
    (row,) = await refunds(till)
    assert row.status is RefundStatus.SUCCEEDED


async def test_a_refund_that_stripe_knows_nothing_of_goes_to_the_balance_after_two_days(till: Till) -> None:
    customer, invoice = await paid_by_card(till, 500)
    till.stripe.control.fault("error_instead", method="POST", path="/v1/refunds", times=None)
    await credit(till, invoice, 500)
    await till.pass_time(3 * DAY, step=HOUR)
    assert (await till.balances(customer)).balance == 500
    assert refunded_at_stripe(till) == 0


async def test_a_card_that_refuses_leaves_it_to_the_balance(till: Till) -> None:
    """Rule 10.3: the charge is disputed and won, and can no longer be refunded."""
    customer, invoice = await paid_by_card(till, 500)
    (payment,) = await till.payments(customer)
    assert payment.provider_id is not None
    dispute = till.stripe.control.dispute(payment.provider_id)
    till.stripe.control.settle_dispute(dispute["id"], won=True)
    await till.corrector.notice_dispute(dispute["id"])
    await credit(till, invoice, 200)
    assert (await till.balances(customer)).balance == 200
    assert "refund_failed" in [kind for kind, _ in await till.told(customer)]
    assert "house_refund_failed" in [kind for kind, _ in await till.told()]


@pytest.mark.parametrize("by_event", [True, False])
async def test_a_refund_that_comes_back_later_goes_to_the_balance(till: Till, *, by_event: bool) -> None:
    """The bank sends it back days after it went out; told by an event, or found by looking."""
    customer, invoice = await paid_by_card(till, 500)
    await credit(till, invoice, 500)
    (row,) = await refunds(till)
    assert row.provider_id is not None
    till.stripe.control.fail_refund(row.provider_id)
    if by_event:
        await till.corrector.notice_refund(row.provider_id)
        await till.corrector.notice_refund(row.provider_id)
    else:
        await till.pass_time(DAY + HOUR)
    assert (await till.balances(customer)).balance == 500
    (payment,) = await till.payments(customer)
    assert payment.refunded == 0


async def test_a_refund_made_in_the_dashboard_is_told_and_changes_nothing(till: Till) -> None:
    customer, _ = await paid_by_card(till, 500)
    (payment,) = await till.payments(customer)
    made = await till.gateway._call(
        till.gateway._stripe.v1.refunds.create_async, {"payment_intent": payment.provider_id, "amount": 100}
    )
    assert await till.corrector.notice_refund(made["id"]) is None
    assert "house_refund_foreign" in [kind for kind, _ in await till.told()]


async def test_nothing_is_credited_while_a_payment_is_under_way(till: Till) -> None:
    """What a bank still asks its owner about may go through any moment."""
    customer = await till.customer()
    await till.add_card(customer, ASKS_ALWAYS)
    await till.work()
    invoice = await till.invoice(customer, 500)
    await till.work()
    with pytest.raises(Conflict):
        await credit(till, invoice, 100)
    assert await till.cashier.cancel_waiting(customer.id, (invoice.id,))
    await credit(till, invoice, 100)
    assert await till.due(invoice) == 400


async def test_what_a_dispute_holds_is_not_credited(till: Till) -> None:
    customer, invoice = await paid_by_card(till, 500)
    (payment,) = await till.payments(customer)
    assert payment.provider_id is not None
    dispute = till.stripe.control.dispute(payment.provider_id, amount=400)
    await till.corrector.notice_dispute(dispute["id"])
    with pytest.raises(OutOfRange) as refused:
        await credit(till, invoice, 500)
    assert refused.value.most == 100


async def test_a_write_off_gives_up_what_is_due(till: Till) -> None:
    """It is a loss, not a credit: revenue stays, and no document is made."""
    customer = await till.customer()
    invoice = await till.invoice(customer, 500)
    for _ in range(2):
        async with till.database.transaction() as session:
            locked = await accounts.lock(session, customer.id)
            amount = await credit_notes.write_off(
                session, locked, invoice.id, reason="gone", actor=1, operation="off", now=till.clock.now()
            )
        assert amount == 500
    assert await till.due(invoice) == 0
    async with till.database.read() as session:
        assert await credit_notes.refundable(session, await session.get_one(Invoice, invoice.id)) == []


# --- tax, and hours taken back, on invoices of the monthly run


@pytest.mark.parametrize(("basis_points", "monthly"), [(1900, 333), (700, 999), (2150, 1)])
async def test_its_tax_is_the_tax_before_minus_the_tax_after(
    sqlite_database: Database, basis_points: int, monthly: int
) -> None:
    """Rule 10.4: however an invoice is credited away, its tax comes to nothing in the end, and never below."""
    terms = Terms(USD, tax_basis_points=basis_points)
    async with sqlite_database.transaction() as session:
        customer = await make_customer(session)
        await ran(session, customer, "2026-01-01", monthly=monthly)
    await month_run.issue_due(sqlite_database, now=at("2026-02-01 00:20"), terms=terms)
    async with sqlite_database.transaction() as session:
        customer = await accounts.lock(session, customer.id)
        invoice = (await session.scalars(select(Invoice))).one()
        left, step = invoice.total, max(invoice.total // 7, 1)
        while left:
            part = min(step, left)
            note = await credit_notes.issue(
                session, customer, invoice.id, Credit(f"c{left}", part, "x"), currency=USD, now=at("2026-02-02")
            )
            assert note.net >= 0
            assert note.tax >= 0
            left -= part
        notes = (await session.scalars(select(CreditNote))).all()
    assert sum(note.tax for note in notes) == invoice.tax
    assert sum(note.net for note in notes) == invoice.net


async def test_hours_taken_back_after_their_invoice_are_credited_once(till: Till) -> None:
    """A machine that vanished on the 11th is found missing in the next month (rules 3.8, 10.4)."""
    terms = Terms(USD, tax_basis_points=1900)
    async with till.database.transaction() as session:
        customer = await make_customer(session)
        subscription = await ran(session, customer, "2026-01-01", monthly=672)
    now = at("2026-02-01 00:20")
    await month_run.issue_due(till.database, now=now, terms=terms)
    async with till.database.read() as session:
        invoice = (await session.scalars(select(Invoice))).one()
    assert (invoice.net, invoice.tax) == (672, 128)
    async with till.database.transaction() as session:
        subscription = await session.get_one(Subscription, subscription.id)
        await subscriptions.end(session, subscription, at=at("2026-01-11"))
        usage = await session.get_one(
            Usage, (Month(2026, 1), subscription.customer_id, subscription.id), populate_existing=True
        )
        assert usage.hours == 240
    for expected in (1, 0):
        assert await taken_back.credit_all(till.database, currency=USD, now=now) == expected
    async with till.database.read() as session:
        note = (await session.scalars(select(CreditNote))).one()
        line = (await session.scalars(select(CreditNoteLine))).one()
    assert (note.net, note.tax, note.total) == (432, 82, 514)
    assert (line.hours, line.amount) == (504, 432)
    assert await till.due(invoice) == 800 - 514
    await metering.catch_up(till.database, now=at("2026-02-03"))


async def test_accounts_of_the_house_after_a_refund(till: Till) -> None:
    """What was taken and given back leaves nothing behind."""
    customer, invoice = await paid_by_card(till, 500)
    await credit(till, invoice, 500)
    async with till.database.read() as session:
        payment = (await session.scalars(select(Payment).where(Payment.customer_id == customer.id))).one()
    assert payment.refunded == 500
    assert await till.sources(invoice) == [(AccountKind.CARD_CLEARING.value, 500)]
