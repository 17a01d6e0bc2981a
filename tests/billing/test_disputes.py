"""Disputes (rules.md 10.1, 10.2, 10.5): what a bank takes back, from whom it goes, and what comes of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import select

from billing import dues, facts, standing
from billing.clock import DAY, ManualClock
from billing.db import Database
from billing.models import (
    Account,
    AccountKind,
    Customer,
    Dispute,
    DisputeStatus,
    Invoice,
    InvoiceKind,
    Payment,
    PaymentStatus,
    Transfer,
)
from billing.settling import Choice
from bot.demo.stripe import disputes as bank
from tests.billing.shop import spoil_charges
from tests.billing.till import TERMS, Till, open_till


@pytest.fixture
async def till(database: Database, clock: ManualClock) -> AsyncIterator[Till]:
    async with open_till(database, clock) as opened:
        yield opened
        await opened.check()


@dataclass
class Paid:
    """A customer with a card whose invoices a charge has paid."""

    customer: Customer
    invoices: list[Invoice]
    payment: Payment


async def paid(till: Till, *amounts: int) -> Paid:
    """One charge by hand that paid invoices of these amounts, the oldest first."""
    customer = await till.customer()
    card = await till.add_card(customer)
    assert card is not None
    await till.work()
    invoices = []
    for amount in amounts:
        invoices.append(await till.invoice(customer, amount, wish=False))
        till.clock.move(DAY)
    choice = Choice(card_id=card.id)
    async with till.database.read() as session:
        digest = (await till.cashier_preview(session, customer, choice)).digest
    payment = await till.cashier.pay(customer.id, choice, digest=digest, operation=f"pay:{customer.id}")
    assert payment is not None
    assert payment.status is PaymentStatus.SUCCEEDED
    return Paid(customer, invoices, payment)


async def topped_up(till: Till, amount: int) -> tuple[Customer, Payment]:
    """A customer whose balance was charged on a page."""
    customer = await till.customer()
    payment = await till.top_up(customer, amount)
    return customer, payment


async def dispute(till: Till, payment: Payment, amount: int | None = None) -> str:
    """The owner of the card disputes a charge, and we are told."""
    assert payment.provider_id is not None
    opened = till.stripe.control.dispute(payment.provider_id, amount=amount)
    await till.corrector.notice_dispute(opened["id"])
    return str(opened["id"])


async def settle(till: Till, dispute_id: str, *, won: bool) -> None:
    """The bank decides, and we are told."""
    till.stripe.control.settle_dispute(dispute_id, won=won)
    await till.corrector.notice_dispute(dispute_id)


async def read(till: Till, invoice: Invoice) -> Invoice:
    async with till.database.read() as session:
        return await session.get_one(Invoice, invoice.id)


async def debit_notes(till: Till, customer: Customer) -> list[Invoice]:
    async with till.database.read() as session:
        mine = select(Invoice).where(Invoice.customer_id == customer.id, Invoice.kind == InvoiceKind.DEBIT_NOTE)
        return list(await session.scalars(mine.order_by(Invoice.id)))


async def house(till: Till, kind: AccountKind) -> int:
    """What an account of the house holds, debits being positive."""
    async with till.database.read() as session:
        account = (await session.scalars(select(Account).where(Account.kind == kind))).one()
        moves = (await session.scalars(select(Transfer).where(Transfer.phase.in_(("posted", "post"))))).all()
    return sum(move.amount * ((move.debit_id == account.id) - (move.credit_id == account.id)) for move in moves)


async def test_a_dispute_opens_allocations_again_the_newest_invoice_first(till: Till) -> None:
    """Rule 10.1: 700 of 1000 are disputed: the newest invoice whole, the older one in part."""
    one = await paid(till, 600, 400)
    await dispute(till, one.payment, 700)
    older, newer = [await read(till, invoice) for invoice in one.invoices]
    assert (newer.due, newer.disputed, newer.paid_at) == (400, 400, None)
    assert (older.due, older.disputed) == (300, 300)
    assert await house(till, AccountKind.CARD_CLEARING) == 300
    assert await house(till, AccountKind.CHARGEBACKS) == 0


async def test_while_it_is_open_nothing_is_charged_reminded_or_aged(till: Till) -> None:
    """Rule 10.1; new deployments wait too (3.7)."""
    one = await paid(till, 500)
    await dispute(till, one.payment)
    await till.give(one.customer, balance=500)
    await till.pass_time(40 * DAY, step=10 * DAY)
    (invoice,) = [await read(till, invoice) for invoice in one.invoices]
    assert (invoice.due, invoice.disputed) == (500, 500)
    assert (await till.balances(one.customer)).balance == 500
    now = till.clock.now()
    async with till.database.read() as session:
        assert await dues.open_dues(session, one.customer.id) == []
        assert await standing.of(session, one.customer.id, now=now) is None
        known = await facts.gather(session, one.customer, now=now, terms=TERMS)
    assert known.dispute
    assert known.overdue == 0


async def test_lost_it_is_due_since_that_day_and_no_card_is_charged_by_itself(till: Till) -> None:
    """Rules 10.1 and 10.5: a new card does not pay it, the balance does."""
    one = await paid(till, 500)
    opened = await dispute(till, one.payment)
    till.clock.move(20 * DAY)
    await settle(till, opened, won=False)
    (invoice,) = [await read(till, invoice) for invoice in one.invoices]
    assert (invoice.due, invoice.disputed, invoice.by_hand) == (500, 0, 500)
    assert invoice.due_since == till.clock.now()
    await till.add_card(one.customer, "5555555555554444")
    await till.pass_time(10 * DAY, step=DAY)
    assert len(await till.payments(one.customer)) == 1
    await till.give(one.customer, balance=200)
    await till.work()
    assert await till.due(invoice) == 300
    await till.give(one.customer, voucher=300)
    await till.work()
    assert await till.due(invoice) == 0
    async with till.database.read() as session:
        assert not (await facts.gather(session, one.customer, now=till.clock.now(), terms=TERMS)).dispute


async def test_lost_the_customer_may_pay_it_by_card_by_hand(till: Till) -> None:
    """Rule 10.5: "the customer pays it by hand"."""
    one = await paid(till, 500)
    await settle(till, await dispute(till, one.payment), won=False)
    card = await till.add_card(one.customer, "5555555555554444")
    assert card is not None
    choice = Choice(card_id=card.id)
    async with till.database.read() as session:
        digest = (await till.cashier_preview(session, one.customer, choice)).digest
    await till.cashier.pay(one.customer.id, choice, digest=digest, operation="again")
    assert await till.due(one.invoices[0]) == 0
    assert await till.sources(one.invoices[0]) == [("card_clearing", 500)]


async def test_a_new_invoice_is_charged_though_an_older_one_was_lost(till: Till) -> None:
    """Only what was disputed is left to the customer."""
    one = await paid(till, 500)
    await settle(till, await dispute(till, one.payment), won=False)
    new = await till.invoice(one.customer, 300)
    await till.work()
    assert await till.due(new) == 0
    assert await till.due(one.invoices[0]) == 500


async def test_won_all_is_as_before(till: Till) -> None:
    """Rule 10.1: restored."""
    one = await paid(till, 600, 400)
    await settle(till, await dispute(till, one.payment), won=True)
    for invoice in [await read(till, invoice) for invoice in one.invoices]:
        assert (invoice.due, invoice.disputed, invoice.by_hand) == (0, 0, 0)
        assert invoice.paid_at is not None
    assert await house(till, AccountKind.CARD_CLEARING) == 1000
    assert (await till.payments(one.customer))[0].disputed == 0


async def test_told_twice_late_and_out_of_order_it_is_one_dispute(till: Till) -> None:
    """The event of its opening comes after it was lost."""
    one = await paid(till, 500)
    assert one.payment.provider_id is not None
    opened = till.stripe.control.dispute(one.payment.provider_id)
    till.stripe.control.settle_dispute(opened["id"], won=False)
    for _ in range(3):
        await till.corrector.notice_dispute(opened["id"])
    assert await till.due(one.invoices[0]) == 500
    kinds = [kind for kind, _ in await till.told(one.customer)]
    assert (kinds.count("dispute_opened"), kinds.count("dispute_closed")) == (1, 1)
    kinds = [kind for kind, _ in await till.told()]
    assert (kinds.count("house_dispute_opened"), kinds.count("house_dispute_closed")) == (1, 1)


async def test_a_reversed_top_up_takes_what_the_balance_holds_and_the_rest_is_a_debit_note(till: Till) -> None:
    """Rule 10.2: no account goes below zero for it."""
    customer, payment = await topped_up(till, 1000)
    spent = await till.invoice(customer, 700)
    await till.work()
    assert await till.due(spent) == 0
    opened = await dispute(till, payment)
    assert (await till.balances(customer)).balance == 0
    (note,) = await debit_notes(till, customer)
    assert note.number == "DN-2026-000001"
    assert (note.total, note.due, note.disputed, note.due_since) == (700, 700, 700, None)
    assert await till.due(spent) == 0
    await settle(till, opened, won=False)
    note = await read(till, note)
    assert (note.due, note.disputed, note.by_hand, note.due_since) == (700, 0, 700, till.clock.now())
    await till.give(customer, voucher=700)
    await till.work()
    assert await till.due(note) == 0


async def test_a_top_up_whose_dispute_is_won_is_back_in_the_balance(till: Till) -> None:
    customer, payment = await topped_up(till, 1000)
    await till.invoice(customer, 700)
    await till.work()
    await settle(till, await dispute(till, payment), won=True)
    assert (await till.balances(customer)).balance == 300
    (note,) = await debit_notes(till, customer)
    assert note.due == 0


async def test_an_open_dispute_of_a_top_up_that_the_balance_covers_refuses_deployments_too(till: Till) -> None:
    """Rule 3.7, though no invoice is touched."""
    customer, payment = await topped_up(till, 1000)
    await dispute(till, payment)
    async with till.database.read() as session:
        assert (await facts.gather(session, customer, now=till.clock.now(), terms=TERMS)).dispute


async def test_a_charge_whose_answer_was_lost_can_be_disputed(till: Till) -> None:
    """First it is read that it went through, then the dispute is written down."""
    customer = await till.customer()
    await till.add_card(customer)
    await till.work()
    invoice = await till.invoice(customer, 500)
    spoil_charges(till.stripe, "drop_after")
    await till.work()
    (payment,) = await till.payments(customer)
    assert payment.status is PaymentStatus.UNKNOWN
    (charge,) = till.stripe.control.charges()
    opened = till.stripe.control.dispute(charge["id"])
    await till.corrector.notice_dispute(opened["id"])
    found = await read(till, invoice)
    assert (found.due, found.disputed) == (500, 500)


async def test_without_any_event_a_dispute_is_found_and_its_end_too(till: Till) -> None:
    """Where nobody tells us (no public address), the list of the last days and a look a day do."""
    one = await paid(till, 500)
    assert one.payment.provider_id is not None
    opened = till.stripe.control.dispute(one.payment.provider_id)
    assert await till.corrector.look_for_disputes() == 1
    assert await till.corrector.look_for_disputes() == 0
    till.clock.move(30 * DAY)
    till.stripe.control.settle_dispute(opened["id"], won=False)
    await till.pass_time(timedelta(days=1, minutes=1))
    assert (await read(till, one.invoices[0])).by_hand == 500


async def test_an_inquiry_takes_nothing_and_only_the_house_is_told(till: Till) -> None:
    one = await paid(till, 500)
    core = till.stripe._core
    (charge,) = till.stripe.control.charges()
    asked = bank.open_for(core, core.store.need("charge", charge["id"]), inquiry=True)
    await till.corrector.notice_dispute(asked["id"])
    assert await till.due(one.invoices[0]) == 0
    assert [data["what"] for kind, data in await till.told() if kind == "house_dispute_opened"] == ["inquiry"]
    await settle(till, asked["id"], won=True)
    async with till.database.read() as session:
        assert (await session.scalars(select(Dispute.status))).all() == [DisputeStatus.WON]
    assert await till.due(one.invoices[0]) == 0


async def test_a_dispute_of_somebody_elses_charge_is_none_of_ours(till: Till) -> None:
    """Another shop on the same account."""
    one = await paid(till, 500)
    assert one.payment.provider_id is not None
    async with till.database.transaction() as session:
        payment = await session.get_one(Payment, one.payment.id)
        payment.provider_id = "pi_other"
        customer = await session.get_one(Customer, one.customer.id)
        customer.provider_id = "cus_other"
    opened = till.stripe.control.dispute(one.payment.provider_id)
    assert await till.corrector.notice_dispute(opened["id"]) is None
    assert await till.due(one.invoices[0]) == 0
