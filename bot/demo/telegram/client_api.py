"""The people's side over HTTP, for the chat page and for tests outside this process."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from bot.demo.telegram import acts
from bot.demo.telegram.faults import Faults
from bot.demo.telegram.methods.profile import commands_for
from bot.demo.telegram.params import Upload
from bot.demo.telegram.state import Chat, State, Stored
from bot.demo.telegram.wire import ApiError, Json

_FIRST_ID = 1001
Endpoint = Callable[[Request], Awaitable[Response]]


def client_routes(state: State, faults: Faults, calls: Iterable[Any]) -> list[Route]:
    """Everything under `/client`. Writing is refused (403) to pages of other origins."""
    api = _Client(state, faults, calls)
    gets = {
        "/client/bot": api.bot,
        "/client/people": api.people,
        "/client/chats/{chat_id:int}": api.chat,
        "/client/chats/{chat_id:int}/messages/{message_id:int}": api.message,
        "/client/files/{file_id}": api.file,
        "/client/events": api.events,
        "/client/calls": api.list_calls,
        "/client/faults": api.list_faults,
    }
    posts = {
        "/client/people": api.add_person,
        "/client/people/{person_id:int}/upload": api.upload,
        "/client/people/{person_id:int}/{act}": api.act,
        "/client/groups": api.add_group,
        "/client/faults": api.add_fault,
        "/client/faults/clear": api.clear_faults,
    }
    return [
        *(Route(path, endpoint, methods=["GET"]) for path, endpoint in gets.items()),
        *(Route(path, _guarded(endpoint), methods=["POST"]) for path, endpoint in posts.items()),
    ]


def _guarded(endpoint: Endpoint) -> Endpoint:
    """Same origin only, and refusals as JSON."""

    async def answer(request: Request) -> Response:
        origin = request.headers.get("origin")
        if origin and urlsplit(origin).netloc != request.headers.get("host"):
            return JSONResponse({"error": "other origin"}, status_code=403)
        try:
            return await endpoint(request)
        except (acts.Refused, ApiError, ValueError) as refused:
            return JSONResponse({"error": str(refused)}, status_code=400)
        except KeyError as missing:
            return JSONResponse({"error": f"there is no {missing}"}, status_code=404)

    return answer


class _Client:
    def __init__(self, state: State, faults: Faults, calls: Iterable[Any]) -> None:
        self.state = state
        self.faults = faults
        self.calls = calls

    async def bot(self, _: Request) -> Response:
        """Name and texts of the bot, and the revision to listen from."""
        texts = {name: self.state.profile.get(f"{name}/", "") for name in ("description", "short_description")}
        name = self.state.profile.get("name/", self.state.bot["first_name"])
        return JSONResponse(self.state.bot | texts | {"first_name": name, "revision": self.state.events.revision})

    async def people(self, _: Request) -> Response:
        """Everybody, with the chats they are in."""
        return JSONResponse([self._person(person) for person in self.state.people.values()])

    def _person(self, person: Json) -> Json:
        chats = [chat for chat in self.state.chats.values() if person["id"] in chat.members]
        listed = [{"id": c.id, "type": c.kind, "title": c.title} for c in chats]
        return person | {"chats": listed}

    async def add_person(self, request: Request) -> Response:
        """Add or rename a person; an id is given where none is named."""
        given = await _object(request)
        known = {"id", "first_name", "last_name", "username", "language_code"}
        if set(given) - known or not str(given.get("first_name", "")).strip():
            raise ValueError("a person has first_name, and may have id, last_name, username, language_code")
        person_id = int(given.get("id") or max([*self.state.people, _FIRST_ID - 1]) + 1)
        if person_id <= 0:
            raise ValueError("a person's id is positive")
        names = {name: str(value) for name, value in given.items() if name != "id" and value}
        acts.add_person(self.state, {"id": person_id, "is_bot": False, "language_code": "en", **names})
        return JSONResponse(self._person(self.state.people[person_id]))

    async def chat(self, request: Request) -> Response:
        """A chat with its messages, and what the person named in the query may do there."""
        chat = self.state.chats.get(request.path_params["chat_id"])
        if chat is None:
            return JSONResponse({"error": "no such chat"}, status_code=404)
        person = self.state.people.get(int(request.query_params.get("person", 0)), {})
        person_id, language = person.get("id", 0), person.get("language_code", "")
        return JSONResponse(
            {
                "revision": self.state.events.revision,
                "info": self.state.chat_info(chat),
                "started": chat.started,
                "blocked": chat.bot_status == "kicked",
                "keyboard": chat.keyboard,
                "pinned": chat.pinned,
                "topics": chat.topics,
                "commands": commands_for(self.state, chat.id, person_id, language),
                "messages": [self._message(chat, stored) for _, stored in sorted(chat.messages.items())],
            }
        )

    def _message(self, chat: Chat, stored: Stored) -> Json:
        # Answers overtake one another on their way; the page keeps what was looked at last.
        kept: Json = {"as_of": self.state.events.revision, "markup": stored.markup, "reactions": stored.reactions}
        return kept | {"message": stored.wire, "spinning": self.state.spinning(chat, stored.id)}

    async def message(self, request: Request) -> Response:
        """One message as it is now."""
        chat = self.state.chats.get(request.path_params["chat_id"])
        stored = chat.messages.get(request.path_params["message_id"]) if chat else None
        if chat is None or stored is None:
            return JSONResponse({"error": "no such message"}, status_code=404)
        return JSONResponse(self._message(chat, stored))

    async def file(self, request: Request) -> Response:
        """A document or picture; a picture is shown, anything else downloaded."""
        record = self.state.files.get(request.path_params["file_id"])
        if record is None:
            return JSONResponse({"error": "no such file"}, status_code=404)
        content = self.state.keep.read_file(record["file_id"])
        if record["kind"] == "photo":
            return Response(content, media_type=record["mime_type"], headers={"x-content-type-options": "nosniff"})
        name = json.dumps(record["file_name"].encode("ascii", "replace").decode())
        headers = {"content-disposition": f"attachment; filename={name}", "x-content-type-options": "nosniff"}
        return Response(content, media_type=record["mime_type"], headers=headers)

    async def events(self, request: Request) -> Response:
        """Everything that happens, as server-sent events; `Last-Event-ID` or `since` says from where."""
        since = request.headers.get("last-event-id") or request.query_params.get("since")
        revision = int(since) if since and since.isdigit() else self.state.events.revision
        return StreamingResponse(self._stream(revision), media_type="text/event-stream")

    async def _stream(self, revision: int) -> AsyncIterator[str]:
        async for event in self.state.events.stream(revision):
            shown = event
            if event["type"] in {"message", "tapped", "answer"}:
                # As the message is now, not as it was: it may have changed again.
                chat = self.state.chats[event["chat_id"]]
                stored = chat.messages.get(event["message_id"])
                shown = event | {"view": self._message(chat, stored) if stored else None}
            yield f"id: {event['revision']}\ndata: {json.dumps(shown)}\n\n"

    async def upload(self, request: Request) -> Response:
        """A file sent by a person: multipart with `file`, and maybe `kind`, `chat_id`, `caption`."""
        person_id = request.path_params["person_id"]
        async with request.form() as form:
            file = form["file"]
            if isinstance(file, str):
                raise acts.Refused("file must be a file")
            sent = Upload(file.filename or "file", file.content_type or "", await file.read())
            chat = self.state.chats[int(str(form.get("chat_id") or person_id))]
            kind, caption = str(form.get("kind") or "document"), str(form.get("caption") or "")
        if kind not in {"document", "photo"}:
            raise ValueError("kind is document or photo")
        stored = acts.upload(self.state, person_id, chat, kind, sent, caption)
        return JSONResponse(self._message(chat, stored))

    async def act(self, request: Request) -> Response:
        """Anything else a person does; the fields depend on the act."""
        person_id, given = request.path_params["person_id"], await _object(request)
        chat = self.state.chats[int(given.get("chat_id") or person_id)]
        state, number = self.state, int(given.get("message_id") or 0)
        if person_id not in state.people:
            raise KeyError("person")
        match request.path_params["act"]:
            case "start":
                stored = acts.start(state, person_id, str(given.get("payload") or ""))
            case "send":
                where = {name: int(given.get(name) or 0) for name in ("reply_to", "thread")}
                stored = acts.write(state, person_id, chat, str(given["text"]), **where)
            case "edit":
                stored = acts.edit(state, person_id, chat, number, str(given["text"]))
            case "contact":
                stored = acts.send_contact(state, person_id, chat, str(given["phone"]))
            case "tap":
                query = acts.tap(state, person_id, chat, number, str(given["data"]))
                return JSONResponse({"query_id": query.id, "answer": query.answer})
            case "pay":
                return JSONResponse(vars(await acts.pay(state, person_id, chat, number)))
            case "block":
                acts.block(state, person_id)
                return JSONResponse({})
            case "unblock":
                acts.unblock(state, person_id)
                return JSONResponse({})
            case other:
                raise KeyError(f"act {other}")
        return JSONResponse(self._message(chat, stored))

    async def add_group(self, request: Request) -> Response:
        """A group: `title`, `members`, and maybe `bot`, `administrator`, `supergroup`, `forum`."""
        given = await _object(request)
        members = [self.state.people[int(number)]["id"] for number in given["members"]]
        kinds = {name: bool(given.get(name)) for name in ("supergroup", "forum")}
        chat = acts.add_group(self.state, str(given["title"]), members, **kinds)
        if given.get("bot", True):
            acts.add_bot(self.state, chat, members[0], administrator=bool(given.get("administrator")))
        return JSONResponse(self.state.chat_info(chat))

    async def list_calls(self, request: Request) -> Response:
        """The log of calls, of one method where the query names it."""
        method = request.query_params.get("method", "").lower()
        found = [vars(call) for call in self.calls if method in {"", call.method.lower()}]
        return JSONResponse(found)

    async def list_faults(self, _: Request) -> Response:
        """Faults not yet used up."""
        return JSONResponse(self.faults.listed())

    async def add_fault(self, request: Request) -> Response:
        """Order a fault: `kind`, and the other fields of `Fault`."""
        given = await _object(request)
        try:
            self.faults.add(**given)
        except TypeError as wrong:
            raise ValueError(str(wrong)) from wrong
        return JSONResponse(self.faults.listed())

    async def clear_faults(self, _: Request) -> Response:
        """Take back every fault."""
        self.faults.clear()
        return JSONResponse([])


async def _object(request: Request) -> Json:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise ValueError("expected application/json")
    given = await request.json()
    if not isinstance(given, dict):
        raise acts.Refused("expected a JSON object")
    return given
