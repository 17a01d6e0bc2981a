"""The web server inside the bot's own loop."""

import contextlib
import socket
from collections.abc import Generator

import uvicorn
from starlette.applications import Starlette

from bot.setting_types import Address
from bot.settings import CannotStart

_GRACE_SECONDS = 3
"""How long a request in hand may take when we stop."""
_CONNECTIONS = 500
"""At the same time; more are answered 503. Telegram and Stripe use a hundred or so, and each is an open file, of which
a process often has 1024."""


class CannotListen(CannotStart):
    """The address is in use, or not this machine's."""

    def __init__(self, address: Address, reason: str) -> None:
        """Name the setting and the address."""
        super().__init__(f"LISTEN: cannot listen on {address.host}:{address.port}: {reason}")


class WebServer(uvicorn.Server):
    """Serves until it is told to stop; leaves signals to the program around it."""

    def __init__(self, app: Starlette, address: Address) -> None:
        """Take the application and where it listens; the port is taken at once.

        Raises:
            CannotListen: somebody else has it.
        """
        try:
            self._socket = socket.create_server(address, reuse_port=False, backlog=1024)
        except OSError as error:
            raise CannotListen(address, error.strerror or str(error)) from None
        super().__init__(
            uvicorn.Config(
                app,
                access_log=False,
                log_config=None,
                lifespan="off",
                server_header=False,
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none: the program finishes more than requests when it is stopped."""
        yield

    async def run_until_stopped(self) -> None:
        """Serve until `stop`."""
        await self.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Finish what is in hand and stop."""
        self.should_exit = True
