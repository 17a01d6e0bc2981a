"""The first day of a month as two queues: notices at Telegram's pace, charges at Stripe's.

One server each, which takes a fixed time for a piece of work: the limits are the outside's, not ours. Beside the pile
that the monthly run makes at 00:10, people type all day, and their answers go first.
"""

import heapq
import random
from dataclasses import dataclass

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Day:
    """How a pile of work goes through a limit.

    Attributes:
        hours: until the last piece of the pile is done.
        median_hours: until half of it is.
        answer_p99_s: how long the slowest hundredth of those who typed waited behind the limit.
    """

    hours: float
    median_hours: float
    answer_p99_s: float


def first_day(pile: int, *, a_second: float, typed: int, seed: int = 1) -> Day:
    """Return how a pile goes through while people type.

    Args:
        pile: pieces of work that are there at the start.
        a_second: the limit.
        typed: answers that the day asks for besides, at random times; they go before the pile.
        seed: of chance.
    """
    chance = random.Random(seed)  # noqa: S311 no secret
    takes = 1 / a_second
    arrivals = [chance.random() * _DAY_S for _ in range(typed)]
    heapq.heapify(arrivals)
    now, left, waits, half = 0.0, pile, [], 0.0
    while left:
        if arrivals and arrivals[0] <= now:
            waits.append(now - heapq.heappop(arrivals) + takes)
        else:
            left -= 1
            if left == pile // 2:
                half = now + takes
        now += takes
    waits.sort()
    slowest = waits[int(0.99 * len(waits))] if waits else 0.0
    return Day(now / 3600, half / 3600, slowest)


def main() -> None:
    """Print the day at several sizes."""
    print("| pile | limit | all done | half done | answers behind it, p99 |")
    print("|---|---|---|---|---|")
    for words, pile, limit, typed in (
        ("1,000,000 notices", 1_000_000, 30, 200_000),
        ("1,000,000 notices, 4 bots", 250_000, 30, 50_000),
        ("1,000,000 card charges", 1_000_000, 100, 0),
        ("200,000 notices (a million deployments)", 200_000, 30, 200_000),
        ("200,000 card charges (a million deployments)", 200_000, 100, 0),
    ):
        day = first_day(pile, a_second=limit, typed=typed)
        answers = f"{day.answer_p99_s:.2f} s" if typed else "–"
        print(f"| {words} | {limit}/s | {day.hours:.1f} h | {day.median_hours:.1f} h | {answers} |")


if __name__ == "__main__":
    main()
