"""``[currency]``: the base currency of all amounts, and exchange rates to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from leadsignal.config.toml_files import Settings, near
from leadsignal.errors import OptionError

_ISO_4217 = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN
    BZD CAD CDF CHF CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP
    GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR
    KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK
    MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR
    SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS
    UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG
"""
CODES = frozenset(_ISO_4217.split())
"""The currencies of ISO 4217."""
YEN_OR_YUAN = "¥"
"""The sign of two currencies, which may have its own rate."""
MAX_RATE = 10**6


@dataclass(frozen=True)
class Currency:
    """The currency that amounts are converted to, and fixed exchange rates.

    ``rates`` are units of ``base`` for one unit of the other currency, on any day.
    """

    base: str | None = None
    rates: Mapping[str, float] = field(default_factory=dict)


def a_currency(value: object) -> str:
    """Accept the code of a currency.

    >>> a_currency("EUR")
    'EUR'
    """
    code = str(value).strip().upper()
    if code in CODES or code == YEN_OR_YUAN:
        return code
    meant = near(code, CODES)
    remedy = f"Did you mean {meant!r}? " if meant else ""
    raise OptionError("is not a currency", f"{remedy}Write its three letters, as in USD")


def _a_rate(value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < float(str(value)) <= MAX_RATE:
        raise OptionError("is not a rate", "Write what one unit is worth in the base: USD = 0.92")
    return float(str(value))


def take_currency(settings: Settings, value: object) -> Currency:
    """Read the section and record its faults in ``settings``."""
    path = ("currency",)
    section: Mapping[str, Any] = settings.section(path, value)
    base, rates = None, {}
    for name, content in section.items():
        if name == "base":
            base = settings.take((*path, name), content, a_currency)
            continue
        code = settings.take((*path, name), name, a_currency)
        rate = settings.take((*path, name), content, _a_rate)
        if code and rate:
            rates[code] = rate
    if rates and "base" not in section:
        remedy = 'Add the currency that the rates are in, as in base = "EUR"'
        settings.fault(path, "there are rates and no base", remedy)
    return Currency(base, rates)
