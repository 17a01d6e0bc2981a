"""The probe tells our machine from another and from silence, in bounded time."""

import asyncio
from collections.abc import AsyncIterator

import asyncssh
import pytest

from cloud.ssh_keys import generate_host_key
from cloud.ssh_probe import Answer, probe_host_key

OURS, OTHER = generate_host_key(), generate_host_key()


@pytest.fixture
async def ssh_port() -> AsyncIterator[int]:
    key = asyncssh.import_private_key(OURS.private)
    server = await asyncssh.listen("127.0.0.1", 0, server_host_keys=[key])
    yield server.get_port()
    server.close()
    await server.wait_closed()


async def test_knows_our_key(ssh_port: int) -> None:
    assert await probe_host_key("127.0.0.1", ssh_port, OURS.public) is Answer.OUR_KEY


async def test_another_key_is_told_apart(ssh_port: int) -> None:
    assert await probe_host_key("127.0.0.1", ssh_port, OTHER.public) is Answer.OTHER_KEY


async def test_a_key_of_another_type_is_another_key() -> None:
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[asyncssh.generate_private_key("ecdsa-sha2-nistp256")]
    )
    assert await probe_host_key("127.0.0.1", server.get_port(), OURS.public) is Answer.OTHER_KEY
    server.close()
    await server.wait_closed()


async def test_nothing_there_is_silence(unused_tcp_port: int) -> None:
    assert await probe_host_key("127.0.0.1", unused_tcp_port, OURS.public) is Answer.SILENT


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 4096])
async def test_what_speaks_no_ssh_is_silence_soon(greeting: bytes) -> None:
    """A forwarded port accepts before the guest is up and then says nothing."""
    leave = asyncio.Event()

    async def stand_in(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await leave.wait()
        writer.close()

    server = await asyncio.start_server(stand_in, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(5):
        assert await probe_host_key("127.0.0.1", port, OURS.public, seconds=0.3) is Answer.SILENT
    leave.set()
    server.close()
