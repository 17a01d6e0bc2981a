"""Work in the process beside."""

import os
import signal

import pytest

from bot.apart import apart, close


async def test_it_is_another_process_and_stays_for_the_next_call() -> None:
    try:
        first = await apart(os.getpid)
        assert first != os.getpid()
        assert await apart(os.getpid) == first
    finally:
        close()


async def test_errors_come_back() -> None:
    try:
        with pytest.raises(ValueError, match="invalid literal"):
            await apart(int, "x")
    finally:
        close()


async def test_one_that_died_is_made_anew() -> None:
    try:
        os.kill(await apart(os.getpid), signal.SIGKILL)
        assert await apart(abs, -1) == 1
    finally:
        close()
