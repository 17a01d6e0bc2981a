"""Where an invoice's money came from, told from the ledger: what disputes took back is taken off (A9, rules.md 10)."""

from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing.models import Account, AccountKind, Payment, Phase, Transfer

_BY_CHARGE = (AccountKind.CARD_CLEARING, AccountKind.STARS_CLEARING, AccountKind.CHARGEBACKS)
_BY_FUNDS = (AccountKind.VOUCHER, AccountKind.BALANCE)


@dataclass(frozen=True, slots=True)
class Part:
    """What one source has paid on an invoice.

    Attributes:
        source: voucher, balance, or the account that a charge came through.
        amount: in minor units, what disputes took back taken off; refunds are not.
        payment_id: the charge; none for voucher and balance.
        card_id: the saved card of that charge, if it was one.
    """

    source: AccountKind
    amount: int
    payment_id: int | None = None
    card_id: int | None = None


async def parts(session: AsyncSession, invoice_id: int) -> list[Part]:
    """Return what each source has paid on an invoice, the first to pay first; credit notes are no payments."""
    debit, credit = Account.__table__.alias("debit"), Account.__table__.alias("credit")
    rows = await session.execute(
        select(debit.c.kind, credit.c.kind, Transfer.payment_id, Payment.card_id, func.sum(Transfer.amount))
        .join(debit, debit.c.id == Transfer.debit_id)
        .join(credit, credit.c.id == Transfer.credit_id)
        .outerjoin(Payment, Payment.id == Transfer.payment_id)
        .where(
            Transfer.invoice_id == invoice_id,
            Transfer.phase.in_((Phase.POSTED, Phase.POST)),
            or_(debit.c.kind == AccountKind.RECEIVABLE, credit.c.kind == AccountKind.RECEIVABLE),
        )
        .group_by(debit.c.kind, credit.c.kind, Transfer.payment_id, Payment.card_id)
        .order_by(func.min(Transfer.id))
    )
    found: dict[tuple[AccountKind | None, int | None], Part] = {}
    for debited, credited, payment_id, card_id, amount in rows:
        pays = credited is AccountKind.RECEIVABLE
        other = debited if pays else credited
        if other in _BY_FUNDS:
            key, part = (other, None), Part(other, 0)
        elif other in _BY_CHARGE and payment_id is not None:
            key, part = (None, payment_id), Part(other, 0, payment_id, card_id)
        else:
            continue
        have = found.get(key, part)
        signed = int(amount) if pays else -int(amount)
        found[key] = Part(have.source, have.amount + signed, have.payment_id, have.card_id)
    return [part for part in found.values() if part.amount > 0]
