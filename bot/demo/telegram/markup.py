"""Keyboards: every field checked as Telegram checks it, returned as the Bot API writes them."""

from typing import Any

from bot.demo.telegram.detect import checked_address
from bot.demo.telegram.wire import ApiError, Json, bad_request

MOST_BUTTONS = 100
_MOST_DATA_BYTES = 64
_MOST_COPIED = 256
_MOST_PLACEHOLDER = 64
_LOOKS = {"style", "icon_custom_emoji_id"}
_STYLES = {"danger", "success", "primary"}
_ACTIONS = {
    "callback_data", "url", "copy_text", "pay", "switch_inline_query", "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat", "web_app", "login_url", "callback_game",
}  # fmt: skip
_KEY_ACTIONS = {
    "request_contact", "request_location", "request_poll", "request_users", "request_chat",
    "request_managed_bot", "web_app",
}  # fmt: skip
_OPTIONS = {
    "keyboard": {
        "keyboard", "resize_keyboard", "one_time_keyboard", "selective", "input_field_placeholder",
        "is_persistent",
    },
    "remove_keyboard": {"remove_keyboard", "selective"},
    "force_reply": {"force_reply", "selective", "input_field_placeholder"},
    "inline_keyboard": {"inline_keyboard"},
}  # fmt: skip


def checked_markup(markup: Json | None, *, inline_only: bool = False) -> Json | None:
    """The markup as sent, or nothing for none and for an inline keyboard without buttons.

    400 with Telegram's words for a field that is wrong; `inline_only` is for edits, which take no other kind.
    """
    if not markup:
        return None
    kind = next((name for name in _OPTIONS if name in markup), None)
    if kind is None:
        raise bad_request("object expected as reply markup")
    _known(markup, _OPTIONS[kind], "reply markup")
    if kind == "inline_keyboard":
        rows = [[_inline_button(button) for button in row] for row in _rows(markup[kind])]
        return {"inline_keyboard": rows} if rows else None
    if inline_only:
        raise bad_request("inline keyboard expected")
    if kind == "keyboard":
        rows = [[_key(button) for button in row] for row in _rows(markup[kind])]
        if not rows:
            raise bad_request("reply markup is empty")
        markup = {**markup, "keyboard": rows}
    if len(str(markup.get("input_field_placeholder", ""))) > _MOST_PLACEHOLDER:
        raise bad_request("input field placeholder is too long")
    return markup


def _rows(rows: object) -> list[list[Any]]:
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad_request('can\'t parse reply keyboard markup: Field "inline_keyboard" must be of type Array')
    if sum(map(len, rows)) > MOST_BUTTONS:
        raise bad_request("reply markup is too long")
    return [row for row in rows if row]


def _known(given: Json, known: set[str], where: str) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise bad_request(f'unknown field "{unknown[0]}" in {where}')


def _button_refused(words: str) -> ApiError:
    return bad_request(f"can't parse inline keyboard button: {words}")


def _inline_button(button: object) -> Json:
    if not isinstance(button, dict):
        raise _button_refused("expected an Object")
    _known(button, {"text", *_ACTIONS, *_LOOKS}, "inline keyboard button")
    _check_text(button.get("text"))
    _check_style(button)
    actions = [name for name in button if name in _ACTIONS]
    if not actions:
        raise _button_refused("Text buttons are unallowed in the inline keyboard")
    if len(actions) > 1:
        raise _button_refused("exactly one of the optional fields must be used")
    return {**button, **_action(actions[0], button[actions[0]])}


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise _button_refused('Field "text" must be of type String')
    if not text.strip():
        raise bad_request("BUTTON_TEXT_INVALID")


def _check_style(button: Json) -> None:
    if "style" in button and button["style"] not in _STYLES:
        raise bad_request("BUTTON_STYLE_INVALID")


def _action(name: str, value: object) -> Json:
    match name:
        case "callback_data":
            if not isinstance(value, str) or not 1 <= len(value.encode()) <= _MOST_DATA_BYTES:
                raise bad_request("BUTTON_DATA_INVALID")
        case "url":
            return {"url": _address(value)}
        case "web_app" | "login_url":
            address = value.get("url") if isinstance(value, dict) else None
            if not str(address).startswith("https://"):
                raise bad_request(f"inline keyboard button Web App URL '{address}' is invalid")
        case "copy_text":
            copied = value.get("text") if isinstance(value, dict) and set(value) == {"text"} else None
            if not isinstance(copied, str) or not 1 <= len(copied) <= _MOST_COPIED:
                raise bad_request("BUTTON_COPY_TEXT_INVALID")
        case "pay":
            if value is not True:
                raise _button_refused('Field "pay" must be True')
        case _:
            pass
    return {}


def _address(value: object) -> str:
    address = checked_address(value) if isinstance(value, str) else None
    if not address:
        raise bad_request(f"inline keyboard button URL '{value}' is invalid: Wrong HTTP URL")
    return address


def _key(button: object) -> Json:
    button = {"text": button} if isinstance(button, str) else button
    if not isinstance(button, dict):
        raise bad_request("can't parse keyboard button: expected an Object")
    _known(button, {"text", *_KEY_ACTIONS, *_LOOKS}, "keyboard button")
    _check_style(button)
    if not isinstance(button.get("text"), str) or not button["text"].strip():
        raise bad_request("keyboard button text must be non-empty")
    return button
