"""The parameters of one call: where they come from, and how each kind is read."""

import json
import re
from dataclasses import dataclass
from typing import Any, cast

from starlette.datastructures import UploadFile
from starlette.requests import Request

from bot.demo.telegram.wire import ApiError, Json, bad_request

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_TRUE = {"true", "1", "yes"}
_FALSE = {"false", "0", "no", ""}
_MISSING_CHAT = "chat_id is empty"


@dataclass(frozen=True)
class Upload:
    """A file that came with the call."""

    name: str
    content_type: str
    content: bytes


Raw = dict[str, str | Upload]
"""Parameters as sent: text (JSON where the value is not plain), or a file."""


async def read_raw(request: Request) -> Raw:
    """The parameters of a GET or POST, from the query, a form, a multipart form or a JSON object."""
    raw: Raw = dict(request.query_params.items())
    if request.method == "GET":
        return raw
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        raw |= _from_json(await request.body())
    elif kind in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        async with request.form(max_part_size=64 * 1024 * 1024) as form:
            for name, value in form.multi_items():
                raw[name] = await _uploaded(value) if isinstance(value, UploadFile) else value
    elif await request.body():
        raise bad_request("unsupported content type")
    return raw


async def _uploaded(part: UploadFile) -> Upload:
    return Upload(part.filename or "file", part.content_type or "", await part.read())


def _from_json(body: bytes) -> Raw:
    try:
        parsed = json.loads(body or b"{}")
    except ValueError:
        raise bad_request("can't parse JSON object") from None
    if not isinstance(parsed, dict):
        raise bad_request("expected a JSON object")
    return {
        str(name): value if isinstance(value, str) else json.dumps(value)
        for name, value in parsed.items()
        if value is not None
    }


class Params:
    """The checked parameters of one call; a getter for an absent one returns its default.

    Args:
        raw: as sent.
        known: name to kind: `str`, `int`, `bool`, `object`, `array`, `chat` or `file`.
        strict: refuse names that the method does not have.
    """

    def __init__(self, raw: Raw, known: dict[str, str], *, strict: bool) -> None:
        self.attached = {name: value for name, value in raw.items() if isinstance(value, Upload)}
        self._values: dict[str, Any] = {}
        mentioned = " ".join(value for value in raw.values() if isinstance(value, str))
        for name, value in raw.items():
            if name in known:
                self._values[name] = _read(name, known[name], value)
            elif strict and f"attach://{name}" not in mentioned:
                raise bad_request(f'unknown parameter "{name}"')

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        """A string."""
        return cast("str", self._values.get(name, default))

    def integer(self, name: str, default: int = 0) -> int:
        """A number without fraction."""
        return cast("int", self._values.get(name, default))

    def flag(self, name: str) -> bool:
        """A Boolean, false when absent."""
        return cast("bool", self._values.get(name, False))

    def object(self, name: str) -> Json | None:
        """A JSON object."""
        return cast("Json | None", self._values.get(name))

    def array(self, name: str) -> list[Any] | None:
        """A JSON array."""
        return cast("list[Any] | None", self._values.get(name))

    def chat(self, name: str = "chat_id") -> int | str:
        """A chat's id or `@name`; 400 when absent."""
        if name not in self._values:
            raise bad_request(_MISSING_CHAT)
        return cast("int | str", self._values[name])

    def file(self, name: str) -> Upload | str | None:
        """A new file, or the id or address of one."""
        value = self._values.get(name)
        if isinstance(value, str) and value.startswith("attach://"):
            value = self.attached.get(value.removeprefix("attach://"))
        return value


def _read(name: str, kind: str, value: str | Upload) -> object:
    if isinstance(value, Upload):
        if kind != "file":
            raise bad_request(f'parameter "{name}" must not be a file')
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        raise bad_request("strings must be encoded in UTF-8") from None
    match kind:
        case "int":
            return _integer(name, value)
        case "bool":
            return _boolean(name, value)
        case "chat":
            return _chat(value)
        case "object" | "array":
            return _json(name, kind, value)
        case _:
            return value


def _integer(name: str, value: str) -> int:
    if not _INTEGER.fullmatch(value.strip()):
        if name == "message_id":
            raise bad_request("message identifier is not specified")
        raise bad_request(f'parameter "{name}" must be an integer')
    return int(value)


def _boolean(name: str, value: str) -> bool:
    lowered = value.strip().lower()
    if lowered not in _TRUE | _FALSE:
        raise bad_request(f'parameter "{name}" must be a Boolean')
    return lowered in _TRUE


def _chat(value: str) -> int | str:
    value = value.strip()
    if not value:
        raise bad_request(_MISSING_CHAT)
    return int(value) if _INTEGER.fullmatch(value) else value


def _json(name: str, kind: str, value: str) -> object:
    words = "reply keyboard markup" if name == "reply_markup" else name.replace("_", " ")
    refused: ApiError = bad_request(f"can't parse {words} JSON object")
    try:
        parsed = json.loads(value)
        json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise refused from None
    if not isinstance(parsed, dict if kind == "object" else list):
        raise refused
    return parsed
