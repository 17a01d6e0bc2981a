"""Errors go to Sentry where that is set, over its real wire format, and take nothing of anybody's with them."""

import gzip
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bot import error_reports, logs
from bot.logs import Redactor
from bot.settings import CannotStart, InvalidSettings
from tests.test_settings import load

SECRET = "a-very-secret-token"
NAME = "Ann Example"


class Sentry(ThreadingHTTPServer):
    """A stand-in that keeps the envelopes it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taker)
        self.paths: list[str] = []
        self.envelopes: list[bytes] = []

    @property
    def dsn(self) -> str:
        return f"http://key@127.0.0.1:{self.server_address[1]}/7"


class Taker(BaseHTTPRequestHandler):
    server: Sentry

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.paths.append(self.path)
        self.server.envelopes.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    with Sentry() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def charge(customer: str, key: str) -> None:
    raise ValueError(f"{key} of {len(customer)} letters was refused")


def events(sentry: Sentry) -> list[dict[str, Any]]:
    return [json.loads(envelope.splitlines()[2]) for envelope in sentry.envelopes]


def test_an_error_is_sent_with_its_place_and_without_anybodys_data(sentry: Sentry) -> None:
    end = error_reports.start(sentry.dsn, Redactor([SECRET]), version="1.2.3")
    log = logging.getLogger("bot.test")
    log.warning("%s is late", NAME)
    with logs.about("update:712"):
        try:
            charge(NAME, SECRET)
        except ValueError:
            log.exception("charging with %s", SECRET)
    end()
    assert sentry.paths == ["/api/7/envelope/"]
    (event,) = events(sentry)
    assert (event["level"], event["logger"], event["release"]) == ("error", "bot.test", "vmbot@1.2.3")
    assert event["tags"] == {"request": "update:712"}
    (raised,) = event["exception"]["values"]
    assert (raised["type"], raised["value"]) == ("ValueError", f"{logs.HIDDEN} of 11 letters was refused")
    assert raised["stacktrace"]["frames"][-1]["function"] == "charge"
    whole = sentry.envelopes[0].decode()
    for hidden in (SECRET, NAME, "vars", "server_name", "breadcrumbs", '"user"', "argv", "context_line"):
        assert hidden not in whole


def test_what_is_no_dsn_is_refused_without_being_shown() -> None:
    with pytest.raises(InvalidSettings) as caught:
        load(SENTRY_DSN="https://nokey.example.com/x")
    assert "SENTRY_DSN" in str(caught.value)
    assert "nokey" not in str(caught.value)
    dsn = load(SENTRY_DSN="https://key@sentry.example.com/12").sentry_dsn
    assert dsn is not None
    assert "key" not in str(dsn)


def test_a_missing_library_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentry_sdk", None)
    with pytest.raises(CannotStart, match=r"vmbot\[sentry\]"):
        error_reports.start("http://key@127.0.0.1/7", Redactor(), version="1")
