"""What the product needs of a cloud: one small async Protocol, passed by every driver's contract tests.

A driver knows neither money nor SQL. Machines are found by a **name** which comes from the order, so that
"look up, then create" after a crash finds what the first attempt made; no driver relies on a cloud's own
client token.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class DriverError(Exception):
    """Something between us and the machine; `str(error)` is a plain sentence for people."""


class Refused(DriverError):
    """The cloud will never do this as asked: tell the customer."""


class OutOfCapacity(DriverError):
    """No room for this size now: offer another, tell the operator."""


class TryAgain(DriverError):
    """Not now: network, rate limit, the cloud's own trouble. The same call may pass later."""


PREPARING = "preparing the image that machines are made from"


class NotYet(TryAgain):
    """Something that is done once, for all machines, is still being done: wait, and nobody need be alarmed."""


class Power(StrEnum):
    """What the cloud says of a machine's power."""

    STARTING = "starting"
    """Being made or booting; not yet worth a connection."""
    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """One machine to make.

    Attributes:
        name: unique and stable for this machine for ever, `[a-z0-9-]{1,63}`; the idempotency key.
        hostname: what the guest calls itself; checked host name, unique only per customer.
        vcpus: number of virtual processors.
        memory_mb: MiB of memory.
        disk_gb: GiB of disk.
        public: whether it gets an address of its own.
        authorized_keys: OpenSSH public key lines that may log in as `user`.
        user: login name inside the guest.
        host_key: OpenSSH private key (ed25519, PEM text) that its SSH server must show.
        user_data: cloud-init user data (`#cloud-config`) that does all of this where there is cloud-init.
        network: name of the private network which machines of one cluster share; `None` for a single machine.
        ports: what must be reached from outside beside SSH.
    """

    name: str
    hostname: str
    vcpus: int
    memory_mb: int
    disk_gb: int
    public: bool
    authorized_keys: tuple[str, ...]
    user: str
    host_key: str
    user_data: str
    network: str | None = None
    ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as the cloud shows it now.

    Attributes:
        name: as in the spec.
        ref: the cloud's own id, for people who look there.
        power: what the cloud says.
        host: where its SSH server can be reached from outside, empty while unknown.
        port: the SSH port at `host`.
        private_ip: address in its private network, empty if there is none.
        detail: what is going on in plain words ("booting"), for the progress line.
        unfinished: whoever made it stopped half-way; `create` with its spec goes on where they stopped.
        ports: the ports of the spec and where each is at `host`; one that is not named is what it is.
    """

    name: str
    ref: str
    power: Power
    host: str = ""
    port: int = 22
    private_ip: str = ""
    detail: str = ""
    unfinished: bool = False
    ports: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a driver can do, so that nothing is offered that cannot be had.

    Attributes:
        real: machines exist and their SSH server can be asked for its host key; false only when simulated.
        public_ip: machines may have an address of their own.
        private_network: machines can share a network that others cannot see.
        boots_at_once: how many machines may boot at the same time before they starve each other.
        clusters: machines reach each other, so that they can be the nodes of a Kubernetes cluster.
    """

    real: bool
    public_ip: bool
    private_network: bool
    boots_at_once: int
    clusters: bool = False


class Driver(Protocol):
    """One cloud. Every call may raise `TryAgain`; others as said."""

    async def capabilities(self) -> Capabilities:
        """Return what can be offered here."""
        ...

    async def prepare(self) -> None:
        """Do what is done once before the first machine, an image say; it may take minutes, and be asked for again.

        Raises:
            DriverError: it cannot be done now; the sentence says why.
        """
        ...

    async def create(self, spec: MachineSpec) -> Machine:
        """Make the machine, or return the one of that name which is already there.

        Returns once the cloud has taken the order; `get` tells how it goes on. Two calls at once for one
        name make one machine.

        Raises:
            Refused: the spec is not acceptable.
            OutOfCapacity: there is no room now.
            NotYet: what `prepare` does is not done, and is being done.
        """
        ...

    async def get(self, name: str) -> Machine | None:
        """Return the machine as it is now, `None` when there is none of that name."""
        ...

    async def list_owned(self) -> list[Machine]:
        """Return every machine that this product made here, by tag or folder, whoever remembers it."""
        ...

    async def delete(self, name: str) -> None:
        """Remove the machine with its disk; a missing one is success. Returns when nothing is left."""
        ...

    async def power_off(self, name: str) -> None:
        """Ask the guest to shut down, force it after a while; an off or missing machine is success."""
        ...

    async def power_on(self, name: str) -> None:
        """Start a stopped machine with its disk as it was.

        Raises:
            Refused: there is no such machine.
            OutOfCapacity: its host has no room now.
        """
        ...

    async def reboot(self, name: str) -> None:
        """Restart the guest; one that is off is started.

        Raises:
            Refused: there is no such machine.
        """
        ...

    async def check(self) -> str:
        """Return one line for `doctor` on what is there ("QEMU 7.2, software emulation, 14 GiB free").

        Raises:
            DriverError: it cannot work; the sentence says how to mend it.
        """
        ...

    async def close(self) -> None:
        """Let go of connections. Machines stay."""
        ...
