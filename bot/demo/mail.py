"""The demo's mail box: a real SMTP server that takes every mail, and keeps it in a folder."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import cached_property
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

SIZE_LIMIT = 25_000_000
"""Bytes of one message, what large providers take."""


@dataclass(frozen=True, slots=True)
class File:
    """An attachment."""

    name: str
    media_type: str
    content: bytes


class Received:
    """A mail that came in, read from its file when asked."""

    def __init__(self, number: int, path: Path) -> None:
        self.number = number
        self._path = path

    @cached_property
    def _message(self) -> EmailMessage:
        return message_from_bytes(self._path.read_bytes(), policy=default)

    def header(self, name: str) -> str:
        """A header as people read it; empty where there is none."""
        return str(self._message.get(name, ""))

    @property
    def sender(self) -> str:
        """Who it says it is from."""
        return self.header("From")

    @property
    def to(self) -> str:
        """The address that it was handed in for."""
        return self.header("Delivered-To")

    @property
    def subject(self) -> str:
        """What it is about."""
        return self.header("Subject")

    @property
    def text(self) -> str:
        """The plain words; empty where there are none."""
        return self._body("plain")

    @property
    def html(self) -> str:
        """The words as a page; empty where there is none."""
        return self._body("html")

    def _body(self, kind: str) -> str:
        part = self._message.get_body((kind,))
        return str(part.get_content()) if part else ""

    @property
    def files(self) -> list[File]:
        """The attachments, in their order."""
        return [
            File(part.get_filename() or "file", part.get_content_type(), _content(part))
            for part in self._message.iter_attachments()
        ]

    @property
    def source(self) -> bytes:
        """The mail as it came."""
        return self._path.read_bytes()


def _content(part: EmailMessage) -> bytes:
    content = part.get_payload(decode=True)
    # A message within a message has parts instead of content.
    return content if isinstance(content, bytes) else part.as_bytes()


class MailBox:
    """All mail to everybody, numbered as it came; one file each, found again by a second start."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; it is made if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def messages(self, to: str = "") -> list[Received]:
        """The mails to an address, or to everybody, newest first."""
        every = [Received(int(path.stem), path) for path in self._folder.glob("[0-9]*.eml")]
        every.sort(key=lambda mail: mail.number, reverse=True)
        return [mail for mail in every if not to or mail.to == to]

    def get(self, number: int) -> Received | None:
        """One mail; none where there is no such number."""
        path = self._path(number)
        return Received(number, path) if path.is_file() else None

    def keep(self, content: bytes, to: str) -> Received:
        """Store a mail for one address, whole or not at all."""
        number = max((mail.number for mail in self.messages()), default=0) + 1
        path = self._path(number)
        new = path.with_suffix(".new")
        new.write_bytes(b"Delivered-To: " + to.encode() + b"\r\n" + content)
        new.replace(path)
        return Received(number, path)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06}.eml"

    # The name and the arguments are aiosmtpd's.
    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a mail, once for each of those it is for."""
        if not isinstance(envelope.content, bytes):
            return "554 Nothing came"
        for to in envelope.rcpt_tos:
            self.keep(envelope.content, to)
        return "250 Kept"


@asynccontextmanager
async def serve_smtp(box: MailBox, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """Take mail for a box inside the running loop; gives the port, and cuts all connections at the end.

    Raises:
        OSError: the port is taken.
    """
    loop = asyncio.get_running_loop()
    connections: list[SMTP] = []

    def connection() -> SMTP:
        connections[:] = _open(connections)
        connections.append(
            SMTP(box, hostname="mail.demo", ident="demo", loop=loop, enable_SMTPUTF8=True, data_size_limit=SIZE_LIMIT)
        )
        return connections[-1]

    server = await loop.create_server(connection, host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in _open(connections):
            if each.transport:
                each.transport.close()
        await server.wait_closed()


def _open(connections: list[SMTP]) -> Iterator[SMTP]:
    """Those of some connections that are not closed."""
    return (each for each in connections if not (each.transport and each.transport.is_closing()))
