"""The words about what is unpaid: right, short enough, and safe whatever a person is called."""

from datetime import date
from typing import Any

import pytest

from billing.money import Currency
from billing.terms import Terms
from bot.demo.telegram.html import parse_html
from bot.view import View
from bot.views import admin_unpaid, notices_unpaid
from bot.views.admin_unpaid import DeleteUnpaid, GiveTime

TERMS = Terms(Currency.of("usd"))
NASTY = "<b>& Ann's \u202e machines"


def facts(invoices: int = 1, **more: Any) -> dict[str, Any]:
    """Everything that any of these messages may carry."""
    return {
        "invoices": [
            {"invoice_id": one, "number": f"INV-2026-{one:06d}", "amount": 500, "since": "2026-02-01T00:10:00+00:00"}
            for one in range(1, invoices + 1)
        ],
        "total": 500 * invoices,
        "purposes": ["regular"],
        "deletion_day": "2026-05-01",
        "names": [f"{NASTY}-{number}" for number in range(invoices)],
        "card": True,
        "customer_id": 7,
        "telegram_id": 10**15,
        "name": NASTY * 10,
        "username": "ann",
        "since": "2026-02-01T00:10:00+00:00",
        "day": "2026-05-01",
        "why": "proven",
        "until": "2026-02-13T04:00:00+00:00",
        "over": False,
        "funds": 700,
        "monthly": 500,
        "dearest": NASTY,
        **more,
    }


def said(kind: str, **more: Any) -> View:
    return notices_unpaid.WORDS[kind](facts(**more), TERMS)


def buttons(view: View) -> list[str]:
    return [button.text for row in view.rows for button in row]


@pytest.mark.parametrize("kind", sorted(notices_unpaid.WORDS))
@pytest.mark.parametrize("invoices", [1, 120])
def test_every_message_fits_and_is_html(kind: str, invoices: int) -> None:
    """11: nothing here is ever parked for its length or its letters."""
    view = said(kind, invoices=invoices)
    text = parse_html(view.text).text
    assert 0 < len(text) <= (1024 if invoices == 1 else 4096)
    assert all(button.markup() for row in view.rows for button in row)


@pytest.mark.parametrize(
    ("purposes", "title"),
    [
        (["regular"], "Reminder"),
        (["regular", "week_before"], "Warning"),
        (["day_before", "regular"], "Last warning"),
    ],
)
def test_a_reminder_says_how_urgent_it_is(purposes: list[str], title: str) -> None:
    """9.1."""
    view = said("unpaid_reminder", purposes=purposes)
    assert f"{title}. Unpaid: <b>$5.00</b>" in view.text
    assert "1 May 2026" in view.text


def test_one_invoice_is_paid_by_itself_and_many_at_once() -> None:
    """9.1: a button to pay; documents of many by a button."""
    assert buttons(said("unpaid_reminder")) == ["💳 Pay", "🔎 Details"]
    assert buttons(said("unpaid_reminder", invoices=2)) == ["💳 Pay", "📄 All PDFs"]
    assert buttons(said("unpaid_reminder", card=False))[-1] == "💳 Add a card"


def test_without_deployments_no_day_is_named() -> None:
    """9.1."""
    text = said("unpaid_reminder", deletion_day=None).text
    assert "deleted" not in text


def test_used_up_money_has_no_day_to_come() -> None:
    """9.4."""
    assert "13 Feb 2026, 04:00 UTC" in said("funds_low").text
    assert "used up" in said("funds_low", over=True).text


def test_a_question_is_named_by_its_day() -> None:
    """C12: a button of an earlier question is told apart."""
    delete, give = (button.press for button in said("house_unpaid_ask").rows[0])
    assert delete == DeleteUnpaid(customer_id=7, day=20260501)
    assert give == GiveTime(customer_id=7, day=20260501)
    assert admin_unpaid.day_of(20260501) == date(2026, 5, 1)
    with pytest.raises(ValueError, match="month"):
        admin_unpaid.day_of(20261399)
