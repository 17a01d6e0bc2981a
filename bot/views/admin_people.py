"""Who runs the business: the list, making one, and unmaking one (B7)."""

from collections.abc import Mapping, Sequence

from billing.models import Administrator
from bot.admin_links import Administrators
from bot.callbacks import Press, button
from bot.format import bold, code, day, escape
from bot.i18n import _
from bot.view import Button, Rows, View
from bot.views import problems
from bot.views.admin_words import panel

_SHOWN = 30
_NAME = 40


@button("bp")
class AskRevokeAdmin(Press):
    """Ask whether somebody shall be an administrator no more."""

    telegram_id: int


@button("bq")
class RevokeAdmin(Press):
    """They shall not."""

    telegram_id: int


@button("br")
class AskGrantAdmin(Press):
    """Type who shall be one."""


def listing(first: Sequence[int], granted: Sequence[Administrator], names: Mapping[int, str]) -> View:
    """Return who runs the business: those of the settings, then those made in the chat."""
    lines = [bold(_("🔑 Administrators")), ""]
    lines += [f"{person(telegram_id, names)} – " + _("by ADMIN_IDS") for telegram_id in first]
    lines += [
        f"{person(row.telegram_id, names)} – "
        + _("made by {name} on {day}").format(name=person(row.granted_by, names), day=day(row.granted_at))
        for row in granted[:_SHOWN]
    ]
    rows: Rows = tuple(
        (Button(_("✖️ Revoke {name}").format(name=_name(row.telegram_id, names)), AskRevokeAdmin(row.telegram_id)),)
        for row in granted[:_SHOWN]
    )
    return View(
        "\n".join(lines), (*rows, (Button(_("🔑 Make another one"), AskGrantAdmin()),), (panel(), problems.home()))
    )


def person(telegram_id: int, names: Mapping[int, str]) -> str:
    """Return a person's name and number, HTML."""
    return f"{escape(names.get(telegram_id, '')[:_NAME])} ({code(telegram_id)})".strip()


def _name(telegram_id: int, names: Mapping[int, str]) -> str:
    return names.get(telegram_id, "")[:_NAME].strip() or str(telegram_id)


def ask_grant(problem: str = "") -> View:
    """Return the question who shall be one."""
    text = _("🔑 Who shall be an administrator? Type their Telegram number or @name, such as {example}.").format(
        example=code("/grant 123456")
    )
    return View(f"{problem}\n\n{text}" if problem else text, ((Button(_("✖️ Cancel"), Administrators()),),))


def nobody(text: str) -> str:
    """Return that a name is nobody's that the bot has met."""
    return _("❌ I know nobody called {text}; a number works for everybody.").format(text=code(text[:_NAME]))


def granted(who: str, *, new: bool) -> View:
    """Return that somebody is an administrator, since now or before."""
    text = _("✅ {who} is an administrator now.") if new else _("{who} is an administrator already.")
    return _done(text.format(who=who))


def ask_revoke(telegram_id: int, who: str) -> View:
    """Return the one question before somebody stops being one."""
    return View(
        _("Shall {who} be an administrator no more? It works at once, on open screens too.").format(who=who),
        (
            (Button(_("✖️ Revoke"), RevokeAdmin(telegram_id=telegram_id)),),
            (Button(_("‹ Keep"), Administrators()),),
        ),
    )


def revoked(who: str, *, was: bool) -> View:
    """Return that somebody is no administrator any more, or never was."""
    text = _("✅ {who} is no administrator any more.") if was else _("{who} was not made an administrator here.")
    return _done(text.format(who=who))


def fixed(who: str) -> View:
    """Return that a first administrator stays one."""
    return _done(
        _("{who} is in ADMIN_IDS, the setting of this program, and can only be taken out there.").format(who=who)
    )


def whom_to_revoke() -> View:
    """Return how `/revoke` is typed."""
    return problems.problem(
        _("Who shall be an administrator no more? Type {example}, or choose.").format(example=code("/revoke 123456")),
        Button(_("🔑 Administrators"), Administrators()),
    )


def _done(text: str) -> View:
    return View(text, ((Button(_("🔑 Administrators"), Administrators()),), (panel(), problems.home())))
