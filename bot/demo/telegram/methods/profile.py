"""The bot's own face: commands, menu button, name, descriptions and picture."""

import re
from typing import cast

from bot.demo.telegram.methods.media import as_content, keep_file
from bot.demo.telegram.params import Params
from bot.demo.telegram.registry import method
from bot.demo.telegram.state import State
from bot.demo.telegram.wire import Json, bad_request

_COMMAND = re.compile(r"[a-z0-9_]{1,32}")
_MOST_DESCRIPTION = 256
_MOST_COMMANDS = 100
_LANGUAGE = re.compile(r"[a-z]{2}")
_SCOPES = {
    "default": (),
    "all_private_chats": (),
    "all_group_chats": (),
    "all_chat_administrators": (),
    "chat": ("chat_id",),
    "chat_administrators": ("chat_id",),
    "chat_member": ("chat_id", "user_id"),
}
_MENU_FIELDS = {"commands": {"type"}, "default": {"type"}, "web_app": {"type", "text", "web_app"}}


@method("setMyCommands", "commands:array scope:object language_code")
def set_my_commands(state: State, params: Params) -> bool:
    """The list behind the menu button, for a scope and a language."""
    commands = params.array("commands") or []
    if len(commands) > _MOST_COMMANDS:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    for command in commands:
        if not isinstance(command, dict) or set(command) != {"command", "description"}:
            raise bad_request("can't parse BotCommand: expected fields command and description")
        if not _COMMAND.fullmatch(str(command["command"]).removeprefix("/")):
            raise bad_request("BOT_COMMAND_INVALID")
        if not 1 <= len(str(command["description"])) <= _MOST_DESCRIPTION:
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    cleaned = [c | {"command": c["command"].removeprefix("/")} for c in commands]
    state.set_profile(_commands_key(state, params), cleaned or None)
    return True


@method("getMyCommands", "scope:object language_code")
def get_my_commands(state: State, params: Params) -> list[Json]:
    """The list for exactly that scope and language."""
    return cast("list[Json]", state.profile.get(_commands_key(state, params), []))


@method("deleteMyCommands", "scope:object language_code")
def delete_my_commands(state: State, params: Params) -> bool:
    """Let the next wider scope count again."""
    state.set_profile(_commands_key(state, params), None)
    return True


def commands_for(state: State, chat_id: int, person_id: int, language: str) -> list[Json]:
    """What a person sees in a chat: the narrowest scope that has a list, their language first."""
    if chat_id > 0:
        scopes = [f"chat/{chat_id}", "all_private_chats", "default"]
    else:
        scopes = [f"chat_member/{chat_id}/{person_id}", f"chat/{chat_id}", "all_group_chats", "default"]
    for scope in scopes:
        for code in (language[:2].lower(), ""):
            if found := state.profile.get(f"commands/{scope}/{code}"):
                return cast("list[Json]", found)
    return []


def _commands_key(state: State, params: Params) -> str:
    scope = params.object("scope") or {"type": "default"}
    kind = scope.get("type")
    if kind not in _SCOPES:
        raise bad_request("can't parse BotCommandScope: Unsupported type specified")
    if set(scope) != {"type", *_SCOPES[kind]}:
        raise bad_request("can't parse BotCommandScope: wrong fields")
    if "chat_id" in scope:
        chat_id = str(scope["chat_id"])
        state.find_chat(int(chat_id) if chat_id.lstrip("-").isdigit() else chat_id)
    parts = "/".join([kind, *(str(scope[name]) for name in _SCOPES[kind])])
    return f"commands/{parts}/{_language(params)}"


def _language(params: Params) -> str:
    code = params.text("language_code")
    if code and not _LANGUAGE.fullmatch(code):
        raise bad_request("LANGUAGE_CODE_INVALID")
    return code


def _text_methods(title: str, field: str, most: int) -> None:
    """Declare `setMyX` and `getMyX` for one text of the profile."""

    @method(f"setMy{title}", f"{field} language_code")
    def set_it(state: State, params: Params) -> bool:
        if len(params.text(field)) > most:
            raise bad_request(f"{field.replace('_', ' ')} is too long")
        state.set_profile(f"{field}/{_language(params)}", params.text(field) or None)
        return True

    @method(f"getMy{title}", "language_code")
    def get_it(state: State, params: Params) -> Json:
        default = state.profile.get(f"{field}/", state.bot["first_name"] if field == "name" else "")
        return {field: state.profile.get(f"{field}/{_language(params)}", default)}


_text_methods("Name", "name", 64)
_text_methods("Description", "description", 512)
_text_methods("ShortDescription", "short_description", 120)


@method("setChatMenuButton", "chat_id:int menu_button:object")
def set_chat_menu_button(state: State, params: Params) -> bool:
    """The button beside the text field, for one person or for all."""
    button = params.object("menu_button") or {"type": "default"}
    kind = button.get("type")
    if kind not in _MENU_FIELDS or set(button) != _MENU_FIELDS[kind]:
        raise bad_request("can't parse menu button")
    state.set_profile(_menu_key(state, params), button)
    return True


@method("getChatMenuButton", "chat_id:int")
def get_chat_menu_button(state: State, params: Params) -> Json:
    """The button for one person, else the one for all."""
    default = state.profile.get("menu/", {"type": "commands"})
    return cast("Json", state.profile.get(_menu_key(state, params), default))


def _menu_key(state: State, params: Params) -> str:
    if "chat_id" not in params:
        return "menu/"
    return f"menu/{state.find_chat(params.integer('chat_id')).id}"


@method("setMyProfilePhoto", "photo:object")
def set_my_profile_photo(state: State, params: Params) -> bool:
    """The bot's picture, a still one; it is uploaded anew each time."""
    given = params.object("photo") or {}
    if set(given) != {"type", "photo"} or given["type"] != "static":
        raise bad_request("can't parse InputProfilePhoto")
    file = params.attached.get(str(given["photo"]).removeprefix("attach://"))
    if file is None:
        raise bad_request("can't parse InputProfilePhoto: photo not found")
    if not file.content.startswith(b"\xff\xd8"):
        raise bad_request("PHOTO_EXT_INVALID")
    state.set_profile("photo/", as_content(keep_file(state, file, "photo")))
    return True


@method("getUserProfilePhotos", "user_id:int offset:int limit:int")
def get_user_profile_photos(state: State, params: Params) -> Json:
    """Pictures of somebody, newest first; people here have none."""
    photo = state.profile.get("photo/") if params.integer("user_id") == state.bot["id"] else None
    return {"total_count": int(photo is not None), "photos": [] if photo is None else [photo]}
