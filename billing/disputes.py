"""Disputes (rules.md 10.1, 10.2, 10.5): what a bank takes back is owed again, set aside until it is settled.

The bank's money goes from the clearing account to `chargebacks`, and from there to whoever owes it now: the invoices
that the charge had paid, newest first; the balance that it had filled, as far as that holds it; and a debit note for
the rest. Won, all of it goes the same way back.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Exists, exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import debit_notes, dues, ledger, outbox, paid, payments, wishes
from billing.gateway import DisputeState
from billing.ledger import About, Side
from billing.models import (
    Account,
    AccountKind,
    Customer,
    Dispute,
    DisputeStatus,
    Invoice,
    Payment,
    Refund,
    Transfer,
)
from billing.terms import Terms

READ_AGAIN = timedelta(days=1)
"""How often an open dispute is read without having been told."""
_CLOSED = (DisputeStatus.WON, DisputeStatus.LOST)
_REASON = "dispute"
_REASON_MOST = 64


def is_open_sql(customer_id: int) -> Exists:
    """Return whether a customer has an open dispute, as a condition."""
    return exists().where(Dispute.customer_id == customer_id, Dispute.status == DisputeStatus.OPEN)


async def record(session: AsyncSession, payment_id: int, seen: DisputeState, *, terms: Terms, now: datetime) -> Dispute:
    """Write down what the provider says of a dispute; harmless twice, late, or out of order."""
    customer, payment = await payments.locked(session, payment_id)
    row = (await session.scalars(select(Dispute).where(Dispute.provider_id == seen.provider_id))).one_or_none()
    if row is None:
        row = Dispute(
            provider_id=seen.provider_id,
            payment_id=payment.id,
            customer_id=customer.id,
            amount=seen.amount,
            status=DisputeStatus.INQUIRY,
            reason=seen.reason[:_REASON_MOST],
            opened_at=now,
        )
        session.add(row)
        await session.flush()
        if seen.status is DisputeStatus.INQUIRY:
            await _tell(session, customer, payment, row, "inquiry", now)
    if row.status in _CLOSED:
        return row
    row.check_at = now + READ_AGAIN
    booked = row.status is DisputeStatus.OPEN
    if not booked and seen.status in (DisputeStatus.OPEN, DisputeStatus.LOST):
        row.amount = seen.amount
        await _open(session, customer, payment, row, terms, now)
    if seen.status in _CLOSED:
        await _close(session, customer, payment, row, won=seen.status is DisputeStatus.WON, terms=terms, now=now)
    await session.flush()
    return row


# --- opening


async def _open(
    session: AsyncSession, customer: Customer, payment: Payment, row: Dispute, terms: Terms, now: datetime
) -> None:
    row.status = DisputeStatus.OPEN
    payment.disputed += row.amount
    await _move(
        session, row, "taken", Side(AccountKind.CHARGEBACKS), payments.clearing(payment.method), row.amount, now
    )
    left = row.amount
    for invoice, held in await _paid_by(session, payment):
        part = min(left, held)
        if part > 0:
            await _open_again(session, customer, row, invoice, part, now)
            left -= part
    have = min(left, (await ledger.balances(session, customer.id)).balance)
    if have:
        balance = Side(AccountKind.BALANCE, customer.id)
        await _move(session, row, "balance", balance, Side(AccountKind.CHARGEBACKS), have, now)
        left -= have
    if left:
        why = f"Charge of {payment.created_at:%Y-%m-%d} taken back by the bank"
        await debit_notes.issue(
            session,
            customer,
            left,
            why=why,
            operation=f"dispute:{row.id}:note",
            payment_id=payment.id,
            disputed=True,
            terms=terms,
            now=now,
        )
    await _tell(session, customer, payment, row, "opened", now)


async def _paid_by(session: AsyncSession, payment: Payment) -> list[tuple[Invoice, int]]:
    """Return what a charge holds on each invoice, newest first; what went back already is taken off."""
    ids = [row.invoice_id for row in await payments.allocations(session, payment.id)]
    newest_first = select(Invoice).where(Invoice.id.in_(ids)).order_by(Invoice.issued_at.desc(), Invoice.id.desc())
    found = []
    for invoice in await session.scalars(newest_first.execution_options(populate_existing=True)):
        held = sum(part.amount for part in await paid.parts(session, invoice.id) if part.payment_id == payment.id)
        refunds = select(Refund.amount).where(Refund.payment_id == payment.id, Refund.invoice_id == invoice.id)
        found.append((invoice, held - sum(await session.scalars(refunds))))
    return found


async def _open_again(
    session: AsyncSession, customer: Customer, row: Dispute, invoice: Invoice, amount: int, now: datetime
) -> None:
    if invoice.due == 0:
        invoice.due_since = None
    invoice.due += amount
    invoice.disputed += amount
    invoice.paid_at = None
    await session.flush()
    owed = Side(AccountKind.RECEIVABLE, customer.id)
    name = f"invoice:{invoice.id}"
    await _move(session, row, name, owed, Side(AccountKind.CHARGEBACKS), amount, now, invoice_id=invoice.id)


# --- closing


async def _close(
    session: AsyncSession,
    customer: Customer,
    payment: Payment,
    row: Dispute,
    *,
    won: bool,
    terms: Terms,
    now: datetime,
) -> None:
    booked = row.status is DisputeStatus.OPEN
    row.status = DisputeStatus.WON if won else DisputeStatus.LOST
    row.closed_at, row.check_at = now, None
    if booked and won:
        await _give_back(session, customer, payment, row, now)
    elif booked:
        await _keep_owed(session, customer, row, terms, now)
    await session.flush()
    await _tell(session, customer, payment, row, "won" if won else "lost", now)


async def _give_back(session: AsyncSession, customer: Customer, payment: Payment, row: Dispute, now: datetime) -> None:
    payment.disputed -= row.amount
    opened = await _opened(session, row)
    back = payments.clearing(payment.method)
    await _move(session, row, "back", back, Side(AccountKind.CHARGEBACKS), row.amount, now)
    for moved in opened:
        invoice_id, amount = moved.invoice_id, moved.amount
        if invoice_id is None:
            balance = Side(AccountKind.BALANCE, customer.id)
            await _move(session, row, "won:balance", Side(AccountKind.CHARGEBACKS), balance, amount, now)
            await wishes.wish(session, customer.id, cards=False, reason="dispute_won", now=now)
            continue
        invoice = await session.get_one(Invoice, invoice_id, populate_existing=True)
        invoice.disputed -= amount
        invoice.due -= amount
        invoice.paid_at = now if invoice.due == 0 else None
        await session.flush()
        owed, name = Side(AccountKind.RECEIVABLE, customer.id), f"won:{invoice_id}"
        await _move(session, row, name, Side(AccountKind.CHARGEBACKS), owed, amount, now, invoice_id=invoice_id)


async def _keep_owed(session: AsyncSession, customer: Customer, row: Dispute, terms: Terms, now: datetime) -> None:
    """What was opened again is due from now, by hand or from voucher and balance (rules.md 10.5)."""
    for moved in await _opened(session, row):
        if moved.invoice_id is None:
            continue
        invoice = await session.get_one(Invoice, moved.invoice_id, populate_existing=True)
        if invoice.due == invoice.disputed:
            invoice.due_since = None  # nothing of it was due before
        invoice.disputed -= moved.amount
        invoice.by_hand += moved.amount
    await session.flush()
    await dues.mark_due(session, customer.id, minimum=terms.card_minimum, now=now)
    await wishes.wish(session, customer.id, cards=False, reason="dispute_lost", now=now)


async def _opened(session: AsyncSession, row: Dispute) -> Sequence[Transfer]:
    """Return what an open dispute moved onto invoices, the balance and a debit note, oldest first."""
    chargebacks = select(Account.id).where(Account.kind == AccountKind.CHARGEBACKS).scalar_subquery()
    mine = Transfer.operation.startswith(f"dispute:{row.id}:", autoescape=True)
    return (
        await session.scalars(select(Transfer).where(Transfer.credit_id == chargebacks, mine).order_by(Transfer.id))
    ).all()


# --- what they share


async def _move(
    session: AsyncSession,
    row: Dispute,
    name: str,
    debit: Side,
    credit: Side,
    amount: int,
    now: datetime,
    *,
    invoice_id: int | None = None,
) -> None:
    await ledger.transfer(
        session,
        operation=f"dispute:{row.id}:{name}",
        debit=debit,
        credit=credit,
        amount=amount,
        about=About(_REASON, invoice_id=invoice_id, payment_id=row.payment_id),
        now=now,
    )


async def _tell(
    session: AsyncSession, customer: Customer, payment: Payment, row: Dispute, what: str, now: datetime
) -> None:
    """Tell the house, and of everything but an inquiry the customer: `what` is inquiry, opened, won or lost."""
    facts = await payments.shown(session, payment) | {
        "what": what,
        "dispute": row.provider_id,
        "amount": row.amount,
        "reason": row.reason,
    }
    house = facts | {"name": customer.name, "telegram_id": customer.telegram_id}
    kind = "dispute_opened" if what in {"inquiry", "opened"} else "dispute_closed"
    dedup = f"dispute:{row.id}:{what}"
    await outbox.tell_house(session, f"house_{kind}", house, now=now, dedup=f"house:{dedup}", customer_id=customer.id)
    if what != "inquiry":
        await outbox.tell(session, customer, kind, facts, now=now, dedup=dedup, mail=True)
