"""The `Driver` protocol by Apache Libcloud.

Names are not unique in most clouds. Of two that were made at once for one name, everybody keeps the same one and
removes the other.
"""

import asyncio
import re
from collections.abc import Sequence
from functools import partial

import requests
from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.types import InvalidCredsError, LibcloudError
from libcloud.compute.base import Node, NodeDriver, NodeSize
from libcloud.compute.types import NodeState

from cloud.drivers.base import (
    Capabilities,
    DriverError,
    Machine,
    MachineSpec,
    OutOfCapacity,
    Power,
    Refused,
    TryAgain,
)
from cloud.drivers.files import check_name, is_name
from cloud.drivers.libcloud.providers import PROVIDERS, LibcloudOptions
from cloud.drivers.threads import Threads

_FULL = re.compile(
    r"InsufficientInstanceCapacity|LimitExceeded(?<!RequestLimitExceeded)|No valid host|[Qq]uota exceeded"
    r"|will exceed your (droplet|account) limit|Account Limit|not available in the selected region"
)
_FINAL = frozenset({400, 422})
_GONE_SECONDS = 120.0
_TIE_SECONDS = 1.0
"""Clouds tell the second in which a machine was made, no finer."""
_SIZES = 3
"""So many sizes are tried, the cheapest first, before one counts as sold out."""
_NO_ROOM = "There is no room for another machine of this size now."

_POWER = {NodeState.RUNNING: Power.RUNNING, NodeState.STOPPED: Power.STOPPED, NodeState.SUSPENDED: Power.STOPPED}
_DETAIL = {NodeState.STOPPING: "shutting down", NodeState.REBOOTING: "restarting", NodeState.UNKNOWN: "being changed"}


class LibcloudDriver:
    """Machines in one region of one cloud."""

    def __init__(self, options: LibcloudOptions) -> None:
        """Take what the operator set; nothing is called yet."""
        self._options = options
        self._provider = PROVIDERS[options.provider](options)
        self._cloud = Threads(self._provider.connect, explain)

    async def capabilities(self) -> Capabilities:
        """Return what can be offered here."""
        return Capabilities(
            real=True, public_ip=self._provider.public_ip, private_network=False, boots_at_once=10, clusters=True
        )

    async def prepare(self) -> None:
        """Nothing is to be done before the first machine."""

    async def create(self, spec: MachineSpec) -> Machine:
        """Order the machine, unless it is there."""
        check_name(spec.name)
        if spec.network is not None:
            raise Refused("Private networks cannot be had here.")
        if spec.public and not self._provider.public_ip:
            raise Refused("Public addresses cannot be had here.")
        async with self._cloud.alone(spec.name):
            node = await self._find(spec.name) or await self._order(spec)
        return _machine(node)

    async def get(self, name: str) -> Machine | None:
        """Return the machine as it is now."""
        node = await self._find(name) if is_name(name) else None
        return None if node is None else _machine(node)

    async def list_owned(self) -> list[Machine]:
        """Return every machine with our mark."""
        return [_machine(node) for node in await self._all() if node.state is not NodeState.ERROR]

    async def delete(self, name: str) -> None:
        """Remove every machine of the name, and wait until the cloud shows none."""
        if not is_name(name):
            return
        async with self._cloud.alone(name):
            try:
                async with asyncio.timeout(_GONE_SECONDS):
                    await self._delete(name)
            except TimeoutError:
                raise TryAgain("The cloud takes long to remove this machine.") from None

    async def power_off(self, name: str) -> None:
        """Ask the guest to shut down; clouds force it by themselves after a while."""
        async with self._cloud.alone(name):
            node = await self._settled(name)
            if node is not None and node.state is NodeState.RUNNING:
                await self._do(self._provider.stop, node)
                await self._until_off(name)

    async def power_on(self, name: str) -> None:
        """Start it, unless it runs."""
        async with self._cloud.alone(name):
            await self._start(await self._found(name))

    async def reboot(self, name: str) -> None:
        """Restart the guest; one that is off is started."""
        async with self._cloud.alone(name):
            node = await self._found(name)
            if node.state is NodeState.RUNNING:
                await self._do("reboot_node", node)
            else:
                await self._start(node)

    async def check(self) -> str:
        """Return where machines are made and how many there are."""
        image = await self._cloud(self._provider.image)
        count = len(await self._all())
        return f"{self._provider.driver_name} {self._options.region}, image {image.id}, {count} machines"

    async def close(self) -> None:
        """Let go of connections."""
        self._cloud.close()

    # --- finding

    async def _all(self) -> Sequence[Node]:
        nodes = await self._cloud(self._provider.nodes)
        return [node for node in nodes if node.state is not NodeState.TERMINATED]

    async def _named(self, name: str) -> list[Node]:
        """Return the machines of a name; the first is the one that counts, whoever asks."""
        return sorted((node for node in await self._all() if node.name == name), key=_age)

    async def _find(self, name: str) -> Node | None:
        nodes = await self._named(name)
        return nodes[0] if nodes else None

    async def _found(self, name: str) -> Node:
        node = await self._settled(name)
        if node is None:
            raise Refused(f"There is no machine {name}.")
        return node

    async def _settled(self, name: str) -> Node | None:
        """Return the machine once nothing is being done to it, for most clouds refuse to be told twice."""
        if not is_name(name):
            return None
        try:
            async with asyncio.timeout(_GONE_SECONDS):
                while True:
                    node = await self._find(name)
                    if node is None or node.state in _POWER or node.state is NodeState.ERROR:
                        return node
                    await asyncio.sleep(self._options.poll_seconds)
        except TimeoutError:
            raise TryAgain("The cloud is busy with this machine.") from None

    # --- making

    async def _order(self, spec: MachineSpec) -> Node:
        sizes = await self._cloud(lambda client: list(self._provider.sizes(client, spec)))
        if not sizes:
            raise Refused("The cloud has nothing as large as this size.")
        sold_out = OutOfCapacity(_NO_ROOM)
        for size in sizes[:_SIZES]:
            try:
                await self._cloud(partial(self._create, spec=spec, size=size))
            except OutOfCapacity as error:
                sold_out = error
                continue
            # Looked at any sooner, one made later in the same second could come before ours in everybody's order.
            await asyncio.sleep(_TIE_SECONDS)
            made = await self._named(spec.name)
            if not made:
                raise TryAgain("The cloud does not show the new machine yet.")
            for node in made[1:]:
                await self._destroy(node)
            return made[0]
        raise sold_out

    def _create(self, client: NodeDriver, spec: MachineSpec, size: NodeSize) -> None:
        try:
            client.create_node(name=spec.name, size=size, **self._provider.order(client, spec))
        except BaseHTTPError as error:
            if error.code in _FINAL and not _FULL.search(str(error.message)):
                raise Refused(f"The cloud says: {error.message}") from error
            raise

    async def _start(self, node: Node) -> None:
        if node.state is not NodeState.RUNNING:
            await self._do(self._provider.start, node)

    # --- doing

    async def _do(self, verb: str, node: Node) -> None:
        await self._cloud(lambda client: getattr(client, verb)(node))

    async def _delete(self, name: str) -> None:
        asked = set()
        while nodes := await self._named(name):
            for node in nodes:
                if node.id not in asked:
                    await self._destroy(node)
                    asked.add(node.id)
            await asyncio.sleep(self._options.poll_seconds)

    async def _destroy(self, node: Node) -> None:
        """Ask for its removal; somebody else may have been faster."""
        try:
            await self._do("destroy_node", node)
        except DriverError:
            if any(other.id == node.id for other in await self._all()):
                raise

    async def _until_off(self, name: str) -> None:
        try:
            async with asyncio.timeout(self._options.shutdown_seconds):
                while True:
                    node = await self._find(name)
                    if node is None or _POWER.get(node.state) is Power.STOPPED:
                        return
                    await asyncio.sleep(self._options.poll_seconds)
        except TimeoutError:
            raise TryAgain("It does not shut down.") from None


def explain(error: Exception) -> DriverError | None:
    """Return what an error of the library means; most of a cloud's troubles pass."""
    match error:
        case InvalidCredsError():
            return TryAgain("The cloud does not accept LIBCLOUD_KEY with LIBCLOUD_SECRET.")
        case BaseHTTPError(message=message):
            words = str(message)
            return OutOfCapacity(_NO_ROOM) if _FULL.search(words) else TryAgain(f"The cloud says: {words}")
        case LibcloudError():
            return TryAgain(f"The cloud says: {error}")
        case requests.RequestException():
            return TryAgain("The cloud does not answer.")
    return None


def _age(node: Node) -> tuple[str, str]:
    return str(node.created_at), str(node.id)


def _machine(node: Node) -> Machine:
    if node.state is NodeState.ERROR:
        fault = str((node.extra or {}).get("fault") or "")
        raise OutOfCapacity(_NO_ROOM) if _FULL.search(fault) else Refused("The cloud could not make this machine.")
    power = _POWER.get(node.state, Power.STARTING)
    addresses = [ip for ip in [*node.public_ips, *node.private_ips] if ip]
    quiet = "" if power is Power.RUNNING else "off" if power is Power.STOPPED else "booting"
    return Machine(
        name=node.name,
        ref=str(node.id),
        power=power,
        host=addresses[0] if addresses else "",
        private_ip=next((ip for ip in node.private_ips if ip), ""),
        detail=_DETAIL.get(node.state, quiet),
    )
