"""Cards: the list, the page that adds one, default and removal."""

from collections.abc import Sequence
from datetime import datetime

from billing import cards
from billing.errors import CardNeeded
from billing.models import Card
from bot.callbacks import Press, button
from bot.format import bold, enumerated
from bot.i18n import _
from bot.links import AddCard, Cards, Invoices, Machines
from bot.view import Button, Rows, View
from bot.views import problems


@button("cm")
class ManageCard(Press):
    """One card and what can be done with it."""

    card_id: int


@button("cd")
class MakeDefault(Press):
    """Charge this one first."""

    card_id: int


@button("cr")
class RemoveCard(Press):
    """Ask whether it shall go."""

    card_id: int


@button("cy")
class RemoveCardNow(Press):
    """It shall go."""

    card_id: int


def listing(mine: Sequence[Card], default_id: int | None, now: datetime) -> View:
    """Return all cards, first the one that is charged first."""
    add = Button(_("💳 Add a card"), AddCard())
    if not mine:
        return View(_("💳 You have no card yet. With one you can deploy right away."), ((add,), (problems.home(),)))
    lines = [f"{bold(cards.label(card))} {_state(card, default_id, now)}" for card in mine]
    rows: Rows = tuple((Button(cards.label(card), ManageCard(card_id=card.id)),) for card in mine)
    return View(_("💳 Your cards") + "\n\n" + "\n".join(lines), (*rows, (add,), (problems.home(),)))


def _state(card: Card, default_id: int | None, now: datetime) -> str:
    expiry = f"{card.expiry_month:02d}/{card.expiry_year}"
    if cards.is_expired(card, now):
        return _("– expired {expiry}").format(expiry=expiry)
    parts = [_("until {expiry}").format(expiry=expiry)]
    if card.id == default_id:
        parts.append(_("charged first"))
    if card.declined_at is not None:
        parts.append(_("last charge declined"))
    return "– " + enumerated(parts)


def one(card: Card, default_id: int | None, now: datetime) -> View:
    """Return one card with what can be done."""
    rows: list[tuple[Button, ...]] = []
    if card.id != default_id and not cards.is_expired(card, now):
        rows.append((Button(_("⭐ Charge this one first"), MakeDefault(card_id=card.id)),))
    rows.append((Button(_("🗑 Remove"), RemoveCard(card_id=card.id)),))
    rows.append((problems.back(Cards()),))
    return View(f"💳 {bold(cards.label(card))} {_state(card, default_id, now)}", tuple(rows))


def ask_remove(card: Card) -> View:
    """Return the one question before a card goes."""
    return View(
        _("Remove {card}? It will not be charged again.").format(card=bold(cards.label(card))),
        (
            (Button(_("🗑 Remove it"), RemoveCardNow(card_id=card.id)),),
            (Button(_("‹ Keep it"), ManageCard(card_id=card.id)),),
        ),
    )


def page(url: str) -> View:
    """Return the link to the page that adds a card."""
    return View(
        _(
            "💳 Add your card on the payment page. Its number goes to the payment service only, never to me.\n\n"
            "Nothing is charged now. I write here as soon as it is done."
        ),
        ((Button(_("💳 Open the payment page"), url=url),), (Button(_("‹ Cards"), Cards()), problems.home())),
    )


def needed(error: CardNeeded) -> View:
    """Return why the last card stays."""
    why = [
        text
        for wanted, text in (
            (error.deployments, _("something of yours is running")),
            (error.debt, _("an invoice is open")),
            (error.usage, _("hours of this month are not invoiced yet")),
        )
        if wanted
    ]
    ways: list[Button] = [Button(_("💳 Add another card"), AddCard())]
    if error.deployments:
        ways.append(Button(_("🖥 Machines"), Machines()))
    if error.debt:
        ways.append(Button(_("🧾 Invoices"), Invoices()))
    text = _("This card is the last that can be charged, and {reasons}. Add another one first.")
    return problems.problem(text.format(reasons=enumerated(why)), *ways)
