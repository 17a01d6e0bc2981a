"""Machines on a Proxmox VE cluster."""

from cloud.drivers.proxmox.driver import ProxmoxDriver
from cloud.drivers.proxmox.options import ProxmoxOptions

__all__ = ["ProxmoxDriver", "ProxmoxOptions"]
