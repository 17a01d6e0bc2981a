"""Small pieces: what is computed for every order and invoice, and an invoice as PDF."""

import asyncio
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from benchmarks.report import Report, Row, best
from billing import metering, settlement
from billing.clock import Month
from billing.eligibility import Facts, may_deploy
from billing.money import Currency
from billing.runway import Runner
from billing.settlement import Due
from billing.terms import Terms
from bot import apart
from bot.invoice_pdf import InvoiceDocument, Line, Party, render_invoice

_NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
_TERMS = Terms(Currency.of("usd"))
_PDFS = 2_000
_STATIC = """
import time, typst
page = "#set page(paper: \\"a4\\")\\n" + "#table(columns: 5, " + "[a], [b], [c], [d], [e], " * 20 + ")"
compiler = typst.Compiler(font_paths=typst.Fonts())
times = []
for number in range(30):
    begun = time.process_time()
    compiler.compile(page.encode() + b"\\n// %d" % number, format="pdf")
    times.append(time.process_time() - begun)
print(sorted(times)[15])
"""


def measure(report: Report, folder: Path, scale: float) -> None:  # noqa: ARG001 as every part
    """Measure pure functions and documents."""
    for name, work in _pure().items():
        seconds = best(work, repeat=7, number=2_000) * 1e6
        report.add(Row(name, "one", f"{seconds:.1f} µs", must="≤ 20 µs", met=seconds <= 20))
    asyncio.run(_documents(report, max(600, int(_PDFS * scale))))


def _pure() -> dict[str, Callable[[], object]]:
    month, dues = Month.of(_NOW), [Due(number, 500 * number, _NOW) for number in (3, 1, 2)]
    facts = Facts(valid_card=False, credit_limit=20_000, voucher=10_000, balance=5_000, active_monthly=2_500)
    span = Runner("web", 500, ())

    def quote() -> object:
        rest = metering.cost(span.monthly, metering.started_hours(_NOW, month.end), _TERMS.currency)
        return may_deploy(facts, 500, rest, _TERMS)

    return {
        "a quote: may it be bought": quote,
        "plan of a settlement, three invoices": lambda: settlement.plan(dues, voucher=700, balance=900, minimum=50),
    }


async def _documents(report: Report, count: int) -> None:
    """Typeset many invoices as the product does, in the process beside, and look at the memory of both."""
    document = _document()
    times, sizes = [], []
    await apart.apart(_cost, document)
    for number in range(count):
        seconds, held = await apart.apart(_cost, document)
        times.append(seconds)
        if number >= 20:  # its fonts are there
            sizes.append(held)
    apart.close()
    static = await asyncio.to_thread(_static)
    each = statistics.median(times) * 1000
    early, most = statistics.median(sizes[:50]) / 1024, max(sizes) / 1024
    report.add(
        Row("an invoice as PDF", "20 lines", f"cpu {each:.1f} ms", f"cpu {static * 1000:.1f} ms, a static page",
            f"{each / static / 1000:.2f}", "≤ 20 ms", each <= 20),
        Row("its memory", f"{count:,} one after the other", f"{early:.0f} MB, at most {most:.0f} MB",
            must="flat", met=most <= early * 1.25),
    )  # fmt: skip


def _static() -> float:
    """Return the processor time of a page that never changes."""
    command = [sys.executable, "-c", _STATIC]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)  # noqa: S603 our own words


def _cost(document: InvoiceDocument) -> tuple[float, int]:
    """Typeset once; return the processor time, and the most memory that this process has had, in KB."""
    begun = time.process_time()
    render_invoice(document)
    return time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _document() -> InvoiceDocument:
    lines = tuple(
        Line(name=f"web-{number}", item="small machine", hours=744, monthly_price="$5.00", amount="$5.00", capped=True)
        for number in range(20)
    )
    return InvoiceDocument(
        kind="invoice", number="INV-2026-000001", issued=date(2026, 2, 1), period="January 2026", currency="USD",
        seller=Party(name="Shop"), customer=Party(name="Ann"), lines=lines, net="$100.00", tax_percent="", tax="$0.00",
        total="$100.00", due="$100.00", settled=False,
    )  # fmt: skip
