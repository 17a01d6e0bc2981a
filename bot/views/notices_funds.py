"""The words of messages about vouchers, requests for them, and Telegram Stars; as in `notices`."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from billing.terms import Terms
from bot.format import bold, code, escape, money, when
from bot.i18n import _, ngettext
from bot.links import Apply, Balance, Deploy, Requests
from bot.view import Button, View
from bot.views import problems
from bot.views.admin_vouchers import decision

Facts = Mapping[str, Any]


def voucher_approved(facts: Facts, terms: Terms) -> View:
    """A request was granted: the money is there already."""
    return View(
        _("✅ Your request was approved: {amount} was added to your vouchers.").format(
            amount=bold(money(facts["amount"], terms.currency))
        ),
        ((Button(_("💰 Balance"), Balance()), Button(_("🚀 Deploy"), Deploy())), (problems.home(),)),
    )


def voucher_rejected(facts: Facts, terms: Terms) -> View:
    """A request was refused."""
    return problems.problem(
        _("❌ Your request for {amount} was not approved. /support can tell you more.").format(
            amount=bold(money(facts["amount"], terms.currency))
        ),
        Button(_("✋ Ask again"), Apply()),
    )


def voucher_requested(facts: Facts, terms: Terms) -> View:
    """For administrators: somebody asks for a voucher (B1)."""
    username = f" @{facts['username']}" if facts["username"] else ""
    text = _("✋ {name} asks for {amount}").format(
        name=bold(escape((facts["name"] or "–") + username)), amount=bold(money(facts["amount"], terms.currency))
    )
    return View(
        f"{text}\n<i>{escape(facts['reason'])}</i>",
        (decision(facts["request_id"]), (Button(_("✋ All requests"), Requests()),)),
    )


def requests_waiting(facts: Facts, terms: Terms) -> View:
    """For administrators: requests wait for a decision (B8)."""
    text = ngettext(
        "✋ {count} request for a voucher waits, {amount} in all, since {time}.",
        "✋ {count} requests for vouchers wait, {amount} in all, the oldest since {time}.",
        facts["count"],
    ).format(
        count=bold(facts["count"]),
        amount=bold(money(facts["total"], terms.currency)),
        time=when(datetime.fromisoformat(facts["oldest_at"])),
    )
    return View(text, ((Button(_("✋ Decide"), Requests()),),))


def stars_refunded(facts: Facts, terms: Terms) -> View:
    """Stars were given back."""
    return View(
        _("↩️ {stars} Telegram Stars were given back to you; {amount} left your balance.").format(
            stars=bold(facts["stars"]), amount=bold(money(facts["amount"], terms.currency))
        ),
        ((Button(_("💰 Balance"), Balance()), problems.home()),),
    )


def stars_refund_refused(facts: Facts, terms: Terms) -> View:
    """For administrators: the chat does not give stars back, so that the balance has its money again."""
    return View(
        _("⚠️ Telegram did not give back {stars} Stars of {name}: {reason}. {amount} is in their balance again.").format(
            stars=facts["stars"],
            name=bold(escape(facts["name"])),
            reason=escape(facts["reason"]),
            amount=money(facts["amount"], terms.currency),
        )
    )


def stars_taken_back(facts: Facts, terms: Terms) -> View:
    """For administrators: the chat gave stars back without us."""
    lines = [
        _("⚠️ Telegram gave {stars} Stars back to {name}; {amount} left their balance.").format(
            stars=bold(facts["stars"]),
            name=bold(escape(facts["name"])),
            amount=money(facts["amount"], terms.currency),
        )
    ]
    if facts["owed"]:
        lines.append(
            _("{amount} was spent already, and is on a debit note.").format(amount=money(facts["owed"], terms.currency))
        )
    return View("\n".join(lines))


def stars_unclaimed(facts: Facts, _terms: Terms) -> View:
    """For administrators: stars came for nothing that we know, and STARS_RATE is not set."""
    return View(
        _("⚠️ {name} paid {stars} Telegram Stars, and no rate is set. Nothing was credited. Charge {charge}").format(
            name=bold(escape(facts["name"])), stars=bold(facts["stars"]), charge=code(facts["charge_id"])
        )
    )


WORDS: Mapping[str, Callable[[Facts, Terms], View]] = {
    function.__name__: function
    for function in (
        voucher_approved,
        voucher_rejected,
        voucher_requested,
        requests_waiting,
        stars_refunded,
        stars_refund_refused,
        stars_taken_back,
        stars_unclaimed,
    )
}
