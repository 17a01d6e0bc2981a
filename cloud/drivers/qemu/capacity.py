"""Is there room for one more machine on this host?"""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cloud.drivers.base import OutOfCapacity
from cloud.drivers.qemu.folder import Phase, Record
from cloud.drivers.qemu.options import QemuOptions

MEMORY_MB_OF_QEMU = 100
"""What a QEMU takes beside its guest's memory."""
DISK_GB_KEPT = 2
"""What the host's own disk keeps, however little guests have filled."""


@dataclass(frozen=True, slots=True)
class Room:
    """An amount of what a host has: MiB of memory, virtual processors, GiB of disk."""

    memory_mb: int
    vcpus: int
    disk_gb: int

    def __sub__(self, other: "Room") -> "Room":
        """Return what is left."""
        return Room(self.memory_mb - other.memory_mb, self.vcpus - other.vcpus, self.disk_gb - other.disk_gb)


def host_room(directory: Path, options: QemuOptions) -> Room:
    """Return all that this host sells, machines that exist included."""
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    disks = sum(path.stat().st_blocks * 512 for path in directory.glob("*/disk.qcow2"))
    disk_gb = (shutil.disk_usage(directory).free + disks >> 30) - DISK_GB_KEPT
    return Room(
        memory_mb=int(memory_mb * options.memory_overcommit),
        vcpus=int(options.processors * options.cpu_overcommit),
        disk_gb=int(max(disk_gb, 0) * options.disk_overcommit),
    )


def used_room(records: Iterable[Record]) -> Room:
    """Return what machines take; one that is off takes only its disk."""
    records = list(records)
    running = [record for record in records if record.phase in {Phase.QUEUED, Phase.STARTED}]
    return Room(
        memory_mb=sum(record.memory_mb + MEMORY_MB_OF_QEMU for record in running),
        vcpus=sum(record.spec.vcpus for record in running),
        disk_gb=sum(record.spec.disk_gb for record in records),
    )


def check_room(total: Room, others: Iterable[Record], wanted: Record) -> None:
    """Raise `OutOfCapacity`, naming what is short, unless `wanted` fits beside `others`."""
    left = total - used_room(others) - used_room([wanted])
    short = {"memory": left.memory_mb, "processors": left.vcpus, "disk": left.disk_gb}
    names = [name for name, amount in short.items() if amount < 0]
    if names:
        raise OutOfCapacity(f"This host is sold out for machines of this size (no {' and no '.join(names)} left).")
