"""Support tickets."""

from __future__ import annotations

from leadsignal.indicators.declare import AvailableData, Indicator, Standing, Trailing

FAMILY = "tickets"
ABOUT = {
    FAMILY: """\
Support tickets: how many lately, how many open. Neither many nor few is good in itself. A
customer in the middle of adopting something asks more, and so does one in trouble."""
}
"""What the pages of the docs say of the family."""


def declare(available: AvailableData) -> list[Indicator]:
    """Tickets opened lately, and open now."""
    if not available.has("tickets"):
        return []
    indicators = [
        Indicator(
            f"tickets_opened_{days}d",
            FAMILY,
            "leading",
            "tickets",
            f"tickets opened in the last {days} days",
            Trailing("tickets", "opened_at", days),
        )
        for days in (30, 90, 365)
    ]
    if available.has("tickets", "closed_at"):
        indicators.append(
            Indicator(
                "tickets_open",
                FAMILY,
                "leading",
                "tickets",
                "tickets open now",
                Standing("tickets", "opened_at", "closed_at"),
            )
        )
    return indicators
