"""What tests stand on: nobody reaches the network, and the clock stands still."""

import asyncio
import socket
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from billing.clock import ManualClock
from tests.conftest import OutsideConnection


def connect(address: tuple[str, int], family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> None:
    with socket.socket(family, kind) as opened:
        opened.settimeout(0.01)
        opened.connect(address)


@pytest.mark.parametrize(
    "reach",
    [
        lambda: connect(("192.0.2.1", 80)),
        lambda: connect(("2001:db8::1", 80), socket.AF_INET6),
        lambda: connect(("10.0.0.1", 53), kind=socket.SOCK_DGRAM),
        lambda: socket.getaddrinfo("example.com", 443),
        lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", ("192.0.2.1", 53)),
        lambda: httpx.get("https://api.telegram.org"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_network_is_out_of_reach(reach: Callable[[], object]) -> None:
    with pytest.raises(OutsideConnection, match="tests talk to loopback only"):
        reach()


async def test_the_network_is_out_of_reach_of_the_loop() -> None:
    with pytest.raises(OutsideConnection):
        await asyncio.open_connection("example.com", 443)
    with pytest.raises(OutsideConnection):
        await asyncio.open_connection("192.0.2.1", 443)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.1.7"])
async def test_loopback_is_in_reach(host: str) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), host, 0, family=socket.AF_INET)
    reader, writer = await asyncio.open_connection(host, server.sockets[0].getsockname()[1])
    assert await reader.read() == b""
    writer.close()
    server.close()
    await server.wait_closed()


def test_the_clock_stands_still(clock: ManualClock) -> None:
    assert clock.now() == clock.now() == datetime(2026, 1, 10, 12, tzinfo=UTC)
