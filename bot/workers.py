"""Loops that do what is waiting: at once when they are told that there is work, else every few seconds."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bot import logs

log = logging.getLogger(__name__)

_PAUSE_AFTER_ERROR = 2.0


class Worker:
    """Calls a step again and again; the step does a bounded piece of work and says whether there may be more."""

    def __init__(self, name: str, step: Callable[[], Awaitable[bool]], *, every: float) -> None:
        """Take a name for the log, the step, and the seconds between looks when nothing calls."""
        self.name = name
        self._step = step
        self._every = every
        self._called = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """Look now."""
        self._called.set()

    def stop(self) -> None:
        """End `run` after the step in hand."""
        self._stopping = True
        self._called.set()

    async def run(self) -> None:
        """Work until `stop`; an error is logged and the next look comes after a pause."""
        while not self._stopping:
            self._called.clear()
            try:
                with logs.about(f"worker:{self.name}"):
                    more = await self._step()
            except Exception:
                log.exception("worker %s", self.name)
                await asyncio.sleep(_PAUSE_AFTER_ERROR)
                continue
            if not more and not self._stopping:
                try:
                    await asyncio.wait_for(self._called.wait(), self._every)
                except TimeoutError:
                    continue


async def finish(running: list[asyncio.Task[None]], seconds: float) -> None:
    """Let workers end their step; what takes longer is given up, and found again at the next start."""
    _, late = await asyncio.wait(running, timeout=seconds)
    for task in late:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
