"""What the chat tells of money is told once: a database that is away for a moment must not lose it."""

import pytest
from sqlalchemy.exc import OperationalError

from bot.dispatch import _patiently
from bot.view import View


async def test_a_database_that_comes_back_takes_the_money() -> None:
    tries = []

    async def credit() -> View | None:
        tries.append(1)
        if len(tries) == 1:
            raise OperationalError("INSERT", {}, ConnectionError("the server is gone"))
        return View("credited")

    assert await _patiently(credit) == View("credited")
    assert len(tries) == 2


async def test_a_mistake_of_ours_is_not_tried_again() -> None:
    tries = []

    async def credit() -> View | None:
        tries.append(1)
        raise KeyError("no such thing")

    with pytest.raises(KeyError):
        await _patiently(credit)
    assert len(tries) == 1
