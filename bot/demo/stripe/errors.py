"""The errors that Stripe answers with, in its own shape."""

from http import HTTPStatus
from typing import Any

Json = dict[str, Any]

DOC_URL = "https://stripe.com/docs/error-codes/"


class ApiError(Exception):
    """An answer that is not 200.

    Attributes:
        status: HTTP status.
        error: the fields of the `error` object, as Stripe names them.
        executed: whether an endpoint had begun to act; only then is the answer kept for its idempotency key.
    """

    def __init__(self, status: int, error: Json, *, executed: bool = True) -> None:
        super().__init__(error.get("message", ""))
        self.status = status
        self.executed = executed
        self.error = {key: value for key, value in error.items() if value is not None}
        code = self.error.get("code")
        if code:
            self.error.setdefault("doc_url", DOC_URL + str(code).replace("_", "-"))


def invalid(message: str, *, param: str | None = None, code: str | None = None, **more: object) -> ApiError:
    """An `invalid_request_error` with status 400."""
    error = {"message": message, "type": "invalid_request_error", "code": code, "param": param, **more}
    return ApiError(HTTPStatus.BAD_REQUEST, error)


def malformed(message: str, *, param: str | None, code: str | None = None) -> ApiError:
    """Parameters that no endpoint would take: 400, found before anything began to act."""
    error = {"message": message, "type": "invalid_request_error", "code": code, "param": param}
    return ApiError(HTTPStatus.BAD_REQUEST, error, executed=False)


def missing(word: str, object_id: str, *, param: str, status: int = HTTPStatus.BAD_REQUEST) -> ApiError:
    """`resource_missing`: 404 for the object in the path, 400 for one named in a parameter."""
    error = {
        "message": f"No such {word}: '{object_id}'",
        "type": "invalid_request_error",
        "code": "resource_missing",
        "param": param,
    }
    return ApiError(status, error)


def idempotency(message: str, *, status: int = HTTPStatus.BAD_REQUEST, code: str | None = None) -> ApiError:
    """An idempotency key that may not be used like this."""
    return ApiError(status, {"message": message, "type": "idempotency_error", "code": code}, executed=False)


def unauthorized(message: str) -> ApiError:
    """No key, or not ours."""
    return ApiError(HTTPStatus.UNAUTHORIZED, {"message": message, "type": "invalid_request_error"}, executed=False)


def too_many(code: str, message: str) -> ApiError:
    """429 with `rate_limit` or `lock_timeout`."""
    error = {"message": message, "type": "invalid_request_error", "code": code}
    return ApiError(HTTPStatus.TOO_MANY_REQUESTS, error, executed=False)


def broken(*, executed: bool) -> ApiError:
    """500, as when something on Stripe's side fails."""
    error = {
        "message": "Sorry! There was an error while talking to one of our backends. Support has been notified.",
        "type": "api_error",
    }
    return ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, error, executed=executed)


def only(params: Json, supported: frozenset[str]) -> None:
    """501 for a parameter that Stripe takes and this stand-in does not act on: said, never silently ignored."""
    left = sorted(params.keys() - supported - {"expand"})
    if left:
        message = f"Stripe takes {', '.join(left)} here, but this stand-in does not do it."
        raise ApiError(HTTPStatus.NOT_IMPLEMENTED, {"message": message, "type": "api_error"}, executed=False)
