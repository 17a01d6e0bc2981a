"""`expand[]`: objects in place of their ids, for the fields where the library's classes say so."""

import stripe
from stripe import StripeObject

from bot.demo.stripe.core import Core, public
from bot.demo.stripe.errors import Json, invalid
from bot.demo.stripe.shapes import fields
from bot.demo.stripe.store import paginate

_MAX_DEPTH = 4
_CLASSES: dict[str, type[StripeObject]] = {
    cls.OBJECT_NAME: cls
    for cls in (
        stripe.BalanceTransaction,
        stripe.Charge,
        stripe.Customer,
        stripe.Dispute,
        stripe.PaymentIntent,
        stripe.PaymentMethod,
        stripe.Refund,
        stripe.SetupAttempt,
        stripe.SetupIntent,
        stripe.checkout.Session,
    )
}


def render(core: Core, obj: Json, wanted: list[str]) -> Json:
    """What leaves the server: without our own keys, with what was asked for filled in.

    Raises:
        ApiError: 400 for a property that cannot be expanded.
    """
    is_list = obj.get("object") == "list"
    shown = {**obj, "data": [public(row) for row in obj["data"]]} if is_list else public(obj)
    for path in wanted:
        parts = path.split(".")
        if len(parts) > _MAX_DEPTH:
            raise invalid(f"You cannot expand more than {_MAX_DEPTH} levels of a property (property: {path}).")
        _expand(core, shown, parts, path)
    return shown


def _expand(core: Core, obj: Json, parts: list[str], whole: str) -> None:
    head, rest = parts[0], parts[1:]
    if obj.get("object") == "list":
        if head != "data" or not rest:
            raise _refusal(head, whole)
        for row in obj["data"]:
            _expand(core, row, rest, whole)
        return
    value = _value(core, obj, head, whole)
    if isinstance(value, dict):
        obj[head] = value
        if rest:
            _expand(core, value, rest, whole)


def _value(core: Core, obj: Json, head: str, whole: str) -> object:
    cls = _CLASSES.get(obj.get("object", ""))
    field = fields(cls).get(head) if cls is not None else None
    if cls is not None and (field is None or not (field.expandable or field.includable or field.nested)):
        raise _refusal(head, whole)
    if field is not None and field.includable:
        return _included(core, obj, head, whole)
    value = obj.get(head)
    if not isinstance(value, str):
        return value
    found = core.store.any(value)
    if found is None:
        raise _refusal(head, whole)
    return public(found)


def _included(core: Core, obj: Json, head: str, whole: str) -> Json:
    if obj["object"] == "charge" and head == "refunds":
        rows = [public(row) for row in core.store.every("refund") if row["charge"] == obj["id"]]
        return paginate(rows[::-1], f"/v1/charges/{obj['id']}/refunds", {})
    if obj["object"] == "checkout.session" and head == "line_items":
        rows = core.store.need("checkout.session", obj["id"])["_items"]
        return paginate(rows, f"/v1/checkout/sessions/{obj['id']}/line_items", {})
    raise _refusal(head, whole)


def _refusal(head: str, whole: str) -> Exception:
    return invalid(
        f"This property cannot be expanded ({head}). You may want to try expanding another property. (whole: {whole})",
        param="expand",
    )
