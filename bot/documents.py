"""An invoice as a document: facts in, PDF out."""

from collections.abc import Callable, Sequence

from babel.dates import get_month_names

from billing.catalog import Item
from billing.clock import Month
from billing.invoices import Document
from billing.models import CreditNote, CreditNoteLine, Invoice, InvoiceKind, InvoiceLine
from billing.money import Currency
from bot import i18n
from bot import invoice_pdf as pdf
from bot.apart import apart
from bot.format import day, money, month
from bot.i18n import _
from bot.views import invoices as views
from bot.views import words

_KINDS: dict[InvoiceKind, pdf.Kind] = {InvoiceKind.INVOICE: "invoice", InvoiceKind.DEBIT_NOTE: "debit note"}


async def invoice_pdf(document: Document, currency: Currency) -> bytes:
    """Return the PDF of an invoice or a debit note, in the current language."""
    return await _readable(lambda: _invoice(document, currency))


def _invoice(document: Document, currency: Currency) -> pdf.InvoiceDocument:
    invoice = document.invoice
    return pdf.InvoiceDocument(
        kind=_KINDS[invoice.kind],
        number=invoice.number,
        issued=invoice.issued_at.date(),
        period=month(invoice.month) if invoice.month else "",
        currency=currency.code.upper(),
        seller=_party(invoice.seller),
        customer=_party(invoice.buyer),
        lines=tuple(_line(line, invoice.month, currency) for line in document.lines),
        net=money(invoice.net, currency),
        tax=money(invoice.tax, currency),
        tax_percent=f"{invoice.tax_basis_points / 100:g}" if invoice.tax_basis_points else "",
        total=money(invoice.total, currency),
        payments=tuple(
            pdf.Settled(source=views.source(paid), amount=money(paid.amount, currency), on=paid.at.date())
            for paid in document.payments
        ),
        credits=tuple(
            pdf.Settled(source=note.number, amount=money(note.total, currency), on=note.issued_at.date())
            for note in document.credits
        ),
        due=money(invoice.due, currency),
        settled=invoice.due == 0,
        labels=_labels(),
    )


async def credit_note_pdf(
    note: CreditNote, lines: Sequence[CreditNoteLine], invoice: Invoice, currency: Currency
) -> bytes:
    """Return the PDF of a credit note, in the current language."""
    return await _readable(lambda: _credit_note(note, lines, invoice, currency))


async def _readable(make: Callable[[], pdf.InvoiceDocument]) -> bytes:
    """Return a document in the current language, or in the default one where no font has its letters."""
    made = make()
    if i18n.language() == i18n.DEFAULT:
        return await apart(pdf.render_invoice, made)
    with i18n.speaking(i18n.DEFAULT):
        otherwise = make()
    return await apart(pdf.render_readable, made, otherwise)


def _credit_note(
    note: CreditNote, lines: Sequence[CreditNoteLine], invoice: Invoice, currency: Currency
) -> pdf.InvoiceDocument:
    whole = pdf.Line(name=note.reason, item="", amount=money(note.net, currency))
    return pdf.InvoiceDocument(
        kind="credit note",
        number=note.number,
        issued=note.issued_at.date(),
        currency=currency.code.upper(),
        seller=_party(invoice.seller),
        customer=_party(invoice.buyer),
        lines=tuple(_back(line, currency) for line in lines) or (whole,),
        net=money(note.net, currency),
        tax=money(note.tax, currency),
        tax_percent=f"{invoice.tax_basis_points / 100:g}" if invoice.tax_basis_points else "",
        total=money(note.total, currency),
        notes=(
            _("This credit note lowers {number} of {day}.").format(number=invoice.number, day=day(invoice.issued_at)),
        ),
        labels=_labels(),
    )


def _labels() -> pdf.Labels:
    """Return the words of the page in the current language."""
    return pdf.Labels(
        language=i18n.language(),
        right_to_left=i18n.runs_right_to_left(),
        titles={"invoice": _("Invoice"), "debit note": _("Debit note"), "credit note": _("Credit note")},
        months=tuple(get_month_names("wide", locale=i18n.language()).values()),
        seller=_("From"),
        customer=_("To"),
        number=_("Number"),
        issued=_("Issued"),
        period=_("Period"),
        deployment=_("Deployment"),
        hours=_("Hours"),
        per_month=_("Per month"),
        amount=_("Amount"),
        full_month=_("a full month"),
        tax_id=_("Tax id"),
        net=_("Net"),
        tax=_("Tax"),
        total=_("Total in"),
        paid=_("Paid:"),
        credited=_("Credited:"),
        in_full=_("Paid in full"),
        due=_("Due"),
    )


def _back(line: CreditNoteLine, currency: Currency) -> pdf.Line:
    return pdf.Line(
        name=line.name,
        item=words.item(Item.parse(line.item), line.workers),
        note=_("used in {month}").format(month=month(line.month)),
        hours=line.hours,
        monthly_price=money(line.monthly, currency),
        amount=money(line.amount, currency),
    )


def _party(fields: dict[str, str]) -> pdf.Party:
    return pdf.Party(name=fields["name"], address=fields["address"], tax_id=fields["tax_id"])


def _line(line: InvoiceLine, invoiced: Month | None, currency: Currency) -> pdf.Line:
    if line.month is None:
        return pdf.Line(name=line.name, item="", amount=money(line.amount, currency))
    return pdf.Line(
        name=line.name,
        item=words.item(Item.parse(line.item), line.workers),
        note=_("used in {month}").format(month=month(line.month)) if line.month != invoiced else "",
        hours=line.hours,
        monthly_price=money(line.monthly, currency),
        capped=line.capped,
        amount=money(line.amount, currency),
    )
