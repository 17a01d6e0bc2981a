"""What the house remembers of itself: the bot's name, and switches that are turned in the chat."""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from bot.models import Switch

_BOT = "bot"


async def bot_username(session: AsyncSession) -> str:
    """Return the bot's name as Telegram last told it, empty before the first start."""
    row = await session.get(Switch, _BOT)
    return "" if row is None else str(row.value["username"])


async def remember_username(session: AsyncSession, username: str, now: datetime) -> None:
    """Remember the bot's name, so that a job needs not ask Telegram for the way into the chat."""
    await _set(session, _BOT, {"username": username}, now, None)


async def _set(session: AsyncSession, name: str, value: dict[str, Any], now: datetime, by: int | None) -> None:
    row = await session.get(Switch, name)
    if row is None or row.value != value:
        await session.merge(Switch(name=name, value=value, changed_at=now, changed_by=by))
        await session.flush()
