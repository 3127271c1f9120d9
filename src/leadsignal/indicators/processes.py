"""Essential processes, success plans and commitments, and contact with the sponsor."""

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
    name, window = process.name, process.within
    state, days_in_state, quantity, days_since, people, *_ = process_columns(name)
    where = (("behavior", process.behaviors),)
    events = Trailing("behaviors", "occurred_at", window, where, total="quantity")
    indicators = [
        _process(
            state,
            "state",
            f"{name}: adopted, lapsed, overdue, pending, unknown or not applicable",
            ProcessState(name),
            kind="category",
        ),
        _process(
            days_in_state,
            "days",
            f"days since {name} was adopted, lapsed, fell due, or since the start",
            DaysInState(name),
        ),
        _process(
            quantity,
            "events",
            f"quantity of {name} in the last {window} days",
            events,
            expected_sign=1,
        ),
        _process(
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
            _process(
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
    columns = dict(zip(PROCESS_PARTS, process_columns(name), strict=True))

    def indicator(part: str, unit: str, meaning: str, rule: Rule, sign: Sign = 0) -> Indicator:
        return _process(columns[part], unit, meaning, rule, expected_sign=sign)

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


PLANS = "plans"
COMMITMENTS = "commitments"
_plan = Family(PLANS, "leading")
_commitment = Family(COMMITMENTS, "leading")

COMMITMENT_COLUMNS = {
    "kept": (
        "CASE WHEN completed_on IS NOT NULL AND completed_on <= due_on THEN 'yes' ELSE 'no' END"
    )
}
"""Columns computed in each row of commitments, as SQL: ``kept`` means done by the due date."""


def declare_plans(available: AvailableData) -> list[Indicator]:
    """Declare open and overdue plans, and open, overdue and kept commitments by owner."""
    indicators = _plans(available) if available.has("plans") else []
    if available.has("commitments", "completed_on"):
        for owner in ("customer", "vendor"):
            indicators += _commitments(owner)
    return indicators


def _plans(available: AvailableData) -> list[Indicator]:
    indicators = [
        _plan(
            "plans_open",
            "plans",
            "success plans agreed and not closed",
            Standing("plans", "agreed_on", "closed_on"),
        )
    ]
    if available.has("plans", "target_on"):
        indicators.append(
            _plan(
                "plans_overdue",
                "plans",
                "open plans past their target date",
                Standing("plans", "target_on", "closed_on"),
            )
        )
    return indicators


def _commitments(owner: str) -> list[Indicator]:
    where = (("owner", (owner,)),)

    def kept(days: int) -> Ratio:
        return Ratio(
            Trailing("commitments", "due_on", days, (*where, ("kept", ("yes",)))),
            Trailing("commitments", "due_on", days, where),
        )

    return [
        _commitment(
            f"{owner}_commitments_open",
            "commitments",
            f"commitments of the {owner} not yet done",
            Standing("commitments", "agreed_on", "completed_on", where),
        ),
        _commitment(
            f"{owner}_commitments_overdue",
            "commitments",
            f"commitments of the {owner} past their date and not done",
            Standing("commitments", "due_on", "completed_on", where),
        ),
        _commitment(
            f"{owner}_commitments_kept_180d",
            "share",
            f"share of the {owner}'s commitments due in the last 180 days done by their date",
            kept(180),
        ),
        _commitment(
            f"{owner}_commitments_kept_365d",
            "share",
            f"share of the {owner}'s commitments due in the last 365 days done by their date",
            kept(365),
        ),
        _commitment(
            f"{owner}_commitments_kept_trend",
            "share",
            f"share of the {owner}'s commitments kept in the last 180 days, less that in the last"
            " 365",
            Difference(kept(180), kept(365)),
        ),
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
        where = (("behavior", behaviors),)
        what = " or ".join(behaviors)
        indicators += [
            _tracked(
                f"{kind}_days_since",
                "days",
                f"days since the last {what}",
                DaysSince("behaviors", "occurred_at", where),
            ),
            _tracked(
                f"{kind}_events_90d",
                "events",
                f"quantity of {what} in the last 90 days",
                Trailing("behaviors", "occurred_at", 90, where, total="quantity"),
            ),
        ]
    return indicators
