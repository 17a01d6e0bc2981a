"""Fetches a file by HTTP: goes on where an earlier try was broken off, and takes nothing but what was named."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import httpx

from cloud.drivers.base import TryAgain

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 30.0
_TOLD_EVERY = 0.1  # of the whole
_PARTIAL, _TOO_FAR = 206, 416


@dataclass(frozen=True, slots=True)
class Download:
    """A file on a web server.

    Attributes:
        url: where.
        sha256: which, as 64 hexadecimal digits.
    """

    url: str
    sha256: str

    def __str__(self) -> str:
        """Return the address."""
        return self.url


def fetch(source: Download, path: Path) -> None:
    """Bring the file to `path`, whose content may be the first part of it. Blocks, as long as it takes.

    Raises:
        TryAgain: the server does not give it now, or gives another file; what is there so far is kept in the first
            case and removed in the second.
    """
    try:
        while not _fetch_on(source, path):
            log.warning("the image download was broken off, going on: %s", source)
    except (httpx.HTTPError, OSError) as error:
        raise TryAgain(f"The image cannot be loaded from {source}: {str(error) or type(error).__name__}") from error
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != source.sha256.lower():
        path.unlink()
        raise TryAgain(f"What is at {source} is not the image that IMAGE_SHA256 names: its SHA-256 is {found}.")


def _fetch_on(source: Download, path: Path) -> bool:
    """Load what is missing; return whether that was all, or it broke off after some of it.

    Raises:
        httpx.HTTPError: not even a part of it came.
    """
    there = path.stat().st_size if path.exists() else 0
    headers = {"Range": f"bytes={there}-"} if there else {}
    size = there
    with (
        httpx.Client(follow_redirects=True, timeout=_PATIENCE_SECONDS) as client,
        client.stream("GET", source.url, headers={**headers, "Accept-Encoding": "identity"}) as answer,
    ):
        if there and answer.status_code == _TOO_FAR:
            return True  # all of it, or too much: its checksum will tell
        answer.raise_for_status()
        goes_on = answer.status_code == _PARTIAL
        size = there if goes_on else 0
        whole = size + int(answer.headers.get("Content-Length", 0))
        told = size
        with path.open("ab" if goes_on else "wb") as file:
            try:
                for chunk in answer.iter_bytes():
                    size += file.write(chunk)
                    if size - told >= whole * _TOLD_EVERY:
                        told = size
                        log.info("loading the image: %s of %s MB", size >> 20, (whole >> 20) or "?")
            except httpx.TransportError:
                if size <= there:
                    raise
                return False
    return True
