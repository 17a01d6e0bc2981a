"""The tables of the money, split by subject."""

from billing.models.base import BIG, Amount, Base, Id, Instant, MonthNumber
from billing.models.customers import Administrator, AuditEntry, Customer
from billing.models.invoices import CreditNote, Invoice, InvoiceKind, InvoiceLine, NumberSeries
from billing.models.ledger import CUSTOMER_KINDS, HOUSE_KINDS, Account, AccountKind, Phase, Transfer
from billing.models.outbox import Channel, JobRun, MonthRun, Notice, NoticeStatus
from billing.models.payments import (
    IN_FLIGHT,
    Card,
    Checkout,
    CheckoutPurpose,
    CheckoutStatus,
    Payment,
    PaymentAllocation,
    PaymentKind,
    PaymentMethod,
    PaymentStatus,
    ProviderEvent,
    SettlementWish,
)
from billing.models.sales import Interval, Kind, Price, Quote, Subscription, Usage, Watermark
from billing.models.vouchers import RequestStatus, Voucher, VoucherAttempt, VoucherRequest

__all__ = [
    "BIG",
    "CUSTOMER_KINDS",
    "HOUSE_KINDS",
    "IN_FLIGHT",
    "Account",
    "AccountKind",
    "Administrator",
    "Amount",
    "AuditEntry",
    "Base",
    "Card",
    "Channel",
    "Checkout",
    "CheckoutPurpose",
    "CheckoutStatus",
    "CreditNote",
    "Customer",
    "Id",
    "Instant",
    "Interval",
    "Invoice",
    "InvoiceKind",
    "InvoiceLine",
    "JobRun",
    "Kind",
    "MonthNumber",
    "MonthRun",
    "Notice",
    "NoticeStatus",
    "NumberSeries",
    "Payment",
    "PaymentAllocation",
    "PaymentKind",
    "PaymentMethod",
    "PaymentStatus",
    "Phase",
    "Price",
    "ProviderEvent",
    "Quote",
    "RequestStatus",
    "SettlementWish",
    "Subscription",
    "Transfer",
    "Usage",
    "Voucher",
    "VoucherAttempt",
    "VoucherRequest",
    "Watermark",
]
