"""My data, and closing an account (C16, rules.md 7.3)."""

from billing.closing import Standing
from billing.money import Currency
from bot.callbacks import Press, button
from bot.format import bold, money
from bot.i18n import _, ngettext
from bot.links import Balance, Clusters, Invoices, Machines, Settings, Support
from bot.view import Attachment, Button, View
from bot.views import problems


@button("sy")
class CloseNow(Press):
    """The account shall be closed."""


def data(content: bytes) -> View:
    """Return everything of a person's as a file."""
    return View(
        _("📦 All that is kept about you. Amounts are in the smallest unit of the currency, times are UTC."),
        ((problems.back(Settings()), problems.home()),),
        Attachment("my-data.json", content),
    )


def ask_close(standing: Standing, currency: Currency) -> View:
    """Return the one question before an account is closed, or what keeps it open."""
    if not standing.may_close:
        return not_yet(standing, currency)
    lines = [
        bold(_("🚪 Close your account?")),
        "",
        _("Your cards, SSH keys, e-mail address and billing details are removed, here and at the payment service."),
        _("Invoices and payments stay in the books, as the law wants it. /start opens the account again."),
    ]
    if standing.left:
        lines.append(
            _("⚠️ You still have {amount} in balance and vouchers. Ask /support about it before you go.").format(
                amount=bold(money(standing.left, currency))
            )
        )
    return View(
        "\n".join(lines),
        ((Button(_("🚪 Close my account"), CloseNow()),), (Button(_("‹ Keep it"), Settings()),)),
    )


def not_yet(standing: Standing, currency: Currency) -> View:
    """Return what keeps an account open, and the way to end it."""
    lines, steps = [_("Your account cannot be closed yet:"), ""], []
    if standing.deployments:
        text = ngettext("{count} deployment runs", "{count} deployments run", standing.deployments)
        lines.append("• " + text.format(count=standing.deployments))
        steps += [Button(_("🖥 Machines"), Machines()), Button(_("☸️ Clusters"), Clusters())]
    if standing.debt > 0:
        lines.append("• " + _("{amount} is unpaid").format(amount=bold(money(standing.debt, currency))))
        steps.append(Button(_("🧾 Invoices"), Invoices()))
    if standing.usage:
        lines.append("• " + _("hours of this month are not invoiced yet: the invoice comes on the first"))
    if standing.dispute:
        lines.append("• " + _("a payment is disputed at your bank"))
        steps.append(Button(_("💬 Support"), Support()))
    if standing.payment:
        lines.append("• " + _("a payment is under way"))
        steps.append(Button(_("💰 Balance"), Balance()))
    return problems.problem("\n".join(lines), *steps, problems.back(Settings()))


def closed() -> View:
    """Return the farewell."""
    return View(_("👋 Your account is closed and your personal details are gone. /start opens it again."))


def closed_already() -> View:
    """Return the answer to who is closed and types something else."""
    return View(_("Your account is closed. /start opens it again."))
