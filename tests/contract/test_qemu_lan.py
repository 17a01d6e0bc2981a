"""Private networks in real guests: the machines of a cluster see each other there, and nobody else does."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cloud.drivers.qemu import lan
from cloud.drivers.qemu.network import ssh_banner
from tests.contract.drivers import Cloud, create, own_addresses, seen_running, spec, ssh

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.slow,
    pytest.mark.xdist_group("qemu"),
    pytest.mark.skipif(not lan.available(), reason="this process may not make networks on this host"),
]


def bridge_file(directory: Path, network: str, *names: str) -> Path:
    """Where the kernel tells of a network's bridge."""
    return Path("/sys/class/net", lan.bridge_of(directory / "cloud" / "machines", network), *names)


def bridges(directory: Path, *networks: str) -> list[bool]:
    """Whether each network has its bridge on this host."""
    return [bridge_file(directory, network).exists() for network in networks]


@contextmanager
def mailbox(address: str) -> Iterator[tuple[socket.socket, int]]:
    """A service of this host that takes datagrams, and its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind((address, 0))
        service.setblocking(False)
        yield service, service.getsockname()[1]


def pending(service: socket.socket) -> bytes:
    """What has come, if anything."""
    try:
        return service.recv(100)
    except BlockingIOError:
        return b""


async def greeted(host: str, port: int) -> None:
    """Wait until an SSH server greets at a port."""
    async with asyncio.timeout(60):
        while not await ssh_banner(host, port, seconds=5):  # noqa: ASYNC110 -- it tells nobody when it is up
            await asyncio.sleep(0.5)


async def test_nodes_see_each_other_and_nobody_else_sees_them(qemu: Cloud, tmp_path: Path) -> None:
    """Two machines of one customer, and one of another's; nothing is left when they are deleted."""
    networks = {"a-1": "k8s-1", "a-2": "k8s-1", "b-1": "k8s-2"}
    specs = {
        name: replace(spec(name, hostname=name, public=name == "a-1"), network=network, ports=(6443,))
        for name, network in networks.items()
    }
    for wanted in specs.values():
        await create(qemu.driver, wanted)
    seen = {name: await seen_running(qemu.driver, name) for name in specs}
    assert [seen[name].private_ip for name in specs] == ["10.64.0.2", "10.64.0.3", "10.64.0.2"]
    assert bridges(tmp_path, "k8s-1", "k8s-2") == [True, True]

    async def reaches(who: str, address: str) -> bool:
        return "64 bytes" in await ssh(qemu.driver, specs[who], f"sudo ping -c 3 -w 8 {address}")

    assert await reaches("a-1", "10.64.0.3")
    assert await reaches("a-2", "10.64.0.2")
    assert not await reaches("b-1", "10.64.0.3"), "another customer's, though of the same numbers"

    # The host takes nothing that comes from there, even for an address that it has.
    mac = await asyncio.to_thread(bridge_file(tmp_path, "k8s-2", "address").read_text)
    for own in own_addresses():
        with mailbox(own) as (service, port):
            way = f"sudo route add -host {own} dev eth1; sudo arp -i eth1 -s {own} {mac.strip()}"
            said = await ssh(qemu.driver, specs["b-1"], f"{way}; echo hello | nc -u -w 1 {own} {port}; ip route")
            assert f"{own} dev eth1" in said
            assert pending(service) == b""

    # What must be reached from outside is: at an address of its own as it is, else at another port.
    for name in ("a-1", "a-2"):
        ((inside, outside),) = seen[name].ports
        assert inside == 6443
        assert (outside == 6443) is (name == "a-1")
        await ssh(qemu.driver, specs[name], "sudo /usr/sbin/dropbear -p 6443 -r /etc/dropbear/host_key")
        await greeted(seen[name].host, outside)

    # It outlives one of them, and comes back with it.
    await qemu.driver.power_off("a-1")
    assert not await reaches("a-2", "10.64.0.2")
    await qemu.driver.power_on("a-1")
    assert await seen_running(qemu.driver, "a-1") == seen["a-1"]
    assert await reaches("a-2", "10.64.0.2")

    await qemu.driver.delete("a-1")
    assert bridges(tmp_path, "k8s-1") == [True], "somebody is still in it"
    await asyncio.gather(*(qemu.driver.delete(name) for name in specs))
    assert bridges(tmp_path, "k8s-1", "k8s-2") == [False, False]
