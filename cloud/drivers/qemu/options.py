"""What an operator can set about machines on this host."""

import os
from dataclasses import dataclass, field

from cloud.drivers.qemu.uplink import Uplink

_FIRST_PORT, _LAST_PORT = 20000, 29999  # below the range that Linux hands out by itself


@dataclass(frozen=True, slots=True)
class QemuOptions:
    """How much this host sells, and where its machines are reached.

    Attributes:
        host: the name or address of this host that customers are told; machines without public IP are behind it.
        bind: the address that forwarded ports listen on.
        public_ips: addresses that machines with a public IP get, one each: of this host, or free ones on `uplink`.
        uplink: the network that machines with a public IP are in themselves; `None`: only their SSH port is
            forwarded to them.
        ports: the ports that machines without public IP get.
        memory_mb_max: a guest gets at most this much memory whatever it is sold as, for demos; `None`: no cap.
        memory_overcommit: sold memory as a multiple of the host's.
        cpu_overcommit: sold virtual processors as a multiple of the host's.
        disk_overcommit: sold disk as a multiple of what is free; disks grow only as they are filled.
        boots_at_once: how many guests may boot at the same time; without hardware virtualization they starve
            each other.
        boot_seconds: when a guest that shows no SSH server no longer counts as booting.
        shutdown_seconds: how long a guest may take to shut down before it is forced.
        user: the system user that guests run as, where the product runs as root.
    """

    host: str = "127.0.0.1"
    bind: str = "127.0.0.1"
    public_ips: tuple[str, ...] = ()
    uplink: Uplink | None = None
    ports: range = range(_FIRST_PORT, _LAST_PORT + 1)
    memory_mb_max: int | None = None
    memory_overcommit: float = 1.0
    cpu_overcommit: float = 8.0
    disk_overcommit: float = 4.0
    boots_at_once: int = 2
    boot_seconds: float = 60.0
    shutdown_seconds: float = 20.0
    user: str = "vmbot-guest"
    processors: int = field(default_factory=lambda: os.cpu_count() or 1)

    def memory_mb(self, sold_mb: int) -> int:
        """Return the MiB that a guest sold with `sold_mb` really gets."""
        return sold_mb if self.memory_mb_max is None else min(sold_mb, self.memory_mb_max)
