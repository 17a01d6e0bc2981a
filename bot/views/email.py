"""An e-mail address: asked for, confirmed by one tap in the mail."""

from bot.callbacks import Press, button
from bot.format import bold, code, isolated
from bot.i18n import _
from bot.links import AskEmail, Cancel, Settings
from bot.view import Button, Rows, View
from bot.views import problems


@button("sf")
class ForgetEmail(Press):
    """Use no address any more."""


@button("sz")
class SkipEmail(Press):
    """Give no address now."""


def ask(current: str, problem: str = "") -> View:
    """Return the question for an address; `problem` says what was wrong with the last text."""
    text = _("✉️ Which e-mail address shall I use? Invoices and warnings go there too, not only into this chat.")
    if current:
        text += "\n\n" + _("Now: {address}").format(address=bold(current))
    forget: Rows = ((Button(_("🗑 Use no address"), ForgetEmail()),),) if current else ()
    return View(f"{problem}\n\n{text}" if problem else text, (*forget, (Button(_("✖️ Cancel"), Cancel()),)))


def bad(text: str) -> str:
    """Return that a text is no address."""
    return _("❌ {text} is not an e-mail address I can use.").format(text=code(text[:_SHOWN] or " "))


_SHOWN = 70


def sent(address: str) -> View:
    """Return that a link was mailed."""
    return View(
        _("📨 I sent a mail to {address}. Open the link in it, and the address is yours.").format(address=bold(address))
        + "\n\n"
        + _("Nothing there after a minute? Look into the spam folder, or try another address."),
        ((Button(_("✉️ Another address"), AskEmail()),), (Button(_("⚙️ Settings"), Settings()), problems.home())),
    )


def confirmed(address: str) -> View:
    """Return that the address counts from now on."""
    return View(
        _("✅ {address} is confirmed. Invoices and warnings go there too.").format(address=bold(address)),
        ((Button(_("⚙️ Settings"), Settings()), problems.home()),),
    )


def dead_link() -> View:
    """Return the answer to a link that does not work."""
    return problems.problem(
        _("This link does not work, or not any more. Have a new one sent to you."),
        Button(_("✉️ E-mail"), AskEmail()),
    )


def too_many() -> View:
    """Return that enough mails were sent for a day."""
    return problems.problem(_("I have sent you enough mails for one day. Please try again tomorrow."))


def forgotten() -> View:
    """Return that no address is used any more."""
    return View(
        _("✅ I use no e-mail address any more. Everything is told in this chat."),
        ((Button(_("⚙️ Settings"), Settings()), problems.home()),),
    )


def skipped() -> View:
    """Return that no address is needed."""
    return View(
        _("All right. {command} sets one at any time.").format(command=isolated("/email")),
        ((problems.home(),),),
    )


def no_mail() -> View:
    """Return that this house sends no mail."""
    return problems.problem(
        _("No mail is sent here: everything is told in this chat."), Button(_("⚙️ Settings"), Settings())
    )


def unreachable() -> View:
    """Return that the mail server gave no answer."""
    return problems.problem(
        _("The mail could not be sent right now. Please try again in a minute."), Button(_("✉️ E-mail"), AskEmail())
    )


def mail(name: str, link: str) -> View:
    """Return the mail that confirms an address; its first line is the subject."""
    return View(
        _("Confirm your e-mail address")
        + "\n\n"
        + _("Somebody, most likely you, gave this address to {name} on Telegram.").format(name=bold(name))
        + " "
        + _("To have invoices and warnings sent here, open this link in your Telegram within two days:"),
        ((Button(_("Confirm this address"), url=link),),),
    )
