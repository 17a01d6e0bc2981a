"""Words in the reader's language: gettext catalogues, and the language of the person being answered.

The language is set once at each edge (an update, a notice) and read by `_`; asyncio gives each task its own.
"""

import gettext
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

DEFAULT = "en"
LANGUAGES = {"en": "English", "ar": "العربية"}
"""Languages that are spoken, by their own names; all but the default have a catalogue."""
RIGHT_TO_LEFT = frozenset({"ar"})

FOLDER = Path(__file__).parent / "locale"
_RLM = "\u200f"
"""RIGHT-TO-LEFT MARK: a line that begins with it runs that way, whatever follows."""
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


def runs_right_to_left() -> bool:
    """Return whether the current language does."""
    return language() in RIGHT_TO_LEFT


def directed(text: str) -> str:
    """Return a text whose every line runs as the current language does, also one that begins with a foreign name."""
    if not runs_right_to_left():
        return text
    return "\n".join(line if not line or line.startswith(_RLM) else _RLM + line for line in text.split("\n"))


@cache
def _catalogue(code: str) -> gettext.NullTranslations:
    """Return a language's words, read from its PO file: what translators edit is what is spoken."""
    path = FOLDER / code / "LC_MESSAGES" / "bot.po"
    if code == DEFAULT:
        return gettext.NullTranslations()
    compiled = BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=code))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _(message: str) -> str:
    """Return a text in the current language."""
    return _catalogue(language()).gettext(message)


def ngettext(singular: str, plural: str, count: int) -> str:
    """Return the form of a text that fits a number in the current language."""
    return _catalogue(language()).ngettext(singular, plural, count)
