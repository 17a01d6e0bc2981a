"""Work that would fill this process with memory or hold it up, done in a process beside it.

Typesetting holds some 30 MB of fonts and caches for good. The process beside is started when it is needed, serves one
call after the other, is made anew after some hundred calls, and ends when nobody has called for a while.
"""

import asyncio
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import ParamSpec, TypeVar

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_IDLE_SECONDS = 60.0
_CALLS = 500
"""After so many a fresh process takes over: whatever a library keeps is given back."""

_pool: ProcessPoolExecutor | None = None
_closing: asyncio.TimerHandle | None = None
_calls = 0


async def apart(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a module's function returns, called in the process beside; arguments and result are copied.

    Whatever the function raises is raised here. A process that died in between is made anew once.
    """
    if kwargs:
        raise TypeError("arguments by position only")
    loop = asyncio.get_running_loop()
    for last in (False, True):
        try:
            return await loop.run_in_executor(_open(loop), function, *args)
        except BrokenProcessPool:
            close()
            if last:
                raise
            log.warning("the process beside died; once more with a new one")
    raise AssertionError("the loop returns or raises")


def close() -> None:
    """End the process beside; the next call makes a new one. Calls in hand are finished."""
    global _pool, _closing, _calls
    if _closing is not None:
        _closing.cancel()
    if _pool is not None:
        _pool.shutdown(wait=False)
    _pool, _closing, _calls = None, None, 0


def _open(loop: asyncio.AbstractEventLoop) -> ProcessPoolExecutor:
    global _pool, _closing, _calls  # noqa: PLW0603 see above
    if _calls >= _CALLS:
        close()
    if _pool is None:
        # A spawned process holds nothing of ours; a forked one would hold all of it.
        context = multiprocessing.get_context("spawn")
        _pool = ProcessPoolExecutor(1, mp_context=context, initializer=_end_with_parent)
    _calls += 1
    if _closing is not None:
        _closing.cancel()
    _closing = loop.call_later(_IDLE_SECONDS, close)
    return _pool


def _end_with_parent() -> None:
    """Have the process beside end when the one that made it does, even by kill -9: it waits for calls for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: BaseProcess) -> None:
    parent.join()
    os._exit(0)
