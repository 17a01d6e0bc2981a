"""Credit notes (rules.md 10.3, 10.4): they lower what is due first; what was paid beyond it is refunded.

It goes back to where it came from, each source at most what it paid: to the cards first, the newest charge first;
then to the balance, then to the vouchers' money. What goes to a card is a row that `corrector` carries out.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import audit, cards, ledger, month_run, outbox, paid, wishes
from billing.errors import Conflict, NotFound, OutOfRange
from billing.ledger import About, Side
from billing.models import (
    Account,
    AccountKind,
    Card,
    CreditNote,
    CreditNoteLine,
    Customer,
    Invoice,
    InvoiceKind,
    PaymentAllocation,
    Refund,
    RefundStatus,
    Transfer,
)
from billing.money import Currency
from billing.paid import Part

SERIES = "CN"
_FUNDS = (AccountKind.BALANCE, AccountKind.VOUCHER)
"""In the order in which they get money back, after the cards."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a credit note does, in minor units.

    Attributes:
        total: what it takes off, tax included; `net` and `tax` are its parts.
        lowered: what it takes off the due.
        back: what goes back to whom.
    """

    total: int
    net: int
    tax: int
    lowered: int
    back: tuple[Part, ...]

    @property
    def digest(self) -> str:
        """A short name of exactly this, for a button to say what was shown."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Credit:
    """A credit note to issue.

    Attributes:
        operation: the same one again issues no second note.
        total: what it takes off, tax included, in minor units.
        reason: why, in a person's words; printed on it.
        actor: Telegram id of the administrator; none for the system.
        digest: of the plan that was shown, where one was.
        lines: hours that it takes back, where it does; their ids are set here.
    """

    operation: str
    total: int
    reason: str
    actor: int | None = None
    digest: str = ""
    lines: Sequence[CreditNoteLine] = ()


async def find(session: AsyncSession, number: str) -> Invoice:
    """Return any customer's invoice by its number, typed in any case; for administrators.

    Raises:
        NotFound: there is none.
    """
    wanted = number.strip().upper()
    found = (await session.scalars(select(Invoice).where(Invoice.number == wanted))).one_or_none()
    if found is None:
        raise NotFound("invoice", wanted)
    return found


async def by_operation(session: AsyncSession, operation: str) -> CreditNote | None:
    """Return the credit note that an operation has issued, if it has."""
    return (await session.scalars(select(CreditNote).where(CreditNote.operation == operation))).one_or_none()


async def get(session: AsyncSession, customer: Customer, credit_note_id: int) -> CreditNote:
    """Return one of a customer's credit notes.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    found = await session.get(CreditNote, credit_note_id)
    if found is None or found.customer_id != customer.id:
        raise NotFound("credit note", credit_note_id)
    return found


async def lines(session: AsyncSession, note: CreditNote) -> Sequence[CreditNoteLine]:
    """Return the hours that a credit note takes back; none for one of an amount alone."""
    mine = select(CreditNoteLine).where(CreditNoteLine.credit_note_id == note.id)
    return (await session.scalars(mine.order_by(CreditNoteLine.position))).all()


async def most(session: AsyncSession, invoice: Invoice) -> int:
    """Return the most that a credit note may take off now: what is due and what sources paid.

    What an open dispute holds is decided by the dispute.
    """
    return invoice.due - invoice.disputed + sum(part.amount for part in await refundable(session, invoice))


async def refundable(session: AsyncSession, invoice: Invoice) -> list[Part]:
    """Return what can go back to each source, in the order in which it does."""
    found = await paid.parts(session, invoice.id)
    charges = [await _left_of_charge(session, invoice, part) for part in reversed(found) if part.payment_id]
    funds = [
        Part(kind, part.amount - await _given_back(session, invoice, kind))
        for kind in _FUNDS
        for part in found
        if part.source is kind
    ]
    return [part for part in (*charges, *funds) if part.amount > 0]


async def _left_of_charge(session: AsyncSession, invoice: Invoice, part: Part) -> Part:
    refunds = select(func.coalesce(func.sum(Refund.amount), 0)).where(
        Refund.invoice_id == invoice.id, Refund.payment_id == part.payment_id
    )
    return Part(part.source, part.amount - int(await session.scalar(refunds) or 0), part.payment_id, part.card_id)


async def _given_back(session: AsyncSession, invoice: Invoice, kind: AccountKind) -> int:
    """Return what credit notes of an invoice gave back to voucher or balance; what cards refused is not theirs."""
    to = select(Account.id).where(Account.customer_id == invoice.customer_id, Account.kind == kind).scalar_subquery()
    given = select(func.coalesce(func.sum(Transfer.amount), 0)).where(
        Transfer.invoice_id == invoice.id, Transfer.credit_id == to, Transfer.reason == "refund"
    )
    return int(await session.scalar(given) or 0)


async def plan(session: AsyncSession, invoice: Invoice, total: int, currency: Currency) -> Plan:
    """Return what a credit note over so much would do.

    Raises:
        OutOfRange: it is more than can be taken off, or nothing.
        Conflict: a payment of the invoice is under way.
    """
    moving = exists().where(PaymentAllocation.invoice_id == invoice.id, PaymentAllocation.in_flight)
    if await session.scalar(select(moving)):
        raise Conflict(f"a payment of invoice {invoice.number} is under way")
    sources = await refundable(session, invoice)
    due = invoice.due - invoice.disputed
    limit = due + sum(part.amount for part in sources)
    if not 0 < total <= limit:
        raise OutOfRange(total, currency.step, limit)
    lowered = min(total, due)
    left, back = total - lowered, []
    for part in sources:
        amount = min(left, part.amount)
        if amount:
            back.append(Part(part.source, amount, part.payment_id, part.card_id))
            left -= amount
    tax = await _tax_of(session, invoice, total, currency)
    return Plan(total, total - tax, tax, lowered, tuple(back))


async def _tax_of(session: AsyncSession, invoice: Invoice, total: int, currency: Currency) -> int:
    """Return the tax before minus the tax after (rules.md 10.4)."""
    before = (
        await session.execute(
            select(func.coalesce(func.sum(CreditNote.total), 0), func.coalesce(func.sum(CreditNote.tax), 0)).where(
                CreditNote.invoice_id == invoice.id
            )
        )
    ).one()
    gross = invoice.total - int(before[0]) - total
    net = currency.round_half_up(gross * 10_000, 10_000 + invoice.tax_basis_points)
    return invoice.tax - int(before[1]) - (gross - net)


async def issue(
    session: AsyncSession, customer: Customer, invoice_id: int, credit: Credit, *, currency: Currency, now: datetime
) -> CreditNote:
    """Issue a credit note and begin its refunds; under the customer's lock.

    Raises:
        OutOfRange, Conflict: as for `plan`; and when the plan is no longer the one that was shown.
    """
    done = await by_operation(session, credit.operation)
    if done is not None:
        return done
    invoice = await session.get_one(Invoice, invoice_id, populate_existing=True)
    planned = await plan(session, invoice, credit.total, currency)
    if credit.digest and planned.digest != credit.digest:
        raise Conflict("the credit note would do something else than was shown")
    note = await _add(session, invoice, planned, credit, now)
    await _book(session, customer, invoice, note, planned, now)
    if planned.lowered:
        invoice.due -= planned.lowered
        invoice.by_hand = min(invoice.by_hand, invoice.due - invoice.disputed)
        if invoice.due == 0:
            invoice.paid_at = now
    await session.flush()
    await _give_back(session, customer, note, planned, now)
    await _tell(session, customer, invoice, note, planned, now)
    if credit.actor is not None:
        audit.record(
            session,
            "credit_note",
            actor=credit.actor,
            now=now,
            customer_id=customer.id,
            number=note.number,
            invoice=invoice.number,
            total=note.total,
            reason=credit.reason,
        )
    return note


async def _add(session: AsyncSession, invoice: Invoice, planned: Plan, credit: Credit, now: datetime) -> CreditNote:
    number = await month_run.take_numbers(session, SERIES, now.year, 1)
    note = CreditNote(
        operation=credit.operation,
        number=f"{SERIES}-{now.year}-{number:06d}",
        invoice_id=invoice.id,
        customer_id=invoice.customer_id,
        issued_at=now,
        net=planned.net,
        tax=planned.tax,
        total=planned.total,
        reason=credit.reason,
        actor=credit.actor,
    )
    session.add(note)
    await session.flush()
    for position, line in enumerate(credit.lines, start=1):
        line.credit_note_id, line.position = note.id, position
        session.add(line)
    await session.flush()
    return note


async def _book(
    session: AsyncSession, customer: Customer, invoice: Invoice, note: CreditNote, planned: Plan, now: datetime
) -> None:
    """Take it out of revenue and tax; what was paid beyond the due is owed to the customer's sources."""
    owed = Side(AccountKind.RECEIVABLE, customer.id)
    sold = AccountKind.REVENUE if invoice.kind is InvoiceKind.INVOICE else AccountKind.CORRECTIONS
    moves = (
        ("back", owed, Side(AccountKind.REFUNDS), planned.total - planned.lowered, "refund"),
        ("net", Side(sold), owed, planned.net, "credit_note"),
        ("tax", Side(AccountKind.TAX), owed, planned.tax, "credit_note"),
    )
    for name, debit, credit, amount, reason in moves:
        if amount:
            await ledger.transfer(
                session,
                operation=f"credit:{note.id}:{name}",
                debit=debit,
                credit=credit,
                amount=amount,
                about=About(reason, note=note.reason, actor=note.actor, invoice_id=invoice.id),
                now=now,
            )


async def _give_back(session: AsyncSession, customer: Customer, note: CreditNote, planned: Plan, now: datetime) -> None:
    for part in planned.back:
        if part.payment_id is not None:
            session.add(
                Refund(
                    credit_note_id=note.id,
                    invoice_id=note.invoice_id,
                    payment_id=part.payment_id,
                    customer_id=customer.id,
                    amount=part.amount,
                    status=RefundStatus.CREATED,
                    idempotency_key=f"refund-{secrets.token_hex(16)}",
                    created_at=now,
                    check_at=now,
                )
            )
            continue
        await ledger.transfer(
            session,
            operation=f"credit:{note.id}:{part.source.value}",
            debit=Side(AccountKind.REFUNDS),
            credit=Side(part.source, customer.id),
            amount=part.amount,
            about=About("refund", actor=note.actor, invoice_id=note.invoice_id),
            now=now,
        )
        await wishes.wish(session, customer.id, cards=False, reason="credit", now=now)
    await session.flush()


async def described(session: AsyncSession, back: Sequence[Part]) -> list[dict[str, Any]]:
    """Return what goes back as notices and screens say it: `source`, `amount`, `card`."""
    found = []
    for part in back:
        card = await session.get(Card, part.card_id) if part.card_id else None
        found.append({"source": part.source.value, "amount": part.amount, "card": cards.label(card) if card else ""})
    return found


async def _tell(
    session: AsyncSession, customer: Customer, invoice: Invoice, note: CreditNote, planned: Plan, now: datetime
) -> None:
    facts = {
        "credit_note_id": note.id,
        "number": note.number,
        "invoice_id": invoice.id,
        "invoice_number": invoice.number,
        "total": note.total,
        "lowered": planned.lowered,
        "due": invoice.due,
        "back": await described(session, planned.back),
        "reason": note.reason,
    }
    dedup = f"credit_note:{note.id}"
    await outbox.tell(session, customer, "credit_note_issued", facts, now=now, dedup=dedup, mail=True)


async def write_off(
    session: AsyncSession,
    customer: Customer,
    invoice_id: int,
    *,
    reason: str,
    actor: int,
    operation: str,
    now: datetime,
) -> int:
    """Give up what is due on an invoice by an administrator's word, and return how much that was.

    Nothing is credited: it was sold, and is a loss. The same operation again changes nothing.

    Raises:
        Conflict: nothing is due but what a dispute holds, or a payment is under way.
    """
    done = await session.scalar(select(Transfer.amount).where(Transfer.operation == operation))
    if done is not None:
        return int(done)
    invoice = await session.get_one(Invoice, invoice_id, populate_existing=True)
    moving = exists().where(PaymentAllocation.invoice_id == invoice.id, PaymentAllocation.in_flight)
    amount = invoice.due - invoice.disputed
    if not amount or await session.scalar(select(moving)):
        raise Conflict(f"nothing of invoice {invoice.number} can be written off now")
    await ledger.transfer(
        session,
        operation=operation,
        debit=Side(AccountKind.WRITE_OFF),
        credit=Side(AccountKind.RECEIVABLE, customer.id),
        amount=amount,
        about=About("write_off", note=reason, actor=actor, invoice_id=invoice.id),
        now=now,
    )
    invoice.due, invoice.by_hand = invoice.disputed, 0
    invoice.paid_at = now if invoice.due == 0 else None
    await session.flush()
    audit.record(
        session, "write_off", actor=actor, now=now, customer_id=customer.id, invoice=invoice.number, amount=amount
    )
    return amount
