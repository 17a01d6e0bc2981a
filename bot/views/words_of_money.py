"""What sources of money are called."""

from collections.abc import Mapping
from typing import Any

from billing.models import AccountKind
from bot.format import escape
from bot.i18n import _


def source(entry: Mapping[str, Any]) -> str:
    """Return where money came from or goes to: `Visa •4242`, `vouchers`, `balance`."""
    names = {
        AccountKind.VOUCHER: _("vouchers"),
        AccountKind.BALANCE: _("balance"),
        AccountKind.CARD_CLEARING: _("card"),
        AccountKind.CHARGEBACKS: _("card"),
        AccountKind.STARS_CLEARING: _("Telegram Stars"),
    }
    return escape(entry.get("card") or names.get(AccountKind(entry["source"]), entry["source"]))
