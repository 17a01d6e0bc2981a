"""The script that makes a node: what it installs is what the mirror vouches for, and it says why when it fails.

It runs here with its folders moved and systemd played; the mirror is a real HTTP server.
"""

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cloud.k3s import FAILED, Member, Release, cloud_config, join_token
from cloud.ssh_keys import generate_host_key

VERSION = "v1.33.4+k3s1"
MOVED = ("/etc/vmbot", "/etc/rancher", "/etc/systemd", "/var/log", "/run/", "/usr/local")

pytestmark = [
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the mirror holds k3s for one processor"),
    pytest.mark.skipif(not (shutil.which("curl") or shutil.which("wget")), reason="neither curl nor wget is here"),
]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Machine:
    """A folder that plays a machine, and the mirror beside it."""

    root: Path
    mirror: Path
    address: str

    def publish(self, content: bytes, vouched: bytes | None = None) -> None:
        """Put a release on the mirror, with the checksum of its content or of another."""
        folder = self.mirror / VERSION
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "k3s").write_bytes(content)
        checksum = hashlib.sha256(content if vouched is None else vouched).hexdigest()
        (folder / "sha256sum-amd64.txt").write_text(f"{'0' * 64}  k3s-airgap.tar\n{checksum}  k3s\n")

    def run(self, server: str = "", *, private: bool = False) -> int:
        """Run what cloud-init would run; return the exit status."""
        release = Release(VERSION, self.address)
        token = join_token(generate_host_key().private)
        config = cloud_config(Member(release, token, server, private=private))
        for file in config["write_files"]:
            path = self.root / file["path"].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._moved(file["content"]))
            path.chmod(int(file["permissions"], 8))
        (command,) = config["runcmd"][0]
        environment = {"PATH": f"{self.root}/bin:{os.environ['PATH']}"}
        return subprocess.run([f"{self.root}{command}"], check=False, env=environment, timeout=60).returncode  # noqa: S603

    def play(self, name: str, script: str) -> None:
        """Put a program before the machine's own."""
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def text(self, path: str) -> str:
        """A file of the machine, empty when there is none."""
        file = self.root / path.lstrip("/")
        return file.read_text() if file.exists() else ""

    def _moved(self, text: str) -> str:
        for folder in MOVED:
            text = text.replace(folder, f"{self.root}{folder}")
        return text


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    root, mirror = tmp_path / "machine", tmp_path / "mirror"
    for folder in ("etc/systemd/system", "var/log", "run", "usr/local/bin"):
        (root / folder).mkdir(parents=True)
    mirror.mkdir()
    handler = partial(_Quiet, directory=str(mirror))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        made = Machine(root, mirror, f"http://127.0.0.1:{server.server_port}")
        made.play("systemctl", f'echo "$@" >>{root}/systemctl')
        made.play("sleep", ":")
        yield made
        server.shutdown()


def test_the_control_plane_gets_what_the_mirror_vouches_for(machine: Machine) -> None:
    machine.publish(b"#!/bin/sh\necho k3s\n")
    machine.play("hostname", "echo 10.0.0.5 203.0.113.5")
    assert machine.run() == 0, machine.text("/var/log/vmbot-k3s.log")
    assert machine.text(FAILED) == ""
    binary = machine.root / "usr/local/bin/k3s"
    assert binary.read_bytes() == b"#!/bin/sh\necho k3s\n"
    assert os.access(binary, os.X_OK)
    config = machine.text("/etc/rancher/k3s/config.yaml")
    assert 'tls-san:\n  - "10.0.0.5"\n  - "203.0.113.5"\n' in config
    assert "server:" not in config
    assert (machine.root / "etc/rancher/k3s/config.yaml").stat().st_mode & 0o077 == 0, "it holds the token"
    assert "ExecStart=" in machine.text("/etc/systemd/system/k3s.service")
    assert machine.text("/systemctl").splitlines() == [
        "daemon-reload",
        "enable k3s.service",
        "start --no-block k3s.service",
    ]


@pytest.mark.parametrize(("server", "url"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_a_worker_joins_from_the_address_that_leads_to_its_control_plane(
    machine: Machine, server: str, url: str
) -> None:
    machine.publish(b"k3s")
    machine.play(
        "ip",
        'case "$*" in *route*) echo "$4 dev eth0 src 10.0.0.7 uid 0" ;; *) echo "2: eth0 inet 10.0.0.7/24" ;; esac',
    )
    assert machine.run(server) == 0, machine.text("/var/log/vmbot-k3s.log")
    config = machine.text("/etc/rancher/k3s/config.yaml")
    assert f'server: "https://{url}:6443"' in config
    assert 'node-ip: "10.0.0.7"' in config
    assert 'flannel-iface: "eth0"' in config
    assert "with-node-id: true" in config
    assert "tls-san" not in config


def test_in_a_private_network_it_is_the_address_there_that_counts(machine: Machine) -> None:
    machine.publish(b"k3s")
    machine.play("ip", 'echo "2: eth0    inet 203.0.113.5/32 scope global"; echo "3: eth1    inet 10.64.0.2/32"')
    machine.play("hostname", "echo 203.0.113.5 10.64.0.2")
    assert machine.run(private=True) == 0, machine.text("/var/log/vmbot-k3s.log")
    assert 'node-ip: "10.64.0.2"' in machine.text("/etc/rancher/k3s/config.yaml")


def test_what_the_mirror_does_not_vouch_for_is_not_installed(machine: Machine) -> None:
    machine.publish(b"something else", vouched=b"k3s")
    assert machine.run() != 0
    assert not (machine.root / "usr/local/bin/k3s").exists()
    assert machine.text(FAILED) == f"Kubernetes could not be installed: failed to verify k3s {VERSION}.\n"
    assert machine.text("/systemctl") == ""


def test_a_release_that_is_not_there_is_told(machine: Machine) -> None:
    if curl := shutil.which("curl"):
        machine.play("curl", f'exec {curl} "$@" --retry 0')
    assert machine.run() != 0
    assert machine.text(FAILED) == f"Kubernetes could not be installed: failed to download k3s {VERSION}.\n"


def test_a_private_network_that_never_comes_is_told(machine: Machine) -> None:
    machine.publish(b"k3s")
    machine.play("ip", 'echo "2: eth0    inet 203.0.113.5/32"')
    assert machine.run(private=True) != 0
    assert "find its address" in machine.text(FAILED)
