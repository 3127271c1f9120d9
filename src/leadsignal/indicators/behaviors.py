"""What customers do: key behaviours and metrics of them, essential processes, plans, contact.

Metrics are defined by ``[[metric]]`` in ``success.toml``; those of results are in ``account``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping

from leadsignal.config.project import Behaviors
from leadsignal.config.success import BehaviorMetric, Process
from leadsignal.indicators.declare import (
    AdoptedShare,
    Attribute,
    AvailableData,
    DaysInState,
    DaysSince,
    Difference,
    Early,
    Fact,
    Family,
    FirstBy,
    Indicator,
    Lapses,
    Measure,
    ProcessState,
    Ratio,
    RelativeRate,
    Rule,
    Sign,
    Standing,
    Trailing,
    Where,
)

BEHAVIORS = "behaviors"
_behavior = Family(BEHAVIORS, "leading")

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
BEHAVIOR_PARTS = (
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


def behavior_columns(kept: Behaviors, names: Collection[str]) -> tuple[str, ...]:
    """Return the names of all indicators that the given behaviours may have.

    >>> behavior_columns(Behaviors(("exported", "opened")), ["exported"])[:2]
    ('behavior_exported_events_30d', 'behavior_exported_events_90d')
    """
    found = prefixes(kept.keep)
    return tuple(
        f"{found[name]}_{part}" for name in names if name in found for part in BEHAVIOR_PARTS
    )


def declare_behaviors(available: AvailableData) -> list[Indicator]:
    """Declare up to nine indicators for each behaviour kept, and for all others together."""
    if not available.has("behaviors"):
        return []
    kept, found = available.behaviors, []
    for name, prefix in prefixes(kept.keep).items():
        found += _of_behavior(prefix, name, ((COUNTED_AS, (name,)),), available)
    if kept.others:
        found += _of_behavior(OTHERS, "other behaviours", ((COUNTED_AS, ("",)),), available)
    return found


def quantity(where: Where, days: int) -> Trailing:
    """Return the rule for the quantity of behaviours in a number of days."""
    return Trailing(BEHAVIORS, "occurred_at", days, where, total="quantity")


def users(where: Where, days: int) -> Trailing:
    """Return the rule for the number of users with behaviours in a number of days."""
    return Trailing(BEHAVIORS, "occurred_at", days, where, users=True)


def last(where: Where) -> DaysSince:
    """Return the rule for the days since the last behaviour."""
    return DaysSince(BEHAVIORS, "occurred_at", where)


def _of_behavior(prefix: str, what: str, where: Where, available: AvailableData) -> list[Indicator]:
    def indicator(name: str, unit: str, meaning: str, rule: Rule) -> Indicator:
        return _behavior(f"{prefix}_{name}", unit, meaning, rule)

    found = []
    for days in EVENT_WINDOWS:
        meaning = f"quantity of {what} in the last {days} days"
        found.append(indicator(f"events_{days}d", "events", meaning, quantity(where, days)))
    relative = RelativeRate(quantity(where, LATELY), quantity(where, LONGER))
    meaning = f"{what} a day in the last {LATELY} days over that in the {LONGER - LATELY} before"
    found += [
        indicator("days_since", "days", f"days since the last {what}", last(where)),
        indicator("relative", "times normal", meaning, relative),
    ]
    if not available.has("behaviors", "user_id"):
        return found
    for days in USER_WINDOWS:
        meaning = f"users with {what} in the last {days} days"
        found.append(indicator(f"users_{days}d", "users", meaning, users(where, days)))
    meaning = f"quantity of {what} per user in the last 90 days"
    each = Ratio(quantity(where, 90), users(where, 90))
    return [*found, indicator("events_per_user", "events per user", meaning, each)]


_activity = Family("activity", "lagging")


def declare_activity(available: AvailableData) -> list[Indicator]:
    """Declare events and distinct users in 30 and 90 days."""
    if not available.has("behaviors"):
        return []
    indicators, where = [], ((IN_PROCESS, ("no",)),)
    for days in (30, 90):
        lately = f"outside the processes in the last {days} days"
        name, meaning = f"activity_events_{days}d", f"quantity of key behaviours {lately}"
        indicators.append(_activity(name, "events", meaning, quantity(where, days)))
        if available.has("behaviors", "user_id"):
            name, meaning = f"activity_users_{days}d", f"users with any key behaviour {lately}"
            indicators.append(_activity(name, "users", meaning, users(where, days)))
    return indicators


METRICS = "metrics"
_metric = Family(METRICS, "leading")
PER_FACT = ("arr", "term_months")
"""Denominators of a rate that the engine knows as facts of the account, with their changes."""


def metric_column(name: str) -> str:
    """Return the name of the indicator of a metric.

    >>> metric_column("sharing")
    'metric_sharing'
    """
    return f"metric_{name}"


def metric_columns(
    metrics: Iterable[BehaviorMetric], behaviors: Collection[str]
) -> tuple[str, ...]:
    """Return the indicators of the metrics that use any of the given behaviours.

    >>> metric_columns([BehaviorMetric("export", "days since", ("exported",))], ["exported"])
    ('metric_export',)
    """
    return tuple(
        metric_column(metric.name)
        for metric in metrics
        if set(behaviors) & {*metric.behaviors, *metric.per_behavior}
    )


def declare_metrics(available: AvailableData) -> list[Indicator]:
    """Declare one indicator for each metric of the Success Analysis."""
    if not available.has("behaviors"):
        return []
    return [
        _metric(
            metric_column(metric.name),
            _metric_unit(metric),
            _metric_meaning(metric),
            _metric_rule(metric, dated=available.has("account_changes")),
            expected_sign=metric.expected_sign,
        )
        for metric in available.analysis.metrics
    ]


def _metric_rule(metric: BehaviorMetric, *, dated: bool) -> Rule:
    where, within = _where(metric.behaviors), metric.within or 1
    match metric.measure:
        case "ratio":
            return Ratio(quantity(where, within), quantity(_where(metric.per_behavior), within))
        case "rate":
            return Ratio(quantity(where, within), _per(metric, where, within, dated))
        case "change":
            longer = quantity(where, within + (metric.before or within))
            return RelativeRate(quantity(where, within), longer)
        case "days since":
            return last(where)
        case _:
            return FirstBy(Early("behaviors", "occurred_at", metric.by_day or 1, where))


def _where(behaviors: tuple[str, ...]) -> Where:
    return (("behavior", behaviors),)


def _per(metric: BehaviorMetric, where: Where, days: int, dated: bool) -> Measure:
    """Return the denominator of a rate."""
    if metric.per == "user":
        return users(where, days)
    return Fact(metric.per) if metric.per in PER_FACT else Attribute(metric.per, dated)


def _metric_unit(metric: BehaviorMetric) -> str:
    per = "event" if metric.measure == "ratio" else _divisor(metric)
    units = {"change": "times normal", "days since": "days", "first by": "0 or 1"}
    return units.get(metric.measure, f"events per {per}")


def _divisor(metric: BehaviorMetric) -> str:
    if metric.measure == "ratio":
        return " or ".join(metric.per_behavior)
    return "ARR" if metric.per == "arr" else metric.per


def _metric_meaning(metric: BehaviorMetric) -> str:
    """Return the meaning of the indicator; reasons show only the part before the colon."""
    what, lately = " or ".join(metric.behaviors), f"{metric.name} in the last {metric.within} days"
    meanings = {
        "change": f"{lately}: {what} a day over that in the {metric.before} days before",
        "days since": f"days since the last {what}",
        "first by": f"{metric.name} in the first {metric.by_day} days: whether {what} was done",
    }
    rate = f"{lately}: quantity of {what} per {_divisor(metric)}"
    return meanings.get(metric.measure, rate)


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
    where = _where(process.behaviors)

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
        where, what = _where(behaviors), " or ".join(behaviors)
        lately = f"quantity of {what} in the last 90 days"
        indicators += [
            _tracked(f"{kind}_days_since", "days", f"days since the last {what}", last(where)),
            _tracked(f"{kind}_events_90d", "events", lately, quantity(where, 90)),
        ]
    return indicators
