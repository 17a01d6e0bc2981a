"""The product as it is, but for its patience with people: those of the benchmarks type faster than anybody does."""

import math
import sys

from bot import floods
from bot.__main__ import main
from bot.buckets import Allowance

if __name__ == "__main__":
    floods.PERSON = Allowance(math.inf, 1)
    sys.exit(main(["run"]))
