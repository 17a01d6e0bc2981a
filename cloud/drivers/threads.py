"""Libraries that block, called from asyncio: in a few threads, each with a client of its own."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

from cloud.drivers.base import DriverError

T = TypeVar("T")
ClientT = TypeVar("ClientT")

Explain = Callable[[Exception], DriverError | None]
"""What an error of the library means; `None`: a mistake of ours, which is raised as it is."""

_AT_ONCE = 8


class Threads(Generic[ClientT]):
    """Calls of one cloud's library.

    A call that is cancelled goes on in its thread until the library's own time-out; the bound counts it until then.
    """

    def __init__(self, connect: Callable[[], ClientT], explain: Explain, *, at_once: int = _AT_ONCE) -> None:
        """Take how a client is made and what errors mean; nothing is called yet.

        Args:
            connect: makes a client; each thread has its own, since few libraries say that they may be shared. Every
                request of the client must have a time-out.
            explain: turns errors of the library into those of the protocol.
            at_once: how many calls may be under way.
        """
        self._connect = connect
        self._explain = explain
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="cloud")
        self._mine = threading.local()
        self._flights: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, work: Callable[[ClientT], T]) -> T:
        """Do `work` with a client in a thread.

        Raises:
            DriverError: what an error of the library means.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, work)
        except DriverError:
            raise
        except Exception as error:
            meant = self._explain(error)
            if meant is None:
                raise
            raise meant from error

    def alone(self, name: str) -> asyncio.Lock:
        """Return the lock of a machine's name: one flight per name."""
        lock = self._flights.get(name)
        if lock is None:
            lock = self._flights[name] = asyncio.Lock()
        return lock

    def close(self) -> None:
        """Begin no further call; those under way end by their time-outs."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Callable[[ClientT], T]) -> T:
        mine: Any = self._mine
        if not hasattr(mine, "client"):
            mine.client = self._connect()
        client: ClientT = mine.client
        return work(client)
