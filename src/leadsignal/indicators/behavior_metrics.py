"""Metrics of the Success Analysis computed from behaviours: ratios, rates, changes, first times.

They are defined by ``[[metric]]`` in ``success.toml``; metrics of results are in ``results``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from leadsignal.config.success import BehaviorMetric
from leadsignal.indicators.declare import (
    Attribute,
    AvailableData,
    DaysSince,
    Early,
    Fact,
    Family,
    FirstBy,
    Indicator,
    Measure,
    Ratio,
    RelativeRate,
    Rule,
    Trailing,
    Where,
)

FAMILY = "metrics"
_indicator = Family(FAMILY, "leading")
PER_FACT = ("arr", "term_months")
"""Denominators of a rate that the engine knows as facts of the account, with their changes."""


def metric_column(name: str) -> str:
    """Return the name of the indicator of a metric.

    >>> metric_column("sharing")
    'metric_sharing'
    """
    return f"metric_{name}"


def columns_of(metrics: Iterable[BehaviorMetric], behaviors: Collection[str]) -> tuple[str, ...]:
    """Return the indicators of the metrics that use any of the given behaviours.

    >>> columns_of([BehaviorMetric("export", "days since", ("exported",))], ["exported"])
    ('metric_export',)
    """
    return tuple(
        metric_column(metric.name)
        for metric in metrics
        if set(behaviors) & {*metric.behaviors, *metric.per_behavior}
    )


def declare(available: AvailableData) -> list[Indicator]:
    """Declare one indicator for each metric of the Success Analysis."""
    if not available.has("behaviors"):
        return []
    return [
        _indicator(
            metric_column(metric.name),
            _unit(metric),
            _meaning(metric),
            _rule(metric, dated=available.has("account_changes")),
            expected_sign=metric.expected_sign,
        )
        for metric in available.analysis.metrics
    ]


def _rule(metric: BehaviorMetric, *, dated: bool) -> Rule:
    where, within = _where(metric.behaviors), metric.within or 1
    match metric.measure:
        case "ratio":
            return Ratio(_quantity(where, within), _quantity(_where(metric.per_behavior), within))
        case "rate":
            return Ratio(_quantity(where, within), _per(metric, where, within, dated))
        case "change":
            longer = _quantity(where, within + (metric.before or within))
            return RelativeRate(_quantity(where, within), longer)
        case "days since":
            return DaysSince("behaviors", "occurred_at", where)
        case _:
            return FirstBy(Early("behaviors", "occurred_at", metric.by_day or 1, where))


def _where(behaviors: tuple[str, ...]) -> Where:
    return (("behavior", behaviors),)


def _quantity(where: Where, days: int) -> Trailing:
    return Trailing("behaviors", "occurred_at", days, where, total="quantity")


def _per(metric: BehaviorMetric, where: Where, days: int, dated: bool) -> Measure:
    """Return the denominator of a rate."""
    if metric.per == "user":
        return Trailing("behaviors", "occurred_at", days, where, users=True)
    return Fact(metric.per) if metric.per in PER_FACT else Attribute(metric.per, dated)


def _unit(metric: BehaviorMetric) -> str:
    units = {
        "ratio": "events per event",
        "rate": f"events per {_divisor(metric)}",
        "change": "times normal",
        "days since": "days",
        "first by": "0 or 1",
    }
    return units[metric.measure]


def _divisor(metric: BehaviorMetric) -> str:
    if metric.measure == "ratio":
        return " or ".join(metric.per_behavior)
    return "ARR" if metric.per == "arr" else metric.per


def _meaning(metric: BehaviorMetric) -> str:
    """Return the meaning of the indicator; reasons show only the part before the colon."""
    what, lately = " or ".join(metric.behaviors), f"{metric.name} in the last {metric.within} days"
    meanings = {
        "ratio": f"{lately}: quantity of {what} per {_divisor(metric)}",
        "rate": f"{lately}: quantity of {what} per {_divisor(metric)}",
        "change": f"{lately}: {what} a day over that in the {metric.before} days before",
        "days since": f"days since the last {what}",
        "first by": f"{metric.name} in the first {metric.by_day} days: whether {what} was done",
    }
    return meanings[metric.measure]
