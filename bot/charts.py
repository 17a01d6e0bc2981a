"""Bar charts as pictures: plain values in, PNG out (C6)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bot import typesetting

if TYPE_CHECKING:
    import typst

_TEMPLATE = Path(__file__).with_name("chart.typ")
_PPI = 192.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        label: below it, a few letters: `Jan`, `17`.
        value: its height, against the others of its chart; nothing is drawn for 0 or less.
        shown: above it, the value as people read it; left out where bars are too narrow.
        open: drawn lighter: what it shows is not over yet.
    """

    label: str
    value: int
    shown: str = ""
    open: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart with its title, and a note at the title's other end; at least one bar."""

    title: str
    bars: tuple[Bar, ...]
    note: str = ""


def draw(charts: Sequence[Chart]) -> bytes:
    """Return a PNG with the charts one below the other; some 30 ms of one processor: call it in a thread."""
    data = json.dumps([asdict(chart) for chart in charts], ensure_ascii=False).encode("utf-8", "replace").decode()
    with typesetting.LOCK:
        try:
            return cast("bytes", _compiler().compile(format="png", ppi=_PPI, sys_inputs={"charts": data}))
        finally:
            typesetting.forget()


@cache
def _compiler() -> typst.Compiler:
    import typst  # noqa: PLC0415 in the process beside only: see `typesetting`

    return typst.Compiler(_TEMPLATE, root=_TEMPLATE.parent, font_paths=typesetting.fonts())
