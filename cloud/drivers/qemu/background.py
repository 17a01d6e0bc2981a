"""Long blocking work that must not hold the program up when it ends."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial


def in_background(work: Callable[[], object]) -> asyncio.Future[None]:
    """Return what comes of blocking work in a thread of its own, which dies with the program half way through."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    future.add_done_callback(lambda done: done.cancelled() or done.exception())  # told, even if nobody waits for it

    def settle(error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def run() -> None:
        outcome: Exception | None = None
        try:
            work()
        except Exception as error:  # noqa: BLE001 it is handed on
            outcome = error
        with suppress(RuntimeError):  # the loop is closed: nobody wants to know
            loop.call_soon_threadsafe(partial(settle, outcome))

    threading.Thread(target=run, name="preparing", daemon=True).start()
    return future
