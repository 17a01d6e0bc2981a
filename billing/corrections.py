"""Corrections of the ledger by a person: new transfers with a reason, never a change (rules.md 2.5)."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, audit, ledger, outbox, wishes
from billing.ledger import About, Side
from billing.models import AccountKind, Transfer

LONGEST_REASON = 200


async def credit(
    session: AsyncSession, customer_id: int, amount: int, reason: str, *, operation: str, actor: int, now: datetime
) -> Transfer:
    """Add to a customer's balance, and have what is due settled from it; the customer is told.

    The same operation again changes nothing and returns the first transfer.

    Raises:
        NotFound: there is no such customer.
        Conflict: the operation was another correction.
    """
    customer = await accounts.lock(session, customer_id)
    known = await session.scalar(select(Transfer.id).where(Transfer.operation == operation))
    transfer = await ledger.transfer(
        session,
        operation=operation,
        debit=Side(AccountKind.CORRECTIONS),
        credit=Side(AccountKind.BALANCE, customer.id),
        amount=amount,
        about=About("correction", note=reason[:LONGEST_REASON], actor=actor),
        now=now,
    )
    if known is None:
        audit.record(
            session, "credit", actor=actor, now=now, customer_id=customer.id, amount=amount, reason=transfer.note
        )
        await wishes.wish(session, customer.id, cards=False, reason="correction", now=now)
        facts = {"amount": amount, "reason": transfer.note}
        await outbox.tell(
            session, customer, "balance_credited", facts, now=now, dedup=f"transfer:{transfer.id}", mail=True
        )
    return transfer
