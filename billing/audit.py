"""Who did what (C10)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing.models import AuditEntry, Customer


def record(
    session: AsyncSession,
    action: str,
    *,
    actor: int | None,
    now: datetime,
    customer_id: int | None = None,
    **details: Any,  # noqa: ANN401 whatever JSON can hold
) -> None:
    """Write down an act of an administrator (Telegram id), or of the system where there is no actor.

    Details are JSON values: what changed, from what, to what.
    """
    session.add(AuditEntry(at=now, actor=actor, action=action, customer_id=customer_id, details=details))


async def page(
    session: AsyncSession, *, customer_id: int | None = None, offset: int, limit: int
) -> Sequence[tuple[AuditEntry, Customer | None]]:
    """Return what was done, newest first, with whom it concerns; of one customer, or all."""
    rows = select(AuditEntry, Customer).outerjoin(Customer, Customer.id == AuditEntry.customer_id)
    if customer_id is not None:
        rows = rows.where(AuditEntry.customer_id == customer_id)
    found = await session.execute(rows.order_by(AuditEntry.id.desc()).offset(offset).limit(limit))
    return [(entry, customer) for entry, customer in found]


async def names(session: AsyncSession, telegram_ids: Iterable[int]) -> Mapping[int, str]:
    """Return the names of those of these people who are known."""
    rows = await session.execute(
        select(Customer.telegram_id, Customer.name).where(Customer.telegram_id.in_(set(telegram_ids)))
    )
    return {telegram_id: name for telegram_id, name in rows}  # noqa: C416 a Row is no tuple to mypy
