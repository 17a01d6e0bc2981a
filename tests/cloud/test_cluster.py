"""A cluster is one when every node says Ready, and its kubeconfig opens it from outside (issue 5, point 4)."""

import json
import os
from pathlib import Path

import asyncssh
import pytest

from cloud.cluster import STARTING, SimulatedDoor, SshDoor, mended
from cloud.drivers.base import Refused
from cloud.product_key import ProductKey
from cloud.ssh_keys import generate_host_key
from tests.cloud.node import K3S_YAML, FakeNode, served


@pytest.fixture
def key(tmp_path: Path) -> ProductKey:
    return ProductKey(tmp_path / "data" / "cluster_key")


async def test_it_is_waited_for_until_every_node_is_ready(key: ProductKey) -> None:
    control, worker = FakeNode(), FakeNode()
    door = SshDoor(key, rest=0)
    async with served([control, worker], key.public):
        members = [control.member(), worker.member()]
        for ready, detail in (
            (None, STARTING),
            ([], STARTING),
            ([True], "1 of 2 nodes ready"),
            ([True, False], "1 of 2 nodes ready"),
        ):
            control.ready = ready
            sight = await door.look("prod", members)
            assert (sight.detail, sight.kubeconfig) == (detail, "")
        control.ready = [True, True]
        assert (await door.look("prod", members)).kubeconfig
    assert all(command.startswith("cat ") for command in worker.commands), "nothing else is asked of a worker"


async def test_a_node_that_is_slow_is_logged_in_to_once_and_then_left_alone(key: ProductKey) -> None:
    """Seen in software emulation: four logins for each look, without a pause, kept a node from becoming one."""
    control = FakeNode(ready=[])
    door = SshDoor(key, rest=1_000_000)
    async with served([control], key.public):
        first = await door.look("prod", [control.member()])
        asked = list(control.commands)
        control.ready = [True]
        assert await door.look("prod", [control.member()]) == first
        assert control.commands == asked
        assert (await SshDoor(key).look("prod", [control.member()])).kubeconfig
    assert len(asked) == 4


async def test_the_kubeconfig_names_the_cluster_and_its_address(key: ProductKey) -> None:
    control = FakeNode(ready=[True])
    async with served([control], key.public):
        kubeconfig = (await SshDoor(key).look("prod", [control.member()])).kubeconfig
    assert kubeconfig == K3S_YAML.replace("127.0.0.1", "127.0.0.1").replace(": default\n", ": prod\n").replace(
        "client-key-data: prod", "client-key-data: default"
    )
    told = [command for command in control.commands if "tls-san" in command]
    assert len(told) == 1
    assert "127.0.0.1" in told[0], "the certificate must hold for the address that people use"
    assert control.commands.index(told[0]) < control.commands.index("sudo k3s kubectl get nodes -o json")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may listen at port 22")
async def test_a_node_is_trusted_at_the_port_that_ssh_has_everywhere(key: ProductKey) -> None:
    """Port 22 is written in another way than all others in what is trusted."""
    control = FakeNode(ready=[True], host="127.0.1.222", port=22, api=20001)
    async with served([control], key.public):
        kubeconfig = (await SshDoor(key).look("prod", [control.member()])).kubeconfig
    assert "server: https://127.0.1.222:20001\n" in kubeconfig


@pytest.mark.parametrize(
    ("host", "server"),
    [("203.0.113.7", "https://203.0.113.7:6443"), ("2001:db8::1", "https://[2001:db8::1]:6443")],
)
def test_the_server_address_is_mended(host: str, server: str) -> None:
    assert f"    server: {server}\n" in mended(K3S_YAML, "prod", host)


@pytest.mark.parametrize("text", ["", K3S_YAML + K3S_YAML])
def test_what_is_no_kubeconfig_is_not_given_to_anybody(text: str) -> None:
    with pytest.raises(ValueError, match="servers"):
        mended(text, "prod", "203.0.113.7")


async def test_a_node_that_failed_says_why(key: ProductKey) -> None:
    control, worker = FakeNode(ready=[True, True]), FakeNode(failure="Kubernetes could not be installed: no.\n")
    async with served([control, worker], key.public):
        with pytest.raises(Refused, match=r"^Kubernetes could not be installed: no\.$"):
            await SshDoor(key).look("prod", [control.member(), worker.member()])


async def test_a_node_that_does_not_answer_is_waited_for(key: ProductKey) -> None:
    control = FakeNode(ready=[True])
    async with served([control], key.public):
        member = control.member()
    assert (await SshDoor(key).look("prod", [member])).detail == STARTING


async def test_nothing_is_asked_of_a_machine_that_shows_another_host_key(key: ProductKey) -> None:
    control = FakeNode(ready=[True])
    async with served([control], key.public):
        true_key, control.host_key = control.host_key, generate_host_key().private
        assert (await SshDoor(key).look("prod", [control.member()])).detail == STARTING
        control.host_key = true_key
    assert control.commands == []


async def test_a_simulated_cluster_says_so() -> None:
    control = FakeNode()
    text = (await SimulatedDoor().look("prod", [control.member()])).kubeconfig
    assert text.startswith("# Simulated")
    assert json.loads(text.partition("\n")[2])["current-context"] == "prod"


def test_our_key_is_made_once_and_nobody_else_may_read_it(key: ProductKey, tmp_path: Path) -> None:
    path = tmp_path / "data" / "cluster_key"
    assert not path.exists(), "not before it is needed"
    assert key.private == ProductKey(path).private
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    asyncssh.import_public_key(key.public)


def test_whoever_makes_our_key_first_makes_it_for_all(tmp_path: Path) -> None:
    mine, theirs = ProductKey(tmp_path / "key"), ProductKey(tmp_path / "key")
    mine._make()
    theirs._make()
    assert mine.private == theirs.private
