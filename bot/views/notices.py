"""The words of every message that is not an answer: what happened, and what to do next.

Each function takes the facts that were written with the notice (JSON values; amounts in minor units, instants as
ISO text) and the terms, and returns a screen. `WORDS` names the function of each kind of notice.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from billing.catalog import Item
from billing.clock import Month
from billing.terms import Terms
from bot.format import bold, money, month, when
from bot.i18n import _
from bot.links import AddCard, Cards, Invoices, ShowInvoice
from bot.view import Button, View
from bot.views import (
    deploy,
    notices_account,
    notices_corrections,
    notices_funds,
    notices_house,
    notices_machines,
    notices_operator,
    notices_unpaid,
    problems,
    words,
)
from bot.views.words_of_money import source

Facts = Mapping[str, Any]


def card_added(facts: Facts, _terms: Terms) -> View:
    """A card was verified and can be charged."""
    text = _("✅ {card} is saved.").format(card=bold(facts["card"]))
    if facts["default"]:
        text += " " + _("It is charged first.")
    return View(text, ((Button(_("💳 Cards"), Cards()), problems.home()),))


def card_refused(facts: Facts, _terms: Terms) -> View:
    """A payment method was given back."""
    if facts["reason"] == "foreign":
        text = _("❌ {card} belongs to another account here, so I removed it again. Please use another card.")
    else:
        text = _("❌ That was no card that can be charged later, so I removed it again. Please add a card.")
    return problems.problem(text.format(card=bold(facts["card"])), Button(_("💳 Add a card"), AddCard()))


def card_gone(facts: Facts, _terms: Terms) -> View:
    """The bank or the provider removed a card."""
    return problems.problem(
        _("⚠️ {card} can no longer be charged: it was removed at the payment service.").format(card=bold(facts["card"])),
        Button(_("💳 Add a card"), AddCard()),
    )


def order_ready(facts: Facts, terms: Terms) -> View:
    """An order that waited for money can go through (C2)."""
    item = words.item(Item.parse(facts["item"]), facts["workers"])
    text = _("🚀 Your order can go through now: {name}, {item}.").format(name=bold(facts["name"]), item=item)
    if facts["monthly_before"] != facts["monthly"]:
        text += "\n" + _("⚠️ The price was {amount} when you ordered.").format(
            amount=money(facts["monthly_before"], terms.currency)
        )
    until = _("The price is held until {time}.").format(time=when(datetime.fromisoformat(facts["expires_at"])))
    return View(
        f"{text}\n\n{deploy.price_line(facts['monthly'], terms)}\n{until}",
        deploy.confirm_or_not(facts["quote_id"], facts["name"]),
    )


def invoice_issued(facts: Facts, terms: Terms) -> View:
    """A month was invoiced; the document comes with it."""
    text = _("🧾 Invoice {number} for {month}: {amount}").format(
        number=bold(facts["number"]),
        month=month(Month.parse(facts["month"])),
        amount=bold(money(facts["total"], terms.currency)),
    )
    if facts["waits"]:
        text += "\n" + _("It is less than a card can be charged and waits for the next one. Nothing to do.")
    return View(
        text,
        ((Button(_("🔎 Details"), ShowInvoice(invoice_id=facts["invoice_id"])), Button(_("🧾 All"), Invoices())),),
    )


def invoice_paid(facts: Facts, terms: Terms) -> View:
    """Nothing is due on an invoice any more."""
    lines = [
        _("✅ Invoice {number} is paid: {amount}").format(
            number=bold(facts["number"]), amount=bold(money(facts["total"], terms.currency))
        )
    ]
    lines += [f"• {source(entry)} {money(entry['amount'], terms.currency)}" for entry in facts["sources"]]
    return View(
        "\n".join(lines), ((Button(_("🔎 Details"), ShowInvoice(invoice_id=facts["invoice_id"])), problems.home()),)
    )


def balance_charged(facts: Facts, terms: Terms) -> View:
    """Money came into the balance."""
    return View(
        _("✅ {amount} is in your balance.").format(amount=bold(money(facts["amount"], terms.currency))),
        ((problems.home(),),),
    )


def payment_action(facts: Facts, terms: Terms) -> View:
    """The bank wants the customer to confirm (C8)."""
    return View(
        _("🔐 Your bank asks you to confirm {amount}. Nothing is lost meanwhile; the link works until {until}.").format(
            amount=bold(money(facts["amount"], terms.currency)), until=when(datetime.fromisoformat(facts["until"]))
        ),
        ((Button(_("🔐 Confirm at the bank"), url=facts["url"]),), (Button(_("🧾 Invoices"), Invoices()),)),
    )


def payment_declined(facts: Facts, terms: Terms) -> View:
    """No card paid."""
    lines = [
        _("❌ {amount} could not be charged: {card} was declined.").format(
            amount=bold(money(facts["amount"], terms.currency)), card=bold(facts["card"])
        )
    ]
    if facts.get("again_at"):
        lines.append(_("I try again on {time}.").format(time=when(datetime.fromisoformat(facts["again_at"]))))
    lines.append(_("You can pay now, or add another card."))
    return View(
        "\n".join(lines),
        ((Button(_("🧾 Pay now"), Invoices()), Button(_("💳 Add a card"), AddCard())), (problems.home(),)),
    )


def payment_surplus(facts: Facts, terms: Terms) -> View:
    """Money arrived twice."""
    return View(
        _("💡 A payment arrived that was no longer needed. {amount} of it is in your balance now.").format(
            amount=bold(money(facts["to_balance"], terms.currency))
        ),
        ((problems.home(),),),
    )


WORDS: Mapping[str, Callable[[Facts, Terms], View]] = {
    function.__name__: function
    for function in (
        card_added,
        card_refused,
        card_gone,
        order_ready,
        invoice_issued,
        invoice_paid,
        balance_charged,
        payment_action,
        payment_declined,
        payment_surplus,
    )
} | {
    **notices_account.WORDS,
    **notices_corrections.WORDS,
    **notices_funds.WORDS,
    **notices_house.WORDS,
    **notices_machines.WORDS,
    **notices_operator.WORDS,
    **notices_unpaid.WORDS,
}
