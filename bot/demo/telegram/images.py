"""Width and height of a picture, read from its first bytes."""

import struct

_JPEG_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PNG_HEADER = 24
_GIF_HEADER = 10
_JPEG_SEGMENT = 9


def picture_size(content: bytes) -> tuple[int, int] | None:
    """Width and height in pixels of a PNG, GIF or JPEG; nothing for anything else or a cut-off file."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= _PNG_HEADER:
        width, height = struct.unpack(">II", content[16:24])
        return width, height
    if content[:6] in {b"GIF87a", b"GIF89a"} and len(content) >= _GIF_HEADER:
        width, height = struct.unpack("<HH", content[6:10])
        return width, height
    return _jpeg_size(content) if content.startswith(b"\xff\xd8") else None


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    at = 2
    while at + _JPEG_SEGMENT <= len(content):
        if content[at] != 0xFF:  # noqa: PLR2004 - every JPEG marker begins so
            return None
        marker = content[at + 1]
        if marker in _JPEG_SIZES:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None
