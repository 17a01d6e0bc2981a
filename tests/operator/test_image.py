"""The image of the Dockerfile, built by its very steps and run as compose.yaml runs it: without root, nothing writable.

No registry is asked: what stands in for `python:3.13-slim` is made of Debian's packages. Needs root, buildah and
mmdebstrap, and Debian's archive within reach; half an hour on a busy machine.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from billing.clock import SystemClock
from tests.flows.world import surroundings
from tests.operator.test_operator import settings_of

pytestmark = pytest.mark.slow

BASE = "docker.io/library/python:3.13-slim"
RELEASE = "trixie"  # has this Python
PACKAGES = "python3,python3-venv,ca-certificates"
CERTIFICATES = "/etc/ssl/certs"
WITHOUT_ARCHIVE = ("Could not resolve", "Unable to connect", "Failed to fetch", "apt-get update")
PATIENCE = 180

READ_ONLY = """
root=$1 data=$2; shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --bind "$data" "$root/data"
cd "$root"
exec "$@"
"""
"""What `docker run --read-only --tmpfs /tmp -v data:/data` does before it starts a program."""


@dataclass(frozen=True)
class Image:
    """What was built: its root folder, and what it says of itself."""

    root: Path
    config: dict[str, Any]

    def command(self, data: Path, *arguments: str, settings: dict[str, str]) -> list[str]:
        """The call that runs a program in it, as its user, with its environment and these settings."""
        env = [*self.config["Env"], *(f"{name}={value}" for name, value in settings.items())]
        inside = [
            "chroot",
            f"--userspec={self.config['User']}",
            self.root,
            "env",
            "-i",
            "-C",
            "/data",
            *env,
            *arguments,
        ]
        apart = ["unshare", "--mount", "sh", "-euc", READ_ONLY, "sh"]
        return [str(part) for part in (*apart, self.root, data, *inside)]


def buildah(store: Path, *arguments: str) -> str:
    """Run buildah on a store of its own."""
    of = ["--root", str(store / "root"), "--runroot", str(store / "run")]
    result = subprocess.run(["buildah", *of, *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607 our own words
    assert result.returncode == 0, f"{arguments}: {result.stdout[-4000:]}{result.stderr[-4000:]}"
    return result.stdout.strip()


def base(folder: Path) -> Path:
    """The files of what stands in for the image that ours begins with."""
    made = folder / "base.tar"
    result = subprocess.run(  # noqa: S603 our own words
        ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, made],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode and any(words in result.stderr for words in WITHOUT_ARCHIVE):
        pytest.skip("Debian's archive does not answer here")
    assert result.returncode == 0, result.stderr
    return made


@pytest.fixture(scope="module")
def image(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    missing = [name for name in ("buildah", "mmdebstrap", "unshare") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and {', '.join(missing) or 'what is here'}: apt-get install buildah mmdebstrap")
    store = tmp_path_factory.mktemp("image")
    first = buildah(store, "from", "scratch")
    buildah(store, "add", first, str(base(store)), "/")
    buildah(store, "run", "--isolation", "chroot", first, "--", "ln", "-s", "/usr/bin/python3", "/usr/local/bin/python")
    buildah(store, "commit", "--rm", first, BASE)
    how = ["--isolation", "chroot", "--pull-never", "--format", "docker"]
    buildah(store, "bud", *how, "--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro", "--tag", "vmbot", str(source))
    made = buildah(store, "from", "localhost/vmbot")
    config = json.loads(buildah(store, "inspect", made))["Docker"]["config"]
    yield Image(Path(buildah(store, "mount", made)), config)
    buildah(store, "umount", made)


def test_it_is_not_root_and_writes_only_where_it_may(image: Image, tmp_path: Path) -> None:
    data = private(tmp_path)
    script = (
        "id -u; python -m bot --version; touch /etc/x /opt/vmbot/x 2>/dev/null || echo closed; touch /data/x /tmp/x"
    )
    call = image.command(data, "sh", "-c", script, settings={})
    result = subprocess.run(call, capture_output=True, text=True, check=True)  # noqa: S603 our own words
    assert result.stdout.split() == ["10001", "0.1.0", "closed"]
    assert (data / "x").exists()


async def test_it_serves_and_its_health_check_sees_it(image: Image, tmp_path: Path) -> None:
    """The check of the Dockerfile fails before it runs, passes while it does; SIGTERM ends it well."""
    data = private(tmp_path)
    async with surroundings(SystemClock()) as around:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        settings = settings_of(around, tmp_path, port) | {"DATA_DIR": "/data"}
        look = [part.replace("8080", str(port)) for part in image.config["Healthcheck"]["Test"][1:]]
        check = image.command(data, *look, settings={})
        assert await ended(check) != 0
        start = (*image.config["Entrypoint"], *image.config["Cmd"])
        process = await asyncio.create_subprocess_exec(*image.command(data, *start, settings=settings))
        try:
            async with asyncio.timeout(PATIENCE):
                while await ended(check):
                    assert process.returncode is None, "it ended"
            ann = around.telegram.person(1, "Ann")
            await ann.start()
            await ann.wait_for_text("Hello", timeout_s=PATIENCE)
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), PATIENCE)
    assert list(data.glob("*.sqlite3"))


async def ended(call: list[str]) -> int:
    """The exit code of a call, whatever it said."""
    process = await asyncio.create_subprocess_exec(*call, stderr=asyncio.subprocess.DEVNULL)
    return await process.wait()


def private(tmp_path: Path) -> Path:
    """A folder that is the image's user's."""
    data = tmp_path / "volume"
    data.mkdir(mode=0o700)
    os.chown(data, 10001, 10001)
    return data
