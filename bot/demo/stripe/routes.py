"""Every endpoint: its address, the library's type of its parameters, and what carries it out."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from bot.demo.stripe import account, charges, checkout, customers, disputes, intents, methods, refunds, setups
from bot.demo.stripe.errors import Json
from bot.demo.stripe.params import Schema, schema

Handler = Callable[..., Json]


@dataclass(frozen=True)
class Endpoint:
    """One row of the table; `{}` in the path stands for an id and is handed on."""

    method: str
    path: str
    params: str
    handler: Handler

    @property
    def schema(self) -> Schema:
        """The TypedDict that says which parameters there are."""
        return schema(self.params)

    def match(self, method: str, path: str) -> tuple[str, ...] | None:
        """The ids in the path, or None if this is another endpoint."""
        if method != self.method:
            return None
        found = _pattern(self.path).fullmatch(path)
        return found.groups() if found else None


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.escape(path).replace(r"\{\}", "([^/]+)"))


def _crud(path: str, module: str, name: str, unit: Any, verbs: str) -> list[Endpoint]:  # noqa: ANN401 - a module
    rows = {
        "create": ("POST", path),
        "list": ("GET", path),
        "retrieve": ("GET", f"{path}/{{}}"),
        "update": ("POST", f"{path}/{{}}"),
    }
    found = []
    for verb in verbs.split():
        method, where = rows.get(verb, ("POST", f"{path}/{{}}/{verb}"))
        params = f"{module}_{verb}_params:{name}{verb.title()}Params"
        found.append(Endpoint(method, where, params, getattr(unit, "listing" if verb == "list" else verb)))
    return found


_PAY, _SETUP, _HOOK = "_payment_intent", "_setup_intent", "_webhook_endpoint"
_HOOKS = "/v1/webhook_endpoints"

ENDPOINTS: tuple[Endpoint, ...] = (
    *_crud("/v1/customers", "_customer", "Customer", customers, "create list retrieve update"),
    Endpoint("DELETE", "/v1/customers/{}", "_customer_delete_params:CustomerDeleteParams", customers.delete),
    Endpoint(
        "GET",
        "/v1/customers/{}/payment_methods",
        "_customer_payment_method_list_params:CustomerPaymentMethodListParams",
        methods.customer_listing,
    ),
    Endpoint(
        "GET",
        "/v1/customers/{}/payment_methods/{}",
        "_customer_payment_method_retrieve_params:CustomerPaymentMethodRetrieveParams",
        methods.customer_retrieve,
    ),
    *_crud(
        "/v1/payment_methods",
        "_payment_method",
        "PaymentMethod",
        methods,
        "create list retrieve update attach detach",
    ),
    *_crud("/v1/payment_intents", _PAY, "PaymentIntent", intents, "create list retrieve update confirm cancel"),
    *_crud("/v1/setup_intents", _SETUP, "SetupIntent", setups, "create list retrieve confirm cancel"),
    *_crud(
        "/v1/checkout/sessions",
        "checkout._session",
        "Session",
        checkout,
        "create list retrieve update expire",
    ),
    Endpoint(
        "GET",
        "/v1/checkout/sessions/{}/line_items",
        "checkout._session_line_item_list_params:SessionLineItemListParams",
        checkout.line_items,
    ),
    *_crud("/v1/charges", "_charge", "Charge", charges, "list retrieve update"),
    *_crud("/v1/refunds", "_refund", "Refund", refunds, "create list retrieve update"),
    *_crud("/v1/disputes", "_dispute", "Dispute", disputes, "list retrieve update close"),
    Endpoint("GET", "/v1/events", "_event_list_params:EventListParams", account.events),
    Endpoint("GET", "/v1/events/{}", "_event_retrieve_params:EventRetrieveParams", account.event),
    Endpoint("POST", _HOOKS, f"{_HOOK}_create_params:WebhookEndpointCreateParams", account.add_endpoint),
    Endpoint("GET", _HOOKS, f"{_HOOK}_list_params:WebhookEndpointListParams", account.endpoints),
    Endpoint("GET", f"{_HOOKS}/{{}}", f"{_HOOK}_retrieve_params:WebhookEndpointRetrieveParams", account.endpoint),
    Endpoint("POST", f"{_HOOKS}/{{}}", f"{_HOOK}_update_params:WebhookEndpointUpdateParams", account.update_endpoint),
    Endpoint("DELETE", f"{_HOOKS}/{{}}", f"{_HOOK}_delete_params:WebhookEndpointDeleteParams", account.remove_endpoint),
    Endpoint(
        "GET",
        "/v1/balance_transactions",
        "_balance_transaction_list_params:BalanceTransactionListParams",
        charges.balance_transactions,
    ),
    Endpoint(
        "GET",
        "/v1/balance_transactions/{}",
        "_balance_transaction_retrieve_params:BalanceTransactionRetrieveParams",
        charges.balance_transaction,
    ),
    Endpoint("GET", "/v1/balance", "_balance_retrieve_params:BalanceRetrieveParams", charges.balance),
    Endpoint(
        "GET",
        "/v1/account",
        "_account_retrieve_current_params:AccountRetrieveCurrentParams",
        account.retrieve,
    ),
)


def find(method: str, path: str) -> tuple[Endpoint, tuple[str, ...]] | None:
    """The endpoint of a request and the ids in its path."""
    for endpoint in ENDPOINTS:
        ids = endpoint.match(method, path)
        if ids is not None:
            return endpoint, ids
    return None
