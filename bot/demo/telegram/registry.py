"""The methods of the Bot API that exist here, each declared beside the function that carries it out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.demo.telegram.params import Params
from bot.demo.telegram.state import State

Act = Callable[[State, Params], object]
"""Carries out a method; what it returns, or what its awaitable gives, is the answer's `result`."""


@dataclass(frozen=True)
class Method:
    """A method: its published name, its parameters, and what it does."""

    name: str
    known: dict[str, str]
    """Parameter to kind, as `Params` reads them."""
    act: Act
    sends: bool
    """Whether the limits on sending count it."""


METHODS: dict[str, Method] = {}
"""By lower-case name: the real server does not tell upper from lower case either."""

FORMAT = "parse_mode entities:array"
CAPTION = "caption parse_mode caption_entities:array"
ABOVE = "show_caption_above_media:bool"
SENDING = (
    "chat_id:chat disable_notification:bool protect_content:bool message_thread_id:int reply_markup:object"
    " reply_parameters:object message_effect_id allow_paid_broadcast:bool"
    " direct_messages_topic_id:int suggested_post_parameters:object"
)
BUSINESS = "business_connection_id"
TARGET = "chat_id:chat message_id:int inline_message_id business_connection_id"


def method(name: str, known: str = "", *, sends: bool = False) -> Callable[[Act], Act]:
    """Declare a method.

    Args:
        name: as published.
        known: its parameters, parted by blanks, each `name` for a string or `name:kind`.
        sends: whether the limits on sending count it.
    """
    parted = (entry.partition(":") for entry in known.split())
    kinds = {parameter: kind or "str" for parameter, _, kind in parted}

    def declare(act: Act) -> Act:
        METHODS[name.lower()] = Method(name, kinds, act, sends)
        return act

    return declare


async def carry_out(found: Method, state: State, params: Params) -> object:
    """The method's result; raises `ApiError` for a refusal."""
    result = found.act(state, params)
    return await result if isinstance(result, Awaitable) else result
