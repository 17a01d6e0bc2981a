"""The figures of the business by month, as words and as a picture (C6)."""

from collections.abc import Callable, Sequence

from babel.dates import format_date

from billing.money import Currency
from billing.statistics import MonthFigures
from bot.admin_links import Stats
from bot.charts import Bar, Chart
from bot.format import bold, money, month
from bot.i18n import _, language
from bot.view import Attachment, Button, View
from bot.views import problems
from bot.views.admin_words import panel

MONTHS = 12


def words(figures: Sequence[MonthFigures], picture: bytes, currency: Currency) -> View:
    """Return the last two months as text under the picture of all."""
    blocks = [_month(of, currency) for of in reversed(figures[-2:])]
    return View(
        _("📊 Figures, UTC") + "\n\n" + "\n\n".join(blocks),
        ((Button(_("🔄 Refresh"), Stats()),), (panel(), problems.home())),
        Attachment("figures.png", picture, picture=True),
    )


def _month(of: MonthFigures, currency: Currency) -> str:
    return "\n".join(
        (
            bold(month(of.month)),
            _("Revenue: {amount}").format(amount=money(of.revenue, currency)),
            _("Debt at its end: {amount}").format(amount=money(of.debt, currency)),
            _("Deployments that ran: {count}").format(count=of.machines),
            _("New customers: {count}").format(count=of.customers),
        )
    )


def charts(figures: Sequence[MonthFigures], currency: Currency) -> list[Chart]:
    """Return the charts of the picture."""

    def amount(value: int) -> str:
        return money(value, currency)

    total = sum(of.revenue for of in figures)
    return [
        _chart(_("Revenue, invoiced in the month"), figures, lambda of: of.revenue, amount, amount(total)),
        _chart(_("Debt at the month's end"), figures, lambda of: of.debt, amount),
        _chart(_("Deployments that ran"), figures, lambda of: of.machines, str),
        _chart(_("New customers"), figures, lambda of: of.customers, str),
    ]


def _chart(
    title: str,
    figures: Sequence[MonthFigures],
    value: Callable[[MonthFigures], int],
    shown: Callable[[int], str],
    note: str = "",
) -> Chart:
    bars = tuple(
        Bar(_label(of), value(of), shown(value(of)), open=place == len(figures) - 1) for place, of in enumerate(figures)
    )
    return Chart(title, bars, note)


def _label(of: MonthFigures) -> str:
    return format_date(of.month.start, "LLL", locale=language())
