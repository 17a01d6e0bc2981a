"""The invoice as a document: what a reader of the PDF finds in it."""

import shutil
import subprocess
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from bot import documents, i18n, typesetting
from bot.invoice_pdf import (
    InvoiceDocument,
    Labels,
    Line,
    Party,
    Settled,
    TemplateError,
    render_invoice,
    render_readable,
)

poppler = pytest.mark.skipif(not shutil.which("pdftotext"), reason="poppler-utils is not installed")

MINUS = "\N{MINUS SIGN}"
ANN = Party(name="Ann Customer", address="Rua das Flores 7\nLisboa", tax_id="PT123456789")
INVOICE = InvoiceDocument(
    kind="invoice",
    number="INV-2026-000123",
    issued=date(2026, 2, 1),
    period="January 2026",
    currency="USD",
    seller=Party(name="Northwind Cloud", address="1 Harbour Street\nDublin", tax_id="IE1234567X"),
    customer=ANN,
    lines=(
        Line(name="web-1", item="small machine", hours=11, monthly_price="$5.00", amount="$0.08"),
        Line(name="db", item="large machine", hours=744, monthly_price="$20.00", amount="$20.00", capped=True),
    ),
    net="$20.08",
    tax_percent="21",
    tax="$4.22",
    total="$24.30",
    payments=(
        Settled(source="voucher", amount="$10.00", on=date(2026, 2, 1)),
        Settled(source="Visa •4242", amount="$14.30", on=date(2026, 2, 3)),
    ),
    due="$0.00",
    settled=True,
    notes=("An hour costs a 672nd of the monthly price.",),
)


def poppler_says(program: str, pdf: bytes, *options: str) -> str:
    command = [program, *options, "-", *(["-"] if program == "pdftotext" else [])]
    return subprocess.run(command, input=pdf, capture_output=True, check=True).stdout.decode()  # noqa: S603 - ours


def read(pdf: bytes, *options: str) -> str:
    """The text of a PDF, with runs of white space as one space."""
    return " ".join(poppler_says("pdftotext", pdf, "-layout", *options).split())


def named(name: str) -> InvoiceDocument:
    return replace(INVOICE, lines=(replace(INVOICE.lines[0], name=name),))


def long_invoice(lines: int) -> InvoiceDocument:
    return replace(INVOICE, lines=tuple(replace(INVOICE.lines[0], name=f"web-{number}") for number in range(lines)))


@poppler
def test_everything_is_on_the_page() -> None:
    text = read(render_invoice(INVOICE))
    for words in (
        "Northwind Cloud Invoice",
        "IE1234567X",
        "Rua das Flores 7",
        "PT123456789",
        "Number INV-2026-000123",
        "1 February 2026",
        "Period January 2026",
        "11 $5.00 $0.08",
        "744 $20.00 $20.00",
        "large machine · a full month",
        "Net $20.08",
        "Tax 21 % $4.22",
        "Total in USD $24.30",
        f"Paid: voucher 1 February 2026 {MINUS}$10.00",
        f"Paid: Visa •4242 3 February 2026 {MINUS}$14.30",
        "Paid in full $0.00",
        "672nd",
        "1 / 1",
    ):
        assert words in text.replace("1/1", "1 / 1")


@poppler
def test_what_is_not_given_is_not_said() -> None:
    bare = replace(
        INVOICE, period="", tax_percent="", tax="", payments=(), due="", notes=(), customer=Party(name="Ann")
    )
    text = read(render_invoice(bare))
    for word in ("Period", "Tax 21", "Net", "Paid", "Due", "PT1"):
        assert word not in text


@poppler
def test_an_open_invoice_says_what_is_due() -> None:
    text = read(render_invoice(replace(INVOICE, payments=(), due="$24.30", settled=False)))
    assert "Due $24.30" in text
    assert "Paid" not in text


@poppler
@pytest.mark.parametrize(("kind", "title"), [("debit note", "Debit note"), ("credit note", "Credit note")])
def test_the_other_documents_say_what_they_are(kind: str, title: str) -> None:
    line = Line(name="Top-up of 3 January", item="reversed by the bank", amount="$5.00")
    credit = Settled(source="CN-2026-000001", amount="$1.00", on=date(2026, 2, 2))
    text = read(render_invoice(replace(INVOICE, kind=kind, lines=(line,), credits=(credit,))))  # type: ignore[arg-type] # one of Kind
    assert f"{title} INV-2026-000123" in text
    assert "Top-up of 3 January $5.00" in text
    assert f"Credited: CN-2026-000001 2 February 2026 {MINUS}$1.00" in text


@poppler
@pytest.mark.parametrize(
    "name",
    ["#panic()", "*x*", '"', "\\", "$x$", "@ref", "<label>", "#import sys: *", "`raw`", "a // b", "= head", "- item"],
)
def test_a_name_is_never_markup(name: str) -> None:
    """Typeset as it is: no macro runs, no character is eaten."""
    assert name in read(render_invoice(named(name)))


@pytest.mark.parametrize(
    "name",
    [
        "بريد",
        "服务器",
        "🚀",
        "שרת",
        "เซิร์ฟเวอร์",
        "e\u0301",
        "\ue000",
        "\x00\x07",
        "\ud800",
        "\u202eabc",
        "\uffff",
        "a\tb\nc",
    ],
)
def test_no_name_stops_an_invoice(name: str) -> None:
    assert render_invoice(named(name)).startswith(b"%PDF")


@poppler
def test_a_long_name_stays_in_its_column() -> None:
    """It breaks, and hours and amount are where they are for every other line."""
    columns = []
    for name in ("web", "w" * 63):
        boxes = poppler_says("pdftotext", render_invoice(named(name)), "-bbox")
        columns.append([line.split('"')[1] for line in boxes.splitlines() if ">$0.08<" in line])
    assert columns[0]
    assert columns[0] == columns[1]


@poppler
def test_pages_are_counted_and_the_header_returns() -> None:
    pdf = render_invoice(long_invoice(60))
    pages = read(pdf).count("Deployment Hours Per month Amount")
    assert pages == int(poppler_says("pdfinfo", pdf).split("Pages:")[1].split()[0])
    assert pages > 2
    for page in range(1, pages + 1):
        assert f"{page}/{pages}" in read(pdf, "-f", str(page), "-l", str(page)).replace(" ", "")


@poppler
def test_the_document_is_archival_and_tagged() -> None:
    about = " ".join(poppler_says("pdfinfo", render_invoice(INVOICE)).split())
    assert "Title: Invoice INV-2026-000123" in about
    assert "Author: Northwind Cloud" in about
    assert "Tagged: yes" in about
    metadata = poppler_says("pdfinfo", render_invoice(INVOICE), "-meta")
    assert "<pdfaid:part>2</pdfaid:part>" in metadata
    assert "<pdfaid:conformance>A</pdfaid:conformance>" in metadata


def test_the_same_invoice_is_the_same_file() -> None:
    """The clock is not read: what was mailed can be made again."""
    assert render_invoice(INVOICE) == render_invoice(INVOICE)


def test_threads_share_one_press() -> None:
    documents = [long_invoice(lines) for lines in range(1, 9)]
    alone = [render_invoice(document) for document in documents]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(render_invoice, documents)) == alone


@poppler
def test_an_operator_may_bring_a_template(tmp_path: Path) -> None:
    template = tmp_path / "ours.typ"
    template.write_text("#let doc = json(bytes(sys.inputs.document))\nOurs: #doc.number")
    assert "Ours: INV-2026-000123" in read(render_invoice(INVOICE, template=template))


def test_a_broken_template_says_where(tmp_path: Path) -> None:
    template = tmp_path / "ours.typ"
    template.write_text("fine\n#nothing-of-this-name")
    with pytest.raises(TemplateError, match=r"unknown variable[\s\S]*ours\.typ:2"):
        render_invoice(INVOICE, template=template)
    with pytest.raises(TemplateError, match="no invoice template"):
        render_invoice(INVOICE, template=tmp_path / "missing.typ")


def test_a_template_reads_nothing_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("x")
    template = tmp_path / "templates" / "ours.typ"
    template.parent.mkdir()
    template.write_text('#read("../secret.txt")')
    with pytest.raises(TemplateError):
        render_invoice(INVOICE, template=template)


@poppler
def test_the_page_speaks_the_readers_language_and_runs_its_way() -> None:
    with i18n.speaking("ar"):
        arabic = replace(INVOICE, labels=documents._labels())
    pdf = render_readable(arabic, INVOICE)
    text = unicodedata.normalize("NFKC", read(pdf))
    if not typesetting_has_arabic():
        assert "Invoice" in text
        return
    assert "Invoice" not in text
    for wanted in ("فاتورة", "المبلغ", "INV-2026-000123", "$24.30", "1 Harbour Street"):
        assert wanted in text


def typesetting_has_arabic() -> bool:
    return any("Arab" in family or "DejaVu" in family for family in typesetting.fonts().families())


@poppler
def test_where_no_font_has_the_letters_the_other_language_is_printed() -> None:
    unknown = Labels(titles={"invoice": "\U000f0000", "debit note": "", "credit note": ""})
    assert "Paid in full" in read(render_readable(replace(INVOICE, labels=unknown), INVOICE))
