"""Who may boot now: a few guests at a time, among all processes of the product on this host."""

import asyncio
import os
from pathlib import Path

from cloud.drivers.files import try_lock


class Slot:
    """The right to boot one guest; lost by `release`, or with the process that holds it."""

    def __init__(self, descriptor: int) -> None:
        """Hold an open and locked file."""
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let the next one boot; once is enough, more do no harm."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Slots:
    """Hands out a fixed number of slots, first come first served within a process."""

    def __init__(self, directory: Path, count: int) -> None:
        """Use lock files in `directory`; a lock, unlike a counter, cannot be left behind by a crash."""
        self._paths = [directory / f".boot-{number}" for number in range(count)]
        self._turn = asyncio.Lock()

    def take_now(self) -> Slot | None:
        """Return a slot if one is free and nobody in this process waits for it."""
        return None if self._turn.locked() else self._take()

    async def take(self) -> Slot:
        """Return a slot as soon as one is free."""
        async with self._turn:
            while (slot := self._take()) is None:  # noqa: ASYNC110 -- another process has no event for us
                await asyncio.sleep(0.2)
            return slot

    def _take(self) -> Slot | None:
        for path in self._paths:
            descriptor = try_lock(path)
            if descriptor is not None:
                return Slot(descriptor)
        return None
