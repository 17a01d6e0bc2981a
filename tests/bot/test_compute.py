"""The settings choose the driver, and say in one line what is missing."""

import sys

import pytest

from bot import compute
from bot.compute import make_driver
from bot.settings import CannotStart, InvalidSettings, Settings
from cloud.drivers.base import TryAgain
from cloud.drivers.hetzner import HetznerDriver
from cloud.drivers.libcloud import LibcloudDriver
from cloud.drivers.proxmox import ProxmoxDriver
from cloud.drivers.qemu import QemuDriver
from cloud.drivers.qemu.download import Download
from cloud.drivers.qemu.uplink import Uplink

BASE = {"BOT_TOKEN": "123456:a-token", "STRIPE_API_KEY": "sk_test_key"}
PROXMOX = {
    "COMPUTE": "proxmox",
    "PROXMOX_URL": "https://pve.example.com:8006",
    "PROXMOX_TOKEN_ID": "shop@pve!bot",
    "PROXMOX_TOKEN_SECRET": "hidden",
    "PROXMOX_TEMPLATE": "9000",
}
HETZNER = {"COMPUTE": "hetzner", "HETZNER_TOKEN": "hidden"}
EC2 = {
    "COMPUTE": "libcloud",
    "LIBCLOUD_PROVIDER": "ec2",
    "LIBCLOUD_KEY": "hidden key",
    "LIBCLOUD_SECRET": "hidden",
    "LIBCLOUD_REGION": "us-east-1",
    "LIBCLOUD_IMAGE": "ami-1",
}
OPENSTACK = {
    "COMPUTE": "libcloud",
    "LIBCLOUD_PROVIDER": "openstack",
    "LIBCLOUD_KEY": "shop",
    "LIBCLOUD_SECRET": "hidden",
    "LIBCLOUD_URL": "https://keystone.example.com/v3",
    "LIBCLOUD_PROJECT": "machines",
    "LIBCLOUD_IMAGE": "debian",
}


@pytest.fixture(autouse=True)
def empty_house(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(str(tmp_path))


def load(texts: dict[str, str]) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        for name, text in (BASE | texts).items():
            patch.setenv(name, text)
        return Settings.load()


@pytest.mark.parametrize(
    ("texts", "driver"),
    [
        ({}, QemuDriver),
        (PROXMOX, ProxmoxDriver),
        (HETZNER, HetznerDriver),
        (EC2, LibcloudDriver),
        (OPENSTACK, LibcloudDriver),
    ],
)
async def test_each_cloud_has_its_driver(texts: dict[str, str], driver: type) -> None:
    made = make_driver(load(texts))
    assert type(made) is driver
    await made.close()


async def test_a_bridge_comes_with_its_router() -> None:
    texts = {"QEMU_BRIDGE": "br0", "QEMU_GATEWAY": "203.0.113.1/24", "PUBLIC_IPS": "203.0.113.9"}
    made = make_driver(load(texts))
    assert isinstance(made, QemuDriver)
    assert made.options.uplink == Uplink("br0", "203.0.113.1", 24)
    await made.close()


@pytest.mark.parametrize(
    ("texts", "name"),
    [(texts, name) for texts in (PROXMOX, HETZNER, EC2, OPENSTACK) for name in texts if name != "COMPUTE"],
)
def test_what_a_cloud_needs_is_named(texts: dict[str, str], name: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        load(texts | {name: ""})
    assert str(caught.value).startswith(f"{name} is missing: with COMPUTE={texts['COMPUTE']}, expected ")


def test_settings_of_clouds_are_no_matter_elsewhere() -> None:
    assert load({"COMPUTE": "simulated", "PROXMOX_URL": ""}).proxmox_url == ""


def test_lists_are_read_and_secrets_are_kept() -> None:
    settings = load(PROXMOX | {"PROXMOX_NODES": "pve1, pve2,", "HETZNER_TYPES": "cx23"})
    assert settings.proxmox_nodes == ("pve1", "pve2")
    assert settings.hetzner_types == ("cx23",)
    assert "hidden" in set(settings.secrets())
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize("extra", ["proxmox", "hetzner", "libcloud"])
def test_a_missing_library_is_told_in_one_line(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load({"proxmox": PROXMOX, "hetzner": HETZNER, "libcloud": EC2}[extra])
    monkeypatch.setitem(sys.modules, f"cloud.drivers.{extra}", None)
    with pytest.raises(CannotStart, match=rf"COMPUTE={extra} needs .* pip install 'vmbot\[{extra}\]'$"):
        make_driver(settings)


async def test_a_cloud_that_cannot_prepare_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compute, "_PREPARE_AGAIN_SECONDS", 0)
    tries: list[int] = []

    async def prepare_(_: QemuDriver) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise TryAgain("no network")

    monkeypatch.setattr(QemuDriver, "prepare", prepare_)
    await compute.prepare(make_driver(load({})))
    assert len(tries) == 3
    assert caplog.messages == ["no machine can be made yet: no network"] * 2


def test_an_image_by_url_needs_its_checksum() -> None:
    url = "https://cloud.example.org/debian.qcow2"
    with pytest.raises(InvalidSettings, match="IMAGE_SHA256"):
        load({"IMAGE": url})
    with pytest.raises(InvalidSettings, match="IMAGE_SHA256"):
        load({"IMAGE": url, "IMAGE_SHA256": "abc"})
    with pytest.raises(InvalidSettings, match="IMAGE_SHA256"):
        load({"IMAGE": "tiny", "IMAGE_SHA256": "a" * 64})
    driver = make_driver(load({"IMAGE": url, "IMAGE_SHA256": "A" * 64}))
    assert isinstance(driver, QemuDriver)
    assert driver._host.image == Download(url, "a" * 64)
