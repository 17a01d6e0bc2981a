"""What everything typeset shares: one compiler at a time, the fonts, and letting go of memory.

The library is imported when the first document is typeset, which happens in the process beside (`apart.py`): it
holds several megabytes that the bot itself need not have.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typst

LOCK = threading.Lock()
"""One document at a time: compilers may not be shared by threads, and they share one cache."""


@cache
def fonts() -> typst.Fonts:
    """The fonts that come with typst, and those of the machine for other scripts."""
    import typst  # noqa: PLC0415 see above

    return typst.Fonts()


def forget() -> None:
    """Let go of what the last document left in memory.

    The compiler keeps what its last ten runs computed. Ten empty runs take 1 ms and save 27 MB after invoices of
    20 lines.
    """
    for _ in range(10):
        _blank().compile(b"", format="svg")


@cache
def _blank() -> typst.Compiler:
    import typst  # noqa: PLC0415 see above

    return typst.Compiler(font_paths=fonts())
