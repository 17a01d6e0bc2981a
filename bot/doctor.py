"""`python -m bot doctor`: one line for each thing that has to work, and how to mend what does not."""

from collections.abc import Awaitable, Callable

from telegram.error import InvalidToken, TelegramError

from billing.gateway import GatewayError
from bot import migrate
from bot.context import Services
from bot.mail import Mailer
from bot.settings import CannotStart
from cloud.drivers.base import DriverError


class Unwell(Exception):
    """Something does not work; the message says what and how to mend it."""


Check = Callable[[], Awaitable[str]]


async def examine(services: Services, mailer: Mailer | None) -> int:
    """Print a line for each check; return 1 if any failed, else 0."""
    checks: dict[str, Check] = {
        "telegram": lambda: _telegram(services),
        "stripe": services.gateway.check,
        "webhooks": lambda: _webhooks(services),
        "database": lambda: _database(services),
        "machines": services.driver.check,
        "mail": lambda: _mail(mailer),
    }
    failed = 0
    for name, check in checks.items():
        try:
            line = f"ok    {name}: {await check()}"
        except (Unwell, GatewayError, DriverError, CannotStart) as error:
            line, failed = f"FAIL  {name}: {error}", 1
        print(line)  # noqa: T201 the answer of the command
    return failed


async def _telegram(services: Services) -> str:
    try:
        me = await services.bot.get_me()
    except InvalidToken:
        raise Unwell("BOT_TOKEN is refused; get it again from @BotFather with /token") from None
    except TelegramError as error:
        raise Unwell(f"TELEGRAM_API_URL does not answer ({error.message}); is the network up?") from None
    return f"@{me.username}"


async def _webhooks(services: Services) -> str:
    settings = services.settings
    if not settings.public_url:
        return "none: PUBLIC_URL is empty, Telegram and Stripe are polled"
    if settings.stripe_webhook_secret is None:
        raise Unwell(
            f"STRIPE_WEBHOOK_SECRET is missing: make an endpoint for {settings.public_url}/stripe in Stripe's "
            "dashboard and copy its signing secret"
        )
    try:
        info = await services.bot.get_webhook_info()
    except TelegramError as error:
        raise Unwell(f"Telegram does not say where it sends updates ({error.message})") from None
    if info.last_error_message:
        raise Unwell(f"Telegram cannot reach {settings.public_url}/telegram: {info.last_error_message}")
    return f"{settings.public_url}/telegram and /stripe"


async def _database(services: Services) -> str:
    url = services.database.url
    found = await migrate.state(url.render_as_string(hide_password=False))
    if found is migrate.Schema.BEHIND:
        raise Unwell("the schema is behind this program; run: python -m bot migrate")
    if found is migrate.Schema.UNKNOWN:
        raise Unwell("the schema is newer than this program; start the version that made it")
    return f"{url.get_backend_name()}, schema current"


async def _mail(mailer: Mailer | None) -> str:
    if mailer is None:
        return "none: SMTP_URL is empty, people are told in the chat only"
    problem = await mailer.check()
    if problem:
        raise Unwell(f"SMTP_URL: {problem}")
    return "the server takes mail"
