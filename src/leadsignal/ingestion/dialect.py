"""The few functions in which SQL engines differ; all other SQL is shared.

Queries handle days as integers since 1970-01-01 and convert them back to dates at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from leadsignal.sources.parts import literal, quoted

EPOCH = date(1970, 1, 1)
GRID_ORIGIN = (date(1970, 1, 5) - EPOCH).days
"""The Monday on which every snapshot grid is anchored, as a day number."""

_DIGITS = "[0-9](_?[0-9])*"
NUMBER = (
    rf"(?i)^\\s*[+-]?(({_DIGITS}[.]?({_DIGITS})?|[.]{_DIGITS})(e[+-]?{_DIGITS})?"
    r"|inf(inity)?|nan)\\s*$"
)
"""Java pattern of texts that DuckDB reads as numbers, escaped for a Spark string literal."""


def day_number(day: date) -> int:
    """Return the number of days since 1970-01-01.

    >>> day_number(date(1970, 1, 5))
    4
    """
    return (day - EPOCH).days


class Dialect(Protocol):
    """The SQL that differs between engines."""

    def quoted(self, name: str) -> str:
        """Return a name as a quoted identifier."""

    def literal(self, text: str) -> str:
        """Return a text as a string literal."""

    def day(self, column: str) -> str:
        """Convert a date to a day number."""

    def date(self, number: str) -> str:
        """Convert a day number to a date."""

    def typed(self, kind: str) -> str:
        """Return the engine's name of a type of the store, such as VARCHAR."""
        return kind

    def moment(self, day: str) -> str:
        """Convert a date to the local timestamp of its midnight."""

    def floor_divide(self, over: str, under: int | str) -> str:
        """Divide, rounding down to a whole number."""
        return f"CAST(floor(({over}) / {under}) AS INTEGER)"

    def days_from_to(self, first: str, last: str, step: int) -> str:
        """Return a row per day number from first to last, both included, ``step`` days apart."""

    def add_months(self, day: str, months: str) -> str:
        """Add calendar months to a date; the day is at most the last day of the resulting month."""

    def pair(self, first: str, second: str) -> str:
        """Combine two values in a pair that sorts by the first, then by the second."""

    def number(self, text: str) -> str:
        """Convert a text to a number; NULL if it is not one."""

    def scaled(self, column: str, decimals: int) -> str:
        """Convert an amount to a whole number of its smallest unit."""

    def among(self, column: str, texts: Iterable[str]) -> str:
        """Return whether a text is one of several."""
        return f"{column} IN ({', '.join(map(self.literal, texts))})"

    def position(self, column: str, texts: Iterable[str]) -> str:
        """Return the number of a text in a list, from 0; NULL if it is not there."""
        cases = (f"WHEN {self.literal(text)} THEN {number}" for number, text in enumerate(texts))
        return f"CASE {column} {' '.join(cases)} END"

    def number_of(self, text: str) -> str:
        """Replace a unique text by a short value that sorts in the same order."""


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
        """Subtract 1970-01-01."""
        return f"CAST({column} - DATE '1970-01-01' AS INTEGER)"

    def date(self, number: str) -> str:
        """Add the days to 1970-01-01."""
        return f"(DATE '1970-01-01' + CAST({number} AS INTEGER))"

    def moment(self, day: str) -> str:
        """Cast to a timestamp, which has no time zone."""
        return f"CAST({day} AS TIMESTAMP)"

    def days_from_to(self, first: str, last: str, step: int) -> str:
        """Unnest a range."""
        return f"UNNEST(range({first}, {last} + 1, {step}))"

    def add_months(self, day: str, months: str) -> str:
        """Add an interval."""
        return f"CAST({day} + to_months(CAST({months} AS INTEGER)) AS DATE)"

    def pair(self, first: str, second: str) -> str:
        """Build a struct."""
        return f"struct_pack(a := {first}, b := {second})"

    def number(self, text: str) -> str:
        """Cast, with NULL for a text that cannot be cast."""
        return f"TRY_CAST({text} AS DOUBLE)"

    def scaled(self, column: str, decimals: int) -> str:
        """Cast, which rounds; without the wide type, the product could overflow."""
        return f"CAST(CAST({column} AS DECIMAL(38,{decimals})) * {10**decimals} AS BIGINT)"

    def among(self, column: str, texts: Iterable[str]) -> str:
        """Search a list: unlike IN, it is searched once for each distinct text of a block."""
        return f"list_contains([{', '.join(map(self.literal, texts))}], {column})"

    def position(self, column: str, texts: Iterable[str]) -> str:
        """Search a list, as in `among`."""
        return f"list_position([{', '.join(map(self.literal, texts))}], {column}) - 1"

    def number_of(self, text: str) -> str:
        """Number the texts: integers are joined, grouped and sorted several times faster."""
        return f"CAST(ROW_NUMBER() OVER (ORDER BY {text}) AS INTEGER)"


@dataclass(frozen=True)
class Spark(Dialect):
    """SQL for Spark, with and without ANSI mode."""

    def quoted(self, name: str) -> str:
        """Return a name in backticks.

        >>> Spark().quoted("Go live")
        '`Go live`'
        """
        return "`" + name.replace("`", "``") + "`"

    def literal(self, text: str) -> str:
        r"""Return a text in single quotes, with backslash escapes.

        >>> print(Spark().literal("it's"))
        'it\'s'
        """
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    def day(self, column: str) -> str:
        """Count the days since 1970-01-01."""
        return f"unix_date({column})"

    def date(self, number: str) -> str:
        """Add the days to 1970-01-01."""
        return f"date_from_unix_date({number})"

    def typed(self, kind: str) -> str:
        """Return the type without a length, or without a time zone."""
        return {"VARCHAR": "STRING", "TIMESTAMP": "TIMESTAMP_NTZ"}.get(kind, kind)

    def moment(self, day: str) -> str:
        """Cast to the timestamp without a time zone."""
        return f"CAST({day} AS TIMESTAMP_NTZ)"

    def days_from_to(self, first: str, last: str, step: int) -> str:
        """Explode a sequence, if it is not empty: Spark would count down from first to last."""
        return f"explode(CASE WHEN {first} <= {last} THEN sequence({first}, {last}, {step}) END)"

    def add_months(self, day: str, months: str) -> str:
        """Call Spark's function of the same name."""
        return f"add_months({day}, CAST({months} AS INTEGER))"

    def pair(self, first: str, second: str) -> str:
        """Build a struct."""
        return f"named_struct('a', {first}, 'b', {second})"

    def number(self, text: str) -> str:
        """Cast only texts that DuckDB reads as numbers too: Spark would also accept ``12d``."""
        plain = f"REPLACE({text}, '_', '')"
        return f"CASE WHEN {text} RLIKE '{NUMBER}' THEN TRY_CAST({plain} AS DOUBLE) END"

    def scaled(self, column: str, decimals: int) -> str:
        """Round before the cast, which truncates."""
        return f"CAST(ROUND({column} * {10**decimals}) AS BIGINT)"

    def number_of(self, text: str) -> str:
        """Keep the text: numbering would collect all rows on one machine."""
        return text
