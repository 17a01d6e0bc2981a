"""The free text that a person was asked for: the only memory of a dialogue that is not in a button."""

from typing import Any

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from bot.context import Context
from bot.models import Awaiting


async def ask(session: AsyncSession, ctx: Context, what: str, data: dict[str, Any] | None = None) -> None:
    """Wait for a text from this person; it replaces whatever was waited for before."""
    await session.merge(Awaiting(telegram_id=ctx.customer.telegram_id, what=what, data=data or {}, asked_at=ctx.now))
    await session.flush()


async def forget(session: AsyncSession, telegram_id: int) -> bool:
    """Wait for nothing any more; return whether something was waited for."""
    done = await session.execute(
        delete(Awaiting).where(Awaiting.telegram_id == telegram_id).returning(Awaiting.telegram_id)
    )
    return done.scalar_one_or_none() is not None
