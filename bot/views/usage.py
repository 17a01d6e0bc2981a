"""Hours and cost of this month (C6)."""

from collections.abc import Sequence

from billing.invoices import MonthSoFar, Used
from billing.money import Currency
from billing.usage import DayCost
from bot.charts import Bar, Chart
from bot.format import bold, escape, money, month, plain
from bot.i18n import _, ngettext
from bot.links import Balance, Deploy, Invoices
from bot.view import Attachment, Button, View
from bot.views import problems

_LISTED = 12
"""Deployments named one by one, dearest first; with the longest names they fit under a picture."""
_CAPTION = 1000
"""Characters that a picture's words may have; Telegram takes 1024."""


def usage(of: MonthSoFar, currency: Currency, picture: bytes | None) -> View:
    """Return the month so far: each deployment's hours and cost, the sum, and the picture of the days.

    Costs of single deployments are without tax, as on the invoice; the sums are with it.
    """
    title = bold(_("📊 Usage in {month}").format(month=month(of.month)))
    if not of.used:
        empty = _("Nothing ran this month, so nothing is to be paid for it.")
        return View(f"{title}\n\n{empty}", ((Button(_("🚀 Deploy"), Deploy()),), (problems.home(),)))
    sums = [_("So far: {amount}").format(amount=bold(money(of.total, currency)))]
    if of.projected != of.total:
        sums.append(_("At the end of the month, if all runs on: {amount}").format(amount=money(of.projected, currency)))
    if of.tax:
        sums.append(_("Tax of {amount} is included.").format(amount=money(of.tax, currency)))
    text = "\n".join([title, "", *_listed(of.used, currency, _CAPTION - sum(map(len, sums)) - 100), "", *sums])
    rows = ((Button(_("🧾 Invoices"), Invoices()), Button(_("💰 Balance"), Balance())), (problems.home(),))
    return View(text, rows, Attachment("usage.png", picture, picture=True) if picture else None)


def _listed(used: Sequence[Used], currency: Currency, room: int) -> list[str]:
    """Return a line for each of the dearest deployments, as many as fit, and how many are left."""
    dearest = sorted(used, key=lambda one: (-one.cost, one.subscription.id))
    lines: list[str] = []
    for one in dearest[:_LISTED]:
        line = _line(one, currency)
        room -= len(plain(line)) + 1
        if room < 0:
            break
        lines.append(line)
    left = len(dearest) - len(lines)
    if left:
        lines.append(ngettext("… and {count} more", "… and {count} more", left).format(count=left))
    return lines


def _line(one: Used, currency: Currency) -> str:
    hours = ngettext("{count} hour", "{count} hours", one.hours).format(count=one.hours)
    return _("{sign} {name}: {hours}, {cost}").format(
        sign="🟢" if one.running else "⚪",
        name=escape(one.subscription.name),
        hours=hours,
        cost=money(one.cost, currency),
    )


def chart(days: Sequence[DayCost], of: MonthSoFar, currency: Currency) -> Chart:
    """Return the picture's values: the cost of each day of the month."""
    return Chart(
        _("Cost by day, {month}").format(month=month(of.month)),
        tuple(Bar(str(day.number), day.cost, money(day.cost, currency), open=not day.over) for day in days),
        money(of.total, currency),
    )
