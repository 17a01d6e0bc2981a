"""The queue of updates between the people and the bot, whichever way the bot takes them."""

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

from bot.demo.telegram.bell import Bell
from bot.demo.telegram.keep import Keep
from bot.demo.telegram.wire import Json, conflict

FIRST_UPDATE = 710_000_001
UNASKED = {"chat_member", "message_reaction", "message_reaction_count"}
"""Kinds that come only to a bot that names them."""
_BY_WEBHOOK = "terminated by setWebhook request"
_BY_POLL = "terminated by other getUpdates request; make sure that only one bot instance is running"


@dataclass
class Pending:
    """An update that the bot has not taken."""

    update: Json
    key: int
    """Updates of one key (a chat) are delivered in order."""
    attempts: int = 0
    ready_at: float = 0.0
    again: int = 0
    """How often a fault wants it delivered once more after it was taken."""


@dataclass
class Hook:
    """What setWebhook set."""

    url: str
    secret_token: str = ""
    max_connections: int = 40
    last_error: Json = field(default_factory=dict)


class Updates:
    """Pending updates in order; kept across restarts together with the last number given."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self.hook: Hook | None = None
        self.allowed: list[str] = keep.one("setting", "allowed_updates") or []
        self.pending: dict[int, Pending] = {}
        """By update number, oldest first."""
        self.duplicates = 0
        """How many of the next updates are delivered twice."""
        self.changed = Bell()
        self.closed = False
        self._last: int = keep.one("setting", "last_update") or FIRST_UPDATE - 1
        self._poller: asyncio.Future[str] | None = None
        for number, kept in sorted(keep.all("update"), key=lambda row: int(row[0])):
            self.pending[int(number)] = Pending(kept["update"], kept["key"])
        if hook := keep.one("setting", "webhook"):
            self.hook = Hook(**hook)

    def wants(self, kind: str) -> bool:
        """Whether the bot asked for updates of the kind."""
        return kind in self.allowed if self.allowed else kind not in UNASKED

    def push(self, kind: str, body: Json, key: int) -> None:
        """Queue an update for the bot, unless it did not ask for its kind."""
        if not self.wants(kind):
            return
        self._last += 1
        self._keep.put("setting", "last_update", self._last)
        item = Pending({"update_id": self._last, kind: body}, key)
        if self.duplicates:
            self.duplicates -= 1
            item.again = 1
        self.pending[self._last] = item
        self._keep.put("update", self._last, {"update": item.update, "key": key})
        self.changed.ring()

    def taken(self, item: Pending) -> None:
        """The bot has it: forget it, or deliver it once more where a fault says so."""
        if item.again:
            item.again -= 1
        elif self.pending.pop(item.update["update_id"], None):
            self._keep.drop("update", item.update["update_id"])
        self.changed.ring()

    def drop_all(self) -> None:
        """Forget every pending update."""
        for item in list(self.pending.values()):
            item.again = 0
            self.taken(item)

    def allow(self, kinds: list[Any] | None) -> None:
        """Remember the kinds asked for; nothing keeps what was asked for before."""
        if kinds is not None:
            self.allowed = [str(kind) for kind in kinds]
            self._keep.put("setting", "allowed_updates", self.allowed)

    def set_hook(self, hook: Hook | None) -> None:
        """Deliver to a webhook from now on, or no longer; ends a poll under way."""
        self.hook = hook
        if hook is None:
            self._keep.drop("setting", "webhook")
        else:
            fields = {name: value for name, value in vars(hook).items() if name != "last_error"}
            self._keep.put("setting", "webhook", fields)
            self._end_poll(_BY_WEBHOOK)
        self.changed.ring()

    async def poll(self, offset: int, limit: int, timeout_s: float) -> list[Json]:
        """Confirm everything before `offset` and return what is pending, waiting for the first.

        409 when a webhook is set, and for the older of two polls at the same time.
        """
        self._check_no_hook()
        self._end_poll(_BY_POLL)
        self._confirm(offset)
        poller = self._poller = asyncio.get_running_loop().create_future()
        try:
            if not self.pending and timeout_s and not self.closed:
                await self._first(poller, timeout_s)
        finally:
            if self._poller is poller:
                self._poller = None
        if poller.done():
            raise conflict(poller.result())
        return [item.update for item in itertools.islice(self.pending.values(), limit)]

    def close(self) -> None:
        """End a poll under way as if its time were over."""
        self.closed = True
        self.changed.ring()

    def _check_no_hook(self) -> None:
        if self.hook:
            raise conflict(
                "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            )

    def _end_poll(self, words: str) -> None:
        if self._poller and not self._poller.done():
            self._poller.set_result(words)
            self.changed.ring()

    def _confirm(self, offset: int) -> None:
        gone = list(self.pending.values())
        if offset < 0:
            gone = gone[:offset]
        else:
            gone = list(itertools.takewhile(lambda item: item.update["update_id"] < offset, gone))
        for item in gone:
            self.taken(item)

    async def _first(self, poller: "asyncio.Future[str]", timeout_s: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not self.pending and not poller.done() and not self.closed:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return
            await self.changed.wait(left)
