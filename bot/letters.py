"""A screen as a mail: the same words, without buttons."""

from billing.models import Notice
from bot.format import plain
from bot.mail import Attachment, Mail
from bot.view import View

_SUBJECT = 120


def letter(notice: Notice, address: str, view: View) -> Mail:
    """Return the mail of a notice; its first line is the subject."""
    text = plain(view.text)
    links = "".join(f"\n{button.text}: {button.url}" for row in view.rows for button in row if button.url)
    files = () if view.attachment is None else (Attachment(view.attachment.filename, view.attachment.content),)
    return Mail(
        key=f"notice-{notice.id}",
        to=address,
        subject=text.strip().partition("\n")[0][:_SUBJECT],
        text=text + (f"\n{links}" if links else ""),
        html=_page(view),
        at=notice.created_at,
        attachments=files,
    )


def _page(view: View) -> str:
    body = view.text.replace("\n", "<br>\n")
    links = "".join(
        f'<p><a href="{button.url}">{button.text}</a></p>' for row in view.rows for button in row if button.url
    )
    return f'<!doctype html><html><body style="font: 16px/1.5 sans-serif">{body}{links}</body></html>'
