"""The answer to a tap: the product beside bots that only echo, behind the same stand-in, in the same run."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from benchmarks import seed
from benchmarks.bare import TOKEN
from benchmarks.report import Report, Row, percentile
from benchmarks.stores import Sqlite
from billing.db import Database
from billing.models import JobRun, Quote
from bot.jobs import CADENCE
from bot.views.deploy import Confirm

_AIOGRAM = os.environ.get("AIOGRAM_PYTHON", "")
"""Interpreter of an environment that has aiogram, which wants an older pydantic than ours: never in `.venv`."""
_ROOT = Path(__file__).parents[1]
_PEOPLE = (1, 50, 500)
_DEPLOYMENTS = 20_000
_TAPS = 2_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a bot answered: updates a second, processor time of its process for each, and latencies in seconds."""

    rate: float
    cpu: float
    latencies: list[float]


@dataclass(frozen=True, slots=True)
class _Bot:
    name: str
    command: list[str]
    environment: dict[str, str]


def measure(report: Report, folder: Path, scale: float) -> None:
    """Measure all bots in turn, for one, 50 and 500 people."""
    seconds = max(2.0, 6.0 * scale)
    store = Sqlite(folder)
    quotes = asyncio.run(_shop(store, int(_TAPS * max(scale, 0.1))))
    with telegram() as url:
        bare = _Bot("python-telegram-bot, bare", [sys.executable, "-m", "benchmarks.bare", "ptb", url], {})
        aiogram = _Bot("aiogram, bare", [_AIOGRAM, "-m", "benchmarks.bare", "aiogram", url], {})
        product = _Bot("product", [sys.executable, "-m", "bot"], settings(store, folder, url))
        floors: dict[int, Pace] = {}
        with _running(bare, url) as pid:
            for people in _PEOPLE:
                floors[people] = _go(url, pid, people, ["/vms"], seconds)
        ours = _Bot("with our transport", [sys.executable, "-m", "benchmarks.bare", "ours", url], {})
        with _running(ours, url) as pid:
            report.add(
                Row(
                    "an echo: our transport beside its own",
                    "50 people",
                    _said(_go(url, pid, 50, ["/vms"], seconds)),
                    _said(floors[50]),
                )
            )
        if _AIOGRAM:
            with _running(aiogram, url) as pid:
                others = {people: _go(url, pid, people, ["/vms"], seconds) for people in _PEOPLE}
            for people, pace in others.items():
                report.add(Row("an echo: aiogram beside it", f"{people} people", _said(pace), _said(floors[people])))
        with _running(product, url) as pid:
            for command in ("/vms", "/balance"):
                for people in _PEOPLE:
                    report.add(_row(command, people, _go(url, pid, people, [command], seconds), floors[people], 1.0))
            steady = _go(url, pid, 50, ["/vms", "/balance"], seconds, rate=200)
            worst = percentile(steady.latencies, 0.99) * 1000
            report.add(
                Row("200 updates/s", "50 people", f"p50 {percentile(steady.latencies, 0.5) * 1000:.0f} ms, "
                    f"p99 {worst:.0f} ms", must="p99 < 50 ms", met=worst < 50)
            )  # fmt: skip
            taps = [Confirm(quote_id=quote).pack() for quote in quotes]
            confirmed = _go(url, pid, 50, taps, 60, taps=True)
            report.add(_row("a deploy confirmed", 50, confirmed, floors[50], 0.6))


def _row(work: str, people: int, pace: Pace, floor: Pace, least: float) -> Row:
    wall, cpu = pace.rate / floor.rate, floor.cpu / pace.cpu
    return Row(
        f"answer to a tap: {work}", f"{people} people", _said(pace), _said(floor), f"{wall:.2f} (cpu {cpu:.2f})",
        f"≥ {least} × the bare bot", cpu >= least,
    )  # fmt: skip


def _said(pace: Pace) -> str:
    p99 = percentile(pace.latencies, 0.99) * 1000
    return f"{pace.rate:,.0f}/s (cpu {pace.cpu * 1000:.2f} ms), p99 {p99:.0f} ms"


def _go(
    url: str, pid: int, people: int, texts: list[str], seconds: float, *, rate: float = 0, taps: bool = False
) -> Pace:
    # Buttons are each somebody's own: those of the first fifty, in turn.
    crowd = 50 if taps else _DEPLOYMENTS // seed.PER_CUSTOMER
    told = {"people": people, "crowd": crowd, "texts": texts, "seconds": seconds, "rate": rate, "taps": taps}
    before = _cpu(pid)
    with httpx.Client(trust_env=False, timeout=300) as client:
        found: dict[str, Any] = client.post(f"{url}/go", json=told).json()
    used = _cpu(pid) - before
    assert found["answers"], "nothing was answered"
    return Pace(found["answers"] / found["seconds"], used / found["answers"], found["latencies"])


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _shop(store: Sqlite, quotes: int) -> list[int]:
    """Make a shop in which no job is due for an hour, with offers to confirm, each person's in turn."""
    store.drop_if_there("chat")
    await seed.shop(store.url("chat"), _DEPLOYMENTS, funds=1_000_000)
    database = Database(store.url("chat"))
    async with database.transaction() as session:
        session.add_all(JobRun(name=name, tick_at=seed.NOW, finished_at=seed.NOW) for name in CADENCE)
        rows = [
            Quote(customer_id=place % 50 + 1, item="vm-small", name=f"new-{place}", workers=0, control_monthly=500,
                  worker_monthly=0, created_at=seed.NOW, expires_at=seed.NOW.replace(hour=23))
            for place in range(quotes)
        ]  # fmt: skip
        session.add_all(rows)
        await session.flush()
        ids = [row.id for row in rows]
        await session.execute(sa.text("UPDATE customers SET credit_limit = 1000000000"))
        # Seen just now for as long as this lasts: no cloud has them, and a thousand notices about that are other work.
        await session.execute(sa.text("UPDATE nodes SET seen_at = seen_at + 31536000"))
    await database.close()
    return ids


def settings(store: Sqlite, folder: Path, url: str) -> dict[str, str]:
    """Return the product's environment, at the time at which the shop stands still."""
    offset = folder / "clock"
    offset.write_text(str(int(seed.NOW.timestamp() - time.time())))
    return {
        "BOT_TOKEN": TOKEN,
        "TELEGRAM_API_URL": url,
        "STRIPE_API_KEY": "sk_test_none",
        "STRIPE_API_URL": "http://127.0.0.1:9",
        "LISTEN": f"127.0.0.1:{_free_port()}",
        "DATABASE_URL": store.url("chat"),
        "DATA_DIR": str(folder),
        "ADMIN_IDS": "1",
        "COMPUTE": "simulated",
        "SELLER_NAME": "Shop",
        "CLOCK_FILE": str(offset),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def telegram() -> Iterator[str]:
    """Run a Telegram that costs nearly nothing; gives its address."""
    command = [sys.executable, "-m", "benchmarks.telegram"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:  # noqa: S603 our own words
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@contextlib.contextmanager
def _running(bot: _Bot, url: str) -> Iterator[int]:
    """Run a bot until it answers, and then as long as the context lasts; gives its process id."""
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), **bot.environment}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(bot.command, env=environment, cwd="/tmp", stdout=quiet, stderr=quiet) as process:  # noqa: S603, S108 our own words
        try:
            _go(url, process.pid, 1, ["/vms"], 0.1)  # until it answers
            _go(url, process.pid, 50, ["/vms"], 2)
            yield process.pid
        finally:
            process.terminate()
