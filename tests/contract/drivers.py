"""The drivers that the contract is held against, each with what a test needs to know of it."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from cloud.cloud_init import user_data
from cloud.drivers.base import Driver, Machine, MachineSpec, Power
from cloud.drivers.qemu import QemuDriver, QemuOptions
from cloud.drivers.simulated import SimulatedDriver
from cloud.ssh_keys import generate_host_key, public_of

CUSTOMER = generate_host_key()
"""The key pair that logs in."""
CAPACITY = 4
_BOOT_SECONDS = 120.0  # on a busy machine without hardware virtualization; 6 s on an idle one

IMAGES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmbot-tests" / "images"
"""Built once for all test runs, outside the checkout."""


@dataclass(frozen=True)
class Cloud:
    """One kind of cloud.

    Attributes:
        driver: what is tested.
        again: a fresh driver object on the same cloud, as after a restart.
    """

    driver: Driver
    again: Callable[[], Driver]


def simulated(directory: Path) -> Cloud:
    def make() -> Driver:
        return SimulatedDriver(directory, gets_until_running=2, capacity=CAPACITY)

    return Cloud(make(), make)


def qemu(directory: Path) -> Cloud:
    def make() -> QemuDriver:
        # Sold small machines are four processors in all; guests get little memory, as in the demo.
        options = QemuOptions(
            memory_mb_max=160, processors=1, cpu_overcommit=CAPACITY, disk_overcommit=100, public_ips=("127.0.1.77",)
        )
        return QemuDriver(directory, options=options, image_directory=IMAGES)

    return Cloud(make(), make)


def spec(name: str = "m-1", *, hostname: str = "web-1", public: bool = False, disk_gb: int = 2) -> MachineSpec:
    """A small machine that the test's customer may log in to."""
    host_key = generate_host_key().private
    keys = (CUSTOMER.public,)
    return MachineSpec(
        name=name,
        hostname=hostname,
        vcpus=1,
        memory_mb=2048,
        disk_gb=disk_gb,
        public=public,
        authorized_keys=keys,
        user="user",
        host_key=host_key,
        user_data=user_data(hostname=hostname, user="user", authorized_keys=keys, host_key=host_key),
    )


async def seen_running(driver: Driver, name: str) -> Machine:
    """Return the machine as soon as it runs."""
    async with asyncio.timeout(_BOOT_SECONDS):
        while True:
            machine = await driver.get(name)
            assert machine is not None, f"{name} is gone"
            if machine.power is Power.RUNNING:
                return machine
            await asyncio.sleep(0.1)


def trusted(host: str, port: int, spec: MachineSpec) -> asyncssh.SSHKnownHosts:
    """What an SSH client must be told to accept the machine's host key and no other."""
    return asyncssh.import_known_hosts(f"[{host}]:{port} {public_of(spec.host_key)}\n")


async def ssh(driver: Driver, spec: MachineSpec, command: str) -> str:
    """Log in as the customer, insisting on our host key, and return what the command prints."""
    machine = await seen_running(driver, spec.name)
    async with asyncssh.connect(
        machine.host,
        machine.port,
        username=spec.user,
        client_keys=[asyncssh.import_private_key(CUSTOMER.private)],
        known_hosts=trusted(machine.host, machine.port, spec),
        config=[],
        connect_timeout=30,
    ) as connection:
        done = await connection.run(command, check=False, timeout=60)
    return str(done.stdout) + str(done.stderr)


async def until(check: Callable[[], bool], *, seconds: float = 30) -> None:
    """Wait for something that tells nobody."""
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110 -- see above
            await asyncio.sleep(0.05)
