"""All open invoices as documents, from a reminder's button (A22)."""

from telegram import InputMediaDocument
from telegram.constants import MediaGroupLimit

from billing import invoices
from bot.context import Context
from bot.documents import invoice_pdf
from bot.guards import everyone
from bot.router import Route, press
from bot.view import Attachment, View, send
from bot.views import invoices as views
from bot.views.notices_unpaid import OpenDocuments

_ALBUM = int(MediaGroupLimit.MAX_MEDIA_LENGTH)
_MOST = 50
"""Documents sent at one tap; there are not so many months."""


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (press(OpenDocuments, _documents, everyone),)


async def _documents(ctx: Context, _: OpenDocuments) -> View | None:
    """Send the documents below the message, and leave the message as it is."""
    async with ctx.database.read() as session:
        found = [
            await invoices.document(session, invoice) for invoice in await invoices.open_ones(session, ctx.customer)
        ]
    if not found:
        return views.listing(invoices.Page((), more=False), 0, ctx.terms.currency)
    files = [
        Attachment(f"{document.invoice.number}.pdf", await invoice_pdf(document, ctx.terms.currency))
        for document in found[:_MOST]
    ]
    for start in range(0, len(files), _ALBUM):
        await _send(ctx, files[start : start + _ALBUM])
    return None


async def _send(ctx: Context, files: list[Attachment]) -> None:
    """Send up to ten documents as an album, one alone as itself."""
    chat_id = ctx.customer.telegram_id
    if len(files) == 1:
        await send(ctx.services.bot, chat_id, View("", attachment=files[0]))
        return
    album = [InputMediaDocument(file.content, filename=file.filename) for file in files]
    await ctx.services.bot.send_media_group(chat_id, album)
