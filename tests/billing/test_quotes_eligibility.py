"""The decision whether a customer may deploy, from facts alone (rules.md 3.5, 3.7)."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.eligibility import Facts, Reason, Refusal, Verdict, may_deploy
from billing.money import Currency
from billing.terms import Terms

USD = Terms(Currency.of("usd"))
TAXED = Terms(Currency.of("usd"), tax_basis_points=1900)
FREE = Facts(valid_card=True, credit_limit=20_000)
POOR = replace(FREE, valid_card=False)
SINCE = datetime(2025, 11, 1, tzinfo=UTC)

amounts = st.integers(0, 100_000)
facts = st.builds(
    Facts,
    valid_card=st.booleans(),
    credit_limit=amounts,
    voucher=amounts,
    balance=amounts,
    due=amounts,
    overdue=st.just(0),
    overdue_since=st.none(),
    unbilled_before=amounts,
    ended_this_month=amounts,
    active_this_month=amounts,
    projected_this_month=amounts,
    active_monthly=amounts,
    budget=st.none() | amounts,
    dispute=st.booleans(),
    blocked=st.booleans(),
    maintenance=st.booleans(),
    has_ssh_key=st.booleans(),
)
prices = st.integers(1, 50_000)
terms = st.sampled_from([USD, TAXED])


def decide(facts: Facts, monthly: int = 500, rest: int = 0, terms: Terms = USD) -> Verdict:
    return may_deploy(facts, monthly, rest, terms)


def only(verdict: Verdict) -> Refusal:
    assert len(verdict.refusals) == 1
    return verdict.refusals[0]


def test_a_valid_card_is_enough() -> None:
    assert decide(FREE).allowed
    assert decide(FREE).by_card


def test_without_card_and_money_the_whole_price_is_missing() -> None:
    verdict = decide(POOR)
    assert only(verdict) == Refusal(Reason.FUNDS, 500)
    assert verdict.missing == 500
    assert verdict.for_money
    assert not verdict.by_card


@pytest.mark.parametrize(("voucher", "balance"), [(500, 0), (0, 500), (250, 250)])
def test_voucher_alone_balance_alone_or_both_are_enough(voucher: int, balance: int) -> None:
    """A18."""
    assert decide(replace(POOR, voucher=voucher, balance=balance)).allowed
    assert decide(replace(POOR, voucher=voucher, balance=balance), monthly=501).missing == 1


def test_everything_that_funds_are_needed_for_already_is_set_aside() -> None:
    rich = replace(
        POOR, voucher=1000, balance=1000, due=300, unbilled_before=200, ended_this_month=100, active_monthly=900
    )
    assert decide(rich, monthly=500).allowed
    assert decide(rich, monthly=501).missing == 1


def test_what_active_ones_cost_so_far_is_in_their_monthly_price() -> None:
    assert decide(replace(POOR, voucher=1000, active_monthly=500, active_this_month=400)).allowed


def test_tax_counts_on_all_that_is_not_invoiced_yet() -> None:
    assert decide(replace(POOR, voucher=594), terms=TAXED).missing == 1
    assert decide(replace(POOR, voucher=595), terms=TAXED).allowed
    assert decide(replace(POOR, voucher=695, due=100), terms=TAXED).allowed


@pytest.mark.parametrize(
    ("facts", "reason", "for_money"),
    [
        (replace(FREE, maintenance=True), Reason.MAINTENANCE, False),
        (replace(FREE, blocked=True), Reason.BLOCKED, False),
        (replace(FREE, dispute=True), Reason.DISPUTE, False),
        (replace(FREE, has_ssh_key=False), Reason.NO_SSH_KEY, False),
        (replace(FREE, overdue=700, overdue_since=SINCE, due=700), Reason.OVERDUE, True),
        (replace(FREE, credit_limit=499), Reason.CREDIT_LIMIT, False),
        (replace(FREE, budget=499), Reason.BUDGET, False),
    ],
)
def test_each_other_reason_refuses_by_itself(facts: Facts, reason: Reason, *, for_money: bool) -> None:
    """Rules 3.7, even with a card."""
    verdict = decide(facts)
    assert only(verdict).reason is reason
    assert verdict.for_money is for_money


def test_overdue_says_how_much_and_since_when() -> None:
    assert only(decide(replace(FREE, due=900, overdue=700, overdue_since=SINCE))) == Refusal(
        Reason.OVERDUE, 700, since=SINCE
    )


def test_the_credit_limit_counts_what_is_owed_used_and_running() -> None:
    full = replace(
        FREE, due=100, unbilled_before=200, ended_this_month=300, active_this_month=400, active_monthly=18_500
    )
    assert decide(full).allowed
    assert only(decide(full, monthly=502)) == Refusal(Reason.CREDIT_LIMIT, 2, limit=20_000)


def test_the_budget_holds_for_this_month_and_for_whole_ones() -> None:
    """C5."""
    whole = replace(FREE, budget=1000, active_monthly=600, projected_this_month=100)
    assert only(decide(whole)) == Refusal(Reason.BUDGET, 100, limit=1000)
    this = replace(FREE, budget=1000, active_monthly=100, projected_this_month=950)
    assert only(decide(this, rest=70)) == Refusal(Reason.BUDGET, 20, limit=1000)
    assert decide(this, rest=50).allowed
    assert decide(replace(FREE, budget=500)).allowed


def test_an_order_is_kept_only_when_money_alone_is_wanting() -> None:
    assert decide(replace(POOR, overdue=1, due=1)).for_money
    assert not decide(replace(POOR, blocked=True)).for_money
    assert not decide(FREE).for_money


def test_all_reasons_are_told_the_most_pressing_first() -> None:
    verdict = decide(
        replace(
            POOR, maintenance=True, blocked=True, dispute=True, has_ssh_key=False, overdue=1, credit_limit=0, budget=0
        )
    )
    assert [refusal.reason for refusal in verdict.refusals] == list(Reason)


@given(facts=facts, monthly=prices, terms=terms)
def test_what_is_missing_is_exactly_enough(facts: Facts, monthly: int, terms: Terms) -> None:
    """Whoever brings what the refusal names passes that reason; one unit less does not."""
    missing = may_deploy(facts, monthly, 0, terms).missing
    if missing:
        enough = may_deploy(replace(facts, balance=facts.balance + missing), monthly, 0, terms)
        short = may_deploy(replace(facts, voucher=facts.voucher + missing - 1), monthly, 0, terms)
        assert enough.missing == 0
        assert short.missing == 1


@given(facts=facts, monthly=prices, terms=terms)
def test_funds_follow_the_formula_of_the_rule(facts: Facts, monthly: int, terms: Terms) -> None:
    """Rules 3.5, written out."""
    aside = facts.unbilled_before + facts.ended_this_month + facts.active_monthly
    suffices = facts.voucher + facts.balance - facts.due - terms.with_tax(aside + monthly) >= 0
    refused = any(refusal.reason is Reason.FUNDS for refusal in may_deploy(facts, monthly, 0, terms).refusals)
    assert refused == (not facts.valid_card and not suffices)


@given(facts=facts, monthly=prices, more=prices, rest=amounts, terms=terms)
def test_more_money_or_a_smaller_order_never_hurts(
    facts: Facts, monthly: int, more: int, rest: int, terms: Terms
) -> None:
    if may_deploy(facts, monthly + more, rest, terms).allowed:
        assert may_deploy(facts, monthly, rest, terms).allowed
        assert may_deploy(replace(facts, balance=facts.balance + more), monthly + more, rest, terms).allowed
        assert may_deploy(replace(facts, valid_card=True), monthly + more, rest, terms).allowed


@given(facts=facts, monthly=prices, terms=terms)
def test_two_orders_that_only_one_has_funds_for_cannot_both_pass(facts: Facts, monthly: int, terms: Terms) -> None:
    """Once the first is active, its price is set aside."""
    after = replace(facts, active_monthly=facts.active_monthly + monthly)
    both = may_deploy(facts, monthly, 0, terms).allowed and may_deploy(after, monthly, 0, terms).allowed
    if both and not facts.valid_card:
        assert facts.voucher + facts.balance - facts.due >= terms.with_tax(2 * monthly)
