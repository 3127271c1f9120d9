"""Product usage: the lagging signal."""

from __future__ import annotations

from leadsignal.indicators.declare import (
    Below,
    DaysSince,
    Given,
    Indicator,
    Ratio,
    Trailing,
    UsageToBest,
)

FAMILY = "usage"
ABOUT = {
    FAMILY: """\
How much the product is used. It is what most teams look at, and it usually falls when the
decision has been made. It is compared with the account's own best stretch: compared with the
weeks before, it would look recovered once it has been low for long enough."""
}
"""What the pages of the docs say of the family."""


def declare(given: Given) -> list[Indicator]:
    """Level, level against the account's best stretch, and whether that is low."""
    if not given.has("usage"):
        return []
    low = given.usage_low
    to_best = UsageToBest(low.window, low.best, low.within)
    lately = Trailing("usage", "used_on", low.window, total="amount")
    quarter = Trailing("usage", "used_on", 3 * low.window, total="amount")
    return [
        Indicator(
            "usage_amount",
            FAMILY,
            "lagging",
            "amount",
            f"usage in the last {low.window} days",
            lately,
        ),
        Indicator(
            "usage_share_of_quarter",
            FAMILY,
            "lagging",
            "share",
            f"usage in the last {low.window} days over that in the last {3 * low.window}",
            Ratio(lately, quarter),
        ),
        Indicator(
            "usage_to_best",
            FAMILY,
            "lagging",
            "ratio",
            f"mean usage of the last {low.window} days over that of the best {low.best} days",
            to_best,
        ),
        Indicator(
            "usage_low",
            FAMILY,
            "lagging",
            "0 or 1",
            f"1 where usage_to_best is below {low.ratio:g}",
            Below(to_best, low.ratio),
        ),
        Indicator(
            "usage_days_since",
            FAMILY,
            "lagging",
            "days",
            "days since usage was last recorded",
            DaysSince("usage", "used_on"),
        ),
    ]
