"""The customer's measured results, and the judgements of the customer and the team."""

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

_result = Family("results", "leading")


def declare_results(available: AvailableData) -> list[Indicator]:
    """Declare the indicators of the results of the account's own metric."""
    if not available.has("results"):
        return []
    where = OWN
    indicators = [
        _result(
            "result_value",
            "metric",
            "the latest result",
            Latest("results", "measured_on", "value", where, BEST),
        ),
        _result(
            "result_days_since",
            "days",
            "days since the latest result",
            DaysSince("results", "measured_on", where),
        ),
        _result(
            "results_90d",
            "results",
            "results measured in the last 90 days",
            Trailing("results", "measured_on", 90, where),
        ),
        _result(
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
        _result(
            "result_days_since_best",
            "days",
            "days since the best result; of equals the latest",
            best,
        ),
        _result(
            "result_stalled_days",
            "days",
            "days from the best result to the latest: measured on, and not better",
            Difference(best, DaysSince("results", "measured_on", where)),
        ),
    ]


def _shown(where: Where) -> list[Indicator]:
    return [
        _result(
            "result_days_since_shown",
            "days",
            "days since a result was last shown to the customer",
            DaysSince("results", "shown_on", where),
        ),
        _result(
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
        _result(
            "result_gap",
            "share of target",
            "distance of the latest result to its target; positive is good",
            Latest("results", "measured_on", "gap", where, BEST),
            expected_sign=1,
        ),
        _result(
            "result_gap_90d",
            "share of target",
            "mean distance to target of the results of the last 90 days",
            mean_gap(90),
            expected_sign=1,
        ),
        _result(
            "result_gap_change",
            "share of target",
            "mean distance to target in the last 90 days, less that of the last 270",
            Difference(mean_gap(90), mean_gap(270)),
        ),
        _result(
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


SATISFACTION = "satisfaction"
FLAGS = "flags"
HEALTH = "health"
_survey = Family(SATISFACTION, "lagging")
_flag = Family(FLAGS, "lagging")
_health = Family(HEALTH, "lagging")


def declare_satisfaction(available: AvailableData) -> list[Indicator]:
    """Declare the latest survey, open and raised flags, and the latest health score and band."""
    indicators: list[Indicator] = []
    if available.has("surveys"):
        indicators += [
            _survey(
                "survey_score",
                "score",
                "the latest survey score",
                Latest("surveys", "answered_on", "score"),
            ),
            _survey(
                "survey_days_since",
                "days",
                "days since the latest survey",
                DaysSince("surveys", "answered_on"),
            ),
        ]
    if available.has("flags"):
        indicators += [
            _flag(
                "flags_open",
                "flags",
                "open at-risk flags",
                Standing("flags", "flagged_on", "cleared_on"),
            ),
            _flag(
                "flags_365d",
                "flags",
                "flags raised in the last 365 days",
                Trailing("flags", "flagged_on", 365),
            ),
        ]
    if available.has("health_scores"):
        indicators.append(
            _health(
                "health_score",
                "score",
                "the latest health score",
                Latest("health_scores", "scored_on", "score"),
            )
        )
    if available.has("health_scores", "band"):
        indicators.append(
            _health(
                "health_band",
                "band",
                "the latest band of the health score",
                Latest("health_scores", "scored_on", "band"),
                kind="category",
            )
        )
    return indicators
