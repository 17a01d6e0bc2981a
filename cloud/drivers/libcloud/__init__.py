"""Machines in one of the clouds that Apache Libcloud speaks with."""

from cloud.drivers.libcloud.driver import LibcloudDriver
from cloud.drivers.libcloud.providers import LibcloudOptions

__all__ = ["LibcloudDriver", "LibcloudOptions"]
