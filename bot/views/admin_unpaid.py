"""Whether to delete the machines of somebody who could not be told (C12)."""

from collections.abc import Sequence
from datetime import MAXYEAR, MINYEAR, date

from billing.dunning import GIVEN_DAYS
from billing.money import Currency
from bot.callbacks import Press, button
from bot.format import bold, day, escape, money
from bot.i18n import _, ngettext
from bot.view import Button, View
from bot.views import problems

_NAMES = 20


@button("ud")
class DeleteUnpaid(Press):
    """Ask once more, then delete; `day` is the deletion day as 20260501, by which the question is named."""

    customer_id: int
    day: int


@button("uy")
class DeleteUnpaidNow(Press):
    """Delete."""

    customer_id: int
    day: int


@button("ut")
class GiveTime(Press):
    """Put the deletion off."""

    customer_id: int
    day: int


def number_of(named: date) -> int:
    """Return a day as it stands in a button, 20260501."""
    return named.year * 10_000 + named.month * 100 + named.day


def day_of(number: int) -> date:
    """Return the day of a button.

    Raises:
        ValueError: there is no such day.
    """
    year, month, of_month = number // 10_000, number // 100 % 100, number % 100
    if year not in range(MINYEAR, MAXYEAR + 1):
        raise ValueError(number)
    return date(year, month, of_month)


def buttons(customer_id: int, named: date) -> tuple[tuple[Button, ...], ...]:
    """Return the two ways to decide."""
    which = {"customer_id": customer_id, "day": number_of(named)}
    give = ngettext("🕒 Give {count} more day", "🕒 Give {count} more days", GIVEN_DAYS).format(count=GIVEN_DAYS)
    return ((Button(_("🗑 Delete now"), DeleteUnpaid(**which)), Button(give, GiveTime(**which))),)


def question(name: str, names: Sequence[str], total: int, press: DeleteUnpaid, currency: Currency) -> View:
    """Return the one question before the deletion."""
    text = _("🗑 Delete everything of {customer}, who owes {amount}: {names}?").format(
        customer=bold(name), amount=bold(money(total, currency)), names=listed(names)
    )
    return View(
        text + "\n" + _("The data is lost. The debt stays."),
        (
            (Button(_("🗑 Yes, delete"), DeleteUnpaidNow(customer_id=press.customer_id, day=press.day)),),
            buttons(press.customer_id, day_of(press.day))[0][1:],
            (problems.home(),),
        ),
    )


def deleted(names: Sequence[str]) -> View:
    """Return that it is done."""
    return View(_("🗑 Being deleted: {names}. The debt stays.").format(names=listed(names)), ((problems.home(),),))


def postponed(until: date) -> View:
    """Return the new day."""
    return View(
        _("🕒 Nothing is deleted before {day}. If the customer still cannot be told then, I ask again.").format(
            day=bold(day(until))
        ),
        ((problems.home(),),),
    )


def decided() -> View:
    """Return that there is nothing to decide any more."""
    return problems.problem(
        _("There is nothing to decide any more: it is paid, deleted or put off, or a payment is under way.")
    )


def listed(names: Sequence[str]) -> str:
    """Return names in one line, the first of very many."""
    shown = ", ".join(bold(name) for name in names[:_NAMES])
    more = len(names) - _NAMES
    if more > 0:
        shown += " " + ngettext("and {count} more", "and {count} more", more).format(count=more)
    return shown or escape("–")
