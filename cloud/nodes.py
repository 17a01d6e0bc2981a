"""The machines that a new deployment is made of."""

import secrets
from datetime import datetime

from billing.models import Kind
from cloud.models import Deployment, Node, Role
from cloud.ssh_keys import fingerprint, generate_host_key


def new_nodes(deployment: Deployment, now: datetime) -> list[Node]:
    """Return the machines of a new deployment.

    Their names end in random letters: the cloud may still hold machines of a database that was here before, and
    looking up a name must never find another customer's.
    """
    stem = f"{deployment.kind.value}-{deployment.id}-{secrets.token_hex(3)}"
    if deployment.kind is Kind.VM:
        return [_node(deployment, Role.VM, 0, stem, now)]
    workers = range(1, deployment.workers + 1)
    return [
        _node(deployment, Role.CONTROL, 0, f"{stem}-control", now),
        *(_node(deployment, Role.WORKER, number, f"{stem}-worker-{number}", now) for number in workers),
    ]


def _node(deployment: Deployment, role: Role, position: int, machine: str, now: datetime) -> Node:
    key = generate_host_key()
    return Node(
        deployment_id=deployment.id,
        role=role,
        position=position,
        machine=machine,
        host_key=key.private,
        host_key_fingerprint=fingerprint(key.public),
        created_at=now,
    )
