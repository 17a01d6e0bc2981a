"""A machine's life on a bridge, played in a network namespace of this process's own; writes what was seen as JSON.

The bridge, its router and a neighbour exist there only: nothing of this host's networks is touched, and all of it is
gone when this ends. Arguments: a folder.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from cloud.drivers.base import MachineSpec
from cloud.drivers.qemu import QemuDriver, QemuOptions, tap, uplink
from cloud.drivers.qemu.uplink import Uplink
from tests.contract.drivers import IMAGES, seen_running, spec, ssh

ROUTER, NEIGHBOUR, FREE, SPOOFED = "203.0.113.1", "203.0.113.2", "203.0.113.9", "203.0.113.99"
_BRIDGE, _PORT = "br0", 7000

# Writes down who connects to it, one address in a line, and greets at what it is told to ask: `HOST PORT` in a line.
_NEIGHBOUR = """
import socket, sys, threading

def listen():
    with socket.create_server(("", int(sys.argv[1]))) as server:
        while True:
            client, (address, _) = server.accept()
            client.close()
            print("from", address, flush=True)

threading.Thread(target=listen, daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    host, port = line.split()
    try:
        with socket.create_connection((host, int(port)), 20) as asked:
            print("banner", asked.recv(4).decode(), flush=True)
    except OSError as error:
        print("banner", error, flush=True)
"""


def run(*words: str) -> None:
    """Run a command of iproute2 or nft."""
    subprocess.run(words, check=True)  # noqa: S603 our own words


class Neighbour:
    """Somebody else in the network: a process in a namespace of its own, at the other end of a cable."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Speak with it by its standard input and output."""
        self._process = process

    async def heard(self, seconds: float) -> str:
        """Return the next line that it says, empty if it says nothing for so long."""
        assert self._process.stdout
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return (await self._process.stdout.readline()).decode().strip()
        return ""

    async def asks(self, host: str, port: int) -> str:
        """Return how a port greets it."""
        assert self._process.stdin
        self._process.stdin.write(f"{host} {port}\n".encode())
        return await self.heard(30)


@asynccontextmanager
async def neighbour() -> AsyncIterator[Neighbour]:
    """Make a bridge, its router's address at this host, and a neighbour plugged into it."""
    run("ip", "link", "set", "dev", "lo", "up")
    run("ip", "link", "add", "name", _BRIDGE, "type", "bridge")
    run("ip", "address", "add", f"{ROUTER}/24", "dev", _BRIDGE)
    run("ip", "link", "set", "dev", _BRIDGE, "up")
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--net", sys.executable, "-c", _NEIGHBOUR, str(_PORT)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        neighbour = Neighbour(process)
        assert await neighbour.heard(20) == "ready"
        run("ip", "link", "add", "name", "cable", "type", "veth", "peer", "name", "eth0", "netns", str(process.pid))
        run("ip", "link", "set", "dev", "cable", "master", _BRIDGE, "up")
        inside = ("nsenter", "--net", "--target", str(process.pid), "ip")
        run(*inside, "address", "add", f"{NEIGHBOUR}/24", "dev", "eth0")
        run(*inside, "link", "set", "dev", "eth0", "up")
        yield neighbour
    finally:
        process.kill()
        await process.wait()


async def life(directory: Path) -> dict[str, Any]:
    """Order, log in, look around, lie about the address, power cycle, delete."""
    options = QemuOptions(
        memory_mb_max=160, cpu_overcommit=4, disk_overcommit=100, public_ips=(FREE,), uplink=Uplink(_BRIDGE, ROUTER, 24)
    )
    driver = QemuDriver(directory, image="tiny", options=options, image_directory=IMAGES)
    wanted = spec("m-1", public=True)
    async with neighbour() as other:
        made = await driver.create(wanted)
        seen: dict[str, Any] = {"address": [made.host, made.port], "doctor": await driver.check()}
        await seen_running(driver, "m-1")
        seen["route"] = await ssh(driver, wanted, "ip route")
        await ssh(driver, wanted, "sudo /usr/sbin/dropbear -p 8080 -r /etc/dropbear/host_key")
        seen["any_port"] = await other.asks(FREE, 8080)
        seen["as_itself"] = await calls(driver, wanted, FREE, other)
        await ssh(driver, wanted, f"sudo ip addr add {SPOOFED}/24 dev eth0")
        seen["as_another"] = await calls(driver, wanted, SPOOFED, other)
        run("nft", "delete", "table", "bridge", f"vmbot_{uplink.devices_of(directory / 'machines')}")
        seen["as_another_without_the_guard"] = await calls(driver, wanted, SPOOFED, other)
        await driver.power_off("m-1")
        await driver.power_on("m-1")
        again = await seen_running(driver, "m-1")
        seen["after_power_cycle"] = [again.host, again.port]
        seen["device_of_a_running_one"] = has_device(directory)
        await driver.delete("m-1")
        seen["device_of_a_deleted_one"] = has_device(directory)
        await driver.close()
    return seen


def has_device(directory: Path) -> bool:
    """Whether the machine's device is there."""
    return tap.exists(uplink.device_of(directory / "machines", FREE))


async def calls(driver: QemuDriver, wanted: MachineSpec, address: str, other: Neighbour) -> str:
    """Return what the neighbour hears when the guest calls it from an address."""
    source = f"sudo ip route replace {NEIGHBOUR} dev eth0 src {address}"
    await ssh(driver, wanted, f"{source}; nc -w 5 {NEIGHBOUR} {_PORT} < /dev/null")
    return await other.heard(5)


if __name__ == "__main__":
    json.dump(asyncio.run(life(Path(sys.argv[1]).resolve())), sys.stdout)
