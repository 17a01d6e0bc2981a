"""Buttons that several screens have: where they lead is named here, so that features need not import features."""

from bot.callbacks import Press, button


@button("h")
class Home(Press):
    """The start screen."""


@button("pr")
class Prices(Press):
    """The price list."""


@button("d")
class Deploy(Press):
    """Begin an order."""


@button("q")
class ShowQuote(Press):
    """An order that was made before, with a fresh price if the old one is no longer good."""

    quote_id: int


@button("m")
class Machines(Press):
    """All machines, a page of them."""

    page: int = 0


@button("k")
class Clusters(Press):
    """All clusters, a page of them."""

    page: int = 0


@button("md")
class ShowDeployment(Press):
    """One machine or cluster."""

    deployment_id: int


@button("c")
class Cards(Press):
    """All cards."""


@button("ca")
class AddCard(Press):
    """A page to add a card."""


@button("i")
class Invoices(Press):
    """All invoices, a page of them."""

    page: int = 0


@button("is")
class ShowInvoice(Press):
    """One invoice."""

    invoice_id: int


@button("py")
class PayInvoice(Press):
    """Pay one invoice, the split shown first."""

    invoice_id: int


@button("pa")
class PayAll(Press):
    """Pay everything that is open, the split shown first."""


@button("b")
class Balance(Press):
    """What there is, and how long it lasts."""


@button("t")
class Topup(Press):
    """Charge the balance: choose an amount."""


@button("v")
class EnterVoucher(Press):
    """Type a voucher's code."""


@button("va")
class Apply(Press):
    """Ask for a voucher."""


@button("vq")
class Requests(Press):
    """For administrators: the oldest request for a voucher that waits."""


@button("s")
class Settings(Press):
    """Keys, address and the rest."""


@button("sk")
class AddKey(Press):
    """Type a new SSH key; then on with this order, if there is one."""

    quote_id: int = 0


@button("sl")
class Keys(Press):
    """All SSH keys."""


@button("se")
class AskEmail(Press):
    """Type an e-mail address."""


@button("u")
class Usage(Press):
    """Hours and cost of this month."""


@button("sp")
class Support(Press):
    """Write to the people behind the bot."""


@button("x")
class Cancel(Press):
    """Leave a question unanswered."""
