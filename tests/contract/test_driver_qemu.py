"""What only real machines can show: logging in, walls, crashes, and that nothing is left behind."""

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from cloud.drivers.base import MachineSpec, Power, TryAgain
from cloud.drivers.files import spec_to_json
from cloud.drivers.qemu import network
from cloud.drivers.qemu.folder import Folder, Phase
from cloud.drivers.qemu.network import Isolation
from cloud.ssh_keys import public_of
from cloud.ssh_probe import Answer, probe_host_key
from tests.contract.drivers import Cloud, own_addresses, seen_running, spec, ssh, until

pytestmark = [pytest.mark.qemu, pytest.mark.xdist_group("qemu")]

ROOT = Path(__file__).parents[2]


def folder_of(cloud_directory: Path, name: str = "m-1") -> Folder:
    return Folder(cloud_directory / "cloud" / "machines" / name)


def processes_of(directory: Path) -> list[int]:
    """Every QEMU whose command line names a pidfile below `directory`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"-pidfile" in words and any(word.startswith(os.fsencode(directory)) for word in words):
                found.append(int(entry.name))
    return found


async def test_log_in_change_something_and_find_it_after_power_cycle_and_reboot(qemu: Cloud, tmp_path: Path) -> None:
    """One guest's life: our host key, its name, root by sudo, and a disk that stays."""
    wanted = spec("m-1", hostname="web-1", disk_gb=25)
    made = await qemu.driver.create(wanted)
    assert await ssh(qemu.driver, wanted, "hostname") == "web-1\n"
    assert await probe_host_key(made.host, made.port, public_of(wanted.host_key)) is Answer.OUR_KEY
    assert await ssh(qemu.driver, wanted, "sudo id -u; id -un") == "0\nuser\n"
    assert "24.8G" in await ssh(qemu.driver, wanted, "df -h /")
    await ssh(qemu.driver, wanted, "echo kept > file; sudo touch /root/file")
    await qemu.driver.power_off("m-1")
    assert processes_of(tmp_path) == []
    await qemu.driver.power_on("m-1")
    assert await ssh(qemu.driver, wanted, "cat file; sudo ls /root") == "kept\nfile\n"
    before = (await ssh(qemu.driver, wanted, "cat /proc/sys/kernel/random/boot_id")).strip()
    await qemu.driver.reboot("m-1")
    assert before not in await ssh(qemu.driver, wanted, "cat /proc/sys/kernel/random/boot_id")
    assert await ssh(qemu.driver, wanted, "cat file; hostname") == "kept\nweb-1\n"
    # Someone turns it off from inside.
    await ssh(qemu.driver, wanted, "sudo poweroff")
    await until(lambda: not processes_of(tmp_path))
    off = await qemu.driver.get("m-1")
    assert off is not None
    assert off.power is Power.STOPPED
    await qemu.driver.delete("m-1")
    assert processes_of(tmp_path) == []


async def test_delete_removes_disk_seed_process_lock_and_port(qemu: Cloud, tmp_path: Path) -> None:
    made = await qemu.driver.create(spec("m-1"))
    folder = folder_of(tmp_path)
    assert {path.name for path in folder.path.iterdir()} >= {"machine.json", "disk.qcow2", "seed.iso", "pid"}
    assert folder.path.stat().st_mode & 0o077 == 0, "it holds the host's private key"
    assert len(processes_of(tmp_path)) == 1
    await qemu.driver.delete("m-1")
    assert processes_of(tmp_path) == []
    assert [path.name for path in folder.path.parent.iterdir() if "m-1" in path.name] == []
    await until(lambda: is_free(made.host, made.port))  # a process that ends loses its name before its ports


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that just ended do not count
        with suppress(OSError):
            probe.bind((host, port))
            return True
        return False


async def test_a_public_machine_listens_at_its_own_address(qemu: Cloud) -> None:
    made = await qemu.driver.create(spec("m-1", public=True))
    assert made.host == "127.0.1.77"
    if os.geteuid() == 0:
        assert made.port == 22
    wanted = spec("m-2")
    await qemu.driver.create(wanted)
    await qemu.driver.delete("m-2")
    await seen_running(qemu.driver, "m-1")


# --- walls


@contextmanager
def service_of_the_operator() -> Iterator[int]:
    """A service on all addresses of this host, which counts nothing and answers everybody: yields its port."""
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 -- what a careless operator has
        server.settimeout(0.2)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    client, _ = server.accept()
                except TimeoutError:
                    continue
                with client:
                    client.sendall(b"SECRET\n")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            stop.set()
            thread.join()


async def test_a_guest_reaches_neither_the_host_nor_another_guest(qemu: Cloud) -> None:
    """10.0.2.2 is this host's loopback in user-mode networking; a forwarded port there is another guest."""
    wanted = spec("m-1")
    await qemu.driver.create(wanted)
    other = await qemu.driver.create(spec("m-2"))
    await seen_running(qemu.driver, "m-2")
    with service_of_the_operator() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        targets = [("10.0.2.2", port), ("10.0.2.2", other.port), *((ip, port) for ip in own_addresses())]
        for address, target in targets:
            heard = await ssh(qemu.driver, wanted, f"nc -w 3 {address} {target} < /dev/null; echo done")
            assert "done" in heard
            assert "SECRET" not in heard
            assert "SSH-" not in heard


async def test_without_the_walls_it_would_reach_the_host(qemu: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail."""
    open_house = Isolation("", restricted=False, note="")
    monkeypatch.setattr(network, "isolate", lambda _: open_house)
    wanted = spec("m-1")
    await qemu.driver.create(wanted)
    with service_of_the_operator() as port:
        assert "SECRET" in await ssh(qemu.driver, wanted, f"nc -w 3 10.0.2.2 {port} < /dev/null")


@pytest.mark.slow
async def test_without_a_firewall_a_guest_is_cut_off(qemu: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for an ordinary user: the forwarded port works, nothing else does."""
    cut_off = Isolation("", restricted=True, note="")
    monkeypatch.setattr(network, "isolate", lambda _: cut_off)
    wanted = spec("m-1")
    await qemu.driver.create(wanted)
    with service_of_the_operator() as port:
        heard = await ssh(qemu.driver, wanted, f"nc -w 3 10.0.2.2 {port} < /dev/null; echo done")
    assert "done" in heard
    assert "SECRET" not in heard


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_qemu_runs_as_a_user_without_rights(qemu: Cloud, tmp_path: Path) -> None:
    await qemu.driver.create(spec("m-1"))
    (pid,) = processes_of(tmp_path)
    status = status_of(pid)
    assert "0" not in status["Uid"].split()
    assert "0" not in status["Gid"].split()
    assert int(status["CapEff"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


# --- crashes

KILLED_AT = """
import asyncio, json, os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from cloud.drivers.files import spec_from_json
from tests.contract import drivers

step, call, directory = sys.argv[2], sys.argv[3], Path(sys.argv[4])
spec = spec_from_json(json.loads(sys.argv[5]))
module, _, name = step.rpartition(":")
target = __import__(module, fromlist=["x"])
*owner, name = name.split(".")
for part in owner:
    target = getattr(target, part)

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(target, name, die)
driver = drivers.qemu(directory).driver
asyncio.run(getattr(driver, call)(spec if call == "create" else spec.name))
"""

CREATE_STEPS = [
    "cloud.drivers.qemu.host:capacity.check_room",
    "cloud.drivers.qemu.host:image.make_disk",
    "cloud.drivers.qemu.host:seed",
    "cloud.drivers.qemu.host:network.isolate",
    "cloud.drivers.qemu.host:run",
    "cloud.drivers.qemu.host:boot_id",  # QEMU runs, and nobody wrote it down
    "cloud.drivers.qemu.driver:ssh_banner",
]
DELETE_STEPS = [
    "cloud.drivers.qemu.process:find",
    "cloud.drivers.qemu.process:Process.kill",
    "cloud.drivers.qemu.folder:Folder.remove",
    "cloud.drivers.qemu.folder:rmtree",
]


async def killed(step: str, call: str, directory: Path, wanted: MachineSpec) -> None:
    """Call the driver in a process that is killed with -9 when it comes to `step`."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED_AT, str(ROOT), step, call, str(directory), json.dumps(spec_to_json(wanted))
    )
    assert await asyncio.wait_for(child.wait(), 60) == -signal.SIGKILL, f"it never came to {step}"


@pytest.mark.parametrize("step", CREATE_STEPS)
async def test_killed_while_creating_one_machine_comes_of_it(step: str, qemu: Cloud, tmp_path: Path) -> None:
    wanted = spec("m-1")
    await killed(step, "create", tmp_path / "cloud", wanted)
    await qemu.driver.create(wanted)
    assert len(await qemu.driver.list_owned()) == 1
    assert len(processes_of(tmp_path)) == 1
    if step in {CREATE_STEPS[1], CREATE_STEPS[5]}:  # the two most different ones are looked at to the end
        assert await ssh(qemu.driver, wanted, "hostname") == "web-1\n"
    assert len(processes_of(tmp_path)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("step", CREATE_STEPS[1:])
async def test_killed_while_creating_then_deleted_nothing_is_left(step: str, qemu: Cloud, tmp_path: Path) -> None:
    await killed(step, "create", tmp_path / "cloud", spec("m-1"))
    assert [machine.name for machine in await qemu.driver.list_owned()] == ["m-1"], "the sweep must see it"
    await qemu.driver.delete("m-1")
    assert processes_of(tmp_path) == []
    assert await qemu.driver.list_owned() == []
    assert not folder_of(tmp_path).path.exists()


@pytest.mark.slow
@pytest.mark.parametrize("step", DELETE_STEPS)
async def test_killed_while_deleting_the_next_delete_ends_it(step: str, qemu: Cloud, tmp_path: Path) -> None:
    wanted = spec("m-1")
    await qemu.driver.create(wanted)
    await qemu.driver.close()
    await killed(step, "delete", tmp_path / "cloud", wanted)
    later = qemu.again()
    machine = await later.get("m-1")
    assert machine is not None
    assert machine.power is Power.STOPPED, "it never comes back to life"
    await later.delete("m-1")
    assert await later.get("m-1") is None
    assert processes_of(tmp_path) == []
    await later.close()


@pytest.mark.slow
async def test_a_machine_deleted_half_way_is_made_anew_by_create(qemu: Cloud, tmp_path: Path) -> None:
    wanted = spec("m-1")
    await qemu.driver.create(wanted)
    await qemu.driver.close()
    await killed(DELETE_STEPS[0], "delete", tmp_path / "cloud", wanted)
    (before,) = processes_of(tmp_path)
    later = qemu.again()
    await later.create(wanted)
    (after,) = processes_of(tmp_path)
    assert after != before
    await later.close()


@pytest.mark.slow
async def test_a_guest_that_greets_slowly_is_waited_for(qemu: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen on a busy host: a guest's SSH server took 22 s to greet, and counted as booting for ever."""

    async def greets_after_22_seconds(_address: str, _port: int, *, seconds: float) -> bool:
        await asyncio.sleep(0)
        return seconds >= 22

    monkeypatch.setattr("cloud.drivers.qemu.driver.ssh_banner", greets_after_22_seconds)
    await qemu.driver.create(spec("m-1"))
    assert (await seen_running(qemu.driver, "m-1")).power is Power.RUNNING


@pytest.mark.slow
async def test_a_killed_guest_is_off_and_can_be_started(qemu: Cloud, tmp_path: Path) -> None:
    """The host ran out of memory, say; and the number in the pidfile means somebody else now."""
    wanted = spec("m-1")
    await qemu.driver.create(wanted)
    (pid,) = processes_of(tmp_path)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not processes_of(tmp_path))
    folder_of(tmp_path).pidfile.write_text(str(os.getpid()))
    machine = await qemu.driver.get("m-1")
    assert machine is not None
    assert machine.power is Power.STOPPED
    await qemu.driver.power_on("m-1")
    assert await ssh(qemu.driver, wanted, "hostname") == "web-1\n"


@pytest.mark.slow
async def test_after_a_restart_of_the_host_machines_come_back_by_themselves(qemu: Cloud, tmp_path: Path) -> None:
    await qemu.driver.create(spec("m-1"))
    (pid,) = processes_of(tmp_path)
    os.kill(pid, signal.SIGKILL)
    folder = folder_of(tmp_path)
    record = folder.read()
    assert record is not None
    assert record.phase is Phase.STARTED
    folder.write(replace(record, boot_id="of the time before"))
    await until(lambda: pid not in processes_of(tmp_path))
    machine = await qemu.driver.get("m-1")
    assert machine is not None
    assert machine.power is Power.STARTING
    assert len(processes_of(tmp_path)) == 1


@pytest.mark.slow
async def test_a_port_taken_by_a_stranger_is_exchanged_before_anybody_knows_it(
    qemu: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the choice and the start somebody else may take it."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = network.Address("127.0.0.1", "127.0.0.1", stranger.getsockname()[1])
        choose, first = network.choose_address, [taken]
        monkeypatch.setattr(network, "choose_address", lambda **about: first.pop() if first else choose(**about))
        with pytest.raises(TryAgain, match="forwarding"):
            await qemu.driver.create(spec("m-1"))
        machine = await qemu.driver.create(spec("m-1"))
        assert machine.port != taken.port
        assert len(processes_of(tmp_path)) == 1


@pytest.mark.slow
async def test_boots_take_turns(qemu: Cloud, tmp_path: Path) -> None:
    """Two at a time: the third says that it waits, and comes up in the end."""
    made = [await qemu.driver.create(spec(f"m-{number}")) for number in range(3)]
    assert made[2].detail == "waiting for its turn to boot"
    assert len(processes_of(tmp_path)) == 2
    await seen_running(qemu.driver, "m-2")
    assert len(processes_of(tmp_path)) == 3


@pytest.mark.slow
async def test_who_waits_in_the_queue_can_be_deleted(qemu: Cloud, tmp_path: Path) -> None:
    for number in range(3):
        await qemu.driver.create(spec(f"m-{number}"))
    await qemu.driver.delete("m-2")
    await qemu.driver.delete("m-1")
    await qemu.driver.delete("m-0")
    await asyncio.sleep(1)
    assert processes_of(tmp_path) == []
    assert await qemu.driver.list_owned() == []


@pytest.mark.slow
async def test_the_queue_outlives_us(qemu: Cloud, tmp_path: Path) -> None:
    """Whoever looks next, in whatever process, boots what we left waiting."""
    for number in range(3):
        await qemu.driver.create(spec(f"m-{number}"))
    await qemu.driver.close()
    assert len(processes_of(tmp_path)) == 2
    later = qemu.again()
    await seen_running(later, "m-2")
    await later.close()
