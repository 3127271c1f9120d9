"""Feeds that are missing, empty or late on the scoring date, and how scores are computed then."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

from leadsignal.errors import ModelError
from leadsignal.ingestion.feed_health import (
    FeedHealth,
    assess_feed,
    chance_of_silence,
    daily_counts,
    lateness,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.tables import Tables

MAX_UNKNOWN = 0.5
"""Scoring is refused if more than this share of the model's indicators has no feed. It is the mean
over indicator families, so that a family with one column per behaviour does not dominate."""

MAX_LATE = 14
"""Days overdue after which the last state of a late table is no longer used."""


@dataclass(frozen=True)
class Feed:
    """A table used to fit the model that is missing, empty or late.

    ``indicators`` is the number of the model's indicators that depend on it. A late table has had
    no records for ``silent_days``. Scores use its state on ``state_as_of``, the day after its last
    record, for up to 14 days beyond its usual gap. After that, and when fitting, its indicators are
    unknown.
    """

    table: str
    state: Literal["missing", "empty", "late"]
    last_record: date | None
    usual_gap_days: int | None
    indicators: int
    silent_days: int | None = None
    state_as_of: date | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether a late table is treated as complete only up to its last record."""
        return self.state == "late" and self.state_as_of is None

    def __str__(self) -> str:
        if self.state != "late":
            what = "is missing" if self.state == "missing" else "has no rows"
            return f"{self.table} {what}: {self.indicators} indicators count as unknown"
        day = self.state_as_of
        done = f"its state of {day} is used" if day else "its indicators are unknown"
        return f"{lateness(self.table, self.last_record, self.usual_gap_days)}; {done}"

    def to_dict(self) -> dict[str, Any]:
        """Return the feed as a plain dictionary, ready for JSON."""
        days = ("last_record", "state_as_of")
        content = asdict(self)
        return {**content, **{day: content[day] and content[day].isoformat() for day in days}}


def find_feeds(model: ChurnModel, tables: Tables) -> tuple[Feed, ...]:
    """Return the feeds of a model that are missing, empty or late on the as_of date of the tables.

    A table with ``complete_through`` is not checked, as it declares where its records end. Raises
    ModelError if essential processes or metrics of behaviours need a missing behaviors table, or if
    too many of the model's indicators have no feed.
    """
    read: dict[str, int] = {}
    for name in model.features_.names:
        for table in model.origin_.indicators.get(name, ()):
            read[table] = read.get(table, 0) + 1
    found = [_feed(tables, table, count) for table, count in sorted(read.items())]
    feeds = tuple(feed for feed in found if feed is not None)
    _refuse_blindness(model, feeds)
    return feeds


def _feed(tables: Tables, table: str, count: int) -> Feed | None:
    if table not in tables.names:
        return Feed(table, "missing", None, None, count)
    if table == "accounts" or _ended(tables, table):
        return None
    health = _pace(tables, table)
    if health.state == "empty":
        return Feed(table, "empty", None, None, count)
    late = _late(health, count)
    return late and _held(late)


def _late(health: FeedHealth, count: int) -> Feed | None:
    if not health.stopped:
        return None
    silent = health.silent_days
    return Feed(health.table, "late", health.last_record, health.usual_days, count, silent)


def _held(late: Feed) -> Feed:
    """Keep the last state of a late feed, unless it is overdue for too long."""
    last, silent, usual = late.last_record, late.silent_days or 0, late.usual_gap_days or 1
    if last is None or silent - (usual - 1) > MAX_LATE:
        return late
    return replace(late, state_as_of=last + timedelta(days=1))


def _ended(tables: Tables, table: str) -> bool:
    source = tables.project.tables.get(table)
    return source is not None and source.complete_through is not None


def _pace(tables: Tables, table: str) -> FeedHealth:
    """Return the health of a feed by the rules of weekly monitoring."""
    first, counts = daily_records(tables, table)
    if first is None:
        return FeedHealth(table, "empty")
    return assess_feed(table, first, counts, chance_of_silence(len(tables.names) - 1))


def daily_records(tables: Tables, name: str) -> tuple[date | None, NDArray[np.float64]]:
    """Return the first day of a table, and the number of records that became known each day since.

    The last day is the one before as_of. Every version of a record counts, on the day it was known.
    """
    rows = (
        tables.connection.cursor()
        .execute(
            "SELECT CAST(known_on AS DATE) AS day, count(*) FROM"
            f" ({tables.history(name)}) GROUP BY day ORDER BY day"
        )
        .fetchall()
    )
    return daily_counts(rows, tables.as_of_date)


def without_late_feeds(tables: Tables) -> tuple[Tables, tuple[Feed, ...]]:
    """Treat late tables as complete only up to their last record; also return the late feeds.

    This is used for fitting, before it is known how many indicators depend on each table.
    """
    names = [name for name in tables.names if name != "accounts" and not _ended(tables, name)]
    found = [_late(_pace(tables, name), 0) for name in names]
    late = tuple(feed for feed in found if feed is not None)
    return without_late_days(tables, late), late


def _refuse_blindness(model: ChurnModel, feeds: tuple[Feed, ...]) -> None:
    gone = {feed.table for feed in feeds if feed.state == "missing"}
    lost = unknown_indicators(model, feeds)
    total = len(model.features_.names)
    names = ", ".join(sorted(gone))
    analysis = model.analysis_
    if "behaviors" in gone and (analysis.processes or analysis.metrics):
        what = "essential processes" if analysis.processes else "metrics of behaviours"
        raise ModelError(
            f"the model reads {what}, and there is no table behaviors",
            "Give the tables that the model was fitted with, or fit the model again",
        )
    if _mean_share(model, lost) > MAX_UNKNOWN:
        raise ModelError(
            f"the model needs indicators that the panel does not have: {len(lost)} of {total}, of"
            f" the tables {names}",
            "Give the tables that the model was fitted with, or fit the model again",
        )


def _mean_share(model: ChurnModel, lost: list[str]) -> float:
    """Return the share of indicators lost, averaged over the indicator families."""
    read = Counter(model.families_[name] for name in model.features_.names)
    gone = Counter(model.families_[name] for name in lost)
    return sum(gone[family] / count for family, count in read.items()) / max(len(read), 1)


def unknown_indicators(model: ChurnModel, feeds: tuple[Feed, ...]) -> list[str]:
    """Return the model's indicators that cannot be computed because a table is missing."""
    gone = {feed.table for feed in feeds if feed.state == "missing"}
    of = model.origin_.indicators
    return [name for name in model.features_.names if gone.intersection(of.get(name, ()))]


def without_late_days(tables: Tables, feeds: tuple[Feed, ...]) -> Tables:
    """Treat tables that are late and unknown as complete only up to their last record.

    Other late tables keep their last state (`last_known.hold_late`): dropping a whole table for a
    delay of a few days would change the risks more than the delay does.
    """
    late = {feed.table: feed.last_record for feed in feeds if feed.is_unknown and feed.last_record}
    return tables.complete_through(late) if late else tables


def with_unknown(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return panel rows with empty columns for indicators without a feed."""
    absent = [name for name in names if name not in rows.columns]
    return rows.assign(**dict.fromkeys(absent, float("nan"))) if absent else rows
