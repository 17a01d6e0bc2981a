"""The log: one line an event, as text or JSON, and no secret in any of them.

Libraries put secrets where nobody asked for them: httpx logs URLs, and Telegram's hold the bot's token; an error's
text may quote a request. So every finished line is searched for the secrets that were configured, and for what
looks like one.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import IO

from bot.process_metrics import Attention
from bot.setting_types import LogFormat, LogLevel

HIDDEN = "[hidden]"
_about: ContextVar[str] = ContextVar("about", default="")
_QUIET = ("httpx", "httpcore", "apscheduler", "stripe", "aiosqlite", "asyncio", "asyncssh", "alembic")
"""Libraries that tell of every step; their warnings are kept."""
_SHORTEST = 6
"""A configured secret of fewer letters would hide ordinary words."""
_LOOKS_SECRET = re.compile(
    r"""
    (?<!\d)\d{6,}:[A-Za-z0-9_-]{30,}                # token of a bot
    | \b[rsp]k_(?:live|test)_\w+ | \bwhsec_[\w+/=]+  # keys of Stripe
    | \b(?:pi|seti|cs)_\w+_secret_\w+                # what lets a browser finish a payment
    | (?<![A-Za-z0-9])(?:[A-Z0-9]{4,}-){3,}[A-Z0-9]{4,}(?![A-Za-z0-9])  # voucher code
    | (?<![A-Za-z0-9-])(?:[a-z0-9]{4,5}-){3,}[a-z0-9]{4,5}(?![A-Za-z0-9-])  # the same as people type it
    | (?<![A-Za-z0-9])(?:(?=[0-9]*[A-Z])[0-9A-Z]{20}|(?=[a-z]*[0-9])(?=[0-9]*[a-z])[0-9a-z]{20})(?![A-Za-z0-9])
    | (?<![\w.])[3-6](?:[ -]?\d){12,18}(?!\w)          # number of a card
    | (?<=://)[^\s/:@]*:[^\s/@]+(?=@)                # user and password in an address
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)


@contextmanager
def about(request: str) -> Iterator[None]:
    """Name what is being worked on, `update:712` or `job:invoice`, in every line of the log until the block ends.

    An update's name is also the operation id of what it does: the same words find it in ledger and audit log.
    """
    token = _about.set(request)
    try:
        yield
    finally:
        _about.reset(token)


def current() -> str:
    """Return what is being worked on, as `about` named it; empty outside of it."""
    return _about.get()


class Redactor:
    """Takes secrets out of a text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Take the configured secrets; what merely looks like one is hidden as well."""
        known = sorted({secret for secret in secrets if len(secret) >= _SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        """Return the text with every secret replaced."""
        if self._known:
            text = self._known.sub(HIDDEN, text)
        return _LOOKS_SECRET.sub(HIDDEN, text)


class TextFormatter(logging.Formatter):
    """One line for a person: instant in UTC, level, logger, message; then the traceback if there is one."""

    converter = staticmethod(time.gmtime)

    def __init__(self, redact: Redactor) -> None:
        """Take what hides secrets."""
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self._redact = redact

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 the library's name
        """Return the line without a traceback; what it is about stands in brackets."""
        request = _about.get()
        if request:
            record.message = f"[{request}] {record.message}"
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, traceback included, without secrets."""
        return self._redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, `request`, and `error` with the traceback."""

    converter = staticmethod(time.gmtime)

    def __init__(self, redact: Redactor) -> None:
        """Take what hides secrets."""
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%SZ")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the object; texts are cleaned before they are quoted, so that quoting hides no secret from us."""
        fields = {
            "time": self.formatTime(record, self.datefmt),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := _about.get():
            fields["request"] = request
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps({name: self._redact(text) for name, text in fields.items()}, ensure_ascii=False)


_FORMATTERS = MappingProxyType({LogFormat.TEXT: TextFormatter, LogFormat.JSON: JsonFormatter})


def configure(
    form: LogFormat,
    secrets: Iterable[str] = (),
    *,
    level: LogLevel = LogLevel.INFO,
    stream: IO[str] | None = None,
) -> None:
    """Send the log of this process to standard error, or another stream, in place of wherever it went before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_FORMATTERS[form](Redactor(secrets)))
    logging.basicConfig(level=level.value.upper(), handlers=[handler, Attention(logging.WARNING)], force=True)
    logging.captureWarnings(capture=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
