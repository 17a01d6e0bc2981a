"""What everything here speaks: JSON objects as the Bot API writes them, and its errors."""

from typing import Any

Json = dict[str, Any]
"""A JSON object in the shape that the Bot API publishes."""


class ApiError(Exception):
    """A refusal in Telegram's own words, answered as `{"ok": false, ...}`."""

    def __init__(self, code: int, description: str, parameters: Json | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters

    def body(self) -> Json:
        """The answer's JSON object."""
        body: Json = {"ok": False, "error_code": self.code, "description": self.description}
        if self.parameters:
            body["parameters"] = self.parameters
        return body


def bad_request(words: str) -> ApiError:
    """400, with `Bad Request: ` before the words."""
    return ApiError(400, f"Bad Request: {words}")


def forbidden(words: str) -> ApiError:
    """403, with `Forbidden: ` before the words."""
    return ApiError(403, f"Forbidden: {words}")


def conflict(words: str) -> ApiError:
    """409, with `Conflict: ` before the words."""
    return ApiError(409, f"Conflict: {words}")


def too_many_requests(retry_after_s: int) -> ApiError:
    """429, with the seconds to wait in words and in `parameters.retry_after`."""
    return ApiError(429, f"Too Many Requests: retry after {retry_after_s}", {"retry_after": retry_after_s})


def utf16_length(text: str) -> int:
    """Length in UTF-16 code units, the unit of every offset in the Bot API."""
    return len(text) + sum(1 for letter in text if ord(letter) > 0xFFFF)  # noqa: PLR2004 - end of the basic plane
