"""The documents hold: links, settings, jobs, metrics, commands, events, test names, figures."""

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from apscheduler.triggers.base import BaseTrigger
from stripe.params import WebhookEndpointCreateParams

from billing import dunning, metering, settlement
from billing.gateway import Gateway
from billing.models import AccountKind, EventKind
from billing.money import Currency
from billing.settlement import Due
from billing.stripe_shapes import EVENTS, event_about
from billing.terms import Terms
from bot.__main__ import JOBS
from bot.everything import FEATURES
from bot.jobs import CADENCE
from cloud.sizes import SIZES

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
MADE_UP = {"bot/features/uptime.py", "bot/views/uptime.py", "/uptime", "bot/locale"}
"""What the example of a new feature, and the first translation, would make."""
NOT_SETTINGS = {"POSTGRES_PASSWORD", "RIGHT_TO_LEFT", "FORWARDED_ALLOW_IPS"}
"""Read by compose.yaml; a name in the code; read by the web server's library."""
USD = Currency.of("usd")


each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def spans(text: str) -> set[str]:
    """Code within lines."""
    return set(re.findall(r"`([^`\n]+)`", without_blocks(text)))


def without_blocks(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[str]:
    """Code between fences."""
    return re.findall(r"^ *```\w*\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)


def rows(text: str, heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, without its head."""
    below = f"\n{text}".partition(f"\n{heading}\n")[2]
    assert below, f"no heading {heading}"
    lines = [line for line in below.split("\n\n|", 1)[1].split("\n\n", 1)[0].splitlines()[2:] if line]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def anchors(path: Path) -> set[str]:
    """Names of a page's headings as they are linked to."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(path.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- links and names


@each_page
def test_links_resolve(path: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(path.read_text())):
        if re.match(r"https?:|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


def test_every_page_is_in_the_site() -> None:
    """What `make site` would stop at: a page that its list of pages has not, or one that is not there."""
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    pages = {str(path.relative_to(ROOT / "docs")) for path in PAGES if path.is_relative_to(ROOT / "docs")}
    decisions = {name for name in pages if re.fullmatch(r"decisions/0.*", name)}
    assert set(re.findall(r"[\w/-]+\.md", nav)) == pages - decisions


@each_page
def test_files_that_are_named_exist(path: Path) -> None:
    wanted = {
        span
        for span in spans(path.read_text())
        if re.match(r"(alembic|benchmarks|billing|bot|cloud|deploy|docs|tests)/[\w/.*-]*$", span)
        and not re.search(r"[A-Z]{3}", span)
    }
    assert [name for name in sorted(wanted - MADE_UP) if not any(ROOT.glob(name.rstrip("/")))] == []


@cache
def known_tests() -> frozenset[str]:
    found = (re.findall(r"def (test_\w+)", file.read_text()) for file in (ROOT / "tests").rglob("*.py"))
    return frozenset(name for names in found for name in names)


@each_page
def test_tests_that_are_named_exist(path: Path) -> None:
    assert {span for span in spans(path.read_text()) if re.fullmatch(r"test_\w+", span)} - known_tests() == set()


def test_every_page_is_in_the_index() -> None:
    index = page("README.md")
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f"({path.name})" not in index] == ["README.md"]


# --- commands


@each_page
def test_commands_of_the_program_exist(path: Path) -> None:
    text = path.read_text()
    code = "\n".join([*blocks(text), *spans(text)])
    commands = re.findall(r'add_parser\(\s*"(\w+)"', (ROOT / "bot/__main__.py").read_text())
    for command, argument in re.findall(r"python -m bot(?:[ ]+(\w+))?(?:[ ]+(\w+))?", code):
        assert command in {*commands, ""}, command
        assert command != "job" or argument in {*JOBS, "NAME"}, argument
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|\s)make ([a-z-]+)", "\n".join(["", *blocks(text), *spans(text)]))) <= targets


@each_page
def test_commands_of_the_chat_and_endpoints_exist(path: Path) -> None:
    commands = {f"/{route.key}" for feature in FEATURES for route in feature.handlers() if route.on == "command"}
    endpoints = set(re.findall(r'Route\("(/[\w/]+)"', (ROOT / "bot/web/routes.py").read_text()))
    elsewhere = {"/newbot", "/token", "/data", "/tmp", "/payments"}  # noqa: S108 a word in a page
    revoke_of_botfather = {"/revoke"}
    named = {span.split()[0] for span in spans(path.read_text()) if re.match(r"/[a-z]+(?: |$)", span)}
    assert named - commands - endpoints - elsewhere - revoke_of_botfather - MADE_UP == set()


# --- settings, jobs, metrics


def examples() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z0-9_]+=", line))


def test_settings_and_their_defaults_are_those_of_the_example() -> None:
    assert {name: default for name, default, _ in rows(page("operate.md"), "## Settings")} == examples()


@each_page
def test_settings_that_are_named_exist(path: Path) -> None:
    named = {
        match[1] for span in spans(path.read_text()) if (match := re.match(r"([A-Z0-9]+(?:_[A-Z0-9]+)+)(?:=|$)", span))
    }
    assert named - set(examples()) - NOT_SETTINGS == set()


def in_words(trigger: BaseTrigger | None) -> str:
    if trigger is None:
        return "all the time"
    fields = {field.name: str(field) for field in trigger.fields}
    assert {fields["day"], fields["month"], fields["day_of_week"], fields["second"]} == {"*", "0"}
    minute = f"{int(fields['minute']):02}"
    return f"every hour, minute {minute}" if fields["hour"] == "*" else f"daily {int(fields['hour']):02}:{minute}"


def test_jobs_and_their_times_are_those_of_the_clockwork() -> None:
    told = {name: when for name, when, _ in rows(page("operate.md"), "## Jobs")}
    assert told == {name: in_words(CADENCE.get(name)) for name in JOBS}


def test_metrics_are_those_of_the_program() -> None:
    sources = (ROOT / "bot" / name for name in ("metrics.py", "process_metrics.py"))
    exported = {name for source in sources for name in re.findall(r'"(bot_\w+)"', source.read_text())}
    assert {name for name, *_ in rows(page("operate.md"), "## Watching")} == exported


# --- what others define


def test_events_are_ones_that_stripe_has_and_cover_all_that_is_handled() -> None:
    told = [name for name, _ in rows(page("getting-started.md"), "### The webhook")]
    hints = str(WebhookEndpointCreateParams.__annotations__["enabled_events"])
    kinds = {event_about({"type": name, "data": {"object": {"id": "x"}}})[0] for name in told}
    assert [name for name in told if f"'{name}'" not in hints and f'"{name}"' not in hints] == []
    assert kinds == set(EventKind) - {EventKind.OTHER}
    assert told == list(EVENTS)


def test_the_calls_of_a_gateway_are_all_named() -> None:
    told = page("payments.md").partition("### What a second gateway has to bring")[2].partition("Then:")[0]
    calls = {name for name in vars(Gateway) if not name.startswith("_")} - {"minimum"}
    assert spans(told) == calls


def test_sizes_are_those_that_are_sold() -> None:
    told = rows(page("compute.md"), "# Compute")
    sold = [
        [name, str(size.vcpus), f"{size.memory_mb // 1024} GB", f"{size.disk_gb} GB"] for name, size in SIZES.items()
    ]
    assert told == sold


# --- worked examples


def money(amount: int) -> str:
    return f"${amount // 100}.{amount % 100:02}" if amount else ""


def test_hours_cost_what_the_page_says() -> None:
    for hours, *told in rows(page("money.md"), "## What a machine costs"):
        assert told == [money(metering.cost(monthly, int(hours), USD)) for monthly in (500, 1000, 2000)]


def test_the_waterfall_runs_as_the_page_says() -> None:
    dues = [Due(1, 900, at(2)), Due(2, 500, at(3)), Due(3, 500, at(4))]
    plan = settlement.plan(dues, voucher=300, balance=400, minimum=Terms(USD).card_minimum)

    def paid(invoice: int) -> Iterator[int]:
        for source in (AccountKind.VOUCHER, AccountKind.BALANCE):
            yield sum(one.amount for one in plan.funds if (one.invoice_id, one.source) == (invoice, source))
        yield sum(part.amount for charge in plan.charges for part in charge if part.invoice_id == invoice)

    told = [cells for _, *cells in rows(page("money.md"), "## How invoices are paid")]
    assert told == [[money(amount) for amount in paid(invoice)] for invoice in (2, 3, 1)]
    joined = settlement.plan(
        [Due(1, 8, at(2)), Due(2, 30, at(3)), Due(3, 500, at(4))], voucher=0, balance=0, minimum=50
    )
    assert [sum(part.amount for part in charge) for charge in joined.charges] == [538]
    by_hand = settlement.split([Due(1, 520, at(2))], voucher=300, balance=200, by_card=True, minimum=50)
    assert [one.amount for one in by_hand.funds] == [300, 170]
    assert by_hand.by_card == 50


def test_the_calendar_of_the_unpaid_is_as_the_page_says() -> None:
    standing = dunning.Standing(1, (dunning.Open(1, "INV-2026-000001", 900, at(2)),), active=True)
    days = [cells[0] for cells in rows(page("money.md"), "## When nobody pays")]
    terms = Terms(USD)
    assert days[0] == "1 February"
    assert days[-1] == f"{dunning.deletion_day(standing, terms):%-d %B}"
    purposes = {day: reminder_of(standing, day, terms) for day in days[2:-1]}
    assert purposes == {"24 April": {dunning.Purpose.WEEK_BEFORE}, "30 April": {dunning.Purpose.DAY_BEFORE}}


def reminder_of(standing: dunning.Standing, day: str, terms: Terms) -> Iterable[dunning.Purpose]:
    """Purposes of a day's reminder besides the weekly one."""
    now = datetime.strptime(f"{day} 2026 09:00+0000", "%d %B %Y %H:%M%z")
    reminder = dunning.next_reminder(standing, now, terms)
    assert reminder is not None
    return reminder.purposes - {dunning.Purpose.REGULAR}


def at(month: int) -> datetime:
    return datetime(2026, month, 1, 0, 10, tzinfo=UTC)


# --- commands that can be run here


def test_the_backup_of_sqlite_is_whole(tmp_path: Path) -> None:
    """The page's command, on a database that is open and has its last words in the journal."""
    if shutil.which("sqlite3") is None:
        pytest.skip("the sqlite3 command is missing: apt-get install sqlite3")
    command = next(line for block in blocks(page("operate.md")) for line in block.splitlines() if ".backup" in line)
    (tmp_path / "data").mkdir()
    with closing(sqlite3.connect(tmp_path / "data" / "vmbot.sqlite3", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE words (word TEXT)")
        database.execute("INSERT INTO words VALUES ('kept')")
        subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, check=True)  # noqa: S603 a command of our own page
    with closing(sqlite3.connect(tmp_path / "before-upgrade.sqlite3")) as copy:
        assert copy.execute("SELECT word FROM words").fetchall() == [("kept",)]
