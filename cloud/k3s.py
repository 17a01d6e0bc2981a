"""What a machine is told to become a node of a Kubernetes cluster by k3s."""

import hmac
import shlex
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

VERSION = "v1.33.4+k3s1"
MIRROR = "https://github.com/k3s-io/k3s/releases/download"
"""The project's own releases: `MIRROR/VERSION/k3s`, and beside it its checksum."""

FAILED = "/run/vmbot-k3s.failed"
"""Where a node says why it could not become one."""
KUBECONFIG = "/etc/rancher/k3s/k3s.yaml"
_ENVIRONMENT = "/etc/vmbot/k3s.env"
_SCRIPT = "/usr/local/sbin/vmbot-k3s"


@dataclass(frozen=True, slots=True)
class Release:
    """Which k3s, and where from."""

    version: str = VERSION
    mirror: str = MIRROR


@dataclass(frozen=True, slots=True)
class Member:
    """What one node must know.

    Attributes:
        release: which k3s.
        token: what lets it join.
        server: address of the control plane; empty for the control plane itself.
        private: whether the cluster's nodes share a private network.
    """

    release: Release
    token: str
    server: str
    private: bool


def join_token(host_key: str) -> str:
    """Return the secret that lets nodes join a cluster, made from the host key of its control plane.

    The host key is made at random for each machine and kept with it, so the token is the same for every try.
    """
    return hmac.new(host_key.encode(), b"k3s join token", sha256).hexdigest()


def cloud_config(member: Member) -> dict[str, Any]:
    """Return what is added to a machine's `#cloud-config`."""
    told = {
        "VERSION": member.release.version,
        "MIRROR": member.release.mirror,
        "ROLE": "agent" if member.server else "server",
        "TOKEN": member.token,
        "SERVER": member.server,
        "PRIVATE": str(int(member.private)),
    }
    environment = "".join(f"{name}={shlex.quote(value)}\n" for name, value in told.items())
    script = Path(__file__).with_suffix(".sh").read_text()
    return {
        "write_files": [
            {"path": _ENVIRONMENT, "permissions": "0600", "content": environment},
            {"path": _SCRIPT, "permissions": "0755", "content": script},
        ],
        "runcmd": [[_SCRIPT]],
    }
