"""Names of deployments (B2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.clock import ManualClock
from billing.db import Database
from billing.models import Kind
from cloud import deployments, names
from cloud.deployments import Confirmed
from cloud.models import State
from cloud.names import BadName, Fault
from tests.cloud.world import K8S, can_deploy, order

EXAMPLE = "a" * 63


@pytest.mark.parametrize("text", ["web", "web-1", "1", "a--b", EXAMPLE, "  web "])
def test_host_names_are_taken(text: str) -> None:
    assert names.check(text) == text.strip()


@pytest.mark.parametrize(
    ("text", "fault", "suggestion"),
    [
        ("", Fault.EMPTY, ""),
        ("   ", Fault.EMPTY, ""),
        (EXAMPLE + "a", Fault.TOO_LONG, EXAMPLE),
        ("Web Server", Fault.CHARACTERS, "web-server"),
        ("my_vm", Fault.CHARACTERS, "my-vm"),
        ("web.example.com", Fault.CHARACTERS, "web-example-com"),
        ("-web", Fault.HYPHENS, "web"),
        ("web-", Fault.HYPHENS, "web"),
        ("-", Fault.HYPHENS, ""),
        ("خادم", Fault.CHARACTERS, ""),
        ("web\nroot: x", Fault.CHARACTERS, "web-root-x"),
        ("\N{FULLWIDTH LATIN SMALL LETTER W}eb", Fault.CHARACTERS, "eb"),
        ("web\N{COMBINING ACUTE ACCENT}", Fault.CHARACTERS, "web"),
    ],
)
def test_other_names_are_refused_with_a_reason_and_the_nearest_good_one(
    text: str, fault: Fault, suggestion: str
) -> None:
    with pytest.raises(BadName) as refused:
        names.check(text)
    assert (refused.value.fault, refused.value.suggestion) == (fault, suggestion)


@given(st.text())
def test_whatever_is_typed_ends_in_a_host_name_or_a_reason(text: str) -> None:
    try:
        name = names.check(text)
    except BadName as refused:
        name = refused.suggestion
    if name:
        assert names.check(name) == name
        assert len(name) <= 63
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@given(st.text("ab-", min_size=1, max_size=63), st.sampled_from(["control", "worker-10", "2"]))
def test_an_ending_fits_always(base: str, ending: str) -> None:
    name = names.joined("a" + base[1:], ending)
    assert len(name) <= 63
    assert name.endswith(f"-{ending}")


async def test_a_name_is_taken_per_customer_and_kind_while_it_lives(database: Database, clock: ManualClock) -> None:
    now = clock.now()
    async with database.transaction() as session:
        ann, bob = await can_deploy(session, now), await can_deploy(session, now)
        made = await order(session, ann, now, name="web")
        assert isinstance(made, Confirmed)
        assert await names.is_taken(session, ann, Kind.VM, "web")
        assert not await names.is_taken(session, ann, Kind.K8S, "web")
        assert not await names.is_taken(session, bob, Kind.VM, "web")
        assert isinstance(await order(session, ann, now, name="web", item=K8S, workers=1), Confirmed)
        assert isinstance(await order(session, bob, now, name="web"), Confirmed)

        await deployments.delete(session, ann, made.deployment.id, now=now)
        assert await names.is_taken(session, ann, Kind.VM, "web")
        made.deployment.state = State.DELETED
        await session.flush()
        assert not await names.is_taken(session, ann, Kind.VM, "web")


async def test_suggestions_are_free(sqlite_database: Database, clock: ManualClock) -> None:
    now = clock.now()
    async with sqlite_database.transaction() as session:
        customer = await can_deploy(session, now)
        assert await names.suggest(session, customer, Kind.VM) == "vm-1"
        assert await names.suggest(session, customer, Kind.VM, "web") == "web"
        for name in ("web", "web-2", "vm-1", "web-4", "x" * 63):
            await order(session, customer, now, name=name)
        assert await names.suggest(session, customer, Kind.VM, "web") == "web-3"
        assert await names.suggest(session, customer, Kind.VM, "web-2") == "web-3"
        assert await names.suggest(session, customer, Kind.VM) == "vm-2"
        assert await names.suggest(session, customer, Kind.VM, "x" * 63) == "x" * 61 + "-2"
