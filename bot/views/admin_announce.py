"""Announcements: the draft with its preview and audience, how far one has come, and who was not reached."""

from collections.abc import Mapping, Sequence

from billing.announcements import Progress
from billing.models import Announcement, Audience, Customer, Notice
from bot.admin_links import Announce, ShowCustomer
from bot.callbacks import Press, button
from bot.format import bold, code, escape, plain, when
from bot.i18n import _, ngettext
from bot.view import Button, Rows, View
from bot.views import problems
from bot.views.admin_words import panel, short, turn

LONGEST = 3000
"""Characters of an announcement with its markup: the preview has words of ours around it."""
PAGE = 8
"""People on one screen of those who were not reached."""
_EXCERPT = 40
_ERROR = 60


@button("bs")
class WriteAnnouncement(Press):
    """Type what to announce."""


@button("bt")
class ChooseAudience(Press):
    """Whom the draft is for."""

    draft: int
    audience: Audience


@button("bu")
class SendAnnouncement(Press):
    """Send the draft to this audience."""

    draft: int
    audience: Audience


@button("bv")
class ShowAnnouncement(Press):
    """How far one has come."""

    announcement_id: int


@button("bw")
class Unreached(Press):
    """A page of those whom one did not reach."""

    announcement_id: int
    page: int = 0


def listing(latest: Sequence[Announcement]) -> View:
    """Return the last announcements."""
    write = Button(_("📢 New announcement"), WriteAnnouncement())
    rows: Rows = tuple(
        (
            Button(
                f"{'✅' if row.done_at else '⏳'} {plain(row.text)[:_EXCERPT] or row.id}",
                ShowAnnouncement(announcement_id=row.id),
            ),
        )
        for row in latest
    )
    text = _("📢 Announcements, newest first") if latest else _("📢 Nothing has been announced yet.")
    return View(text, ((write,), *rows, (panel(), problems.home())))


def ask(problem: str = "") -> View:
    """Return the question what to announce."""
    text = _("📢 Type the announcement as it shall be read; bold, links and the like are kept.")
    return View(f"{problem}\n\n{text}" if problem else text, ((Button(_("✖️ Cancel"), Announce()),),))


def too_long() -> str:
    """Return that a text is too long for one message."""
    return _("❌ That is too long: at most {count} characters, markup included.").format(count=LONGEST)


def preview(text: str, draft: int, chosen: Audience, counts: Mapping[Audience, int]) -> View:
    """Return the draft as it will be read, whom it is for, and the one tap that sends it."""
    people = ngettext("{count} customer", "{count} customers", counts[chosen]).format(count=counts[chosen])
    head = _("📢 This goes to {audience}, {people}:").format(audience=bold(name(chosen)), people=bold(people))
    choices = tuple(
        (
            Button(
                f"{'🔘' if audience is chosen else '⚪'} {name(audience)} ({count})",
                ChooseAudience(draft=draft, audience=audience),
            ),
        )
        for audience, count in counts.items()
    )
    send: Rows = ()
    if counts[chosen]:
        send = ((Button(_("📢 Send to {people}").format(people=people), SendAnnouncement(draft, chosen)),),)
    return View(f"{head}\n\n{text}", (*choices, *send, (Button(_("✖️ Cancel"), Announce()),)))


def name(audience: Audience) -> str:
    """Return what an audience is called."""
    return {
        Audience.ALL: _("everybody"),
        Audience.MACHINES: _("who has something running"),
        Audience.DEBT: _("who owes something"),
    }[audience]


def progress(of: Progress) -> View:
    """Return how far an announcement has come."""
    row = of.announcement
    lines = [
        bold(_("📢 Announcement {number}").format(number=row.id)) + f" · {when(row.created_at)}",
        _("To {audience}").format(audience=name(row.audience)),
        "",
        row.text,
        "",
        _("✅ Sent: {count}").format(count=of.sent),
        _("🚫 Not reached: {count}").format(count=of.unreached),
    ]
    if row.done_at is None:
        lines.append(_("⏳ On the way: {count}").format(count=of.waiting))
    else:
        lines.append(_("Done {time}").format(time=when(row.done_at)))
    rows: list[tuple[Button, ...]] = []
    if of.unreached:
        rows.append((Button(_("🚫 Who was not reached"), Unreached(announcement_id=row.id)),))
    if row.done_at is None:
        rows.append((Button(_("🔄 Refresh"), ShowAnnouncement(announcement_id=row.id)),))
    return View("\n".join(lines), (*rows, (Button(_("📢 Announcements"), Announce()), panel())))


def unreached(of: Announcement, found: Sequence[tuple[Customer, Notice]], page: int, *, more: bool) -> View:
    """Return who was not reached, and why."""
    lines = [_("🚫 Not reached by announcement {number}").format(number=code(of.id)), ""]
    lines += [f"{escape(short(who))} – {escape(notice.error[:_ERROR])}" for who, notice in found] or [_("Nobody.")]
    rows: Rows = tuple((Button(f"👤 {short(who)}", ShowCustomer(customer_id=who.id)),) for who, _notice in found)
    pages = turn(
        Unreached(announcement_id=of.id, page=page - 1) if page else None,
        Unreached(announcement_id=of.id, page=page + 1) if more else None,
    )
    back = (Button(_("‹ Back"), ShowAnnouncement(announcement_id=of.id)), panel())
    return View("\n".join(lines), (*rows, *pages, back))
