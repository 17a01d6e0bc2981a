"""What the house remembers of itself: the bot's name, and switches that are turned in the chat."""

from datetime import datetime
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import audit, wishes
from billing.models import Quote, Transfer
from bot.models import Switch
from bot.settings import CannotStart

_BOT = "bot"
_CURRENCY = "currency"
_MAINTENANCE = "maintenance"


class OtherCurrency(CannotStart):
    """Money has moved in another currency than the configured one."""

    def __init__(self, code: str) -> None:
        """Name the currency of the books."""
        super().__init__(f"CURRENCY: expected {code}, in which money has moved already; it cannot change any more")


async def bot_username(session: AsyncSession) -> str:
    """Return the bot's name as Telegram last told it, empty before the first start."""
    row = await session.get(Switch, _BOT)
    return "" if row is None else str(row.value["username"])


async def remember_username(session: AsyncSession, username: str, now: datetime) -> None:
    """Remember the bot's name, so that a job needs not ask Telegram for the way into the chat."""
    await _set(session, _BOT, {"username": username}, now, None)


async def keep_currency(session: AsyncSession, code: str, now: datetime) -> None:
    """Remember the currency; once money has moved, it stays (rules.md 1.1).

    Raises:
        OtherCurrency: the books are in another one.
    """
    await check_currency(session, code)
    await _set(session, _CURRENCY, {"code": code}, now, None)


async def currency(session: AsyncSession) -> str | None:
    """Return the code of the currency that the books are in; none before the first start."""
    row = await session.get(Switch, _CURRENCY)
    return None if row is None else str(row.value["code"])


async def check_currency(session: AsyncSession, code: str) -> None:
    """Compare with the currency that money moved in.

    Raises:
        OtherCurrency: the books are in another one.
    """
    kept = await currency(session)
    if kept is not None and kept != code and await session.scalar(select(exists().select_from(Transfer))):
        raise OtherCurrency(kept)


async def maintenance(session: AsyncSession) -> bool:
    """Return whether new deployments are stopped."""
    row = await session.get(Switch, _MAINTENANCE)
    return row is not None and bool(row.value["on"])


async def set_maintenance(session: AsyncSession, *, on: bool, actor: int, now: datetime) -> None:
    """Stop new deployments, or sell again: orders that waited are offered then. Again it changes nothing."""
    if await maintenance(session) == on:
        return
    await _set(session, _MAINTENANCE, {"on": on}, now, actor)
    audit.record(session, "maintenance", actor=actor, now=now, on=on)
    if not on:
        kept = select(Quote.customer_id).where(Quote.kept_until > now).distinct().subquery()
        await wishes.wish_many(session, kept, cards=False, reason="open_again", now=now)


async def _set(session: AsyncSession, name: str, value: dict[str, Any], now: datetime, by: int | None) -> None:
    row = await session.get(Switch, name)
    if row is None or row.value != value:
        await session.merge(Switch(name=name, value=value, changed_at=now, changed_by=by))
        await session.flush()
