"""What people are told of credit notes, refunds and disputes (rules.md 10)."""

from collections.abc import Callable, Mapping
from typing import Any

from billing.terms import Terms
from bot.admin_links import Panel
from bot.format import bold, code, escape, money
from bot.i18n import _
from bot.links import Balance, Invoices, ShowInvoice, Support
from bot.view import Button, View
from bot.views import problems
from bot.views.words_of_money import source

Facts = Mapping[str, Any]


def credit_note_issued(facts: Facts, terms: Terms) -> View:
    """Something is taken off an invoice; the document comes with it."""
    lines = [
        _("↩️ Credit note {number} for {invoice}: {amount}").format(
            number=bold(facts["number"]),
            invoice=bold(facts["invoice_number"]),
            amount=bold(money(facts["total"], terms.currency)),
        )
    ]
    if facts["lowered"]:
        lines.append(
            _("You pay {amount} less; {due} is still due.").format(
                amount=money(facts["lowered"], terms.currency), due=money(facts["due"], terms.currency)
            )
        )
    lines += [
        _("{amount} goes back to {source}.").format(
            amount=bold(money(part["amount"], terms.currency)), source=source(part)
        )
        for part in facts["back"]
    ]
    if any(part["card"] for part in facts["back"]):
        lines.append(_("Banks take 5 to 10 days to show it."))
    return View(
        "\n".join(lines),
        ((Button(_("🔎 Invoice"), ShowInvoice(invoice_id=facts["invoice_id"])), problems.home()),),
    )


def refund_failed(facts: Facts, terms: Terms) -> View:
    """A card did not take its refund."""
    return View(
        _("💡 {card} did not take the refund of {amount}. It is in your balance now.").format(
            card=bold(facts["card"] or _("The card")), amount=bold(money(facts["amount"], terms.currency))
        ),
        ((Button(_("💰 Balance"), Balance()), problems.home()),),
    )


def debit_note_issued(facts: Facts, terms: Terms) -> View:
    """A bank took back money that was spent already; the document comes with it."""
    text = _("🧾 Debit note {number}: {amount}. Your bank took back a charge that you had used.").format(
        number=bold(facts["number"]), amount=bold(money(facts["total"], terms.currency))
    )
    if facts["disputed"]:
        text += "\n" + _("While the bank decides there is nothing to pay.")
    return View(
        text,
        ((Button(_("🔎 Details"), ShowInvoice(invoice_id=facts["invoice_id"])), Button(_("💬 Support"), Support())),),
    )


def dispute_opened(facts: Facts, terms: Terms) -> View:
    """The owner of the card told the bank that a charge was not right."""
    text = _(
        "⚠️ Your bank took back {amount}, which you disputed. Until it decides, you cannot deploy anything new; "
        "what runs goes on. If that was a mistake, tell your bank, and write to /support."
    ).format(amount=bold(money(facts["amount"], terms.currency)))
    return View(text, ((Button(_("💬 Support"), Support()), Button(_("🧾 Invoices"), Invoices())),))


def dispute_closed(facts: Facts, terms: Terms) -> View:
    """The bank has decided."""
    amount = bold(money(facts["amount"], terms.currency))
    if facts["what"] == "won":
        text = _("✅ Your bank has given back the disputed {amount}. All is as before.").format(amount=amount)
        return View(text, ((Button(_("🧾 Invoices"), Invoices()), problems.home()),))
    text = _(
        "🟠 Your bank has kept the disputed {amount}, so it is due again from today. "
        "No card is charged for it by itself: please pay it with a button, or from balance or vouchers."
    ).format(amount=amount)
    return View(text, ((Button(_("🧾 Pay now"), Invoices()), Button(_("💬 Support"), Support())),))


# --- for administrators


def _panel(text: str) -> View:
    return View(text, ((Button(_("🛠 Panel"), Panel()),),))


def _of(facts: Facts, terms: Terms) -> dict[str, str]:
    return {
        "amount": bold(money(facts["amount"], terms.currency)),
        "name": bold(facts.get("name", "")),
        "reason": escape(str(facts.get("reason", ""))),
        "dispute": code(str(facts.get("dispute", ""))),
        "numbers": escape(", ".join(facts.get("numbers", ())) or "–"),
    }


def house_dispute_opened(facts: Facts, terms: Terms) -> View:
    """A charge is disputed, or a bank asks about it."""
    if facts["what"] == "inquiry":
        text = _("❓ A bank asks about {amount} of {name} ({numbers}): {reason}. Answer at Stripe: {dispute}")
    else:
        text = _("⚠️ {name} disputes {amount} ({numbers}): {reason}. Hand in evidence at Stripe: {dispute}")
    return _panel(text.format(**_of(facts, terms)))


def house_dispute_closed(facts: Facts, terms: Terms) -> View:
    """A bank has decided."""
    won = facts["what"] == "won"
    text = (
        _("✅ Dispute of {name} over {amount} is won: {dispute}")
        if won
        else _("❌ Dispute of {name} over {amount} is lost, and due again: {dispute}")
    )
    return _panel(text.format(**_of(facts, terms)))


def house_refund_failed(facts: Facts, terms: Terms) -> View:
    """A card did not take its refund."""
    text = _("⚠️ A refund of {amount} to {name} did not reach the card; it is in their balance: {reason}")
    return _panel(text.format(**_of(facts, terms)))


def house_refund_foreign(facts: Facts, terms: Terms) -> View:
    """Somebody refunded outside the chat."""
    text = _(
        "⚠️ {amount} of payment {payment} was refunded at Stripe and not here ({refund}, {status}). "
        "The books do not know it: please use /refund."
    )
    return _panel(
        text.format(
            amount=bold(money(facts["amount"], terms.currency)),
            payment=facts["payment_id"],
            refund=code(facts["refund"]),
            status=escape(facts["status"]),
        )
    )


def house_refund_mismatch(facts: Facts, _terms: Terms) -> View:
    """A refund carries our id and is another."""
    text = _("⚠️ Refund {id} is not what Stripe shows. Expected {expected}, found {found}. Nothing was changed.")
    return _panel(
        text.format(id=facts["refund_id"], expected=code(str(facts["expected"])), found=code(str(facts["found"])))
    )


def house_hours_taken_back(facts: Facts, terms: Terms) -> View:
    """Hours of an invoice turned out not to have run."""
    text = _("↩️ Credit note {number} over {amount} for {invoice} of {name}: hours were taken back.")
    return _panel(
        text.format(
            number=bold(facts["number"]),
            amount=bold(money(facts["total"], terms.currency)),
            invoice=bold(facts["invoice_number"]),
            name=bold(facts["name"]),
        )
    )


WORDS: Mapping[str, Callable[[Facts, Terms], View]] = {
    function.__name__: function
    for function in (
        credit_note_issued,
        refund_failed,
        debit_note_issued,
        dispute_opened,
        dispute_closed,
        house_dispute_opened,
        house_dispute_closed,
        house_refund_failed,
        house_refund_foreign,
        house_refund_mismatch,
        house_hours_taken_back,
    )
}
