"""Machines on this host: each a QEMU process of its own, kept in a folder of its own."""

from cloud.drivers.qemu.driver import QemuDriver
from cloud.drivers.qemu.options import QemuOptions

__all__ = ["QemuDriver", "QemuOptions"]
