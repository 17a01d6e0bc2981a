"""A real Kubernetes cluster on two Debian guests, made by the product: `make test-cluster`, and by nothing else.

Named so that no other run of tests finds it: it takes long, and loads half a gigabyte the first time. Nothing of it
is skipped: where it cannot run it fails and says why.

Only what is downloaded is a stand-in, see `workshop.py`. User data, driver, private network, worker and the way in
over SSH are the product's own.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from billing import quotes
from billing.catalog import Item
from billing.clock import ManualClock, SystemClock
from billing.db import Database
from billing.models import Kind
from billing.quotes import Order
from cloud import deployments
from cloud.cloud_init import USER
from cloud.cluster import SshDoor
from cloud.deployments import Confirmed
from cloud.drivers.files import write_atomic
from cloud.drivers.qemu import QemuDriver, QemuOptions, image, lan
from cloud.k3s import Release
from cloud.models import Deployment, Node, State
from cloud.product_key import ProductKey
from cloud.reconcile import Reconciler
from cloud.specs import SpecMaker
from cloud.ssh_keys import public_of
from tests.cloud.world import USD, World
from tests.cluster import mirror, workshop
from tests.cluster.workshop import Made
from tests.contract.drivers import IMAGES

WITHIN = timedelta(minutes=90)
"""Two guests in software emulation on a machine that does other things, too; with KVM it is two minutes."""
_PORTS = range(29_000, 29_100)
_LOOK_SECONDS = 2.0
_KUBECTL_SECONDS = 300
_PODS_WITHIN = 1800.0


@dataclass(frozen=True)
class Cloud:
    """This host as the product's cloud, with what is told as it goes on.

    Attributes:
        driver: QEMU, with Debian guests.
        key: what opens the nodes.
        release: the k3s that nodes fetch.
        made: what the workshop made.
    """

    driver: QemuDriver
    key: ProductKey
    release: Release
    made: Made


def say(text: str) -> None:
    """Show a line at once, with the time: most of this is waiting."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}\n")
    sys.stdout.flush()


@pytest.fixture(scope="session")
def made() -> Made:
    """What the workshop makes."""
    say("making k3s, or finding it made")
    made = workshop.make()
    say(f"k3s is there, after {made.seconds:.0f} s")
    return made


@pytest.fixture
def release(made: Made, tmp_path: Path) -> Iterator[Release]:
    """k3s on a mirror."""
    with mirror.served(made.mirror, tmp_path / "mirror.log") as url:
        yield Release(workshop.VERSION, url)


@pytest.fixture
async def cloud(made: Made, release: Release, tmp_path: Path) -> AsyncIterator[Cloud]:
    """QEMU on this host; nothing is left of it afterwards."""
    assert lan.available(), "private networks cannot be made here: root, iproute2 and nftables are needed"
    since = time.monotonic()
    await asyncio.to_thread(image.prepare, "debian", IMAGES)
    say(f"the image of the guests is there, after {time.monotonic() - since:.0f} s")
    options = QemuOptions(ports=_PORTS, cpu_overcommit=100, disk_overcommit=100)
    driver = QemuDriver(tmp_path / "qemu", image="debian", options=options, image_directory=IMAGES)
    say(await driver.check())
    yield Cloud(driver, ProductKey(tmp_path / "cluster_key"), release, made)
    for machine in await driver.list_owned():
        await driver.delete(machine.name)
    await driver.close()


async def test_two_debian_guests_become_a_cluster(sqlite_database: Database, cloud: Cloud, tmp_path: Path) -> None:
    """Ordered like any other, Ready, opened from outside by the kubeconfig that the customer gets, and used."""
    clock = ManualClock(SystemClock().now())
    world = await World.make(sqlite_database, clock, tmp_path / "unused")
    specs = SpecMaker(release=cloud.release, product_key=cloud.key)
    worker = Reconciler(world.database, cloud.driver, clock, specs=specs, door=SshDoor(cloud.key))
    row = await _order(world)
    try:
        row = await _until_it_is_over(world, worker, row)
        assert row.state is State.SUCCESS, row.detail
        await _use(cloud, row, tmp_path / "kubeconfig")
    except BaseException:
        await _tell_what_nodes_say(cloud, await world.nodes(row))
        raise
    await world.delete(row)
    assert (await _until_it_is_over(world, worker, row)).state is State.DELETED
    assert await cloud.driver.list_owned() == []
    await worker.close()


async def _order(world: World) -> Deployment:
    now = world.clock.now()
    async with world.database.transaction() as session:
        order = Order(Item(Kind.K8S, "small"), "prod", workers=1)
        quote = await quotes.offer(session, world.customer, order, now)
        outcome = await deployments.confirm(session, world.customer, quote.id, now=now, terms=USD, within=WITHIN)
    assert isinstance(outcome, Confirmed)
    return outcome.deployment


async def _until_it_is_over(world: World, worker: Reconciler, row: Deployment) -> Deployment:
    """Tick while the deployment is being made or deleted, and show what its owner is shown."""
    since, shown = time.monotonic(), ""
    while row.state in {State.IN_PROGRESS, State.DELETING}:
        world.clock.set(SystemClock().now())
        await worker.tick()
        row = await world.row(row)
        if (now := f"{row.state}: {row.detail}") != shown:
            shown = now
            say(f"after {time.monotonic() - since:.0f} s {now}")
        await asyncio.sleep(_LOOK_SECONDS)
    say(f"after {time.monotonic() - since:.0f} s {row.state}")
    return row


async def _use(cloud: Cloud, row: Deployment, path: Path) -> None:
    """Use the cluster from outside: two nodes, a pod on each, which reach each other."""

    async def kubectl(*args: str, told: str = "") -> str:
        return await asyncio.to_thread(_kubectl, cloud.made.kubectl, path, *args, told=told)

    write_atomic(path, row.kubeconfig)

    say(await kubectl("version"))
    say(await kubectl("get", "nodes", "-o", "wide"))
    nodes = json.loads(await kubectl("get", "nodes", "-o", "json"))["items"]
    ready = [node["metadata"]["name"] for node in nodes if _is_ready(node)]
    assert len(nodes) == len(ready) == 2, nodes
    await kubectl("apply", "-f", "-", told=json.dumps(_PODS))
    pods = await _running_pods(kubectl, len(nodes))
    say(await kubectl("get", "pods", "-A", "-o", "wide"))
    for pod, other in ((pods[0], pods[1]), (pods[1], pods[0])):
        url = f"http://{other['status']['podIP']}:8080/"
        answer = await kubectl("exec", pod["metadata"]["name"], "--", "wget", "-qO-", url)
        assert answer.strip() == other["metadata"]["name"]
        say(f"{pod['metadata']['name']} on {pod['spec']['nodeName']} asked {url}: {answer.strip()}")
    say(f"made of:\n{cloud.made.packages}")


def _kubectl(program: Path, kubeconfig: Path, *args: str, told: str = "") -> str:
    done = subprocess.run(  # noqa: S603 -- no shell, nothing from outside
        [program, f"--kubeconfig={kubeconfig}", *args],
        input=told,
        capture_output=True,
        text=True,
        check=False,
        timeout=_KUBECTL_SECONDS,
        env={"PATH": os.environ["PATH"], "HOME": str(kubeconfig.parent)},
    )
    assert done.returncode == 0, f"kubectl {args}: {done.stderr}"
    return done.stdout


def _is_ready(node: dict[str, Any]) -> bool:
    return any(now["type"] == "Ready" and now["status"] == "True" for now in node["status"]["conditions"])


async def _running_pods(kubectl: Callable[..., Awaitable[str]], count: int) -> list[dict[str, Any]]:
    """Wait for pods that run, on as many nodes."""
    async with asyncio.timeout(_PODS_WITHIN):
        while True:
            pods = json.loads(await kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
            running = [pod for pod in pods if pod["status"]["phase"] == "Running" and pod["status"].get("podIP")]
            if len({pod["spec"]["nodeName"] for pod in running}) == count:
                return running
            await asyncio.sleep(_LOOK_SECONDS)


async def _tell_what_nodes_say(cloud: Cloud, nodes: Sequence[Node]) -> None:
    """Show what is needed to find out why it did not work, as far as nodes can still be asked."""
    for node in nodes:
        say(f"--- {node.machine}, {node.host}:{node.port}")
        try:
            async with asyncssh.connect(
                node.host,
                node.port,
                username=USER,
                client_keys=[asyncssh.import_private_key(cloud.key.private)],
                known_hosts=asyncssh.import_known_hosts(f"[{node.host}]:{node.port} {public_of(node.host_key)}\n"),
                config=[],
                agent_path=None,
            ) as connection:
                say(str((await connection.run(_TELL)).stdout))
        except (OSError, asyncssh.Error) as error:
            say(f"cannot be asked: {error}")


_TELL = """
cat /run/vmbot-k3s.failed; uptime; free -m; ip -o -4 address; ip route
sudo tail -n 20 /var/log/vmbot-k3s.log; sudo journalctl --no-pager -n 40 -u k3s
for log in $(sudo ls /var/log/k3s/); do echo "== $log"; sudo tail -n 25 /var/log/k3s/$log; done
"""

_PODS = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "web"},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [
                    {
                        "name": "web",
                        "image": workshop.IMAGE,
                        "command": [
                            "/bin/sh",
                            "-c",
                            "mkdir /www; hostname >/www/index.html; exec httpd -f -p 8080 -h /www",
                        ],
                    }
                ],
                "terminationGracePeriodSeconds": 1,
            },
        },
    },
}
"""A pod on every node that tells its name."""
