"""Every call of a driver in the log: what was asked of which machine, how long it took, what came of it."""

import logging
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from cloud.drivers.base import Capabilities, Driver, DriverError, Machine, MachineSpec

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoggedDriver:
    """A driver that tells of its calls: what changes something at `info`, what only looks at `debug`."""

    driver: Driver

    async def capabilities(self) -> Capabilities:
        """Return what can be offered here."""
        return await _told("capabilities", "", self.driver.capabilities(), logging.DEBUG)

    async def prepare(self) -> None:
        """Do what is done once before the first machine."""
        await _told("prepare", "", self.driver.prepare())

    async def create(self, spec: MachineSpec) -> Machine:
        """Make the machine, or return the one of that name."""
        return await _told("create", spec.name, self.driver.create(spec))

    async def get(self, name: str) -> Machine | None:
        """Return the machine as it is now."""
        return await _told("get", name, self.driver.get(name), logging.DEBUG)

    async def list_owned(self) -> list[Machine]:
        """Return every machine that this product made here."""
        return await _told("list_owned", "", self.driver.list_owned(), logging.DEBUG)

    async def delete(self, name: str) -> None:
        """Remove the machine with its disk."""
        await _told("delete", name, self.driver.delete(name))

    async def power_off(self, name: str) -> None:
        """Ask the guest to shut down."""
        await _told("power_off", name, self.driver.power_off(name))

    async def power_on(self, name: str) -> None:
        """Start a stopped machine."""
        await _told("power_on", name, self.driver.power_on(name))

    async def reboot(self, name: str) -> None:
        """Restart the guest."""
        await _told("reboot", name, self.driver.reboot(name))

    async def check(self) -> str:
        """Return one line for `doctor`."""
        return await _told("check", "", self.driver.check())

    async def close(self) -> None:
        """Let go of connections."""
        await self.driver.close()


async def _told(what: str, name: str, call: Awaitable[T], level: int = logging.INFO) -> T:
    """Await a call and log what came of it; one that was broken off, by a time-out too, says so."""
    began = time.perf_counter()
    outcome = "broken off"
    try:
        result = await call
        outcome = "nothing" if result is None and what == "get" else "done"
    except DriverError as error:
        outcome = f"{type(error).__name__}: {error}"
        raise
    except Exception as error:
        outcome = type(error).__name__
        raise
    else:
        return result
    finally:
        log.log(level, "cloud %s %s: %s, %.0f ms", what, name or "-", outcome, 1000 * (time.perf_counter() - began))
