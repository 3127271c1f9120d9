"""Indicators that are arithmetic on counts and days, computed with arrays.

The values are those of the SQL that `Expressions` writes for the same rules, without a trip through
a query: of most panels, these are most of the cells.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.engine.counts import Count
from leadsignal.engine.expressions import Expressions
from leadsignal.indicators.declare import (
    DaysSince,
    Difference,
    Early,
    Ratio,
    RelativeRate,
    Rule,
    Running,
    Standing,
    Trailing,
)

Floats = NDArray[np.float64]
Plain = Count | DaysSince
"""Measures whose value is their column where they are known."""


def plain_measures(rule: Rule) -> tuple[Plain, ...]:
    """Return the measures of a rule that is arithmetic on counts and days; none for others."""
    match rule:
        case Ratio(first, second) | Difference(first, second) | RelativeRate(first, second):
            both = plain_measures(first), plain_measures(second)
            return (*both[0], *both[1]) if all(both) else ()
    return (rule,) if isinstance(rule, Plain) else ()


def computable(
    rules: Mapping[str, Rule], write: Expressions, carried: Collection[str]
) -> dict[str, Rule]:
    """Return the rules whose measures are all in columns that are carried forward in memory."""
    measures = {name: plain_measures(rule) for name, rule in rules.items()}
    return {
        name: rules[name]
        for name, needed in measures.items()
        if needed and all(write.columns[one] in carried for one in needed)
    }


def conditions(rules: Mapping[str, Rule], write: Expressions) -> list[str]:
    """Return the SQL conditions under which the measures of rules are known, each once."""
    needed = (one for rule in rules.values() for one in plain_measures(rule))
    return list(dict.fromkeys(write.known(one) for one in needed))


@dataclass(frozen=True)
class NumbersOfRows:
    """Computes rules at rows of the grid.

    ``columns`` are the measures; days are masked where there is none. ``unknown`` says for each
    condition where it does not hold.
    """

    write: Expressions
    t: NDArray[np.int64]
    started: NDArray[np.int64]
    columns: Mapping[str, Any]
    unknown: Mapping[str, NDArray[np.bool_]]

    def __call__(self, rule: Rule) -> Floats:
        """Return the value of a rule at each row, NaN where it is unknown or missing."""
        match rule:
            case Ratio(over, under):
                return _divided(self(over), self(under))
            case Difference(first, second):
                return self(first) - self(second)
            case RelativeRate(lately, longer):
                return self._relative_rate(self(lately), self(longer), lately.window, longer.window)
            case Trailing() | Standing() | Running() | Early() | DaysSince():
                return self._measure(rule)
        raise AssertionError(rule)

    def _measure(self, measure: Plain) -> Floats:
        column = self.columns[self.write.columns[measure]]
        found: Floats
        if isinstance(measure, DaysSince):
            found = (self.t - column.data).astype(np.float64)
            found[column.mask] = np.nan
        else:
            factor = self.write.factor(measure)
            found = column.astype(np.float64) if factor == 1 else column / np.float64(factor)
        found[self.unknown[self.write.known(measure)]] = np.nan
        return found

    def _relative_rate(self, few: Floats, many: Floats, lately: int, longer: int) -> Floats:
        before = np.minimum(longer, self.t - self.started) - lately
        rate = _divided(few * before, (many - few) * lately)
        rate[before < lately] = np.nan
        return rate


def _divided(over: Floats, under: Floats) -> Floats:
    """Divide; NaN where the divisor is 0."""
    return over / np.where(under == 0, np.nan, under)
