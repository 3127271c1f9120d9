"""The handful of functions in which SQL engines differ. Everything else is the same SQL.

Days are integers since 1970-01-01 inside the engine; dates come back at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Protocol

from leadsignal.sources.parts import literal, quoted

EPOCH = date(1970, 1, 1)
GRID_ORIGIN = (date(1970, 1, 5) - EPOCH).days
"""The Monday from which every grid of snapshots is counted."""

_DIGITS = "[0-9](_?[0-9])*"
NUMBER = (
    rf"(?i)^\\s*[+-]?(({_DIGITS}[.]?({_DIGITS})?|[.]{_DIGITS})(e[+-]?{_DIGITS})?"
    r"|inf(inity)?|nan)\\s*$"
)
"""What DuckDB reads as a number, as Java's pattern within a text of Spark's."""


def day_number(day: date) -> int:
    """Return days since 1970-01-01.

    >>> day_number(date(1970, 1, 5))
    4
    """
    return (day - EPOCH).days


class Dialect(Protocol):
    """How an engine spells what engines spell differently."""

    def quoted(self, name: str) -> str:
        """Return a name as SQL."""
        ...

    def literal(self, text: str) -> str:
        """Return a text as SQL."""
        ...

    def day(self, column: str) -> str:
        """Date to day number."""
        ...

    def date(self, number: str) -> str:
        """Day number to date."""
        ...

    def typed(self, kind: str) -> str:
        """Name of a type of the store, such as VARCHAR."""
        return kind

    def moment(self, day: str) -> str:
        """Cast a date to the local timestamp of its midnight."""
        ...

    def floor_divide(self, over: str, under: int | str) -> str:
        """Whole division, rounding down."""
        return f"CAST(floor(({over}) / {under}) AS INTEGER)"

    def days_from_to(self, first: str, last: str, step: int) -> str:
        """Rows of day numbers from first to last, both included."""
        ...

    def add_months(self, day: str, months: str) -> str:
        """A date some calendar months later, at most the last day of that month."""
        ...

    def pair(self, first: str, second: str) -> str:
        """A pair that is ordered by its first part, then its second."""
        ...

    def number(self, text: str) -> str:
        """A text as a number; NULL where it is none."""
        ...

    def scaled(self, column: str, decimals: int) -> str:
        """A number as a whole number of its smallest unit."""
        ...

    def number_of(self, text: str) -> str:
        """A short replacement for a unique text that sorts in the same order."""
        ...


@dataclass(frozen=True)
class DuckDB(Dialect):
    """DuckDB's spelling."""

    def quoted(self, name: str) -> str:
        """Return a name in double quotes."""
        return quoted(name)

    def literal(self, text: str) -> str:
        """Return a text in single quotes."""
        return literal(text)

    def day(self, column: str) -> str:
        """Subtract the first day."""
        return f"CAST({column} - DATE '1970-01-01' AS INTEGER)"

    def date(self, number: str) -> str:
        """Add to the first day."""
        return f"(DATE '1970-01-01' + CAST({number} AS INTEGER))"

    def moment(self, day: str) -> str:
        """Cast to a timestamp, which knows no time zone."""
        return f"CAST({day} AS TIMESTAMP)"

    def days_from_to(self, first: str, last: str, step: int) -> str:
        """Unnest a range."""
        return f"UNNEST(range({first}, {last} + 1, {step}))"

    def add_months(self, day: str, months: str) -> str:
        """Add an interval."""
        return f"CAST({day} + to_months(CAST({months} AS INTEGER)) AS DATE)"

    def pair(self, first: str, second: str) -> str:
        """Pack a struct."""
        return f"struct_pack(a := {first}, b := {second})"

    def number(self, text: str) -> str:
        """Cast where that can be done."""
        return f"TRY_CAST({text} AS DOUBLE)"

    def scaled(self, column: str, decimals: int) -> str:
        """Cast, which rounds; the product of two narrow decimals would be narrow too."""
        return f"CAST(CAST({column} AS DECIMAL(38,{decimals})) * {10**decimals} AS BIGINT)"

    def number_of(self, text: str) -> str:
        """Count: whole numbers are joined, grouped and sorted several times faster than texts."""
        return f"CAST(ROW_NUMBER() OVER (ORDER BY {text}) AS INTEGER)"


@dataclass(frozen=True)
class Spark(Dialect):
    """Spark's spelling, the same with and without ANSI mode."""

    def quoted(self, name: str) -> str:
        """Return a name in backticks.

        >>> Spark().quoted("Go live")
        '`Go live`'
        """
        return "`" + name.replace("`", "``") + "`"

    def literal(self, text: str) -> str:
        r"""Return a text in single quotes, in which a backslash escapes.

        >>> print(Spark().literal("it's"))
        'it\'s'
        """
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    def day(self, column: str) -> str:
        """Take the days since the first day."""
        return f"unix_date({column})"

    def date(self, number: str) -> str:
        """Count from the first day."""
        return f"date_from_unix_date({number})"

    def typed(self, kind: str) -> str:
        """Name the type that knows no length, or no time zone."""
        return {"VARCHAR": "STRING", "TIMESTAMP": "TIMESTAMP_NTZ"}.get(kind, kind)

    def moment(self, day: str) -> str:
        """Cast to the timestamp without a time zone."""
        return f"CAST({day} AS TIMESTAMP_NTZ)"

    def days_from_to(self, first: str, last: str, step: int) -> str:
        """Explode a sequence; Spark counts down if the last is before the first."""
        return f"explode(CASE WHEN {first} <= {last} THEN sequence({first}, {last}, {step}) END)"

    def add_months(self, day: str, months: str) -> str:
        """Call the function of that name."""
        return f"add_months({day}, CAST({months} AS INTEGER))"

    def pair(self, first: str, second: str) -> str:
        """Name a struct."""
        return f"named_struct('a', {first}, 'b', {second})"

    def number(self, text: str) -> str:
        """Cast what reads as a number elsewhere too: Spark takes ``12d`` for one."""
        plain = f"REPLACE({text}, '_', '')"
        return f"CASE WHEN {text} RLIKE '{NUMBER}' THEN TRY_CAST({plain} AS DOUBLE) END"

    def scaled(self, column: str, decimals: int) -> str:
        """Round before the cast, which truncates."""
        return f"CAST(ROUND({column} * {10**decimals}) AS BIGINT)"

    def number_of(self, text: str) -> str:
        """Keep the text: counting would bring all rows to one machine."""
        return text
