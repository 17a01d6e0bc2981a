"""Refunds and write-offs: what they would do first, then one tap (rules.md 10.3, 10.4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from billing.credit_notes import Plan
from billing.errors import OutOfRange
from billing.models import Customer, Invoice
from billing.money import Currency
from bot.callbacks import Press, button
from bot.format import bold, code, money
from bot.i18n import _
from bot.links import Cancel
from bot.view import Button, View
from bot.views import problems
from bot.views.admin_invoices import ShowAnyInvoice
from bot.views.admin_words import panel, who
from bot.views.words_of_money import source


@button("ar")
class Refund(Press):
    """Issue the credit note whose effect was shown; the draft holds it."""

    draft: int


@button("aw")
class WriteOff(Press):
    """Give up what is due on the invoice that was shown; the draft holds it."""

    draft: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A refund that was asked for.

    Attributes:
        invoice: of which; `customer` is whose it is.
        plan: what it does; `back` says where money goes, as `credit_notes.described` does.
        number: names the draft.
    """

    invoice: Invoice
    customer: Customer
    plan: Plan
    back: Sequence[dict[str, Any]]
    number: int


def usage() -> View:
    """Return how both are typed."""
    examples = ("/refund INV-2026-000123", "/refund INV-2026-000123 2.50", "/writeoff INV-2026-000123 gone away")
    return problems.problem(
        _("Type the number, and for a part the amount:") + "\n" + "\n".join(code(example) for example in examples),
        panel(),
    )


def unknown(number: str) -> View:
    """Return that there is no such invoice."""
    return problems.problem(_("There is no invoice {number}.").format(number=code(number[:40])), panel())


def too_much(error: OutOfRange, invoice: Invoice, currency: Currency) -> View:
    """Return how much can be credited at most."""
    if error.most <= 0:
        text = _("Nothing of {number} can be credited: all of it was already, or a dispute holds it.").format(
            number=bold(invoice.number)
        )
    else:
        text = _("At most {amount} of {number} can be credited now.").format(
            amount=bold(money(error.most, currency)), number=bold(invoice.number)
        )
    return problems.problem(text, Button(_("🔎 Invoice"), ShowAnyInvoice(invoice_id=invoice.id)))


def busy(invoice: Invoice) -> View:
    """Return that a payment is under way."""
    return problems.problem(
        _("A payment of {number} is under way. Try again when its result is known.").format(
            number=bold(invoice.number)
        ),
        Button(_("🔎 Invoice"), ShowAnyInvoice(invoice_id=invoice.id)),
    )


def effect(draft: Draft, currency: Currency) -> View:
    """Return what a refund would do, with one button to do it."""
    plan = draft.plan
    lines = [
        _("↩️ Credit {amount} of {number}, {name}").format(
            amount=bold(money(plan.total, currency)), number=bold(draft.invoice.number), name=bold(who(draft.customer))
        ),
        "",
    ]
    if plan.tax:
        lines.append(_("Net {net}, tax {tax}").format(net=money(plan.net, currency), tax=money(plan.tax, currency)))
    if plan.lowered:
        lines.append(_("Less to pay: {amount}").format(amount=bold(money(plan.lowered, currency))))
    lines += [
        _("Back to {source}: {amount}").format(source=source(part), amount=bold(money(part["amount"], currency)))
        for part in draft.back
    ]
    return View(
        "\n".join(lines),
        (
            (Button(_("✅ Refund {amount}").format(amount=money(plan.total, currency)), Refund(draft=draft.number)),),
            (Button(_("✖️ Cancel"), Cancel()),),
        ),
    )


def done(number: str, total: int, invoice_id: int, currency: Currency) -> View:
    """Return that the credit note is issued."""
    return View(
        _("✅ Credit note {number} over {amount} is issued, and the customer is told.").format(
            number=bold(number), amount=bold(money(total, currency))
        ),
        ((Button(_("🔎 Invoice"), ShowAnyInvoice(invoice_id=invoice_id)), panel()),),
    )


def write_off(invoice: Invoice, customer: Customer, draft: int, currency: Currency) -> View:
    """Return what a write-off would do, with one button to do it."""
    amount = money(invoice.due - invoice.disputed, currency)
    text = _("🕳 Give up {amount} that {name} owes on {number}? It is booked as a loss, and they are not told.").format(
        amount=bold(amount), name=bold(who(customer)), number=bold(invoice.number)
    )
    return View(
        text,
        (
            (Button(_("✅ Write off {amount}").format(amount=amount), WriteOff(draft=draft)),),
            (Button(_("✖️ Cancel"), Cancel()),),
        ),
    )


def nothing_due(invoice: Invoice) -> View:
    """Return that there is nothing to give up."""
    return problems.problem(
        _("Nothing is due on {number} that could be written off.").format(number=bold(invoice.number)),
        Button(_("🔎 Invoice"), ShowAnyInvoice(invoice_id=invoice.id)),
    )


def written_off(invoice: Invoice, amount: int, currency: Currency) -> View:
    """Return that it is given up."""
    return View(
        _("✅ {amount} of {number} is written off.").format(
            amount=bold(money(amount, currency)), number=bold(invoice.number)
        ),
        ((Button(_("🔎 Invoice"), ShowAnyInvoice(invoice_id=invoice.id)), panel()),),
    )
