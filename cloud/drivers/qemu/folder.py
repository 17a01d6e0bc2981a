"""A machine's folder: everything that is known of it, written before it is acted on.

The product may be killed at any line; whoever comes next reads here what was meant and finishes it.
"""

import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from shutil import rmtree

from cloud.drivers.base import MachineSpec
from cloud.drivers.files import read_json, spec_from_json, spec_to_json, write_atomic


class Phase(StrEnum):
    """What is meant to be with a machine."""

    QUEUED = "queued"
    """To be booted when its turn comes."""
    STARTED = "started"
    """Its QEMU was started; if it is gone, the guest shut itself down or the host was restarted."""
    OFF = "off"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class Record:
    """What is written down of a machine.

    Attributes:
        spec: what was asked for.
        phase: what is meant to be.
        bind: the address that its SSH port listens on.
        host: the address or name that customers are told.
        port: the forwarded port, the same for its whole life.
        image: the folder of the image that it was made from.
        memory_mb: MiB that the guest really gets.
        boot_id: the run of the host in which it was last started, empty before the first start.
        trouble: why the last start failed, empty if it did not.
        private_ip: its address in its private network, empty if it is in none.
        ports: the ports of its spec, each with the one at `bind` that leads there.
        bridge: the host's bridge that it is plugged into with `bind` as its own address; empty if ports lead to it.
    """

    spec: MachineSpec
    phase: Phase
    bind: str
    host: str
    port: int
    image: str
    memory_mb: int
    boot_id: str = ""
    trouble: str = ""
    private_ip: str = ""
    ports: tuple[tuple[int, int], ...] = ()
    bridge: str = ""

    @property
    def addresses(self) -> set[tuple[str, int]]:
        """All that it listens on."""
        return {(self.bind, self.port), *((self.bind, port) for _, port in self.ports)}


class Folder:
    """The files of one machine."""

    def __init__(self, path: Path) -> None:
        """Name the files; nothing is touched."""
        self.path = path
        self.name = path.name
        self.record_file = path / "machine.json"
        self.disk = path / "disk.qcow2"
        self.seed = path / "seed.iso"
        self.pidfile = path / "pid"
        self.control = path / "qmp"

    def read(self) -> Record | None:
        """Return what is written down, `None` when the machine is not or only half made."""
        data = read_json(self.record_file)
        if data is None:
            return None
        ports = tuple((inside, outside) for inside, outside in data.get("ports", ()))
        parts = {"spec": spec_from_json(data["spec"]), "phase": Phase(data["phase"]), "ports": ports}
        return Record(**{**data, **parts})

    def write(self, record: Record) -> Record:
        """Write down and return `record`."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = {**asdict(record), "spec": spec_to_json(record.spec)}
        write_atomic(self.record_file, json.dumps(data, indent=1))
        return record

    def mark(self, record: Record, phase: Phase) -> Record:
        """Write down that `phase` is meant from now on."""
        return self.write(replace(record, phase=phase, trouble=""))

    def remove(self) -> None:
        """Remove all files, the record last, so that a crash half way leaves a machine that is being deleted."""
        for path in self.path.iterdir() if self.path.is_dir() else ():
            if path != self.record_file:
                path.unlink(missing_ok=True)
        rmtree(self.path, ignore_errors=True)


def boot_id() -> str:
    """Return what tells this run of the host from every other."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
