"""How the bot takes updates and answers taps: polling, webhook, callback queries."""

import ipaddress
import re
import time
from typing import Any
from urllib.parse import urlsplit

from bot.demo.telegram.params import Params
from bot.demo.telegram.registry import method
from bot.demo.telegram.state import State
from bot.demo.telegram.updates import Hook
from bot.demo.telegram.wire import Json, bad_request

_LONGEST_POLL_S = 50
_MOST_UPDATES = 100
_MOST_CONNECTIONS = 100
_MOST_ANSWER = 200
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
_OLD_QUERY = "query is too old and response timeout expired or query ID is invalid"


@method("getMe")
def get_me(state: State, _: Params) -> Json:
    """The bot as it sees itself."""
    return state.bot | {
        "first_name": state.profile.get("name/", state.bot["first_name"]),
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


@method("logOut")
def log_out(_: State, __: Params) -> bool:
    """Nothing to leave here; the answer is the real one."""
    return True


@method("close")
def close(_: State, __: Params) -> bool:
    """Nothing to close here; the answer is the real one."""
    return True


@method("getUpdates", "offset:int limit:int timeout:int allowed_updates:array")
async def get_updates(state: State, params: Params) -> list[Json]:
    """Pending updates, waiting for the first up to `timeout` seconds."""
    limit = min(max(params.integer("limit", _MOST_UPDATES), 1), _MOST_UPDATES)
    wait_s = min(max(params.integer("timeout"), 0), _LONGEST_POLL_S)
    state.updates.allow(_kinds(params))
    return await state.updates.poll(params.integer("offset"), limit, wait_s)


@method(
    "setWebhook",
    "url certificate:file ip_address max_connections:int allowed_updates:array drop_pending_updates:bool secret_token",
)
def set_webhook(state: State, params: Params) -> bool:
    """Deliver to an address from now on; an empty one takes the webhook away."""
    url = params.text("url")
    if params.flag("drop_pending_updates"):
        state.updates.drop_all()
    if not url:
        state.updates.set_hook(None)
        return True
    _check_hook(url)
    secret = params.text("secret_token")
    if secret and not _SECRET.fullmatch(secret):
        raise bad_request("secret token contains unallowed characters")
    connections = params.integer("max_connections", 40)
    if not 1 <= connections <= _MOST_CONNECTIONS:
        connections = 40
    state.updates.allow(_kinds(params))
    state.updates.set_hook(Hook(url, secret, connections))
    return True


@method("deleteWebhook", "drop_pending_updates:bool")
def delete_webhook(state: State, params: Params) -> bool:
    """Take the webhook away; what is pending stays unless asked otherwise."""
    if params.flag("drop_pending_updates"):
        state.updates.drop_all()
    state.updates.set_hook(None)
    return True


@method("getWebhookInfo")
def get_webhook_info(state: State, _: Params) -> Json:
    """The webhook and what went wrong last."""
    hook = state.updates.hook
    info: Json = {
        "url": hook.url if hook else "",
        "has_custom_certificate": False,
        "pending_update_count": len(state.updates.pending),
    }
    if hook:
        info |= {"max_connections": hook.max_connections, **hook.last_error}
    return info | ({"allowed_updates": state.updates.allowed} if state.updates.allowed else {})


@method("answerCallbackQuery", "callback_query_id text show_alert:bool url cache_time:int")
def answer_callback_query(state: State, params: Params) -> bool:
    """Stop the button's spinning, with a toast or an alert if there is a text."""
    text = params.text("text")
    query = state.queries.get(params.text("callback_query_id"))
    if query is None or query.answer is not None or query.asked_at < time.monotonic() - state.query_s:
        raise bad_request(_OLD_QUERY)
    if len(text) > _MOST_ANSWER:
        raise bad_request("MESSAGE_TOO_LONG")
    if (url := params.text("url")) and not url.startswith(
        (f"t.me/{state.bot['username']}?start=", f"https://t.me/{state.bot['username']}?start=")
    ):
        raise bad_request("URL_INVALID")
    query.answer = {"text": text, "show_alert": params.flag("show_alert"), "url": url}
    state.answered.append(query)
    state.events.publish(
        "answer",
        query_id=query.id,
        person_id=query.person_id,
        chat_id=query.chat_id,
        message_id=query.message_id,
        **query.answer,
    )
    return True


def _kinds(params: Params) -> list[Any] | None:
    kinds = params.array("allowed_updates")
    if kinds is not None and not all(isinstance(kind, str) for kind in kinds):
        raise bad_request("can't parse allowed updates: expected an array of strings")
    return kinds


def _check_hook(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    try:
        local = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        local = parts.hostname == "localhost"
    if parts.scheme != "http" or not local:
        raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
