"""Payments that wait for their customer, and those made by hand (rules.md 6.3, 6.7, 6.8)."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from billing import accounts, checkouts, payments, settling
from billing.clock import DAY, HOUR, ManualClock
from billing.db import Database
from billing.errors import BelowMinimum, Conflict, NotFound
from billing.models import (
    CheckoutPurpose,
    CheckoutStatus,
    Customer,
    Invoice,
    Payment,
    PaymentKind,
    PaymentMethod,
    PaymentStatus,
)
from billing.payments import Wanted
from billing.settlement import Part, Plan
from billing.settling import Choice
from tests.billing.shop import ASKS_ALWAYS, DECLINES, MASTERCARD
from tests.billing.till import TERMS, Till, open_till

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def till(sqlite_database: Database, clock: ManualClock) -> AsyncIterator[Till]:
    async with open_till(sqlite_database, clock) as opened:
        yield opened
        await opened.check()


# --- the bank asks (C8)


async def asked(till: Till) -> tuple[Customer, Invoice, Payment]:
    """A customer whose bank wants them to confirm, with a second invoice behind."""
    customer = await till.customer()
    await till.add_card(customer, ASKS_ALWAYS)
    await till.work()
    first = await till.invoice(customer, 500)
    await till.invoice(customer, 900)
    await till.work()
    (payment,) = await till.payments(customer)
    return customer, first, payment


async def test_the_customer_gets_the_banks_link_and_confirms(till: Till) -> None:
    customer, invoice, payment = await asked(till)
    assert payment.status is PaymentStatus.ACTION
    told = next(data for kind, data in await till.told(customer) if kind == "payment_action")
    assert told["url"].startswith(till.stripe.base_url)
    assert (told["amount"], told["card"], told["numbers"]) == (500, "Visa •3184", [invoice.number])
    assert payment.provider_id is not None
    till.stripe.control.answer_bank(payment.provider_id, approve=True)
    noticed = await till.cashier.notice(payment.provider_id)
    assert noticed is not None
    assert noticed.status is PaymentStatus.SUCCEEDED
    assert await till.due(invoice) == 0
    await till.work()
    assert [row.amount for row in await till.payments(customer)] == [500, 900], "the try goes on"


async def test_a_confirmation_is_noticed_without_webhook_and_return_page(till: Till) -> None:
    _, invoice, payment = await asked(till)
    assert payment.provider_id is not None
    till.stripe.control.answer_bank(payment.provider_id, approve=True)
    await till.pass_time(2 * MINUTE, step=MINUTE)
    assert await till.due(invoice) == 0


async def test_a_refused_confirmation_is_a_soft_decline(till: Till) -> None:
    customer, _, payment = await asked(till)
    assert payment.provider_id is not None
    till.stripe.control.answer_bank(payment.provider_id, approve=False)
    await till.pass_time(2 * MINUTE, step=MINUTE)
    (payment,) = await till.payments(customer)
    assert payment.status is PaymentStatus.DECLINED
    assert payment.decline_code == "payment_intent_authentication_failure"
    assert not payment.hard


async def test_after_24_hours_it_is_cancelled_at_the_provider_and_tried_again(till: Till) -> None:
    """Rule 6.7."""
    customer, _, payment = await asked(till)
    assert payment.provider_id is not None
    await till.pass_time(25 * HOUR, step=HOUR)
    rows = await till.payments(customer)
    assert [row.status for row in rows] == [PaymentStatus.CANCELLED, PaymentStatus.ACTION]
    charge = await till.gateway.get_charge(payment.provider_id)
    assert charge is not None
    assert charge.status == "cancelled"


async def test_other_money_cancels_it_first(till: Till) -> None:
    """Rule 6.7: before other money is used for the same invoice, the provider confirms that it is off."""
    customer, invoice, payment = await asked(till)
    assert payment.provider_id is not None
    await till.give(customer, voucher=1400)
    await till.work()
    assert await till.due(invoice) == 0
    charge = await till.gateway.get_charge(payment.provider_id)
    assert charge is not None
    assert charge.status == "cancelled"
    assert till.taken() == 0


async def test_confirmed_just_before_it_is_cancelled_counts_as_paid(till: Till) -> None:
    customer, invoice, payment = await asked(till)
    assert payment.provider_id is not None
    till.stripe.control.answer_bank(payment.provider_id, approve=True)
    await till.give(customer, voucher=1000)
    await till.work()
    assert await till.sources(invoice) == [("card_clearing", 500)]
    assert (await till.balances(customer)).voucher == 100


async def test_funds_that_do_not_reach_it_pay_the_others_and_leave_it_waiting(till: Till) -> None:
    """An invoice in flight is as good as being paid; money for the next one need not wait for it."""
    customer, invoice, _ = await asked(till)
    await till.give(customer, voucher=100)
    await till.work()
    assert [row.status for row in await till.payments(customer)] == [PaymentStatus.ACTION]
    assert await till.due(invoice) == 500
    assert (await till.balances(customer)).receivable == 1300


async def test_a_new_card_takes_over(till: Till) -> None:
    customer, invoice, _ = await asked(till)
    await till.add_card(customer, MASTERCARD)
    await till.work()
    # The default still asks; it is the first in order, and waits again.
    assert await till.due(invoice) == 500
    statuses = [row.status for row in await till.payments(customer)]
    assert statuses == [PaymentStatus.CANCELLED, PaymentStatus.ACTION]


async def test_waiting_payments_are_cancelled_before_a_deletion(till: Till) -> None:
    customer, _, _ = await asked(till)
    assert await till.cashier.cancel_waiting(customer.id)
    assert [row.status for row in await till.payments(customer)] == [PaymentStatus.CANCELLED]


# --- by hand (C1)


async def shown(till: Till, customer: Customer, choice: Choice) -> Plan:
    async with till.database.read() as session:
        return await settling.preview(session, customer.id, choice, minimum=TERMS.card_minimum)


async def owing(till: Till, *amounts: int, voucher: int = 0, balance: int = 0) -> tuple[Customer, Choice]:
    """A customer with funds, a card, and invoices that wait; the choice takes all sources."""
    customer = await till.customer()
    card = await till.add_card(customer, MASTERCARD)
    assert card is not None
    await till.give(customer, voucher=voucher, balance=balance)
    await till.work()
    for amount in amounts:
        await till.invoice(customer, amount, wish=False)
    return customer, Choice(card_id=card.id)


async def test_pay_all_is_one_charge_with_the_split_that_was_shown(till: Till) -> None:
    customer, choice = await owing(till, 500, 300, voucher=200, balance=250)
    plan = await shown(till, customer, choice)
    assert (sum(fund.amount for fund in plan.funds), plan.by_card) == (450, 350)
    payment = await till.cashier.pay(customer.id, choice, digest=plan.digest, operation="tap:1")
    assert payment is not None
    assert payment.status is PaymentStatus.SUCCEEDED
    again = await till.cashier.pay(customer.id, choice, digest=plan.digest, operation="tap:1")
    assert again is not None
    assert again.id == payment.id
    assert till.taken() == 350
    assert (await till.balances(customer)).receivable == 0


async def test_that_split_or_nothing(till: Till) -> None:
    """Rule 6.3: a declined card leaves voucher and balance untouched."""
    customer, _ = await owing(till, 500, voucher=200)
    card = await till.add_card(customer, DECLINES)
    assert card is not None
    choice = Choice(card_id=card.id)
    plan = await shown(till, customer, choice)
    payment = await till.cashier.pay(customer.id, choice, digest=plan.digest, operation="tap:2")
    assert payment is not None
    assert payment.status is PaymentStatus.DECLINED
    have = await till.balances(customer)
    assert (have.voucher, have.receivable, have.receivable_pending) == (200, 500, 0)
    assert "payment_declined" in [kind for kind, _ in await till.told(customer)]


async def test_funds_are_reserved_while_the_card_is_asked(till: Till) -> None:
    """An invoice that voucher money covers alone is in flight with the rest of the split."""
    customer, choice = await owing(till, 100, 500, voucher=100)
    plan = await shown(till, customer, choice)
    till.stripe.control.fault("drop_after", method="POST", path="/v1/payment_intents")
    payment = await till.cashier.pay(customer.id, choice, digest=plan.digest, operation="tap:3")
    assert payment is not None
    assert payment.status is PaymentStatus.UNKNOWN
    have = await till.balances(customer)
    assert (have.voucher, have.receivable_pending) == (0, 600)
    await till.give(customer, balance=1000)
    await till.work()
    await till.pass_time(2 * MINUTE, step=MINUTE)
    assert (await till.balances(customer)).receivable == 0
    assert till.taken() == 500


async def test_a_split_that_changed_since_it_was_shown_is_refused(till: Till) -> None:
    customer, choice = await owing(till, 500)
    plan = await shown(till, customer, choice)
    await till.give(customer, voucher=100)
    with pytest.raises(Conflict):
        await till.cashier.pay(customer.id, choice, digest=plan.digest, operation="tap:4")
    assert till.taken() == 0


async def test_a_strangers_card_and_a_removed_one_are_not_found(till: Till) -> None:
    customer, _ = await owing(till, 500)
    stranger = await till.customer()
    theirs = await till.add_card(stranger)
    assert theirs is not None
    choice = Choice(card_id=theirs.id)
    plan = await shown(till, customer, choice)
    with pytest.raises(NotFound):
        await till.cashier.pay(customer.id, choice, digest=plan.digest, operation="tap:5")


async def test_funds_alone_pay_without_a_card(till: Till) -> None:
    customer, _ = await owing(till, 500, 200, balance=250)
    choice = Choice(card_id=None)
    plan = await shown(till, customer, choice)
    assert plan.left == (Part(plan.left[0].invoice_id, 450),)
    assert await till.cashier.pay(customer.id, choice, digest=plan.digest, operation="tap:6") is None
    have = await till.balances(customer)
    assert (have.balance, have.receivable) == (0, 450)


async def test_less_than_a_card_can_be_charged_is_said(till: Till) -> None:
    customer, choice = await owing(till, 20)
    with pytest.raises(BelowMinimum):
        await shown(till, customer, choice)


# --- a payment page for invoices (6.8)


async def on_a_page(till: Till, customer: Customer, invoice: Invoice) -> tuple[Payment, str]:
    """A payment page that the customer opened for an invoice."""
    now = till.clock.now()
    async with till.database.transaction() as session:
        wanted = Wanted(
            operation="page:1",
            kind=PaymentKind.INVOICES,
            method=PaymentMethod.CHECKOUT,
            amount=invoice.total,
            parts=[Part(invoice.id, invoice.total)],
            by_hand=True,
        )
        payment = await payments.prepare(session, await accounts.lock(session, customer.id), wanted, now=now)
        assert payment is not None
        checkout = await checkouts.want(session, customer.id, CheckoutPurpose.INVOICES, now=now, payment_id=payment.id)
    opened = await till.checkouts.open(checkout)
    assert opened.provider_id is not None
    return payment, opened.provider_id


async def test_a_page_pays_an_invoice(till: Till) -> None:
    customer = await till.customer()
    invoice = await till.invoice(customer, 500, wish=False)
    payment, page = await on_a_page(till, customer, invoice)
    assert payment.status is PaymentStatus.ACTION
    till.stripe.control.pay(page)
    for _ in range(2):
        done = await till.checkouts.notice(page)
        assert done is not None
        assert done.status is CheckoutStatus.COMPLETE
    assert await till.due(invoice) == 0


async def test_an_invoice_paid_otherwise_expires_its_page(till: Till) -> None:
    """Rule 6.8."""
    customer = await till.customer()
    invoice = await till.invoice(customer, 500, wish=False)
    payment, page = await on_a_page(till, customer, invoice)
    await till.give(customer, voucher=500)
    await till.work()
    assert await till.due(invoice) == 0
    shown_page = await till.gateway.get_page(page)
    assert shown_page is not None
    assert shown_page.status == "expired"
    await till.pass_time(HOUR, step=10 * MINUTE)
    (row,) = await till.payments(customer)
    assert (row.id, row.status) == (payment.id, PaymentStatus.CANCELLED)
    noticed = await till.checkouts.notice(page)
    assert noticed is not None
    assert noticed.status is CheckoutStatus.EXPIRED


async def test_a_page_that_nobody_uses_frees_its_invoice(till: Till) -> None:
    customer = await till.customer()
    invoice = await till.invoice(customer, 500, wish=False)
    await on_a_page(till, customer, invoice)
    await till.pass_time(DAY, step=HOUR)
    assert [row.status for row in await till.payments(customer)] == [PaymentStatus.CANCELLED]
    assert await till.due(invoice) == 500
    assert (await till.balances(customer)).receivable_pending == 0


async def test_a_declined_card_on_a_page_does_not_end_it(till: Till) -> None:
    """The customer may try another card there; only the page says when it is over."""
    customer = await till.customer()
    invoice = await till.invoice(customer, 500, wish=False)
    _, page = await on_a_page(till, customer, invoice)
    with pytest.raises(Exception, match="declined"):
        till.stripe.control.pay(page, DECLINES)
    shown_page = await till.gateway.get_page(page)
    assert shown_page is not None
    assert shown_page.charge is not None
    noticed = await till.cashier.notice(shown_page.charge.provider_id)
    assert noticed is not None
    assert noticed.status is PaymentStatus.ACTION
    till.stripe.control.pay(page)
    await till.checkouts.notice(page)
    assert await till.due(invoice) == 0


async def test_a_top_up_is_credited_once_and_settles(till: Till) -> None:
    """Rule 7.4, as far as its payment goes: once per payment, funds used at once, no card charged."""
    customer = await till.customer()
    card = await till.add_card(customer)
    await till.work()
    invoice = await till.invoice(customer, 500, wish=False)
    async with till.database.transaction() as session:
        wanted = Wanted("topup:1", PaymentKind.TOPUP, PaymentMethod.CARD, 700, card=card, by_hand=True)
        locked = await accounts.lock(session, customer.id)
        assert await payments.prepare(session, locked, wanted, now=till.clock.now())
        assert await payments.prepare(session, locked, wanted, now=till.clock.now()) is None
    await till.pass_time(2 * MINUTE, step=MINUTE)
    assert await till.due(invoice) == 0
    assert (await till.balances(customer)).balance == 200
    assert till.taken() == 700
