"""Who did what, as administrators read it (C10)."""

from collections.abc import Mapping, Sequence
from typing import Any

from billing.models import AuditEntry, Customer
from billing.money import Currency
from bot.admin_links import AuditLog, ShowCustomer
from bot.format import bold, escape, money, when
from bot.i18n import _
from bot.view import Button, Rows, View
from bot.views import problems
from bot.views.admin_words import panel, short, turn, who

PAGE = 5
"""Entries on one screen."""
_VALUE = 60
"""Characters of one detail; five entries with six such fit."""
_MONEY = frozenset({"amount", "old", "new", "total", "monthly"})
"""Details that are amounts in minor units."""


def listing(
    entries: Sequence[tuple[AuditEntry, Customer | None]],
    of: AuditLog,
    *,
    names: Mapping[int, str],
    customer: Customer | None,
    more: bool,
    currency: Currency,
) -> View:
    """Return a page of the audit log, newest first; `names` are those of who acted."""
    title = _("📜 Who did what") if customer is None else _("📜 What was done about {name}")
    lines = [title.format(name=bold(who(customer)) if customer else "")]
    lines += [_entry(entry, whom, names, currency) for entry, whom in entries] or [_("Nothing yet.")]
    pages = turn(
        AuditLog(customer_id=of.customer_id, page=of.page - 1) if of.page else None,
        AuditLog(customer_id=of.customer_id, page=of.page + 1) if more else None,
    )
    back: Rows = ((panel(), problems.home()),)
    if customer is not None:
        back = ((Button(f"‹ {short(customer)}", ShowCustomer(customer_id=customer.id)), panel()),)
    return View("\n\n".join(lines), (*pages, *back))


def _entry(entry: AuditEntry, whom: Customer | None, names: Mapping[int, str], currency: Currency) -> str:
    # An import acts in an administrator's place, as number 0.
    actor = _("the system") if not entry.actor else f"{names.get(entry.actor, '')[:_VALUE]} ({entry.actor})".strip()
    lines = [f"{when(entry.at)} – {bold(entry.action.replace('_', ' '))}", _("by {name}").format(name=escape(actor))]
    if whom is not None:
        lines.append(_("about {name}").format(name=escape(who(whom))))
    lines += [
        f"{escape(key.replace('_', ' '))}: {_value(key, value, currency)}"
        for key, value in entry.details.items()
        if value is not None and value != ""
    ]
    return "\n".join(lines)


def _value(key: str, value: Any, currency: Currency) -> str:  # noqa: ANN401 whatever JSON can hold
    if key in _MONEY and isinstance(value, int) and not isinstance(value, bool):
        return money(value, currency)
    if isinstance(value, list):
        value = ", ".join(str(part) for part in value)
    text = str(value)
    return escape(text if len(text) <= _VALUE else f"{text[:_VALUE]}…")
