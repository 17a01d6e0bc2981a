"""Addresses, billing details, budgets and closing, on both databases (C5, rules.md 5.3, 7.3)."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from billing import accounts, budgets, closing, contacts, metering, profile
from billing.clock import HOUR
from billing.closing import NotYet
from billing.contacts import BadAddress, DeadLink, TooManyMails
from billing.db import Database
from billing.models import Notice
from billing.money import Currency
from billing.profile import Field, TooLong
from billing.terms import Terms
from tests.billing.builders import at, make_customer, ran

TERMS = Terms(Currency.of("usd"))
NOW = at("2026-01-10 12:00")


# --- addresses


@pytest.mark.parametrize(
    "text", ["a@b.c", " Ann.O'Neil+x@mail.example.com ", "mailto:ann@example.com", "ä@bücher.example"]
)
async def test_an_address_is_taken_as_typed(sqlite_database: Database, text: str) -> None:
    async with sqlite_database.transaction() as session:
        customer = await make_customer(session)
        address, token = await contacts.request_email(session, customer, text, now=NOW)
        assert address == text.strip().removeprefix("mailto:")
        assert await contacts.waiting_email(session, customer, now=NOW) == address
        assert await contacts.confirm_email(session, customer, token, now=NOW) == address
        assert (await accounts.get(session, customer.id)).email == address
        assert await contacts.waiting_email(session, customer, now=NOW) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "a@b",
        "a@b..c",
        "a@-b.c",
        "a@b.c, d@e.f",
        "a@b.c\nBcc: d@e.f",
        "a b@c.d",
        "a@b_c.d",
        "a@" + "b" * 260 + ".c",
    ],
)
async def test_what_is_no_address_is_refused(sqlite_database: Database, text: str) -> None:
    async with sqlite_database.transaction() as session:
        customer = await make_customer(session)
        with pytest.raises(BadAddress):
            await contacts.request_email(session, customer, text, now=NOW)


async def test_links_end_and_are_bounded(database: Database) -> None:
    async with database.transaction() as session:
        ann, bob = await make_customer(session), await make_customer(session)
        _, old = await contacts.request_email(session, ann, "a@b.c", now=NOW)
        _, token = await contacts.request_email(session, ann, "d@e.f", now=NOW)
        for who, what, when in (
            (ann, old, NOW),
            (bob, token, NOW),
            (ann, token + "x", NOW),
            (ann, "", NOW),
            (ann, token, NOW + contacts.VALID_FOR),
        ):
            with pytest.raises(DeadLink):
                await contacts.confirm_email(session, who, what, now=when)
        for _ in range(contacts.MAILS_A_DAY - 2):
            await contacts.request_email(session, ann, "a@b.c", now=NOW)
        with pytest.raises(TooManyMails):
            await contacts.request_email(session, ann, "a@b.c", now=NOW + timedelta(hours=23))
        await contacts.request_email(session, bob, "a@b.c", now=NOW)


# --- billing details


@given(st.text(max_size=600), st.sampled_from(Field))
def test_cleaned_text_prints_on_its_lines(text: str, field: Field) -> None:
    lines = 8 if field is Field.ADDRESS else 1
    cleaned = profile.clean(text, lines=lines)
    assert all(line and line.isprintable() and line == line.strip() for line in cleaned.split("\n") if cleaned)
    assert lines > 1 or "\n" not in cleaned
    assert profile.clean(cleaned, lines=lines) == cleaned


async def test_details_fit_the_page(database: Database) -> None:
    async with database.transaction() as session:
        customer = await make_customer(session)
        for field, most in profile.MOST.items():
            await profile.set_field(session, customer, field, "x" * most)
            with pytest.raises(TooLong):
                await profile.set_field(session, customer, field, "x" * (most + 1))
        with pytest.raises(TooLong):
            await profile.set_field(session, customer, Field.ADDRESS, "\n".join("123456789"))
        customer = await profile.set_field(session, customer, Field.ADDRESS, "1 Road\r\n\r\n Town ")
        assert customer.billing_address == "1 Road\nTown"


# --- budget


@given(st.integers(1, 10**9), st.integers(0, 2 * 10**9))
def test_a_step_is_reached_when_its_share_is_spent(budget: int, spent: int) -> None:
    share = spent * 100 / budget
    assert budgets.reached(spent, budget) == (100 if share >= 100 else 80 if share >= 80 else 0)


async def test_each_step_is_told_once_a_month(database: Database) -> None:
    """500 a month from the 10th at 12:00: 80 % of 200 after 215 hours, 200 after 269."""
    async with database.transaction() as session:
        ann = await make_customer(session, budget=200, email="ann@example.com")
        other = await make_customer(session)
        for customer in (ann, other):
            await ran(session, customer, "2026-01-10 12:00")

    async def told(hours: int) -> list[tuple[int, int]]:
        now = NOW + hours * HOUR
        for _ in range(2):
            await metering.catch_up(database, now=now)
            await budgets.warn_all(database, now=now, terms=TERMS)
        async with database.read() as session:
            notices = (await session.scalars(select(Notice).order_by(Notice.id))).all()
        assert {notice.customer_id for notice in notices} <= {ann.id}
        return [(notice.data["percent"], notice.data["spent"]) for notice in notices if notice.recipient]

    assert await told(214) == []
    assert await told(215) == [(80, 160)]
    assert await told(268) == [(80, 160)]
    assert await told(300) == [(80, 160), (100, 223)]
    february = await told(int((at("2026-02-20") - NOW) / HOUR))
    assert february[2:] == [(100, 339)]


# --- closing


async def test_what_keeps_an_account_open_and_what_goes_with_it(database: Database) -> None:
    async with database.transaction() as session:
        customer = await make_customer(session, email="a@b.c", budget=5, billing_name="Ann", billing_tax_id="1")
        await ran(session, customer, "2026-01-10 12:00")
        with pytest.raises(NotYet) as refused:
            await closing.close(session, customer, now=NOW)
        assert refused.value.standing.deployments == 1
        assert refused.value.standing.usage
        other = await make_customer(session, email="o@b.c", billing_address="1 Road")
        await contacts.request_email(session, other, "d@e.f", now=NOW)
        for _ in range(2):
            await closing.close(session, other, now=NOW)
        gone = await accounts.get(session, other.id)
        assert (gone.name, gone.username, gone.email, gone.billing_address) == ("", "", None, "")
        assert gone.closed_at == NOW
        assert (await closing.reopen(session, gone)).closed_at is None
        assert (await accounts.get(session, customer.id)).email == "a@b.c"
