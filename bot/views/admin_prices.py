"""Setting a price: the effect first, then one tap (C14)."""

from billing.catalog import Effect, Item
from billing.money import Currency
from bot.callbacks import Press, button
from bot.format import bold, code, money
from bot.i18n import _, ngettext
from bot.links import Cancel, Prices
from bot.view import Button, View
from bot.views import problems


@button("ap")
class SetPrice(Press):
    """Set the price whose effect was shown; the draft holds it."""

    draft: int


def usage() -> View:
    """Return how `/setprice` is typed."""
    examples = ("/setprice vm small 5.00", "/setprice vm small 6.00 public", "/setprice k8s large 20.00")
    return problems.problem(
        _("Type what, size and monthly price:") + "\n" + "\n".join(code(example) for example in examples),
        Button(_("💲 Prices"), Prices()),
    )


def effect(of: Effect, monthly: int, draft: int, currency: Currency) -> View:
    """Return what a new price would change and what it would not."""
    current = money(of.current, currency) if of.current is not None else _("not for sale")
    lines = [
        bold(name(of.item)),
        _("Now: {amount}").format(amount=current),
        _("New: {amount} a month").format(amount=bold(money(monthly, currency))),
        "",
        _("The new price counts for new deployments only."),
    ]
    lines += [
        ngettext("{count} deployment keeps {amount}.", "{count} deployments keep {amount}.", count).format(
            count=count, amount=money(kept, currency)
        )
        for kept, count in of.kept.items()
    ]
    return View(
        "\n".join(lines),
        (
            (Button(_("✅ Set {amount}").format(amount=money(monthly, currency)), SetPrice(draft=draft)),),
            (Button(_("✖️ Cancel"), Cancel()),),
        ),
    )


def done(item: Item, monthly: int, currency: Currency) -> View:
    """Return that the price is set."""
    return View(
        _("✅ {item} is {amount} a month from now on.").format(
            item=bold(name(item)), amount=bold(money(monthly, currency))
        ),
        ((Button(_("💲 Prices"), Prices()), problems.home()),),
    )


def name(item: Item) -> str:
    """Return an item as `/setprice` names it."""
    public = _(" with public IP") if item.public else ""
    return f"{item.kind.value} {item.size}{public}"
