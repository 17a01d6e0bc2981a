"""The `Driver` protocol on QEMU guests of this host, without a daemon of ours.

Guests are processes of their own: they go on when the product ends, however it ends, and are found again by
their folders. What blocks is in `host`; here is what waits.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

from cloud.drivers.base import PREPARING, Capabilities, Machine, MachineSpec, NotYet, Power, Refused, TryAgain
from cloud.drivers.files import is_name, try_lock
from cloud.drivers.qemu import image as images
from cloud.drivers.qemu import lan, process
from cloud.drivers.qemu.background import in_background
from cloud.drivers.qemu.boots import Slot, Slots
from cloud.drivers.qemu.folder import Phase, Record, boot_id
from cloud.drivers.qemu.host import Host
from cloud.drivers.qemu.network import ssh_banner
from cloud.drivers.qemu.options import QemuOptions
from cloud.drivers.qemu.process import Process
from cloud.drivers.qemu.qmp import tell

P = ParamSpec("P")
T = TypeVar("T")

_IMAGE_SECONDS = 1.0
_QUIT_SECONDS = 5.0
_KILL_SECONDS = 10.0
_BUTTON_SECONDS = 3.0
_GREETS_WITHIN = 1.0
_GREETS_LATE_WITHIN = 60.0
"""Seen: 22 s, in software emulation on a host with other things to do; hanging up earlier only makes it worse."""
_ASK_SECONDS = 0.2
_ASK_OFTEN = 15
_ASK_LATER_SECONDS = 4.0


class QemuDriver:
    """Machines on this host."""

    def __init__(
        self,
        directory: Path,
        *,
        image: images.Kind = "tiny",
        options: QemuOptions | None = None,
        image_directory: Path | None = None,
    ) -> None:
        """Use the machines and images in `directory`; nothing is touched yet.

        Args:
            directory: made when missing; readable by nobody else.
            image: what new machines are made from: `tiny`, `debian`, the path of a cloud image, or a download.
            options: what the operator set.
            image_directory: where images are, if not in `directory`: several installations may share one.
        """
        directory = directory.resolve()
        self.options = options or QemuOptions()
        self._image_directory = (image_directory or directory / "images").resolve()
        self._preparing: asyncio.Future[None] | None = None
        self._host = Host(directory / "machines", self._image_directory, image, self.options)
        self._slots = Slots(self._host.machines, self.options.boots_at_once)
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._answered: dict[str, Process] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def capabilities(self) -> Capabilities:
        """Return what this host offers: public addresses only if the operator gave some, clusters only as root.

        The tiny guest has neither cloud-init nor systemd, so it cannot be a node.
        """
        return Capabilities(
            real=True,
            public_ip=bool(self.options.public_ips),
            private_network=lan.available(),
            boots_at_once=self.options.boots_at_once,
            clusters=lan.available() and self._host.image != "tiny",
        )

    async def prepare(self) -> None:
        """Build or load the image if that was not done before."""
        if self._preparing is None:
            self._preparing = in_background(lambda: images.prepare(self._host.image, self._image_directory))
        pending = self._preparing
        try:
            await asyncio.shield(pending)
        finally:
            if pending.done() and self._preparing is pending:
                self._preparing = None

    async def create(self, spec: MachineSpec) -> Machine:
        """Write the machine down and boot it now, or when its turn comes; see `Driver.create`."""
        async with self._alone(spec.name):
            record = self._read(spec.name)
            if record is not None and record.phase is Phase.DELETING:
                await self._remove(spec.name)
                record = None
            if record is None:
                await self._need_image()
                record = await _finished(self._host.order, spec)
            if record.phase is Phase.QUEUED:
                await self._boot_soon(spec.name)
        machine = await self.get(spec.name)
        if machine is None:
            raise TryAgain(f"The machine {spec.name} was deleted while it was being made.")
        return machine

    async def get(self, name: str) -> Machine | None:
        """Return the machine; one that waits for its turn to boot is put in the queue if nobody has."""
        machine = await self._look(name)
        if machine is not None and machine.power is Power.STARTING:
            with suppress(TryAgain):  # written down, and told as the machine's detail
                await self._resume(name)
        return machine

    async def list_owned(self) -> list[Machine]:
        """Return all machines, half made ones too."""
        names = await asyncio.to_thread(self._host.names)
        looks = await asyncio.gather(*(self._look(name) for name in names))
        return [machine for machine in looks if machine is not None]

    async def delete(self, name: str) -> None:
        """End the machine at once and remove all of it."""
        if is_name(name):
            async with self._alone(name):
                await self._remove(name)

    async def power_off(self, name: str) -> None:
        """Press the power button; after `shutdown_seconds` pull the plug."""
        async with self._alone(name):
            record = self._read(name)
            if record is None or record.phase is Phase.DELETING:
                return
            self._host.folder(name).mark(record, Phase.OFF)
            running = self._find(name)
            if running is not None and not await self._shut_down(name, running):
                with suppress(TryAgain):
                    await tell(self._host.folder(name).control, "quit")
                await self._end(running, _QUIT_SECONDS)

    async def power_on(self, name: str) -> None:
        """Boot it, now or when its turn comes."""
        async with self._alone(name):
            record = self._existing(name)
            if self._find(name) is None:
                await _finished(self._host.queue, record)
                await self._boot_soon(name)
            elif record.phase is Phase.OFF:  # we died between the intent and the power button
                self._host.folder(name).mark(record, Phase.STARTED)

    async def reboot(self, name: str) -> None:
        """Shut it down and boot it; a guest that does not listen is reset."""
        async with self._alone(name):
            record = self._existing(name)
            running = self._find(name)
            if running is None:
                await _finished(self._host.queue, record)
            else:
                self._host.folder(name).mark(record, Phase.QUEUED)
                if not await self._shut_down(name, running):
                    await tell(self._host.folder(name).control, "system_reset")
                    self._host.folder(name).mark(record, Phase.STARTED)
            self._answered.pop(name, None)
            await self._boot_soon(name)

    async def check(self) -> str:
        """Return one line on this host: version, acceleration, image, room, isolation."""
        return await asyncio.to_thread(self._host.check)

    async def close(self) -> None:
        """Stop watching boots. Guests go on; those in the queue are taken up by the next `get`."""
        tasks = [*self._waiting.values(), *self._watching.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _need_image(self) -> None:
        """Return if the image is there; begin to make it if not.

        Raises:
            NotYet: it is being made.
            DriverError: it could not be made the last time.
        """
        if not images.is_ready(self._host.image, self._image_directory):
            try:
                async with asyncio.timeout(_IMAGE_SECONDS):
                    await self.prepare()
            except TimeoutError:
                raise NotYet(PREPARING) from None

    @asynccontextmanager
    async def _alone(self, name: str) -> AsyncIterator[None]:
        """Be the only one, among all tasks and processes, who changes this machine."""
        path = self._host.machines / f".{name}.lock"
        async with self._locks.setdefault(name, asyncio.Lock()):
            while (descriptor := try_lock(path)) is None:  # noqa: ASYNC110 -- another process has no event for us
                await asyncio.sleep(0.05)
            try:
                yield
            finally:
                if not self._host.folder(name).path.exists():
                    path.unlink(missing_ok=True)
                os.close(descriptor)

    def _read(self, name: str) -> Record | None:
        return self._host.folder(name).read() if is_name(name) else None

    def _find(self, name: str) -> Process | None:
        return process.find(self._host.folder(name).pidfile)

    def _existing(self, name: str) -> Record:
        record = self._read(name)
        if record is None or record.phase is Phase.DELETING:
            raise Refused(f"There is no machine {name}.")
        return record

    async def _look(self, name: str) -> Machine | None:
        record = self._read(name)
        if record is None:
            exists = is_name(name) and self._host.folder(name).path.exists()
            return Machine(name, f"qemu/{name}", Power.STOPPED, detail="half made") if exists else None
        power, detail = await self._state(name, record)
        return Machine(
            name=name,
            ref=f"qemu/{name}",
            power=power,
            host=record.host,
            port=record.port,
            private_ip=record.private_ip,
            detail=detail,
            ports=record.ports,
        )

    async def _state(self, name: str, record: Record) -> tuple[Power, str]:
        running = self._find(name)
        if record.phase is Phase.DELETING:
            return Power.STOPPED, "being deleted"
        if running is None:
            if record.phase is Phase.QUEUED:
                return Power.STARTING, record.trouble or "waiting for its turn to boot"
            if record.phase is Phase.STARTED and record.boot_id != boot_id():
                return Power.STARTING, "its host was restarted; waiting for its turn to boot"
            return Power.STOPPED, "off"
        if self._answered.get(name) != running and name not in self._watching:
            if await self._ask(name, record, running):
                return Power.RUNNING, ""
            self._keep(self._watching, name, self._watch(name))
        if self._answered.get(name) == running:
            return Power.RUNNING, ""
        return Power.STARTING, "booting, waiting for its SSH server"

    async def _ask(self, name: str, record: Record, running: Process, seconds: float = _GREETS_WITHIN) -> bool:
        """Return, and remember for as long as it runs, whether the guest's SSH server greets."""
        if await ssh_banner(record.bind, record.port, seconds=seconds):
            self._answered[name] = running
            return True
        return False

    async def _resume(self, name: str) -> None:
        """Queue a machine that ought to run and whose boot nobody in this process sees to."""
        if name in self._waiting or self._find(name) is not None:
            return
        async with self._alone(name):
            record = self._read(name)
            if record is None or self._find(name) is not None:
                return
            if record.phase is Phase.STARTED and record.boot_id != boot_id():
                record = self._host.folder(name).mark(record, Phase.QUEUED)
            if record.phase is Phase.QUEUED:
                await self._boot_soon(name)

    async def _boot_soon(self, name: str) -> None:
        """Boot a queued machine: at once if there is a slot, so that a short job does it too, or in its turn."""
        if name in self._waiting:
            return
        slot = self._slots.take_now()
        if slot is None:
            self._keep(self._waiting, name, self._boot_in_turn(name))
            return
        try:
            await self._start(name)
        except BaseException:
            slot.release()
            raise
        self._keep(self._watching, name, self._watch_boot(name, slot))

    def _keep(self, tasks: dict[str, asyncio.Task[None]], name: str, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        tasks[name] = task
        task.add_done_callback(lambda done: tasks.pop(name) if tasks.get(name) is done else None)

    async def _start(self, name: str) -> None:
        record = self._read(name)
        if record is not None and record.phase is Phase.QUEUED:
            await _finished(self._host.start, record)

    async def _boot_in_turn(self, name: str) -> None:
        slot = await self._slots.take()
        try:
            async with self._alone(name):
                await self._start(name)
        except TryAgain:  # written down for people; the next look tries again
            slot.release()
        except BaseException:
            slot.release()
            raise
        else:
            self._keep(self._watching, name, self._watch_boot(name, slot))

    async def _watch_boot(self, name: str, slot: Slot) -> None:
        """Watch, and keep the slot until the guest's SSH server answers, it ends, or it has had its time."""
        timer = asyncio.get_running_loop().call_later(self.options.boot_seconds, slot.release)
        try:
            await self._watch(name)
        finally:
            timer.cancel()
            slot.release()

    async def _watch(self, name: str) -> None:
        """Ask until the guest's SSH server answers or it ends.

        Often at first, then slowly, and nobody else asks meanwhile: what is asked before the guest has a network
        is put to it later all at once, and few may wait at an SSH server.
        """
        asked = 0
        while (record := self._read(name)) and (running := self._find(name)):
            early = asked < _ASK_OFTEN
            if await self._ask(name, record, running, _GREETS_WITHIN if early else _GREETS_LATE_WITHIN):
                break
            asked += 1
            await asyncio.sleep(_ASK_SECONDS if early else _ASK_LATER_SECONDS)

    async def _shut_down(self, name: str, running: Process) -> bool:
        """Return whether the guest shuts down when its power button is pressed; a booting one may miss it once."""
        control = self._host.folder(name).control
        loop = asyncio.get_running_loop()
        until = loop.time() + self.options.shutdown_seconds
        while (left := until - loop.time()) > 0:
            with suppress(TryAgain):  # it may be gone by now
                await tell(control, "system_powerdown")
            if await running.ended(min(_BUTTON_SECONDS, left)):
                return True
        return not running.is_alive()

    async def _end(self, running: Process, seconds: float) -> None:
        """Wait, then kill."""
        if not await running.ended(seconds):
            running.kill()
            if not await running.ended(_KILL_SECONDS):
                raise TryAgain("The machine's QEMU does not end.")

    async def _remove(self, name: str) -> None:
        folder = self._host.folder(name)
        if not folder.path.exists():
            return
        record = folder.read()
        if record is not None:
            folder.mark(record, Phase.DELETING)
        running = await asyncio.to_thread(process.find, folder.pidfile, thorough=True)
        if running is not None:
            await self._end(running, 0)
        if record is not None:
            await _finished(self._host.leave, record)
        await _finished(folder.remove)
        self._answered.pop(name, None)


async def _finished(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do blocking work in a thread, to its end even when we are cancelled: the machine's lock must outlast it."""
    task = asyncio.create_task(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
