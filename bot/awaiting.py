"""The free text that a person was asked for: the only memory of a dialogue that is not in a button."""

from typing import Any

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from bot.context import Context
from bot.models import Awaiting

_ASKED_IN = "asked_in"


async def ask(session: AsyncSession, ctx: Context, what: str, data: dict[str, Any] | None = None) -> None:
    """Wait for a text from this person; it replaces whatever was waited for before."""
    kept = {key: value for key, value in (data or {}).items() if key != _ASKED_IN}
    await session.merge(Awaiting(telegram_id=ctx.customer.telegram_id, what=what, data=kept, asked_at=ctx.now))
    await session.flush()
    ctx.asked.append(what)


async def asked_in(session: AsyncSession, telegram_id: int, message_id: int) -> None:
    """Remember which message asks, so that it can go when it is answered."""
    row = await session.get(Awaiting, telegram_id)
    if row is not None:
        row.data = {**row.data, _ASKED_IN: message_id}


def question(ctx: Context) -> int | None:
    """Return the id of the message that asked for what is typed now."""
    return ctx.awaiting[1].get(_ASKED_IN) if ctx.awaiting else None


async def forget(session: AsyncSession, telegram_id: int) -> bool:
    """Wait for nothing any more; return whether something was waited for."""
    done = await session.execute(
        delete(Awaiting).where(Awaiting.telegram_id == telegram_id).returning(Awaiting.telegram_id)
    )
    return done.scalar_one_or_none() is not None
