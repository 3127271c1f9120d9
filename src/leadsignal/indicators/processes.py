"""Essential processes, success plans and commitments, and contact with the sponsor."""

from __future__ import annotations

from leadsignal.config.success import Process
from leadsignal.indicators.behaviors import last, quantity, users
from leadsignal.indicators.declare import (
    AdoptedShare,
    AvailableData,
    DaysInState,
    Difference,
    Family,
    Indicator,
    Lapses,
    ProcessState,
    Ratio,
    Rule,
    Sign,
    Standing,
    Trailing,
)

PROCESSES = "processes"
_process = Family(PROCESSES, "leading")


SHARE_WINDOWS = (90, 180, 365)
LAPSES_WINDOW = 365
PROCESS_PARTS = (
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
    return tuple(f"{process}_{part}" for part in PROCESS_PARTS)


def declare_processes(available: AvailableData) -> list[Indicator]:
    """Declare up to ten indicators for each essential process of the Success Analysis."""
    if not available.has("behaviors"):
        return []
    return [indicator for p in available.analysis.processes for indicator in _of(p, available)]


def _of(process: Process, available: AvailableData) -> list[Indicator]:
    name, within = process.name, f"in the last {process.within} days"
    where = (("behavior", process.behaviors),)

    def indicator(part: str, unit: str, meaning: str, rule: Rule, sign: Sign = 0) -> Indicator:
        return _process(f"{name}_{part}", unit, meaning, rule, expected_sign=sign)

    states = f"{name}: adopted, lapsed, overdue, pending, unknown or not applicable"
    in_state = f"days since {name} was adopted, lapsed, fell due, or since the start"
    done = f"days since the last event of {name}"
    events = quantity(where, process.within)
    found = [
        _process(f"{name}_state", "state", states, ProcessState(name), kind="category"),
        indicator("days_in_state", "days", in_state, DaysInState(name)),
        indicator("events", "events", f"quantity of {name} {within}", events, sign=1),
        indicator("days_since", "days", done, last(where), sign=-1),
    ]
    if available.has("behaviors", "user_id"):
        people = users(where, process.within)
        found.append(indicator("users", "users", f"users who did {name} {within}", people, sign=1))
    shares = [AdoptedShare(name, days) for days in SHARE_WINDOWS]
    for share in shares:
        adopted = f"share of the last {share.window} days on which {name} was adopted"
        found.append(indicator(f"adopted_share_{share.window}d", "share", adopted, share, sign=1))
    first, longest = shares[0], shares[-1]
    trend = f"share of the last {first.window} days on which {name} was adopted, less that of"
    trend += f" the last {longest.window}"
    lapses = f"lapses of {name} in the last {LAPSES_WINDOW} days"
    return [
        *found,
        indicator("adopted_trend", "share", trend, Difference(first, longest)),
        indicator(f"lapses_{LAPSES_WINDOW}d", "lapses", lapses, Lapses(name, LAPSES_WINDOW)),
    ]


_plan = Family("plans", "leading")
_commitment = Family("commitments", "leading")

COMMITMENT_COLUMNS = {
    "kept": (
        "CASE WHEN completed_on IS NOT NULL AND completed_on <= due_on THEN 'yes' ELSE 'no' END"
    )
}
"""Columns computed in each row of commitments, as SQL: ``kept`` means done by the due date."""


def declare_plans(available: AvailableData) -> list[Indicator]:
    """Declare open and overdue plans, and open, overdue and kept commitments by owner."""
    indicators = []
    if available.has("plans"):
        agreed = Standing("plans", "agreed_on", "closed_on")
        indicators.append(
            _plan("plans_open", "plans", "success plans agreed and not closed", agreed)
        )
    if available.has("plans", "target_on"):
        late = Standing("plans", "target_on", "closed_on")
        indicators.append(
            _plan("plans_overdue", "plans", "open plans past their target date", late)
        )
    if available.has("commitments", "completed_on"):
        for owner in ("customer", "vendor"):
            indicators += _commitments(owner)
    return indicators


def _commitments(owner: str) -> list[Indicator]:
    where = (("owner", (owner,)),)

    def kept(days: int) -> Ratio:
        return Ratio(
            Trailing("commitments", "due_on", days, (*where, ("kept", ("yes",)))),
            Trailing("commitments", "due_on", days, where),
        )

    def indicator(part: str, unit: str, meaning: str, rule: Rule) -> Indicator:
        return _commitment(f"{owner}_commitments_{part}", unit, meaning, rule)

    promised = Standing("commitments", "agreed_on", "completed_on", where)
    due = Standing("commitments", "due_on", "completed_on", where)
    of, share = f"commitments of the {owner}", f"share of the {owner}'s commitments"
    done = f"{share} due in the last {{}} days done by their date"
    trend = f"{share} kept in the last 180 days, less that in the last 365"
    return [
        indicator("open", "commitments", f"{of} not yet done", promised),
        indicator("overdue", "commitments", f"{of} past their date and not done", due),
        indicator("kept_180d", "share", done.format(180), kept(180)),
        indicator("kept_365d", "share", done.format(365), kept(365)),
        indicator("kept_trend", "share", trend, Difference(kept(180), kept(365))),
    ]


_tracked = Family("tracking", "leading")


def declare_tracking(available: AvailableData) -> list[Indicator]:
    """Declare the recency and the 90-day count of each kind of contact that is tracked."""
    if not available.has("behaviors"):
        return []
    tracking = available.analysis.tracking
    indicators = []
    for kind in ("sponsor", "handoff", "diary"):
        behaviors = getattr(tracking, kind)
        if not behaviors:
            continue
        where, what = (("behavior", behaviors),), " or ".join(behaviors)
        lately = f"quantity of {what} in the last 90 days"
        indicators += [
            _tracked(f"{kind}_days_since", "days", f"days since the last {what}", last(where)),
            _tracked(f"{kind}_events_90d", "events", lately, quantity(where, 90)),
        ]
    return indicators
