"""How money, times and names look on the screen."""

import re
from collections.abc import Iterable
from datetime import date, datetime
from functools import cache
from html import escape as _escape
from html import unescape

from babel.dates import format_date, format_datetime
from babel.numbers import get_currency_symbol

from billing.clock import Month
from billing.money import Currency
from bot.i18n import language, runs_right_to_left

_TAG = re.compile(r"<[^>]+>")
_LEFT_TO_RIGHT, _END = "\u2066", "\u2069"
"""Isolates of the bidirectional algorithm; they stand outside what a tap copies."""


def escape(text: object) -> str:
    """Return a text as HTML parse mode shows it, whatever it holds."""
    return _escape(str(text), quote=False)


def plain(html: str) -> str:
    """Return the words of a text in HTML parse mode without its markup."""
    return unescape(_TAG.sub("", html))


def money(amount: int, currency: Currency) -> str:
    """Return an amount with its currency, `$5.00`; a negative one has its sign in front."""
    # Figures and sign stay the same in every language: invoices and screens of one business agree.
    symbol = _symbol(currency.code)
    whole, rest = divmod(abs(amount), 10**currency.exponent)
    decimals = f".{rest:0{currency.exponent}}" if currency.exponent else ""
    return f"{'-' if amount < 0 else ''}{symbol}{whole:,}{decimals}"


@cache
def _symbol(code: str) -> str:
    return get_currency_symbol(code.upper(), locale="en_US")


def when(instant: datetime) -> str:
    """Return an instant to the minute, `31 Jan 2026, 10:00 UTC`."""
    time = isolated(format_datetime(instant, "HH:mm 'UTC'", locale=language()))
    return enumerated([day(instant), time])


def day(instant: date) -> str:
    """Return a day, or the day of an instant, `31 Jan 2026`."""
    return format_date(instant, "d MMM yyyy", locale=language())


def month(period: Month) -> str:
    """Return a month, `January 2026`."""
    return format_date(period.start, "LLLL yyyy", locale=language())


def enumerated(parts: Iterable[str]) -> str:
    """Return words one after the other, with the comma of the language."""
    return ("، " if runs_right_to_left() else ", ").join(parts)


def code(text: object) -> str:
    """Return a text that a tap copies."""
    return isolated(f"<code>{escape(text)}</code>")


def isolated(text: str) -> str:
    """Return a foreign text, such as a command, so that it keeps its order inside words that run right to left."""
    return f"{_LEFT_TO_RIGHT}{text}{_END}" if runs_right_to_left() else text


def bold(text: object) -> str:
    """Return a text in bold."""
    return f"<b>{escape(text)}</b>"
