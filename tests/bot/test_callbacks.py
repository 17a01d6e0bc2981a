"""Button data: what is packed is unpacked, what is made up is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bot.app  # noqa: F401 registers every button of the house
from billing.models import Kind
from bot.callbacks import LONGEST, OldButton, Press, button, known, unpack
from bot.views.deploy import Confirm, UseName


def test_a_button_comes_back_as_it_was() -> None:
    press = UseName(kind=Kind.K8S, size="small", public=True, workers=3, name="lab-1")
    assert press.pack() == "dn:k8s:small:1:3:lab-1"
    assert unpack(press.pack()) == press


@given(st.integers(-(10**15), 10**15))
def test_every_id_fits(number: int) -> None:
    packed = Confirm(quote_id=number).pack()
    assert len(packed.encode()) <= LONGEST
    assert unpack(packed) == Confirm(quote_id=number)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "dc",
        "dc:",
        "dc:x",
        "dc:1:2",
        "dc: 1",
        "dc:\u0661",
        "dc:1e3",
        "nobody:1",
        "dn:vm:small:2:0:x",
        "dn:pc:small:1:0:x",
        ":",
    ],
)
def test_what_no_button_says_is_an_old_screen(data: str) -> None:
    with pytest.raises(OldButton):
        unpack(data)


@given(st.text(max_size=80))
def test_garbage_is_an_old_screen_or_a_real_button(data: str) -> None:
    try:
        press = unpack(data)
    except OldButton:
        return
    assert isinstance(press, Press)


def test_data_that_does_not_fit_is_a_mistake_of_the_screen() -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        UseName(kind=Kind.VM, size="small", public=False, workers=0, name="x" * 63).pack()
    with pytest.raises(ValueError, match="holds ':'"):
        UseName(kind=Kind.VM, size="small", public=False, workers=0, name="a:b").pack()


def test_two_buttons_cannot_share_a_prefix() -> None:
    with pytest.raises(ValueError, match="two buttons"):

        @button("h")
        class Again(Press):
            """Takes a prefix that is taken."""

    assert known()["h"].__name__ == "Home"
