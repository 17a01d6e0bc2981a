"""What people are told of unpaid invoices, of what follows, and of money that will not last (rules.md 9)."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from billing.dunning import Purpose
from billing.terms import Terms
from bot.callbacks import Press, button
from bot.format import bold, day, escape, money, when
from bot.i18n import _, ngettext
from bot.links import AddCard, Balance, EnterVoucher, Invoices, Machines, PayAll, PayInvoice, ShowInvoice
from bot.view import Button, Rows, View
from bot.views import admin_unpaid, problems

Facts = Mapping[str, Any]
_SHOWN = 15
"""Invoices listed in one message; the documents have all."""


@button("io")
class OpenDocuments(Press):
    """All open invoices as PDFs."""


def invoice_unpaid(facts: Facts, terms: Terms) -> View:
    """Nothing could pay: at once (rules.md 9.1)."""
    lines = [
        _("🟠 Unpaid: {amount}").format(amount=bold(money(facts["total"], terms.currency))),
        *_open(facts, terms),
        "",
        _("Voucher and balance do not cover it, and no card can be charged."),
        *_consequence(facts),
    ]
    return View("\n".join(lines), _rows(facts))


def unpaid_reminder(facts: Facts, terms: Terms) -> View:
    """All that is open, the total, the deletion day and the way to pay (rules.md 9.1)."""
    amount = bold(money(facts["total"], terms.currency))
    if Purpose.DAY_BEFORE in facts["purposes"]:
        title = _("🚨 Last warning. Unpaid: {amount}").format(amount=amount)
    elif Purpose.WEEK_BEFORE in facts["purposes"]:
        title = _("⚠️ Warning. Unpaid: {amount}").format(amount=amount)
    else:
        title = _("🔔 Reminder. Unpaid: {amount}").format(amount=amount)
    lines = [title, *_open(facts, terms), "", *_consequence(facts)]
    if not facts["card"]:
        lines.append(_("There is no valid card, and voucher and balance are used up."))
    return View("\n".join(lines), _rows(facts))


def unpaid_deleted(facts: Facts, terms: Terms) -> View:
    """The grace is over (rules.md 9.2)."""
    text = _("🗑 Deleted because invoices stayed unpaid: {names}.").format(names=admin_unpaid.listed(facts["names"]))
    debt = _("You still owe {amount}.").format(amount=bold(money(facts["total"], terms.currency)))
    return View(f"{text}\n{debt}", ((Button(_("💳 Pay"), PayAll()), Button(_("🧾 Invoices"), Invoices())),))


def deletion_postponed(facts: Facts, terms: Terms) -> View:
    """An administrator gave time."""
    text = _("🕒 You have more time to pay {amount}: nothing is deleted before {day}.").format(
        amount=bold(money(facts["total"], terms.currency)), day=bold(_day(facts["deletion_day"]))
    )
    return View(text, ((Button(_("💳 Pay"), PayAll()), problems.home()),))


def machines_suspended(facts: Facts, terms: Terms) -> View:
    """Off for debt (C17)."""
    lines = [
        _("🔌 Powered off because invoices are unpaid: {names}.").format(names=admin_unpaid.listed(facts["names"])),
        _("They cost nothing now, and come back by themselves when {amount} is paid.").format(
            amount=bold(money(facts["total"], terms.currency))
        ),
        _("On {day} they are deleted.").format(day=bold(_day(facts["deletion_day"]))),
    ]
    return View("\n".join(lines), ((Button(_("💳 Pay"), PayAll()), Button(_("🧾 Invoices"), Invoices())),))


def machines_resumed(facts: Facts, _terms: Terms) -> View:
    """Paid: back by themselves (rules.md 9.5)."""
    text = _("🔌 Thank you. Coming back now: {names}.").format(names=admin_unpaid.listed(facts["names"]))
    return View(text, ((Button(_("🖥 Machines"), Machines()), problems.home()),))


def funds_low(facts: Facts, terms: Terms) -> View:
    """How long money lasts, and what happens then (rules.md 9.4)."""
    until = datetime.fromisoformat(facts["until"])
    if facts["over"]:
        title = _("⏳ Voucher and balance are used up, and there is no valid card.")
    else:
        title = _("⏳ Voucher and balance last until {time}, and there is no valid card.").format(
            time=bold(when(until))
        )
    lines = [
        title,
        _("You have {funds}; what you run costs {monthly} a month.").format(
            funds=money(facts["funds"], terms.currency), monthly=money(facts["monthly"], terms.currency)
        ),
        _("What they do not cover stays unpaid, and on {day} your machines are deleted.").format(
            day=bold(_day(facts["deletion_day"]))
        ),
        _("Add a card, charge the balance or redeem a voucher, or stop {name}, the dearest.").format(
            name=bold(facts["dearest"])
        ),
    ]
    return View(
        "\n".join(lines),
        (
            (Button(_("💳 Add a card"), AddCard()), Button(_("💰 Balance"), Balance())),
            (Button(_("🎟 Redeem a voucher"), EnterVoucher()), Button(_("🖥 Machines"), Machines())),
        ),
    )


def house_unpaid_deleted(facts: Facts, terms: Terms) -> View:
    """For administrators: somebody's grace is over."""
    text = _("🗑 {customer} owes {amount} since {day}. Deleted: {names}.").format(
        customer=_who(facts),
        amount=bold(money(facts["total"], terms.currency)),
        day=day(datetime.fromisoformat(facts["since"])),
        names=admin_unpaid.listed(facts["names"]),
    )
    return View(text)


def house_unpaid_ask(facts: Facts, terms: Terms) -> View:
    """For administrators: the grace is over, and no notice could be delivered (C12)."""
    lines = [
        _("❓ {customer} owes {amount} since {day} and could not be told of the deletion.").format(
            customer=_who(facts),
            amount=bold(money(facts["total"], terms.currency)),
            day=day(datetime.fromisoformat(facts["since"])),
        ),
        _("The bot is blocked, and no mail was accepted. To be deleted: {names}.").format(
            names=admin_unpaid.listed(facts["names"])
        ),
    ]
    return View("\n".join(lines), admin_unpaid.buttons(facts["customer_id"], date.fromisoformat(facts["day"])))


def _open(facts: Facts, terms: Terms) -> list[str]:
    lines = [
        _("• {number}, due since {day}: {amount}").format(
            number=one["number"],
            day=day(datetime.fromisoformat(one["since"])),
            amount=money(one["amount"], terms.currency),
        )
        for one in facts["invoices"][:_SHOWN]
    ]
    more = len(facts["invoices"]) - _SHOWN
    if more > 0:
        lines.append(ngettext("… and {count} more", "… and {count} more", more).format(count=more))
    return lines


def _consequence(facts: Facts) -> list[str]:
    if facts["deletion_day"] is None:
        return []
    return [
        _("If the oldest is not paid by then, everything you run is deleted on {day}, with its data: {names}.").format(
            day=bold(_day(facts["deletion_day"])), names=admin_unpaid.listed(facts["names"])
        )
    ]


def _rows(facts: Facts) -> Rows:
    only = facts["invoices"][0]["invoice_id"] if len(facts["invoices"]) == 1 else None
    pay = Button(_("💳 Pay"), PayAll() if only is None else PayInvoice(invoice_id=only))
    see = (
        Button(_("📄 All PDFs"), OpenDocuments())
        if only is None
        else Button(_("🔎 Details"), ShowInvoice(invoice_id=only))
    )
    rows: Rows = ((pay, see),)
    return rows if facts["card"] else (*rows, (Button(_("💳 Add a card"), AddCard()),))


def _who(facts: Facts) -> str:
    name = bold(facts["name"] or facts["telegram_id"])
    return f"{name} (@{escape(facts['username'])})" if facts["username"] else f"{name} ({facts['telegram_id']})"


def _day(text: str) -> str:
    return day(date.fromisoformat(text))


WORDS: Mapping[str, Callable[[Facts, Terms], View]] = {
    function.__name__: function
    for function in (
        invoice_unpaid,
        unpaid_reminder,
        unpaid_deleted,
        deletion_postponed,
        machines_suspended,
        machines_resumed,
        funds_low,
        house_unpaid_deleted,
        house_unpaid_ask,
    )
}
