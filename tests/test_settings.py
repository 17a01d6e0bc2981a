"""Settings: what is read from where, and the one line that names what is wrong and shows no secret."""

import os
from pathlib import Path

import pytest

from bot.setting_types import Address, Compute, LogFormat
from bot.settings import DatabaseSettings, InvalidSettings, Settings

TOKEN = "123456:a-token"
KEY = "sk_test_key"
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def empty_house(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting is set, and no .env is here."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def load(**texts: str) -> Settings:
    """The settings of an environment that has the required ones and these."""
    with pytest.MonkeyPatch.context() as patch:
        for name, text in ({"BOT_TOKEN": TOKEN, "STRIPE_API_KEY": KEY} | texts).items():
            patch.setenv(name, text)
        return Settings.load()


def complaint(**texts: str) -> str:
    with pytest.raises(InvalidSettings) as caught:
        load(**texts)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults_are_those_of_the_contract() -> None:
    settings = load()
    assert settings.telegram_api_url == "https://api.telegram.org"
    assert settings.stripe_api_url == "https://api.stripe.com"
    assert settings.listen == Address("127.0.0.1", 8080)
    assert settings.database == "sqlite+aiosqlite:///data/vmbot.sqlite3"
    assert settings.compute is Compute.QEMU
    assert settings.log_format is LogFormat.TEXT
    assert settings.admin_ids == frozenset()
    terms = settings.terms()
    assert (terms.currency.code, terms.credit_limit, terms.grace_months, terms.reminder_days) == ("usd", 20_000, 3, 7)
    assert (terms.tax_basis_points, terms.card_minimum, terms.topup_least, terms.topup_most) == (0, 50, 500, 100_000)


def test_both_required_settings_are_named_in_one_line() -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings.load()
    assert str(caught.value) == (
        "BOT_TOKEN is missing: expected the token that @BotFather gave: digits, a colon, letters; "
        "STRIPE_API_KEY is missing: expected a secret or restricted key of Stripe, sk_… or rk_…"
    )


def test_an_empty_value_is_a_missing_one() -> None:
    assert complaint(BOT_TOKEN="").startswith("BOT_TOKEN is missing")
    assert load(CURRENCY="", ADMIN_IDS="", SUPPORT_CHAT_ID="", LISTEN="", CREDIT_LIMIT="") == load()


def test_the_file_is_read_and_the_environment_goes_before_it() -> None:
    Path(".env").write_text(
        f"BOT_TOKEN={TOKEN}\nSTRIPE_API_KEY={KEY}\nCURRENCY=eur\nTAX_PERCENT=19\nOTHERS_SETTING=1\n"
    )
    settings = load(CURRENCY="chf")
    assert (settings.currency, settings.tax_percent) == ("chf", 1900)


def test_a_file_that_is_no_text_is_named() -> None:
    Path(".env").write_bytes(b"BOT_TOKEN=\xff\xfe\n")
    assert complaint() == ".env: expected UTF-8"


def test_the_example_shows_the_defaults() -> None:
    by_default = load()
    Path(".env").write_text((ROOT / ".env.example").read_text())
    from_example = load()
    assert from_example.terms() == by_default.terms()
    assert from_example.model_dump(exclude={"credit_limit"}) == by_default.model_dump(exclude={"credit_limit"})


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("BOT_TOKEN", "a token", "the token that @BotFather gave: digits, a colon, letters"),
        ("TELEGRAM_API_URL", "api.telegram.org", "the address of a service, https://…"),
        ("TELEGRAM_API_URL", "http://host:99999", "the address of a service, https://…"),
        ("ADMIN_IDS", "12, @me", "Telegram user ids, separated by commas, such as 1234567, 89101112"),
        ("SUPPORT_CHAT_ID", "@support", "a whole number"),
        ("PUBLIC_URL", "http://bot.example.com", "an address that Telegram and Stripe can reach, https://…"),
        ("TELEGRAM_WEBHOOK_SECRET", "with a space", "1 to 256 letters, digits, _ and -"),
        ("TELEGRAM_WEBHOOK_SECRET", "x" * 257, "1 to 256 letters, digits, _ and -"),
        ("LISTEN", "8080", "host:port such as 127.0.0.1:8080"),
        ("LISTEN", "::1:8080", "host:port such as 127.0.0.1:8080"),
        ("LISTEN", "localhost:65536", "a port up to 65535"),
        ("DATABASE_URL", "mysql://root@host/db", "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"),
        ("DATABASE_URL", "data.sqlite3", "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"),
        ("STRIPE_API_KEY", "pk_test_public", "a secret or restricted key of Stripe, sk_… or rk_…"),
        ("STRIPE_WEBHOOK_SECRET", "secret", "the signing secret of the webhook, whsec_…"),
        ("CURRENCY", "dollars", "three letters of ISO 4217 such as usd"),
        ("CREDIT_LIMIT", "a lot", "an amount in usd such as 200.00, but it is not a number such as 5.00"),
        ("CREDIT_LIMIT", "1.005", "an amount in usd such as 200.00, but it has more than 2 decimals"),
        ("TAX_PERCENT", "19 %", "a percentage from 0 to 100 with at most two decimals, such as 19 or 7.7"),
        ("TAX_PERCENT", "nan", "a percentage from 0 to 100 with at most two decimals, such as 19 or 7.7"),
        ("TAX_PERCENT", "7.123", "a percentage from 0 to 100 with at most two decimals, such as 19 or 7.7"),
        ("GRACE_MONTHS", "0", "1 or more"),
        ("REMINDER_DAYS", "90", "31 or less"),
        ("REMINDER_DAYS", "weekly", "a whole number"),
        ("COMPUTE", "cloud", "one of qemu, proxmox, hetzner, libcloud or simulated"),
        ("LOG_FORMAT", "xml", "one of text or json"),
        ("PUBLIC_IPS", "192.0.2.1, host", "IP addresses of this machine, separated by commas"),
        ("QEMU_BRIDGE", "the first one", "the name of a bridge of this machine, such as br0"),
        ("QEMU_GATEWAY", "br0", "a router's IPv4 address and the length of the prefix, such as 203.0.113.1/24"),
        ("MACHINE_MEMORY_MB", "63", "64 or more"),
        ("PROVISION_MINUTES", "0.5", "a whole number"),
        ("K3S_VERSION", "latest", "a version of k3s such as v1.33.4+k3s1"),
        ("PROXMOX_TOKEN_ID", "root@pam", "the id of an API token, user@realm!name"),
        ("LIBCLOUD_PROVIDER", "aws", "one of ec2, openstack, digitalocean, vultr or linode"),
        ("SMTP_URL", "mail.example.com:25", "smtp://user:password@host:port or smtps://…"),
        ("MAIL_FROM", "the shop", "an address such as Shop <shop@example.com>"),
    ],
)
def test_a_malformed_setting_is_named_with_what_is_expected(name: str, text: str, expected: str) -> None:
    assert complaint(**{name: text}) == f"{name}: expected {expected}"


@pytest.mark.parametrize("public_ips", ["", "203.0.113.1", "203.0.113.0", "198.51.100.2", "203.0.113.9, 2001:db8::1"])
def test_a_bridge_needs_its_router_and_addresses_of_its_network(public_ips: str) -> None:
    assert complaint(QEMU_BRIDGE="br0").startswith("QEMU_GATEWAY: expected the router")
    assert complaint(QEMU_GATEWAY="203.0.113.1/24").startswith("QEMU_GATEWAY: expected the router")
    whole = {"QEMU_BRIDGE": "br0", "QEMU_GATEWAY": "203.0.113.1/24"}
    expected = "PUBLIC_IPS: expected free addresses of 203.0.113.0/24, for QEMU_BRIDGE"
    assert complaint(**whole, PUBLIC_IPS=public_ips) == expected
    assert load(**whole, PUBLIC_IPS="203.0.113.9").qemu_bridge == "br0"


def test_in_memory_databases_are_refused_with_the_reason() -> None:
    assert "readers and writer" in complaint(DATABASE_URL="sqlite://")
    assert "readers and writer" in complaint(DATABASE_URL="sqlite:///:memory:")


def test_an_ssh_key_is_checked() -> None:
    assert complaint(ADMIN_SSH_KEY="rsa").startswith("ADMIN_SSH_KEY: expected a public SSH key on one line. ")


def test_no_message_and_no_print_shows_a_secret() -> None:
    secrets = {
        "BOT_TOKEN": "hidden token",
        "STRIPE_API_KEY": "hidden_key",
        "TELEGRAM_WEBHOOK_SECRET": "hidden secret",
        "STRIPE_WEBHOOK_SECRET": "hidden",
        "DATABASE_URL": "mysql://me:hidden@host/db",
        "SMTP_URL": "mail://me:hidden@host",
    }
    message = complaint(**secrets)
    assert all(name in message for name in secrets)
    assert "hidden" not in message
    good = load(
        BOT_TOKEN="1:hidden",
        STRIPE_API_KEY="sk_test_hidden",
        TELEGRAM_WEBHOOK_SECRET="hidden-secret-of-ours",
        STRIPE_WEBHOOK_SECRET="whsec_hidden",
        DATABASE_URL="postgresql://me:hidden@host/db",
        SMTP_URL="smtp://me:hidden@host",
        MAIL_FROM="shop@example.com",
    )
    assert "hidden" not in repr(good) + str(good) + str(good.model_dump()) + good.model_dump_json()
    assert {"1:hidden", "sk_test_hidden", "hidden-secret-of-ours", "whsec_hidden"} < set(good.secrets())


def test_a_failed_setting_leaves_no_secret_in_the_traceback() -> None:
    """What a crash reporter would print: the error, its cause and its context."""
    with pytest.raises(InvalidSettings) as caught:
        load(STRIPE_API_KEY="hidden_key")
    assert caught.value.__cause__ is None
    assert "hidden_key" not in str(caught.value.__context__)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("sqlite:///a/b.db", "sqlite+aiosqlite:///a/b.db"),
        ("sqlite+aiosqlite:////a/b.db", "sqlite+aiosqlite:////a/b.db"),
        ("postgres://u:p%40@h/d", "postgresql+asyncpg://u:p%40@h/d"),
        ("postgresql://h/d?sslmode=require", "postgresql+asyncpg://h/d?ssl=require"),
        ("postgresql+asyncpg://u@h:5433/d", "postgresql+asyncpg://u@h:5433/d"),
    ],
)
def test_databases_get_the_driver_that_we_use(text: str, url: str) -> None:
    assert load(DATABASE_URL=text).database == url


def test_the_database_is_in_the_data_folder_unless_told() -> None:
    assert load(DATA_DIR="/var/lib/vmbot").database == "sqlite+aiosqlite:////var/lib/vmbot/vmbot.sqlite3"


def test_migrating_needs_only_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/d")
    assert DatabaseSettings.load().database == "postgresql+asyncpg://h/d"


def test_lists_and_addresses() -> None:
    settings = load(
        ADMIN_IDS=" 1,22, 333,", LISTEN="[::1]:0", SUPPORT_CHAT_ID="-100123", PUBLIC_URL="https://b.example/x/"
    )
    assert settings.admin_ids == {1, 22, 333}
    assert load(PUBLIC_IPS="192.0.2.1, 2001:DB8::1").public_ips == ("192.0.2.1", "2001:db8::1")
    assert settings.listen == Address("::1", 0)
    assert settings.support_chat_id == -100123
    assert settings.public_url == "https://b.example/x"
    assert load(PUBLIC_URL="http://127.0.0.1:8080").public_url == "http://127.0.0.1:8080"


def test_amounts_are_read_in_the_currency() -> None:
    yen = load(CURRENCY="JPY", CREDIT_LIMIT="30000").terms()
    assert (yen.credit_limit, yen.card_minimum, yen.topup_least, yen.topup_most) == (30_000, 50, 500, 100_000)
    dinar = load(CURRENCY="kwd", TOPUP_LEAST="1.5").terms()
    assert (dinar.credit_limit, dinar.topup_least) == (200_000, 1500)
    assert "more than 0 decimals" in complaint(CURRENCY="jpy", CREDIT_LIMIT="1.50")


def test_top_ups_fit_what_a_card_can_pay() -> None:
    assert complaint(TOPUP_LEAST="0.49") == "TOPUP_LEAST: expected 0.50 or more, the least a card can pay"
    assert complaint(TOPUP_LEAST="20", TOPUP_MOST="19.99") == "TOPUP_MOST: expected TOPUP_LEAST, 20.00, or more"


def test_mail_needs_a_sender() -> None:
    assert complaint(SMTP_URL="smtp://localhost:25").startswith("MAIL_FROM is missing: with SMTP_URL, expected")


def test_the_webhook_secret_is_made_from_the_token_unless_set() -> None:
    made = load().webhook_secret
    assert made == load().webhook_secret != load(BOT_TOKEN="123456:another").webhook_secret
    assert len(made) == 64
    assert TOKEN not in made
    assert made in set(load().secrets())
    assert load(TELEGRAM_WEBHOOK_SECRET="Own_-1234567890123").webhook_secret == "Own_-1234567890123"


def test_the_environment_is_not_changed() -> None:
    before = dict(os.environ)
    load(CURRENCY="eur")
    assert dict(os.environ) == before
