"""What is peculiar to each of the clouds of others: errors in our words, what is ordered, what is left behind."""

import gzip
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest
from hcloud import APIException
from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.types import InvalidCredsError
from proxmoxer.core import AuthenticationError, ResourceException

from cloud.drivers.base import Driver, DriverError, OutOfCapacity, Power, Refused, TryAgain
from cloud.drivers.hetzner import HetznerDriver, HetznerOptions
from cloud.drivers.hetzner.api import explain as hetzner_explain
from cloud.drivers.libcloud import LibcloudDriver, LibcloudOptions
from cloud.drivers.libcloud.driver import explain as libcloud_explain
from cloud.drivers.libcloud.providers import PROVIDERS
from cloud.drivers.proxmox import ProxmoxDriver, ProxmoxOptions
from cloud.drivers.proxmox.api import Pve
from cloud.drivers.proxmox.api import explain as proxmox_explain
from tests.contract import drivers, hetzner_front, openstack
from tests.contract.drivers import seen_running, spec
from tests.contract.hetzner_front import Front

NOWHERE = "http://127.0.0.1:9"


def pve_error(status: int, words: str) -> ResourceException:
    return ResourceException(status, "", words)


def http_error(code: int, words: str) -> BaseHTTPError:
    return BaseHTTPError(code, words)  # type: ignore[no-untyped-call]  # libcloud's own


def hcloud_error(code: str | int) -> APIException:
    return APIException(code, "their words", None)


@pytest.mark.parametrize(
    ("explain", "error", "kind"),
    [
        (proxmox_explain, pve_error(500, "unable to write to storage 'x': No space left on device"), OutOfCapacity),
        (proxmox_explain, pve_error(400, "Parameter verification failed."), Refused),
        (proxmox_explain, pve_error(403, "Permission check failed"), TryAgain),
        (proxmox_explain, pve_error(500, "VM is locked (backup)"), TryAgain),
        (proxmox_explain, pve_error(595, "No route to host"), TryAgain),
        (proxmox_explain, AuthenticationError("no"), TryAgain),
        (proxmox_explain, OSError("no such file"), TryAgain),
        (hetzner_explain, hcloud_error("resource_unavailable"), OutOfCapacity),
        (hetzner_explain, hcloud_error("resource_limit_exceeded"), OutOfCapacity),
        (hetzner_explain, hcloud_error("invalid_input"), Refused),
        (hetzner_explain, hcloud_error("unauthorized"), TryAgain),
        (hetzner_explain, hcloud_error("rate_limit_exceeded"), TryAgain),
        (hetzner_explain, hcloud_error("locked"), TryAgain),
        (hetzner_explain, hcloud_error(500), TryAgain),
        (libcloud_explain, http_error(400, "InsufficientInstanceCapacity: none"), OutOfCapacity),
        (libcloud_explain, http_error(400, "VcpuLimitExceeded: none"), OutOfCapacity),
        (libcloud_explain, http_error(503, "RequestLimitExceeded: slow down"), TryAgain),
        (libcloud_explain, http_error(403, "Quota exceeded for instances"), OutOfCapacity),
        (libcloud_explain, http_error(500, "oh"), TryAgain),
        (libcloud_explain, InvalidCredsError("no"), TryAgain),
    ],
)
def test_an_error_is_one_of_three_kinds(
    explain: Callable[[Exception], DriverError | None], error: Exception, kind: type[DriverError]
) -> None:
    meant = explain(error)
    assert isinstance(meant, kind)
    assert str(meant)


@pytest.mark.parametrize("explain", [proxmox_explain, hetzner_explain, libcloud_explain])
def test_a_mistake_of_ours_is_not_blamed_on_the_cloud(explain: Callable[[Exception], DriverError | None]) -> None:
    assert explain(KeyError("swap")) is None


def absent(name: str) -> Driver:
    """A driver of a cloud where nobody listens."""
    match name:
        case "proxmox":
            return ProxmoxDriver(
                ProxmoxOptions(url="https://127.0.0.1:9", token_id="u@p!t", token_secret="s", template=1)
            )
        case "hetzner":
            return HetznerDriver(HetznerOptions(token="t", url=NOWHERE))
        case _:
            options = LibcloudOptions(provider=name, key="k", secret="s", image="i", url=NOWHERE, project="p")
            return LibcloudDriver(options)


@pytest.mark.parametrize("name", ["proxmox", "hetzner", "ec2", "openstack"])
async def test_a_cloud_that_does_not_answer_may_answer_later(name: str) -> None:
    driver = absent(name)
    with pytest.raises(TryAgain):
        await driver.get("m-1")
    with pytest.raises(DriverError):
        await driver.check()
    await driver.close()


# --- Proxmox


@pytest.fixture
async def pve(proxmox_address: str) -> AsyncIterator[ProxmoxDriver]:
    driver = drivers.proxmox(proxmox_address).driver
    assert isinstance(driver, ProxmoxDriver)
    yield driver
    for machine in await driver.list_owned():
        await driver.delete(machine.name)
    await driver.close()


def connection(driver: ProxmoxDriver) -> Pve:
    return Pve(driver._options)


async def test_a_copy_that_nobody_finished_is_finished_by_create(pve: ProxmoxDriver) -> None:
    """As after a kill between the copy and the settings."""
    await pve._clone(spec("m-1"))
    half = await pve.get("m-1")
    assert half is not None
    assert (half.power, half.unfinished) == (Power.STARTING, True)
    (listed,) = await pve.list_owned()
    assert listed.unfinished, "the sweep must see it"
    made = await pve.create(spec("m-1"))
    assert (made.ref, made.unfinished) == (half.ref, False)
    await seen_running(pve, "m-1")
    assert len(await pve.list_owned()) == 1


async def test_a_copy_that_nobody_finished_can_be_deleted(pve: ProxmoxDriver) -> None:
    await pve._clone(spec("m-1"))
    await pve.delete("m-1")
    assert await pve.list_owned() == []


async def test_a_machine_is_set_up_as_ordered(pve: ProxmoxDriver) -> None:
    await pve.create(replace(spec("m-1", public=True, disk_gb=25), vcpus=2, memory_mb=4096))
    vm = await pve._find("m-1")
    assert vm is not None
    config = connection(pve).config(vm)
    assert (config["cores"], config["memory"], config["tags"]) == ("2", "4096", "vmbot")
    assert "bridge=vmbr1" in config["net0"]
    assert config["ide2"].startswith("local:iso/vmbot-m-1.iso,")
    assert "ide0" not in config, "Proxmox's own cloud-init disk would tell it something else"


async def test_machines_of_others_are_let_alone(pve: ProxmoxDriver) -> None:
    """Even in our range of ids, and of a name that we ask for."""
    api = connection(pve)
    (template,) = [vm for vm in api.vms() if vm.template]
    api._vm(template).clone.post(newid=100_005, name="m-1", full=0)
    assert await pve.get("m-1") is None
    await pve.delete("m-1")
    assert await pve.list_owned() == []
    (theirs,) = [vm for vm in api.vms() if vm.id == 100_005]
    api.destroy(theirs)


async def test_a_wrong_token_is_named(proxmox_address: str) -> None:
    cloud = drivers.proxmox(proxmox_address).driver
    assert isinstance(cloud, ProxmoxDriver)
    driver = ProxmoxDriver(replace(cloud._options, token_secret="wrong"))
    with pytest.raises(TryAgain, match="token"):
        await driver.check()
    await driver.close()


# --- Hetzner


@pytest.fixture
def front(hetzner_address: str) -> Iterator[tuple[str, Front]]:
    with hetzner_front.served(hetzner_address) as served:
        yield served


@pytest.fixture
async def hcloud(front: tuple[str, Front]) -> AsyncIterator[HetznerDriver]:
    driver = HetznerDriver(HetznerOptions(token="stand-in", url=front[0], location="", poll_seconds=0.02))
    yield driver
    for machine in await driver.list_owned():
        await driver.delete(machine.name)
    await driver.close()


async def test_the_machines_of_a_cluster_share_a_network(front: tuple[str, Front], hcloud: HetznerDriver) -> None:
    known = front[1]
    assert (await hcloud.capabilities()).private_network
    for name in ("m-1", "m-2"):
        await hcloud.create(replace(spec(name), network="k8s-7"))
    (network,) = known.networks.values()
    assert network["name"] == "vmbot-k8s-7"
    addresses = {(await seen_running(hcloud, name)).private_ip for name in ("m-1", "m-2")}
    assert addresses == {"10.64.0.2", "10.64.0.3"}
    await hcloud.delete("m-1")
    assert len(known.networks) == 1, "somebody is still in it"
    await hcloud.delete("m-2")
    assert known.networks == {}


async def test_orders_carry_our_label_and_what_public_buys(front: tuple[str, Front], hcloud: HetznerDriver) -> None:
    await hcloud.create(spec("m-1"))
    await hcloud.create(spec("m-2", public=True))
    plain, public = front[1].orders
    assert plain["labels"] == {"managed-by": "vmbot"}
    assert plain["user_data"].startswith("#cloud-config")
    assert (plain["public_net"]["enable_ipv4"], public["public_net"]["enable_ipv4"]) == (False, True)


async def test_the_next_larger_type_is_taken_when_one_is_sold_out(
    front: tuple[str, Front], hcloud: HetznerDriver
) -> None:
    front[1].refusals = [(412, "resource_unavailable")]
    await hcloud.create(spec("m-1"))
    front[1].refusals = [(412, "resource_unavailable")] * 3
    with pytest.raises(OutOfCapacity):
        await hcloud.create(spec("m-2"))
    assert await hcloud.get("m-2") is None
    assert front[1].refusals == []


async def test_a_size_that_hetzner_does_not_have_is_refused(hcloud: HetznerDriver) -> None:
    with pytest.raises(Refused):
        await hcloud.create(spec("m-1", disk_gb=100_000))


async def test_a_wrong_hetzner_token_is_named(hetzner_address: str) -> None:
    driver = HetznerDriver(HetznerOptions(token="wrong", url=hetzner_address))
    with pytest.raises(TryAgain, match="HETZNER_TOKEN"):
        await driver.check()
    await driver.close()


# --- OpenStack


@pytest.fixture
async def nova(openstack_address: str) -> AsyncIterator[LibcloudDriver]:
    driver = drivers.openstack(openstack_address).driver
    assert isinstance(driver, LibcloudDriver)
    yield driver
    await driver.close()


async def test_what_openstack_is_told(openstack_world: tuple[str, openstack.World], nova: LibcloudDriver) -> None:
    wanted = spec("m-1", disk_gb=25)
    await nova.create(wanted)
    (order,) = openstack_world[1].orders
    assert (order["name"], order["imageRef"], order["flavorRef"]) == ("m-1", "debian", "1")
    assert order["metadata"] == {"managed-by": "vmbot"}
    assert b64decode(order["user_data"]).decode() == wanted.user_data


async def test_a_machine_that_cannot_be_placed_is_sold_out(
    openstack_world: tuple[str, openstack.World], nova: LibcloudDriver
) -> None:
    openstack_world[1].fault = "No valid host was found. There are not enough hosts available."
    with pytest.raises(OutOfCapacity):
        await nova.create(spec("m-1"))
    await nova.delete("m-1")
    assert openstack_world[1].servers == {}


async def test_of_two_that_were_made_at_once_one_is_kept(
    openstack_world: tuple[str, openstack.World], nova: LibcloudDriver
) -> None:
    """Two processes, and a cloud that takes one name twice."""
    address, world = openstack_world
    await nova.create(spec("m-1"))
    (first,) = world.servers
    order = world.orders[-1] | {"name": "m-2"}
    world.order(order, address)
    world.order(order, address)
    twins = [server for server in world.servers if server != first]
    kept = await nova.create(spec("m-2"))
    assert kept.ref == min(twins)
    await nova.delete("m-2")
    assert list(world.servers) == [first], "both are removed"


async def test_machines_of_others_in_the_project_are_let_alone(
    openstack_world: tuple[str, openstack.World], nova: LibcloudDriver
) -> None:
    address, world = openstack_world
    world.order({"name": "m-1", "imageRef": "x", "flavorRef": "1"}, address)
    assert await nova.get("m-1") is None
    await nova.delete("m-1")
    assert len(world.servers) == 1


# --- EC2


def test_ec2_is_told_in_few_bytes() -> None:
    """Its orders are addresses, which must not be long."""
    provider = PROVIDERS["ec2"](LibcloudOptions(provider="ec2", key="k", secret="s", image="i"))

    class Client:
        def get_image(self, _: str) -> object:
            return type("Image", (), {"extra": {"root_device_name": "/dev/xvda"}})()

    order = provider.order(Client(), spec("m-1", disk_gb=25))  # type: ignore[arg-type]  # all it is asked
    assert gzip.decompress(order["ex_userdata"]).decode().startswith("#cloud-config")
    assert order["ex_metadata"] == {"managed-by": "vmbot"}
    (disk,) = order["ex_blockdevicemappings"]
    assert json.loads(json.dumps(disk))["Ebs"] == {"VolumeSize": 25, "DeleteOnTermination": True}
