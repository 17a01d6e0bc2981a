"""The words of what happens to machines and clusters."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from billing.catalog import Item
from billing.terms import Terms
from bot.format import bold, escape, when
from bot.i18n import _
from bot.links import Deploy
from bot.view import Button, View
from bot.views import problems, words
from bot.views.machines import OrderAgain

Facts = Mapping[str, Any]


def deployment_failed(facts: Facts, _terms: Terms) -> View:
    """An order could not be carried out: why, and how to try again (B4)."""
    item = words.item(Item.parse(facts["item"]), facts["workers"])
    reasons = {
        "sold_out": _("There is no room for this size right now."),
        "too_late": _("It was not ready in time."),
    }
    lines = [
        _("🔴 {name} ({item}) failed.").format(name=bold(facts["name"]), item=item),
        reasons.get(facts["why"], escape(facts["reason"])),
        _("It was never billed, and what was left of it is being removed."),
    ]
    if facts["other_sizes"]:
        lines.append(_("These sizes may have room: {sizes}").format(sizes=", ".join(facts["other_sizes"])))
    return View(
        "\n".join(lines),
        (
            (Button(_("🔄 Order again"), OrderAgain(deployment_id=facts["deployment_id"])),),
            (Button(_("🚀 Another order"), Deploy()), problems.home()),
        ),
    )


def deployment_vanished(facts: Facts, _terms: Terms) -> View:
    """A machine is gone that nobody asked to delete (rules.md 3.8)."""
    text = _(
        "⚠️ {name} is gone from the cloud, and we did not delete it. It is billed until {time}, when it was last seen. "
        "We are told too and look into it; /support answers questions."
    )
    seen = when(datetime.fromisoformat(facts["last_seen"]))
    return View(
        text.format(name=bold(facts["name"]), time=seen), ((Button(_("🚀 Deploy"), Deploy()), problems.home()),)
    )


WORDS: Mapping[str, Callable[[Facts, Terms], View]] = {
    function.__name__: function for function in (deployment_failed, deployment_vanished)
}
