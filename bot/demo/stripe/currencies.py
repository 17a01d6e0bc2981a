"""What amounts Stripe takes: minimums, maximum and the currencies whose minor units are special."""

from types import MappingProxyType

from bot.demo.stripe.errors import ApiError, invalid, malformed

MAX_AMOUNT = 99_999_999

# Stripe's published table of minimum charge amounts, in minor units.
MINIMUM = MappingProxyType(
    {
        "usd": 50,
        "aed": 200,
        "aud": 50,
        "bgn": 100,
        "brl": 50,
        "cad": 50,
        "chf": 50,
        "czk": 1500,
        "dkk": 250,
        "eur": 50,
        "gbp": 30,
        "hkd": 400,
        "huf": 17500,
        "inr": 50,
        "jpy": 50,
        "mxn": 1000,
        "myr": 200,
        "nok": 300,
        "nzd": 50,
        "pln": 200,
        "ron": 200,
        "sek": 300,
        "sgd": 50,
        "thb": 1000,
    }
)
ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"],
)
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
# Have no minor unit any more, yet are still given in hundredths: only whole hundreds are taken.
WHOLE_HUNDREDS = frozenset({"isk", "ugx"})
_OTHERS = (
    "afn all amd ang aoa ars awg azn bam bbd bdt bmd bnd bob bsd bwp byn bzd cdf cny cop crc cve dop dzd egp etb fjd "
    "fkp gel gip gmd gtq gyd hnl htg idr ils jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur "
    "mvr mwk mzn nad ngn nio npr pab pen pgk php pkr qar rsd rub sar sbd scr shp sle sos srd std szl tjs top try ttd "
    "twd tzs uah uyu uzs wst xcd yer zar zmw"
)
SUPPORTED = frozenset(MINIMUM) | ZERO_DECIMAL | THREE_DECIMAL | WHOLE_HUNDREDS | frozenset(_OTHERS.split())
# Stripe converts to the account's own currency; where it publishes no figure, anything positive may pass here.
_UNPUBLISHED_MINIMUM = 1


def exponent(currency: str) -> int:
    """How many decimals Stripe's amounts of this currency have."""
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def show(amount: int, currency: str) -> str:
    """An amount as people write it, `$5.00` for dollars and `5.00 eur` for others."""
    digits = exponent(currency)
    number = f"{amount / 10**digits:,.{digits}f}"
    return f"${number}" if currency == "usd" else f"{number} {currency.upper()}"


def known(currency: str, param: str = "currency") -> str:
    """The currency in lower case, or 400."""
    code = currency.lower()
    if code not in SUPPORTED:
        raise malformed(
            f"Invalid currency: {currency}. Stripe currently supports these currencies: {', '.join(sorted(SUPPORTED))}",
            param=param,
        )
    return code


def check_step(amount: int, currency: str, param: str = "amount") -> None:
    """400 for an amount that the currency cannot be charged in."""
    if currency in WHOLE_HUNDREDS and amount % 100:
        raise invalid(
            f"Invalid amount. Currency {currency.upper()} has become effectively zero-decimal and charged amounts "
            "must be evenly divisible by 100. See https://stripe.com/docs/currencies#special-cases for more "
            "information.",
            param=param,
            code="invalid_charge_amount_no_decimal_compatible",
        )
    if currency in THREE_DECIMAL and amount % 10:
        raise invalid(
            f"Invalid amount. The last digit of an amount in {currency.upper()} must be 0.",
            param=param,
            code="invalid_charge_amount",
        )


def check_amount(amount: int, currency: str, param: str = "amount") -> None:
    """400 for an amount that cannot be charged."""
    if amount < 1:
        raise invalid("Invalid positive integer", param=param, code="parameter_invalid_integer")
    if amount > MAX_AMOUNT:
        raise invalid(f"Amount must be no more than {show(MAX_AMOUNT, currency)}", param=param, code="amount_too_large")
    check_step(amount, currency, param)
    if amount < minimum(currency):
        raise too_small(f"Amount must be at least {show(minimum(currency), currency)} {currency}", param)


def minimum(currency: str) -> int:
    """The least that may be charged, minor units."""
    return MINIMUM.get(currency, _UNPUBLISHED_MINIMUM)


def too_small(message: str, param: str | None) -> ApiError:
    """The error of an amount below the minimum."""
    return invalid(message, param=param, code="amount_too_small")
