"""Settlement when answers are lost (rules.md 6.5, 6.6): one charge, however the wire and the process break."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from billing import payment_results, payments
from billing.clock import DAY, HOUR, ManualClock
from billing.db import Database
from billing.gateway import Charge, ChargeRequest, OutcomeUnknown
from billing.models import Customer, Invoice, PaymentStatus
from billing.stripe_gateway import StripeGateway
from tests.billing.shop import MASTERCARD, impatient, spoil_charges
from tests.billing.till import Till, open_till

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def till(sqlite_database: Database, clock: ManualClock) -> AsyncIterator[Till]:
    async with open_till(sqlite_database, clock) as opened:
        yield opened
        await opened.check()


async def owing(till: Till, amount: int = 500) -> tuple[Customer, Invoice]:
    """A customer with two cards and an invoice that nobody has tried to settle yet."""
    customer = await till.customer()
    await till.add_card(customer)
    await till.add_card(customer, MASTERCARD)
    await till.work()
    return customer, await till.invoice(customer, amount)


@pytest.mark.parametrize(
    "fault",
    [
        "hang_before",
        "hang_after",
        "drop_before",
        "drop_after",
        "error_before",
        "error_after",
        "garbage_before",
        "garbage_after",
        "rate_limit",
        "lock_timeout",
        "conflict",
    ],
)
async def test_one_charge_whatever_the_first_answer(till: Till, fault: str) -> None:
    """A payment whose answer was lost is asked again with its key: exactly one charge, the invoice paid."""
    customer, invoice = await owing(till)
    spoil_charges(till.stripe, fault)
    with impatient(till.gateway, fault):
        await till.work()
    (payment,) = await till.payments(customer)
    assert payment.status in (PaymentStatus.UNKNOWN, PaymentStatus.CREATED)
    await till.pass_time(10 * MINUTE, step=MINUTE)
    assert await till.due(invoice) == 0
    assert till.taken() == 500
    assert len(await till.payments(customer)) == 1


async def test_an_unknown_result_is_asked_after_1_and_5_minutes_an_hour_then_daily(till: Till) -> None:
    """Rule 6.6: replayed with the same key within 23 hours, only read later, given up after 48."""
    customer, invoice = await owing(till)
    spoil_charges(till.stripe, "error_before", times=None)
    began = till.clock.now()
    await till.work()
    await till.pass_time(3 * DAY, step=MINUTE * 10)
    posts = [row for row in till.stripe.control.requests() if row["path"] == "/v1/payment_intents"]
    keys = {row["idempotency_key"] for row in posts if row["method"] == "POST"}
    (first, *_) = await till.payments(customer)
    assert first.status is PaymentStatus.FAILED
    assert first.ended_at is not None
    assert first.ended_at - began >= 2 * DAY
    assert first.idempotency_key in keys
    assert ("payment_failed", "the provider knows nothing of it") in [
        (kind, data.get("reason")) for kind, data in await till.told()
    ]
    assert till.taken() == 0
    assert await till.due(invoice) == 500


async def test_no_other_card_and_no_funds_while_nobody_knows(till: Till) -> None:
    """Rule 6.6: a timeout is not a decline."""
    customer, invoice = await owing(till)
    till.stripe.control.fault("drop_after", times=None)
    await till.work()
    await till.give(customer, voucher=500)
    await till.pass_time(6 * HOUR, step=HOUR)
    (payment,) = await till.payments(customer)
    assert payment.status is PaymentStatus.UNKNOWN
    assert (await till.balances(customer)).voucher == 500
    till.stripe.control.clear_faults()
    await till.pass_time(DAY, step=HOUR)
    assert await till.due(invoice) == 0
    assert (await till.balances(customer)).voucher == 500
    assert till.taken() == 500


async def test_a_500_that_is_replayed_for_ever_does_not_hide_a_charge(till: Till) -> None:
    """A stored 500 answers every replay; the charge is found by our id among the customer's."""
    _, invoice = await owing(till)
    spoil_charges(till.stripe, "error_after")
    await till.work()
    await till.pass_time(10 * MINUTE, step=MINUTE)
    assert await till.due(invoice) == 0
    assert till.taken() == 500


async def test_a_500_that_did_nothing_ends_after_two_days_and_the_card_is_charged_anew(till: Till) -> None:
    customer, invoice = await owing(till)
    spoil_charges(till.stripe, "error_instead")
    await till.work()
    await till.pass_time(3 * DAY, step=HOUR)
    statuses = [payment.status for payment in await till.payments(customer)]
    assert statuses == [PaymentStatus.FAILED, PaymentStatus.SUCCEEDED]
    assert await till.due(invoice) == 0
    assert till.taken() == 500


async def test_a_long_outage_of_ours_only_reads(till: Till) -> None:
    """After 23 hours the key is not used again: the charge is looked up."""

    def charging() -> list[object]:
        return [
            row
            for row in till.stripe.control.requests()
            if (row["method"], row["path"]) == ("POST", "/v1/payment_intents")
        ]

    customer, invoice = await owing(till)
    spoil_charges(till.stripe, "drop_after")
    await till.work()
    assert len(charging()) == 1
    await till.pass_time(30 * HOUR)
    assert len(charging()) == 1
    assert await till.due(invoice) == 0
    assert till.taken() == 500
    assert len(await till.payments(customer)) == 1


class Killed(asyncio.CancelledError):
    """The process died here."""


class Mortal(StripeGateway):
    """A gateway whose process dies around a charge."""

    dies: str = ""

    async def charge(self, request: ChargeRequest) -> Charge:
        """Charge, or die before or after it."""
        if self.dies == "before":
            raise Killed
        made = await super().charge(request)
        if self.dies == "after":
            raise Killed
        return made


@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_process_that_dies_around_the_call_charges_once(till: Till, where: str) -> None:
    """`kill -9` between any two steps: the next process finishes what was begun."""
    customer, invoice = await owing(till)
    till.gateway.__class__ = Mortal
    Mortal.dies = where
    with pytest.raises(Killed):
        await till.cashier.settle(customer.id, by_card=True)
    Mortal.dies = ""
    till.restart()
    await till.pass_time(5 * MINUTE, step=MINUTE)
    assert await till.due(invoice) == 0
    assert till.taken() == 500
    assert len(await till.payments(customer)) == 1


async def test_who_does_not_want_to_wait_has_a_dead_process_payment_finished_now(till: Till) -> None:
    """What `job reconcile` does right after a crash: the payment row is there, and nobody knows of a result."""
    customer, invoice = await owing(till)
    till.gateway.__class__ = Mortal
    Mortal.dies = "before"
    with pytest.raises(Killed):
        await till.cashier.settle(customer.id, by_card=True)
    Mortal.dies = ""
    till.restart()
    async with till.database.transaction() as session:
        await payments.hurry(session, now=till.clock.now())
    await till.cashier.look_after()
    assert await till.due(invoice) == 0
    assert till.taken() == 500


async def given_up(till: Till) -> tuple[Customer, Invoice, str]:
    """A customer whose charge was made, though we have written it off; and the charge."""
    customer, invoice = await owing(till)
    spoil_charges(till.stripe, "drop_after")
    await till.work()
    (charge,) = till.stripe.control.charges()
    (payment,) = await till.payments(customer)
    async with till.database.transaction() as session:
        _, row = await payments.locked(session, payment.id)
        await payment_results.fail(session, row, "lost", now=till.clock.now())
    return customer, invoice, str(charge["payment_intent"])


async def test_money_that_comes_after_we_gave_up_pays_what_it_was_for(till: Till) -> None:
    """Rule 6.8: the invoice is still open."""
    customer, invoice, charge = await given_up(till)
    for _ in range(2):
        await till.cashier.notice(charge)
    assert await till.due(invoice) == 0
    assert (await till.balances(customer)).balance == 0


async def test_money_that_arrives_twice_goes_to_the_balance_and_is_said_so(till: Till) -> None:
    """Rule 6.8."""
    customer, invoice, charge = await given_up(till)
    await till.give(customer, voucher=450)
    await till.work()
    assert await till.due(invoice) == 50
    for _ in range(2):
        await till.cashier.notice(charge)
    assert await till.due(invoice) == 0
    assert (await till.balances(customer)).balance == 450
    told = [data["to_balance"] for kind, data in await till.told(customer) if kind == "payment_surplus"]
    assert told == [450]


async def test_a_bad_key_leaves_payments_waiting_and_tells_the_operator_once_a_day(till: Till) -> None:
    """401 tells nothing of what happened before, and is mended by a person."""
    customer, invoice = await owing(till)
    good = till.gateway._stripe
    bad = StripeGateway(
        api_key="sk_test_bad", currency=till.gateway._currency, api_url=till.stripe.base_url, timeout_s=60
    )
    till.gateway._stripe = bad._stripe
    await till.work()
    await till.pass_time(2 * HOUR, step=10 * MINUTE)
    (payment,) = await till.payments(customer)
    assert payment.status is PaymentStatus.CREATED
    assert [kind for kind, _ in await till.told()] == ["provider_denied"]
    till.gateway._stripe = good
    await bad.close()
    await till.pass_time(10 * MINUTE, step=MINUTE)
    assert await till.due(invoice) == 0
    assert till.taken() == 500


async def test_a_charge_that_is_refused_as_it_stands_is_shown_to_the_operator(till: Till) -> None:
    """A currency minimum that Stripe raised, say: no loop, the operator is told, tried again in hours."""
    customer, _ = await owing(till, amount=49)
    till.cashier._minimum = 1
    await till.pass_time(HOUR, step=10 * MINUTE)
    (payment,) = await till.payments(customer)
    assert payment.status is PaymentStatus.FAILED
    assert [kind for kind, _ in await till.told()] == ["payment_failed"]


async def test_the_gateway_says_unknown_when_it_took_too_long(till: Till) -> None:
    till.stripe.control.fault("hang_before", path="/v1/payment_methods/*", method="GET")
    with impatient(till.gateway), pytest.raises(OutcomeUnknown):
        await till.gateway.get_card("pm_x")
