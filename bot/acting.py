"""Who is acting: asked at each update, in one question."""

from typing import Any

from sqlalchemy import bindparam, exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing.models import Administrator, Customer
from bot.guards import is_administrator
from bot.models import Awaiting

# Made once: it takes longer to write it than to answer it.
_ACTING = (
    select(Customer, exists().where(Administrator.telegram_id == Customer.telegram_id), Awaiting.what, Awaiting.data)
    .outerjoin(Awaiting, Awaiting.telegram_id == Customer.telegram_id)
    .where(Customer.telegram_id == bindparam("telegram_id"))
)


async def look(
    session: AsyncSession, telegram_id: int, first: frozenset[int]
) -> tuple[Customer | None, bool, tuple[str, dict[str, Any]] | None]:
    """Return a person's customer, whether they run the business, and what a free text of theirs answers.

    Args:
        session: for reading.
        telegram_id: who.
        first: the first administrators, of the settings.
    """
    found = (await session.execute(_ACTING, {"telegram_id": telegram_id})).one_or_none()
    if found is None:
        return None, await is_administrator(session, telegram_id, first), None
    customer, is_admin, what, data = found
    return customer, is_admin or telegram_id in first, None if what is None else (what, data)
