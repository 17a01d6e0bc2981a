"""The invoice as a PDF document: plain values in, bytes out.

Amounts arrive as text that is ready to be read; this module knows no money. Values reach the template as data
(`sys.inputs`), never as markup, so a machine called `#panic()` is only a strange name.
"""

from __future__ import annotations

import calendar
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from bot import typesetting

if TYPE_CHECKING:
    import typst

TEMPLATE = Path(__file__).with_name("invoice.typ")
"""The template that comes with the product; an operator may name another one beside their own logo."""

Standard = Literal["a-2a"]
"""PDF/A-2a: readable in fifty years, and by screen readers."""

Kind = Literal["invoice", "debit note", "credit note"]


class TemplateError(Exception):
    """The template cannot be typeset; the text says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Seller or customer, as copied onto the invoice. `address` may have several lines."""

    name: str
    address: str = ""
    tax_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One deployment in one month.

    Attributes:
        name: what the customer called it.
        item: what it is: `small virtual machine, public IP`.
        note: what else must be said, such as a month other than the invoice's.
        hours: billed hours; none where the line is not for time.
        monthly_price: the frozen price, formatted; empty where the line is not for time.
        capped: whether the month's cap was reached (rule 4.3).
        amount: the line's amount, formatted.
    """

    name: str
    item: str
    amount: str
    hours: int | None = None
    monthly_price: str = ""
    capped: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A payment or a credit that lowers what is due: `Visa •4242`, its formatted amount, and the day."""

    source: str
    amount: str
    on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The words that stand on every page, in the reader's language; months from January on."""

    language: str = "en"
    right_to_left: bool = False
    titles: dict[Kind, str] = field(
        default_factory=lambda: {"invoice": "Invoice", "debit note": "Debit note", "credit note": "Credit note"}
    )
    months: tuple[str, ...] = tuple(calendar.month_name)[1:]
    seller: str = "From"
    customer: str = "To"
    number: str = "Number"
    issued: str = "Issued"
    period: str = "Period"
    deployment: str = "Deployment"
    hours: str = "Hours"
    per_month: str = "Per month"
    amount: str = "Amount"
    full_month: str = "a full month"
    tax_id: str = "Tax id"
    net: str = "Net"
    tax: str = "Tax"
    total: str = "Total in"
    paid: str = "Paid:"
    credited: str = "Credited:"
    in_full: str = "Paid in full"
    due: str = "Due"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceDocument:
    """Everything that stands on the page.

    Attributes:
        kind: which of the three documents.
        number: `INV-2026-000123`.
        issued: day of issue, UTC.
        period: what it is for: `January 2026`; empty where there is none.
        currency: ISO code, upper case, said once under the amounts.
        lines: at least one.
        net, tax, total: formatted amounts; `tax` is shown when `tax_percent` is not empty.
        tax_percent: `21`, `7.5`, or empty for no tax.
        payments, credits: in the order in which they came.
        due: formatted amount still due; empty where the question does not arise.
        settled: whether nothing is due any more.
        notes: sentences at the end.
        labels: the words around all of this.
    """

    kind: Kind
    number: str
    issued: date
    currency: str
    seller: Party
    customer: Party
    lines: tuple[Line, ...]
    net: str
    total: str
    period: str = ""
    tax_percent: str = ""
    tax: str = ""
    payments: tuple[Settled, ...] = ()
    credits: tuple[Settled, ...] = ()
    due: str = ""
    settled: bool = False
    notes: tuple[str, ...] = ()
    labels: Labels = field(default_factory=Labels)


def render_readable(document: InvoiceDocument, otherwise: InvoiceDocument) -> bytes:
    """The document as a PDF if this machine's fonts have the letters of its labels, else the other one.

    Raises:
        TemplateError: the template is missing or broken.
    """
    with typesetting.LOCK:
        readable = _has_glyphs("".join(document.labels.titles.values()))
    return render_invoice(document if readable else otherwise)


@cache
def _has_glyphs(text: str) -> bool:
    import typst  # noqa: PLC0415 in the process beside only: see `typesetting`

    try:
        typst.Compiler(b"#sys.inputs.text", font_paths=typesetting.fonts()).compile(
            format="pdf", sys_inputs={"text": text}, pdf_standards="a-2b"
        )
    except typst.TypstError:
        return False
    return True


def render_invoice(document: InvoiceDocument, *, template: Path = TEMPLATE) -> bytes:
    """The document as a PDF; the same values give the same bytes.

    PDF/A where every character has a glyph in some font of the machine, else a plain PDF in which the missing ones
    are boxes. Takes some 20 ms and memory that stays: an event loop calls it in a process beside (`apart.py`).

    Raises:
        TemplateError: the template is missing or broken.
    """
    import typst  # noqa: PLC0415 in the process beside only: see `typesetting`

    data = json.dumps(asdict(document), default=date.isoformat, ensure_ascii=False)
    data = data.encode("utf-8", "replace").decode()  # half a character, as a broken client may send it
    with typesetting.LOCK:
        try:
            return _compile(template, data, document.issued, "a-2a")
        except typst.TypstError:
            return _compile_plain(template, data, document.issued)
        finally:
            typesetting.forget()


def _compile_plain(template: Path, data: str, issued: date) -> bytes:
    import typst  # noqa: PLC0415

    try:
        return _compile(template, data, issued, None)
    except typst.TypstError as error:
        raise TemplateError(f"The invoice template is broken: {error.diagnostic}") from error


def _compile(template: Path, data: str, issued: date, standard: Standard | None) -> bytes:
    made = _compiler(template).compile(
        format="pdf",
        sys_inputs={"document": data},
        pdf_standards=standard,
        timestamp=datetime.combine(issued, time(), UTC),
    )
    return cast("bytes", made)  # a list is for formats with a file per page, nothing for output to a file


@cache
def _compiler(template: Path) -> typst.Compiler:
    """A compiler of one template, which may read what lies beside it and nothing else."""
    if not template.is_file():
        raise TemplateError(f"There is no invoice template {template}")
    import typst  # noqa: PLC0415

    return typst.Compiler(template, root=template.parent, font_paths=typesetting.fonts())
