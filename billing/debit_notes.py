"""Debit notes: what a customer owes besides the hours they used (rules.md 10.2); settled like an invoice."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from billing import ledger, month_run, outbox
from billing.ledger import About, Side
from billing.models import AccountKind, Customer, Invoice, InvoiceKind, InvoiceLine
from billing.terms import Party, Terms

SERIES = "DN"


async def issue(
    session: AsyncSession,
    customer: Customer,
    amount: int,
    *,
    why: str,
    operation: str,
    payment_id: int,
    disputed: bool,
    terms: Terms,
    now: datetime,
) -> Invoice:
    """Return a new debit note over money that a bank took back; under the customer's lock.

    `operation` names its booking, `why` is its only line. It carries no tax: nothing is sold with it.
    While it is disputed it is neither charged, reminded nor aged.
    """
    number = await month_run.take_numbers(session, SERIES, now.year, 1)
    buyer = Party(customer.billing_name or customer.name, customer.billing_address, customer.billing_tax_id)
    note = Invoice(
        kind=InvoiceKind.DEBIT_NOTE,
        number=f"{SERIES}-{now.year}-{number:06d}",
        customer_id=customer.id,
        month=None,
        issued_at=now,
        net=amount,
        tax_basis_points=0,
        tax=0,
        total=amount,
        seller=terms.seller.as_dict(),
        buyer=buyer.as_dict(),
        due=amount,
        disputed=amount if disputed else 0,
        by_hand=0 if disputed else amount,
        due_since=None,
    )
    session.add(note)
    await session.flush()
    session.add(
        InvoiceLine(
            invoice_id=note.id,
            position=1,
            name=why,
            item="",
            workers=0,
            hours=0,
            monthly=0,
            capped=False,
            amount=amount,
        )
    )
    await ledger.transfer(
        session,
        operation=operation,
        debit=Side(AccountKind.RECEIVABLE, customer.id),
        credit=Side(AccountKind.CHARGEBACKS),
        amount=amount,
        about=About("debit_note", invoice_id=note.id, payment_id=payment_id),
        now=now,
    )
    facts = {"invoice_id": note.id, "number": note.number, "total": note.total, "disputed": disputed}
    dedup = f"invoice:{note.id}:issued"
    await outbox.tell(session, customer, "debit_note_issued", facts, now=now, dedup=dedup, mail=True)
    return note
