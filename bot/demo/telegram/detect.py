"""What Telegram finds in a text by itself: links, addresses, mentions, hashtags and commands."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from bot.demo.telegram.wire import Json, utf16_length

_FOUND = re.compile(
    r"(?P<url>(?:https?|ftp|tg|ton)://[^\s<>\"'`«»]+|(?<![\w@.])(?:t\.me|telegram\.me)/[^\s<>\"'`«»]+)"
    r"|(?P<email>(?<![\w.+-])[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,})"
    r"|(?P<mention>(?<!\w)@[A-Za-z][A-Za-z0-9_]{3,31}\b)"
    r"|(?P<bot_command>(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z][A-Za-z0-9_]{3,31})?(?![\w/<>]))"
    r"|(?P<hashtag>(?<!\w)#\w*[^\W\d]\w*)"
)
_SCHEMES = {"http", "https", "ftp", "ton", "tonsite"}
_OWN_SCHEMES = ("tg://", "ton://", "mailto:", "tel:")
_BLANK = re.compile(r"\s")
_ID = re.compile(r"[0-9]{1,15}")
_LONGEST_HOST = 253


def detect(text: str, taken: Iterable[Json]) -> list[Json]:
    """Entities for what is recognised outside of code, links and mentions that are already there."""
    closed = [span for span in taken if span["type"] in {"code", "pre", "text_link", "text_mention"}]
    found = []
    for match in _FOUND.finditer(text):
        letters = match.group()
        if match.lastgroup == "url":
            letters = letters.rstrip(".,:;!?)]}")
        offset, length = utf16_length(text[: match.start()]), utf16_length(letters)
        if not any(s["offset"] < offset + length and offset < s["offset"] + s["length"] for s in closed):
            found.append({"type": match.lastgroup, "offset": offset, "length": length})
    return found


def link_of(target: str) -> Json | None:
    """The fields of a link entity: an address, or the id of a mentioned user; nothing if it is neither."""
    if target.startswith("tg://user?id="):
        number = target.removeprefix("tg://user?id=")
        return {"type": "text_mention", "user": {"id": int(number)}} if _ID.fullmatch(number) else None
    address = checked_address(target)
    return {"url": address} if address else None


def checked_address(target: str) -> str | None:
    """The address as Telegram keeps it (`http://` added, `/` after a bare host), or nothing if it is refused.

    A host needs a dot, so `http://localhost/` is refused, as Telegram does; `http://127.0.0.1/` is taken.
    """
    target = target.strip()
    if target.lower().startswith(_OWN_SCHEMES):
        return target
    if "://" not in target:
        target = f"http://{target}"
    try:
        parts = urlsplit(target)
        port = parts.port
    except ValueError:
        return None
    if _BLANK.search(target) or parts.scheme not in _SCHEMES or port == 0:
        return None
    if not _is_host(parts.hostname or ""):
        return None
    return target if parts.path or parts.query or parts.fragment else f"{target}/"


def _is_host(host: str) -> bool:
    labels = host.split(".")
    return len(labels) > 1 and all(labels) and len(host) <= _LONGEST_HOST
