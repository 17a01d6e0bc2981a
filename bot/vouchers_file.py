"""Codes of new vouchers as files: a table for many, a picture of the link for one."""

import csv
import io
from collections.abc import Sequence

import segno

from billing.money import Currency
from billing.vouchers import Issued

_PIXELS = 8
"""A side of one square: some 350 pixels in all, enough for a camera and for paper."""
_BOM = "\ufeff"
"""Spreadsheets take a file for UTF-8 by it."""


def link(code: str, chat_url: str) -> str:
    """Return the deep link that redeems a code when it is opened."""
    return f"{chat_url}?start=v_{code}"


def table(issued: Issued, chat_url: str, currency: Currency) -> bytes:
    """Return a CSV file with a line for each voucher; no field of it begins as a formula does."""
    rows: Sequence[Sequence[str]] = [
        (
            code,
            currency.plain(voucher.amount),
            currency.code.upper(),
            voucher.expires_at.isoformat() if voucher.expires_at else "",
            link(code, chat_url),
        )
        for voucher, code in zip(issued.vouchers, issued.codes, strict=True)
    ]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("code", "amount", "currency", "redeem_before", "link"))
    writer.writerows(rows)
    return (_BOM + text.getvalue()).encode()


def picture(code: str, chat_url: str) -> bytes:
    """Return the link of a code as a QR picture, PNG."""
    content = io.BytesIO()
    segno.make(link(code, chat_url), error="m", micro=False).save(content, kind="png", scale=_PIXELS)
    return content.getvalue()
