"""Product usage: the lagging signal."""

from __future__ import annotations

import re

from leadsignal.config.project import UsageLow
from leadsignal.indicators.declare import (
    AvailableData,
    Below,
    DaysSince,
    Family,
    Indicator,
    Least,
    Ratio,
    RelativeRate,
    Trailing,
    UsageToBest,
    Where,
)

FAMILY = "usage"
_indicator = Family(FAMILY, "lagging")


def declare(available: AvailableData) -> list[Indicator]:
    """Declare the level, the level relative to the account's best period, and whether it is low.

    Each series has its own indicators; usage is low if the lowest of them is.
    """
    if not available.has("usage"):
        return []
    low = available.usage_low
    since = _indicator(
        "usage_days_since",
        "days",
        "days since usage was last recorded",
        DaysSince("usage", "used_on"),
    )
    if not low.series:
        return [*_series(low, "", "", ()), since]
    each = [one for name in low.series for one in _of_series(low, name)]
    least = Least(tuple(_to_best(low, _where(name)) for name in low.series))
    meaning = "the lowest usage_to_best of the series"
    return [
        *each,
        _indicator("usage_to_best", "ratio", meaning, least),
        _low(low, "usage_low", "usage_to_best", least),
        since,
    ]


def _where(series: str) -> Where:
    return (("series", (series,)),)


def _of_series(low: UsageLow, name: str) -> list[Indicator]:
    column = re.sub(r"\W+", "_", name).strip("_").lower()
    return _series(low, f"_{column}", f" of {name}", _where(name))


def _series(low: UsageLow, suffix: str, of: str, where: Where) -> list[Indicator]:
    lately = Trailing("usage", "used_on", low.window, where, total="amount")
    quarter = Trailing("usage", "used_on", 3 * low.window, where, total="amount")
    year = Trailing("usage", "used_on", 365, where, total="amount")
    season = Trailing("usage", "used_on", 90, where, total="amount")
    to_best = _to_best(low, where)
    return [
        _indicator(
            f"usage_amount{suffix}", "amount", f"usage{of} in the last {low.window} days", lately
        ),
        _indicator(
            f"usage_share_of_quarter{suffix}",
            "share",
            f"usage{of} in the last {low.window} days over that in the last {3 * low.window}",
            Ratio(lately, quarter),
        ),
        _indicator(
            f"usage_trend{suffix}",
            "times normal",
            f"usage{of} a day in the last 90 days over that in the 275 before",
            RelativeRate(season, year),
        ),
        _indicator(
            f"usage_to_best{suffix}",
            "ratio",
            f"mean usage{of} of the last {low.window} days over that of the best {low.best} days",
            to_best,
        ),
        _low(low, f"usage_low{suffix}", f"usage_to_best{suffix}", to_best),
    ]


def _to_best(low: UsageLow, where: Where) -> UsageToBest:
    return UsageToBest(low.window, low.best, low.within, where)


def _low(low: UsageLow, name: str, of: str, value: UsageToBest | Least) -> Indicator:
    meaning = f"1 where {of} is below {low.ratio:g}"
    return _indicator(name, "0 or 1", meaning, Below(value, low.ratio))
