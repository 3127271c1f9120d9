"""How an export writes dates, numbers and nothing: said once for a table, never guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from leadsignal.errors import OptionError

_ORDER = re.compile(r"(DD|MM|YYYY)([./-])(DD|MM|YYYY)\2(DD|MM|YYYY)")


@dataclass(frozen=True)
class Notation:
    """How the texts of one table are to be read.

    ``dates`` is the order of a date, as "DD.MM.YYYY"; ``decimal`` the sign before decimals ("." or
    ","), with which grouped digits and a currency are read too; ``empty`` are words that mean an
    empty cell. Typed columns (Parquet, databases) need none of it.
    """

    dates: str | None = None
    decimal: str | None = None
    empty: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[str, ...]:
        """Return the parts of a date in their order, and the sign between them last.

        >>> Notation(dates="DD.MM.YYYY").order
        ('DD', 'MM', 'YYYY', '.')
        """
        first, separator, second, third = _ORDER.findall(self.dates or "YYYY-MM-DD")[0]
        return first, second, third, separator


AS_WE_WRITE = Notation()
"""Dates as year-month-day, numbers with a point and nothing else."""


def a_date_order(value: object) -> str:
    """Take the order in which an export writes dates.

    >>> a_date_order("dd.mm.yyyy")
    'DD.MM.YYYY'
    """
    order = str(value).upper()
    found = _ORDER.fullmatch(order)
    if not found or len({found[1], found[3], found[4]}) < 3:
        raise OptionError(
            "is not an order of dates",
            'Write it with DD, MM and YYYY, as "DD.MM.YYYY", "MM/DD/YYYY" or "DD-MM-YYYY"',
        )
    return order


def a_decimal_sign(value: object) -> str:
    """Take the sign before decimals.

    >>> a_decimal_sign("comma"), a_decimal_sign(".")
    (',', '.')
    """
    sign = {"comma": ",", "point": "."}.get(str(value), str(value))
    if sign not in (",", "."):
        raise OptionError("is not a decimal sign", 'Write "," or "."')
    return sign
