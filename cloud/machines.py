"""What is done to single machines through the driver: one step at a time, every call bounded in time."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing.clock import Clock
from billing.db import Database
from cloud import ssh_keys
from cloud.claims import Work
from cloud.drivers.base import Capabilities, Driver, Machine, Power, TryAgain
from cloud.models import Deployment, Node, PowerWish, State
from cloud.specs import SpecMaker
from cloud.ssh_probe import Answer, probe_host_key

T = TypeVar("T")

_CALL_SECONDS = 300.0
"""For one call of the driver; the first one may have to build an image."""
_PROBE_SECONDS = 60.0  # seen: 22 s until it greets, in software emulation on a host with other things to do
_BOOTS_WITHIN = timedelta(minutes=2)
"""A machine that takes longer no longer counts as booting: two that hang must not stop everybody else's."""

QUEUED = "waiting for its turn to start"
STARTING = "starting"
NO_SSH = "waiting for SSH"
NO_CONTROL = "waiting for the control plane"
OTHER_KEY = "something else answers at its address"


@dataclass(frozen=True, slots=True)
class Sight:
    """How far a machine is.

    Attributes:
        node_id: which machine.
        ready: it runs, and its SSH server shows the host key that we gave it.
        detail: what is going on, empty when it is ready.
        machine: as the cloud shows it, none while it waits for its turn.
    """

    node_id: int
    ready: bool
    detail: str = ""
    machine: Machine | None = None


class Machines:
    """The hands of the reconciler."""

    def __init__(self, driver: Driver, database: Database, clock: Clock, specs: SpecMaker) -> None:
        """Take the cloud, where turns to boot are written down, and who says what to make."""
        self._driver = driver
        self._database = database
        self._clock = clock
        self._specs = specs
        self._capabilities: Capabilities | None = None

    async def capabilities(self) -> Capabilities:
        """Return what the cloud can do; asked once."""
        if self._capabilities is None:
            self._capabilities = await self._call(self._driver.capabilities())
        return self._capabilities

    async def bring_up(self, work: Work, node: Node, *, server: str = "") -> Sight:
        """Take a machine one step further towards being ready, and return how far it is.

        Looked up, then created: after a crash in between the first one is found. `server` is, for a worker of a
        cluster, the address of its control plane.

        Raises:
            DriverError: of the kinds that the driver tells.
        """
        machine = await self._call(self._driver.get(node.machine)) if node.asked_at else None
        if machine is None or machine.unfinished:
            if not (node.asked_at or await self._take_turn(node)):
                return Sight(node.id, ready=False, detail=QUEUED)
            spec = self._specs.spec(work, node, await self.capabilities(), server=server)
            machine = await self._as_it_is(await self._call(self._driver.create(spec)))
        return await self._after_boot(node, machine)

    async def switch(self, node: Node, wish: PowerWish, *, reboot: bool) -> Sight:
        """Make a machine's power as wished, and return how far it is; one that is off as wished is ready.

        A machine that is not there any more is not ready and is not made: see `sweep.py`.
        """
        if wish is not PowerWish.ON:
            await self._call(self._driver.power_off(node.machine))
            return Sight(node.id, ready=True, machine=await self._call(self._driver.get(node.machine)))
        if reboot:
            await self._call(self._driver.reboot(node.machine))
        machine = await self._call(self._driver.get(node.machine))
        if machine is None:
            return Sight(node.id, ready=True)
        return await self._after_boot(node, machine)

    async def port_of(self, node: Node, inside: int) -> int:
        """Return where a port of a machine is, at the address at which it is reached."""
        machine = await self._call(self._driver.get(node.machine))
        return dict(machine.ports).get(inside, inside) if machine else inside

    async def remove(self, nodes: Sequence[Node]) -> None:
        """Remove machines and all that is left of them; those that are gone are no trouble."""
        for result in await asyncio.gather(
            *(self._call(self._driver.delete(node.machine)) for node in nodes), return_exceptions=True
        ):
            if isinstance(result, BaseException):
                raise result

    async def _after_boot(self, node: Node, machine: Machine) -> Sight:
        if machine.power is Power.STOPPED:
            await self._call(self._driver.power_on(node.machine))
            machine = await self._as_it_is(machine)
        if machine.power is not Power.RUNNING:
            return Sight(node.id, ready=False, detail=machine.detail or STARTING, machine=machine)
        detail = await self._probe(node, machine)
        return Sight(node.id, ready=not detail, detail=detail, machine=machine)

    async def _probe(self, node: Node, machine: Machine) -> str:
        """Return why a running machine is not ready, or nothing."""
        if not (await self.capabilities()).real:
            return ""
        if not machine.host:
            return NO_SSH
        public = ssh_keys.public_of(node.host_key)
        answer = await probe_host_key(machine.host, machine.port, public, seconds=_PROBE_SECONDS)
        return {Answer.OUR_KEY: "", Answer.OTHER_KEY: OTHER_KEY, Answer.SILENT: NO_SSH}[answer]

    async def _take_turn(self, node: Node) -> bool:
        """Write down that a machine is about to be asked for, unless as many boot as the cloud can bear.

        Two workers may take the last turn at once; one boot more for a moment harms nobody.
        """
        limit = (await self.capabilities()).boots_at_once
        now = self._clock.now()
        async with self._database.transaction() as session:
            if await _booting(session, since=now - _BOOTS_WITHIN) >= limit:
                return False
            await session.execute(update(Node).where(Node.id == node.id).values(asked_at=now))
        return True

    async def _as_it_is(self, machine: Machine) -> Machine:
        """Return a machine as it is after something was done to it."""
        now = await self._call(self._driver.get(machine.name))
        return machine if now is None else now

    async def _call(self, call: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                return await call
        except TimeoutError:
            raise TryAgain("The cloud takes too long to answer.") from None


async def _booting(session: AsyncSession, *, since: datetime) -> int:
    count = await session.scalar(
        select(func.count())
        .select_from(Node)
        .join(Deployment, Deployment.id == Node.deployment_id)
        .where(Deployment.state == State.IN_PROGRESS, Node.seen_at.is_(None), Node.asked_at > since)
    )
    return count or 0
