"""What Telegram could not have sent is told from what it sends."""

from typing import Any

import pytest

from bot.shapes import Misshapen, check

USER = {"id": 1, "is_bot": False, "first_name": "Ann"}
CHAT = {"id": 1, "type": "private"}


def message(**more: Any) -> dict[str, Any]:
    return {"update_id": 1, "message": {"message_id": 1, "date": 1, "chat": CHAT, "from": USER} | more}


def tapped(**more: Any) -> dict[str, Any]:
    return {"update_id": 1, "callback_query": {"id": "1", "from": USER, "chat_instance": "1", "data": "h"} | more}


@pytest.mark.parametrize(
    "update",
    [
        message(text="/start", entities=[{"type": "bot_command", "offset": 0, "length": 6}]),
        message(chat_background_set={"type": {"type": "chat_theme", "theme_name": "x"}}),
        message(forward_origin={"type": "hidden_user", "date": 1, "sender_user_name": "M"}),
        tapped(),
        tapped(message={"message_id": 1, "date": 0, "chat": CHAT}),
        {"update_id": 1, "inline_query": {"id": "1", "from": USER, "query": "", "offset": ""}},
        {"update_id": 1, "something_of_next_year": {"data": "x"}},
        {"update_id": 1},
    ],
)
def test_what_telegram_sends_passes(update: dict[str, Any]) -> None:
    check(update)


@pytest.mark.parametrize(
    "update",
    [
        message(text=5),
        message(text=None),
        message(chat={"id": "1", "type": "private"}),
        message(chat={"id": 2**63, "type": "private"}),
        message(chat=[]),
        message(date=1.5),
        message(entities=[{"type": "bold", "offset": "0", "length": 1}]),
        message(**{"from": USER | {"first_name": True}}),
        tapped(data={}),
        tapped(id=1),
        tapped(message="x"),
        tapped(message={"message_id": 1, "date": 1}),
        {"update_id": 1, "my_chat_member": {"from": USER, "new_chat_member": {"status": "left", "user": USER}}},
    ],
)
def test_what_it_could_not_have_sent_does_not(update: dict[str, Any]) -> None:
    with pytest.raises(Misshapen):
        check(update)
