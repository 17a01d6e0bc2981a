"""User data for cloud-init: who may log in to a machine, and which host key it shows."""

import json
from collections.abc import Sequence
from typing import Any

from cloud.k3s import Member, cloud_config
from cloud.ssh_keys import parse_public_key, public_of

USER = "user"
"""The name that customers log in with, on every machine."""

HEADER = "#cloud-config\n"


def user_data(
    *, hostname: str, user: str, authorized_keys: Sequence[str], host_key: str, member: Member | None = None
) -> str:
    """Return `#cloud-config` text for one machine.

    The body is JSON, which is YAML that needs no care with quotes. Nobody logs in with a password, nor as root;
    `user` becomes root with sudo. The SSH server gets our host key and no other.

    Args:
        hostname: what the guest calls itself, a checked host name.
        user: login name.
        authorized_keys: OpenSSH public key lines; each is checked again, since they open the machine.
        host_key: OpenSSH private key in PEM text.
        member: what it must know as the node of a cluster; `None` for a single machine.

    Raises:
        cloud.ssh_keys.BadKey: a line is not a public key.
    """
    config: dict[str, Any] = {
        "hostname": hostname,
        "preserve_hostname": False,
        "manage_etc_hosts": True,
        "users": [
            {
                "name": user,
                "gecos": "customer",
                "shell": "/bin/bash",
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "lock_passwd": True,
                "ssh_authorized_keys": [parse_public_key(line).line for line in authorized_keys],
            }
        ],
        "locale": "C.UTF-8",  # the one that every guest has
        "disable_root": True,
        "ssh_pwauth": False,
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": host_key, "ed25519_public": public_of(host_key)},
    }
    if member is not None:
        config |= cloud_config(member)
    return HEADER + json.dumps(config, indent=1) + "\n"
