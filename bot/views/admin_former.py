"""Users of the former system who have not come yet, as administrators see them."""

from collections.abc import Sequence

from billing.terms import Terms
from bot.callbacks import Press, button
from bot.format import bold, code, escape, money, when
from bot.i18n import _, ngettext
from bot.view import Button, Rows, View
from bot.views import problems
from bot.views.admin_words import panel, turn
from cloud.models import FormerMachine, FormerUser

PAGE = 8
"""Users on one screen."""
_NAME = 40


@button("fm")
class Missing(Press):
    """A page of those who have not come."""

    page: int = 0


@button("fs")
class ShowFormer(Press):
    """One of them."""

    user_id: int


@button("fl")
class SendAgain(Press):
    """Mail a link anew."""

    user_id: int


def listing(users: Sequence[FormerUser], page: int, total: int) -> View:
    """Return a page of users who have not come yet."""
    back = (panel(), problems.home())
    if not total:
        return View(_("✅ Nobody of the former system is waited for."), (back,))
    text = ngettext("👣 {count} user has not come yet", "👣 {count} users have not come yet", total)
    rows: Rows = tuple((Button(f"{_sign(user)} {user.email[:_NAME]}", ShowFormer(user_id=user.id)),) for user in users)
    pages = turn(
        Missing(page=page - 1) if page else None, Missing(page=page + 1) if (page + 1) * PAGE < total else None
    )
    return View(bold(text.format(count=total)), (*rows, *pages, back))


def _sign(user: FormerUser) -> str:
    if user.mail_error:
        return "⚠️"
    return "📨" if user.mailed_at is not None else "⏳"


def one(user: FormerUser, machines: Sequence[FormerMachine], terms: Terms, link: str = "") -> View:
    """Return one user: what they had, what became of the mail; `link` where no mail is sent and you pass it on."""
    lines = [bold(escape(user.name or user.email or "–")), *([code(user.email)] if user.email else []), ""]
    lines += [
        f"{machine.kind.value} {escape(machine.name)}, {machine.size}: {money(machine.monthly, terms.currency)}"
        for machine in machines
    ]
    lines.append(_("🎟 {amount} of vouchers").format(amount=money(user.funds, terms.currency)))
    if user.matched_at is not None:
        lines.append(_("✅ Came {time}").format(time=when(user.matched_at)))
    elif user.mail_error:
        lines.append(_("⚠️ The mail was not taken: {error}").format(error=escape(user.mail_error)))
    elif user.mailed_at is not None:
        lines.append(_("📨 A link was mailed {time}.").format(time=when(user.mailed_at)))
    else:
        lines.append(_("⏳ The mail is still to be sent."))
    if link:
        lines += ["", _("No mail is sent here. Pass this link on to them, and to nobody else:"), code(link)]
    again = ((Button(_("📨 Send a new link"), SendAgain(user_id=user.id)),),) if user.matched_at is None else ()
    return View("\n".join(lines), (*again, (Button(_("‹ Back"), Missing()),), (panel(), problems.home())))


def sending() -> str:
    """Return the word over the chat when a link is on its way."""
    return _("A new link is on its way; the old one stops working")
