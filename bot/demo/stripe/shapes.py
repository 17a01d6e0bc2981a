"""Objects with exactly the fields this API version gives them, read from the official library's classes.

`shape(stripe.PaymentIntent, ...)` fills what is not said with null, refuses a field the class does not have and
insists on one that cannot be null: a field that a new version drops makes the stand-in fail, not lie.
"""

import inspect
import types
from typing import Any, ClassVar, ForwardRef, Union, get_args, get_origin

from stripe import StripeObject

from bot.demo.stripe.errors import Json

# Fields that Stripe leaves out unless they are asked for or apply; all others are null when empty.
_ABSENT: dict[str, frozenset[str]] = {
    "Customer": frozenset(
        {
            "cash_balance",
            "customer_account",
            "deleted",
            "individual_name",
            "business_name",
            "invoice_credit_balance",
            "sources",
            "subscriptions",
            "tax",
            "tax_ids",
        }
    ),
    "Charge": frozenset({"level3", "refunds", "authorization_code", "presentment_details"}),
    "Session": frozenset({"line_items", "optional_items", "name_collection", "presentment_details"}),
    "WebhookEndpoint": frozenset({"deleted", "secret"}),
    "Price": frozenset({"deleted", "tiers", "currency_options"}),
    "Event": frozenset({"account", "context"}),
    "Data": frozenset({"previous_attributes"}),
    "LastPaymentError": frozenset({"payment_intent", "setup_intent", "source", "request_log_url"}),
    "LastSetupError": frozenset({"payment_intent", "setup_intent", "source", "request_log_url"}),
}

# Their `type` says which of many hashes applies; the others are not sent at all.
_BY_TYPE = frozenset({"PaymentMethod", "NextAction", "PaymentMethodDetails", "DestinationDetails"})


class _Field:
    """What one annotation says: may it be null, is there a class of its own behind it, can it be expanded."""

    def __init__(self, hint: Any) -> None:  # noqa: ANN401 - any annotation
        parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        self.nullable = type(None) in parts
        self.nested = next((found for part in parts if (found := _nested(part)) is not None), None)
        self.is_object = any(isinstance(part, (ForwardRef, str)) for part in parts)
        self.expandable = self.is_object and str in parts
        self.includable = any("ListObject" in str(part) for part in parts)


_KNOWN: dict[type[StripeObject], dict[str, _Field]] = {}


def _nested(part: Any) -> type[StripeObject] | None:  # noqa: ANN401 - any annotation
    if get_origin(part) is list:
        return _nested(get_args(part)[0])
    if inspect.isclass(part) and issubclass(part, StripeObject) and "." in part.__qualname__:
        return part
    return None


def fields(cls: type[StripeObject]) -> dict[str, _Field]:
    """The fields of a library class by name."""
    if cls not in _KNOWN:
        hints = inspect.get_annotations(cls)
        _KNOWN[cls] = {name: _Field(hint) for name, hint in hints.items() if not _is_class_var(hint)}
    return _KNOWN[cls]


def _is_class_var(hint: object) -> bool:
    return get_origin(hint) is ClassVar


def _left_out(cls: type[StripeObject]) -> frozenset[str]:
    absent = _ABSENT.get(cls.__name__, frozenset())
    known = fields(cls)
    if cls.__name__ not in _BY_TYPE:
        return absent
    return absent | {name for name, field in known.items() if field.nested is not None and field.nullable}


def shape(cls: type[StripeObject], **values: object) -> Json:
    """An object of `cls` as Stripe sends it; nested objects are filled the same way.

    Raises:
        TypeError: a field the class does not have, or one missing that cannot be null.
    """
    known = fields(cls)
    unknown = values.keys() - known.keys()
    if unknown:
        raise TypeError(f"{cls.__qualname__} has no {sorted(unknown)} in this API version")
    done: Json = {}
    for name, field in known.items():
        if name in values:
            done[name] = _fill(field, values[name])
        elif name in _left_out(cls):
            continue
        elif field.nullable:
            done[name] = None
        else:
            raise TypeError(f"{cls.__qualname__} needs {name}")
    return done


def _fill(field: _Field, value: object) -> object:
    if field.nested is None:
        return value
    if isinstance(value, dict):
        return shape(field.nested, **value)
    if isinstance(value, list):
        return [shape(field.nested, **item) if isinstance(item, dict) else item for item in value]
    return value
