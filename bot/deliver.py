"""Drains the outbox to chat and mail: at least once, in order per chat, at the pace that is allowed (rules.md 11).

A notice is taken by a lease and committed, sent outside any transaction, and written down as sent. What dies in
between is sent again when the lease is over: once more at most.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from telegram.error import BadRequest, Forbidden, RetryAfter, TelegramError
from telegram.ext import ExtBot

from billing import leases
from billing.clock import Clock
from billing.db import Database
from billing.models import Channel, Customer, Notice, NoticeStatus
from bot import mail, outgoing
from bot.letters import letter
from bot.mail import Mailer
from bot.outgoing import Fate
from bot.pace import BACKGROUND, seconds
from bot.view import View, send

log = logging.getLogger(__name__)

_AT_ONCE: Mapping[Channel, int] = MappingProxyType({Channel.CHAT: 60, Channel.MAIL: 8})
"""Notices in hand: two seconds of Telegram's pace, and what a mail server bears from one client."""
_PATIENCE = 0.5
"""Seconds that a step waits for slow ones; they go on while the next step takes others."""
_FINISH = 3.0
"""Seconds that what is in hand may take when we stop."""
_WAITS = (5, 15, 60, 300, 900, 3600)
"""Seconds between tries; the last one again and again."""
_REASON = 200
_GONE = ("chat not found", "peer_id_invalid", "user not found")
"""What Telegram says of somebody who cannot be written to, as of a mistake in our request."""

Told = Callable[[Notice, View, int], Awaitable[None]]
"""Is told of each notice that stands in a chat, with its screen and message id."""
Write = Callable[[Notice, Customer | None], Awaitable[View | None]]
"""Makes the words of a notice; `None` when the fact no longer holds and nothing needs to be said."""


class Deliverer:
    """Takes waiting notices and delivers them; any number of these may work at once."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        bot: ExtBot[Any],
        mailer: Mailer | None,
        write: Write,
        administrators: Iterable[int],
        told: Told | None = None,
    ) -> None:
        """Take where notices lie, how they go out, who the first administrators are, and who asks to be told."""
        self._database = database
        self._clock = clock
        self._bot = bot
        self._mailer = mailer
        self._write = write
        self._administrators = frozenset(administrators)
        self._told = told
        self._owner = leases.new_owner()
        self._in_hand: dict[int, tuple[Channel, asyncio.Task[None]]] = {}
        self._held_until = 0.0
        self._begun = False

    async def step(self) -> bool:
        """Take what is due and wait a moment for it; return whether there may be more to do now."""
        await self._begin()
        taken = await self._take()
        for notice in taken:
            self._in_hand[notice.id] = notice.channel, asyncio.create_task(self._deliver(notice))
        if not self._in_hand:
            return False
        done, _ = await asyncio.wait([task for _, task in self._in_hand.values()], timeout=_PATIENCE)
        self._in_hand = {key: (channel, task) for key, (channel, task) in self._in_hand.items() if task not in done}
        for task in done:
            task.result()
        return True

    async def drain(self) -> None:
        """Send everything that is due, then close; what has to be tried again later stays."""
        more = True
        while more:
            more = await self.step()
            if self._held:
                await asyncio.sleep(self._held_until - asyncio.get_running_loop().time())
                more = True
        await self.close()

    async def close(self) -> None:
        """Let what is in hand end, within reason, and give back the rest."""
        tasks = [task for _, task in self._in_hand.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_FINISH)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._in_hand.clear()
        async with self._database.transaction() as session:
            await outgoing.give_back(session, self._owner)

    async def _begin(self) -> None:
        """Send at once what a process of this machine that is gone had in hand: no need to wait for its leases."""
        if not self._begun:
            async with self._database.transaction() as session:
                await outgoing.free_the_dead(session)
            self._begun = True

    async def _take(self) -> list[Notice]:
        now = self._clock.now()
        async with self._database.read() as session:
            if not await outgoing.is_anything_due(session, now=now):
                return []
        taken: list[Notice] = []
        async with self._database.transaction() as session:
            await outgoing.address(session, self._administrators, now=now)
            for channel, most in _AT_ONCE.items():
                in_hand = [key for key, (of, _) in self._in_hand.items() if of is channel]
                if channel is Channel.CHAT and self._held:
                    continue
                taken += await outgoing.take(
                    session, channel, self._owner, now=now, besides=in_hand, limit=most - len(in_hand)
                )
        return taken

    @property
    def _held(self) -> bool:
        """Whether Telegram has asked everybody to wait."""
        return asyncio.get_running_loop().time() < self._held_until

    async def _deliver(self, notice: Notice) -> None:
        fate = await self._try(notice)
        async with self._database.transaction() as session:
            await outgoing.record(session, notice.id, self._owner, fate, now=self._clock.now())

    async def _try(self, notice: Notice) -> Fate:
        try:
            async with self._database.read() as session:
                customer = await session.get(Customer, notice.customer_id) if notice.customer_id else None
            view = await self._write(notice, customer)
        except Exception as error:
            log.exception("notice %s (%s) cannot be worded", notice.id, notice.kind)
            return Fate(NoticeStatus.PARKED, f"{type(error).__name__}: {error}"[:_REASON])
        if view is None:
            return Fate(NoticeStatus.MOOT)
        if notice.channel is Channel.MAIL:
            return await self._mail(notice, customer, view)
        return await self._chat(notice, view)

    async def _chat(self, notice: Notice, view: View) -> Fate:
        try:
            message = await send(self._bot, notice.recipient or 0, view, pace=BACKGROUND)
        except RetryAfter as error:
            # Whoever it was about, the others wait too: sending on is what makes Telegram ask for longer.
            wait = seconds(error)
            self._held_until = max(self._held_until, asyncio.get_running_loop().time() + wait)
            return Fate(NoticeStatus.WAITING, "too many requests", wait, counts=False)
        except Forbidden as error:
            return Fate(NoticeStatus.REFUSED, str(error)[:_REASON])
        except BadRequest as error:
            gone = any(words in str(error).lower() for words in _GONE)
            return Fate(NoticeStatus.REFUSED if gone else NoticeStatus.PARKED, str(error)[:_REASON])
        except TelegramError as error:
            return Fate(NoticeStatus.WAITING, str(error)[:_REASON], _wait(notice))
        await self._tell(notice, view, message.message_id)
        return Fate(NoticeStatus.SENT)

    async def _tell(self, notice: Notice, view: View, message_id: int) -> None:
        if self._told is not None:
            try:
                await self._told(notice, view, message_id)
            except Exception:
                log.exception("after notice %s (%s)", notice.id, notice.kind)

    async def _mail(self, notice: Notice, customer: Customer | None, view: View) -> Fate:
        if self._mailer is None or customer is None or not customer.email:
            return Fate(NoticeStatus.REFUSED, "no mail server or no address")
        outcome = await self._mailer.send(letter(notice, customer.email, view))
        match outcome.fate:
            case mail.Fate.ACCEPTED:
                return Fate(NoticeStatus.SENT)
            case mail.Fate.LATER:
                return Fate(NoticeStatus.WAITING, outcome.reason, _wait(notice))
            case mail.Fate.NEVER:
                return Fate(NoticeStatus.REFUSED, outcome.reason)


def _wait(notice: Notice) -> float:
    return _WAITS[min(notice.attempts, len(_WAITS) - 1)]
