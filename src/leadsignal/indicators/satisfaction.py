"""Judgements of the customer and the team: surveys, flags and health scores."""

from __future__ import annotations

from leadsignal.indicators.declare import (
    AvailableData,
    DaysSince,
    Family,
    Indicator,
    Latest,
    Standing,
    Trailing,
)

SATISFACTION = "satisfaction"
FLAGS = "flags"
HEALTH = "health"
_survey = Family(SATISFACTION, "lagging")
_flag = Family(FLAGS, "lagging")
_health = Family(HEALTH, "lagging")


def declare(available: AvailableData) -> list[Indicator]:
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
