"""Invoices: the list, one of them, and why a line says what it says (A8, A9, C3)."""

from billing import cards
from billing.catalog import Item
from billing.errors import NotFound
from billing.explain import Explanation, Run
from billing.invoices import Document, Page, Paid
from billing.metering import CAP_HOURS
from billing.models import AccountKind, Invoice, InvoiceLine
from billing.money import Currency
from bot.callbacks import Press, button
from bot.format import bold, code, day, escape, money, month, when
from bot.i18n import _, ngettext
from bot.links import Invoices, PayAll, PayInvoice, ShowInvoice
from bot.view import Button, Rows, View
from bot.views import problems, words

PAGE = 8
"""Invoices on one screen."""
_LINES = 15
"""Lines shown of one invoice; the document has all."""


@button("ip")
class GetDocument(Press):
    """The invoice as a PDF."""

    invoice_id: int


@button("ie")
class Explain(Press):
    """Why a line says what it says."""

    invoice_id: int
    position: int


def listing(page: Page, number: int, currency: Currency) -> View:
    """Return one page of all invoices, newest first."""
    if not page.invoices:
        empty = _("🧾 You have no invoices yet. One is made on the first of each month for what you used.")
        return View(empty, ((problems.home(),),))
    rows: list[tuple[Button, ...]] = [
        (
            Button(
                f"{'🟠' if invoice.due else '✅'} {invoice.number} · {money(invoice.total, currency)}",
                ShowInvoice(invoice_id=invoice.id),
            ),
        )
        for invoice in page.invoices
    ]
    turn = []
    if number:
        turn.append(Button(_("‹ Newer"), Invoices(page=number - 1)))
    if page.more:
        turn.append(Button(_("Older ›"), Invoices(page=number + 1)))
    if turn:
        rows.append(tuple(turn))
    pay: Rows = ()
    if any(invoice.due for invoice in page.invoices):
        pay = ((Button(_("🧾 Pay what is due"), PayAll()),),)
    return View(_("🧾 Your invoices (🟠 to pay, ✅ paid)"), (*pay, *rows, (problems.home(),)))


def one(document: Document, currency: Currency) -> View:
    """Return one invoice with its lines and payments."""
    invoice = document.invoice
    lines = [f"🧾 {bold(invoice.number)} · {status(document)}"]
    if invoice.month is not None:
        lines.append(_("for {month}, issued {day}").format(month=month(invoice.month), day=day(invoice.issued_at)))
    lines.append("")
    lines += [_line(line, invoice, currency) for line in document.lines[:_LINES]]
    if len(document.lines) > _LINES:
        more = len(document.lines) - _LINES
        lines.append(
            ngettext("… {count} more in the document", "… {count} more in the document", more).format(count=more)
        )
    lines += ["", *_sums(invoice, currency)]
    lines += [f"• {source(paid)} {money(paid.amount, currency)}, {day(paid.at)}" for paid in document.payments]
    credit = _("credit note")
    lines += [
        f"• {credit} {note.number} {money(note.total, currency)}, {day(note.issued_at)}" for note in document.credits
    ]
    if invoice.disputed:
        held = bold(money(invoice.disputed, currency))
        lines.append(_("The bank decides about {amount}; until then it is not to be paid.").format(amount=held))
    if invoice.due and (document.payments or document.credits):
        lines.append(_("Still due: {amount}").format(amount=bold(money(invoice.due, currency))))
    return View("\n".join(lines), _rows(document))


def status(document: Document) -> str:
    """Return where an invoice stands."""
    if not document.invoice.due:
        return _("✅ paid")
    if document.invoice.due == document.invoice.disputed:
        return _("⚖️ disputed")
    if document.in_flight:
        return _("⏳ payment under way")
    return _("🟠 open")


def source(paid: Paid) -> str:
    """Return where money came from."""
    if paid.card is not None:
        return escape(cards.label(paid.card))
    names = {
        AccountKind.VOUCHER: _("vouchers"),
        AccountKind.BALANCE: _("balance"),
        AccountKind.CARD_CLEARING: _("card"),
        AccountKind.STARS_CLEARING: _("Telegram Stars"),
        AccountKind.CHARGEBACKS: _("dispute with the bank"),
        AccountKind.WRITE_OFF: _("given up"),
    }
    return names.get(paid.source, _("correction"))


def _line(line: InvoiceLine, invoice: Invoice, currency: Currency) -> str:
    late = f" ({month(line.month)})" if line.month and line.month != invoice.month else ""
    hours = ngettext("{count} hour", "{count} hours", line.hours).format(count=line.hours)
    amount = bold(money(line.amount, currency))
    return _("{name}: {hours} at {monthly} a month = {amount}").format(
        name=escape(line.name) + late, hours=hours, monthly=money(line.monthly, currency), amount=amount
    )


def _sums(invoice: Invoice, currency: Currency) -> list[str]:
    lines = []
    if invoice.tax:
        lines.append(_("Net {amount}").format(amount=money(invoice.net, currency)))
        lines.append(
            _("Tax {percent} %: {amount}").format(
                percent=f"{invoice.tax_basis_points / 100:g}", amount=money(invoice.tax, currency)
            )
        )
    lines.append(_("Total {amount}").format(amount=bold(money(invoice.total, currency))))
    return lines


def _rows(document: Document) -> Rows:
    invoice = document.invoice
    rows: list[tuple[Button, ...]] = []
    if invoice.due > invoice.disputed and not document.in_flight:
        rows.append((Button(_("💳 Pay"), PayInvoice(invoice_id=invoice.id)),))
    rows.append((Button(_("📄 PDF"), GetDocument(invoice_id=invoice.id)),))
    rows += [
        (Button(_("🔎 Why {name}?").format(name=line.name), Explain(invoice_id=invoice.id, position=line.position)),)
        for line in document.lines[:_EXPLAINED]
        if line.month is not None
    ]
    rows.append((problems.back(Invoices()), problems.home()))
    return tuple(rows)


_EXPLAINED = 10


def explained(found: Explanation, currency: Currency) -> View:
    """Return the arithmetic of a line: when it ran, at which price, which cap, which rounding (C3)."""
    line = found.line
    lines = [
        bold(line.name) + " · " + words.item(Item.parse(line.item), line.workers),
        _("in {month}").format(month=month(found.month)),
        "",
        *(_run(run) for run in found.runs[:_RUNS]),
        "",
        ngettext("{count} started hour", "{count} started hours", found.hours).format(count=found.hours),
    ]
    if found.hours > found.counted:
        lines.append(
            _("The month costs at most {cap} hours (28 days), so {counted} count.").format(
                cap=CAP_HOURS, counted=found.counted
            )
        )
    lines.append(
        f"{money(line.monthly, currency)} × {found.counted} / {CAP_HOURS} = {_exact(found, currency)}"
        f" → {bold(money(found.rounded, currency))}"
    )
    if found.before:
        lines.append(_("Invoiced for that month before: {amount}").format(amount=money(found.before, currency)))
    return View("\n".join(lines), ((problems.back(ShowInvoice(invoice_id=line.invoice_id)), problems.home()),))


_RUNS = 20


def _run(run: Run) -> str:
    hours = ngettext("{count} hour", "{count} hours", run.hours).format(count=run.hours)
    end = when(run.ended_at) if run.ended_at else _("still running")
    return f"{when(run.started_at)} – {end}: {hours}"


def _exact(found: Explanation, currency: Currency) -> str:
    """Return the amount before rounding, with three decimals more."""
    finer = Currency(currency.code, currency.exponent + 3, 1)
    return money(finer.round_half_up(found.exact.numerator * 1000, found.exact.denominator), finer)


def caption(invoice: Invoice, currency: Currency) -> str:
    """Return what stands under the document."""
    return f"🧾 {bold(invoice.number)} · {bold(money(invoice.total, currency))}"


def under_document(invoice: Invoice, currency: Currency) -> View:
    """Return the screen that a document is sent with, and the way on."""
    return View(
        caption(invoice, currency),
        ((Button(f"‹ {invoice.number}", ShowInvoice(invoice_id=invoice.id)), problems.home()),),
    )


def usage(error: NotFound | None = None) -> View:
    """Return how `/invoice` is typed, or that there is no such one."""
    if error is not None:
        return problems.problem(
            _("You have no invoice {number}.").format(number=code(str(error.key)[:40])),
            Button(_("🧾 Invoices"), Invoices()),
        )
    return problems.problem(
        _("Which one? Type {example}, or choose it from the list.").format(example=code("/invoice INV-2026-000123")),
        Button(_("🧾 Invoices"), Invoices()),
    )
