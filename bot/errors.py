"""One place that turns an error into an answer; the words are in `views/problems.py`."""

import logging
from uuid import uuid4

from billing.errors import BillingError
from billing.gateway import GatewayError
from bot.callbacks import OldButton
from bot.view import View
from bot.views import problems
from cloud.drivers.base import DriverError

log = logging.getLogger(__name__)


class Problem(Exception):
    """A refusal that knows its screen."""

    def __init__(self, view: View) -> None:
        """Take the screen to show."""
        super().__init__(view.text)
        self.view = view


def answer(error: Exception) -> View:
    """Return the screen for an error; one that nobody foresaw is logged with a word to quote to support."""
    match error:
        case Problem(view=view):
            return view
        case OldButton():
            return problems.old_screen()
        case GatewayError():
            log.warning("payment provider: %s", error)
            return problems.payments_unreachable()
        case DriverError():
            log.warning("cloud: %s", error)
            return problems.cloud_unreachable()
        case BillingError():
            return problems.refused(error)
    reference = uuid4().hex[:8]
    log.error("unforeseen, reference %s", reference, exc_info=error)
    return problems.unforeseen(reference)
