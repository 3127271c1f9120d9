"""What the customer and the team say: surveys, flags, health scores."""

from __future__ import annotations

from leadsignal.indicators.declare import (
    AvailableData,
    DaysSince,
    Indicator,
    Latest,
    Standing,
    Trailing,
)

SATISFACTION = "satisfaction"
FLAGS = "flags"
HEALTH = "health"
ABOUT = {
    SATISFACTION: """\
What customers answer when asked. Those about to leave often do not answer at all, so the days
since the last answer are an indicator too.""",
    FLAGS: """\
The team's own calls that an account is at risk. A flag is raised by somebody who has seen
something, so it comes late by nature; it is judged beside the other warnings.""",
    HEALTH: """\
The health score that is there already. It is never needed, and always judged: `audit_health`
says what it was worth.""",
}
"""What the pages of the docs say of the families."""


def declare(available: AvailableData) -> list[Indicator]:
    """Latest survey; flags open and raised; latest health score and band."""
    indicators: list[Indicator] = []
    if available.has("surveys"):
        indicators += [
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
    if available.has("flags"):
        indicators += [
            Indicator(
                "flags_open",
                FLAGS,
                "lagging",
                "flags",
                "open at-risk flags",
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
    if available.has("health_scores"):
        indicators.append(
            Indicator(
                "health_score",
                HEALTH,
                "lagging",
                "score",
                "the latest health score",
                Latest("health_scores", "scored_on", "score"),
            )
        )
    if available.has("health_scores", "band"):
        indicators.append(
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
    return indicators
