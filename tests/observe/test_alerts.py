"""Alerts, dashboard and metrics: held by Prometheus' own tool, and by what the program really exports."""

import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from billing import outbox
from billing.clock import ManualClock
from billing.db import Database
from billing.models import SettlementWish
from bot.jobs import CADENCE
from bot.metrics import House
from bot.models import ChatUpdate
from tests.billing.builders import make_customer
from tests.flows.test_order import with_card
from tests.flows.world import World, open_world

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
OF_PROMETHEUS = {"up"}
KEYWORDS = {"sum", "by", "le", "rate", "increase", "delta", "histogram_quantile", "time", "max", "min", "on", "job"}

# alert -> series that must ring it, and series that must not; minutes after the start.
CASES: dict[str, tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]], str]] = {
    "VmbotDown": ([('up{job="vmbot"}', "0x10")], [('up{job="vmbot"}', "1x10")], "5m"),
    "VmbotUpdatesWait": (
        [('bot_queue_age_seconds{queue="updates"}', "90x10")],
        [('bot_queue_age_seconds{queue="updates"}', "5x10")],
        "5m",
    ),
    "VmbotAnswersSlow": (
        [('bot_answer_seconds_bucket{le="1"}', "0x40"), ('bot_answer_seconds_bucket{le="5"}', "0+10x40"),
         ('bot_answer_seconds_bucket{le="+Inf"}', "0+10x40")],
        [('bot_answer_seconds_bucket{le="1"}', "0+10x40"), ('bot_answer_seconds_bucket{le="5"}', "0+10x40"),
         ('bot_answer_seconds_bucket{le="+Inf"}', "0+10x40")],
        "30m",
    ),
    "VmbotMessagesWait": (
        [('bot_queue_age_seconds{queue="messages"}', "2000x30")],
        [('bot_queue_age_seconds{queue="messages"}', "600x30")],
        "20m",
    ),
    "VmbotMessagesParked": ([("bot_notices_parked", "1x90")], [("bot_notices_parked", "0x90")], "70m"),
    "VmbotEventsWait": (
        [('bot_queue_age_seconds{queue="events"}', "1000x20")],
        [('bot_queue_age_seconds{queue="events"}', "100x20")],
        "10m",
    ),
    "VmbotPaymentsUnknown": (
        [('bot_queue_age_seconds{queue="payments_unknown"}', "4000x20")],
        [('bot_queue_age_seconds{queue="payments_unknown"}', "300x20")],
        "10m",
    ),
    "VmbotMachinesWait": (
        [('bot_queue_age_seconds{queue="machines"}', "1000x20")],
        [('bot_queue_age_seconds{queue="machines"}', "60x20")],
        "10m",
    ),
    "VmbotDeploymentsFail": (
        [('bot_deployments{kind="vm",state="failed"}', "7x10 11x60")],
        [('bot_deployments{kind="vm",state="failed"}', "7x10 8x60")],
        "30m",
    ),
    "VmbotJobFails": ([('bot_job_failed{job="settle"}', "1x60")], [('bot_job_failed{job="settle"}', "0x60")], "40m"),
    "VmbotJobMissing": (
        [('bot_job_last_success_timestamp_seconds{job="meter"}', "0x300")],
        [('bot_job_last_success_timestamp_seconds{job="meter"}', "0+60x300")],
        "200m",
    ),
    "VmbotDailyJobMissing": (
        [('bot_job_last_success_timestamp_seconds{job="invoice"}', "0x1700")],
        [('bot_job_last_success_timestamp_seconds{job="meter"}', "0x1700")],
        "1600m",
    ),
    "VmbotErrors": (
        [('bot_log_messages_total{level="error"}', "0+1x30")],
        [('bot_log_messages_total{level="error"}', "3x30"), ('bot_log_messages_total{level="warning"}', "0+9x30")],
        "20m",
    ),
}  # fmt: skip


def promtool(*arguments: str, given: str | None = None) -> None:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is missing: apt-get install prometheus")
    result = subprocess.run(  # noqa: S603 Prometheus' own tool
        [found, *arguments], input=given, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def names(expression: str) -> set[str]:
    """Metrics that an expression asks for."""
    bare = re.sub(r'\{[^}]*\}|"[^"]*"|\[[^\]]*\]|\bby \([^)]*\)', " ", expression)
    return set(re.findall(r"[a-z_]{2,}(?![a-z_(])", re.sub(r"[a-z_]+\(", " (", bare))) - KEYWORDS


def rules() -> dict[str, str]:
    found = re.findall(r"- alert: (\w+)\n\s+expr: (.+)", ALERTS.read_text())
    return dict(found)


def test_the_rules_and_the_configuration_are_well_formed() -> None:
    promtool("check", "config", str(ALERTS.with_name("prometheus.yml")))


def test_each_alert_rings_when_it_should_and_only_then(tmp_path: Path) -> None:
    """In one run of Prometheus' own tests for rules: each alert against a bad and a good hour."""
    assert CASES.keys() == rules().keys()
    tests = [case for name in CASES for case in (rings(name, bad=True), rings(name, bad=False))]
    path = tmp_path / "tests.yml"  # JSON is YAML
    path.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    promtool("test", "rules", str(path))


def rings(name: str, *, bad: bool) -> dict[str, Any]:
    """A test of a rule: by its count, so that words may change."""
    worse, better, at = CASES[name]
    series = [{"series": metric, "values": values} for metric, values in (worse if bad else better)]
    asked = {"expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)', "eval_time": at}
    return {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [asked | {"exp_samples": [{"labels": "{}", "value": int(bad)}]}],
    }


def test_every_job_that_has_a_time_is_watched() -> None:
    watched = set(re.findall(r"[a-z]+", "|".join(re.findall(r'job=~"([a-z|]+)"', ALERTS.read_text()))))
    assert watched == set(CADENCE)


@pytest.fixture
async def world(tmp_path: Path, sqlite_url: str, clock: ManualClock) -> AsyncIterator[World]:
    async with open_world(tmp_path, sqlite_url, clock) as opened:
        yield opened


async def exported(world: World) -> tuple[str, dict[str, Any]]:
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"{world.url}/metrics")).text
    samples: dict[str, Any] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples[f"{sample.name}{sorted(sample.labels.items())}"] = sample.value
    return text, samples


def figure(samples: dict[str, Any], name: str, **labels: str) -> float:
    return float(samples[f"{name}{sorted(labels.items())}"])


async def test_metrics_answer_the_operators_questions(world: World) -> None:
    """After a story of which every figure is known; the format is held by promtool, where it is."""
    ann = await with_card(world, world.person(1, "Ann"))
    _, before = await exported(world)
    await ann.send("/deploy vm small web")
    await ann.wait_for_text("held until")
    await ann.press("Deploy web")
    await ann.wait_for_text("success")
    await world.move(timedelta(days=21, hours=12, minutes=11))
    await ann.wait_for_text("INV-2026-000001", "is paid")
    await world.move(timedelta(minutes=2))
    text, samples = await exported(world)
    promtool("check", "metrics", given=text)
    assert figure(samples, "bot_deployments", kind="vm", state="success") == 1
    assert figure(samples, "bot_customers") == 1
    assert figure(samples, "bot_documents_issued", series="INV") == 1
    assert figure(samples, "bot_invoices_open") == 0
    assert figure(samples, "bot_money_in_minor_units_total", source="card") == 384
    assert figure(samples, "bot_money_in_minor_units_total", source="voucher") == 0
    taps = "bot_answer_seconds_count"
    assert figure(samples, taps, kind="tap") >= before.get(f"{taps}{[('kind', 'tap')]}", 0) + 1
    assert figure(samples, "bot_queue_length", queue="updates") == 0
    assert figure(samples, "bot_job_failed", job="invoice") == 0
    succeeded = figure(samples, "bot_job_last_success_timestamp_seconds", job="invoice")
    assert 0 <= world.clock.now().timestamp() - succeeded <= 3 * 60
    wanted = {name for expression in rules().values() for name in names(expression)}
    assert wanted - OF_PROMETHEUS - {key.partition("[")[0] for key in samples} == set()


async def test_what_waits_is_seen_with_its_age(sqlite_database: Database, clock: ManualClock) -> None:
    """A message, an update and an event that nobody takes up."""
    now = clock.now()
    async with sqlite_database.transaction() as session:
        customer = await make_customer(session)
        await outbox.tell(session, customer, "voucher_rejected", {"amount": 1}, now=now - timedelta(minutes=5))
        session.add(ChatUpdate(id=1, payload={}, received_at=now - timedelta(seconds=7)))
        session.add(
            SettlementWish(customer_id=customer.id, cards=False, wanted_at=now + timedelta(hours=1), reason="x")
        )
    registry = CollectorRegistry()
    async with sqlite_database.read() as session:
        await House().collect(session, registry, now=now)

    def queue(name: str) -> tuple[float | None, float | None]:
        labels = {"queue": name}
        length = registry.get_sample_value("bot_queue_length", labels)
        return length, registry.get_sample_value("bot_queue_age_seconds", labels)

    assert queue("messages") == (1, 300)
    assert queue("updates") == (1, 7)
    assert queue("settlements") == (0, 0)
    assert queue("payments_unknown") == (0, 0)


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    board = json.loads(DASHBOARD.read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    source = (ROOT / "bot/metrics.py").read_text() + (ROOT / "bot/process_metrics.py").read_text()
    known = set(re.findall(r'"(bot_\w+)"', source))
    wanted = {re.sub("_(bucket|count|sum)$", "", name) for expression in asked for name in names(expression)}
    assert len(asked) >= 12
    assert wanted - OF_PROMETHEUS - known == set()
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    boxes = [[panel["gridPos"][key] for key in "xywh"] for panel in board["panels"]]
    cells = [(x + i, y + j) for x, y, w, h in boxes for i in range(w) for j in range(h)]
    assert len(cells) == len(set(cells))  # no panel lies on another
