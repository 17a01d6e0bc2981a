"""Settings: read once from the environment and `.env`, checked, and handed on.

An empty value means the default. What is missing or malformed stops the start with one line that names it and says
what is expected; a value is never part of that line, since it may be a secret.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from ipaddress import IPv4Interface, ip_address
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from billing.money import Currency
from billing.stripe_units import minimum
from billing.terms import Party, Terms
from bot import setting_types as types
from bot.cloud_settings import CloudSettings
from bot.setting_types import Address, LogFormat, LogLevel

_CREDIT_LIMIT = "200.00"
_TOPUP_LEAST_IN_MINIMA = 10
_TOPUP_MOST_IN_LEASTS = 200


class CannotStart(Exception):
    """Something that the operator must change first; the message is one line, fit to be printed."""


class InvalidSettings(CannotStart):
    """Settings are missing or malformed."""


def _read(parse: Callable[[str], object]) -> BeforeValidator:
    """Return a validator that reads texts; what was read before is left as it is."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


def _secret(parse: Callable[[str], str]) -> BeforeValidator:
    return BeforeValidator(lambda value: SecretStr(parse(_plain(value))))


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


Amount = Annotated[int, Field(gt=0)]
"""Minor units; in settings it is written as people write it, 200.00."""


class DatabaseSettings(BaseSettings):
    """What is needed to reach the database, and no more: enough to migrate it."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",  # .env often belongs to more programs than this one
        hide_input_in_errors=True,
        frozen=True,
        validate_default=False,
    )

    data_dir: Path = Path("data")
    database_url: Annotated[SecretStr | None, _secret(types.database_url)] = None
    log_format: LogFormat = LogFormat.TEXT
    log_level: LogLevel = LogLevel.INFO

    @classmethod
    def load(cls) -> Self:
        """Read the environment and `.env`.

        Raises:
            InvalidSettings: something is missing or malformed; the message is one line and holds no value.
        """
        try:
            return cls()
        except ValidationError as error:
            message = "; ".join(_complaints(cls, error))
        except UnicodeDecodeError:
            message = ".env: expected UTF-8"
        raise InvalidSettings(message)

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the database, password included: not to be printed."""
        if self.database_url is None:
            return f"sqlite+aiosqlite:///{self.data_dir / 'vmbot.sqlite3'}"
        return self.database_url.get_secret_value()

    def secrets(self) -> Iterator[str]:
        """Yield every secret that was set, to be kept out of the log."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                yield value.get_secret_value()


class Settings(CloudSettings, DatabaseSettings):
    """All settings; `.env.example` tells the operator what each is for."""

    bot_token: Annotated[SecretStr, _secret(types.bot_token)] = Field(description=types.A_BOT_TOKEN)
    telegram_api_url: Annotated[str, _read(types.api_url)] = "https://api.telegram.org"
    telegram_link_url: Annotated[str, _read(types.api_url)] = "https://t.me"
    """Where links into chats begin; another one is for a Telegram of one's own."""
    admin_ids: Annotated[frozenset[int], NoDecode, _read(types.telegram_ids)] = frozenset()
    support_chat_id: int | None = None

    public_url: Annotated[str, _read(types.public_url)] = ""
    """Without a slash at its end; empty: nobody can reach us, so that Telegram and Stripe are polled."""
    telegram_webhook_secret: Annotated[SecretStr | None, _secret(types.webhook_secret)] = None
    listen: Annotated[Address, NoDecode, _read(types.listen_address)] = Address("127.0.0.1", 8080)

    stripe_api_key: Annotated[SecretStr, _secret(types.stripe_key)] = Field(description=types.A_STRIPE_KEY)
    stripe_api_url: Annotated[str, _read(types.api_url)] = "https://api.stripe.com"
    stripe_webhook_secret: Annotated[SecretStr | None, _secret(types.stripe_webhook_secret)] = None
    """None: no webhook is taken, and Stripe is polled."""

    currency: Annotated[str, _read(types.currency_code)] = "usd"
    credit_limit: Amount | None = None
    topup_least: Amount | None = None
    topup_most: Amount | None = None
    stars_rate: Annotated[int, Field(ge=1)] | None = None
    """Minor units that a Telegram Star is worth; none: no stars are taken."""
    tax_percent: Annotated[int, _read(types.basis_points)] = 0
    """In hundredths of a percent."""
    grace_months: Annotated[int, Field(ge=1, le=24)] = 3
    reminder_days: Annotated[int, Field(ge=1, le=31)] = 7
    suspend_days: Annotated[int, Field(ge=0, le=60)] = 0
    """Days before their deletion on which unpaid machines are powered off; 0: they are not."""
    seller_name: str = ""
    seller_address: str = ""
    seller_tax_id: str = ""

    image: str = "debian"
    """What machines of `qemu` are made from: `debian`, `tiny`, or the path or the URL of a cloud image."""
    image_sha256: Annotated[str, _read(types.sha256)] = ""
    """Which file is at the URL of the image."""
    image_dir: Path | None = None
    """Where images are kept, if not under `data_dir`."""
    public_ips: Annotated[tuple[str, ...], NoDecode, _read(types.ip_addresses)] = ()
    qemu_bridge: Annotated[str, _read(types.device_name)] = ""
    """The bridge of this host that machines with a public IP are plugged into."""
    qemu_gateway: Annotated[IPv4Interface | None, _read(types.gateway)] = None
    """The router of that bridge's network, with the length of the prefix."""
    machine_host: str = "127.0.0.1"
    """The name or address of this machine that customers are told."""
    machine_bind: str = "127.0.0.1"
    """The address that forwarded ports listen on."""
    machine_memory_mb: Annotated[int, Field(ge=64)] | None = None
    """A machine gets at most so much memory whatever it is sold as: for demos on small machines."""
    admin_ssh_key: Annotated[str, _read(types.ssh_key)] = ""
    provision_minutes: Annotated[int, Field(ge=1, le=24 * 60)] = 15

    smtp_url: Annotated[SecretStr | None, _secret(types.smtp_url)] = None
    mail_from: Annotated[str, _read(types.sender)] = ""

    sentry_dsn: Annotated[SecretStr | None, _secret(types.sentry_dsn)] = None
    """Where errors are reported to; none: they stay in the log."""
    clock_file: Path | None = None
    """Seconds by which the clock is moved stand in it; none but the demo moves clocks."""

    @field_validator("credit_limit", "topup_least", "topup_most", mode="before")
    @classmethod
    def _in_the_currency(cls, value: object, info: ValidationInfo) -> object:
        currency = info.data.get("currency")  # missing when it was malformed, which is complained of anyway
        if isinstance(value, str) and currency:
            return types.amount(Currency.of(currency), value)
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.smtp_url and not self.mail_from:
            raise ValueError(f"MAIL_FROM is missing: with SMTP_URL, expected {types.A_SENDER}")
        if bool(self.image_sha256) != ("://" in self.image):
            raise ValueError("IMAGE_SHA256: expected the checksum of the file at IMAGE if that is a URL, else nothing")
        self._bridge_fits()
        terms = self.terms()
        plain = terms.currency.plain
        if terms.topup_least < terms.card_minimum:
            raise ValueError(f"TOPUP_LEAST: expected {plain(terms.card_minimum)} or more, the least a card can pay")
        if terms.topup_most < terms.topup_least:
            raise ValueError(f"TOPUP_MOST: expected TOPUP_LEAST, {plain(terms.topup_least)}, or more")
        if terms.stars_rate % terms.currency.step:
            raise ValueError(f"STARS_RATE: expected a multiple of {terms.currency.step}, the least that can be charged")
        return self

    def _bridge_fits(self) -> None:
        if bool(self.qemu_bridge) != bool(self.qemu_gateway):
            raise ValueError("QEMU_GATEWAY: expected the router of QEMU_BRIDGE's network, such as 203.0.113.1/24")
        if self.qemu_gateway:
            network = self.qemu_gateway.network
            taken = {self.qemu_gateway.ip, network.network_address, network.broadcast_address}
            addresses = [ip_address(text) for text in self.public_ips]
            if not addresses or not all(address in network and address not in taken for address in addresses):
                raise ValueError(f"PUBLIC_IPS: expected free addresses of {network}, for QEMU_BRIDGE")

    def terms(self) -> Terms:
        """Return the terms of business; what is not set follows from the currency."""
        currency = Currency.of(self.currency)
        card_minimum = minimum(currency)
        least = self.topup_least or _TOPUP_LEAST_IN_MINIMA * card_minimum
        return Terms(
            currency=currency,
            seller=Party(self.seller_name, self.seller_address, self.seller_tax_id),
            tax_basis_points=self.tax_percent,
            credit_limit=self.credit_limit or currency.parse(_CREDIT_LIMIT),
            grace_months=self.grace_months,
            reminder_days=self.reminder_days,
            suspend_days=self.suspend_days,
            card_minimum=card_minimum,
            topup_least=least,
            topup_most=self.topup_most or _TOPUP_MOST_IN_LEASTS * least,
            stars_rate=self.stars_rate or 0,
        )

    @property
    def webhook_secret(self) -> str:
        """What Telegram shows us with each update: the secret that was set, else one made from the token."""
        if self.telegram_webhook_secret is not None:
            return self.telegram_webhook_secret.get_secret_value()
        token = self.bot_token.get_secret_value()
        return hmac.new(token.encode(), b"telegram webhook secret", hashlib.sha256).hexdigest()

    def secrets(self) -> Iterator[str]:
        """Yield every secret, the derived one included."""
        yield from super().secrets()
        yield self.webhook_secret


def _complaints(model: type[BaseSettings], error: ValidationError) -> Iterator[str]:
    """Yield what is wrong with each setting, without its value."""
    for problem in error.errors(include_url=False, include_input=False):
        if not problem["loc"]:
            yield str(problem["ctx"]["error"])
            continue
        name = str(problem["loc"][0])
        if problem["type"] == "missing":
            yield f"{name.upper()} is missing: expected {model.model_fields[name].description}"
        else:
            yield f"{name.upper()}: expected {_expected(problem)}"


def _expected(problem: ErrorDetails) -> str:
    about = problem.get("ctx", {})
    match problem["type"]:
        case "value_error":
            return str(about["error"])
        case "enum":
            return f"one of {about['expected']}".replace("'", "")
        case "greater_than_equal":
            return f"{about['ge']} or more"
        case "less_than_equal":
            return f"{about['le']} or less"
        case "int_parsing" | "int_from_float" | "int_type":
            return "a whole number"
        case _:
            return "something else"
