"""Settings: SSH keys, and later address, language and budget."""

from collections.abc import Sequence

from bot.callbacks import Press, button
from bot.format import bold, code, escape
from bot.i18n import _, ngettext
from bot.links import AddKey, Cancel, Settings
from bot.view import Button, Rows, View
from bot.views import problems
from cloud.models import SshKey


@button("sr")
class RemoveKey(Press):
    """Take a key off the profile."""

    key_id: int


def settings(keys: Sequence[SshKey]) -> View:
    """Return the settings with the keys on the profile."""
    if keys:
        count = ngettext("{count} SSH key", "{count} SSH keys", len(keys)).format(count=len(keys))
        lines = [bold(count), *(f"🔑 {escape(key.comment or _('no name'))}\n{code(key.fingerprint)}" for key in keys)]
        lines.append(_("They are put on every machine that you deploy from now on."))
    else:
        lines = [_("You have no SSH key yet. With one you can log in to your machines.")]
    remove: Rows = tuple(
        (Button(_("✖️ Remove {name}").format(name=(key.comment or key.fingerprint)[:30]), RemoveKey(key_id=key.id)),)
        for key in keys
    )
    return View(
        _("⚙️ Settings") + "\n\n" + "\n\n".join(lines),
        ((Button(_("🔑 Add an SSH key"), AddKey()),), *remove, (problems.home(),)),
    )


def ask_key(problem: str = "") -> View:
    """Return the question for a key; `problem` says what was wrong with the last text."""
    text = _(
        "🔑 Send me your <b>public</b> SSH key: one line, as in the file {file}.\n\n"
        "No key yet? On your computer type {command} and send me that file's text."
    ).format(file=code("~/.ssh/id_ed25519.pub"), command=code("ssh-keygen -t ed25519"))
    return View(f"{problem}\n\n{text}" if problem else text, ((Button(_("✖️ Cancel"), Cancel()),),))


def key_problem(reason: str) -> str:
    """Return why a text is no key that can be used."""
    return f"❌ {escape(reason)}"


def key_added(fingerprint: str, *next_steps: Button) -> View:
    """Return the answer to a new key."""
    return View(
        _("✅ Key added.") + f"\n{code(fingerprint)}",
        (*((step,) for step in next_steps), (Button(_("⚙️ Settings"), Settings()), problems.home())),
    )


def go_on() -> str:
    """Return the words on the button that leads back to an order."""
    return _("🚀 Go on with the order")
