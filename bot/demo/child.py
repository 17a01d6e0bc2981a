"""The unchanged product as a child process: its log kept, and started again whenever it ends by itself."""

import asyncio
import contextlib
import logging
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path

_COMMAND = (sys.executable, "-m", "bot", "run")
_LOG_BYTES = 5_000_000
_LINE_BYTES = 1 << 20
_STOP_SECONDS = 12.0
_LAST_WORDS_SECONDS = 0.5
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
"""Before the next start of a product that ended by itself: twice as long each time."""
_TROUBLE = re.compile(r"\S+ (?:WARNING|ERROR|CRITICAL) (.+)")


class Child:
    """Runs the product until it is stopped."""

    def __init__(self, environment: Mapping[str, str], folder: Path, log: Path, say: Callable[[str], None]) -> None:
        """Take its environment, where it runs, the file of its log, and who is told of what goes wrong."""
        self._environment = dict(environment)
        self._folder = folder
        self._say = say
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = RotatingFileHandler(log, maxBytes=_LOG_BYTES, backupCount=1)
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._last_line = ""
        self.refusal = ""
        """Why it ended by itself last, in its own words; empty if it has not, or was killed."""

    async def run(self) -> None:
        """Start it, and again whenever it ends: at once if it was killed, later if it gave up; until `stop`."""
        pause_s = _PAUSE_S
        while not self._stopping:
            code = await self._once()
            if self._stopping:
                return
            self.refusal = self._last_line if code > 0 else ""
            self._say(f"The product ended ({_how(code)}) and is started again.")
            if code < 0:
                pause_s = _PAUSE_S
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def stop(self) -> None:
        """Have it finish what is in hand, and end it if that takes too long."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    async def _once(self) -> int:
        # In a session of its own: Ctrl-C is for the demo, which then stops the product in its order. But a demo
        # that is killed must not leave a product behind.
        guard = ("setpriv", "--pdeathsig", "TERM", "--") if shutil.which("setpriv") else ()
        # A pipe of our own: the product is over when its process is, whoever it left holding the other end.
        ours, theirs = os.pipe()
        following = asyncio.create_task(self._follow(ours))
        try:
            self._process = await asyncio.create_subprocess_exec(
                *guard,
                *_COMMAND,
                cwd=self._folder,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        code = await self._process.wait()
        await asyncio.wait([following], timeout=_LAST_WORDS_SECONDS)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        return code

    async def _follow(self, descriptor: int) -> None:
        output = asyncio.StreamReader(limit=_LINE_BYTES)
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), os.fdopen(descriptor, "rb", buffering=0)
        )
        try:
            while line := await output.readline():
                self._heard(line.decode(errors="replace").rstrip())
        finally:
            pipe.close()

    def _heard(self, line: str) -> None:
        self._last_line = line
        self._log.emit(logging.LogRecord("product", logging.INFO, "", 0, line, None, None))
        if trouble := _TROUBLE.fullmatch(line):
            self._say(f"product: {trouble[1]}")


def environment(settings: Mapping[str, str], known: frozenset[str]) -> dict[str, str]:
    """The environment of the product: ours without any of its settings, and then those given.

    Args:
        settings: the settings of this product.
        known: the names of all settings; one of another installation must not get in here.
    """
    ours = {name: value for name, value in os.environ.items() if name.upper() not in known}
    root = str(Path(__file__).resolve().parents[2])
    return {**ours, "PYTHONPATH": os.pathsep.join(filter(None, (root, ours.get("PYTHONPATH")))), **settings}


def _how(code: int) -> str:
    if code < 0:
        return f"by {signal.Signals(-code).name}"
    return f"with exit code {code}"
