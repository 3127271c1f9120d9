"""Feed health of all tables on one day, as monitoring reads it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from leadsignal.ingestion.feed_health import (
    FeedHealth,
    assess_feed,
    chance_of_silence,
    detected_after,
)
from leadsignal.scoring.feeds import daily_records
from leadsignal.tables import Tables


def assess_feeds(
    tables: Tables, *, chance: float | None = None, known: Collection[str] = ()
) -> tuple[FeedHealth, ...]:
    """Return the health of each table of events at the tables' as_of, in the order of the tables.

    ``chance`` is the probability at which a silence of independent records counts as broken
    (default: that of a weekly run with one false alarm a year, as scoring takes it); ``known``
    names tables that were there in past runs: one that is not any more is missing.

    >>> import leadsignal as ls
    >>> feeds = assess_feeds(ls.read_tables(ls.sample_folder()))
    >>> [health.table for health in feeds if health.broken]
    []
    """
    names = [name for name in tables.names if name != "accounts"]
    chance = chance_of_silence(len(names)) if chance is None else chance
    healths = [_pace(tables, name, chance) for name in names]
    gone = sorted(set(known) - set(tables.names))
    return (*healths, *(FeedHealth(name, "missing") for name in gone))


def _pace(tables: Tables, name: str, chance: float) -> FeedHealth:
    source = tables.project.tables.get(name)
    if source is not None and source.complete_through is not None:
        return FeedHealth(name, "ended", source.complete_through)
    first, counts = daily_records(tables, name)
    if first is None:
        return FeedHealth(name, "empty")
    health = assess_feed(name, first, counts, chance)
    return replace(health, detected_after=detected_after(first, counts, chance))
