"""Machines that exist only as files: for tests, and for a demo where QEMU cannot be had.

One JSON file per machine, so that they survive a restart and `kill -9` and several processes see the same.
No wall clock: a machine boots by being looked at.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from cloud.drivers.base import Capabilities, Machine, MachineSpec, OutOfCapacity, Power, Refused, TryAgain
from cloud.drivers.files import check_name, is_name, locked, read_json, spec_to_json, write_atomic

T = TypeVar("T")

_FIRST_PORT = 20000


class Fault(StrEnum):
    """What goes wrong with machines whose name or host name fits a pattern."""

    REFUSE = "refuse"
    """`create` raises `Refused`."""
    NO_CAPACITY = "no capacity"
    """`create` raises `OutOfCapacity`."""
    TRY_AGAIN = "try again"
    """The first `create` of each driver object raises `TryAgain`."""
    NEVER_READY = "never ready"
    """It boots for ever."""
    VANISH = "vanish"
    """It is seen running once and is gone afterwards."""


class SimulatedDriver:
    """The `Driver` protocol on a folder of JSON files."""

    def __init__(
        self,
        directory: Path,
        *,
        gets_until_running: int = 1,
        capacity: int = 1000,
        faults: Mapping[str, Fault] | None = None,
    ) -> None:
        """Use the machines in `directory`, which is made when it is missing.

        Args:
            directory: where the files are.
            gets_until_running: how many calls of `get` a boot takes; the last of them says running.
            capacity: how many machines there can be.
            faults: by pattern of name or host name (`fnmatch`), what goes wrong; may be changed later.
        """
        self.directory = directory
        self.gets_until_running = gets_until_running
        self.capacity = capacity
        self.faults = dict(faults or {})
        self._told_to_try_again: set[str] = set()

    async def capabilities(self) -> Capabilities:
        """Return that nothing here is real."""
        return Capabilities(real=False, public_ip=True, private_network=True, boots_at_once=1000, clusters=True)

    async def prepare(self) -> None:
        """Nothing is to be done before the first machine."""

    async def create(self, spec: MachineSpec) -> Machine:
        """Write the machine's file, unless there is one."""
        return await self._locked(lambda: self._create(spec))

    async def get(self, name: str) -> Machine | None:
        """Return the machine; looking at it lets it boot on."""
        return await self._locked(lambda: self._look(name))

    async def list_owned(self) -> list[Machine]:
        """Return all machines without letting them boot on."""
        return await self._locked(lambda: [_machine(state) for state in self._states()])

    async def delete(self, name: str) -> None:
        """Remove the machine's file."""
        if is_name(name):
            await self._locked(lambda: self._path(name).unlink(missing_ok=True))

    async def power_off(self, name: str) -> None:
        """Turn it off; what is off or missing stays so."""
        await self._locked(lambda: self._switch(name, Power.STOPPED, missing_ok=True))

    async def power_on(self, name: str) -> None:
        """Let it boot, unless it runs."""
        await self._locked(lambda: self._switch(name, Power.STARTING, missing_ok=False))

    async def reboot(self, name: str) -> None:
        """Let it boot again."""

        def again() -> None:
            self._switch(name, Power.STOPPED, missing_ok=False)
            self._switch(name, Power.STARTING, missing_ok=False)

        await self._locked(again)

    async def check(self) -> str:
        """Return how many there are."""
        count = len(await self.list_owned())
        return f"simulated machines, {count} of {self.capacity} in use; nothing real is started"

    async def close(self) -> None:
        """Do nothing: no connection is held."""

    async def _locked(self, work: Callable[[], T]) -> T:
        """Do `work` on the files in a thread, alone among all processes."""

        def alone() -> T:
            with locked(self.directory / ".lock"):
                return work()

        return await asyncio.to_thread(alone)

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.json"

    def _read(self, name: str) -> dict[str, Any] | None:
        return read_json(self._path(name)) if is_name(name) else None

    def _write(self, state: dict[str, Any]) -> None:
        write_atomic(self._path(state["spec"]["name"]), json.dumps(state, indent=1))

    def _states(self) -> list[dict[str, Any]]:
        found = (read_json(path) for path in sorted(self.directory.glob("*.json")))
        return [state for state in found if state is not None]

    def _fault(self, *names: str) -> Fault | None:
        for pattern, fault in self.faults.items():
            if any(fnmatchcase(name, pattern) for name in names):
                return fault
        return None

    def _create(self, spec: MachineSpec) -> Machine:
        check_name(spec.name)
        state = self._read(spec.name)
        if state is None:
            others = self._states()
            self._refuse(spec, len(others))
            taken = {other["number"] for other in others}
            number = next(n for n in range(1, len(taken) + 2) if n not in taken)
            state = {"spec": spec_to_json(spec), "number": number, "power": Power.STARTING, "gets": 0}
            self._write(state)
        return _machine(state)

    def _refuse(self, spec: MachineSpec, machines: int) -> None:
        fault = self._fault(spec.name, spec.hostname)
        if fault is Fault.REFUSE:
            raise Refused(f"{spec.hostname} was refused, as this simulation was told to.")
        if fault is Fault.NO_CAPACITY or machines >= self.capacity:
            raise OutOfCapacity("There is no room for another machine of this size now.")
        if fault is Fault.TRY_AGAIN and spec.name not in self._told_to_try_again:
            self._told_to_try_again.add(spec.name)
            raise TryAgain("The simulated cloud does not answer now.")

    def _look(self, name: str) -> Machine | None:
        state = self._read(name)
        if state is None:
            return None
        fault = self._fault(name, state["spec"]["hostname"])
        if state["power"] == Power.STARTING and fault is not Fault.NEVER_READY:
            state["gets"] += 1
            if state["gets"] >= self.gets_until_running:
                state["power"] = Power.RUNNING
            self._write(state)
        elif state["power"] == Power.RUNNING and fault is Fault.VANISH:
            self._path(name).unlink(missing_ok=True)
            return None
        return _machine(state)

    def _switch(self, name: str, power: Power, *, missing_ok: bool) -> None:
        state = self._read(name)
        if state is None:
            if missing_ok:
                return
            raise Refused(f"There is no machine {name}.")
        if power is Power.STARTING and state["power"] != Power.STOPPED:
            return
        state |= {"power": power, "gets": 0}
        self._write(state)


def _machine(state: Mapping[str, Any]) -> Machine:
    """Return a file's content as the protocol shows it; addresses are of ranges that lead nowhere."""
    spec, number, power = state["spec"], state["number"], Power(state["power"])
    details = {Power.STARTING: "booting (simulated)", Power.RUNNING: "", Power.STOPPED: "off"}
    return Machine(
        name=spec["name"],
        ref=f"simulated/{number}",
        power=power,
        host=f"203.0.113.{number % 254 + 1}" if spec["public"] else "127.0.0.1",
        port=22 if spec["public"] else _FIRST_PORT + number,
        private_ip=f"10.77.{number // 250}.{number % 250 + 2}" if spec["network"] else "",
        detail=details[power],
    )
