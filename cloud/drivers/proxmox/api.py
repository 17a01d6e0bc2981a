"""Proxmox VE's API by proxmoxer: the few calls that are needed, with its answers and errors in our words.

Everything here blocks and is called in threads.
"""

import io
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from proxmoxer import ProxmoxAPI
from proxmoxer.core import AuthenticationError, ResourceException

from cloud.drivers.base import DriverError, OutOfCapacity, Refused, TryAgain
from cloud.drivers.proxmox.options import ProxmoxOptions

TAG = "vmbot"
"""On every machine that is finished, for us and for people."""
_MARK = "made by vmbot: "
"""In the description from the first moment on."""
_CALL_SECONDS = 30
_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN = 400, 401, 403
_FULL = re.compile(
    r"no space left|not enough (free )?(space|memory)|cannot allocate memory|out of (memory|space)", re.IGNORECASE
)
_TAKEN = re.compile(r"already exists", re.IGNORECASE)
_MISSING = re.compile(r"does not exist|no such", re.IGNORECASE)


class Taken(TryAgain):
    """Another machine got this id first."""


class Missing(TryAgain):
    """It is not there, or not any more."""


@dataclass(frozen=True, slots=True)
class Vm:
    """A virtual machine as the cluster lists it.

    Attributes:
        id: number in the cluster.
        node: which node it is on.
        name: as we named it.
        status: `running`, `stopped`, or `unknown` when its node is away.
        lock: what is being done to it, `clone` for example; empty: nothing.
        tags: what people and we wrote on it.
        memory: bytes it may use.
        template: it is one, and cannot run.
    """

    id: int
    node: str
    name: str
    status: str
    lock: str
    tags: frozenset[str]
    memory: int
    template: bool

    @property
    def finished(self) -> bool:
        """Whether `create` came to its end: the tag is set with the last of the settings."""
        return TAG in self.tags


@dataclass(frozen=True, slots=True)
class Host:
    """A node of the cluster: its name and its memory in bytes."""

    name: str
    memory: int


class Pve:
    """One connection."""

    def __init__(self, options: ProxmoxOptions) -> None:
        """Take the address and the token; nothing is called yet."""
        user, _, token = options.token_id.partition("!")
        self._api: Any = ProxmoxAPI(
            urlsplit(options.url).netloc,
            user=user,
            token_name=token,
            token_value=options.token_secret,
            verify_ssl=options.verify,
            timeout=_CALL_SECONDS,
        )

    def version(self) -> str:
        """Return the version of the cluster's software."""
        return str(self._api.version.get()["version"])

    def vms(self) -> list[Vm]:
        """Return every virtual machine of the cluster that our token may see."""
        return [
            Vm(
                id=int(found["vmid"]),
                node=found["node"],
                name=found.get("name", ""),
                status=found["status"],
                lock=found.get("lock", ""),
                tags=frozenset(re.split(r"[;, ]+", found.get("tags", ""))),
                memory=int(found.get("maxmem", 0)),
                template=bool(found.get("template")),
            )
            for found in self._api.cluster.resources.get(type="vm")
            if found["type"] == "qemu"
        ]

    def vm(self, number: int) -> Vm | None:
        """Return the virtual machine of an id, whoever's it is."""
        return next((vm for vm in self.vms() if vm.id == number), None)

    def hosts(self) -> list[Host]:
        """Return the nodes that are up."""
        found = self._api.cluster.resources.get(type="node")
        return [Host(node["node"], int(node["maxmem"])) for node in found if node["status"] == "online"]

    def config(self, vm: Vm) -> Mapping[str, str]:
        """Return a machine's settings as they are written."""
        return {key: str(value) for key, value in self._vm(vm).config.get().items()}

    def is_ours(self, vm: Vm) -> bool:
        """Return whether we made it; of one that is not finished its description says so."""
        return vm.finished or self.config(vm).get("description", "").startswith(_MARK)

    def clone(self, template: Vm, new: int, name: str, *, node: str, storage: str) -> str:
        """Begin to copy the template, and return the task.

        Raises:
            Taken: the id is in use; of two who try it at once, one hears this.
        """
        about: dict[str, Any] = {"newid": new, "name": name, "description": _MARK + name, "full": int(bool(storage))}
        if storage:
            about["storage"] = storage
        if node != template.node:
            about["target"] = node
        return str(self._vm(template).clone.post(**about))

    def upload(self, node: str, storage: str, filename: str, content: bytes) -> str:
        """Begin to store an ISO image, and return the task."""
        return str(self._api.nodes(node).storage(storage).upload.post(content="iso", filename=_File(filename, content)))

    def remove_iso(self, node: str, storage: str, filename: str) -> str:
        """Begin to remove an ISO image, and return the task, empty when there is nothing to wait for."""
        return _task(self._api.nodes(node).storage(storage).content(f"{storage}:iso/{filename}").delete())

    def configure(self, vm: Vm, settings: Mapping[str, Any]) -> str:
        """Begin to change settings, and return the task."""
        return _task(self._vm(vm).config.post(**settings))

    def resize(self, vm: Vm, disk: str, size_gb: int) -> str:
        """Begin to grow a disk, and return the task."""
        return _task(self._vm(vm).resize.put(disk=disk, size=f"{size_gb}G"))

    def status(self, vm: Vm, action: str, **about: int) -> str:
        """Begin to start, stop, shut down, reboot or reset it, and return the task."""
        return _task(self._vm(vm).status(action).post(**about))

    def destroy(self, vm: Vm) -> str:
        """Begin to remove a machine that is off, with its disks, and return the task."""
        return _task(self._vm(vm).delete(purge=1, **{"destroy-unreferenced-disks": 1}))

    def outcome(self, task: str) -> str | None:
        """Return how a task ended, `OK` or what went wrong; `None` while it runs."""
        node = task.split(":")[1]
        found = self._api.nodes(node).tasks(task).status.get()
        return None if found["status"] == "running" else str(found.get("exitstatus", ""))

    def address(self, vm: Vm) -> str:
        """Return the address that the guest's agent tells, empty while it does not answer."""
        try:
            answer = self._vm(vm).agent("network-get-interfaces").get()
        except ResourceException as error:
            if error.status_code in {_UNAUTHORIZED, _FORBIDDEN}:
                raise
            return ""
        return _best_address(answer["result"])

    def _vm(self, vm: Vm) -> Any:  # noqa: ANN401 proxmoxer makes paths out of attributes
        return self._api.nodes(vm.node).qemu(vm.id)


class _File(io.BytesIO):
    """Bytes with a file name, as proxmoxer uploads them."""

    def __init__(self, name: str, content: bytes) -> None:
        super().__init__(content)
        self.name = name


def explain(error: Exception) -> DriverError | None:
    """Return what an error of the library means."""
    match error:
        case AuthenticationError():
            return TryAgain("Proxmox does not accept PROXMOX_TOKEN_ID with PROXMOX_TOKEN_SECRET.")
        case ResourceException(status_code=code) if code in {_UNAUTHORIZED, _FORBIDDEN}:
            return TryAgain(f"Proxmox does not let our token do that: {_words(error)}")
        case ResourceException(status_code=code):
            return meaning(_words(error), final=code == _BAD_REQUEST)
        case requests.RequestException():
            return TryAgain("Proxmox does not answer.")
        case OSError():
            return TryAgain(f"PROXMOX_CA: {error}")
    return None


def meaning(words: str, *, final: bool = False) -> DriverError:
    """Return what a sentence of Proxmox's means; most of its troubles pass."""
    if _FULL.search(words):
        return OutOfCapacity("There is no room for another machine of this size now.")
    if _TAKEN.search(words):
        return Taken(f"Proxmox says: {words}")
    if _MISSING.search(words):
        return Missing(f"Proxmox says: {words}")
    kind = Refused if final else TryAgain
    return kind(f"Proxmox says: {words}")


def _words(error: ResourceException) -> str:
    errors = "".join(f" {name}: {text}" for name, text in (error.errors or {}).items()) if error.errors else ""
    return f"{error.content}{errors}".strip()


def _task(answer: object) -> str:
    return answer if isinstance(answer, str) and answer.startswith("UPID:") else ""


def _best_address(interfaces: list[dict[str, Any]]) -> str:
    """Return the first address that others can reach, those of version 4 first."""
    found = [
        ipaddress.ip_address(address["ip-address"].partition("%")[0])
        for interface in interfaces
        for address in interface.get("ip-addresses", [])
        if interface.get("name") != "lo" and not interface.get("name", "").startswith(("docker", "cni", "flannel"))
    ]
    good = [ip for ip in found if not (ip.is_loopback or ip.is_link_local)]
    return str(min(good, key=lambda ip: ip.version)) if good else ""
