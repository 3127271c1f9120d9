"""Essential processes: whether and since when they are adopted, and how much they are used."""

from __future__ import annotations

from leadsignal.config.success import Process
from leadsignal.indicators.declare import (
    AdoptedShare,
    AvailableData,
    DaysInState,
    DaysSince,
    Difference,
    Family,
    Indicator,
    Lapses,
    ProcessState,
    Rule,
    Sign,
    Trailing,
)

FAMILY = "processes"
_indicator = Family(FAMILY, "leading")


SHARE_WINDOWS = (90, 180, 365)
LAPSES_WINDOW = 365
PARTS = (
    *("state", "days_in_state", "events", "days_since", "users"),
    *(f"adopted_share_{days}d" for days in SHARE_WINDOWS),
    *("adopted_trend", f"lapses_{LAPSES_WINDOW}d"),
)
"""The indicators of each process, in panel order."""


def process_columns(process: str) -> tuple[str, ...]:
    """Return the names of all indicators that a process may have, the state first.

    In a table of indicators, those of the process have one of these names and belong to the family
    ``processes``.

    >>> process_columns("close")[:2]
    ('close_state', 'close_days_in_state')
    """
    return tuple(f"{process}_{part}" for part in PARTS)


def declare(available: AvailableData) -> list[Indicator]:
    """Declare up to ten indicators for each essential process of the Success Analysis."""
    if not available.has("behaviors"):
        return []
    return [indicator for p in available.analysis.processes for indicator in _of(p, available)]


def _of(process: Process, available: AvailableData) -> list[Indicator]:
    name, window = process.name, process.within
    state, days_in_state, quantity, days_since, people, *_ = process_columns(name)
    where = (("behavior", process.behaviors),)
    events = Trailing("behaviors", "occurred_at", window, where, total="quantity")
    indicators = [
        _indicator(
            state,
            "state",
            f"{name}: adopted, lapsed, overdue, pending, unknown or not applicable",
            ProcessState(name),
            kind="category",
        ),
        _indicator(
            days_in_state,
            "days",
            f"days since {name} was adopted, lapsed, fell due, or since the start",
            DaysInState(name),
        ),
        _indicator(
            quantity,
            "events",
            f"quantity of {name} in the last {window} days",
            events,
            expected_sign=1,
        ),
        _indicator(
            days_since,
            "days",
            f"days since the last event of {name}",
            DaysSince("behaviors", "occurred_at", where),
            expected_sign=-1,
        ),
    ]
    if available.has("behaviors", "user_id"):
        users = Trailing("behaviors", "occurred_at", window, where, users=True)
        indicators.append(
            _indicator(
                people,
                "users",
                f"users who did {name} in the last {window} days",
                users,
                expected_sign=1,
            )
        )
    return [*indicators, *_memory(name)]


def _memory(name: str) -> list[Indicator]:
    """Declare the share of recent months in which a process was adopted, and its lapses."""
    columns = dict(zip(PARTS, process_columns(name), strict=True))

    def indicator(part: str, unit: str, meaning: str, rule: Rule, sign: Sign = 0) -> Indicator:
        return _indicator(columns[part], unit, meaning, rule, expected_sign=sign)

    shares = [AdoptedShare(name, days) for days in SHARE_WINDOWS]
    found = [
        indicator(
            f"adopted_share_{share.window}d",
            "share",
            f"share of the last {share.window} days on which {name} was adopted",
            share,
            sign=1,
        )
        for share in shares
    ]
    first, last = shares[0], shares[-1]
    trend = f"share of the last {first.window} days on which {name} was adopted, less that of"
    trend += f" the last {last.window}"
    lapses = f"lapses of {name} in the last {LAPSES_WINDOW} days"
    return [
        *found,
        indicator("adopted_trend", "share", trend, Difference(first, last)),
        indicator(f"lapses_{LAPSES_WINDOW}d", "lapses", lapses, Lapses(name, LAPSES_WINDOW)),
    ]
