"""What every operation works on: the store, the clock, new ids, and the events they raise."""

import copy
import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass, field

import stripe

from bot.demo.stripe.errors import Json, malformed
from bot.demo.stripe.shapes import shape
from bot.demo.stripe.store import Store

API_VERSION = "2026-10-28.endive"
ACCOUNT = "acct_1TestStandInMoney01"
_LETTERS = string.ascii_letters + string.digits


@dataclass
class Caller:
    """The API request being served; both None when a page or the control acts."""

    request_id: str | None = None
    idempotency_key: str | None = None


@dataclass
class Core:
    """One Stripe account.

    Attributes:
        store: its objects.
        now: the clock, epoch seconds; may be moved.
        base_url: where this server is reached, without a slash at the end.
        on_event: told about each new event.
    """

    store: Store
    now: Callable[[], int]
    base_url: str
    on_event: Callable[[Json], None]
    caller: Caller = field(default_factory=Caller)

    def emit(self, kind: str, obj: Json, previous: Json | None = None) -> Json:
        """Raise an event about `obj` as it is now; `previous` holds the old values of what changed."""
        data: Json = {"object": public(obj)}
        if previous is not None:
            data["previous_attributes"] = copy.deepcopy(previous)
        event = shape(
            stripe.Event,
            id=new_id("evt_1"),
            object="event",
            api_version=API_VERSION,
            created=self.now(),
            data=data,
            livemode=False,
            pending_webhooks=0,
            request={"id": self.caller.request_id, "idempotency_key": self.caller.idempotency_key},
            type=kind,
        )
        self.store.save(event)
        self.on_event(event)
        return event


def new_id(prefix: str, length: int = 24) -> str:
    """A fresh id: the prefix, then random letters and digits."""
    return prefix + "".join(secrets.choice(_LETTERS) for _ in range(length))


def public(obj: Json) -> Json:
    """A copy without what is only ours."""
    return {key: copy.deepcopy(value) for key, value in obj.items() if not key.startswith("_")}


def only_one(params: Json, *names: str) -> None:
    """400 if more than one of these is given."""
    given = [name for name in names if params.get(name) is not None]
    if len(given) > 1:
        raise malformed(f"You may only specify one of these parameters: {', '.join(sorted(given))}.", param=given[0])


def clear_empty(value: object) -> object:
    """An empty text unsets."""
    return None if value == "" else value


def check_url(url: str, param: str) -> str:
    """The address, or 400 if it is none."""
    scheme, _, rest = url.partition("://")
    if scheme not in {"http", "https"} or not rest.strip("/"):
        raise malformed("Not a valid URL", param=param, code="url_invalid")
    return url
