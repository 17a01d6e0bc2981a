"""Documents and pictures: uploading, sending, albums, downloading."""

import mimetypes
import secrets
from dataclasses import dataclass
from typing import Any

from bot.demo.telegram.images import picture_size
from bot.demo.telegram.params import Params, Upload
from bot.demo.telegram.posting import caption_fields, read_caption, send
from bot.demo.telegram.registry import ABOVE, BUSINESS, CAPTION, SENDING, method
from bot.demo.telegram.spans import Formatted
from bot.demo.telegram.state import State
from bot.demo.telegram.wire import ApiError, Json, bad_request

_MEGABYTE = 1024 * 1024
_MOST_DOCUMENT = 50 * _MEGABYTE
_MOST_PHOTO = 10 * _MEGABYTE
_MOST_DOWNLOAD = 20 * _MEGABYTE
_MOST_SIDES = 10_000
_MOST_RATIO = 20
_ALBUM = range(2, 11)
_MEDIA_FIELDS = {
    "type", "media", "caption", "parse_mode", "caption_entities", "has_spoiler", "thumbnail",
    "show_caption_above_media", "disable_content_type_detection",
}  # fmt: skip
_WRONG_FILE = "wrong file identifier/HTTP URL specified"


@dataclass(frozen=True)
class Media:
    """A document or picture to send, with its caption."""

    kind: str
    file: Upload | str
    caption: Formatted
    above: bool


@method(
    "sendDocument",
    f"document:file thumbnail:file disable_content_type_detection:bool {CAPTION} {SENDING} {BUSINESS}",
    sends=True,
)
def send_document(state: State, params: Params) -> Json:
    """A file of up to 50 MB."""
    return _send(state, params, "document")


@method("sendPhoto", f"photo:file {CAPTION} {ABOVE} has_spoiler:bool {SENDING} {BUSINESS}", sends=True)
def send_photo(state: State, params: Params) -> Json:
    """A picture of up to 10 MB."""
    return _send(state, params, "photo")


def _send(state: State, params: Params, kind: str) -> Json:
    state.chat_to_send(params.chat())
    file = params.file(kind)
    if not file:
        raise bad_request(f"there is no {kind} in the request")
    media = Media(kind, file, read_caption(params), params.flag("show_caption_above_media"))
    return send(state, params, media_fields(state, media))


@method(
    "sendMediaGroup",
    "chat_id:chat media:array disable_notification:bool protect_content:bool message_thread_id:int"
    " reply_parameters:object message_effect_id business_connection_id allow_paid_broadcast:bool"
    " direct_messages_topic_id:int",
    sends=True,
)
def send_media_group(state: State, params: Params) -> list[Json]:
    """Two to ten documents, or two to ten pictures, as one album."""
    state.chat_to_send(params.chat())
    given = params.array("media") or []
    if len(given) not in _ALBUM:
        raise bad_request("wrong number of messages to send an album; must be from 2 to 10")
    album = [read_media(entry, params) for entry in given]
    if len({media.kind for media in album}) > 1:
        raise bad_request("document can't be mixed with other media types")
    group = str(secrets.randbits(53))
    contents = [media_fields(state, media) | {"media_group_id": group} for media in album]
    return [send(state, params, content) for content in contents]


@method("getFile", "file_id")
def get_file(state: State, params: Params) -> Json:
    """Where to download a file of up to 20 MB."""
    record = state.files.get(params.text("file_id"))
    if record is None:
        raise bad_request("invalid file_id")
    if record["file_size"] > _MOST_DOWNLOAD:
        raise bad_request("file is too big")
    return {name: record[name] for name in ("file_id", "file_unique_id", "file_size", "file_path")}


def read_media(given: Any, params: Params) -> Media:  # noqa: ANN401 - an entry of a JSON array from outside
    """One InputMedia object; 400 if it is none."""
    if not isinstance(given, dict) or given.get("type") not in {"photo", "document"}:
        raise bad_request("can't parse InputMedia: Unsupported type specified")
    if set(given) - _MEDIA_FIELDS:
        raise bad_request(f'unknown field "{min(set(given) - _MEDIA_FIELDS)}" in InputMedia')
    file: Upload | str | None = str(given.get("media") or "")
    if isinstance(file, str) and file.startswith("attach://"):
        file = params.attached.get(file.removeprefix("attach://"))
    if not file:
        raise bad_request("can't parse InputMedia: media not found")
    above = bool(given.get("show_caption_above_media"))
    return Media(given["type"], file, read_caption(given), above)


def media_fields(state: State, media: Media) -> Json:
    """The content fields of a message with a document or picture; the file is stored."""
    record = keep_file(state, media.file, media.kind) if isinstance(media.file, Upload) else None
    if record is None:
        record = state.files.get(str(media.file))
        if record is None:
            raise bad_request(_WRONG_FILE)
        if record["kind"] != media.kind:
            raise bad_request(f"can't use file of type {record['kind'].title()} as {media.kind.title()}")
    content = {media.kind: as_content(record)} | caption_fields(media.caption)
    return content | ({"show_caption_above_media": True} if media.above else {})


def keep_file(state: State, upload: Upload, kind: str) -> Json:
    """Store an upload as a `document` or `photo`; returns its record. 400 for what is no picture, 413 beyond."""
    most = _MOST_PHOTO if kind == "photo" else _MOST_DOCUMENT
    if len(upload.content) > most:
        raise ApiError(413, "Request Entity Too Large")
    if not upload.content:
        raise bad_request("file must be non-empty")
    file_id = f"{'AgAC' if kind == 'photo' else 'BQAC'}{secrets.token_urlsafe(36)}"
    folder = "photos" if kind == "photo" else "documents"
    name = upload.name.replace("\\", "/").rpartition("/")[2][:255] or "file"
    ending = "." + name.rpartition(".")[2] if "." in name else ""
    record: Json = {
        "kind": kind,
        "file_id": file_id,
        "file_unique_id": secrets.token_hex(8),
        "file_size": len(upload.content),
        "file_path": f"{folder}/file_{len(state.files)}{_plain(ending)}",
        "file_name": name,
        "mime_type": _mime(upload, name),
    }
    if kind == "photo":
        record |= _picture(upload.content)
    state.keep.write_file(file_id, upload.content)
    state.files[file_id] = record
    state.keep.put("file", file_id, record)
    return record


def _plain(ending: str) -> str:
    return ending.lower() if ending[1:].isascii() and ending[1:].isalnum() else ""


def _mime(upload: Upload, name: str) -> str:
    guessed, _ = mimetypes.guess_type(name)
    return guessed or upload.content_type or "application/octet-stream"


def _picture(content: bytes) -> Json:
    size = picture_size(content)
    if size is None:
        raise bad_request("IMAGE_PROCESS_FAILED")
    width, height = size
    if min(size) < 1 or width + height > _MOST_SIDES or max(size) > _MOST_RATIO * min(size):
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    return {"width": width, "height": height}


def as_content(record: Json) -> Json | list[Json]:
    """A stored file as a message shows it."""
    if record["kind"] == "photo":
        fields = ("file_id", "file_unique_id", "width", "height", "file_size")
        return [{name: record[name] for name in fields}]
    fields = ("file_name", "mime_type", "file_id", "file_unique_id", "file_size")
    return {name: record[name] for name in fields}
