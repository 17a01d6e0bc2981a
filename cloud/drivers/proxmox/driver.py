"""The `Driver` protocol on a Proxmox VE cluster: clones of a template, told who they are by a second disk.

A machine's id follows from its name, so that of two who make it at once, in whatever process, one is told that it is
there. Its description says from the first moment that it is ours; its tag, that it was finished.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from hashlib import sha256
from typing import Any

from cloud.drivers.base import Capabilities, Machine, MachineSpec, OutOfCapacity, Power, Refused, TryAgain
from cloud.drivers.files import check_name, is_name
from cloud.drivers.proxmox.api import TAG, Missing, Pve, Taken, Vm, explain, meaning
from cloud.drivers.proxmox.options import ProxmoxOptions
from cloud.drivers.qemu.seed import seed
from cloud.drivers.threads import Threads

_IDS = 800_000
"""So many ids from the first one on are ours to take."""
_TRIES = 20
_TASK_SECONDS = 120.0
_CLONE_SECONDS = 60.0
"""So long a call waits for a copy; a longer one is met again by `get`."""
_DISKS = re.compile(r"(scsi|virtio|sata|ide)\d+")
_MIB = 1 << 20
_UNITS = {"K": 1 / (1 << 20), "M": 1 / 1024, "G": 1, "T": 1024}

CLONING = "copying the disk"
SETTING_UP = "setting up"
BOOTING = "booting"


class ProxmoxDriver:
    """Machines on the nodes of one cluster."""

    def __init__(self, options: ProxmoxOptions) -> None:
        """Take what the operator set; nothing is called yet."""
        self._options = options
        self._pve = Threads(lambda: Pve(options), explain)
        self._promised: dict[str, tuple[str, int]] = {}
        """Memory in bytes that machines in the making will take, by their name and on which node."""

    async def capabilities(self) -> Capabilities:
        """Return what can be offered here; the wall between customers is the operator's bridge."""
        public = bool(self._options.public_bridge)
        return Capabilities(real=True, public_ip=public, private_network=False, boots_at_once=8, clusters=True)

    async def prepare(self) -> None:
        """Nothing is to be done before the first machine."""

    async def create(self, spec: MachineSpec) -> Machine:
        """Copy the template, set the copy up and start it; go on with what an earlier call began."""
        check_name(spec.name)
        if spec.network is not None:
            raise Refused("Private networks cannot be had on this cluster.")
        if spec.public and not self._options.public_bridge:
            raise Refused("Public addresses cannot be had on this cluster.")
        async with self._pve.alone(spec.name):
            vm = await self._find(spec.name) or await self._clone(spec)
            if vm.finished or vm.lock:
                return await self._machine(vm)
            await self._set_up(vm, spec)
            return Machine(spec.name, _ref(vm), Power.STARTING, detail=BOOTING)

    async def get(self, name: str) -> Machine | None:
        """Return the machine; it runs once its agent tells its address."""
        vm = await self._find(name) if is_name(name) else None
        return None if vm is None else await self._machine(vm)

    async def list_owned(self) -> list[Machine]:
        """Return all machines in our range of ids that say they are ours; their addresses are not asked for."""
        vms = await self._pve(lambda pve: [vm for vm in pve.vms() if self._may_be_ours(vm) and pve.is_ours(vm)])
        return [Machine(vm.name, _ref(vm), _power(vm), unfinished=not vm.finished) for vm in vms]

    async def delete(self, name: str) -> None:
        """Stop it, and remove it with its disks."""
        if not is_name(name):
            return
        async with self._pve.alone(name):
            for _ in range(_TRIES):
                vm = await self._find(name)
                if vm is None:
                    return
                with suppress(Missing):  # somebody else removes it, too
                    await self._remove(vm)
            raise TryAgain("It cannot be removed.")

    async def power_off(self, name: str) -> None:
        """Ask the guest to shut down; Proxmox forces it after a while."""
        async with self._pve.alone(name):
            vm = await self._find(name) if is_name(name) else None
            if vm is not None and vm.status == "running":
                seconds = self._options.shutdown_seconds
                await self._do(lambda pve: pve.status(vm, "shutdown", forceStop=1, timeout=seconds), seconds + 60.0)

    async def power_on(self, name: str) -> None:
        """Start it, unless it runs."""
        async with self._pve.alone(name):
            vm = await self._found(name)
            if vm.status != "running":
                await self._start(vm)

    async def reboot(self, name: str) -> None:
        """Restart the guest; one that does not listen is reset."""
        async with self._pve.alone(name):
            vm = await self._found(name)
            if vm.status != "running":
                await self._start(vm)
                return
            seconds = self._options.shutdown_seconds
            try:
                await self._do(lambda pve: pve.status(vm, "reboot", timeout=seconds), seconds + 60.0)
            except TryAgain:
                await self._do(lambda pve: pve.status(vm, "reset"))

    async def check(self) -> str:
        """Return version, template and how many machines there are."""
        version = await self._pve(lambda pve: pve.version())
        template = await self._template()
        count = len(await self.list_owned())
        return f"Proxmox VE {version}, template {template.id} ({template.name}) on {template.node}, {count} machines"

    async def close(self) -> None:
        """Let go of connections."""
        self._pve.close()

    # --- finding

    async def _find(self, name: str) -> Vm | None:
        def find(pve: Pve) -> Vm | None:
            named = sorted((vm for vm in pve.vms() if vm.name == name and self._may_be_ours(vm)), key=lambda vm: vm.id)
            return next((vm for vm in named if pve.is_ours(vm)), None)

        try:
            return await self._pve(find)
        except Missing:
            return None  # it went between the list and the look at its settings

    async def _found(self, name: str) -> Vm:
        vm = await self._find(name) if is_name(name) else None
        if vm is None:
            raise Refused(f"There is no machine {name}.")
        return vm

    def _may_be_ours(self, vm: Vm) -> bool:
        first = self._options.first_id
        return first <= vm.id < first + _IDS and not vm.template

    async def _machine(self, vm: Vm) -> Machine:
        power = _power(vm)
        machine = Machine(vm.name, _ref(vm), power, unfinished=not (vm.finished or vm.lock))
        if vm.lock in {"clone", "create"}:
            return Machine(vm.name, _ref(vm), Power.STARTING, detail=CLONING)
        if machine.unfinished:
            return Machine(vm.name, _ref(vm), Power.STARTING, detail=SETTING_UP, unfinished=True)
        if power is not Power.RUNNING:
            return machine
        host = await self._pve(lambda pve: pve.address(vm))
        if not host:
            return Machine(vm.name, _ref(vm), Power.STARTING, detail=BOOTING)
        return Machine(vm.name, _ref(vm), power, host=host, private_ip=host)

    # --- making

    async def _clone(self, spec: MachineSpec) -> Vm:
        template = await self._template()
        async with self._room(spec, template) as node:
            for new in _ids(spec.name, self._options.first_id):
                holder = await self._pve(partial(Pve.vm, number=new))
                if holder is None:
                    await self._copy(template, new, spec.name, node)
                if (made := await self._find(spec.name)) is not None:
                    return made
                if holder is None or holder.lock:
                    raise TryAgain("The copy is not there yet.")  # a copy has no name in its first moments
        raise TryAgain("No id is free for another machine.")

    async def _copy(self, template: Vm, new: int, name: str, node: str) -> None:
        storage = self._options.storage
        try:
            await self._do(
                lambda pve: pve.clone(template, new, name, node=node, storage=storage), seconds=_CLONE_SECONDS
            )
        except (_StillRunning, Taken):
            return  # it is met again; of two who make it at once, one is told that it is there

    async def _template(self) -> Vm:
        found = await self._pve(lambda pve: [vm for vm in pve.vms() if vm.id == self._options.template])
        if not found:
            raise TryAgain(f"PROXMOX_TEMPLATE: there is no virtual machine {self._options.template} for our token.")
        return found[0]

    @asynccontextmanager
    async def _room(self, spec: MachineSpec, template: Vm) -> AsyncIterator[str]:
        """Hold memory on the node with most room until the machine shows there.

        Raises:
            OutOfCapacity: none has enough.
        """
        vms, hosts = await self._pve(lambda pve: (pve.vms(), pve.hosts()))
        allowed = self._options.nodes or (template.node,)
        free = {host.name: host.memory - self._options.reserve_mb * _MIB for host in hosts if host.name in allowed}
        promised = {name: promise for name, promise in self._promised.items() if name != spec.name}
        for node, memory in [
            *((vm.node, vm.memory) for vm in vms if not vm.template and vm.name not in promised),
            *promised.values(),
        ]:
            if node in free:
                free[node] -= memory
        node = max(free, key=lambda name: free[name], default="")
        if not node or free[node] < spec.memory_mb * _MIB:
            raise OutOfCapacity("There is no room for another machine of this size now.")
        self._promised[spec.name] = (node, spec.memory_mb * _MIB)
        try:
            yield node
        except BaseException:
            self._promised.pop(spec.name, None)
            raise

    async def _set_up(self, vm: Vm, spec: MachineSpec) -> None:
        """Give a fresh copy its size and its second disk; the tag comes last, and then the start."""
        options, iso = self._options, _iso(spec.name)
        config = await self._pve(lambda pve: pve.config(vm))
        image = seed(spec)
        await self._do(lambda pve: pve.upload(vm.node, options.iso_storage, iso, image))
        disk = _boot_disk(config)
        if _size_gb(config[disk]) < spec.disk_gb:
            await self._do(lambda pve: pve.resize(vm, disk, spec.disk_gb))
        others = [key for key, value in config.items() if "cloudinit" in value and key != "ide2"]
        bridge = options.public_bridge if spec.public else options.bridge
        settings: dict[str, Any] = {
            "cores": spec.vcpus,
            "sockets": 1,
            "memory": spec.memory_mb,
            "net0": f"virtio,bridge={bridge}",
            "ide2": f"{options.iso_storage}:iso/{iso},media=cdrom",
            "agent": 1,
            "onboot": 1,
            "tags": TAG,
        }
        if others:
            settings["delete"] = ",".join(others)  # Proxmox's own cloud-init disk would tell the guest something else
        await self._do(lambda pve: pve.configure(vm, settings))
        self._promised.pop(spec.name, None)
        await self._start(vm)

    async def _start(self, vm: Vm) -> None:
        try:
            await self._do(lambda pve: pve.status(vm, "start"))
        except TryAgain:
            now = await self._find(vm.name)
            if now is None or now.status != "running":
                raise  # else somebody else has just started it

    # --- removing

    async def _remove(self, vm: Vm) -> None:
        if vm.lock in {"clone", "create"}:
            raise TryAgain("Its disk is still being copied.")
        if vm.status == "running":
            await self._do(lambda pve: pve.status(vm, "stop"))
        with suppress(Missing):
            await self._do(lambda pve: pve.remove_iso(vm.node, self._options.iso_storage, _iso(vm.name)))
        await self._do(lambda pve: pve.destroy(vm))
        self._promised.pop(vm.name, None)

    async def _do(self, begin: Callable[[Pve], str], seconds: float = _TASK_SECONDS) -> None:
        """Begin a task and wait for its end.

        Raises:
            DriverError: it failed.
        """
        task = await self._pve(begin)
        if not task:
            return
        try:
            async with asyncio.timeout(seconds):
                while (outcome := await self._pve(lambda pve: pve.outcome(task))) is None:  # noqa: ASYNC110 over HTTP
                    await asyncio.sleep(self._options.poll_seconds)
        except TimeoutError:
            raise _StillRunning("Proxmox takes its time.") from None
        if outcome != "OK" and not outcome.startswith("WARNINGS"):
            raise meaning(outcome)


class _StillRunning(TryAgain):
    """A task goes on without us."""


def _ids(name: str, first: int) -> list[int]:
    """Return the ids that a machine of this name may get, the same ones in the same order for everybody."""
    start = int.from_bytes(sha256(name.encode()).digest()[:8], "big")
    return [first + (start + step) % _IDS for step in range(_TRIES)]


def _power(vm: Vm) -> Power:
    if vm.status == "unknown":
        raise TryAgain("The node that it is on does not answer.")
    return Power.RUNNING if vm.status == "running" else Power.STOPPED


def _ref(vm: Vm) -> str:
    return f"{vm.node}/{vm.id}"


def _iso(name: str) -> str:
    return f"{TAG}-{name}.iso"


def _boot_disk(config: Mapping[str, str]) -> str:
    """Return which of the template's disks it boots from."""
    order: list[str] = re.findall(r"\w+", config.get("boot", "").partition("order=")[2])
    disks = [key for key in config if _DISKS.fullmatch(key) and "media=cdrom" not in config[key]]
    for key in [*order, *sorted(disks)]:
        if key in disks:
            return key
    raise Refused("PROXMOX_TEMPLATE: it has no disk to boot from.")


def _size_gb(drive: str) -> float:
    found = re.search(r"size=(\d+(?:\.\d+)?)([KMGT])", drive)
    return float(found[1]) * _UNITS[found[2]] if found else 0.0
