"""Vouchers: one redemption ever, wrong codes counted, what is told of them, batches (rules.md 8.1 to 8.3)."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import checks, ledger, vouchers
from billing.clock import HOUR
from billing.db import Database
from billing.errors import NotFound
from billing.models import AuditEntry, Customer, SettlementWish, Transfer, Voucher, VoucherAttempt
from billing.money import Currency
from billing.vouchers import ALPHABET, Answer, State
from bot.logs import HIDDEN, Redactor
from tests.billing.builders import at, make_customer

NOW = at("2026-01-10 12:00")
BOSS = 9000


async def customer_in(database: Database) -> Customer:
    async with database.transaction() as session:
        return await make_customer(session)


async def codes_of(
    database: Database, *, amount: int = 1000, count: int = 1, days: int | None = None, batch: str = "b"
) -> tuple[str, ...]:
    async with database.transaction() as session:
        made = await vouchers.issue(
            session, amount=amount, count=count, days=days, note="fair", batch=batch, actor=BOSS, now=NOW
        )
        return made.codes


async def redeem(database: Database, customer: Customer, text: str, now: datetime = NOW) -> vouchers.Redemption:
    async with database.transaction() as session:
        return await vouchers.redeem(session, customer, text, now=now)


async def money(database: Database, customer: Customer) -> int:
    async with database.read() as session:
        assert await checks.differences(session, currency=Currency.of("usd")) == []
        return (await ledger.balances(session, customer.id)).voucher


# --- codes


def test_codes_carry_at_least_80_bits_in_groups_without_look_alikes() -> None:
    """Rule 8.1."""
    code = vouchers.new_code()
    letters = code.replace("-", "")
    assert len(letters) * (len(ALPHABET).bit_length() - 1) >= 80
    assert set(letters) <= set(ALPHABET)
    assert not set(ALPHABET) & set("OILU")
    assert all(len(group) == 4 for group in code.split("-"))
    assert len({vouchers.new_code() for _ in range(1000)}) == 1000


@given(st.lists(st.sampled_from(ALPHABET), min_size=20, max_size=20), st.data())
def test_a_code_is_read_however_it_is_typed(letters: list[str], data: st.DataObject) -> None:
    code = vouchers.normalise("".join(letters))
    assert code is not None
    typed = ""
    for letter in letters:
        alike = {"0": "0Oo", "1": "1IiLl"}.get(letter, letter + letter.lower())
        typed += data.draw(st.sampled_from(alike)) + data.draw(st.sampled_from(["", "-", " ", "\u2013", "\n"]))
    assert vouchers.normalise(typed) == code
    assert vouchers.normalise(f"https://t.me/shop_bot?start=v_{code}") == code


@given(st.text(max_size=80))
def test_any_text_is_a_code_or_none(text: str) -> None:
    code = vouchers.normalise(text)
    assert code is None or vouchers.normalise(code) == code


@pytest.mark.parametrize("form", ["{code}", "{lower}", "{bare}", "/start v_{code}", "/start v_{bare}"])
def test_no_code_survives_the_log(form: str) -> None:
    redact = Redactor()
    for code in [vouchers.new_code() for _ in range(200)]:
        typed = form.format(code=code, lower=code.lower(), bare=code.replace("-", ""))
        cleaned = redact(f"update {{'text': '{typed}'}}")
        assert HIDDEN in cleaned
        assert code[-9:] not in cleaned.upper()


async def test_only_the_hash_is_stored(database: Database) -> None:
    """Rule 8.1."""
    (code,) = await codes_of(database)
    async with database.read() as session:
        row = (await session.scalars(select(Voucher))).one()
    assert row.code_hash == vouchers.hash_of(code)
    stored = " ".join(str(value) for value in vars(row).values())
    assert code not in stored
    assert code.replace("-", "") not in stored
    assert row.hint == code[-4:]


# --- redeeming


async def test_a_voucher_adds_to_the_voucher_balance_and_wishes_for_settlement(database: Database) -> None:
    """A3, A4: without cards, since a voucher never sets off a card charge (rules.md 6.1)."""
    customer = await customer_in(database)
    (code,) = await codes_of(database)
    answer = await redeem(database, customer, code.lower().replace("-", " "))
    assert (answer.answer, answer.amount) == (Answer.REDEEMED, 1000)
    assert await money(database, customer) == 1000
    async with database.read() as session:
        wish = (await session.scalars(select(SettlementWish))).one()
        transfer = (await session.scalars(select(Transfer))).one()
    assert (wish.customer_id, wish.cards) == (customer.id, False)
    assert transfer.operation == f"voucher:{transfer.voucher_id}"


async def test_many_at_once_redeem_a_code_once(database: Database) -> None:
    """Rule 8.1: One redemption, ever, under any race."""
    customers = [await customer_in(database) for _ in range(6)]
    (code,) = await codes_of(database)
    answers = await asyncio.gather(*(redeem(database, customers[number % 6], code) for number in range(12)))
    counted = Counter(answer.answer for answer in answers)
    assert counted[Answer.REDEEMED] == 1
    assert counted[Answer.YOURS] == 1
    assert counted[Answer.UNKNOWN] == 10
    assert sum([await money(database, customer) for customer in customers]) == 1000


async def test_used_codes_are_told_to_their_owner_only(database: Database) -> None:
    """Rule 8.2."""
    ann, bob = await customer_in(database), await customer_in(database)
    (code,) = await codes_of(database)
    await redeem(database, ann, code)
    again = await redeem(database, ann, code, NOW + HOUR)
    assert (again.answer, again.amount, again.at) == (Answer.YOURS, 1000, NOW)
    other, made_up = await redeem(database, bob, code), await redeem(database, bob, vouchers.new_code())
    assert (other.answer, other.amount, other.at) == (made_up.answer, made_up.amount, made_up.at)
    assert other.answer is Answer.UNKNOWN
    assert await money(database, ann) == 1000


async def test_the_last_day_is_whole(database: Database) -> None:
    """Rule 8.1."""
    ann, bob = await customer_in(database), await customer_in(database)
    first, second = await codes_of(database, count=2, days=3)
    assert (await redeem(database, ann, first, at("2026-01-13 23:59"))).answer is Answer.REDEEMED
    late = await redeem(database, bob, second, at("2026-01-14"))
    assert (late.answer, late.amount, late.at) == (Answer.EXPIRED, 1000, at("2026-01-14"))
    assert await money(database, bob) == 0


async def test_revoked_codes_are_as_unknown_as_any(database: Database) -> None:
    ann = await customer_in(database)
    first, second = await codes_of(database, count=2)
    await redeem(database, ann, first)
    async with database.transaction() as session:
        assert await vouchers.revoke(session, "b", actor=BOSS, now=NOW) == 1
    async with database.transaction() as session:
        assert await vouchers.revoke(session, "b", actor=BOSS, now=NOW) == 0
    assert (await redeem(database, ann, second)).answer is Answer.UNKNOWN
    assert await money(database, ann) == 1000


# --- guessing


async def guess(database: Database, customer: Customer, times: int, now: datetime) -> list[vouchers.Redemption]:
    return [await redeem(database, customer, f"wrong {number}", now) for number in range(times)]


async def test_ten_wrong_codes_in_an_hour_stop_for_an_hour(database: Database) -> None:
    """Rule 8.2: Even for the right code, or being stopped would tell which is right; others are not stopped."""
    ann, bob = await customer_in(database), await customer_in(database)
    right, other = await codes_of(database, count=2)
    start = await guess(database, ann, 9, NOW)
    assert [answer.left for answer in start] == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    last = NOW + timedelta(minutes=50)
    assert (await redeem(database, ann, vouchers.new_code(), last)).left == 0
    for now in (last, last + timedelta(minutes=59)):
        stopped = await redeem(database, ann, right, now)
        assert (stopped.answer, stopped.at) == (Answer.STOPPED, last + HOUR)
    assert (await redeem(database, bob, other, last)).answer is Answer.REDEEMED
    assert (await redeem(database, ann, right, last + HOUR)).answer is Answer.REDEEMED


async def test_wrong_codes_of_more_than_an_hour_do_not_stop(database: Database) -> None:
    ann = await customer_in(database)
    (right,) = await codes_of(database)
    await guess(database, ann, 9, NOW)
    await guess(database, ann, 9, NOW + HOUR)
    assert (await redeem(database, ann, right, NOW + HOUR)).answer is Answer.REDEEMED
    async with database.read() as session:
        assert await session.scalar(select(func.count()).select_from(VoucherAttempt)) == 9


async def test_after_the_stop_ten_more_are_allowed(database: Database) -> None:
    ann = await customer_in(database)
    await guess(database, ann, 10, NOW)
    later = await guess(database, ann, 11, NOW + HOUR)
    assert [answer.answer for answer in later] == [Answer.UNKNOWN] * 10 + [Answer.STOPPED]


async def test_guesses_at_once_are_counted_one_by_one(database: Database) -> None:
    ann = await customer_in(database)
    answers = await asyncio.gather(*(redeem(database, ann, vouchers.new_code()) for _ in range(15)))
    assert Counter(answer.answer for answer in answers) == {Answer.UNKNOWN: 10, Answer.STOPPED: 5}


# --- batches


async def test_the_same_act_again_replaces_codes_that_nobody_may_have_seen(database: Database) -> None:
    ann = await customer_in(database)
    used, lost = await codes_of(database, count=2, batch="update:1")
    await redeem(database, ann, used)
    fresh = await codes_of(database, count=2, batch="update:1")
    assert (await redeem(database, ann, lost)).answer is Answer.UNKNOWN
    assert (await redeem(database, ann, fresh[0])).answer is Answer.REDEEMED


async def test_batches_are_listed_with_what_became_of_them(database: Database) -> None:
    ann = await customer_in(database)
    for number in range(10):
        codes = await codes_of(database, count=3, days=number, batch=f"b{number}")
        await redeem(database, ann, codes[0])
    async with database.read() as session:
        page, more = await vouchers.batches(session, now=NOW + timedelta(days=5), limit=8)
        rest, no_more = await vouchers.batches(session, now=NOW, offset=8, limit=8)
        _, rows = await vouchers.batch_of(session, page[0].first.id, now=NOW, offset=1, limit=1)
        with pytest.raises(NotFound):
            await vouchers.batch_of(session, 99_999, now=NOW)
    assert more
    assert not no_more
    assert [batch.first.batch for batch in page + rest] == [f"b{number}" for number in reversed(range(10))]
    assert {(batch.count, batch.redeemed) for batch in page} == {(3, 1)}
    assert [batch.open for batch in page] == [2, 2, 2, 2, 2, 0, 0, 0]
    assert [(row.redeemed_by, who) for row, who in rows] == [(None, None)]


async def test_states_are_told_apart(database: Database) -> None:
    ann = await customer_in(database)
    codes = await codes_of(database, count=2, days=0)
    await redeem(database, ann, codes[0])

    async def states(session: AsyncSession, now: datetime) -> list[State]:
        rows = await session.scalars(select(Voucher).order_by(Voucher.id))
        return [vouchers.state(row, now) for row in rows]

    async with database.transaction() as session:
        assert await states(session, NOW) == [State.REDEEMED, State.OPEN]
        assert await states(session, at("2026-01-11")) == [State.REDEEMED, State.EXPIRED]
        await vouchers.revoke(session, "b", actor=BOSS, now=NOW)
        session.expire_all()
        assert await states(session, NOW) == [State.REDEEMED, State.REVOKED]


async def test_acts_are_in_the_audit_log_without_codes(database: Database) -> None:
    codes = await codes_of(database, count=3)
    async with database.transaction() as session:
        await vouchers.revoke(session, "b", actor=BOSS, now=NOW)
    async with database.read() as session:
        entries = (await session.scalars(select(AuditEntry).order_by(AuditEntry.id))).all()
    assert [(entry.action, entry.actor, entry.details["count"]) for entry in entries] == [
        ("issue_vouchers", BOSS, 3),
        ("revoke_vouchers", BOSS, 3),
    ]
    assert not any(code in str(entry.details) for entry in entries for code in codes)
