"""What administrators are told without having asked: what failed, what is unclear, what a person has to look at."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from billing.catalog import Item
from billing.terms import Terms
from bot.admin_links import AllDeployments, Panel, Which
from bot.format import bold, code, escape, money, when
from bot.i18n import _, ngettext
from bot.view import Button, View
from bot.views import words
from bot.views.admin_deployments import ShowAny

Facts = Mapping[str, Any]
_TEXT = 300


def _view(text: str, *buttons: Button) -> View:
    return View(text, (*((button,) for button in buttons), (Button(_("🛠 Panel"), Panel()),)))


def _at(text: str) -> str:
    return when(datetime.fromisoformat(text))


# --- machines


def house_deployment_failed(facts: Facts, _terms: Terms) -> View:
    """An order could not be carried out."""
    text = _("🔴 {name} ({item}) failed: {reason}").format(
        name=bold(facts["name"]),
        item=words.item(Item.parse(facts["item"]), facts["workers"]),
        reason=escape(facts["reason"]),
    )
    return _view(
        text,
        Button(_("🔎 Details"), ShowAny(deployment_id=facts["deployment_id"])),
        Button(_("🔴 All that failed"), AllDeployments(which=Which.FAILED)),
    )


def house_deployment_vanished(facts: Facts, _terms: Terms) -> View:
    """A machine is gone that nobody asked to delete (rules.md 3.8)."""
    text = _("🔴 {name} is gone from the cloud without anybody having asked. Last seen {time}; billed until then.")
    return _view(
        text.format(name=bold(facts["name"]), time=_at(facts["last_seen"])),
        Button(_("🔎 Details"), ShowAny(deployment_id=facts["deployment_id"])),
    )


def house_cloud_trouble(facts: Facts, _terms: Terms) -> View:
    """The cloud does not do what it is asked, for over a minute."""
    text = _("⚠️ The cloud has trouble with {name}: {reason} It is tried again by itself.")
    return _view(
        text.format(name=bold(facts["name"]), reason=escape(facts["reason"])),
        Button(_("🔎 Details"), ShowAny(deployment_id=facts["deployment_id"])),
    )


def house_remove_by_hand(facts: Facts, _terms: Terms) -> View:
    """Somebody wants a machine deleted that another system made."""
    text = _("🧹 {name} is to be deleted. No driver looks after it: please remove it where it is.")
    lines = [text.format(name=bold(facts["name"]))]
    lines += [f"• {code(one['machine'])} {escape(one['host'] or '–')}" for one in facts["machines"]]
    return _view("\n".join(lines), Button(_("🔎 Details"), ShowAny(deployment_id=facts["deployment_id"])))


def house_machine_unknown(facts: Facts, _terms: Terms) -> View:
    """The cloud has a machine that no deployment of ours ever had."""
    return _machine(facts, _("❔ The cloud has {machine}, which is no deployment's. It is removed at {time}."))


def house_machine_left(facts: Facts, _terms: Terms) -> View:
    """The cloud has a machine of a deployment that is over."""
    return _machine(facts, _("❔ {machine} is still there though its deployment is over. It is removed at {time}."))


def house_machine_missing(facts: Facts, _terms: Terms) -> View:
    """The cloud does not have a machine that should be there."""
    return _machine(facts, _("❔ {machine} is not in the cloud. If it stays away, it counts as gone at {time}."))


def _machine(facts: Facts, text: str) -> View:
    return _view(text.format(machine=code(facts["machine"]), time=_at(facts["acts_at"])))


def house_machine_removed(facts: Facts, _terms: Terms) -> View:
    """It was removed."""
    return _view(_("🧹 {machine}, which was no deployment's, is removed.").format(machine=code(facts["machine"])))


# --- money


def event_given_up(facts: Facts, _terms: Terms) -> View:
    """An event of the provider could not be handled, however often it was tried."""
    text = _("⚠️ Event {event} ({type}) of the payment service could not be handled: {error}")
    return _view(
        text.format(event=code(facts["event_id"]), type=escape(facts["type"]), error=escape(facts["error"][:_TEXT]))
    )


def provider_denied(facts: Facts, _terms: Terms) -> View:
    """The provider does not accept our key."""
    text = _("🔴 The payment service refuses us: {error} Look at STRIPE_API_KEY; nothing can be charged meanwhile.")
    return _view(text.format(error=escape(facts["error"][:_TEXT])))


def payment_failed(facts: Facts, terms: Terms) -> View:
    """The provider refused a charge as it stands, or knows nothing of it."""
    text = _("🔴 Payment {id} of {amount} failed: {reason}")
    return _view(
        text.format(
            id=facts["payment_id"],
            amount=bold(money(facts["amount"], terms.currency)),
            reason=escape(facts["reason"][:_TEXT]),
        )
    )


def payment_mismatch(facts: Facts, terms: Terms) -> View:
    """A charge carries our payment's id and is not that payment."""
    expected, found = facts["expected"], facts["found"]
    text = _(
        "🔴 Payment {id}: {expected} was charged by us, and the payment service shows {found} ({charge}, {status}). "
        "Nothing was booked; please look there."
    )
    return _view(
        text.format(
            id=facts["payment_id"],
            expected=money(expected["amount"], terms.currency),
            found=money(found["amount"], terms.currency),
            charge=code(found["provider_id"]),
            status=escape(found["status"]),
        )
    )


def checks_differ(facts: Facts, _terms: Terms) -> View:
    """The daily comparison found something (C13)."""
    count = facts["count"]
    lines = [
        ngettext(
            "🔴 The daily check found {count} difference", "🔴 The daily check found {count} differences", count
        ).format(count=count),
        *(f"• {escape(line)}" for line in facts["lines"]),
    ]
    lines.append(_("Nothing is mended by itself. {command} lists all of them.").format(command=code("bot job check")))
    return _view("\n".join(lines))


def notice_parked(facts: Facts, _terms: Terms) -> View:
    """A message can never be delivered."""
    text = _("⚠️ Message {id} ({kind}) cannot be delivered and is parked: {error}")
    return _view(
        text.format(id=facts["notice"], kind=code(facts["kind"]), error=escape(facts["error"])),
    )


WORDS: Mapping[str, Callable[[Facts, Terms], View]] = {
    function.__name__: function
    for function in (
        house_deployment_failed,
        house_deployment_vanished,
        house_cloud_trouble,
        house_remove_by_hand,
        house_machine_unknown,
        house_machine_left,
        house_machine_missing,
        house_machine_removed,
        event_given_up,
        provider_denied,
        payment_failed,
        payment_mismatch,
        checks_differ,
        notice_parked,
    )
}
