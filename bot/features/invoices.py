"""`/invoices`, `/invoice`: a person's invoices, each with its document and its arithmetic (A8, A9, C3, C7)."""

from billing import explain, invoices
from billing.errors import NotFound
from bot.context import Context
from bot.documents import invoice_pdf
from bot.guards import everyone
from bot.links import Invoices, ShowInvoice
from bot.router import Route, command, press
from bot.view import Attachment, View
from bot.views import invoices as views
from bot.views.invoices import PAGE, Explain, GetDocument


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("invoices", _invoices, everyone),
        command("invoice", _invoice, everyone),
        press(Invoices, _page, everyone),
        press(ShowInvoice, _show, everyone),
        press(GetDocument, _document, everyone),
        press(Explain, _explain, everyone),
    )


async def _invoices(ctx: Context, _: str) -> View:
    return await _page(ctx, Invoices())


async def _page(ctx: Context, press: Invoices) -> View:
    number = max(press.page, 0)
    async with ctx.database.read() as session:
        page = await invoices.page(session, ctx.customer, offset=number * PAGE, limit=PAGE)
    return views.listing(page, number, ctx.terms.currency)


async def _invoice(ctx: Context, text: str) -> View:
    """Show one with its document, as the contract says of `/invoice NUMBER`."""
    if not text:
        return views.usage()
    async with ctx.database.read() as session:
        try:
            invoice = await invoices.by_number(session, ctx.customer, text)
        except NotFound as error:
            return views.usage(error)
        document = await invoices.document(session, invoice)
    return await _with_pdf(ctx, document, views.one(document, ctx.terms.currency))


async def _show(ctx: Context, press: ShowInvoice) -> View:
    return views.one(await _load(ctx, press.invoice_id), ctx.terms.currency)


async def _document(ctx: Context, press: GetDocument) -> View:
    document = await _load(ctx, press.invoice_id)
    return await _with_pdf(ctx, document, views.under_document(document.invoice, ctx.terms.currency))


async def _explain(ctx: Context, press: Explain) -> View:
    async with ctx.database.read() as session:
        found = await explain.explain(
            session, ctx.customer, press.invoice_id, press.position, currency=ctx.terms.currency
        )
    return views.explained(found, ctx.terms.currency)


async def _load(ctx: Context, invoice_id: int) -> invoices.Document:
    async with ctx.database.read() as session:
        return await invoices.document(session, await invoices.get(session, ctx.customer, invoice_id))


async def _with_pdf(ctx: Context, document: invoices.Document, view: View) -> View:
    content = await invoice_pdf(document, ctx.terms.currency)
    caption = (
        view if len(view.text) <= _CAPTION else View(views.caption(document.invoice, ctx.terms.currency), view.rows)
    )
    return View(caption.text, caption.rows, Attachment(f"{document.invoice.number}.pdf", content))


_CAPTION = 1000
"""Characters with tags; Telegram takes 1024 without them."""
