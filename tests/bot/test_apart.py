"""Work in the process beside."""

import asyncio
import os
import signal
import sys
from pathlib import Path

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


ROOT = str(Path(__file__).resolve().parents[2])
PARENT = """
import asyncio, os, time
from bot.apart import apart

async def main():
    print(await apart(os.getpid), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_it_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": ROOT}
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert parent.stdout
    beside = int(await parent.stdout.readline())
    assert is_alive(beside)
    parent.kill()
    async with asyncio.timeout(30):
        while is_alive(beside):  # noqa: ASYNC110 another process has no event for us
            await asyncio.sleep(0.05)
    await parent.communicate()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended may wait for somebody to take note."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
