"""A screen as a mail: the same words, without buttons."""

from datetime import datetime
from html import escape

from billing.models import Notice
from bot.format import plain
from bot.mail import Attachment, Mail
from bot.view import View

_SUBJECT = 120


def letter(notice: Notice, address: str, view: View) -> Mail:
    """Return the mail of a notice; its first line is the subject."""
    return composed(f"notice-{notice.id}", address, view, notice.created_at)


def composed(key: str, address: str, view: View, at: datetime) -> Mail:
    """Return a screen as a mail; `key` names it for ever, and its first line is the subject."""
    text = plain(view.text)
    links = "".join(f"\n{button.text}: {button.url}" for row in view.rows for button in row if button.url)
    files = (*((view.attachment,) if view.attachment else ()), *view.enclosed)
    return Mail(
        key=key,
        to=address,
        subject=text.strip().partition("\n")[0][:_SUBJECT],
        text=text + (f"\n{links}" if links else ""),
        html=_page(view),
        at=at,
        attachments=tuple(Attachment(file.filename, file.content) for file in files),
    )


def _page(view: View) -> str:
    body = view.text.replace("\n", "<br>\n")
    links = "".join(
        f'<p><a href="{escape(button.url)}">{escape(button.text)}</a></p>'
        for row in view.rows
        for button in row
        if button.url
    )
    # The words' own letters say which way they run.
    return f'<!doctype html><html><body dir="auto" style="font: 16px/1.5 sans-serif">{body}{links}</body></html>'
