"""The blocking half of the driver: what is done to files and processes of this host, step by step.

Each function may be interrupted anywhere and called again; `Folder` says what was meant. The caller holds the
machine's lock.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cloud.drivers.base import MachineSpec, Refused, TryAgain
from cloud.drivers.files import check_name, locked
from cloud.drivers.qemu import capacity, image, lan, network, process, tap, uplink
from cloud.drivers.qemu.accel import kvm_works
from cloud.drivers.qemu.command import Devices, command_line
from cloud.drivers.qemu.folder import Folder, Phase, Record, boot_id
from cloud.drivers.qemu.network import Address
from cloud.drivers.qemu.options import QemuOptions
from cloud.drivers.qemu.seed import Outside, seed
from cloud.drivers.qemu.tools import ToolFailed, run


@dataclass(frozen=True)
class Host:
    """This host, as far as machines go.

    Attributes:
        machines: the folder of all machines' folders.
        images: the folder of all images.
        image: what new machines are made from.
        options: what the operator set.
    """

    machines: Path
    images: Path
    image: image.Kind
    options: QemuOptions

    def folder(self, name: str) -> Folder:
        """Return a machine's folder, whether it exists or not."""
        return Folder(self.machines / name)

    def names(self) -> list[str]:
        """Return the names of all machines, half made ones too."""
        if not self.machines.is_dir():
            return []
        return sorted(path.name for path in self.machines.iterdir() if not path.name.startswith("."))

    def order(self, spec: MachineSpec) -> Record:
        """Find room and an address for a new machine and write it down.

        Raises:
            Refused: such a machine cannot be made here.
            OutOfCapacity: no room, or no address.
        """
        check_name(spec.name)
        if spec.network is not None and not lan.available():
            raise Refused("Machines on this host cannot share a private network.")
        boot = image.prepare(self.image, self.images)
        with locked(self.machines / ".lock"):
            others = self._records(but=spec.name)
            address, ports = self._choose(spec, others)
            record = Record(
                spec=spec,
                phase=Phase.QUEUED,
                bind=address.bind,
                host=address.host,
                port=address.port,
                image=boot.folder,
                memory_mb=self.options.memory_mb(spec.memory_mb),
                private_ip=_private_ip(spec, others),
                ports=ports,
                bridge=address.bridge,
            )
            capacity.check_room(self.room(), others, record)
            return self.folder(spec.name).write(record)

    def _choose(self, spec: MachineSpec, others: Iterable[Record]) -> tuple[Address, tuple[tuple[int, int], ...]]:
        """Return where a new machine is reached: by SSH, and at each port of its spec."""
        taken = {address for record in others for address in record.addresses}
        address = network.choose_address(public=spec.public, taken=taken, options=self.options)
        taken.add((address.bind, address.port))
        ports = []
        for inside in spec.ports:
            outside = network.choose_port(address, inside, taken=taken, options=self.options, own=spec.public)
            taken.add((address.bind, outside))
            ports.append((inside, outside))
        return address, tuple(ports)

    def queue(self, record: Record) -> Record:
        """Write down that a machine is to be booted.

        Raises:
            OutOfCapacity: there is no room for it now.
        """
        with locked(self.machines / ".lock"):
            capacity.check_room(self.room(), self._records(but=record.spec.name), record)
            return self.folder(record.spec.name).mark(record, Phase.QUEUED)

    def room(self) -> capacity.Room:
        """Return what this host sells in all."""
        self.machines.mkdir(mode=0o700, parents=True, exist_ok=True)
        return capacity.host_room(self.machines, self.options)

    def room_left(self) -> capacity.Room:
        """Return what this host can still sell."""
        return self.room() - capacity.used_room(self._records())

    def start(self, record: Record) -> Record:
        """Start a machine's QEMU, making its disk and seed first if they are missing.

        Raises:
            TryAgain: it does not start; the reason is written down too.
        """
        folder = self.folder(record.spec.name)
        if process.find(folder.pidfile, thorough=True) is None:
            try:
                self._launch(folder, record)
            except ToolFailed as error:
                folder.write(replace(self._with_free_port(record, error), trouble=str(error)))
                raise
        return folder.write(replace(record, phase=Phase.STARTED, boot_id=boot_id(), trouble=""))

    def _launch(self, folder: Folder, record: Record) -> None:
        boot = image.load(record.image)
        if not folder.disk.exists():
            image.make_disk(boot, folder.disk, record.spec.disk_gb)
        if not folder.seed.exists():
            draft = folder.seed.with_suffix(".draft")
            draft.write_bytes(seed(record.spec, record.private_ip, self._outside(record)))
            draft.replace(folder.seed)
        folder.pidfile.unlink(missing_ok=True)
        folder.control.unlink(missing_ok=True)
        isolation = network.isolate(self.options.user)
        kvm = kvm_works(boot)
        with self._plugged(record) as devices:
            command = command_line(folder, record, boot, isolation, kvm=kvm, devices=devices)
            try:
                run("nice", *command, cwd=folder.path, pass_fds=devices.all())
            except ToolFailed as error:
                raise ToolFailed("QEMU", error.output) from error

    def _outside(self, record: Record) -> Outside | None:
        """Return what a machine must know of the public network that it is in, if it is in one."""
        if not record.bridge:
            return None
        if self.options.uplink is None or self.options.uplink.bridge != record.bridge:
            raise TryAgain(f"The machine {record.spec.name} belongs on the bridge {record.bridge}, which is not set.")
        return Outside(record.bind, self.options.uplink, network.resolvers_for_guests())

    @contextmanager
    def _plugged(self, record: Record) -> Iterator[Devices]:
        """Hold the open devices of a machine that is about to start."""
        with ExitStack() as held:
            public = private = None
            if record.bridge:
                uplink.need(record.bridge)
                with locked(self.machines / ".lock"):  # whoever comes later knows of more machines
                    uplink.guard(self.machines, {other.bind for other in self._records() if other.bridge})
                public = held.enter_context(tap.plugged(record.bridge, uplink.device_of(self.machines, record.bind)))
            if record.spec.network is not None:
                private = held.enter_context(lan.plugged(lan.bridge_of(self.machines, record.spec.network)))
            yield Devices(public, private)

    def leave(self, record: Record) -> None:
        """Remove what a machine that is being deleted leaves of its private network when it was the last one in it."""
        wanted = record.spec.network
        if wanted is None:
            return
        with locked(self.machines / ".lock"):
            others = self._records(but=record.spec.name)
            if not any(other.spec.network == wanted and other.phase is not Phase.DELETING for other in others):
                lan.remove(lan.bridge_of(self.machines, wanted))

    def _with_free_port(self, record: Record, error: ToolFailed) -> Record:
        """Return the record with another port if its own was taken by a stranger and nobody used it yet."""
        if record.boot_id or "host forwarding rule" not in error.output:
            return record
        with locked(self.machines / ".lock"):
            address, ports = self._choose(record.spec, self._records())
            return replace(
                record, bind=address.bind, host=address.host, port=address.port, ports=ports, bridge=address.bridge
            )

    def _records(self, *, but: str = "") -> list[Record]:
        found = (self.folder(name).read() for name in self.names() if name != but)
        return [record for record in found if record is not None]

    def check(self) -> str:
        """Return one line for `doctor`.

        Raises:
            TryAgain: programs are missing.
        """
        image.need_tools(self.image)
        version = run("qemu-system-x86_64", "--version").splitlines()[0].partition("version ")[2].split()[0]
        ready = image.is_ready(self.image, self.images)
        boots = "not yet known whether KVM works"
        if ready:
            kvm = kvm_works(image.prepare(self.image, self.images))
            boots = "KVM" if kvm else "software emulation (KVM does not boot a guest here)"
        if self.options.uplink is not None:
            uplink.need(self.options.uplink.bridge)
        left = self.room_left()
        cap = self.options.memory_mb_max
        parts = [
            f"QEMU {version}, {boots}, image {self.image}{'' if ready else ' (still to be made)'}",
            f"room for {left.memory_mb} MiB of memory, {left.vcpus} processors, {left.disk_gb} GiB of disk",
            f"guests get at most {cap} MiB whatever they are sold as" if cap else "",
            network.isolate(self.options.user).note,
            f"public addresses on {self.options.uplink.bridge}" if self.options.uplink else "",
        ]
        return "; ".join(part for part in parts if part)


def _private_ip(spec: MachineSpec, others: Iterable[Record]) -> str:
    """Return the address that a new machine gets in its private network, empty if it is in none."""
    if spec.network is None:
        return ""
    return lan.choose_address({other.private_ip for other in others if other.spec.network == spec.network})
