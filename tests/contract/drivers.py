"""The drivers that the contract is held against, each with what a test needs to know of it."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from cloud.cloud_init import user_data
from cloud.drivers.base import Driver, Machine, MachineSpec, Power, TryAgain
from cloud.drivers.hetzner import HetznerDriver, HetznerOptions
from cloud.drivers.libcloud import LibcloudDriver, LibcloudOptions
from cloud.drivers.proxmox import ProxmoxDriver, ProxmoxOptions
from cloud.drivers.qemu import QemuDriver, QemuOptions
from cloud.drivers.simulated import SimulatedDriver
from cloud.ssh_keys import generate_host_key, public_of
from tests.contract import openstack as openstack_

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
        capacity: how many small machines it holds; `None`: more than a test can ask for.
        boots: whether a machine that was started takes a while to run.
        tells_reboots: whether a machine that restarts is seen to.
        keeps_address: whether a machine that was off has the address that it had before.
    """

    driver: Driver
    again: Callable[[], Driver]
    capacity: int | None = CAPACITY
    boots: bool = True
    tells_reboots: bool = True
    keeps_address: bool = True


_WORKER = int("0" + os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw"))
PORTS = range(21_000 + 500 * _WORKER, 21_500 + 500 * _WORKER)
"""Of this process of the tests alone: a port that a machine gave back is nobody else's at once."""


def simulated(directory: Path) -> Cloud:
    def make() -> Driver:
        return SimulatedDriver(directory, gets_until_running=2, capacity=CAPACITY)

    return Cloud(make(), make)


def qemu(directory: Path) -> Cloud:
    def make() -> QemuDriver:
        # Sold small machines are four processors in all; guests get little memory, as in the demo.
        options = QemuOptions(
            memory_mb_max=160,
            processors=1,
            cpu_overcommit=CAPACITY,
            disk_overcommit=100,
            public_ips=("127.0.1.77",),
            ports=PORTS,
        )
        return QemuDriver(directory, options=options, image_directory=IMAGES)

    return Cloud(make(), make)


def proxmox(address: str) -> Cloud:
    url, _, authority = address.partition(" ")

    def make() -> ProxmoxDriver:
        options = ProxmoxOptions(
            url=url,
            token_id="root@pam!vmbot",
            token_secret="stand-in",
            template=9000,
            public_bridge="vmbr1",
            verify=authority,
            reserve_mb=0,
            poll_seconds=0.02,
        )
        return ProxmoxDriver(options)

    return Cloud(make(), make, tells_reboots=False)


def hetzner(address: str) -> Cloud:
    def make() -> HetznerDriver:
        return HetznerDriver(HetznerOptions(token="stand-in", url=address, location="", poll_seconds=0.02))

    return Cloud(make(), make, capacity=None, tells_reboots=False)


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


def ec2(address: str) -> Cloud:
    """EC2 keeps no public address while a machine is off; moto's machines run at once."""

    def make() -> LibcloudDriver:
        return LibcloudDriver(
            LibcloudOptions(
                provider="ec2",
                key="key",
                secret="secret",
                region="us-east-1",
                url=address,
                image="ami-12c6146b",
                poll_seconds=0.02,
            )
        )

    return Cloud(make(), make, capacity=None, boots=False, tells_reboots=False, keeps_address=False)


def openstack(address: str) -> Cloud:
    def make() -> LibcloudDriver:
        return LibcloudDriver(
            LibcloudOptions(
                provider="openstack",
                key=openstack_.USER,
                secret=openstack_.PASSWORD,
                project=openstack_.PROJECT,
                region="here",
                url=f"{address}/v3",
                image="debian",
                poll_seconds=0.02,
            )
        )

    return Cloud(make(), make, capacity=openstack_.CAPACITY)


async def create(driver: Driver, spec: MachineSpec) -> Machine:
    """Make a machine as the worker does: what may pass later is tried again."""
    for _ in range(20):
        with suppress(TryAgain):
            return await driver.create(spec)
        await asyncio.sleep(0.05)
    return await driver.create(spec)


async def seen_running(driver: Driver, name: str) -> Machine:
    """Return the machine as soon as it runs."""
    async with asyncio.timeout(_BOOT_SECONDS):
        while True:
            machine = await driver.get(name)
            assert machine is not None, f"{name} is gone"
            if machine.power is Power.RUNNING:
                return machine
            await asyncio.sleep(0.1)


def trusted(host: str, spec: MachineSpec) -> asyncssh.SSHKnownHosts:
    """What an SSH client must be told to accept the machine's host key and no other."""
    return asyncssh.import_known_hosts(f"{host} {public_of(spec.host_key)}\n")


async def ssh(driver: Driver, spec: MachineSpec, command: str) -> str:
    """Log in as the customer, insisting on our host key, and return what the command prints."""
    machine = await seen_running(driver, spec.name)
    async with asyncssh.connect(
        machine.host,
        machine.port,
        username=spec.user,
        client_keys=[asyncssh.import_private_key(CUSTOMER.private)],
        known_hosts=trusted(machine.host, spec),
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


def own_addresses() -> list[str]:
    """The addresses that this host has beside loopback, as a guest could know them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", 0))
            probe.connect(("127.0.0.1", 9))
            names = socket.gethostbyname_ex(socket.gethostname())[2]
        except OSError:
            names = []
    return [name for name in names if not name.startswith("127.")]
