"""Pictures of figures: real PNGs, whatever the values are."""

import struct

import pytest

from bot.charts import Bar, Chart, draw

MONTHS = ("Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan")


def size(picture: bytes) -> tuple[int, int]:
    """Width and height of a PNG."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", picture[16:24])
    return width, height


def test_charts_stand_one_below_the_other() -> None:
    chart = Chart("Revenue", tuple(Bar(month, 100, "$1.00") for month in MONTHS), "$12.00")
    one, three = size(draw([chart])), size(draw([chart] * 3))
    assert one[0] == three[0]
    assert three[1] > 2 * one[1]


@pytest.mark.parametrize("values", [(0,), (0, 0), (-5, 5), (10**17, 1), tuple(range(31))])
def test_any_values_can_be_drawn(values: tuple[int, ...]) -> None:
    size(draw([Chart("", tuple(Bar(str(number), value, str(value)) for number, value in enumerate(values)))]))


def test_words_are_words_and_not_markup() -> None:
    size(draw([Chart("#panic() \ud800 شهر", (Bar("<b>*", 1, '"\\'),), "$x$")]))


def test_a_taller_value_makes_another_picture() -> None:
    def of(value: int) -> bytes:
        return draw([Chart("x", (Bar("a", value), Bar("b", 100)))])

    assert of(10) != of(90)
    assert of(10) == of(10)
