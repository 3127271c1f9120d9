"""Support tickets."""

from __future__ import annotations

from leadsignal.indicators.declare import AvailableData, Family, Indicator, Standing, Trailing

FAMILY = "tickets"
_indicator = Family(FAMILY, "leading")


def declare(available: AvailableData) -> list[Indicator]:
    """Declare recently opened tickets and open tickets."""
    if not available.has("tickets"):
        return []
    indicators = [
        _indicator(
            f"tickets_opened_{days}d",
            "tickets",
            f"tickets opened in the last {days} days",
            Trailing("tickets", "opened_at", days),
        )
        for days in (30, 90, 365)
    ]
    if available.has("tickets", "closed_at"):
        indicators.append(
            _indicator(
                "tickets_open",
                "tickets",
                "tickets open now",
                Standing("tickets", "opened_at", "closed_at"),
            )
        )
    return indicators
