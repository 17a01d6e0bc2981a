"""Is a cluster one? Looked up by logging in to its nodes with the product's own key."""

import asyncio
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import asyncssh

from cloud.drivers.base import Refused
from cloud.k3s import FAILED, KUBECONFIG
from cloud.product_key import ProductKey
from cloud.ssh_keys import public_of

STARTING = "starting Kubernetes"
_LOGIN_SECONDS = 90.0  # seen: 54 s, in software emulation on a host with other things to do
_COMMAND_SECONDS = 60.0
_REST = 3.0
_REST_MAX = 60.0
API_PORT = 6443
_SERVER = re.compile(r"^(\s*server:\s*)https://\S+$", re.MULTILINE)
_DEFAULT = re.compile(r"^(\s*-?\s*(?:name|cluster|user|current-context):\s*)default$", re.MULTILINE)
_TLS = "/etc/rancher/k3s/config.yaml.d/address.yaml"


@dataclass(frozen=True, slots=True)
class Member:
    """How a node is reached, and what proves that it is the one.

    Attributes:
        user: who logs in.
        host: the address or name at which it is reached.
        port: of its SSH server there.
        host_key: its private host key.
        api: for a control plane, the port of Kubernetes' own server there.
    """

    user: str
    host: str
    port: int
    host_key: str
    api: int = API_PORT


@dataclass(frozen=True, slots=True)
class ClusterSight:
    """How far a cluster is: `kubeconfig` once every node is Ready, until then what is going on."""

    detail: str = ""
    kubeconfig: str = ""


class Door(Protocol):
    """The way to a cluster."""

    async def look(self, name: str, members: Sequence[Member]) -> ClusterSight:
        """Return how far the cluster of these machines is, the control plane being the first.

        Raises:
            Refused: a node says that it will never be one.
        """
        ...


class SimulatedDoor:
    """Clusters of machines that are simulated are Ready at once, and say that they lead nowhere."""

    async def look(self, name: str, members: Sequence[Member]) -> ClusterSight:
        """Return a kubeconfig of a cluster that is not there."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": _url(members[0].host, members[0].api)}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "users": [{"name": name, "user": {}}],
        }
        return ClusterSight(kubeconfig="# Simulated: there is no such cluster.\n" + json.dumps(config, indent=1) + "\n")


class SshDoor:
    """Real clusters."""

    def __init__(self, key: ProductKey, *, rest: float = _REST) -> None:
        """Take the key that every node lets in, and for how many times as long as a look took none follows."""
        self._key = key
        self._rest = rest
        self._resting: dict[tuple[Member, ...], tuple[float, ClusterSight]] = {}

    async def look(self, name: str, members: Sequence[Member]) -> ClusterSight:
        """Ask every node whether it failed, and the control plane how many are Ready.

        A slow node has no time to lose: it is logged in to once, and left alone for a while before the next time;
        until then the answer is the last one.
        """
        loop, cluster = asyncio.get_running_loop(), tuple(members)
        since = loop.time()
        self._resting = {known: last for known, last in self._resting.items() if last[0] > since}
        if cluster in self._resting:
            return self._resting[cluster][1]
        sight = await self._ask(name, members)
        if not sight.kubeconfig:
            rest = min(self._rest * (loop.time() - since), _REST_MAX)
            self._resting[cluster] = loop.time() + rest, sight
        return sight

    async def _ask(self, name: str, members: Sequence[Member]) -> ClusterSight:
        control, *workers = members
        failed = f"cat {FAILED} || true"
        questions = (
            failed,
            _know_address(control.host),
            "sudo k3s kubectl get nodes -o json",
            f"sudo cat {KUBECONFIG}",
        )
        answers, *others = await asyncio.gather(
            self._run(control, *questions), *(self._run(worker, failed) for worker in workers)
        )
        for answer in (answers, *others):
            if answer is not None and (failure := answer[0].strip()):
                raise Refused(failure)
        if answers is None or None in others:
            return ClusterSight(STARTING)
        _, _, nodes, kubeconfig = answers
        ready = _count_ready(nodes)
        if ready < len(members):
            return ClusterSight(f"{ready} of {len(members)} nodes ready" if ready else STARTING)
        if not kubeconfig:
            return ClusterSight(STARTING)
        return ClusterSight(kubeconfig=mended(kubeconfig, name, control.host, control.api))

    async def _run(self, member: Member, *commands: str) -> list[str] | None:
        """Return what commands print, nothing for those that fail; `None` when the node could not be asked."""
        # Named without its port: written with it, nothing is trusted at port 22.
        trusted = asyncssh.import_known_hosts(f"{member.host} {public_of(member.host_key)}\n")
        try:
            async with (
                asyncio.timeout(_LOGIN_SECONDS + len(commands) * _COMMAND_SECONDS),
                asyncssh.connect(
                    member.host,
                    member.port,
                    username=member.user,
                    client_keys=[asyncssh.import_private_key(self._key.private)],
                    known_hosts=trusted,
                    config=[],
                    agent_path=None,
                    login_timeout=_LOGIN_SECONDS,
                ) as connection,
            ):
                done = [await connection.run(command, check=False) for command in commands]
        except (OSError, asyncssh.Error, TimeoutError):
            return None
        return [str(each.stdout or "") if each.exit_status == 0 else "" for each in done]


def mended(kubeconfig: str, name: str, host: str, port: int = API_PORT) -> str:
    """Return a kubeconfig that works from outside, under the cluster's own name.

    Raises:
        ValueError: it names no server, or several.
    """
    text, count = _SERVER.subn(rf"\g<1>{_url(host, port)}", kubeconfig)
    if count != 1:
        raise ValueError(f"a kubeconfig with {count} servers")
    return _DEFAULT.sub(rf"\g<1>{name}", text)


def _url(host: str, port: int) -> str:
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _know_address(host: str) -> str:
    """Return the command that has the control plane's certificate hold for the address that people use, too."""
    line = shlex.quote(f'tls-san+: ["{host}"]')
    write = f"mkdir -p {_TLS.rpartition('/')[0]} && echo {line} > {_TLS} && systemctl try-restart k3s"
    return f"sudo sh -c {shlex.quote(f'grep -qsxF {line} {_TLS} || {{ {write}; }}')}"


def _count_ready(answer: str) -> int:
    try:
        nodes = json.loads(answer)["items"]
    except (ValueError, KeyError):
        return 0
    return sum(
        any(now["type"] == "Ready" and now["status"] == "True" for now in node["status"]["conditions"])
        for node in nodes
    )
