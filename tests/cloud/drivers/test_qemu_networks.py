"""Where the machines of the QEMU driver are reached, and what they cannot reach, without a guest."""

import os
import socket
from pathlib import Path

import pytest

from cloud.drivers.base import OutOfCapacity, TryAgain
from cloud.drivers.qemu import QemuDriver, lan, network, tap, tools, uplink
from cloud.drivers.qemu.network import choose_address, choose_port, rules
from cloud.drivers.qemu.options import QemuOptions
from cloud.drivers.qemu.uplink import Uplink


def test_installations_and_addresses_have_devices_of_their_own() -> None:
    names = {uplink.device_of(Path(at), ip) for at in ("/a", "/b") for ip in ("203.0.113.9", "203.0.113.10")}
    assert len(names) == 4
    assert all(len(name) <= 15 for name in names)


def test_on_a_bridge_an_address_is_free_if_no_other_machine_has_it() -> None:
    options = QemuOptions(public_ips=("203.0.113.9", "203.0.113.10"), uplink=Uplink("br0", "203.0.113.1", 24))
    chosen = choose_address(public=True, taken={("203.0.113.9", 22)}, options=options)
    assert (chosen.bind, chosen.host, chosen.port, chosen.bridge) == ("203.0.113.10", "203.0.113.10", 22, "br0")
    assert choose_port(chosen, 6443, taken=(), options=options, own=True) == 6443
    with pytest.raises(OutOfCapacity):
        choose_address(public=True, taken={("203.0.113.9", 22), ("203.0.113.10", 22)}, options=options)
    assert choose_address(public=False, taken=(), options=options).bridge == ""


def test_a_bridge_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "available", lambda: True)
    with pytest.raises(TryAgain, match="no bridge nobr0"):
        uplink.need("nobr0")
    monkeypatch.setattr(tap, "available", lambda: False)
    with pytest.raises(TryAgain, match="root"):
        uplink.need("lo")


def test_networks_do_not_share_a_bridge() -> None:
    """Neither two of one installation, nor those of two on one host; and the kernel takes the name."""
    names = {lan.bridge_of(Path(at), network) for at in ("/a", "/b") for network in ("k8s-1", "k8s-2")}
    assert len(names) == 4
    assert all(len(name) <= 15 for name in names)


def test_addresses_in_a_network_run_out() -> None:
    taken = {"10.64.0.2", "10.64.0.4"}
    assert lan.choose_address(taken) == "10.64.0.3"
    with pytest.raises(OutOfCapacity):
        lan.choose_address({f"10.64.0.{number}" for number in range(256)})


def test_without_the_right_to_make_networks_there_are_no_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert not lan.available()


async def test_clusters_need_more_than_the_tiny_guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for networks in (True, False):
        monkeypatch.setattr(lan, "available", lambda networks=networks: networks)
        for image in ("tiny", "debian"):
            able = await QemuDriver(tmp_path, image=image).capabilities()
            assert (able.private_network, able.clusters) == (networks, networks and image == "debian")


def test_ports_are_not_given_twice_nor_taken_from_strangers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        options = QemuOptions(host="vm.example", ports=range(taken, taken + 3))
        chosen = choose_address(public=False, taken={("127.0.0.1", taken + 1)}, options=options)
        assert (chosen.bind, chosen.host, chosen.port) == ("127.0.0.1", "vm.example", taken + 2)
        with pytest.raises(OutOfCapacity, match="port"):
            choose_address(public=False, taken={("127.0.0.1", taken + 1), ("127.0.0.1", taken + 2)}, options=options)


def test_public_addresses_are_one_each() -> None:
    options = QemuOptions(public_ips=("127.0.1.5", "127.0.1.6"))
    chosen = choose_address(public=True, taken={("127.0.1.5", 22)}, options=options)
    assert (chosen.bind, chosen.host) == ("127.0.1.6", "127.0.1.6")
    with pytest.raises(OutOfCapacity, match="public"):
        choose_address(public=True, taken={("127.0.1.5", 22), ("127.0.1.6", 22)}, options=options)


def test_an_address_that_is_not_on_this_host_is_not_given() -> None:
    with pytest.raises(OutOfCapacity):
        choose_address(public=True, taken=(), options=QemuOptions(public_ips=("192.0.2.250",)))


@pytest.mark.skipif(os.geteuid() != 0 or tools.find("nft") is None, reason="needs root and nft")
def test_the_rules_load_any_number_of_times_and_do_not_pile_up() -> None:
    table = rules("vmbot-test", 64999, ["10.255.255.53", "::1"])
    for _ in range(2):
        tools.run("nft", "-f", "-", input_text=table)
    try:
        listed = tools.run("nft", "list", "table", "inet", "vmbot_test")
    finally:
        tools.run("nft", "delete", "table", "inet", "vmbot_test")
    assert listed.count("skuid != 64999") == 1
    assert listed.count("th dport 53") == 2
    assert "127.0.0.0/8" in listed
    assert 'iifname "vmbot-*" drop' in listed, "the host takes nothing from private networks"
    assert 'iifname "vmbot-*" oifname != "vmbot-*" drop' in listed
    assert 'iifname != "vmbot-*" oifname "vmbot-*" drop' in listed


def test_who_is_not_root_gets_guests_that_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    isolation = network.isolate("vmbot-test")
    assert (isolation.user, isolation.restricted) == ("", True)
    assert "no internet" in isolation.note


def test_name_servers_are_addresses_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They become part of firewall rules."""
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 10.1.1.1\nsearch x\nnameserver fe80::1%eth0\nnameserver }; flush ruleset\nnameserver\n")
    assert network._name_servers(file) == ["10.1.1.1", "fe80::1"]
    assert network._name_servers(tmp_path / "missing") == []
    own = tmp_path / "stub"
    own.write_text("nameserver 127.0.0.53\n")
    monkeypatch.setattr(network, "_RESOLVER", own)
    monkeypatch.setattr(network, "_BEHIND_RESOLVER", file)
    assert network.resolvers_for_guests() == ("10.1.1.1", "fe80::1"), "a guest cannot ask this host's loopback"
