"""`make bench`: all of it, or what is named; `SCALE=0.1` for a tenth of the data."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks import pages, pieces, sets, taps
from benchmarks.report import Report
from benchmarks.stores import stores


def main() -> int:
    """Measure, and return 1 where a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1 is a million deployments")
    parser.add_argument("parts", nargs="*", help="only these: " + ", ".join(_PARTS))
    given = parser.parse_args()
    unknown = set(given.parts) - set(_PARTS)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    report = Report(given.scale)
    with tempfile.TemporaryDirectory(prefix="vmbot-bench-") as folder:
        for name, part in _PARTS.items():
            if not given.parts or name in given.parts:
                part(report, Path(folder), given.scale)
    print()
    print(report.table())
    if not given.parts:
        report.write()
    return 1 if report.missed else 0


def _sets(report: Report, folder: Path, scale: float) -> None:
    folder.chmod(0o755)  # the server is another user's
    with stores(folder) as found:
        for store in found:
            asyncio.run(sets.measure(report, store, scale))
        asyncio.run(sets.measure_waits(report, found[0], scale))


_PARTS = {"pieces": pieces.measure, "taps": taps.measure, "pages": pages.measure, "sets": _sets}

if __name__ == "__main__":
    sys.exit(main())
