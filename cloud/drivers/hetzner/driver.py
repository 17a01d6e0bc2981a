"""The `Driver` protocol at Hetzner Cloud.

Names of servers are unique in a project, so that of two who make one at once, one is told that it is there.
"""

import asyncio
import ipaddress
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from hcloud import Client
from hcloud.actions import BoundAction
from hcloud.networks import BoundNetwork
from hcloud.servers import BoundServer

from cloud.drivers.base import Capabilities, Machine, MachineSpec, OutOfCapacity, Power, Refused, TryAgain
from cloud.drivers.files import check_name, is_name
from cloud.drivers.hetzner import api
from cloud.drivers.hetzner.api import HetznerOptions
from cloud.drivers.threads import Threads

_BUSY_SECONDS = 120.0
"""So long an action may take, waiting for others that hold the server included."""
_TYPES = 3
"""So many types are tried, the cheapest first, before a size counts as sold out."""

_POWER = {
    "running": Power.RUNNING,
    "off": Power.STOPPED,
    "initializing": Power.STARTING,
    "starting": Power.STARTING,
    "stopping": Power.STARTING,
    "rebuilding": Power.STARTING,
    "migrating": Power.STARTING,
    "deleting": Power.STARTING,
}
_DETAIL = {"initializing": "creating the disk", "deleting": "being removed", "stopping": "shutting down"}


class HetznerDriver:
    """Machines of one project. Every one has an address of version 6; one of version 4 is what `public` buys."""

    def __init__(self, options: HetznerOptions) -> None:
        """Take what the operator set; nothing is called yet."""
        self._options = options
        self._hcloud = Threads(lambda: api.connect(options), api.explain)
        self._networks: bool | None = None

    async def capabilities(self) -> Capabilities:
        """Return what can be offered here; an API that only speaks like Hetzner's may have no networks."""
        if self._networks is None:
            self._networks = await self._hcloud(api.has_networks)
        return Capabilities(real=True, public_ip=True, private_network=self._networks, boots_at_once=10, clusters=True)

    async def prepare(self) -> None:
        """Nothing is to be done before the first machine."""

    async def create(self, spec: MachineSpec) -> Machine:
        """Order the server, unless it is there."""
        check_name(spec.name)
        if spec.network and not (await self.capabilities()).private_network:
            raise Refused("Private networks cannot be had here.")
        async with self._hcloud.alone(spec.name):
            server = await self._find(spec.name)
            if server is None:
                network = await self._network(spec.network) if spec.network else None
                server = await self._order(spec, network)
            return _machine(server)

    async def get(self, name: str) -> Machine | None:
        """Return the server as it is now."""
        server = await self._find(name) if is_name(name) else None
        return None if server is None else _machine(server)

    async def list_owned(self) -> list[Machine]:
        """Return every server with our label."""
        return [_machine(server) for server in await self._hcloud(api.servers)]

    async def delete(self, name: str) -> None:
        """Remove the server, and networks that nobody is in any more."""
        if not is_name(name):
            return
        async with self._hcloud.alone(name):
            while (server := await self._find(name)) is not None:
                await self._act("delete", server)
        if (await self.capabilities()).private_network:
            await self._hcloud(api.remove_empty_networks)

    async def power_off(self, name: str) -> None:
        """Ask the guest to shut down, and cut the power after a while."""
        async with self._hcloud.alone(name):
            server = await self._find(name) if is_name(name) else None
            if server is None or server.status == "off":
                return
            await self._act("shutdown", server)
            if not await self._is_off(server, self._options.shutdown_seconds):
                await self._act("power_off", server)

    async def power_on(self, name: str) -> None:
        """Start it, unless it runs."""
        async with self._hcloud.alone(name):
            server = await self._found(name)
            if server.status == "off":
                await self._act("power_on", server)

    async def reboot(self, name: str) -> None:
        """Restart the guest; one that is off is started."""
        async with self._hcloud.alone(name):
            server = await self._found(name)
            await self._act("power_on" if server.status == "off" else "reboot", server)

    async def check(self) -> str:
        """Return how many servers there are, and where new ones go."""
        options = self._options

        def look(hcloud: Client) -> tuple[int, int, bool]:
            image = hcloud.images.get_all(name=options.image)
            return len(api.servers(hcloud)), len(hcloud.server_types.get_all()), bool(image)

        servers, types, image = await self._hcloud(look)
        if not image:
            raise Refused(f"HETZNER_IMAGE: there is no image {options.image}.")
        return f"Hetzner Cloud, {options.location or 'any location'}, {types} server types, {servers} machines"

    async def close(self) -> None:
        """Let go of connections."""
        self._hcloud.close()

    # --- finding

    async def _find(self, name: str) -> BoundServer | None:
        servers = await self._hcloud(lambda hcloud: api.servers(hcloud, name=name))
        return servers[0] if servers else None

    async def _found(self, name: str) -> BoundServer:
        server = await self._find(name) if is_name(name) else None
        if server is None:
            raise Refused(f"There is no machine {name}.")
        return server

    # --- making

    async def _order(self, spec: MachineSpec, network: BoundNetwork | None) -> BoundServer:
        """Order a server of the cheapest type that fits and can be had."""
        fitting = await self._hcloud(lambda hcloud: api.fitting(hcloud, spec, self._options))
        if not fitting:
            raise Refused("Hetzner has no server type as large as this size.")
        sold_out = OutOfCapacity("There is no room for another machine of this size now.")
        for kind in fitting[:_TYPES]:
            try:
                order = partial(api.create, spec=spec, kind=kind, network=network, options=self._options)
                return await self._hcloud(order)
            except api.NameTaken:
                server = await self._find(spec.name)
                if server is None:
                    raise
                return server
            except OutOfCapacity as error:
                sold_out = error
        raise sold_out

    async def _network(self, name: str) -> BoundNetwork:
        """Return the private network of a cluster, made by the first of its machines."""
        async with self._hcloud.alone(f"network {name}"):
            return await self._hcloud(lambda hcloud: api.network(hcloud, f"vmbot-{name}", self._options.location))

    # --- waiting

    async def _act(self, verb: str, server: BoundServer) -> None:
        """Begin an action, once no other holds the server, and wait for its end; a missing server is success."""

        def begin(hcloud: Client) -> BoundAction:
            action: BoundAction = getattr(hcloud.servers, verb)(server)
            return action

        try:
            async with asyncio.timeout(_BUSY_SECONDS):
                while True:
                    with suppress(api.Locked):
                        return await self._end(await self._hcloud(begin))
                    await asyncio.sleep(self._options.poll_seconds)
        except api.Gone:
            return None
        except TimeoutError:
            raise TryAgain("Hetzner is busy with this machine.") from None

    async def _end(self, action: BoundAction) -> None:
        while action.status == "running":
            await asyncio.sleep(self._options.poll_seconds)
            action = await self._hcloud(lambda hcloud, number=action.id: hcloud.actions.get_by_id(number))  # type: ignore[misc]
        if action.error is not None:
            raise api.meaning(action.error["code"], action.error["message"])

    async def _is_off(self, server: BoundServer, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    now = await self._find(server.name or "")
                    if now is None or now.status == "off":
                        return True
                    await asyncio.sleep(self._options.poll_seconds)
        except TimeoutError:
            return False


def _machine(server: BoundServer) -> Machine:
    status = server.status or "unknown"
    if status not in _POWER:
        raise TryAgain("Hetzner does not know how this machine is.")
    private = [str(net.ip) for net in server.private_net or [] if net.ip]
    return Machine(
        name=server.name or "",
        ref=str(server.id),
        power=_POWER[status],
        host=next(_addresses(server), ""),
        private_ip=private[0] if private else "",
        detail=_DETAIL.get(status, "" if _POWER[status] is Power.RUNNING else status),
    )


def _addresses(server: BoundServer) -> Iterator[str]:
    """Yield its public addresses, of version 4 first; of its network of version 6 it has the first address."""
    public = server.public_net
    if public and public.ipv4 and public.ipv4.ip:
        yield public.ipv4.ip
    if public and public.ipv6 and public.ipv6.ip:
        yield str(ipaddress.ip_network(public.ipv6.ip)[1])
