"""What somebody typed into the payment page: checked as Stripe's form checks it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from bot.demo.stripe.cards import BY_NUMBER, is_luhn
from bot.demo.stripe.methods import CardEntry

_SHORTEST, _LONGEST = 12, 19
_AMEX_CVC, _CVC = 4, 3
_MONTHS, _CENTURY, _FAR = 12, 2000, 50
_EXPIRY = re.compile(r"(\d{1,2})\s*/\s*(\d{2}|\d{4})")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_MAX_TEXT = 200


class Invalid(Exception):
    """Fields that do not hold what they should: field name to message."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("; ".join(fields.values()))
        self.fields = fields


def read(form: Mapping[str, str], now: int) -> CardEntry:
    """The card and its owner.

    Args:
        form: `number`, `expiry` (MM / YY), `cvc`, `name`, and if asked for `email`, `country`, `postal_code`.
        now: the server's clock, epoch seconds.

    Raises:
        Invalid: with a message for each field that is wrong.
    """
    number = re.sub(r"[\s-]", "", form.get("number", ""))
    wrong = {
        "number": _number_error(number),
        "expiry": _expiry_error(form.get("expiry", ""), now),
        "cvc": _cvc_error(number, form.get("cvc", "")),
        "name": "" if form.get("name", "").strip() else "Enter the name on the card.",
        "email": _email_error(form.get("email")),
    }
    found = {name: message for name, message in wrong.items() if message}
    if found:
        raise Invalid(found)
    month, year = _expiry(form["expiry"])
    return CardEntry(
        BY_NUMBER[number],
        month,
        year,
        name=form["name"].strip()[:_MAX_TEXT],
        email=form.get("email") or None,
        country=form.get("country") or "US",
        postal_code=form.get("postal_code") or None,
    )


def _number_error(number: str) -> str:
    if len(number) < _SHORTEST:
        return "Your card number is incomplete."
    if not number.isdecimal() or len(number) > _LONGEST or not is_luhn(number):
        return "Your card number is invalid."
    if number not in BY_NUMBER:
        return "Your card was declined. This is a test page: use one of the test cards, never a real one."
    return ""


def _expiry(text: str) -> tuple[int, int]:
    match = _EXPIRY.fullmatch(text.strip())
    if match is None:
        return 0, 0
    year = int(match[2])
    return int(match[1]), year if year >= _CENTURY else year + _CENTURY


def _expiry_error(text: str, now: int) -> str:
    month, year = _expiry(text)
    today = datetime.fromtimestamp(now, UTC)
    if year == 0:
        return "Your card's expiration date is incomplete."
    if not 1 <= month <= _MONTHS or year > today.year + _FAR:
        return "Your card's expiration date is invalid."
    if (year, month) < (today.year, today.month):
        return "Your card's expiration date is in the past."
    return ""


def _cvc_error(number: str, cvc: str) -> str:
    wanted = _AMEX_CVC if number in BY_NUMBER and BY_NUMBER[number].brand == "amex" else _CVC
    if not cvc.isdecimal() or len(cvc) < wanted:
        return "Your card's security code is incomplete."
    return "Your card's security code is invalid." if len(cvc) > _AMEX_CVC else ""


def _email_error(email: str | None) -> str:
    if email is None or _EMAIL.fullmatch(email.strip()):
        return ""
    return "Enter an e-mail address." if not email.strip() else "This e-mail address is not complete."
