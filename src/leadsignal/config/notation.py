"""How an export writes dates, numbers and empty cells: declared once per table, never guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from leadsignal.errors import OptionError

EPOCHS = {"epoch": 1, "epoch ms": 10**3, "epoch us": 10**6, "epoch ns": 10**9}
"""Units of dates given as time since 1970-01-01 UTC: their number per second."""
EXCEL = "excel"
"""Dates given as days since 1899-12-30, as in spreadsheets."""
_PART = re.compile(r"YYYY|YY|MMM|MM|M|DD|D|[^A-Z]+")
_TIME = re.compile(r"[T ]+H{1,2}\b.*$")


@dataclass(frozen=True)
class Notation:
    """How to read the texts of a table.

    ``dates`` are date patterns such as "DD.MM.YYYY" or "epoch ms". ``decimal`` is the decimal
    separator ("." or ","); if it is given, grouped digits and a currency are read too. ``empty``
    are words that mean an empty cell. Typed columns (Parquet, databases) need none of these, except
    dates stored as numbers.
    """

    dates: tuple[str, ...] = ()
    decimal: str | None = None
    empty: tuple[str, ...] = ()


AS_WE_WRITE = Notation()
"""The default: dates as year-month-day, numbers with a decimal point and nothing else."""


def date_patterns(value: object) -> tuple[str, ...]:
    """Accept a date pattern, or a list of them.

    >>> date_patterns("dd.mm.yyyy"), date_patterns(["epoch ms", "DD-MMM-YY"])
    (('DD.MM.YYYY',), ('epoch ms', 'DD-MMM-YY'))
    """
    values = value if isinstance(value, list | tuple) and value else [value]
    patterns = tuple(map(_date_pattern, values))
    orders = {tuple(part[0] for part in parts_of(one) if part.isalpha()) for one in patterns}
    if {("D", "M", "Y"), ("M", "D", "Y")} <= orders:
        named = any("MMM" in one for one in patterns)
        if not named:
            raise OptionError("03/04/2023 would be ambiguous", "Keep one order of day and month")
    return patterns


def _date_pattern(value: object) -> str:
    words = " ".join(str(value).lower().replace("_", " ").split())
    if words in EPOCHS or words == EXCEL:
        return words
    pattern = _TIME.sub("", str(value).strip().upper()).replace("MMMM", "MMM")
    parts = _PART.findall(pattern)
    kinds = sorted(part[0] for part in parts if part.isalpha())
    whole = "".join(parts) == pattern and kinds in (["D", "M", "Y"], ["M", "Y"])
    joined = whole and len(parts) == len(kinds) and "MMM" not in parts
    if not whole or (joined and {"D", "M"} & set(parts)):
        raise OptionError(
            "is not a date pattern",
            'Write it with DD, MM and YYYY, as "DD.MM.YYYY", "MM/DD/YY", "DD-MMM-YYYY" or '
            '"YYYYMMDD"; or "epoch", "epoch ms" or "excel"',
        )
    return pattern


def parts_of(pattern: str) -> list[str]:
    """Return the parts of a date pattern and the separators between them.

    >>> parts_of("DD.MM.YYYY"), parts_of("epoch")
    (['DD', '.', 'MM', '.', 'YYYY'], [])
    """
    return [] if pattern in EPOCHS or pattern == EXCEL else _PART.findall(pattern)


def a_decimal_sign(value: object) -> str:
    """Accept a decimal separator.

    >>> a_decimal_sign("comma"), a_decimal_sign(".")
    (',', '.')
    """
    sign = {"comma": ",", "point": "."}.get(str(value), str(value))
    if sign not in (",", "."):
        raise OptionError("is not a decimal sign", 'Write "," or "."')
    return sign
