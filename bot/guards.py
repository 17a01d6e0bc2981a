"""Who may do what; asked on every update, never remembered in a button."""

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing.models import Administrator
from bot.context import Context

Guard = Callable[[Context], bool]


def everyone(_: Context) -> bool:
    """Anybody in a private chat."""
    return True


def administrators(ctx: Context) -> bool:
    """Only who runs the business; to others the thing does not exist."""
    return ctx.is_admin


async def is_administrator(session: AsyncSession, telegram_id: int, first: frozenset[int]) -> bool:
    """Return whether a person is one of the first administrators, or was made one in the chat."""
    if telegram_id in first:
        return True
    return (
        await session.scalar(select(Administrator.telegram_id).where(Administrator.telegram_id == telegram_id))
        is not None
    )
