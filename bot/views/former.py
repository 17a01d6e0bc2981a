"""Coming from the system before this one: the mail with the link, and what its opening says."""

from billing.terms import Terms
from bot.format import bold, enumerated, escape, money
from bot.i18n import _, ngettext
from bot.links import AddCard, Balance, Machines, Support
from bot.view import Button, View
from bot.views import problems
from cloud.former import Arrived, Letter

_LIST = 40
"""So many names are told before the rest is only counted."""


def mail(letter: Letter, shop: str, link: str, terms: Terms) -> View:
    """Return the mail that a user of the former system gets; its first line is the subject."""
    lines = [
        _("Your machines have moved to Telegram"),
        "",
        _("Hello {name},").format(name=escape(letter.name)) if letter.name else _("Hello,"),
        "",
        _("The service where you have an account is now {shop}, a bot on Telegram. Nothing of yours is lost:").format(
            shop=bold(shop)
        ),
    ]
    if letter.count:
        text = ngettext(
            "• {count} machine runs on as it is. From the moment you come it costs {amount} a month at most.",
            "• {count} machines run on as they are. From the moment you come they cost {amount} a month at most.",
            letter.count,
        )
        amount = money(terms.with_tax(letter.monthly), terms.currency)
        lines.append(text.format(count=letter.count, amount=bold(amount)))
    if letter.funds:
        lines.append(
            _("• Your vouchers and your quota there become {amount} to spend here.").format(
                amount=bold(money(letter.funds, terms.currency))
            )
        )
    lines += [
        "",
        _("Open this link in your Telegram within two weeks. It works once, for one person, so keep it to yourself."),
        _("Machines are paid by card, or with vouchers as long as they last: without either, add a card there."),
    ]
    return View("\n".join(lines), ((Button(_("Open my account"), url=link),),))


def arrived(found: Arrived, terms: Terms, *, has_card: bool) -> View:
    """Return what somebody finds here."""
    welcome = _("👋 Welcome! What you had there is yours here.")
    lines = [_("All this is yours already.") if found.again else welcome]
    if found.names:
        names = enumerated(bold(name) for name in found.names[:_LIST])
        lines += ["", "🖥 " + names + (" …" if len(found.names) > _LIST else "")]
        amount = money(terms.with_tax(found.monthly), terms.currency)
        lines.append(_("Billed by the hour from now on, {amount} a month at most.").format(amount=bold(amount)))
    if found.funds:
        lines += ["", _("🎟 {amount} of vouchers").format(amount=bold(money(found.funds, terms.currency)))]
    card = () if has_card else ((Button(_("💳 Add a card"), AddCard()),),)
    return View(
        "\n".join(lines),
        (
            (Button(_("🖥 Machines"), Machines()), Button(_("💰 Balance"), Balance())),
            *card,
            (problems.home(),),
        ),
    )


def dead_link() -> View:
    """Return the answer to a link that does not work."""
    return problems.problem(
        _("This link does not work, or not any more. Write to us, and we send you a new one."),
        Button(_("💬 Support"), Support()),
    )
