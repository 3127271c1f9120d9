"""Sponsor contact, handoffs and diary, if the analysis names the behaviours that record them."""

from __future__ import annotations

from leadsignal.indicators.declare import AvailableData, DaysSince, Family, Indicator, Trailing

FAMILY = "tracking"
_indicator = Family(FAMILY, "leading")


def declare(available: AvailableData) -> list[Indicator]:
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
            _indicator(
                f"{kind}_days_since",
                "days",
                f"days since the last {what}",
                DaysSince("behaviors", "occurred_at", where),
            ),
            _indicator(
                f"{kind}_events_90d",
                "events",
                f"quantity of {what} in the last 90 days",
                Trailing("behaviors", "occurred_at", 90, where, total="quantity"),
            ),
        ]
    return indicators
