"""Settlement by card in fair weather (rules.md 6.1 to 6.5, 6.7)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from billing import corrections
from billing.clock import DAY, HOUR, ManualClock
from billing.db import Database
from billing.gateway import Charge, ChargeRequest
from billing.models import PaymentStatus
from billing.stripe_gateway import StripeGateway
from tests.billing.shop import AMEX, DECLINES, LOST, MASTERCARD, VISA
from tests.billing.till import Till, open_till

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def till(sqlite_database: Database, clock: ManualClock) -> AsyncIterator[Till]:
    async with open_till(sqlite_database, clock) as opened:
        yield opened
        await opened.check()


async def test_an_invoice_is_paid_from_the_default_card(till: Till) -> None:
    customer = await till.customer()
    await till.add_card(customer)
    invoice = await till.invoice(customer, 500)
    await till.work()
    assert await till.due(invoice) == 0
    assert till.taken() == 500
    assert await till.sources(invoice) == [("card_clearing", 500)]
    assert await till.wish(customer) is None
    assert [kind for kind, _ in await till.told(customer)] == ["card_added", "invoice_paid"]


async def test_both_databases_settle_alike(database: Database, clock: ManualClock) -> None:
    """The whole way once on each: page, card, funds, charge, decline, calendar."""
    async with open_till(database, clock) as till:
        customer = await till.customer()
        await till.add_card(customer, DECLINES)
        await till.give(customer, voucher=120, balance=30)
        invoice = await till.invoice(customer, 500)
        await till.work()
        assert await till.due(invoice) == 350
        await till.add_card(customer)
        await till.work()
        assert await till.sources(invoice) == [("voucher", 120), ("balance", 30), ("card_clearing", 350)]
        assert till.taken() == 350
        await till.check()


async def test_smallest_invoices_are_charged_first_one_by_one(till: Till) -> None:
    """Rules 6.2, 6.4."""
    customer = await till.customer()
    await till.add_card(customer)
    for amount in (300, 100, 200):
        await till.invoice(customer, amount)
    await till.work()
    assert [payment.amount for payment in await till.payments(customer)] == [100, 200, 300]


async def test_dues_below_the_minimum_are_joined_and_a_lonely_one_waits(till: Till) -> None:
    """Rule 6.4."""
    customer = await till.customer()
    await till.add_card(customer)
    small = await till.invoice(customer, 20)
    await till.work()
    assert await till.payments(customer) == []
    assert await till.wish(customer) is None
    await till.invoice(customer, 40)
    await till.invoice(customer, 700)
    await till.work()
    assert [payment.amount for payment in await till.payments(customer)] == [60, 700]
    assert await till.due(small) == 0


async def test_funds_pay_before_the_card(till: Till) -> None:
    """Rule 6.3: voucher, balance, then the card for the rest."""
    customer = await till.customer()
    await till.add_card(customer)
    await till.give(customer, voucher=200, balance=100)
    invoice = await till.invoice(customer, 500)
    await till.work()
    assert await till.sources(invoice) == [("voucher", 200), ("balance", 100), ("card_clearing", 200)]


async def test_a_top_up_never_sets_off_a_card_charge(till: Till) -> None:
    """Rule 6.1: the retry that waits for its day is not brought forward by money that came."""
    customer = await till.customer()
    await till.add_card(customer, DECLINES)
    invoice = await till.invoice(customer, 500)
    await till.work()
    await till.give(customer, balance=100)
    await till.work()
    assert len(await till.payments(customer)) == 1
    assert await till.due(invoice) == 400


async def test_another_card_pays_when_the_default_is_declined(till: Till) -> None:
    """Rule 6.2: the default, then the others; the customer is told only if none pays."""
    customer = await till.customer()
    await till.add_card(customer, DECLINES)
    await till.add_card(customer, MASTERCARD)
    invoice = await till.invoice(customer, 500)
    await till.work()
    statuses = [payment.status for payment in await till.payments(customer)]
    assert statuses == [PaymentStatus.DECLINED, PaymentStatus.SUCCEEDED]
    assert await till.due(invoice) == 0
    assert "payment_declined" not in [kind for kind, _ in await till.told(customer)]


async def test_soft_declines_are_retried_on_days_1_3_5_7_then_weekly(till: Till) -> None:
    """Rule 6.7."""
    customer = await till.customer()
    await till.add_card(customer, DECLINES)
    await till.invoice(customer, 500)
    await till.work()
    began = till.clock.now()
    await till.pass_time(22 * DAY, step=6 * HOUR)
    days = [(payment.created_at - began).days for payment in await till.payments(customer)]
    assert days == [0, 1, 3, 5, 7, 14, 21]
    kinds = [kind for kind, _ in await till.told(customer)]
    assert kinds.count("payment_declined") == 7
    told = next(data for kind, data in await till.told(customer) if kind == "payment_declined")
    assert told["cards"] == [{"card": "Visa •0341", "code": "generic_decline", "hard": False}]
    assert told["again_at"] == (began + DAY).isoformat()


async def test_a_hard_decline_waits_for_a_new_card(till: Till) -> None:
    """Rule 6.7, and A17: adding a card settles what is open."""
    customer = await till.customer()
    card = await till.add_card(customer)
    assert card is not None
    till.stripe.control.renew(card.provider_id, exp_month=12, exp_year=2034, number=LOST)
    invoice = await till.invoice(customer, 500)
    await till.pass_time(30 * DAY, step=DAY)
    assert [payment.hard for payment in await till.payments(customer)] == [True]
    assert await till.wish(customer) is None
    await till.add_card(customer, MASTERCARD)
    await till.work()
    assert await till.due(invoice) == 0


async def test_a_card_that_was_detached_elsewhere_is_taken_off_and_the_next_pays(till: Till) -> None:
    customer = await till.customer()
    gone = await till.add_card(customer)
    assert gone is not None
    await till.add_card(customer, MASTERCARD)
    till.stripe.control.detach(gone.provider_id)
    invoice = await till.invoice(customer, 500)
    await till.work()
    assert await till.due(invoice) == 0
    assert ("card_gone", "Visa •4242") in [(kind, data.get("card")) for kind, data in await till.told(customer)]


async def test_no_card_means_no_charge_and_a_card_later_pays_all(till: Till) -> None:
    """A17."""
    customer = await till.customer()
    invoices = [await till.invoice(customer, amount) for amount in (500, 600)]
    await till.work()
    assert await till.payments(customer) == []
    await till.add_card(customer)
    await till.work()
    assert [await till.due(invoice) for invoice in invoices] == [0, 0]
    assert till.taken() == 1100


async def test_two_processes_at_once_charge_once(till: Till) -> None:
    """Rules 6.5, 6.9: whoever comes second finds the payment in flight."""
    customers = [await till.customer() for _ in range(3)]
    for customer, number in zip(customers, (VISA, MASTERCARD, AMEX), strict=True):
        await till.add_card(customer, number)
    await till.work()
    for customer in customers:
        await till.invoice(customer, 500)
    for customer in customers:
        await asyncio.gather(*(till.cashier.settle(customer.id, by_card=True) for _ in range(4)))
    await asyncio.gather(*(till.work() for _ in range(3)))
    assert till.taken() == 1500
    assert [len(await till.payments(customer)) for customer in customers] == [1, 1, 1]


async def test_a_new_default_card_is_charged_at_once(till: Till) -> None:
    """Rule 6.1: becoming the default settles, whatever the calendar says."""
    customer = await till.customer()
    await till.add_card(customer, DECLINES)
    invoice = await till.invoice(customer, 500)
    await till.work()
    card = await till.add_card(customer, MASTERCARD)
    assert card is not None
    await till.work()
    assert await till.due(invoice) == 0


async def test_a_restart_forgets_nothing_that_waits(till: Till) -> None:
    customer = await till.customer()
    await till.add_card(customer)
    invoice = await till.invoice(customer, 500)
    till.restart()
    await till.pass_time(2 * MINUTE)
    assert await till.due(invoice) == 0


async def test_a_correction_settles_what_is_open_and_charges_no_card(till: Till) -> None:
    """Rule 6.1: a correction that credits the customer is used at once, and sets off no card charge."""
    customer = await till.customer()
    await till.add_card(customer, DECLINES)
    invoices = [await till.invoice(customer, amount) for amount in (500, 900)]
    await till.work()
    tried = len(await till.payments(customer))
    async with till.database.transaction() as session:
        now = till.clock.now()
        await corrections.credit(session, customer.id, 600, "sorry", operation="c", actor=1, now=now)
    await till.work()
    assert [await till.due(invoice) for invoice in invoices] == [0, 800]
    assert len(await till.payments(customer)) == tried


class Busy(StripeGateway):
    """A gateway at which something happens while a card is charged."""

    async def charge(self, request: ChargeRequest) -> Charge:
        """Let it happen, and charge."""
        await self.meanwhile()
        return await super().charge(request)

    @staticmethod
    async def meanwhile() -> None:
        """Nothing, unless a test says what."""


async def test_the_due_is_read_again_before_each_charge(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 6.8: money that came while the first invoice was charged pays the second; the card is left alone."""
    customer = await till.customer()
    await till.add_card(customer)
    await till.work()
    invoices = [await till.invoice(customer, amount) for amount in (500, 900)]

    async def money_comes() -> None:
        await till.give(customer, voucher=900)

    till.gateway.__class__ = Busy
    monkeypatch.setattr(Busy, "meanwhile", staticmethod(money_comes))
    await till.work()
    assert [await till.due(invoice) for invoice in invoices] == [0, 0]
    assert till.taken() == 500


async def test_customers_are_charged_in_parallel_and_each_one_by_one(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 6.9: each of two charges waits until the other has begun; those of one customer never meet."""
    customers = [await till.customer() for _ in range(2)]
    for customer, number in zip(customers, (VISA, MASTERCARD), strict=True):
        await till.add_card(customer, number)
    await till.work()
    invoices = [await till.invoice(customer, amount) for customer in customers for amount in (500, 900)]
    both = asyncio.Barrier(2)

    async def meet() -> None:
        async with asyncio.timeout(60):
            await both.wait()

    till.gateway.__class__ = Busy
    monkeypatch.setattr(Busy, "meanwhile", staticmethod(meet))
    await till.work()
    assert [await till.due(invoice) for invoice in invoices] == [0, 0, 0, 0]
    assert sorted(charge["amount"] for charge in till.stripe.control.charges()) == [500, 500, 900, 900]
