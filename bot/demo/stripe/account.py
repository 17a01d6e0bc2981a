"""The account itself, its events and where they are sent."""

import stripe

from bot.demo.stripe.core import ACCOUNT, API_VERSION, Core, check_url, clear_empty, new_id
from bot.demo.stripe.errors import Json, malformed
from bot.demo.stripe.params import merge_metadata
from bot.demo.stripe.shapes import shape


def retrieve(core: Core, p: Json) -> Json:  # noqa: ARG001 - every handler takes the parameters
    """The account that the key belongs to."""
    return shape(
        stripe.Account,
        id=ACCOUNT,
        object="account",
        business_profile={"name": "Stand-in"},
        capabilities={"card_payments": "active", "transfers": "active"},
        charges_enabled=True,
        country="US",
        default_currency="usd",
        details_submitted=True,
        metadata={},
        payouts_enabled=True,
        type="standard",
    )


def event(core: Core, p: Json, event_id: str) -> Json:  # noqa: ARG001 - every handler takes the parameters
    """One event."""
    return core.store.need("event", event_id, status=404)


def events(core: Core, p: Json) -> Json:
    """Events, newest first; `type` may end in a star."""
    wanted = [p["type"]] if "type" in p else p.get("types", [])

    def keep(row: Json) -> bool:
        delivered = p.get("delivery_success")
        if delivered is not None and delivered != (row["pending_webhooks"] == 0):
            return False
        return not wanted or any(fits(row["type"], pattern) for pattern in wanted)

    return core.store.page("event", "/v1/events", p, takes=("type", "types", "delivery_success"), keep=keep)


def fits(kind: str, pattern: str) -> bool:
    """Whether an event type is meant by `charge.*`, `*` or its own name."""
    return kind.startswith(pattern[:-1]) if pattern.endswith("*") else kind == pattern


def add_endpoint(core: Core, p: Json) -> Json:
    """A new webhook endpoint; only this answer tells its secret."""
    check_url(p["url"], "url")
    if not p["enabled_events"]:
        raise malformed("Missing required param: enabled_events.", param="enabled_events", code="parameter_missing")
    endpoint = make_endpoint(core, p["url"], "whsec_" + new_id("", 32), p["enabled_events"])
    endpoint |= {
        "description": p.get("description"),
        "api_version": p.get("api_version"),
        "metadata": merge_metadata({}, p.get("metadata", {})),
    }
    core.store.save(endpoint)
    return {**endpoint, "secret": endpoint["_secret"]}


def make_endpoint(core: Core, url: str, secret: str, enabled: list[str]) -> Json:
    """An endpoint with a secret chosen beforehand."""
    endpoint = shape(
        stripe.WebhookEndpoint,
        id=new_id("we_1"),
        object="webhook_endpoint",
        api_version=API_VERSION,
        created=core.now(),
        enabled_events=enabled,
        livemode=False,
        metadata={},
        status="enabled",
        url=url,
    )
    endpoint["_secret"] = secret
    return core.store.save(endpoint)


def endpoint(core: Core, p: Json, endpoint_id: str) -> Json:  # noqa: ARG001 - every handler takes the parameters
    """One endpoint, without its secret."""
    return core.store.need("webhook_endpoint", endpoint_id, status=404)


def endpoints(core: Core, p: Json) -> Json:
    """All endpoints."""
    return core.store.page("webhook_endpoint", "/v1/webhook_endpoints", p)


def update_endpoint(core: Core, p: Json, endpoint_id: str) -> Json:
    """Another address, other events, on or off."""
    row = endpoint(core, p, endpoint_id)
    if "url" in p:
        check_url(p["url"], "url")
    row.update({key: clear_empty(p[key]) for key in ("url", "enabled_events", "description") if key in p})
    if "disabled" in p:
        row["status"] = "disabled" if p["disabled"] else "enabled"
    if "metadata" in p:
        row["metadata"] = merge_metadata(row["metadata"], p["metadata"])
    return core.store.save(row)


def remove_endpoint(core: Core, p: Json, endpoint_id: str) -> Json:
    """Send it nothing any more."""
    endpoint(core, p, endpoint_id)
    core.store.drop("webhook_endpoint", endpoint_id)
    return {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}
