"""Waiting for the next change, without missing one."""

import asyncio


class Bell:
    """Each who waits has an event of their own, so that nobody can take the ringing away from another."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()

    def ring(self) -> None:
        """Wake everybody who waits now."""
        for waiting in self._waiting:
            waiting.set()

    async def wait(self, timeout_s: float | None) -> bool:
        """Whether it rang within the time, without end for none."""
        waiting = asyncio.Event()
        self._waiting.add(waiting)
        try:
            async with asyncio.timeout(timeout_s):
                await waiting.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(waiting)
        return True
