"""Everybody's invoices as administrators see them: filters, pages, one of them, and a file (A7, C16)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from billing.all_invoices import Filter, Owned, Settled, Sums
from billing.clock import Month
from billing.invoices import Document
from billing.models import AccountKind, Customer, Invoice
from billing.money import Currency
from bot import export
from bot.admin_links import AllInvoices, ShowCustomer
from bot.callbacks import Press, button
from bot.format import bold, code, money, month
from bot.i18n import _, ngettext
from bot.view import Attachment, Button, Rows, View
from bot.views import invoices as views
from bot.views import problems
from bot.views.admin_words import panel, short, turn, who

PAGE = 8
"""Invoices on one screen."""
MONTHS = 6
"""Months that have a button."""
MOST_ROWS = 100_000
"""Invoices in one file; a spreadsheet takes ten times as many, the chat 50 MB."""


@button("bm")
class ShowAnyInvoice(Press):
    """One invoice, whosever it is."""

    invoice_id: int


@button("bn")
class AnyDocument(Press):
    """An invoice as a PDF."""

    invoice_id: int


@button("bo")
class InvoicesFile(Press):
    """All invoices that a filter lets through, as a table; as in `AllInvoices`."""

    unpaid: bool
    month: int
    customer_id: int


@dataclass(frozen=True, slots=True)
class Found:
    """A page of invoices.

    Attributes:
        of: which page, through which filter.
        rows: newest first, with whose they are.
        more: whether older ones follow.
        sums: over all that the filter lets through.
        months: the newest that have invoices.
        customer: the one whose they are, where only theirs are shown.
    """

    of: AllInvoices
    rows: Sequence[Owned]
    more: bool
    sums: Sums
    months: Sequence[Month]
    customer: Customer | None


def filter_of(of: AllInvoices | InvoicesFile) -> Filter:
    """Return what a button lets through.

    Raises:
        ValueError: its month is none.
    """
    period = Month.parse(str(Month.from_number(of.month))) if of.month else None
    return Filter(of.unpaid, period, of.customer_id or None)


def listing(found: Found, currency: Currency) -> View:
    """Return a page of invoices with the filters as buttons."""
    of = found.of
    lines = [
        bold(_title(of)),
        *([_("of {name}").format(name=bold(who(found.customer)))] if found.customer else []),
        ngettext("{count} invoice, {total} in all", "{count} invoices, {total} in all", found.sums.count).format(
            count=found.sums.count, total=money(found.sums.total, currency)
        ),
        _("Still due: {amount}").format(amount=bold(money(found.sums.due, currency))),
    ]
    rows: Rows = tuple(
        (Button(_line(invoice, whose, found, currency), ShowAnyInvoice(invoice_id=invoice.id)),)
        for invoice, whose in found.rows
    )
    pages = turn(_page(of, of.page - 1) if of.page else None, _page(of, of.page + 1) if found.more else None)
    return View("\n".join(lines), (*rows, *pages, *_filters(found), *_ways(found)))


def _title(of: AllInvoices) -> str:
    period = filter_of(of).month
    if period is None:
        return _("🧾 Unpaid invoices") if of.unpaid else _("🧾 All invoices")
    title = _("🧾 Unpaid invoices for {month}") if of.unpaid else _("🧾 Invoices for {month}")
    return title.format(month=month(period))


def _line(invoice: Invoice, whose: Customer, found: Found, currency: Currency) -> str:
    name = "" if found.customer is not None else f" · {short(whose)}"
    return f"{'🟠' if invoice.due else '✅'} {invoice.number} · {money(invoice.total, currency)}{name}"


def _page(of: AllInvoices, page: int) -> AllInvoices:
    return AllInvoices(of.unpaid, of.month, of.customer_id, page)


def _filters(found: Found) -> Rows:
    of = found.of
    paid = Button(
        _("Paid ones too") if of.unpaid else _("🟠 Unpaid only"),
        AllInvoices(not of.unpaid, of.month, of.customer_id),
    )
    months = [
        Button(f"{period}", AllInvoices(of.unpaid, period.number, of.customer_id))
        for period in found.months
        if period.number != of.month
    ]
    if of.month:
        months.append(Button(_("All months"), AllInvoices(of.unpaid, 0, of.customer_id)))
    return ((paid,), *(tuple(months[start : start + 3]) for start in range(0, len(months), 3)))


def _ways(found: Found) -> Rows:
    of = found.of
    file = Button(_("📄 As a table (CSV)"), InvoicesFile(of.unpaid, of.month, of.customer_id))
    back = (panel(), problems.home())
    if found.customer is not None:
        back = (Button(f"‹ {short(found.customer)}", ShowCustomer(customer_id=found.customer.id)), panel())
    return ((file,), back) if found.rows else (back,)


def usage() -> View:
    """Return how `/allinvoices` is typed."""
    examples = ("/allinvoices", "/allinvoices unpaid", "/allinvoices 2026-01", "/allinvoices unpaid 2026-01")
    return problems.problem(
        _("Type which invoices, or choose:") + "\n" + "\n".join(code(example) for example in examples),
        Button(_("🧾 All invoices"), AllInvoices()),
        Button(_("🟠 Unpaid only"), AllInvoices(unpaid=True)),
    )


def one(document: Document, customer: Customer, currency: Currency) -> View:
    """Return one invoice, whosever it is."""
    invoice = document.invoice
    text = views.one(document, currency).text + "\n\n" + _("of {name}").format(name=bold(who(customer)))
    return View(
        text,
        (
            (Button(_("📄 PDF"), AnyDocument(invoice_id=invoice.id)),),
            (
                Button(f"👤 {short(customer)}", ShowCustomer(customer_id=customer.id)),
                Button(_("🧾 Invoices"), AllInvoices()),
            ),
            (panel(), problems.home()),
        ),
    )


def pdf(document: Document, content: bytes, currency: Currency) -> View:
    """Return an invoice's document."""
    invoice = document.invoice
    return View(
        views.caption(invoice, currency),
        ((Button(f"‹ {invoice.number}", ShowAnyInvoice(invoice_id=invoice.id)), panel()),),
        Attachment(f"{invoice.number}.pdf", content),
    )


# --- as a table

_HEADS = (
    *("number", "kind", "month", "issued_at", "customer", "name", "username", "currency"),
    *("net", "tax", "total", "due", "paid_at", "from_voucher", "from_balance", "from_card", "from_stars", "other"),
)
_SOURCES = (AccountKind.VOUCHER, AccountKind.BALANCE, AccountKind.CARD_CLEARING, AccountKind.STARS_CLEARING)


def table(rows: Iterable[Settled], currency: Currency) -> bytes:
    """Return invoices as CSV, with how much of each came from where."""
    return export.table(_HEADS, (_cells(invoice, customer, paid, currency) for invoice, customer, paid in rows))


def _cells(
    invoice: Invoice, customer: Customer, paid: dict[AccountKind, int], currency: Currency
) -> tuple[object, ...]:
    other = sum(amount for kind, amount in paid.items() if kind not in _SOURCES)
    amounts = (invoice.net, invoice.tax, invoice.total, invoice.due)
    sources = (*(paid.get(kind, 0) for kind in _SOURCES), other)
    return (
        *(invoice.number, invoice.kind.value, invoice.month, invoice.issued_at.isoformat()),
        *(customer.telegram_id, customer.name, customer.username, currency.code.upper()),
        *(currency.plain(amount) for amount in amounts),
        invoice.paid_at.isoformat() if invoice.paid_at else "",
        *(currency.plain(amount) for amount in sources),
    )


def file(of: InvoicesFile, content: bytes, count: int, *, cut: bool) -> View:
    """Return the table as a document."""
    text = ngettext("📄 {count} invoice", "📄 {count} invoices", count).format(count=count)
    if cut:
        text += "\n" + _("There are more; choose a month to get all of it.")
    parts = ["invoices", *(["unpaid"] if of.unpaid else []), *([str(Month.from_number(of.month))] if of.month else [])]
    back = AllInvoices(of.unpaid, of.month, of.customer_id)
    return View(text, ((Button(_("🧾 Invoices"), back), panel()),), Attachment(f"{'-'.join(parts)}.csv", content))
