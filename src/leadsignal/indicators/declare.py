"""What an indicator is: a name, a family, a unit, a meaning and a rule.

A rule is data, not SQL: the engine turns it into SQL, the docs into words, and the tests into a
slow reference that must agree exactly.
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
    """Rows whose ``day`` lies in [t - window, t): how many, their ``total``, or distinct users.

    Unknown where the window reaches before the table is complete, or beyond it.
    """

    table: str
    day: str
    window: int
    where: Where = ()
    total: str | None = None
    users: bool = False


@dataclass(frozen=True)
class Standing:
    """Rows whose ``since`` lies before t and whose ``until`` does not: open at t."""

    table: str
    since: str
    until: str
    where: Where = ()


@dataclass(frozen=True)
class Running:
    """The ``total`` of all rows before t, unknown nowhere: what is not seen did not happen."""

    table: str
    day: str
    total: str


@dataclass(frozen=True)
class Early:
    """Rows whose ``day`` lies in [start, start + window) of the account, and before t: how many.

    Unknown where the table is not complete from the account's start to t.
    """

    table: str
    day: str
    window: int
    where: Where = ()


@dataclass(frozen=True)
class Latest:
    """``column`` of the row with the latest ``day`` before t; of several on one day the largest.

    With ``among`` it is that of the row in which these columns are largest, the first first.
    """

    table: str
    day: str
    column: str
    where: Where = ()
    among: tuple[str, ...] = ()


@dataclass(frozen=True)
class DaysSince:
    """Days from the latest ``day`` before t to t; missing where there was none."""

    table: str
    day: str
    where: Where = ()


@dataclass(frozen=True)
class DaysSinceBest:
    """Days from the row with the largest ``column`` to t; of equals the latest; missing if none."""

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
    """Days the process has been in its state at t; missing where the state is unknown."""

    process: str


@dataclass(frozen=True)
class AdoptedShare:
    """Share of the last ``window`` days, t included, on which a process was adopted.

    Of a younger account the days since its start. Missing where the process is not meant for the
    account or its state is not known on all of these days.
    """

    process: str
    window: int


@dataclass(frozen=True)
class Lapses:
    """How many times a process lapsed in the last ``window`` days, t included.

    Missing where `AdoptedShare` is.
    """

    process: str
    window: int


@dataclass(frozen=True)
class UsageToBest:
    """Mean daily usage of the last ``window`` days over the account's best stretch before.

    The best stretch has ``best`` days, lies within the last ``within`` days and ends at least
    ``window`` days before t. Unknown before ``best + window`` days of history. Only rows that meet
    ``where`` count.
    """

    window: int
    best: int
    within: int
    where: Where = ()


@dataclass(frozen=True)
class Fact:
    """A fact of the account itself at t, named in the engine's account columns."""

    column: str


@dataclass(frozen=True)
class Attribute:
    """A declared attribute at t: its latest dated value, else the one in accounts."""

    name: str
    dated: bool


@dataclass(frozen=True)
class Ratio:
    """``over`` divided by ``under``; missing where ``under`` is zero or either is missing."""

    over: Measure
    under: Measure


@dataclass(frozen=True)
class RelativeRate:
    """The daily rate of ``lately`` over that of the days of ``longer`` before them.

    Of a younger account these are the days since its start. Missing where there are fewer of them
    than in ``lately``, or nothing happened on them.
    """

    lately: Trailing
    longer: Trailing


@dataclass(frozen=True)
class Difference:
    """``first`` minus ``second``; missing where either is."""

    first: Measure | Ratio | RelativeRate
    second: Measure | Ratio | RelativeRate


@dataclass(frozen=True)
class Least:
    """The smallest of the ``values`` that are not missing; missing where all are."""

    values: tuple[Measure, ...]


@dataclass(frozen=True)
class Below:
    """1 where ``value`` is below ``limit``, else 0; missing where it is missing."""

    value: Measure | Least
    limit: float


@dataclass(frozen=True)
class FirstBy:
    """1 where ``done`` counts a row, 0 once its window has passed without one.

    Missing until then, and where ``done`` is.
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

    ``expected_sign`` is 1 where the Success Analysis says that more of it keeps customers, -1 where
    it says that less does, else 0. A model may not contradict it.
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
    """Declares the indicators of one family, which all have one role."""

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
    """Yield the measures that a rule is made of.

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
    """What there is to declare indicators from: tables with their columns, analysis, options."""

    columns: Mapping[str, frozenset[str]]
    attributes: Mapping[str, Literal["text", "number"]]
    analysis: SuccessAnalysis
    usage_low: UsageLow
    behaviors: Behaviors = NO_BEHAVIORS

    def has(self, table: str, *columns: str) -> bool:
        """Whether the table is there with all of these columns."""
        return table in self.columns and self.columns[table].issuperset(columns)
