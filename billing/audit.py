"""Who did what (C10)."""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from billing.models import AuditEntry


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
