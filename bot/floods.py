"""Updates of people who send faster than they are answered, for long: dropped before they are stored.

Whoever waits for answers is never stopped. Whoever floods is told once to slow down, and is not answered again until
they have been quiet for a while; a tap gets a word, or its button would spin. Nothing that tells of money is dropped.
What is left keeps its order.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from telegram import Bot
from telegram.constants import ChatType, ParseMode
from telegram.error import TelegramError

from billing.db import Database
from billing.models import Customer
from bot import i18n
from bot.buckets import MOST, Allowance, Buckets
from bot.process_metrics import DROPPED
from bot.views import problems

log = logging.getLogger(__name__)

PERSON = Allowance(300, 10)
"""Updates of one person that pass whether the earlier ones are answered or not: no person types or taps so fast."""
UNANSWERED = 20
"""So many of their updates have to wait, besides, before any is dropped: more of them would only wait longer."""
QUIET_SECONDS = 10.0
"""So long somebody who was told to slow down has to be quiet."""
ANSWERS_AT_ONCE = 16
"""Words to people who flood that are under way at the same time; more are not said: others wait for Telegram, too."""
_MONEY = ("successful_payment", "refunded_payment")


class Intake(Protocol):
    """Who takes updates as they came from Telegram."""

    async def add(self, payloads: Sequence[dict[str, Any]], bot: Bot) -> None:
        """Take updates; returns when they are safe."""


class Store(Intake, Protocol):
    """Who keeps updates until they are answered."""

    def waiting(self, lane: int) -> int:
        """Return how many of a chat are in hand here."""


@dataclass(frozen=True, slots=True)
class _From:
    """Whose update it is, and where it can be answered: in a chat, or on the button with this query."""

    person: int
    chat: int | None = None
    query: str | None = None


class Gate:
    """Passes updates on to the store, but for those of a flood."""

    def __init__(self, store: Store, database: Database, now: Callable[[], float] = time.monotonic) -> None:
        """Take who stores updates, where people's languages are read, and a clock that never goes back."""
        self.buckets: Buckets[int] = Buckets(PERSON, now)
        self._store = store
        self._database = database
        self._now = now
        self._loud: OrderedDict[int, float] = OrderedDict()
        """When those who were told to slow down were last heard."""
        self._answering: set[asyncio.Task[None]] = set()

    async def add(self, payloads: Sequence[dict[str, Any]], bot: Bot) -> None:
        """Store what is not dropped; returns when it is safe."""
        counted = [(payload, _origin(payload)) for payload in payloads]
        taken = [(payload, origin) for payload, origin in counted if origin is None or self._admits(origin, bot)]
        try:
            if taken:
                await self._store.add([payload for payload, _ in taken], bot)
        except BaseException:
            # It comes again, and is the same message then.
            for _, origin in taken:
                if origin is not None:
                    self.buckets.spend(origin.person, -1)
            raise

    async def close(self) -> None:
        """Say nothing more."""
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)

    def _admits(self, origin: _From, bot: Bot) -> bool:
        now, heard = self._now(), self._loud.pop(origin.person, None)
        told = heard is not None and now - heard < QUIET_SECONDS
        if not told and (
            not self.buckets.wait(origin.person) or self._store.waiting(origin.chat or origin.person) < UNANSWERED
        ):
            self.buckets.spend(origin.person)
            return True
        self._loud[origin.person] = now
        if len(self._loud) > MOST:
            self._loud.popitem(last=False)
        DROPPED.inc()
        if origin.query is not None:
            self._say(_answer_tap(self._database, bot, origin.person, origin.query))
        elif origin.chat is not None and not told:
            log.warning("person %s floods: what they send is dropped until they are quiet", origin.person)
            self._say(_answer_chat(self._database, bot, origin.person, origin.chat))
        return False

    def _say(self, answer: Coroutine[Any, Any, None]) -> None:
        if len(self._answering) >= ANSWERS_AT_ONCE:
            answer.close()
            return
        task = asyncio.create_task(answer)
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)


async def _answer_tap(database: Database, bot: Bot, person: int, query: str) -> None:
    try:
        with i18n.speaking(await _language(database, person)):
            await bot.answer_callback_query(query, problems.slow_down().toast)
    except (TelegramError, SQLAlchemyError, OSError) as error:
        log.info("a tap of a flood is not answered: %s", error)


async def _answer_chat(database: Database, bot: Bot, person: int, chat: int) -> None:
    try:
        with i18n.speaking(await _language(database, person)):
            await bot.send_message(chat, problems.slow_down().text, parse_mode=ParseMode.HTML)
    except (TelegramError, SQLAlchemyError, OSError) as error:
        log.info("person %s is not told to slow down: %s", person, error)


async def _language(database: Database, person: int) -> str | None:
    async with database.read() as session:
        return await session.scalar(select(Customer.language).where(Customer.telegram_id == person))


def _origin(payload: dict[str, Any]) -> _From | None:
    """Return whose update it is; none where that is not told, or where it tells of money."""
    for kind in ("message", "callback_query", "my_chat_member"):
        found = payload.get(kind)
        if not isinstance(found, dict) or any(name in found for name in _MONEY):
            continue
        person = _id(found.get("from"))
        if person is None:
            continue
        query = found.get("id") if kind == "callback_query" else None
        chat = found.get("chat") if kind == "message" else None
        private = isinstance(chat, dict) and chat.get("type") == ChatType.PRIVATE
        return _From(person, _id(chat) if private else None, query if isinstance(query, str) else None)
    return None


def _id(thing: object) -> int | None:
    found = thing.get("id") if isinstance(thing, dict) else None
    return found if isinstance(found, int) else None
