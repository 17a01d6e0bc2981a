"""Drains the outbox to chat and mail: at least once, in order per chat, at the pace that is allowed (rules.md 11)."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from telegram.error import BadRequest, Forbidden, NetworkError, RetryAfter, TelegramError
from telegram.ext import ExtBot

from billing import outbox
from billing.clock import Clock
from billing.db import Database
from billing.models import Administrator, Channel, Customer, Notice, NoticeStatus
from bot import mail
from bot.letters import letter
from bot.mail import Mailer
from bot.pace import BACKGROUND, seconds
from bot.view import View, send

log = logging.getLogger(__name__)

_BATCH = 200
_LEASE = timedelta(minutes=2)
_WAITS = (5, 15, 60, 300, 900, 3600)
"""Seconds between tries; the last one again and again."""
_GIVE_UP = timedelta(days=3)
_REASON = 200

Write = Callable[[Notice, Customer | None], Awaitable[View | None]]
"""Makes the words of a notice; `None` when the fact no longer holds and nothing needs to be said."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one try to deliver."""

    status: NoticeStatus
    error: str = ""
    after: float = 0
    """Seconds until the next try, when it still waits."""


class Deliverer:
    """Takes waiting notices and delivers them."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        bot: ExtBot[Any],
        mailer: Mailer | None,
        write: Write,
        administrators: Iterable[int],
    ) -> None:
        """Take where notices lie, how they go out, and who the first administrators are."""
        self._database = database
        self._clock = clock
        self._bot = bot
        self._mailer = mailer
        self._write = write
        self._administrators = frozenset(administrators)

    async def step(self) -> bool:
        """Deliver one batch; return whether there may be more to do now."""
        now = self._clock.now()
        async with self._database.transaction() as session:
            await self._address(session, now)
            batch = await self._take(session, now)
        chains: dict[tuple[Channel, int | None], list[Notice]] = defaultdict(list)
        for notice in batch:
            chains[notice.channel, notice.recipient or notice.customer_id].append(notice)
        await asyncio.gather(*(self._chain(notices) for notices in chains.values()))
        return len(batch) == _BATCH

    async def _address(self, session: AsyncSession, now: datetime) -> None:
        """Make one notice per administrator of each that is for the house."""
        notices = await session.scalars(
            select(Notice).where(
                Notice.status == NoticeStatus.WAITING, Notice.channel == Channel.CHAT, Notice.recipient.is_(None)
            )
        )
        for notice in notices.all():
            for admin in sorted(self._administrators | set(await session.scalars(select(Administrator.telegram_id)))):
                await outbox.copy_to(session, notice, admin)
            notice.status, notice.ended_at = NoticeStatus.SENT, now

    async def _take(self, session: AsyncSession, now: datetime) -> Sequence[Notice]:
        """Lease the notices that are due and have no earlier one of their chat before them."""
        earlier = aliased(Notice)
        blocked = exists().where(
            earlier.status == NoticeStatus.WAITING,
            earlier.channel == Notice.channel,
            earlier.recipient == Notice.recipient,
            earlier.id < Notice.id,
            or_(earlier.send_at > now, earlier.leased_until > now),
        )
        rows = (
            await session.scalars(
                select(Notice)
                .where(
                    Notice.status == NoticeStatus.WAITING,
                    Notice.send_at <= now,
                    or_(Notice.leased_until.is_(None), Notice.leased_until <= now),
                    ~blocked,
                )
                .order_by(Notice.id)
                .limit(_BATCH)
                .with_for_update(skip_locked=True)
            )
        ).all()
        for row in rows:
            row.leased_until = now + _LEASE
        return rows

    async def _chain(self, notices: Sequence[Notice]) -> None:
        """Deliver the notices of one chat in their order; the first that has to wait holds up the rest."""
        for position, notice in enumerate(notices):
            fate = await self._try(notice)
            await self._record(notice, fate)
            if fate.status is NoticeStatus.WAITING:
                await self._release(notices[position + 1 :])
                return

    async def _try(self, notice: Notice) -> Fate:
        async with self._database.read() as session:
            customer = await session.get(Customer, notice.customer_id) if notice.customer_id else None
        try:
            view = await self._write(notice, customer)
        except Exception as error:
            log.exception("notice %s (%s) cannot be worded", notice.id, notice.kind)
            return Fate(NoticeStatus.PARKED, f"{type(error).__name__}: {error}"[:_REASON])
        if view is None:
            return Fate(NoticeStatus.SENT, "no longer so")
        if notice.channel is Channel.MAIL:
            return await self._mail(notice, customer, view)
        return await self._chat(notice, view)

    async def _chat(self, notice: Notice, view: View) -> Fate:
        wait = _WAITS[min(notice.attempts, len(_WAITS) - 1)]
        try:
            await send(self._bot, notice.recipient or 0, view, pace=BACKGROUND)
        except RetryAfter as error:
            return Fate(NoticeStatus.WAITING, "too many requests", seconds(error))
        except Forbidden as error:
            return Fate(NoticeStatus.REFUSED, str(error)[:_REASON])
        except BadRequest as error:
            gone = "chat not found" in str(error).lower()
            return Fate(NoticeStatus.REFUSED if gone else NoticeStatus.PARKED, str(error)[:_REASON])
        except (NetworkError, TelegramError) as error:
            return Fate(NoticeStatus.WAITING, str(error)[:_REASON], wait)
        return Fate(NoticeStatus.SENT)

    async def _mail(self, notice: Notice, customer: Customer | None, view: View) -> Fate:
        if self._mailer is None or customer is None or not customer.email:
            return Fate(NoticeStatus.REFUSED, "no mail server or no address")
        outcome = await self._mailer.send(letter(notice, customer.email, view))
        match outcome.fate:
            case mail.Fate.ACCEPTED:
                return Fate(NoticeStatus.SENT)
            case mail.Fate.LATER:
                return Fate(NoticeStatus.WAITING, outcome.reason, _WAITS[min(notice.attempts, len(_WAITS) - 1)])
            case mail.Fate.NEVER:
                return Fate(NoticeStatus.REFUSED, outcome.reason)

    async def _record(self, notice: Notice, fate: Fate) -> None:
        now = self._clock.now()
        async with self._database.transaction() as session:
            row = await session.get_one(Notice, notice.id)
            row.attempts += 1
            row.leased_until = None
            row.error = fate.error
            row.status = fate.status
            if fate.status is NoticeStatus.WAITING:
                row.send_at = now + timedelta(seconds=fate.after)
                if now - row.created_at > _GIVE_UP:
                    row.status = NoticeStatus.PARKED
            if row.status is not NoticeStatus.WAITING:
                row.ended_at = now
            if row.status is NoticeStatus.REFUSED and row.channel is Channel.CHAT:
                await _unreachable(session, row, now)
            if row.status is NoticeStatus.PARKED and row.kind != "notice_parked":
                await outbox.tell_house(
                    session, "notice_parked", {"notice": row.id, "kind": row.kind, "error": row.error}, now=now
                )

    async def _release(self, notices: Sequence[Notice]) -> None:
        if not notices:
            return
        async with self._database.transaction() as session:
            await session.execute(
                update(Notice).where(Notice.id.in_([notice.id for notice in notices])).values(leased_until=None)
            )


async def _unreachable(session: AsyncSession, notice: Notice, now: datetime) -> None:
    """Write down that the chat is closed to us, and fall back to mail where there is an address."""
    customer = await session.get(Customer, notice.customer_id) if notice.customer_id else None
    if customer is None or customer.telegram_id != notice.recipient:
        return
    customer.unreachable_at = customer.unreachable_at or now
    if customer.email:
        await outbox.by_mail_instead(session, notice)
