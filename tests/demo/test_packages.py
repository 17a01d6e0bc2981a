"""The installer of system packages, on a machine made of links to a few programs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "bot" / "demo" / "packages.sh"
BASE = ("bash", "grep", "head", "tail", "mktemp", "rm", "tr", "cat")
PROGRAMS = ("qemu-system-x86_64", "qemu-img", "dropbear", "dropbearconvert", "mke2fs", "nft", "ssh", "busybox")
APT = '#!/bin/sh\necho "$*" >>"$0.log"\ncase $1 in install) exit {status} ;; esac\n'
NOBODY = 65534


@pytest.fixture
def machine() -> Iterator[Path]:
    """A folder of programs that everybody may read; all of the demo's are there."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for program in BASE:
            (folder / program).symlink_to(shutil.which(program) or program)
        for program in PROGRAMS:
            (folder / program).write_text("#! static\n")
            (folder / program).chmod(0o755)
        # The script looks where administrators' programs are as well; here that is nowhere else.
        text = SCRIPT.read_text().replace(":/usr/local/sbin:/usr/sbin:/sbin", "")
        (folder / "packages.sh").write_text(text)
        yield folder


def run(machine: Path, *words: str, user: int | None = None) -> str:
    """What it prints; it must succeed."""
    command = [str(machine / "bash"), str(machine / "packages.sh"), *words]
    done = subprocess.run(  # noqa: S603 - ours
        command, env={"PATH": str(machine)}, user=user, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout


def add_apt(machine: Path, *, status: int = 0) -> Path:
    """An apt-get that writes down what it is asked; returns where."""
    (machine / "apt-get").write_text(APT.format(status=status).replace("/bin/sh", str(machine / "bash")))
    (machine / "apt-get").chmod(0o755)
    return machine / "apt-get.log"


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="installs only as root")


def test_nothing_is_said_when_all_is_there(machine: Path) -> None:
    assert run(machine, "demo") == ""


def test_elsewhere_it_says_in_one_line_what_is_missing_and_what_that_means(machine: Path) -> None:
    (machine / "nft").unlink()
    (machine / "qemu-img").unlink()
    said = run(machine, "demo")
    assert said.count("\n") == 1
    assert "qemu-utils nftables" in said
    assert "machines are simulated" in said


def test_a_busybox_that_needs_libraries_does_not_count(machine: Path) -> None:
    (machine / "busybox").write_bytes(b"\x7fELF" + bytes(400) + b"/lib64/ld-linux-x86-64.so.2")
    assert "busybox-static" in run(machine, "demo")


@as_root
def test_root_gets_what_is_missing_and_nothing_else(machine: Path) -> None:
    log = add_apt(machine)
    (machine / "nft").unlink()
    said = run(machine, "demo")
    assert said.count("\n") == 1
    assert said.startswith("Installing system packages")
    update, install = log.read_text().splitlines()[-2:]
    assert update == "update -q"
    assert install.startswith("install -y -q --no-install-recommends")
    assert install.endswith(" nftables")


@as_root
def test_an_installation_that_fails_is_said_and_stops_nothing(machine: Path) -> None:
    add_apt(machine, status=100)
    (machine / "nft").unlink()
    assert "could not be installed: machines are simulated" in run(machine, "demo")


@as_root
def test_an_ordinary_user_is_told_the_command(machine: Path) -> None:
    log = add_apt(machine)
    (machine / "nft").unlink()
    said = run(machine, "demo", user=NOBODY)
    assert said.count("\n") == 1
    assert "sudo apt-get install nftables" in said
    assert not log.exists()


def test_a_python_that_makes_environments_is_enough(machine: Path) -> None:
    assert run(machine, "python", sys.executable) == ""


def test_a_python_that_makes_none_names_its_package(machine: Path) -> None:
    """Debian's own Python has `venv` in a package of its own."""
    python = machine / "python3"
    python.write_text(f"#!{machine}/bash\ncase $2 in *ensurepip*) exit 1 ;; *) echo 3.11 ;; esac\n")
    python.chmod(0o755)
    said = run(machine, "python", str(python))
    assert "python3.11-venv" in said
    assert "no virtual environment" in said


def test_an_unknown_purpose_is_an_error(machine: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run(machine, "supper")
    assert "usage" in caught.value.stderr
