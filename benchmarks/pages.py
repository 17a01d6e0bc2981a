"""Lists, statistics and the start of the program, on a shop of a million deployments that has invoiced a month."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import httpx
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks import seed, sets, taps
from benchmarks.report import Report, Row
from benchmarks.stores import Sqlite
from billing import accounts, all_invoices, audit, invoices, statistics
from billing import month_run as months
from billing.db import Database
from billing.money import Currency
from billing.terms import Terms
from cloud import deployments

_PAGE = 11
_ISSUED_AT = seed.NOW.replace(month=2, day=5)
_TERMS = Terms(Currency.of("usd"))
Question = Callable[[AsyncSession], Awaitable[object]]


def measure(report: Report, folder: Path, scale: float) -> None:
    """Measure every list that a screen shows, and the start."""
    size = int(sets.SIZE * scale)
    store = Sqlite(folder)
    store.drop_if_there("pages")
    store.drop_if_there("none")
    asyncio.run(seed.shop(store.url("pages"), size))
    asyncio.run(_lists(report, store.url("pages"), size))
    empty, large = _start(store, "none", folder), _start(store, "pages", folder)
    report.add(
        Row("start to first answer", f"{size:,} deployments", f"{large:.1f} s", f"{empty:.1f} s, no database yet",
            must="≤ 3 s", met=large <= 3)
    )  # fmt: skip
    store.drop_if_there("pages")
    store.drop_if_there("none")


async def _lists(report: Report, url: str, size: int) -> None:
    database = Database(url)
    await months.issue_due(database, now=_ISSUED_AT, terms=_TERMS)
    async with database.read() as session:
        customer = await accounts.get(session, 7)
    last = statistics.last_months(_ISSUED_AT, 6)
    every, unpaid = all_invoices.Filter(), all_invoices.Filter(unpaid=True)
    questions: dict[str, Question] = {
        "a customer's machines": lambda session: deployments.listed(session, customer),
        "a customer's invoices": lambda session: invoices.page(session, customer),
        "all deployments": lambda session: deployments.page(session, limit=_PAGE),
        "all deployments, page 100": lambda session: deployments.page(session, offset=1_000, limit=_PAGE),
        "how many deployments in which state": deployments.counts,
        "all invoices": lambda session: all_invoices.page(session, every, offset=0, limit=_PAGE),
        "unpaid invoices": lambda session: all_invoices.page(session, unpaid, offset=0, limit=_PAGE),
        "sums of all invoices": lambda session: all_invoices.sums(session, every),
        "all customers": lambda session: accounts.search(session, "", offset=0, limit=_PAGE),
        "customers by a part of their name": lambda session: accounts.search(session, "mer 77", offset=0, limit=_PAGE),
        "what was done": lambda session: audit.page(session, offset=0, limit=_PAGE),
        "what matters now": statistics.now,
        "statistics by month": lambda session: statistics.by_month(session, last),
    }
    for name, question in questions.items():
        took = [await _once(database, question) for _ in range(5)]
        cpu, wall = (min(times) * 1000 for times in zip(*took, strict=True))
        report.add(
            Row(
                f"list: {name}",
                f"{size:,} deployments",
                f"{wall:.1f} ms (cpu {cpu:.1f})",
                must="≤ 50 ms",
                met=cpu <= 50,
            )
        )
    await database.close()


async def _once(database: Database, question: Question) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    async with database.read() as session:
        await question(session)
    return time.process_time() - cpu, time.perf_counter() - wall


def _start(store: Sqlite, name: str, folder: Path) -> float:
    """Return the seconds from the program's start to its first answer on the web."""
    with taps.telegram() as url:
        environment = {**os.environ, **taps.settings(store, folder, url), "DATABASE_URL": store.url(name)}
        environment["PYTHONPATH"] = str(Path(__file__).parents[1])
        command, quiet = [sys.executable, "-m", "bot", "run"], subprocess.DEVNULL
        begun = time.perf_counter()
        with subprocess.Popen(command, env=environment, cwd=folder, stdout=quiet, stderr=quiet) as process:  # noqa: S603 our own words
            try:
                _first_answer(f"http://{environment['LISTEN']}/healthz")
                return time.perf_counter() - begun
            finally:
                process.terminate()


def _first_answer(url: str, patience: timedelta = timedelta(minutes=2)) -> None:
    end = time.monotonic() + patience.total_seconds()
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < end:
            try:
                if client.get(url).is_success:
                    return
            except httpx.HTTPError:
                pass  # nobody listens yet
            time.sleep(0.02)
    raise TimeoutError(url)
