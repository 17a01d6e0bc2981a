"""Button data: frozen dataclasses <-> strings of at most 64 bytes.

A button names feature, step and ids, never a price or a permission; on every tap all is loaded and asked again.
Its string starts with the button's two or three letters, which stay the same for ever: a button of last year's
screen still works.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TypeVar, cast, dataclass_transform, get_type_hints

LONGEST = 64
"""Bytes that Telegram takes as callback data."""
_SEPARATOR = ":"
_NUMBER = re.compile(r"-?[0-9]{1,16}")
"""Beyond every id of ours and of Telegram's, and so far inside 64 bits that a page's number times its size is too."""

_types: dict[str, type["Press"]] = {}


class OldButton(Exception):
    """The data is of no button that this version knows: the screen is old, or somebody made it up."""


@dataclass(frozen=True, slots=True)
class Press:
    """Base of all buttons' data; fields are of type int, str, bool or a StrEnum."""

    def pack(self) -> str:
        """Return the callback data.

        Raises:
            ValueError: it is longer than Telegram takes, or holds the separator: a mistake of the screen.
        """
        parts = [_prefixes[type(self)], *(_to_text(getattr(self, field.name)) for field in fields(self))]
        if any(_SEPARATOR in part for part in parts):
            raise ValueError(f"{self} holds {_SEPARATOR!r}")
        data = _SEPARATOR.join(parts)
        if len(data.encode()) > LONGEST:
            raise ValueError(f"{self} takes more than {LONGEST} bytes")
        return data


_prefixes: dict[type[Press], str] = {}
_PressType = TypeVar("_PressType", bound=Press)


@dataclass_transform(frozen_default=True)
def button(prefix: str) -> Callable[[type[_PressType]], type[_PressType]]:
    """Make a class the data of a button whose string starts with this prefix."""

    def register(cls: type[_PressType]) -> type[_PressType]:
        made = cast("type[_PressType]", dataclass(frozen=True)(cls))
        if prefix in _types:
            raise ValueError(f"two buttons are called {prefix}")
        _types[prefix] = made
        _prefixes[made] = prefix
        return made

    return register


def unpack(data: str) -> Press:
    """Return the button of a callback data string.

    Raises:
        OldButton: no button of this version has such data.
    """
    prefix, *parts = data.split(_SEPARATOR)
    cls = _types.get(prefix)
    if cls is None:
        raise OldButton(data)
    hints = get_type_hints(cls)
    names = [field.name for field in fields(cls)]
    if len(parts) != len(names):
        raise OldButton(data)
    try:
        return cls(**{name: _from_text(hints[name], part) for name, part in zip(names, parts, strict=True)})
    except ValueError as error:
        raise OldButton(data) from error


def known() -> dict[str, type[Press]]:
    """Return every registered button by its prefix."""
    return dict(_types)


def _to_text(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return value.value if isinstance(value, StrEnum) else str(value)


def _from_text(kind: type, text: str) -> object:
    if kind is bool:
        return bool(("0", "1").index(text))
    if kind is int and not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return kind(text)
