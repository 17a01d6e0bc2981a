"""What changed, told at once to pages that listen and to tests that wait."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable

from bot.demo.telegram.bell import Bell
from bot.demo.telegram.wire import Json

_REMEMBERED = 1000
_POLL_S = 15.0


class Events:
    """A growing revision number, the last events, and everybody who waits for the next."""

    def __init__(self) -> None:
        self.revision = 0
        self.closed = False
        self._last: deque[Json] = deque(maxlen=_REMEMBERED)
        self._anything = Bell()
        self._chats: defaultdict[object, Bell] = defaultdict(Bell)

    def publish(self, kind: str, **fields: object) -> int:
        """Tell an event; returns its revision, larger than all before."""
        self.revision += 1
        self._last.append({"revision": self.revision, "type": kind, **fields})
        self._anything.ring()
        if "chat_id" in fields:
            self._chats[fields["chat_id"]].ring()
        return self.revision

    def since(self, revision: int) -> list[Json] | None:
        """Events after a revision, oldest first; nothing if some of them are forgotten."""
        if revision > self.revision or (self._last and revision < self._last[0]["revision"] - 1):
            return None
        return [event for event in self._last if event["revision"] > revision]

    async def until(self, found: Callable[[], object], timeout_s: float, chat_id: int | None = None) -> bool:
        """Whether `found()` became true within the time; asked after each change, or each of one chat."""
        bell = self._anything if chat_id is None else self._chats[chat_id]
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not found():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0 or self.closed:
                return False
            await bell.wait(left)
        return True

    async def stream(self, revision: int) -> AsyncIterator[Json]:
        """Events after a revision for as long as the server runs; `reset` where some are forgotten.

        A `quiet` event comes every 15 s without another, so that a dead connection is noticed.
        """
        while not self.closed:
            events = self.since(revision)
            if events is None:
                events = [{"revision": self.revision, "type": "reset"}]
            for event in events:
                revision = event["revision"]
                yield event
            if not events and not await self._anything.wait(_POLL_S):
                yield {"revision": revision, "type": "quiet"}

    def close(self) -> None:
        """End every stream and every wait."""
        self.closed = True
        for bell in (self._anything, *self._chats.values()):
            bell.ring()
