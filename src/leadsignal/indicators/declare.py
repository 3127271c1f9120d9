"""What an indicator is: a name, a family, a unit, a meaning and a rule.

A rule is data, not SQL: the engine translates it to SQL, the docs to text, and the tests to a slow
reference with which the engine must agree exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Literal

from leadsignal.config.project import Behaviors, UsageLow
from leadsignal.config.success import SuccessAnalysis

Role = Literal["leading", "lagging", "context"]
Kind = Literal["number", "category"]
Sign = Literal[-1, 0, 1]
Where = tuple[tuple[str, tuple[str, ...]], ...]
"""Conditions that all must hold: (column, allowed values)."""


@dataclass(frozen=True)
class Trailing:
    """Rows with ``day`` in [t - window, t): their number, ``total``, or distinct users.

    Missing if the table is not complete over the whole window.
    """

    table: str
    day: str
    window: int
    where: Where = ()
    total: str | None = None
    users: bool = False


@dataclass(frozen=True)
class Standing:
    """Rows open at t: ``since`` is before t, and ``until`` is not."""

    table: str
    since: str
    until: str
    where: Where = ()


@dataclass(frozen=True)
class Running:
    """The ``total`` of all rows before t; never missing, since absent rows count as 0."""

    table: str
    day: str
    total: str


@dataclass(frozen=True)
class Early:
    """Number of rows with ``day`` in [start, start + window) of the account, and before t.

    Missing if the table is not complete from the account's start to t.
    """

    table: str
    day: str
    window: int
    where: Where = ()


@dataclass(frozen=True)
class Latest:
    """``column`` of the row with the latest ``day`` before t; the largest value on ties.

    With ``among``, ties are broken by the largest values of these columns, in order.
    """

    table: str
    day: str
    column: str
    where: Where = ()
    among: tuple[str, ...] = ()


@dataclass(frozen=True)
class DaysSince:
    """Days from the latest ``day`` before t to t; missing without one."""

    table: str
    day: str
    where: Where = ()


@dataclass(frozen=True)
class DaysSinceBest:
    """Days from the (latest) row with the largest ``column`` to t; missing without one."""

    table: str
    day: str
    column: str
    where: Where = ()


@dataclass(frozen=True)
class ProcessState:
    """State of an essential process at t: adopted, lapsed, overdue, pending or unknown."""

    process: str


@dataclass(frozen=True)
class DaysInState:
    """Days for which the process has been in its state at t; missing if the state is unknown."""

    process: str


@dataclass(frozen=True)
class AdoptedShare:
    """Share of the last ``window`` days, including t, on which a process was adopted.

    For a younger account, of the days since its start. Missing if the process does not apply to the
    account, or if its state is unknown on any of these days.
    """

    process: str
    window: int


@dataclass(frozen=True)
class Lapses:
    """Number of lapses of a process in the last ``window`` days, including t.

    Missing where `AdoptedShare` is.
    """

    process: str
    window: int


@dataclass(frozen=True)
class UsageToBest:
    """Mean daily usage of the last ``window`` days over that of the account's best earlier period.

    The best period has ``best`` days, lies within the last ``within`` days and ends at least
    ``window`` days before t. Missing with fewer than ``best + window`` days of history. Only rows
    that satisfy ``where`` count.
    """

    window: int
    best: int
    within: int
    where: Where = ()


@dataclass(frozen=True)
class Fact:
    """A fact of the account at t, by its name in the engine's account columns."""

    column: str


@dataclass(frozen=True)
class Attribute:
    """A declared attribute at t: its latest dated value, or else the one in accounts."""

    name: str
    dated: bool


@dataclass(frozen=True)
class Ratio:
    """``over`` divided by ``under``; missing if ``under`` is zero or either is missing."""

    over: Measure
    under: Measure


@dataclass(frozen=True)
class RelativeRate:
    """The daily rate in ``lately`` over that in the earlier days of ``longer``.

    For a younger account, the earlier days begin at its start. Missing if there are fewer of them
    than in ``lately``, or if nothing happened on them.
    """

    lately: Trailing
    longer: Trailing


@dataclass(frozen=True)
class Difference:
    """``first`` minus ``second``; missing if either is missing."""

    first: Measure | Ratio | RelativeRate
    second: Measure | Ratio | RelativeRate


@dataclass(frozen=True)
class Least:
    """The smallest of the non-missing ``values``; missing if all are missing."""

    values: tuple[Measure, ...]


@dataclass(frozen=True)
class Below:
    """1 if ``value`` is below ``limit``, else 0; missing if ``value`` is missing."""

    value: Measure | Least
    limit: float


@dataclass(frozen=True)
class FirstBy:
    """1 if ``done`` counts a row, 0 once its window has passed without one.

    Missing until then, and if ``done`` is missing.
    """

    done: Early


Measure = (
    Trailing
    | Standing
    | Running
    | Early
    | Latest
    | DaysSince
    | DaysSinceBest
    | ProcessState
    | DaysInState
    | AdoptedShare
    | Lapses
    | UsageToBest
    | Fact
    | Attribute
)
Rule = Measure | Ratio | RelativeRate | Difference | Least | Below | FirstBy


@dataclass(frozen=True)
class Indicator:
    """One column of the panel, declared once.

    ``expected_sign`` is 1 if higher values go with retention according to the Success Analysis,
    -1 if lower values do, else 0. A model may not contradict it.
    """

    name: str
    family: str
    role: Role
    unit: str
    meaning: str
    rule: Rule
    kind: Kind = "number"
    expected_sign: Sign = 0


@dataclass(frozen=True)
class Family:
    """Declares the indicators of one family, all with the same role."""

    family: str
    role: Role

    def __call__(
        self,
        name: str,
        unit: str,
        meaning: str,
        rule: Rule,
        kind: Kind = "number",
        expected_sign: Sign = 0,
    ) -> Indicator:
        """Declare an indicator."""
        return Indicator(name, self.family, self.role, unit, meaning, rule, kind, expected_sign)


def measures(rule: Rule) -> Iterator[Measure]:
    """Yield the measures that a rule consists of.

    >>> list(measures(Ratio(Fact("arr"), Fact("tenure_days"))))
    [Fact(column='arr'), Fact(column='tenure_days')]
    """
    if isinstance(rule, Least):
        for value in rule.values:
            yield from measures(value)
    elif isinstance(rule, Ratio | RelativeRate | Difference | Below | FirstBy):
        for part in fields(rule):
            value = getattr(rule, part.name)
            if not isinstance(value, float | int):
                yield from measures(value)
    else:
        yield rule


NO_BEHAVIORS = Behaviors(others=False)


@dataclass(frozen=True)
class AvailableData:
    """The tables with their columns, the analysis and the options to declare indicators from."""

    columns: Mapping[str, frozenset[str]]
    attributes: Mapping[str, Literal["text", "number"]]
    analysis: SuccessAnalysis
    usage_low: UsageLow
    behaviors: Behaviors = NO_BEHAVIORS

    def has(self, table: str, *columns: str) -> bool:
        """Return whether the table exists with all of these columns."""
        return table in self.columns and self.columns[table].issuperset(columns)
