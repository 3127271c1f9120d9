"""Durations as users write them: ``"28d"``, ``"6 months"``, 28, or a timedelta."""

from __future__ import annotations

import re
from datetime import timedelta

from leadsignal.errors import OptionError

UNITS = {
    "d": 1, "day": 1, "days": 1,
    "w": 7, "week": 7, "weeks": 7,
    "month": 30.4375, "months": 30.4375,
    "year": 365.25, "years": 365.25,
}  # fmt: skip
"""Number of days in each unit; months and years have the average length of the Julian calendar."""
MAX_DAYS_IN_DURATION = 36_525

Duration = str | int | timedelta
"""A text with a unit, a whole number of days, or a timedelta (also pandas') of whole days."""


def days_in(duration: Duration) -> int:
    """Convert a duration to a whole number of days.

    Parameters
    ----------
    duration : str, int or timedelta
        ``"28d"``, ``"4w"``, ``"90 days"``, ``"6 months"``, ``"1 year"``; a number of days; or a
        `datetime.timedelta` or `pandas.Timedelta` of whole days. Months and years have their
        average length and are rounded to a day: 6 months are 183 days.

    Returns
    -------
    int
        At least 1, at most 36,525 (a century).

    Raises
    ------
    OptionError
        For anything else.

    Examples
    --------
    >>> days_in("4w"), days_in("6 months"), days_in(180)
    (28, 183, 180)
    """
    days = _days(duration)
    if not 1 <= days <= MAX_DAYS_IN_DURATION:
        raise OptionError(
            f"{duration!r} is not a duration",
            'Write a number and its unit, as in "28d", "4w" or "6 months", or a number of days;'
            ' at least "1d"',
        )
    return days


def _days(duration: object) -> int:
    """Return the number of days, or 0 if the value is not a duration."""
    if isinstance(duration, str):
        match = re.fullmatch(r"\s*(\d{1,6})\s*([a-z]{1,6})\s*", duration)
        return round(int(match[1]) * UNITS.get(match[2], 0)) if match else 0
    if isinstance(duration, timedelta):
        return duration.days if duration == timedelta(days=duration.days) else 0
    # This includes numpy integers, but not floats or bools.
    if hasattr(duration, "__index__") and not isinstance(duration, bool):
        return int(duration)
    return 0


PERIODS = {
    "day": 12 / 365.25, "daily": 12 / 365.25, "week": 84 / 365.25, "weekly": 84 / 365.25,
    "month": 1, "months": 1, "monthly": 1,
    "quarter": 3, "quarterly": 3,
    "half-year": 6, "semiannual": 6, "semi-annual": 6,
    "year": 12, "yearly": 12, "annual": 12, "annually": 12,
}  # fmt: skip
"""Number of months in each billing period; a year has 365.25 days."""
MONTHS_WRITTEN = "^([0-9]+) ?(?:months?)?$"
"""Pattern of a billing period in months; the unit is optional."""
HOW_PERIODS_ARE_WRITTEN = (
    'Write "month", "quarter", "half-year", "year", "week" or months, as in "6 months"'
)


def a_period(value: object) -> str:
    """Check a billing period.

    >>> a_period("6 months")
    '6 months'
    """
    text = str(value).strip().lower()
    number = re.fullmatch(MONTHS_WRITTEN[1:-1], text)
    if text not in PERIODS and not (number and int(number[1])):
        raise OptionError("is not a period", HOW_PERIODS_ARE_WRITTEN)
    return text
