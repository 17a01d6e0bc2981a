"""Whether an update has the shape that Telegram documents, as far as we read it.

The library believes whatever it is sent: a name that is a number would come out somewhere in the middle of an answer.
"""

from collections.abc import Iterator
from typing import Any

_TEXTS = frozenset(
    (
        *("caption", "chat_instance", "currency", "data", "first_name", "inline_message_id", "invoice_payload"),
        *("language_code", "last_name", "media_group_id", "provider_payment_charge_id", "query", "status"),
        *("telegram_payment_charge_id", "text", "title", "username"),
    )
)
_NUMBERS = frozenset(
    ("date", "edit_date", "length", "message_id", "message_thread_id", "offset", "total_amount", "update_id")
)
_HOLDERS = frozenset(("callback_query", "chat", "from", "message", "my_chat_member", "pre_checkout_query", "user"))
_WHOSE_ID_IS_TEXT = frozenset(("callback_query", "inline_query", "pre_checkout_query", "shipping_query"))
_NEEDED = {
    "callback_query": ("id", "from"),
    "message": ("message_id", "chat"),
    "my_chat_member": ("chat", "from", "new_chat_member"),
    "pre_checkout_query": ("id", "from", "invoice_payload"),
}
"""What must be there; the library would go on without some of it."""
_LARGEST = 2**63


class Misshapen(Exception):
    """An update is not one that Telegram could have sent."""


def check(update: dict[str, Any]) -> None:
    """Look at the type of everything that is read of an update.

    Raises:
        Misshapen: the first thing that is missing or of another type than documented, or a number that no column holds.
    """
    for holder, key, value in _parts("", update):
        if not _fits(holder, key, value):
            raise Misshapen(f"{key} of {holder or 'the update'} is a {type(value).__name__}")
        if isinstance(value, dict) and not all(part in value for part in _NEEDED.get(key, ())):
            raise Misshapen(f"{key} lacks a part")


def _parts(holder: str, value: object) -> Iterator[tuple[str, str, object]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield holder, key, part
            yield from _parts(key, part)
    elif isinstance(value, list):
        for part in value:
            yield from _parts(holder, part)


def _fits(holder: str, key: str, value: object) -> bool:
    if isinstance(value, int) and not isinstance(value, bool) and not -_LARGEST <= value < _LARGEST:
        return False
    if holder == "inline_query" and key == "offset":
        return isinstance(value, str)
    if key in _TEXTS or (key == "type" and holder == "chat"):
        return isinstance(value, str)
    if key in _NUMBERS:
        return isinstance(value, int) and not isinstance(value, bool)
    if key in _HOLDERS:
        return isinstance(value, dict)
    if key == "id" and holder in _WHOSE_ID_IS_TEXT:
        return isinstance(value, str)
    if key == "id" and holder in _HOLDERS:
        return isinstance(value, int) and not isinstance(value, bool)
    return True
