"""SQLite without a thread for each connection: what a simulation of years spends most of its time on.

The statements, the library and the database are the same; only the hand-over to another thread and back is left out.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import aiosqlite.core


class _AtOnce:
    """Stands where the queue to the thread was: what is put in is done."""

    def put_nowait(self, item: tuple[asyncio.Future[object] | None, Callable[[], object]]) -> None:
        """Do it, and say how it went."""
        future, function = item
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 as the thread does: whoever waits gets it
            if future is not None:
                future.set_exception(error)
        else:
            if future is not None:
                future.set_result(result)


class _NoThread:
    """A thread that is never needed."""

    def __init__(self, **_: object) -> None:
        """Take what a thread takes."""
        self.daemon = True

    def start(self) -> None:
        """Do nothing."""


@contextmanager
def without_threads() -> Iterator[None]:
    """Have connections that are opened inside do their work where they are asked."""
    with (
        patch.object(aiosqlite.core, "SimpleQueue", _AtOnce),
        patch.object(aiosqlite.core, "Thread", _NoThread),
    ):
        yield
