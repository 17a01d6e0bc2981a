"""Settings: one screen with all of them, and SSH keys."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from billing.money import Currency
from bot.callbacks import Press, button
from bot.format import bold, code, escape, money
from bot.i18n import LANGUAGES, _, ngettext
from bot.links import AddKey, AskEmail, Cancel, Keys, Settings
from bot.view import Button, Rows, View
from bot.views import problems
from cloud import ssh_keys
from cloud.models import SshKey
from cloud.ssh_keys import BadKey


@button("sr")
class RemoveKey(Press):
    """Take a key off the profile."""

    key_id: int


@button("sb")
class Billing(Press):
    """What invoices say of the customer."""


@button("sg")
class Budget(Press):
    """The customer's own monthly limit."""


@button("sn")
class Languages(Press):
    """Choose a language."""


@button("sd")
class MyData(Press):
    """Everything of theirs as a file."""


@button("sc")
class AskClose(Press):
    """Ask whether the account shall be closed."""


@dataclass(frozen=True, slots=True)
class SettingsData:
    """What a person has set.

    Attributes:
        keys: how many SSH keys.
        email: the confirmed address, empty if there is none.
        email_waiting: the address whose link was not opened yet, empty if there is none.
        billing_name: what invoices say, empty for the name that Telegram shows.
        budget: in minor units a month, none where there is none.
        language: the code of the language.
    """

    keys: int
    email: str
    email_waiting: str
    billing_name: str
    budget: int | None
    language: str


def settings(data: SettingsData, currency: Currency) -> View:
    """Return all settings."""
    lines = [bold(_("⚙️ Settings")), ""]
    if data.keys:
        lines.append(ngettext("🔑 {count} SSH key", "🔑 {count} SSH keys", data.keys).format(count=data.keys))
    else:
        lines.append(_("🔑 You have no SSH key yet. With one you can log in to your machines."))
    lines.append(_("✉️ E-mail: {address}").format(address=_email(data)))
    name = escape(data.billing_name) if data.billing_name else _("as in Telegram")
    lines.append(_("🧾 Name on invoices: {name}").format(name=name))
    budget = _("none") if data.budget is None else _("{amount} a month").format(amount=money(data.budget, currency))
    lines.append(_("🎯 Budget: {budget}").format(budget=budget))
    lines.append(_("🌐 Language: {language}").format(language=LANGUAGES[data.language]))
    keys = Button(_("🔑 SSH keys"), Keys()) if data.keys else Button(_("🔑 Add an SSH key"), AddKey())
    return View(
        "\n".join(lines),
        (
            (keys, Button(_("✉️ E-mail"), AskEmail())),
            (Button(_("🧾 Billing details"), Billing()), Button(_("🎯 Budget"), Budget())),
            (Button(_("🌐 Language"), Languages()), Button(_("📦 My data"), MyData())),
            (Button(_("🚪 Close my account"), AskClose()), problems.home()),
        ),
    )


def _email(data: SettingsData) -> str:
    if data.email_waiting:
        return _("{address} (open the link in the mail)").format(address=escape(data.email_waiting))
    return escape(data.email) if data.email else _("none")


# --- SSH keys


def keys(mine: Sequence[SshKey]) -> View:
    """Return the keys on the profile."""
    if not mine:
        return View(
            _("You have no SSH key yet. With one you can log in to your machines."),
            ((Button(_("🔑 Add an SSH key"), AddKey()),), (problems.back(Settings()),)),
        )
    lines = [bold(_("🔑 Your SSH keys"))]
    nameless = _("no name")
    lines += [f"{escape(key.comment or nameless)}\n{code(key.fingerprint)}" for key in mine]
    lines.append(_("They are put on every machine that you deploy from now on."))
    remove: Rows = tuple(
        (Button(_("✖️ Remove {name}").format(name=(key.comment or key.fingerprint)[:30]), RemoveKey(key_id=key.id)),)
        for key in mine
    )
    return View(
        "\n\n".join(lines),
        ((Button(_("🔑 Add an SSH key"), AddKey()),), *remove, (problems.back(Settings()),)),
    )


def ask_key(problem: str = "") -> View:
    """Return the question for a key; `problem` says what was wrong with the last text."""
    text = _(
        "🔑 Send me your <b>public</b> SSH key: one line, as in the file {file}.\n\n"
        "No key yet? On your computer type {command} and send me that file's text."
    ).format(file=code("~/.ssh/id_ed25519.pub"), command=code("ssh-keygen -t ed25519"))
    return View(f"{problem}\n\n{text}" if problem else text, ((Button(_("✖️ Cancel"), Cancel()),),))


def key_problem(error: BadKey) -> str:
    """Return why a text is no key that can be used."""
    match error:
        case ssh_keys.NoKey():
            return _("❌ There is no key in that message.")
        case ssh_keys.PrivateKey():
            return _(
                "❌ That is a <b>private</b> key, which nobody else may see. "
                "Delete the message and do not use that key any more."
            )
        case ssh_keys.SeveralLines():
            return _("❌ A public key is one line of text. Copy the whole line, once.")
        case ssh_keys.HasOptions():
            return _("❌ There are options before the key. Send only the part from {start} on.").format(
                start=code("ssh-…")
            )
        case ssh_keys.TooWeak(bits=bits):
            return _("❌ That RSA key has {bits} bits; at least {least} are needed.").format(
                bits=bits, least=ssh_keys.RSA_BITS_MIN
            )
        case ssh_keys.Broken():
            return _("❌ That key is damaged or not complete. Copy the whole line again.")
        case _:
            return _("❌ That is not an SSH public key that works here (ed25519, ecdsa, rsa).")


def too_many_keys(most: int) -> View:
    """Return that there is no room for another key."""
    return problems.problem(
        ngettext(
            "You have {count} SSH key, which is the most. Remove one first.",
            "You have {count} SSH keys, which is the most. Remove one first.",
            most,
        ).format(count=most),
        Button(_("🔑 SSH keys"), Keys()),
    )


def key_added(fingerprint: str, order: View | None) -> View:
    """Return the answer to a new key; with the order that it was missing, if there is one."""
    done = _("✅ Key added.") + f"\n{code(fingerprint)}"
    if order is not None:
        return replace(order, text=f"{done}\n\n{order.text}")
    return View(done, ((Button(_("⚙️ Settings"), Settings()), problems.home()),))
