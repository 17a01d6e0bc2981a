"""The features of the house: everything that the chat can do, in one list."""

from bot.features import (
    account,
    balance,
    cards,
    deploy,
    email,
    former,
    home,
    invoices,
    machines,
    pay,
    profile,
    settings,
    support,
    unpaid,
    usage,
    vouchers,
)
from bot.features.admin import announce, audit, customers, deployments, panel, people, prices, refunds, stats
from bot.features.admin import former as admin_former
from bot.features.admin import invoices as admin_invoices
from bot.features.admin import stars as admin_stars
from bot.features.admin import unpaid as admin_unpaid
from bot.features.admin import vouchers as admin_vouchers

FEATURES = (
    *(home, deploy, machines, cards, invoices, settings, profile, email, former, account, usage, support),
    *(vouchers, balance, pay, unpaid),
    *(panel, customers, deployments, admin_invoices, refunds, prices, admin_vouchers, admin_stars, admin_unpaid),
    *(announce, people, audit, stats, admin_former),
)
