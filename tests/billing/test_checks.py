"""Every check is silent on a healthy database and speaks when its rule is broken (rules.md 2.6)."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import checks, ledger, metering, month_run, subscriptions
from billing.db import Database
from billing.ledger import About, Side
from billing.models import (
    Account,
    AccountKind,
    Customer,
    Invoice,
    InvoiceLine,
    NumberSeries,
    Payment,
    PaymentAllocation,
    PaymentKind,
    PaymentMethod,
    PaymentStatus,
    Phase,
    Subscription,
    Transfer,
    Usage,
    Voucher,
)
from billing.terms import Terms
from tests.billing.builders import at, make_customer, ran

RUN_DAY = at("2026-02-01 00:10")


@pytest.fixture
async def customer(database: Database, terms: Terms) -> Customer:
    """A customer who redeemed a voucher, was invoiced for January, paid a part, and has a charge under way."""
    async with database.transaction() as session:
        customer = await make_customer(session)
        await ran(session, customer, "2026-01-01")
        await ran(session, customer, "2026-01-10 12:00", "2026-01-10 22:20")
        voucher = Voucher(
            code_hash="0" * 64,
            hint="ABCD",
            amount=200,
            batch="b",
            created_by=1,
            created_at=RUN_DAY,
            redeemed_by=customer.id,
            redeemed_at=RUN_DAY,
        )
        session.add(voucher)
        await session.flush()
        await ledger.transfer(
            session,
            operation="redeem",
            debit=Side(AccountKind.VOUCHERS_ISSUED),
            credit=Side(AccountKind.VOUCHER, customer.id),
            amount=200,
            about=About("redeem", voucher_id=voucher.id),
            now=RUN_DAY,
        )
    await month_run.issue_due(database, now=RUN_DAY, terms=terms)
    async with database.transaction() as session:
        invoice = (await session.scalars(select(Invoice))).one()
        await ledger.transfer(
            session,
            operation="settle",
            debit=Side(AccountKind.VOUCHER, customer.id),
            credit=Side(AccountKind.RECEIVABLE, customer.id),
            amount=150,
            about=About("settle", invoice_id=invoice.id),
            now=RUN_DAY,
        )
        invoice.due -= 150
        payment = await charge(session, customer, invoice)
        await ledger.transfer(
            session,
            operation="charge",
            debit=Side(AccountKind.CARD_CLEARING),
            credit=Side(AccountKind.RECEIVABLE, customer.id),
            amount=358,
            about=About("settle", invoice_id=invoice.id, payment_id=payment.id),
            now=RUN_DAY,
            pending=True,
        )
    return customer


async def charge(session: AsyncSession, customer: Customer, invoice: Invoice) -> Payment:
    payment = Payment(
        customer_id=customer.id,
        kind=PaymentKind.INVOICES,
        method=PaymentMethod.CARD,
        amount=358,
        status=PaymentStatus.UNKNOWN,
        operation="charge",
        idempotency_key="charge",
        created_at=RUN_DAY,
    )
    session.add(payment)
    await session.flush()
    session.add(PaymentAllocation(payment_id=payment.id, invoice_id=invoice.id, amount=358, in_flight=True))
    await session.flush()
    return payment


async def found(database: Database, terms: Terms) -> list[checks.Difference]:
    async with database.read() as session:
        return await checks.differences(session, currency=terms.currency)


def transfer_row(debit: sa.ScalarSelect[int], credit: sa.ScalarSelect[int], **values: object) -> sa.Insert:
    """A transfer put in behind the ledger's back."""
    return insert(Transfer).values(
        operation="stray",
        phase=Phase.POSTED,
        debit_id=debit,
        credit_id=credit,
        amount=5,
        created_at=RUN_DAY,
        reason="stray",
        **values,
    )


def account(kind: AccountKind, customer: Customer | None = None) -> sa.ScalarSelect[int]:
    owner = customer.id if customer else None
    return (
        select(Account.id)
        .where(Account.kind == kind, Account.customer_id.is_not_distinct_from(owner))
        .scalar_subquery()
    )


async def test_a_healthy_database_has_no_differences(database: Database, customer: Customer, terms: Terms) -> None:
    assert customer.id
    assert await found(database, terms) == []
    await metering.catch_up(database, now=RUN_DAY + timedelta(days=10))
    assert await found(database, terms) == []


async def test_an_empty_database_has_no_differences(database: Database, terms: Terms) -> None:
    assert await found(database, terms) == []


BROKEN: dict[str, tuple[Callable[[Customer], sa.UpdateBase], set[str]]] = {
    "a stored balance": (
        lambda _: update(Account).where(Account.kind == AccountKind.BALANCE).values(posted=7),
        {"debits equal credits", "balances"},
    ),
    "a reserved amount": (
        lambda _: update(Account).where(Account.kind == AccountKind.RECEIVABLE).values(reserved=1),
        {"balances"},
    ),
    "a transfer that moved nothing": (
        lambda customer: transfer_row(account(AccountKind.CORRECTIONS), account(AccountKind.BALANCE, customer)),
        {"debits equal credits", "balances"},
    ),
    "what is due": (lambda _: update(Invoice).values(due=300), {"receivable"}),
    "a debt without an invoice": (
        lambda customer: transfer_row(account(AccountKind.RECEIVABLE, customer), account(AccountKind.REVENUE)),
        {"debits equal credits", "balances"},
    ),
    "a line that was slipped in": (
        lambda _: insert(InvoiceLine).values(
            invoice_id=select(Invoice.id).scalar_subquery(),
            position=9,
            name="x",
            item="x",
            workers=0,
            hours=1,
            monthly=1,
            capped=False,
            amount=1,
        ),
        {"invoices"},
    ),
    "paid, and due": (lambda _: update(Invoice).values(paid_at=RUN_DAY), {"invoices"}),
    "voucher money from nowhere": (
        lambda customer: transfer_row(account(AccountKind.CORRECTIONS), account(AccountKind.VOUCHER, customer)),
        {"debits equal credits", "balances", "vouchers"},
    ),
    "a redeemed voucher without money": (
        lambda customer: insert(Voucher).values(
            code_hash="1" * 64,
            hint="ABCE",
            amount=5,
            batch="b",
            created_by=1,
            created_at=RUN_DAY,
            note="",
            redeemed_by=customer.id,
            redeemed_at=RUN_DAY,
        ),
        {"vouchers"},
    ),
    "a number that was skipped": (lambda _: update(NumberSeries).values(last=2), {"numbers"}),
    "a number outside any series": (lambda _: delete(NumberSeries), {"numbers"}),
    "an allocation in flight of a payment that ended": (
        lambda _: update(Payment).values(status=PaymentStatus.DECLINED),
        {"payments in flight"},
    ),
    "an allocation at rest of a payment in flight": (
        lambda _: update(PaymentAllocation).values(in_flight=False),
        {"payments in flight"},
    ),
    "hours that were not used": (
        lambda _: update(Usage).where(Usage.hours == 11).values(hours=12),
        {"usage 2026-01", "invoiced as used"},
    ),
    "hours that were not metered": (lambda _: delete(Usage).where(Usage.hours == 11), {"usage 2026-01"}),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_is_broken_is_found(database: Database, customer: Customer, terms: Terms, case: str) -> None:
    breaking, expected = BROKEN[case]
    async with database.transaction() as session:
        await session.execute(breaking(customer))
    assert {difference.check for difference in await found(database, terms)} == expected


async def test_an_invoice_for_hours_that_were_taken_back_is_found(
    database: Database, customer: Customer, terms: Terms
) -> None:
    """A machine that had vanished before the month's end, found out after its invoice: a credit note is due."""
    async with database.transaction() as session:
        running = (
            await session.scalars(
                select(Subscription).where(Subscription.customer_id == customer.id).order_by(Subscription.id)
            )
        ).first()
        assert running is not None
        await subscriptions.stop(session, running, at=at("2026-01-05"))
    (difference,) = await found(database, terms)
    assert str(difference) == f"invoiced as used: subscription {running.id} in 202601: expected 71, found 500"
