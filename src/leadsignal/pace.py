"""The pace of each table: whether its records still come as they use to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from math import log
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from leadsignal.tables import Tables

    Floats = NDArray[np.float64]

TRAILING = 84
"""Days before a day whose mean, by weekday, is what is expected of it."""
SETTLING = 28
"""The first days of a table, of which nothing is expected."""
LEAST_DAYS, LEAST_DAYS_WITH_ROWS = 91, 20
"""A table with fewer, or fewer that have records, has no pace yet."""
RECENT, LEAST_SILENT = 400, 3
"""A silence is longer in days than usual in the last so many, and no fewer than so many: loads
often come a day or two late."""
YEAR, AROUND = 364, 10
"""The same season a year before: so many days back, give or take."""
MUCH_LONGER, LONGER = 1.5, 1.15
"""How much longer a silence must be than has been usual; the lesser, where it lasts on."""
THIN_DAYS, THIN_RECORDS, THINNER = 14, 20, 0.5
"""A feed is thin when two weeks that should bring 20 records bring half of the least seen."""

State = Literal["on time", "silent", "thin", "empty", "missing", "ended", "too young"]


@dataclass(frozen=True)
class Pace:
    """How a table's records come, on one day.

    ``silent_days`` have passed without a record, in which ``expected`` records should have come;
    ``bound`` is how many may fail to come before it is a broken feed. ``share`` is what the last
    14 days brought of what was expected of them.
    """

    table: str
    state: State
    last_record: date | None = None
    silent_days: int = 0
    expected: float = 0.0
    bound: float = float("nan")
    share: float = float("nan")

    @property
    def broken(self) -> bool:
        """Whether it is no calm week but a feed that fails."""
        return self.state in ("silent", "thin", "empty", "missing")

    def __str__(self) -> str:
        if self.state == "silent":
            return (
                f"no {self.table} since {self.last_record:%A %Y-%m-%d}: {self.silent_days} days"
                f" in which {self.expected:,.0f} records would be usual"
            )
        if self.state == "thin":
            return f"{self.table}: {self.share:.0%} of the records usual in {THIN_DAYS} days"
        return f"{self.table}: {self.state}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as a plain dictionary, ready for JSON."""
        last = None if self.last_record is None else self.last_record.isoformat()
        numbers = {
            name: None if np.isnan(value) else round(value, 3)
            for name, value in (
                ("expected", self.expected), ("bound", self.bound), ("share", self.share)
            )
        }  # fmt: skip
        return {**asdict(self), **numbers, "last_record": last, "broken": self.broken}


def feed_paces(
    tables: Tables, *, chance: float = 0.0005, known: Collection[str] = ()
) -> tuple[Pace, ...]:
    """Return the pace of each table of events at the tables' as_of, in the order of the tables.

    ``chance`` is the probability at which a silence of independent records counts as broken;
    ``known`` names tables that were there in past runs: one that is not any more is missing.

    >>> import leadsignal as ls
    >>> [pace.table for pace in feed_paces(ls.read_tables(ls.sample_folder())) if pace.broken]
    []
    """
    paces = [_pace(tables, name, chance) for name in tables.names if name != "accounts"]
    gone = sorted(set(known) - set(tables.names))
    return (*paces, *(Pace(name, "missing") for name in gone))


def _pace(tables: Tables, name: str, chance: float) -> Pace:
    source = tables.project.tables.get(name)
    if source is not None and source.complete_through is not None:
        return Pace(name, "ended", source.complete_through)
    first, counts = daily_records(tables, name)
    return Pace(name, "empty") if first is None else judge_pace(name, first, counts, chance)


def daily_records(tables: Tables, name: str) -> tuple[date | None, Floats]:
    """Return the first day of a table and the records that came to be known on each day since.

    The last is the day before as_of. Records count on the day they were known, versions too.
    """
    rows = (
        tables.connection.cursor()
        .execute(
            "SELECT CAST(known_on AS DATE) AS day, count(*) FROM"
            f" ({tables.history(name)}) GROUP BY day ORDER BY day"
        )
        .fetchall()
    )
    if not rows:
        return None, np.zeros(0)
    first: date = rows[0][0]
    counts = np.zeros((tables.as_of_date - first).days)
    for day, count in rows:
        counts[(day - first).days] = count
    return first, counts


def judge_pace(table: str, first: date, counts: Floats, chance: float) -> Pace:
    """Return how a table stands after the last of its days.

    Silence is measured in records that should have come, from the mean of the 84 days before and
    the weekday. It is broken beyond the logarithm of 1 / ``chance`` (so long an independent feed
    is silent with that probability) when it is also half as long again as usual, or 15 % longer
    and that logarithm more. Usual is the second longest silence so far (the longest may have been
    an outage), or the longest in this season a year before. It is also longer in days than any but
    one of the last year: a pace that grows makes a month heavier, and not longer.
    """
    days = np.flatnonzero(counts)
    if not len(days):
        return Pace(table, "empty")
    last, silent = first + timedelta(days=int(days[-1])), len(counts) - 1 - int(days[-1])
    if len(counts) < LEAST_DAYS or len(days) < LEAST_DAYS_WITH_ROWS:
        return Pace(table, "too young", last, silent)
    expected = _expected(first, counts)
    upto = np.concatenate(([0.0], np.cumsum(expected)))
    now = float(upto[-1] - upto[days[-1] + 1])
    usual, chancy = _longest(days, upto, len(counts)), -log(chance)
    bound = max(chancy, min(MUCH_LONGER * usual, LONGER * usual + chancy))
    share, least = _thinness(counts, expected)
    state: State = "on time"
    if silent > _longest_in_days(days) and now > bound:
        state = "silent"
    elif share < THINNER * least and silent < THIN_DAYS:
        state = "thin"
    return Pace(table, state, last, silent, now, bound, share)


def _expected(first: date, counts: Floats) -> Floats:
    """Return what was to be expected of each day: the trailing mean times the weekday's share."""
    weekday = (first.weekday() + np.arange(len(counts))) % 7
    by_weekday = np.bincount(weekday, weights=counts, minlength=7)
    seen = np.bincount(weekday, minlength=7)
    mean_of_weekday = by_weekday / np.maximum(seen, 1)
    relative = mean_of_weekday / max(float(mean_of_weekday.mean()), 1e-12)
    total = np.concatenate(([0.0], np.cumsum(counts)))
    at = np.arange(len(counts))
    begin = np.maximum(at - TRAILING, 0)
    mean = (total[at] - total[begin]) / np.maximum(at - begin, 1)
    expected: Floats = np.where(at < SETTLING, 0.0, mean) * relative[weekday]
    return expected


def _longest(days: NDArray[np.int64], upto: Floats, length: int) -> float:
    """Return how long a silence may be by the table's own past, in expected records."""
    gaps = upto[days[1:]] - upto[days[:-1] + 1]
    if len(gaps) < 2:
        return 0.0
    usual = float(np.sort(gaps)[-2])
    begun, over = days[:-1] + YEAR, days[1:] + YEAR
    season = gaps[(over >= int(days[-1]) - AROUND) & (begun <= length + AROUND)]
    last_year = float(season.max()) if len(season) else 0.0
    return max(usual, last_year)


def _longest_in_days(days: NDArray[np.int64]) -> int:
    recent = days[days > int(days[-1]) - RECENT]
    gaps = np.sort(np.diff(recent) - 1)
    return max(int(gaps[-2]) if len(gaps) > 1 else 0, LEAST_SILENT - 1)


def _thinness(counts: Floats, expected: Floats) -> tuple[float, float]:
    """Return what the last 14 days brought of what was expected, and the least that is usual.

    That is the least but for one outage of two weeks, or the least in this season a year before.
    """
    came = np.convolve(counts, np.ones(THIN_DAYS), "valid")
    due = np.convolve(expected, np.ones(THIN_DAYS), "valid")
    judged = np.arange(len(due)) >= SETTLING
    if not judged[-1] or due[-1] < THIN_RECORDS:
        return float("nan"), float("nan")
    share = came / np.maximum(due, 1e-12)
    fine = judged & (due >= THIN_RECORDS)
    past = np.sort(share[: -2 * THIN_DAYS][fine[: -2 * THIN_DAYS]])
    if len(past) <= 2 * THIN_DAYS:
        return float(share[-1]), float("nan")
    year = len(share) - 1 - YEAR
    season = share[max(year - AROUND, 0) : max(year + AROUND + 1, 0)]
    return float(share[-1]), float(min(past[2 * THIN_DAYS], *season))
