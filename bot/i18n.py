"""Words in the reader's language: gettext catalogues, and the language of the person being answered.

The language is set once at each edge (an update, a notice) and read by `_`; asyncio gives each task its own.
"""

import gettext
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

DEFAULT = "en"
LANGUAGES = {"en": "English"}
"""Languages that have a catalogue, by their own names."""

_FOLDER = Path(__file__).parent / "locale"
_language: ContextVar[str] = ContextVar("language", default=DEFAULT)


def language() -> str:
    """Return the language of the person being answered."""
    return _language.get()


def nearest(tag: str | None) -> str:
    """Return the language to use for an IETF tag such as `ar-EG`, the default where there is none."""
    base = (tag or DEFAULT).split("-")[0].lower()
    return base if base in LANGUAGES else DEFAULT


@contextmanager
def speaking(tag: str | None) -> Iterator[None]:
    """Use a language until the block ends."""
    token = _language.set(nearest(tag))
    try:
        yield
    finally:
        _language.reset(token)


@cache
def _catalogue(code: str) -> gettext.NullTranslations:
    return gettext.translation("bot", _FOLDER, languages=[code], fallback=True)


def _(message: str) -> str:
    """Return a text in the current language."""
    return _catalogue(language()).gettext(message)


def ngettext(singular: str, plural: str, count: int) -> str:
    """Return the form of a text that fits a number in the current language."""
    return _catalogue(language()).ngettext(singular, plural, count)
