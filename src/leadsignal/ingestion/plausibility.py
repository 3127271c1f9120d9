"""Warnings about valid but suspicious tables, and about rows that an as-of date hides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from leadsignal.ingestion.account_plausibility import about_accounts
from leadsignal.ingestion.churn_leaks import about_churn
from leadsignal.ingestion.data_warnings import CheckedRows, DataWarning
from leadsignal.phrases import count_of
from leadsignal.sources.parts import quoted

if TYPE_CHECKING:
    from leadsignal.ingestion.feed_health import FeedHealth
    from leadsignal.ingestion.loaded_table import Loaded

OLD = 365
"""Days without a record above which a table is old, if it covers a shorter time than that."""
SAMPLED = 2_000_000
"""Number of rows above which repeated rows are searched for on a sample of days only."""


def find_warnings(rows: CheckedRows) -> tuple[DataWarning, ...]:
    """Return the warnings about the tables that were read, in the order of the tables."""
    found = list(rows.found_in_reading)
    for name, loaded in rows.loaded.items():
        found += hidden_rows(rows.store.query, loaded, rows.as_of_date)
        found += (
            [*about_accounts(rows), *_old_accounts(rows)]
            if name == "accounts"
            else _about_events(rows, loaded)
        )
    return tuple(found)


def _about_events(rows: CheckedRows, loaded: Loaded) -> Iterator[DataWarning]:
    if not rows.store.query(f"SELECT 1 FROM {loaded.table.name} LIMIT 1"):
        yield DataWarning("no_rows", loaded.table.name, "exists but has no rows")
        return
    yield from _late(rows, loaded)
    yield from _repeated(rows, loaded)
    if loaded.table.name == "usage" and "series" in loaded.columns:
        for message in _about_series(rows):
            yield DataWarning("usage_series", "usage", message, "series")
    yield from about_churn(rows, loaded)


def _late(rows: CheckedRows, loaded: Loaded) -> Iterator[DataWarning]:
    """Warn if a table is old, or has fallen silent by the rule of monitoring and scoring."""
    name = loaded.table.name
    source = rows.project.tables.get(name)
    if source and source.complete_through:
        return
    counted = rows.store.query(
        f"SELECT CAST({loaded.known_on} AS DATE) AS day, count(*) FROM {name}"
        f" WHERE {rows.before(loaded.known_on)} GROUP BY day ORDER BY day"
    )
    health = _health(rows, name, counted)
    if health is None or health.last_record is None:
        return
    as_of, last = rows.as_of_date, health.last_record
    silent = (as_of - last).days
    if health.stopped:
        usual = count_of(health.usual_days or 0, "day")
        problem = f"usually they follow within {usual}"
    elif silent > max(OLD, (last - counted[0][0]).days):
        problem = "the table is much older than the others"
    else:
        return
    yield DataWarning(
        "feed_stopped",
        name,
        f"its last record is of {last}, {silent:,} days before {as_of}; {problem}. If the feed "
        "ended, set complete_through",
        loaded.table.time,
    )


def _old_accounts(rows: CheckedRows) -> Iterator[DataWarning]:
    """Warn if the latest starts and ends of accounts are much older than the events."""
    columns = rows.loaded["accounts"].columns
    dates = [name for name in ("started_on", "ended_on") if name in columns]
    days = " UNION ALL ".join(f"SELECT {name} AS day FROM accounts" for name in dates)
    counted = rows.store.query(
        f"SELECT day, count(*) FROM ({days}) WHERE {rows.before('day')} GROUP BY day ORDER BY day"
    )
    health = _health(rows, "accounts", counted)
    if len(rows.loaded) == 1 or health is None or not health.stopped or not health.last_record:
        return
    as_of, last = rows.as_of_date, health.last_record
    yield DataWarning(
        "feed_stopped",
        "accounts",
        f"the last start or end is of {last}, {(as_of - last).days:,} days before {as_of}: if the "
        "list is older than the other tables, later ends are missing. Export it again, or set "
        f"as_of = {last + timedelta(days=1)}",
        "started_on",
    )


def _health(rows: CheckedRows, name: str, counted: list[tuple[date, int]]) -> FeedHealth | None:
    from leadsignal.ingestion.feed_health import assess_feed, chance_of_silence, daily_counts

    first, counts = daily_counts(counted, rows.as_of_date)
    if first is None:
        return None
    return assess_feed(name, first, counts, chance_of_silence(len(rows.loaded) - 1))


def _repeated(rows: CheckedRows, loaded: Loaded) -> Iterator[DataWarning]:
    if loaded.table.repeats != "warning" or loaded.has_versions:
        return
    listed = ", ".join(map(quoted, loaded.columns))
    sampled = loaded.rows >= SAMPLED
    # 29 is coprime to 7 and rarely the length of a month: all days of week and month occur.
    where = f"WHERE ({loaded.table.time} - DATE '1970-01-05') % 29 = 0" if sampled else ""
    ((repeated, groups),) = rows.store.query(
        f"SELECT sum(n), count(*) FROM (SELECT count(*) AS n FROM {loaded.table.name} {where} "
        f"GROUP BY {listed} HAVING count(*) > 1)"
    )
    if groups:
        among = " on one day in 29" if sampled else ""
        more = int(repeated) - int(groups)
        yield DataWarning(
            "repeated_rows",
            loaded.table.name,
            f"{count_of(more, 'row')}{among} {'repeats' if more == 1 else 'repeat'} another in "
            "every column; all are counted",
        )


def _about_series(rows: CheckedRows) -> Iterator[str]:
    named = rows.project.usage_low.series
    found = rows.store.query("SELECT series, count(*) FROM usage GROUP BY ALL ORDER BY ALL")
    counts = {series: int(count) for series, count in found}
    if not named and len(counts) > 1:
        yield (
            f"holds {len(counts)} series, whose amounts are added up. Name those that count as "
            "series of [usage_low] in leadsignal.toml"
        )
    for series in named:
        if series not in counts:
            yield f"holds no row of the series {series!r} that [usage_low] names"
    other = sum(count for series, count in counts.items() if series not in named)
    if named and other:
        yield f"{count_of(other, 'row')} of series that [usage_low] does not name: not counted"


Query = Callable[[str], list[tuple[Any, ...]]]


def hidden_rows(query: Query, loaded: Loaded, as_of: date) -> Iterator[DataWarning]:
    """Yield warnings about the rows of a settled table not yet known at midnight of ``as_of``."""
    for message in _hidden(query, loaded, as_of):
        yield DataWarning("hidden_rows", loaded.table.name, message)


def _hidden(query: Query, loaded: Loaded, as_of: date) -> Iterator[str]:
    day = f"DATE '{as_of}'"
    if loaded.table.name == "accounts":
        yield from _accounts(query, loaded, as_of)
        return
    ((later,),) = query(
        f"SELECT count(*) FROM {loaded.table.name} WHERE {loaded.known_on} >= {day}"
    )
    if later:
        recorded = ", or recorded only then" if "recorded_at" in loaded.columns else ""
        yield f"{count_of(later, 'row')} on or after {as_of}{recorded}: left out"


def _accounts(query: Query, loaded: Loaded, as_of: date) -> Iterator[str]:
    day, known = f"DATE '{as_of}'", loaded.known_on
    newest, then = "true", f"{known} < {day}"
    if loaded.has_versions:
        newest = "superseded_on IS NULL"
        then += f" AND coalesce(superseded_on >= {day}, true)"
    ended = "ended_on" if "ended_on" in loaded.columns else "CAST(NULL AS DATE)"
    ((unstarted, unrecorded, later, unread),) = query(
        f"SELECT count(*) FILTER (WHERE started >= {day}), "
        f"count(*) FILTER (WHERE started < {day} AND known >= {day}), "
        f"count(*) FILTER (WHERE known < {day} AND ended >= {day}), "
        f"count(*) FILTER (WHERE known < {day} AND ended < {day} AND seen IS NULL) "
        f"FROM (SELECT min(started_on) AS started, min({known}) AS known, "
        f"max({ended}) FILTER (WHERE {newest}) AS ended, "
        f"max({ended}) FILTER (WHERE {then}) AS seen FROM accounts GROUP BY account_id)"
    )
    if unstarted:
        yield f"{count_of(unstarted, 'account')} not yet started on {as_of}: left out"
    if unrecorded:
        yield f"{count_of(unrecorded, 'account')} recorded only on or after {as_of}: left out"
    if later:
        yield f"{count_of(later, 'end')} on or after {as_of}: treated as active"
    if unread:
        yield f"{count_of(unread, 'end')} recorded only on or after {as_of}: treated as active"
