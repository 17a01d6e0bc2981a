"""What small, medium and large are (requirement B3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Size:
    """What a machine of one size has.

    Attributes:
        name: `small`, `medium` or `large`.
        vcpus: number of virtual processors.
        memory_mb: MiB of memory.
        disk_gb: GiB of disk.
    """

    name: str
    vcpus: int
    memory_mb: int
    disk_gb: int

    def __str__(self) -> str:
        """Return it as people read it: `2 vCPU / 4 GB / 50 GB`."""
        return f"{self.vcpus} vCPU / {self.memory_mb // 1024} GB / {self.disk_gb} GB"


SIZES: Mapping[str, Size] = MappingProxyType(
    {
        size.name: size
        for size in (
            Size("small", vcpus=1, memory_mb=2048, disk_gb=25),
            Size("medium", vcpus=2, memory_mb=4096, disk_gb=50),
            Size("large", vcpus=4, memory_mb=8192, disk_gb=100),
        )
    }
)
"""By name, smallest first."""
