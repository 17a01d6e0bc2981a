"""Tables as files that a spreadsheet opens: UTF-8 with its mark, and no cell taken for a formula (C16)."""

import csv
import io
from collections.abc import Iterable, Sequence

_MARK = "\ufeff"
"""Spreadsheets take a file for UTF-8 by it."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Return a CSV file with a line of heads and the rows below."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(heads)
    writer.writerows([cell(value) for value in row] for row in rows)
    return (_MARK + text.getvalue()).encode("utf-8", "replace")


def cell(value: object) -> str:
    """Return a value as text; one that a spreadsheet would compute gets an apostrophe in front, and is only shown.

    Numbers of ours are numbers, with their sign.
    """
    text = "" if value is None else str(value)
    if isinstance(value, int) or not text.lstrip(" ").startswith(_FORMULA):
        return text
    return f"'{text}"
