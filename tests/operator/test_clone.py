"""What the README promises, typed by an ordinary user in a clean clone: install, demo, tests, backup, restore."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.operator.installation import Missing, checked_out, environment

pytestmark = pytest.mark.slow

NOBODY = 65534
PATIENCE = 1800
"""Seconds for what installs; a busy machine takes minutes."""


@dataclass(frozen=True)
class Clone:
    """A checkout that belongs to an ordinary user."""

    folder: Path

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Type `make` with these arguments as that user; its end is that of all that it started."""
        # A developer's own registry is no part of the clone, but where there is no other one it has to be known.
        kept = {name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "SSL_", "REQUESTS_"))}
        is_root = os.geteuid() == 0
        return subprocess.Popen(  # noqa: S603 our own words
            ["make", *arguments],  # noqa: S607 whichever make is here
            cwd=self.folder,
            env=environment({**kept, "HOME": str(self.folder), **settings}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            user=NOBODY if is_root else None,
            group=NOBODY if is_root else None,
            extra_groups=[] if is_root else None,
        )

    def types(self, *arguments: str, **settings: str) -> str:
        """The same to its end, which has to be a good one; returns what it printed."""
        process = self.start(*arguments, **settings)
        printed, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, f"make {arguments}: {printed}"
        return printed


@pytest.fixture(scope="module")
def clone(commit: str) -> Iterator[Clone]:
    """Under /tmp, where another user may go; pytest's own folders are private."""
    top = Path(tempfile.mkdtemp(prefix="vmbot-clone-"))
    try:
        folder = checked_out(commit, top / "vmbot")
    except Missing as missing:
        pytest.skip(str(missing))
    if os.geteuid() == 0:
        top.chmod(0o755)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    made = Clone(folder)
    process = made.start("install")
    printed, _ = process.communicate(timeout=PATIENCE)
    if "No matching distribution found" in printed:
        pytest.skip("no package index answers here")
    assert process.returncode == 0, printed
    yield made
    shutil.rmtree(top)


def test_make_alone_lists_what_there_is(clone: Clone) -> None:
    printed = clone.types()
    assert {"demo", "test", "install", "backup", "site"} <= set(re.findall(r"^ +make ([\w-]+)", printed, re.MULTILINE))


def test_make_demo_prints_the_address_of_a_chat(clone: Clone) -> None:
    process = clone.start("demo", COMPUTE="simulated")
    assert process.stdout is not None
    stop = threading.Timer(PATIENCE, process.kill)
    stop.start()
    try:
        printed = []
        for line in process.stdout:
            printed.append(line)
            if re.search(r"Open http://\S+", line):
                break
        else:
            pytest.fail("".join(printed))
    finally:
        stop.cancel()
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=PATIENCE)


def test_make_test_passes(clone: Clone) -> None:
    """A part of them: all are what this test is a part of."""
    printed = clone.types("test", PYTEST_ADDOPTS="tests/test_db.py tests/test_settings.py -p no:cacheprovider")
    assert re.search(r"\d+ passed", printed)
    assert "failed" not in printed


def test_a_backup_comes_back(clone: Clone) -> None:
    settings = {"BOT_TOKEN": "123456:a_token_of_nobodys", "STRIPE_API_KEY": "sk_test_nobodys", "COMPUTE": "simulated"}
    migrate = [str(clone.folder / ".venv/bin/python"), "-m", "bot", "migrate"]
    subprocess.run(migrate, cwd=clone.folder, env=environment(settings), check=True)  # noqa: S603 ours
    if os.geteuid() == 0:
        for path in (clone.folder / "data", *(clone.folder / "data").iterdir()):
            os.chown(path, NOBODY, NOBODY)
    assert "Written: data/copy" in clone.types("backup", "FILE=data/copy", **settings)
    process = clone.start("restore", "FILE=data/copy", **settings)
    printed, _ = process.communicate(timeout=PATIENCE)
    assert "Restored: data/copy" in printed
    # Stripe is not there to be asked, which is all that the check finds.
    assert "Stripe did not answer" in printed
