"""An SSH server that plays a node of a cluster: what k3s and its files would say."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncssh

from cloud.cloud_init import USER
from cloud.cluster import Member
from cloud.k3s import FAILED, KUBECONFIG
from cloud.ssh_keys import generate_host_key

K3S_YAML = """apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: QQ==
    server: https://127.0.0.1:6443
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
users:
- name: default
  user:
    client-key-data: default
"""


@dataclass
class FakeNode:
    """A node.

    Attributes:
        failure: what it says when it could not become one.
        ready: of each node that the control plane knows, whether it is Ready; `None`: Kubernetes is not up.
        commands: what it was asked, oldest first.
        host_key: private key that its SSH server shows.
    """

    failure: str = ""
    ready: list[bool] | None = None
    commands: list[str] = field(default_factory=list)
    host_key: str = field(default_factory=lambda: generate_host_key().private)
    host: str = "127.0.0.1"
    port: int = 0
    api: int = 6443

    def member(self) -> Member:
        """How it is reached."""
        return Member(USER, self.host, self.port, self.host_key, self.api)

    def answer(self, command: str) -> tuple[str, int]:
        """What a command prints, and its exit status."""
        self.commands.append(command)
        if command.startswith(f"cat {FAILED}"):
            return self.failure, 0
        if command.startswith("sudo sh -c"):
            return "", 0
        if self.ready is not None and command == "sudo k3s kubectl get nodes -o json":
            return json.dumps({"items": [_node(ready) for ready in self.ready]}), 0
        if self.ready is not None and command == f"sudo cat {KUBECONFIG}":
            return K3S_YAML, 0
        return "", 1


def _node(ready: bool) -> dict[str, object]:
    conditions = [
        {"type": "MemoryPressure", "status": "False"},
        {"type": "Ready", "status": "True" if ready else "False"},
    ]
    return {"metadata": {"name": "n"}, "status": {"conditions": conditions}}


@asynccontextmanager
async def served(nodes: Iterable[FakeNode], public_key: str) -> AsyncIterator[None]:
    """Let these nodes listen, on a port each, for whoever has the key."""
    servers = []
    for node in nodes:

        async def handle(process: asyncssh.SSHServerProcess[str], node: FakeNode = node) -> None:
            text, status = node.answer(process.command or "")
            process.stdout.write(text)
            process.exit(status)

        server = await asyncssh.listen(
            node.host,
            node.port,
            server_host_keys=[asyncssh.import_private_key(node.host_key)],
            authorized_client_keys=asyncssh.import_authorized_keys(public_key + "\n"),
            process_factory=handle,
        )
        node.port = server.get_port()
        servers.append(server)
    try:
        yield
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()
