"""Each key behaviour: frequency, users, recency, and change relative to the account's normal."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from leadsignal.config.project import Behaviors
from leadsignal.indicators.declare import (
    AvailableData,
    DaysSince,
    Family,
    Indicator,
    Ratio,
    RelativeRate,
    Rule,
    Trailing,
    Where,
)

FAMILY = "behaviors"
_indicator = Family(FAMILY, "leading")

MOST = 20
"""Maximum number of behaviours with their own indicators if the project names none."""
OTHERS = "other_behaviors"
COUNTED_AS = "counted_as"
"""Computed column of behaviors: the behaviour under whose indicators a row is counted."""
IN_PROCESS = "in_process"
"""Computed column of behaviors: ``yes`` where an essential process covers the behaviour."""
EVENT_WINDOWS = (30, 90, 180)
USER_WINDOWS = (30, 90, 180)
LATELY, LONGER = 30, 210
"""Windows in days: the last 30 are compared with the 180 before them."""
PARTS = (
    *(f"events_{days}d" for days in EVENT_WINDOWS),
    *("days_since", "relative"),
    *(f"users_{days}d" for days in USER_WINDOWS),
    "events_per_user",
)
"""The indicators of each behaviour, in panel order."""
LONGEST = 40
"""Maximum number of characters of a behaviour in column names."""


def most_common(accounts: Mapping[str, int]) -> Behaviors:
    """Return the behaviours shown by the most accounts; ties are broken alphabetically.

    >>> most_common({"exported": 3, "opened": 5})
    Behaviors(keep=('opened', 'exported'), others=False)
    """
    ranked = sorted(accounts, key=lambda name: (-accounts[name], name))
    return Behaviors(tuple(ranked[:MOST]), others=len(ranked) > MOST)


def row_columns(
    kept: Behaviors, covered: Collection[str], among: Callable[[str, Collection[str]], str]
) -> dict[str, str]:
    """Return the columns computed in each row of behaviors, as SQL.

    ``counted_as`` is the behaviour if it has its own indicators, else empty. ``among`` returns SQL
    for whether a column is one of several texts.
    """

    def split(names: Collection[str], then: str, otherwise: str) -> str:
        if not names:
            return otherwise
        return f"CASE WHEN {among('behavior', names)} THEN {then} ELSE {otherwise} END"

    return {
        COUNTED_AS: split(kept.keep, "behavior", "''"),
        IN_PROCESS: split(sorted(covered), "'yes'", "'no'"),
    }


def members(kept: Behaviors) -> dict[str, tuple[str, ...]]:
    """Return the values of the computed columns that group the rows of behaviors."""
    return {COUNTED_AS: (*kept.keep, ""), IN_PROCESS: ("no", "yes")}


def prefixes(names: Collection[str]) -> dict[str, str]:
    """Return a unique prefix for the columns of each behaviour.

    >>> prefixes(["Report exported", "report-exported"])
    {'Report exported': 'behavior_report_exported', 'report-exported': 'behavior_report_exported_2'}
    """
    found: dict[str, str] = {}
    for name in names:
        short = re.sub(r"\W+", "_", name).strip("_").lower()[:LONGEST]
        stem = f"behavior_{short}".strip("_")
        taken, number, prefix = set(found.values()), 1, stem
        while prefix in taken:
            number += 1
            prefix = f"{stem}_{number}"
        found[name] = prefix
    return found


def columns_of(kept: Behaviors, names: Collection[str]) -> tuple[str, ...]:
    """Return the names of all indicators that the given behaviours may have.

    >>> columns_of(Behaviors(("exported", "opened")), ["exported"])[:2]
    ('behavior_exported_events_30d', 'behavior_exported_events_90d')
    """
    found = prefixes(kept.keep)
    return tuple(f"{found[name]}_{part}" for name in names if name in found for part in PARTS)


def declare(available: AvailableData) -> list[Indicator]:
    """Declare up to nine indicators for each behaviour kept, and for all others together."""
    if not available.has("behaviors"):
        return []
    kept, found = available.behaviors, []
    for name, prefix in prefixes(kept.keep).items():
        found += _of(prefix, name, ((COUNTED_AS, (name,)),), available)
    if kept.others:
        found += _of(OTHERS, "other behaviours", ((COUNTED_AS, ("",)),), available)
    return found


def _of(prefix: str, what: str, where: Where, available: AvailableData) -> list[Indicator]:
    def events(days: int) -> Trailing:
        return Trailing("behaviors", "occurred_at", days, where, total="quantity")

    def users(days: int) -> Trailing:
        return Trailing("behaviors", "occurred_at", days, where, users=True)

    def indicator(name: str, unit: str, meaning: str, rule: Rule) -> Indicator:
        return _indicator(f"{prefix}_{name}", unit, meaning, rule)

    found = [
        indicator(
            f"events_{days}d", "events", f"quantity of {what} in the last {days} days", events(days)
        )
        for days in EVENT_WINDOWS
    ]
    found += [
        indicator(
            "days_since",
            "days",
            f"days since the last {what}",
            DaysSince("behaviors", "occurred_at", where),
        ),
        indicator(
            "relative",
            "times normal",
            f"{what} a day in the last {LATELY} days over that in the {LONGER - LATELY} before",
            RelativeRate(events(LATELY), events(LONGER)),
        ),
    ]
    if available.has("behaviors", "user_id"):
        found += [
            indicator(
                f"users_{days}d", "users", f"users with {what} in the last {days} days", users(days)
            )
            for days in USER_WINDOWS
        ]
        found.append(
            indicator(
                "events_per_user",
                "events per user",
                f"quantity of {what} per user in the last 90 days",
                Ratio(events(90), users(90)),
            )
        )
    return found
