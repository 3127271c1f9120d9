"""Durations as they are written: ``"28d"``, ``"12w"``."""

from __future__ import annotations

import re

from leadsignal.errors import OptionError

UNITS = {"d": 1, "w": 7}
LONGEST = 36_525


def days_in(duration: str) -> int:
    """Return the days in a duration such as ``"28d"`` or ``"4w"``.

    Raises OptionError for anything else: no unit, another unit, nothing at all, over a century.

    >>> days_in("4w")
    28
    """
    given = (
        re.fullmatch(r"\s*(\d{1,6})\s*([dw])\s*", duration) if isinstance(duration, str) else None
    )
    days = int(given[1]) * UNITS[given[2]] if given else 0
    if not 1 <= days <= LONGEST:
        raise OptionError(
            f"{duration!r} is not a duration",
            'Write days or weeks, as in "28d" or "4w", at least "1d"',
        )
    return days
