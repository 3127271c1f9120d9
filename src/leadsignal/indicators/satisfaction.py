"""What the customer and the team say: surveys, flags, health scores."""

from __future__ import annotations

from leadsignal.indicators.declare import DaysSince, Given, Indicator, Latest, Standing, Trailing

SATISFACTION = "satisfaction"
FLAGS = "flags"
HEALTH = "health"


def declare(given: Given) -> list[Indicator]:
    """Latest survey; flags open and raised; latest health score and band."""
    made: list[Indicator] = []
    if given.has("surveys"):
        made += [
            Indicator(
                "survey_score",
                SATISFACTION,
                "lagging",
                "score",
                "the latest survey score",
                Latest("surveys", "answered_on", "score"),
            ),
            Indicator(
                "survey_days_since",
                SATISFACTION,
                "lagging",
                "days",
                "days since the latest survey",
                DaysSince("surveys", "answered_on"),
            ),
        ]
    if given.has("flags"):
        made += [
            Indicator(
                "flags_open",
                FLAGS,
                "lagging",
                "flags",
                "at-risk flags that stand now",
                Standing("flags", "flagged_on", "cleared_on"),
            ),
            Indicator(
                "flags_365d",
                FLAGS,
                "lagging",
                "flags",
                "flags raised in the last 365 days",
                Trailing("flags", "flagged_on", 365),
            ),
        ]
    if given.has("health_scores"):
        made.append(
            Indicator(
                "health_score",
                HEALTH,
                "lagging",
                "score",
                "the latest health score",
                Latest("health_scores", "scored_on", "score"),
            )
        )
    if given.has("health_scores", "band"):
        made.append(
            Indicator(
                "health_band",
                HEALTH,
                "lagging",
                "band",
                "the latest band of the health score",
                Latest("health_scores", "scored_on", "band"),
                kind="category",
            )
        )
    return made
