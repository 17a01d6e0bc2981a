"""The parts of the QEMU driver that can be held against their rules without a guest."""

import asyncio
import json
import os
import struct
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cloud.drivers.base import MachineSpec, OutOfCapacity, TryAgain
from cloud.drivers.files import locked, try_lock, write_atomic
from cloud.drivers.qemu import accel, lan, process, tools, uplink
from cloud.drivers.qemu.boots import Slots
from cloud.drivers.qemu.capacity import Room, check_room, used_room
from cloud.drivers.qemu.command import Devices, command_line
from cloud.drivers.qemu.folder import Folder, Phase, Record
from cloud.drivers.qemu.image import Image, load, prepare
from cloud.drivers.qemu.initramfs import Archive
from cloud.drivers.qemu.network import Isolation
from cloud.drivers.qemu.options import QemuOptions
from cloud.drivers.qemu.seed import SECTOR, Outside, iso9660, seed
from cloud.drivers.qemu.uplink import Uplink

SPEC = MachineSpec(
    "m-1", "web", 2, 4096, 50, public=False, authorized_keys=("key a", "key b"), user="ann", host_key="PEM\n",
    user_data="#cloud-config\n{}\n",
)  # fmt: skip
RECORD = Record(SPEC, Phase.STARTED, "127.0.0.1", "vm.example", 20000, "img", 4096)
OPEN, WALLED = Isolation("", restricted=True, note=""), Isolation("guest", restricted=False, note="")


# --- the seed


def read_iso(data: bytes) -> tuple[str, dict[str, bytes]]:
    """Read a file system back by the book: volume descriptor, root directory, extents."""
    volume = data[16 * SECTOR : 17 * SECTOR]
    assert volume[:7] == b"\x01CD001\x01"
    assert struct.unpack("<I", volume[80:84])[0] * SECTOR == len(data)
    assert volume[80:84] == volume[84:88][::-1], "both byte orders"
    sector, _, size = struct.unpack("<I4sI", volume[156 + 2 : 156 + 14])
    directory, files, at = data[sector * SECTOR : sector * SECTOR + size], {}, 0
    while directory[at]:
        length = directory[at]
        start, _, size = struct.unpack("<I4sI", directory[at + 2 : at + 14])
        name = directory[at + 33 : at + 33 + directory[at + 32]]
        if not directory[at + 25] & 2:
            files[name.decode().removesuffix(";1").lower()] = data[start * SECTOR : start * SECTOR + size]
        at += length
    return volume[40:72].decode().strip(), files


def test_the_seed_is_a_file_system_with_what_guests_ask_for() -> None:
    label, files = read_iso(seed(SPEC))
    assert label == "cidata"
    assert files == {
        "user-data": b"#cloud-config\n{}\n",
        "meta-data": b"instance-id: m-1\nlocal-hostname: web\n",
        "hostname": b"web\n",
        "user": b"ann\n",
        "keys": b"key a\nkey b\n",
        "hostkey": b"PEM\n",
    }


def test_the_seed_of_a_node_tells_of_both_its_cards() -> None:
    _, files = read_iso(seed(SPEC, "10.64.0.2"))
    assert files["private"] == b"10.64.0.2/24\n"
    cards = json.loads(files["network-config"])["ethernets"]
    assert cards["eth0"]["dhcp4"] is True
    assert cards["eth1"]["addresses"] == ["10.64.0.2/24"]
    assert cards["eth0"]["match"] != cards["eth1"]["match"] == {"macaddress": lan.mac_of("m-1")}


def test_the_seed_of_a_machine_on_a_bridge_tells_it_all_that_dhcp_would() -> None:
    network = Uplink("br0", "203.0.113.1", 24)
    _, files = read_iso(seed(SPEC, outside=Outside("203.0.113.9", network, ("192.0.2.53", "192.0.2.54"))))
    assert files["public"] == b"203.0.113.9/24\n203.0.113.1\n192.0.2.53 192.0.2.54\n"
    (card,) = json.loads(files["network-config"])["ethernets"].values()
    assert card["match"] == {"macaddress": uplink.mac_of("203.0.113.9")}
    assert card["addresses"] == ["203.0.113.9/24"]
    assert card["routes"] == [{"to": "0.0.0.0/0", "via": "203.0.113.1"}]
    assert card["nameservers"] == {"addresses": ["192.0.2.53", "192.0.2.54"]}
    assert "private" not in files


@pytest.mark.parametrize("size", [0, 1, SECTOR - 1, SECTOR, SECTOR + 1, 70000])
def test_a_file_of_any_size_comes_back(size: int) -> None:
    data = os.urandom(size)
    assert read_iso(iso9660({"a": data, "b": b"x", "c-d": data})) == ("cidata", {"a": data, "b": b"x", "c-d": data})


def test_too_many_files_are_an_error() -> None:
    with pytest.raises(ValueError, match="Too many"):
        iso9660({f"file-{number}": b"" for number in range(60)})


def test_an_initramfs_is_a_cpio_archive_with_its_directories() -> None:
    archive = Archive()
    archive.file("usr/bin/tool", b"abc", 0o4755)
    archive.link("bin", "usr/bin")
    data, at, found = bytes(archive), 0, {}
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        at += -(-(110 + fields[11]) // 4) * 4
        if name == "TRAILER!!!":
            break
        found[name] = (fields[1], fields[2], fields[3], data[at : at + fields[6]])
        at += -(-fields[6] // 4) * 4
    assert found == {
        "usr": (0o040755, 0, 0, b""),
        "usr/bin": (0o040755, 0, 0, b""),
        "usr/bin/tool": (0o104755, 0, 0, b"abc"),
        "bin": (0o120777, 0, 0, b"usr/bin"),
    }


# --- the command


def words(isolation: Isolation, *, kvm: bool = False, image: Image | None = None) -> list[str]:
    image = image or Image("img", "img/kernel", "img/initrd", "quiet", "")
    return [
        str(word) for word in command_line(Folder(Path("/x/m-1")), RECORD, image, isolation, kvm=kvm, devices=Devices())
    ]


def test_the_command_confines_the_guest() -> None:
    command = words(WALLED)
    assert command[command.index("-runas") + 1] == "guest"
    assert command[command.index("-sandbox") + 1].startswith("on,")
    assert "user,id=net,ipv6=off,restrict=off,hostfwd=tcp:127.0.0.1:20000-:22" in command
    assert "-nodefaults" in command


def test_a_node_has_a_second_card_and_its_way_out_is_not_called_10() -> None:
    """What looks for its address in the private network takes the one that begins with 10."""
    record = replace(RECORD, private_ip="10.64.0.2", ports=((6443, 20001),))
    image = Image("img", "img/kernel", "img/initrd", "quiet", "")
    folder, devices = Folder(Path("/x/m-1")), Devices(lan=7)
    command = [str(word) for word in command_line(folder, record, image, WALLED, kvm=False, devices=devices)]
    (outside,) = [word for word in command if word.startswith("user,")]
    assert outside.endswith(",hostfwd=tcp:127.0.0.1:20001-:6443,net=192.168.127.0/24")
    assert "tap,id=lan,fd=7" in command
    assert f"virtio-net-pci,netdev=lan,romfile=,mac={lan.mac_of(record.spec.name)}" in command
    assert "tap" not in " ".join(words(WALLED))


def test_a_machine_on_a_bridge_has_one_card_with_an_address_of_its_own() -> None:
    record = replace(RECORD, bind="203.0.113.9", bridge="br0")
    image = Image("img", "img/kernel", "img/initrd", "quiet", "")
    folder, devices = Folder(Path("/x/m-1")), Devices(uplink=8)
    command = [str(word) for word in command_line(folder, record, image, WALLED, kvm=False, devices=devices)]
    assert [word for word in command if "id=net" in word or "netdev=net" in word] == [
        "tap,id=net,fd=8",
        "virtio-net-pci,netdev=net,romfile=,mac=02:76:cb:00:71:09",
    ]
    assert "hostfwd" not in " ".join(command)
    assert devices.all() == (8,)


def test_without_walls_the_guest_is_cut_off() -> None:
    command = words(OPEN)
    assert "-runas" not in command
    assert "user,id=net,ipv6=off,restrict=on,hostfwd=tcp:127.0.0.1:20000-:22" in command


def test_acceleration_and_boot_loader() -> None:
    assert "kvm" in words(WALLED, kvm=True)
    assert "-kernel" not in words(WALLED, image=Image("img", "", "", "", "disk"))


@pytest.mark.parametrize(("memory_mb", "kept_mb"), [(160, 32), (1024, 128), (2048, 256), (8192, 256)])
def test_a_larger_guest_keeps_more_translated_code(memory_mb: int, kept_mb: int) -> None:
    image = Image("img", "img/kernel", "img/initrd", "quiet", "")
    record = replace(RECORD, memory_mb=memory_mb)
    command = command_line(Folder(Path("/x/m-1")), record, image, WALLED, kvm=False, devices=Devices())
    assert f"tcg,tb-size={kept_mb}" in command


def test_control_socket_has_a_short_name_in_a_deep_folder() -> None:
    """A socket's path holds 107 bytes; QEMU is started in the machine's folder."""
    assert "unix:qmp,server=on,wait=off" in words(WALLED)


# --- room


def test_room_is_what_machines_take() -> None:
    off = Record(SPEC, Phase.OFF, "", "", 1, "", 4096)
    assert used_room([RECORD, off]) == Room(memory_mb=4196, vcpus=2, disk_gb=100)
    assert used_room([]) == Room(0, 0, 0)


@pytest.mark.parametrize(
    ("total", "short"),
    [
        (Room(8392, 4, 100), None),
        (Room(8391, 4, 100), "memory"),
        (Room(8392, 3, 100), "processors"),
        (Room(8392, 4, 99), "disk"),
        (Room(0, 0, 0), "memory and no processors and no disk"),
    ],
)
def test_what_does_not_fit_is_out_of_capacity_and_says_why(total: Room, short: str | None) -> None:
    if short is None:
        check_room(total, [RECORD], RECORD)
        return
    with pytest.raises(OutOfCapacity, match=f"no {short} left"):
        check_room(total, [RECORD], RECORD)


def test_memory_is_capped_for_demos_only() -> None:
    assert QemuOptions().memory_mb(8192) == 8192
    assert QemuOptions(memory_mb_max=256).memory_mb(8192) == 256
    assert QemuOptions(memory_mb_max=256).memory_mb(128) == 128


# --- processes and files


async def test_only_the_process_that_names_our_pidfile_is_ours(tmp_path: Path) -> None:
    """A number in a file may be anybody's by now; here it is this test's own."""
    pidfile = tmp_path / "pid"
    pidfile.write_text(str(os.getpid()))
    assert process.find(pidfile) is None
    assert process.find(pidfile, thorough=True) is None


def test_a_process_is_found_without_its_pidfile_and_a_zombie_is_dead(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    words = [sys.executable, "-c", "import time; time.sleep(60)", "-pidfile", str(pidfile)]
    child = os.posix_spawn(sys.executable, words, os.environ)
    assert process.find(pidfile) is None
    found = process.find(pidfile, thorough=True)
    assert found is not None
    assert found.pid == child
    assert not asyncio.run(found.ended(0.1))
    found.kill()
    assert asyncio.run(found.ended(5)), "it is a zombie now, since nobody waited for it"
    os.kill(child, 0)  # and still takes signals
    found.kill()
    os.waitpid(child, 0)
    found.kill()


async def test_slots_are_few_and_free_again(tmp_path: Path) -> None:
    ours, theirs = Slots(tmp_path, 2), Slots(tmp_path, 2)
    first, second = ours.take_now(), theirs.take_now()
    assert first is not None
    assert second is not None
    assert ours.take_now() is None
    second.release()
    third = await ours.take()
    first.release()
    third.release()


def test_a_lock_whose_file_was_removed_is_not_had_twice(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = try_lock(path)
    assert held is not None
    assert try_lock(path) is None
    path.unlink()
    os.close(held)
    again = try_lock(path)
    assert again is not None
    os.close(again)
    with locked(path):
        assert try_lock(path) is None


def test_a_file_is_written_whole_and_private(tmp_path: Path) -> None:
    write_atomic(tmp_path / "f", "one")
    write_atomic(tmp_path / "f", "two")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("f", "two")]
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600


def test_a_record_comes_back_as_written(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "m-1")
    assert folder.read() is None
    folder.write(RECORD)
    assert folder.read() == RECORD
    assert folder.mark(RECORD, Phase.OFF).phase is Phase.OFF
    folder.remove()
    assert not folder.path.exists()
    folder.remove()


# --- programs and images


def test_missing_programs_are_named_by_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "find", lambda name: None if name != "ldd" else Path("/usr/bin/ldd"))
    with pytest.raises(TryAgain, match=r"apt-get install dropbear-bin qemu-system-x86$"):
        tools.need("qemu-system-x86_64", "dropbear", "dropbearconvert", "ldd")


def test_a_failed_program_tells_its_last_line() -> None:
    with pytest.raises(tools.ToolFailed, match="No such file") as caught:
        tools.run("nice", "cat", "/does/not/exist")
    assert "cat" in caught.value.output


def test_an_image_that_is_gone_or_never_was(tmp_path: Path) -> None:
    with pytest.raises(TryAgain, match="gone"):
        load(str(tmp_path))
    if tools.find("qemu-img") is None or tools.find("qemu-system-x86_64") is None:
        pytest.skip("no QEMU here")
    with pytest.raises(TryAgain, match="There is no disk image"):
        prepare(tmp_path / "none.qcow2", tmp_path / "images")
    assert [path.name for path in (tmp_path / "images").iterdir()] == [".lock"], "no half image is left"


def test_a_disk_image_is_taken_over_once(tmp_path: Path) -> None:
    if tools.find("qemu-img") is None or tools.find("qemu-system-x86_64") is None:
        pytest.skip("no QEMU here")
    source = tmp_path / "cloud.raw"
    source.write_bytes(b"disk" * 1024)
    image = prepare(source, tmp_path / "images")
    assert (image.kernel, Path(image.disk).is_file()) == ("", True)
    source.unlink()
    assert prepare(source, tmp_path / "images") == image, "machines keep what they were made from"


def test_kvm_is_asked_once_per_run_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image(str(tmp_path), "kernel", "", "", "")
    answers = [True]
    monkeypatch.setattr(accel, "_KVM", Path("/dev/null"))
    monkeypatch.setattr(accel, "_boots", lambda _: answers.pop())
    assert accel.kvm_works(image)
    assert accel.kvm_works(image)
    assert answers == []
    monkeypatch.setattr(accel, "_KVM", tmp_path / "none")
    assert not accel.kvm_works(image)
