"""Which indicators are read where none are named: one of those that tell of the same events."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from leadsignal.indicators import Indicator
from leadsignal.indicators.declare import DaysSince, Latest, ProcessState, Trailing
from leadsignal.indicators.processes import FAMILY, process_columns
from leadsignal.model.effects.columns import LeftOut

BEST_WINDOW = 90
"""Days; of several windows over the same rows the nearest to this is read."""


def one_of_each(indicators: Sequence[Indicator]) -> tuple[list[Indicator], list[LeftOut]]:
    """Return the indicators to read, and those that another tells of, with its name.

    A ratio holds the other columns equal. Held equal to its own count of events, a lapsed process
    is no longer lapsed; so of one process only the state is read, and of one kind of row only one
    trailing window; a result counts by its target, for values of several metrics have no common
    unit. Naming indicators overrides this.
    """
    stands_for = _states(indicators) | _windows(indicators) | _against_targets(indicators)
    kept = [indicator for indicator in indicators if indicator.name not in stands_for]
    left_out = [
        LeftOut(name, f"it tells of the same events as {other}; name it in indicators= to read it")
        for name, other in stands_for.items()
    ]
    return kept, left_out


def _states(indicators: Sequence[Indicator]) -> dict[str, str]:
    """Return the details of processes, each with the indicator of the state."""
    states = {i.name: i.rule.process for i in indicators if isinstance(i.rule, ProcessState)}
    return {
        i.name: state
        for i in indicators
        for state, process in states.items()
        if i.family == FAMILY and i.name != state and i.name in process_columns(process)
    }


def _windows(indicators: Sequence[Indicator]) -> dict[str, str]:
    """Return windows and days-since of rows that another window counts, with that window."""
    best: dict[Hashable, Indicator] = {}
    for indicator in indicators:
        if isinstance(indicator.rule, Trailing) and indicator.family != FAMILY:
            key = _rows(indicator.rule)
            if key not in best or _off(indicator) < _off(best[key]):
                best[key] = indicator
    return {
        i.name: best[_rows(i.rule)].name
        for i in indicators
        if isinstance(i.rule, Trailing | DaysSince)
        and i.family != FAMILY
        and best.get(_rows(i.rule), i) is not i
    }


def _against_targets(indicators: Sequence[Indicator]) -> dict[str, str]:
    """Return latest values of rows whose distance to a target is read as well."""
    latest = [(i, i.rule) for i in indicators if isinstance(i.rule, Latest)]
    gaps = {_rows(rule): i.name for i, rule in latest if rule.column == "gap"}
    return {
        i.name: gaps[_rows(rule)]
        for i, rule in latest
        if rule.column == "value" and _rows(rule) in gaps
    }


def _rows(rule: Trailing | DaysSince | Latest) -> Hashable:
    return (rule.table, rule.day, rule.where)


def _off(indicator: Indicator) -> int:
    window = indicator.rule.window if isinstance(indicator.rule, Trailing) else 0
    return abs(window - BEST_WINDOW)
