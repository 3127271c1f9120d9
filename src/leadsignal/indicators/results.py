"""The customer's measured results: level, trend, distance to target, and whether shown."""

from __future__ import annotations

from leadsignal.indicators.declare import (
    AvailableData,
    DaysSince,
    DaysSinceBest,
    Difference,
    Family,
    Indicator,
    Latest,
    Ratio,
    Standing,
    Trailing,
    Where,
)
from leadsignal.targets import BEST, OWN

FAMILY = "results"
_indicator = Family(FAMILY, "leading")


def declare(available: AvailableData) -> list[Indicator]:
    """Declare the indicators of the results of the account's own metric."""
    if not available.has("results"):
        return []
    where = OWN
    indicators = [
        _indicator(
            "result_value",
            "metric",
            "the latest result",
            Latest("results", "measured_on", "value", where, BEST),
        ),
        _indicator(
            "result_days_since",
            "days",
            "days since the latest result",
            DaysSince("results", "measured_on", where),
        ),
        _indicator(
            "results_90d",
            "results",
            "results measured in the last 90 days",
            Trailing("results", "measured_on", 90, where),
        ),
        _indicator(
            "results_365d",
            "results",
            "results measured in the last 365 days",
            Trailing("results", "measured_on", 365, where),
        ),
    ]
    indicators += _velocity(where)
    if available.has("results", "target"):
        indicators += _against_target(where)
    if available.has("results", "shown_on"):
        indicators += _shown(where)
    return indicators


def _velocity(where: Where) -> list[Indicator]:
    """Declare stagnation: days since the best result, and further results that did not beat it."""
    best = DaysSinceBest("results", "measured_on", "better", where)
    return [
        _indicator(
            "result_days_since_best",
            "days",
            "days since the best result; of equals the latest",
            best,
        ),
        _indicator(
            "result_stalled_days",
            "days",
            "days from the best result to the latest: measured on, and not better",
            Difference(best, DaysSince("results", "measured_on", where)),
        ),
    ]


def _shown(where: Where) -> list[Indicator]:
    return [
        _indicator(
            "result_days_since_shown",
            "days",
            "days since a result was last shown to the customer",
            DaysSince("results", "shown_on", where),
        ),
        _indicator(
            "results_not_shown",
            "results",
            "results measured and not shown to the customer",
            Standing("results", "measured_on", "shown_on", where),
        ),
    ]


def _against_target(where: Where) -> list[Indicator]:
    conditions = (*where, ("met", ("yes", "no")))
    measured = (*where, ("gap_known", ("yes",)))
    met = (*where, ("met", ("yes",)))

    def mean_gap(days: int) -> Ratio:
        return Ratio(
            Trailing("results", "measured_on", days, measured, total="gap"),
            Trailing("results", "measured_on", days, measured),
        )

    return [
        _indicator(
            "result_gap",
            "share of target",
            "distance of the latest result to its target; positive is good",
            Latest("results", "measured_on", "gap", where, BEST),
            expected_sign=1,
        ),
        _indicator(
            "result_gap_90d",
            "share of target",
            "mean distance to target of the results of the last 90 days",
            mean_gap(90),
            expected_sign=1,
        ),
        _indicator(
            "result_gap_change",
            "share of target",
            "mean distance to target in the last 90 days, less that of the last 270",
            Difference(mean_gap(90), mean_gap(270)),
        ),
        _indicator(
            "results_met_365d",
            "share",
            "share of the last 365 days' results that met their target",
            Ratio(
                Trailing("results", "measured_on", 365, met),
                Trailing("results", "measured_on", 365, conditions),
            ),
            expected_sign=1,
        ),
    ]
