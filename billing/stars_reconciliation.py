"""What the chat says of stars that it took and gave back, compared with our payments (C13): differences, no repair."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import or_, select

from billing import reconciliation
from billing.checks import Difference
from billing.db import Database
from billing.models import Payment, PaymentMethod, PaymentStatus

_WATERMARK = _CHECK = "stars"


@dataclass(frozen=True, slots=True)
class Move:
    """Stars that moved between the chat's people and us.

    Attributes:
        charge_id: the chat's id of the payment; what is given back has that of what was paid.
        stars: how many.
        back: whether they were given back.
        at: when.
    """

    charge_id: str
    stars: int
    back: bool
    at: datetime


class StarsList(Protocol):
    """What is needed of the chat."""

    async def moves(self) -> Sequence[Move]:
        """Return every payment of an invoice and every one that was given back, ever.

        Raises:
            GatewayError: the chat did not say.
        """
        ...


async def differences(database: Database, chat: StarsList, *, now: datetime, offered: bool = True) -> list[Difference]:
    """Return where stars moved since the last comparison, and three days before it, are not as we have them.

    Where stars are neither `offered` nor ever were, nobody is asked.

    Raises:
        GatewayError: the chat could not be asked; the next comparison begins where this one did.
    """
    stars = Payment.method == PaymentMethod.STARS
    async with database.read() as session:
        if not offered and await session.scalar(select(Payment.id).where(stars).limit(1)) is None:
            return []
    since = await reconciliation.begin(database, _WATERMARK, now)
    moves = await chat.moves()
    recent = [move for move in moves if since <= move.at <= now - reconciliation.SETTLING]
    ids = [move.charge_id for move in recent]
    settled = Payment.ended_at.between(since, now - reconciliation.SETTLING)
    async with database.read() as session:
        rows = (await session.scalars(select(Payment).where(stars, or_(Payment.provider_id.in_(ids), settled)))).all()
    ours = {row.provider_id: row for row in rows if row.provider_id is not None}
    found = [one for move in recent if (one := _differs(move, ours.get(move.charge_id))) is not None]
    found += _unlisted([row for row in rows if row.status is PaymentStatus.SUCCEEDED], moves)
    await reconciliation.end(database, _WATERMARK, now)
    return found


def _differs(move: Move, payment: Payment | None) -> Difference | None:
    if payment is None:
        what = "given back" if move.back else "taken"
        return Difference(_CHECK, f"charge {move.charge_id}", "a payment here", f"{move.stars} stars {what} for none")
    if move.stars != payment.stars:
        return Difference(_CHECK, f"payment {payment.id}", f"{move.stars} stars", f"{payment.stars}")
    if move.back and not payment.refunded:
        return Difference(_CHECK, f"payment {payment.id}", f"{move.stars} stars given back", "kept")
    if payment.status is not PaymentStatus.SUCCEEDED:
        return Difference(_CHECK, f"payment {payment.id}", f"{move.stars} stars taken", payment.status.value)
    return None


def _unlisted(payments: Sequence[Payment], moves: Sequence[Move]) -> list[Difference]:
    """Return payments that the chat knows nothing of, and those that we say it gave back and it did not."""
    taken = {move.charge_id for move in moves if not move.back}
    back = {move.charge_id for move in moves if move.back}
    found = [
        Difference(_CHECK, f"payment {one.id}", f"{one.stars} stars taken", "none")
        for one in payments
        if one.provider_id not in taken
    ]
    return found + [
        Difference(_CHECK, f"payment {one.id}", f"{one.stars} stars given back", "none")
        for one in payments
        if one.refunded and one.refund_try_at is None and one.provider_id in taken - back
    ]
