"""Images: loaded once, the right file or none, before the first order or while it waits."""

import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cloud.drivers.base import NotYet, TryAgain
from cloud.drivers.qemu import QemuDriver, QemuOptions
from cloud.drivers.qemu import image as images
from cloud.drivers.qemu.download import Download, fetch
from cloud.drivers.qemu.tools import run
from tests.contract.drivers import spec

CONTENT = os.urandom(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """A web server with one file.

    Attributes:
        content: the file.
        breaks_after: so many bytes of each answer are sent, then the connection is cut; none: all.
        resumes: whether it knows how to send a part.
        asked: the `Range` of each request.
    """

    def __init__(self) -> None:
        self.content = CONTENT
        self.breaks_after: int | None = None
        self.resumes = True
        self.asked: list[str] = []
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range", "")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.resumes else 0
        body = self.content[start:]
        if wanted and self.resumes and not body:
            handler.send_error(416)
            return
        handler.send_response(206 if wanted and self.resumes else 200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body if self.breaks_after is None else body[: self.breaks_after])


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.answer(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        made.url = f"http://127.0.0.1:{listening.server_port}/image.qcow2"
        yield made
        listening.shutdown()


def test_a_download_goes_on_where_it_was_broken_off(server: Server, tmp_path: Path) -> None:
    server.breaks_after = 100_000
    fetch(Download(server.url, SHA256), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert server.asked == ["", "bytes=100000-", "bytes=200000-"]


def test_it_goes_on_after_a_restart_of_ours(server: Server, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(CONTENT[:123])
    fetch(Download(server.url, SHA256), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert server.asked == ["bytes=123-"]


def test_what_was_loaded_already_is_not_loaded_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(CONTENT)
    fetch(Download(server.url, SHA256), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_server_that_sends_no_parts_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.resumes = False
    (tmp_path / "part").write_bytes(b"half")
    fetch(Download(server.url, SHA256), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_another_file_is_not_taken(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(TryAgain, match="SHA-256"):
        fetch(Download(server.url, SHA256), tmp_path / "part")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [0, None])
def test_a_server_that_gives_nothing_is_tried_later(server: Server, tmp_path: Path, cut: int | None) -> None:
    server.breaks_after = cut
    source = Download(server.url if cut == 0 else "http://127.0.0.1:9/image", SHA256)
    (tmp_path / "part").write_bytes(CONTENT[:1000])
    with pytest.raises(TryAgain, match="cannot be loaded"):
        fetch(source, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT[:1000], "what is there is kept"


@pytest.fixture
def need_qemu() -> None:
    try:
        images.need_tools("tiny")
    except TryAgain as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("need_qemu")
def test_an_image_is_loaded_once_and_becomes_the_base_of_disks(server: Server, tmp_path: Path) -> None:
    original = tmp_path / "original.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", original, "3M")
    server.content = original.read_bytes()
    source = Download(server.url, hashlib.sha256(server.content).hexdigest())
    image = images.prepare(source, tmp_path / "images")
    assert images.prepare(source, tmp_path / "images") == image
    assert len(server.asked) == 1
    disk = tmp_path / "disk.qcow2"
    images.make_disk(image, disk, 1)
    run("qemu-img", "compare", "-q", original, image.disk)
    told = run("qemu-img", "info", disk)
    assert "virtual size: 1 GiB" in told
    assert image.disk in told
    assert list((tmp_path / "images").glob("*.part")) == []


async def test_an_order_waits_for_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told to wait, not that there is trouble; the image is made once, however many ask."""
    let_go, made = threading.Event(), []

    def prepare(*_: object) -> None:
        made.append(1)
        let_go.wait()
        raise TryAgain("no network")

    monkeypatch.setattr(images, "prepare", prepare)
    monkeypatch.setattr("cloud.drivers.qemu.driver._IMAGE_SECONDS", 0.05)
    driver = QemuDriver(tmp_path, image="tiny", options=QemuOptions())
    try:
        for name in ("m-1", "m-2"):
            with pytest.raises(NotYet, match="image"):
                await driver.create(spec(name))
    finally:
        let_go.set()
    with pytest.raises(TryAgain, match="no network"):
        await driver.prepare()
    assert made == [1]
    assert await driver.list_owned() == []
    with pytest.raises(TryAgain, match="no network"):
        await driver.prepare()
    assert made == [1, 1], "it is tried again"
    await driver.close()
