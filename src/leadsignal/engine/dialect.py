"""The handful of functions in which SQL engines differ. Everything else is the same SQL.

Days are integers since 1970-01-01 inside the engine; dates come back at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

EPOCH = date(1970, 1, 1)
GRID_ORIGIN = (date(1970, 1, 5) - EPOCH).days
"""The Monday on which every grid of snapshots stands."""


def day_number(day: date) -> int:
    """Return days since 1970-01-01.

    >>> day_number(date(1970, 1, 5))
    4
    """
    return (day - EPOCH).days


@dataclass(frozen=True)
class DuckDB:
    """DuckDB's spelling."""

    def day(self, column: str) -> str:
        """Date to day number."""
        return f"CAST({column} - DATE '1970-01-01' AS INTEGER)"

    def date(self, number: str) -> str:
        """Day number to date."""
        return f"(DATE '1970-01-01' + CAST({number} AS INTEGER))"

    def floor_divide(self, over: str, under: int | str) -> str:
        """Whole division, rounding down."""
        return f"CAST(floor(({over}) / {under}) AS INTEGER)"

    def days_from_to(self, first: str, last: str, step: int) -> str:
        """Rows of day numbers from first to last, both included."""
        return f"UNNEST(range({first}, {last} + 1, {step}))"

    def add_months(self, day: str, months: str) -> str:
        """A date some calendar months later, at most the last day of that month."""
        return f"CAST({day} + to_months(CAST({months} AS INTEGER)) AS DATE)"

    def pair(self, first: str, second: str) -> str:
        """A pair that is ordered by its first part, then its second."""
        return f"struct_pack(a := {first}, b := {second})"

    def number(self, text: str) -> str:
        """A text as a number; NULL where it is none."""
        return f"TRY_CAST({text} AS DOUBLE)"

    def scaled(self, column: str, decimals: int) -> str:
        """An exact decimal as a whole number of its smallest unit."""
        return f"CAST({column} * {10**decimals} AS BIGINT)"
