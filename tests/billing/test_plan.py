"""The waterfall as a pure plan, and the calendar (rules.md 6.2 to 6.7)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import BelowMinimum
from billing.models import AccountKind
from billing.settlement import Due, FundPayment, Part, Plan, ask_again_after, in_order, next_try, plan, split

DAY = timedelta(days=1)
T0 = datetime(2026, 1, 1, tzinfo=UTC)
V, B = AccountKind.VOUCHER, AccountKind.BALANCE

amounts = st.integers(0, 2000)
minimums = st.integers(1, 400)


@st.composite
def many_dues(draw: st.DrawFn) -> list[Due]:
    needs = draw(st.lists(st.integers(1, 1500), max_size=8))
    days = draw(st.lists(st.integers(0, 3), min_size=len(needs), max_size=len(needs)))
    return [Due(number, need, T0 + day * DAY) for number, (need, day) in enumerate(zip(needs, days, strict=True), 1)]


def dues(*needs: int) -> list[Due]:
    return [Due(number, need, T0) for number, need in enumerate(needs, 1)]


def given_to(plan: Plan, invoice_id: int) -> int:
    by_card = [part for parts in plan.charges for part in parts]
    parts: Sequence[Part | FundPayment] = [*plan.funds, *by_card, *plan.left]
    return sum(part.amount for part in parts if part.invoice_id == invoice_id)


@given(many_dues(), amounts, amounts, minimums)
def test_every_due_is_covered_exactly_once(owed: list[Due], voucher: int, balance: int, minimum: int) -> None:
    planned = plan(owed, voucher=voucher, balance=balance, minimum=minimum)
    for due in owed:
        assert given_to(planned, due.invoice_id) == due.amount


@given(many_dues(), amounts, amounts, minimums)
def test_funds_pay_all_they_can_and_voucher_before_balance(
    owed: list[Due], voucher: int, balance: int, minimum: int
) -> None:
    planned = plan(owed, voucher=voucher, balance=balance, minimum=minimum)
    total = sum(due.amount for due in owed)
    from_voucher = sum(fund.amount for fund in planned.funds if fund.source is V)
    from_balance = sum(fund.amount for fund in planned.funds if fund.source is B)
    assert from_voucher == min(voucher, total)
    assert from_balance == min(balance, total - from_voucher)


@given(many_dues(), amounts, amounts, minimums)
def test_no_charge_is_below_the_minimum_and_what_is_left_never_reaches_it(
    owed: list[Due], voucher: int, balance: int, minimum: int
) -> None:
    """Rule 6.4: when the customer's total is enough for a card, nothing is left waiting."""
    planned = plan(owed, voucher=voucher, balance=balance, minimum=minimum)
    for parts in planned.charges:
        assert sum(part.amount for part in parts) >= minimum
    left = sum(part.amount for part in planned.left)
    assert left < minimum
    assert not (left and planned.charges)


@given(many_dues(), amounts, amounts, minimums)
def test_invoices_are_served_smallest_first_then_oldest(
    owed: list[Due], voucher: int, balance: int, minimum: int
) -> None:
    planned = plan(owed, voucher=voucher, balance=balance, minimum=minimum)
    order = [due.invoice_id for due in in_order(owed)]
    assert order == sorted(order, key=lambda key: (owed[key - 1].amount, owed[key - 1].issued_at, key))
    served = [fund.invoice_id for fund in planned.funds]
    served += [part.invoice_id for parts in planned.charges for part in parts]
    assert served == sorted(served, key=order.index)


@given(many_dues(), amounts, amounts, minimums)
def test_one_charge_for_each_invoice_that_is_big_enough(
    owed: list[Due], voucher: int, balance: int, minimum: int
) -> None:
    planned = plan(owed, voucher=voucher, balance=balance, minimum=minimum)
    for parts in planned.charges:
        big = [part for part in parts if part.amount >= minimum]
        assert len(big) <= 1
        # Joined only as far as needed: without the last the sum is too small, unless that one was left over.
        if len(parts) > 1 and parts is not planned.charges[-1]:
            assert sum(part.amount for part in parts[:-1]) < minimum


def test_joining_by_example() -> None:
    planned = plan(dues(20, 40, 700), voucher=0, balance=0, minimum=50)
    assert planned.charges == ((Part(1, 20), Part(2, 40)), (Part(3, 700),))
    planned = plan(dues(20, 30, 40), voucher=0, balance=0, minimum=50)
    assert planned.charges == ((Part(1, 20), Part(2, 30), Part(3, 40)),), "a left-over small one joins the last"
    planned = plan(dues(20, 10), voucher=0, balance=0, minimum=50)
    assert planned.left == (Part(2, 10), Part(1, 20))


def test_a_due_paid_in_part_by_funds_is_charged_first() -> None:
    planned = plan(dues(100, 300, 400), voucher=150, balance=50, minimum=50)
    assert planned.funds == (FundPayment(1, V, 100), FundPayment(2, V, 50), FundPayment(2, B, 50))
    assert planned.charges == ((Part(2, 200),), (Part(3, 400),))


@given(many_dues(), amounts, amounts, minimums)
def test_a_split_by_hand_covers_all_with_one_charge_or_says_why_not(
    owed: list[Due], voucher: int, balance: int, minimum: int
) -> None:
    total = sum(due.amount for due in owed)
    try:
        by_hand = split(owed, voucher=voucher, balance=balance, by_card=True, minimum=minimum)
    except BelowMinimum:
        assert total < minimum
        assert total > voucher + balance
        return
    assert not by_hand.left
    assert len(by_hand.charges) <= 1
    assert by_hand.by_card == 0 or by_hand.by_card >= minimum
    assert sum(fund.amount for fund in by_hand.funds) + by_hand.by_card == total
    for source, have in ((V, voucher), (B, balance)):
        assert sum(fund.amount for fund in by_hand.funds if fund.source is source) <= have
    for due in owed:
        assert given_to(by_hand, due.invoice_id) == due.amount


def test_a_rest_too_small_for_the_card_is_made_up_from_balance_then_voucher() -> None:
    by_hand = split(dues(100), voucher=0, balance=80, by_card=True, minimum=50)
    assert by_hand == Plan((FundPayment(1, B, 50),), ((Part(1, 50),),), ())
    by_hand = split(dues(100), voucher=75, balance=10, by_card=True, minimum=50)
    assert by_hand == Plan((FundPayment(1, V, 50),), ((Part(1, 50),),), ())


def test_without_a_card_the_rest_stays_open() -> None:
    by_hand = split(dues(100), voucher=30, balance=0, by_card=False, minimum=50)
    assert by_hand == Plan((FundPayment(1, V, 30),), (), (Part(1, 70),))


def test_two_different_splits_have_different_digests() -> None:
    one = split(dues(100), voucher=0, balance=0, by_card=True, minimum=50)
    other = split(dues(101), voucher=0, balance=0, by_card=True, minimum=50)
    assert one.digest != other.digest
    assert one.digest == split(dues(100), voucher=0, balance=0, by_card=True, minimum=50).digest


# --- the calendar


@pytest.mark.parametrize(
    ("days_later", "next_day"),
    [(0, 1), (0.9, 1), (1, 3), (2.5, 3), (3, 5), (5, 7), (6.99, 7), (7, 14), (13, 14), (14, 21), (30, 35)],
)
def test_soft_declines_are_tried_again_on_days_1_3_5_7_then_weekly(days_later: float, next_day: int) -> None:
    assert next_try(T0, T0 + days_later * DAY) == T0 + next_day * DAY


@given(st.integers(0, 400 * 86_400))
def test_the_next_try_is_always_ahead_and_at_most_a_week(seconds: int) -> None:
    now = T0 + timedelta(seconds=seconds)
    assert now < next_try(T0, now) <= now + 7 * DAY


def test_unknown_results_are_asked_for_after_a_minute_five_an_hour_then_daily() -> None:
    """Rule 6.6."""
    waits = [ask_again_after(asked) for asked in range(5)]
    assert waits == [timedelta(minutes=1), timedelta(minutes=5), timedelta(hours=1), DAY, DAY]
