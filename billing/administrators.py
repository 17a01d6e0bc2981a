"""Who runs the business, beside the ids in `ADMIN_IDS` that nobody can take away in the chat."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, audit, outbox
from billing.models import Administrator


async def granted(session: AsyncSession) -> Sequence[Administrator]:
    """Return who was made an administrator in the chat, oldest first."""
    return (await session.scalars(select(Administrator).order_by(Administrator.granted_at))).all()


async def is_granted(session: AsyncSession, telegram_id: int) -> bool:
    """Return whether a person was made an administrator in the chat, and not unmade since."""
    return await session.get(Administrator, telegram_id) is not None


async def grant(session: AsyncSession, telegram_id: int, *, actor: int, now: datetime) -> bool:
    """Make a person (Telegram id) an administrator; false when they were one already."""
    if await is_granted(session, telegram_id):
        return False
    session.add(Administrator(telegram_id=telegram_id, granted_by=actor, granted_at=now))
    audit.record(session, "grant", actor=actor, now=now, administrator=telegram_id)
    customer = await accounts.by_telegram_id(session, telegram_id)
    if customer is not None:
        await outbox.tell(session, customer, "administrator_granted", {}, now=now)
    await session.flush()
    return True


async def revoke(session: AsyncSession, telegram_id: int, *, actor: int, now: datetime) -> bool:
    """Take it from a person again; false when they had not been given it."""
    row = await session.get(Administrator, telegram_id)
    if row is None:
        return False
    await session.delete(row)
    audit.record(session, "revoke", actor=actor, now=now, administrator=telegram_id)
    customer = await accounts.by_telegram_id(session, telegram_id)
    if customer is not None:
        await outbox.tell(session, customer, "administrator_revoked", {}, now=now)
    await session.flush()
    return True
