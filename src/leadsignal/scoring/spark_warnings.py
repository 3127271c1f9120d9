"""Warnings about scores in Spark: feeds that fell silent, far more or fewer churns than before.

Each table is read for its days and numbers of records only, the accounts for two numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING

from leadsignal.end_of_risk import first_of
from leadsignal.engine.spark import source_view
from leadsignal.evaluation.doubts import Counts
from leadsignal.ingestion.dialect import Spark
from leadsignal.ingestion.feed_health import assess_feed, chance_of_silence, daily_counts, lateness

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from leadsignal.config.project import Project


def silent_feeds(
    frames: Mapping[str, DataFrame], tables: Collection[str], project: Project, as_of: date
) -> Iterator[str]:
    """Yield a sentence for each table, among those that a model reads, without recent records.

    ``frames`` are the rows and versions of all tables by view, cut at ``as_of``. The rules are
    those of `find_feeds`; tables that declare ``complete_through`` are not checked.
    """
    ended = {name for name, source in project.tables.items() if source.complete_through}
    chance = chance_of_silence(len(frames) - 1) if len(frames) > 1 else 1.0
    for table in sorted(set(tables) - ended - {"accounts"}):
        if (frame := frames.get(source_view(table))) is None:
            continue
        days = frame.selectExpr("CAST(known_on AS DATE) AS day").groupBy("day").count()
        first, counts = daily_counts(sorted(map(tuple, days.collect())), as_of)
        if first is None:
            yield f"{table} has no rows: its indicators count as unknown"
            continue
        health = assess_feed(table, first, counts, chance)
        if health.stopped:
            late = lateness(table, health.last_record, health.usual_days)
            yield f"{late}; the scores count the silence as no activity"


def last_horizon_in_spark(
    accounts: DataFrame | None, project: Project, as_of: date, horizon: int
) -> Counts | None:
    """Return the churns of the last completed horizon; None if no account was active before it."""
    begin, source = as_of - timedelta(days=horizon), project.tables.get("accounts")
    late = source is not None and source.complete_from and source.complete_from > begin
    if accounts is None or late:
        return None
    since, known = f"DATE '{begin}'", first_of("ended_on", "end_known_on")
    kept = ", ".join(map(Spark().literal, project.not_churn))
    other = f"COALESCE(end_reason IN ({kept}), FALSE)" if kept else "FALSE"
    active = f"started_on < {since} AND COALESCE({known} >= {since}, TRUE)"
    ((count, churned),) = (
        accounts.where(f"superseded_on IS NULL AND {active}")
        .selectExpr("count(*)", f"count_if(ended_on IS NOT NULL AND NOT {other})")
        .collect()
    )
    return (int(churned), int(count)) if count else None
