"""What people are told of an administrator's acts."""

from collections.abc import Callable, Mapping
from typing import Any

from billing.terms import Terms
from bot.admin_links import Panel
from bot.format import bold, escape, money
from bot.i18n import _, ngettext
from bot.links import Balance, Deploy, Invoices, Support
from bot.view import Button, View
from bot.views import problems
from bot.views.admin_announce import ShowAnnouncement
from bot.views.admin_unpaid import listed

Facts = Mapping[str, Any]


def balance_credited(facts: Facts, terms: Terms) -> View:
    """Money was given."""
    text = _("🎁 {amount} was added to your balance: {reason}").format(
        amount=bold(money(facts["amount"], terms.currency)), reason=escape(facts["reason"])
    )
    return View(text, ((Button(_("💰 Balance"), Balance()), problems.home()),))


def account_blocked(_facts: Facts, _terms: Terms) -> View:
    """New deployments are stopped."""
    return problems.problem(
        _("⛔ You cannot deploy anything new for now. What you have keeps running. Please write to /support."),
        Button(_("💬 Support"), Support()),
    )


def account_unblocked(_facts: Facts, _terms: Terms) -> View:
    """They are allowed again."""
    return View(_("✅ You can deploy again."), ((Button(_("🚀 Deploy"), Deploy()), problems.home()),))


def words_of_house(facts: Facts, _terms: Terms) -> View:
    """Words to one customer."""
    return View(
        _("✉️ From the people who run this:") + f"\n\n{escape(facts['text'])}",
        ((Button(_("💬 Support"), Support()), problems.home()),),
    )


def deleted_by_house(facts: Facts, _terms: Terms) -> View:
    """An administrator deleted deployments."""
    names = facts["names"]
    text = ngettext(
        "🗑 An administrator deleted {names}. Billing of it has stopped.",
        "🗑 An administrator deleted {names}. Billing of them has stopped.",
        len(names),
    )
    return View(
        text.format(names=listed(names)),
        ((Button(_("💬 Support"), Support()), Button(_("🧾 Invoices"), Invoices())), (problems.home(),)),
    )


def administrator_granted(_facts: Facts, _terms: Terms) -> View:
    """Somebody may run the business now."""
    return View(
        _("🔑 You are an administrator now. /admin shows what you can do."), ((Button(_("🛠 Panel"), Panel()),),)
    )


def administrator_revoked(_facts: Facts, _terms: Terms) -> View:
    """They may no longer."""
    return View(_("🔑 You are no administrator any more."), ((problems.home(),),))


def announcement_done(facts: Facts, _terms: Terms) -> View:
    """For its author: what came of an announcement."""
    lines = [
        _("📢 Your announcement is out."),
        _("✅ Sent: {count}").format(count=facts["sent"]),
        _("🚫 Not reached: {count}").format(count=facts["unreached"]),
    ]
    details = Button(_("🔎 Details"), ShowAnnouncement(announcement_id=facts["announcement_id"]))
    return View("\n".join(lines), ((details, Button(_("🛠 Panel"), Panel())),))


def announcement(text: str) -> View:
    """Return an announcement as everybody gets it; its words are an administrator's."""
    return View(text, ((problems.home(),),))


WORDS: Mapping[str, Callable[[Facts, Terms], View]] = {
    function.__name__: function
    for function in (
        balance_credited,
        account_blocked,
        account_unblocked,
        words_of_house,
        deleted_by_house,
        administrator_granted,
        administrator_revoked,
        announcement_done,
    )
}
