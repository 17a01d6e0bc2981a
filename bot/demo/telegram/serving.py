"""An application on a free port of this machine, inside the running loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import uvicorn
from starlette.types import ASGIApp


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the program that this is part of."""
        yield


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, *, port: int = 0, before_stop: Callable[[], None] | None = None) -> AsyncIterator[str]:
    """Serve while the context lasts; gives the address, `http://127.0.0.1:PORT`.

    Args:
        app: what to serve.
        port: where; 0 for a free one.
        before_stop: ends what would keep connections open, such as streams of events.
    """
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1)
    server = _Server(config)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        task = asyncio.get_running_loop().create_task(server.serve(sockets=[listening]))
        try:
            while not server.started:
                if task.done():
                    task.result()
                await asyncio.sleep(0.005)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            if before_stop:
                before_stop()
            server.should_exit = True
            await task
