"""Which parameters an endpoint knows: read from the official library's own parameter types.

Stripe refuses what it does not know. The library of this version carries one TypedDict per endpoint, generated from
Stripe's specification; holding each request against it makes the stand-in as strict as the real server without a
second list to keep.
"""

import importlib
import re
import types
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin
from urllib.parse import parse_qsl

from typing_extensions import get_type_hints, is_typeddict

from bot.demo.stripe.errors import ApiError, Json, malformed

# What the library's `RequestOptions` adds for itself; these travel as headers, never as parameters.
_OPTIONS = frozenset(
    {
        "api_key",
        "stripe_version",
        "stripe_account",
        "stripe_context",
        "max_network_retries",
        "idempotency_key",
        "content_type",
        "headers",
    }
)
_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")
_MAX_METADATA_KEYS, _MAX_METADATA_KEY, _MAX_METADATA_VALUE = 50, 40, 500

Schema: TypeAlias = type[Any]
_KNOWN: dict[Schema, dict[str, Any]] = {}


def schema(name: str) -> Schema:
    """The library's TypedDict `module:Class`, module below `stripe.params`."""
    module, _, cls = name.partition(":")
    found: Schema = getattr(importlib.import_module(f"stripe.params.{module}"), cls)
    return found


def decode(text: str) -> Json:
    """A form body or query string as nested objects: `a[b][0]=c` is `{"a": {"b": ["c"]}}`."""
    root: Json = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        match = _KEY.fullmatch(key)
        if match is None:
            raise malformed(f"Invalid request: malformed parameter name: {key}", param=key)
        _insert(root, [match[1], *_PART.findall(match[2])], value, key)
    return {key: _lists(value) for key, value in root.items()}


def _insert(node: Json, path: list[str], value: str, key: str) -> None:
    for part in path[:-1]:
        node = node.setdefault(part or str(len(node)), {})
        if not isinstance(node, dict):
            raise malformed(f"Invalid request: {key} is given twice in different shapes", param=key)
    last = path[-1] or str(len(node))
    if isinstance(node.get(last), dict):
        raise malformed(f"Invalid request: {key} is given twice in different shapes", param=key)
    node[last] = value


def _lists(value: object) -> object:
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(item) for key, item in value.items()}
    if inner and all(key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner


def _fields(cls: Schema) -> dict[str, Any]:
    if cls not in _KNOWN:
        _KNOWN[cls] = _read(cls)
    return _KNOWN[cls]


def _read(cls: Schema) -> dict[str, Any]:
    module = importlib.import_module(cls.__module__)
    # The library imports these two for type checkers only.
    names = {**vars(module), "StripeContext": object, "Mapping": Mapping}
    hints = get_type_hints(cls, globalns=names)
    return {name: hint for name, hint in hints.items() if name not in _OPTIONS}


def check(cls: Schema, raw: Json) -> Json:
    """`raw` with its values in their types.

    Raises:
        ApiError: 400 for an unknown or missing parameter, or a value that does not fit, as Stripe answers.
    """
    return _object(cls, raw, "")


def _name(prefix: str, key: str | int) -> str:
    return f"{prefix}[{key}]" if prefix else str(key)


def _object(cls: Schema, raw: Json, prefix: str) -> Json:
    fields = _fields(cls)
    unknown = [_name(prefix, key) for key in raw if key not in fields]
    if unknown:
        word = "parameter" if len(unknown) == 1 else "parameters"
        message = f"Received unknown {word}: {', '.join(unknown)}"
        raise malformed(message, param=unknown[0], code="parameter_unknown")
    for key in fields:
        if key in cls.__required_keys__ and key not in raw:
            param = _name(prefix, key)
            raise malformed(f"Missing required param: {param}.", param=param, code="parameter_missing")
    clearable = not prefix and "Update" in cls.__name__
    done: Json = {}
    for key, value in raw.items():
        param = _name(prefix, key)
        # An update unsets a text with an empty one, although the library types it as a plain text.
        if clearable and value == "" and fields[key] is str:
            done[key] = ""
        else:
            done[key] = _value(fields[key], value, param)
    if "metadata" in done:
        _check_metadata(done["metadata"], _name(prefix, "metadata"))
    return done


def _value(hint: Any, raw: Any, param: str) -> Any:  # noqa: ANN401 - a type and whatever fits it
    if is_typeddict(hint):
        if not isinstance(raw, dict):
            raise malformed("Invalid object", param=param)
        return _object(hint, raw, param)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _union(get_args(hint), raw, param)
    if origin is Literal:
        return _union((hint,), raw, param)
    if origin is list:
        if not isinstance(raw, list):
            raise malformed("Invalid array", param=param)
        return [_value(get_args(hint)[0], item, _name(param, n)) for n, item in enumerate(raw)]
    if origin is dict:
        return _mapping(get_args(hint)[1], raw, param)
    return _scalar(hint, raw, param)


def _mapping(hint: Any, raw: Any, param: str) -> Json:  # noqa: ANN401 - a type and whatever fits it
    if isinstance(raw, list):  # keys that are all digits look like a list on the wire
        raw = {str(n): item for n, item in enumerate(raw)}
    if not isinstance(raw, dict):
        raise malformed("Invalid object", param=param)
    inner = str if hint is str else hint
    return {key: item if item == "" else _value(inner, item, _name(param, key)) for key, item in raw.items()}


def _union(options: tuple[Any, ...], raw: Any, param: str) -> Any:  # noqa: ANN401 - whatever fits one of them
    literals = [value for option in options if get_origin(option) is Literal for value in get_args(option)]
    if raw in literals:
        return raw
    words = [value for value in literals if value != ""]
    plain = [option for option in options if get_origin(option) is not Literal and _known(option)]
    if words:
        # `Literal[...] | str` is how the library lets callers pass values of a later version; a server of this
        # version knows only the listed ones.
        plain = [option for option in plain if option is not str]
    failure: ApiError | None = None
    for option in plain:
        try:
            return _value(option, raw, param)
        except ApiError as error:
            failure = failure or error
    if words or failure is None:
        raise malformed(f"Invalid {param}: must be one of {_either(words)}", param=param)
    raise failure


def _known(option: Any) -> bool:  # noqa: ANN401 - a member of a union
    return option is not type(None) and "UntypedStripeObject" not in str(option)


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f", or {words[-1]}" if words else "nothing"


def _integer(raw: str, param: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", raw):
        raise malformed(f"Invalid integer: {raw}", param=param, code="parameter_invalid_integer")
    return int(raw)


def _boolean(raw: str, param: str) -> bool:
    if raw not in {"true", "false"}:
        raise malformed(f"Invalid boolean: {raw}", param=param)
    return raw == "true"


def _decimal(raw: str, param: str) -> str:
    if not re.fullmatch(r"-?\d{1,14}(\.\d{1,12})?", raw):
        raise malformed(f"Invalid decimal: {raw}", param=param, code="parameter_invalid_decimal")
    return raw


def _text(raw: str, param: str) -> str:
    if raw == "":
        message = (
            f"You passed an empty string for '{param}'. We assume empty values are an attempt to unset a parameter; "
            f"however '{param}' cannot be unset. You should remove '{param}' from your request or supply a "
            "non-empty value."
        )
        raise malformed(message, param=param, code="parameter_invalid_empty")
    return raw


_SCALARS: dict[Any, Callable[[str, str], Any]] = {
    int: _integer,
    bool: _boolean,
    float: _decimal,
    Decimal: _decimal,
    str: _text,
}


def _scalar(hint: Any, raw: Any, param: str) -> Any:  # noqa: ANN401 - a type and whatever fits it
    if hint not in _SCALARS:
        return raw
    if not isinstance(raw, str):
        word = "string" if hint is str else getattr(hint, "__name__", "value")
        raise malformed(f"Invalid {word}: {raw}", param=param)
    return _SCALARS[hint](raw, param)


def _check_metadata(data: object, param: str) -> None:
    if not isinstance(data, dict):
        return
    if len(data) > _MAX_METADATA_KEYS:
        raise malformed(f"Metadata can have up to {_MAX_METADATA_KEYS} keys; you passed {len(data)}.", param=param)
    for key, value in data.items():
        if len(key) > _MAX_METADATA_KEY:
            raise malformed(
                f"Metadata keys can have up to {_MAX_METADATA_KEY} characters, but you passed in a key that is "
                f"{len(key)} characters. Invalid key: {key}",
                param=param,
            )
        if len(str(value)) > _MAX_METADATA_VALUE:
            raise malformed(
                f"Metadata values can have up to {_MAX_METADATA_VALUE} characters, but you passed in a value that "
                f"is {len(value)} characters. Invalid value: {value}",
                param=_name(param, key),
            )


def merge_metadata(old: Mapping[str, str], new: object) -> dict[str, str]:
    """Metadata after an update: an empty value removes its key, an empty whole removes all."""
    if not isinstance(new, dict):
        return {}
    merged = {**old, **new}
    return {key: value for key, value in merged.items() if value != ""}


def names(items: Iterable[str]) -> str:
    """`a, b, or c`, as Stripe lists choices."""
    return _either(list(items))
