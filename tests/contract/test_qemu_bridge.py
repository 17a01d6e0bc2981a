"""Public addresses on the operator's bridge, in network namespaces: the machine is in the network itself."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from cloud.drivers.qemu import tap
from tests.contract import on_a_bridge
from tests.contract.drivers import Cloud

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.slow,
    pytest.mark.xdist_group("qemu"),
    pytest.mark.skipif(not tap.available(), reason="this process may not make networks on this host"),
]


async def test_a_machine_on_a_bridge_is_reached_at_all_ports_and_cannot_take_anothers_address(
    qemu: Cloud,  # its image is made by then  # noqa: ARG001
    tmp_path: Path,
) -> None:
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--net", sys.executable, "-m", on_a_bridge.__name__, str(tmp_path / "on-a-bridge")),
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 300)
    assert process.returncode == 0
    seen = json.loads(said)
    assert seen["address"] == seen["after_power_cycle"] == [on_a_bridge.FREE, 22]
    assert "public addresses on br0" in seen["doctor"]
    assert f"default via {on_a_bridge.ROUTER} dev eth0" in seen["route"]
    assert seen["any_port"] == "banner SSH-"
    assert seen["as_itself"] == f"from {on_a_bridge.FREE}"
    assert seen["as_another"] == ""
    assert seen["as_another_without_the_guard"] == f"from {on_a_bridge.SPOOFED}", "the line above can fail"
    assert (seen["device_of_a_running_one"], seen["device_of_a_deleted_one"]) == (True, False)
