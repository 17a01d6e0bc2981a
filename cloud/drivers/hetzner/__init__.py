"""Machines at Hetzner Cloud."""

from cloud.drivers.hetzner.api import HetznerOptions
from cloud.drivers.hetzner.driver import HetznerDriver

__all__ = ["HetznerDriver", "HetznerOptions"]
