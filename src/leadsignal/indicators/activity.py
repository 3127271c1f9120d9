"""Activity outside the essential processes: all other key behaviours."""

from __future__ import annotations

from leadsignal.indicators.behaviors import IN_PROCESS
from leadsignal.indicators.declare import AvailableData, Family, Indicator, Trailing

FAMILY = "activity"
_indicator = Family(FAMILY, "lagging")


def declare(available: AvailableData) -> list[Indicator]:
    """Declare events and distinct users in 30 and 90 days."""
    if not available.has("behaviors"):
        return []
    indicators, where = [], ((IN_PROCESS, ("no",)),)
    for days in (30, 90):
        events = Trailing("behaviors", "occurred_at", days, where, total="quantity")
        indicators.append(
            _indicator(
                f"activity_events_{days}d",
                "events",
                f"quantity of key behaviours outside the processes in the last {days} days",
                events,
            )
        )
        if available.has("behaviors", "user_id"):
            users = Trailing("behaviors", "occurred_at", days, where, users=True)
            indicators.append(
                _indicator(
                    f"activity_users_{days}d",
                    "users",
                    f"users with any key behaviour outside the processes in the last {days} days",
                    users,
                )
            )
    return indicators
