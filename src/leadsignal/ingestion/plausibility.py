"""What is not wrong but deserves a second look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING

from leadsignal.ingestion.account_plausibility import about_accounts, count_of
from leadsignal.ingestion.hidden_rows import hidden_rows
from leadsignal.sources.parts import quoted

if TYPE_CHECKING:
    from leadsignal.ingestion.loading import Loaded
    from leadsignal.ingestion.table_reader import TableReader

SAMPLED = 2_000_000
"""Number of rows above which repeated rows are searched on a sample of days."""


@dataclass(frozen=True)
class Notice:
    """A remark on a table."""

    table: str
    message: str

    def __str__(self) -> str:
        return f"{self.table}: {self.message}"

    def to_dict(self) -> dict[str, str]:
        """Return the remark as a plain dictionary."""
        return asdict(self)


def find_notices(reader: TableReader, as_of: date) -> tuple[Notice, ...]:
    """Return the remarks on the tables that were read, in the order of the tables."""
    found = [Notice(table, message) for table, message in reader.intake.notices]
    for name, loaded in reader.loaded.items():
        accounts = name == "accounts"
        about = about_accounts(reader, as_of) if accounts else _about_events(reader, loaded, as_of)
        found += [
            Notice(name, message) for message in hidden_rows(reader.store.query, loaded, as_of)
        ]
        found += [Notice(name, message) for message in about]
    return tuple(found)


def _about_events(reader: TableReader, loaded: Loaded, as_of: date) -> Iterator[str]:
    if not reader.store.query(f"SELECT 1 FROM {loaded.table.name} LIMIT 1"):
        yield "is there but holds no rows"
        return
    yield from _late(reader, loaded, as_of)
    yield from _repeated(reader, loaded)
    if loaded.table.name == "usage" and "series" in loaded.columns:
        yield from _about_series(reader)


def _late(reader: TableReader, loaded: Loaded, as_of: date) -> Iterator[str]:
    """Say where the table has fallen silent, by the rule of monitoring and scoring."""
    source = reader.project.tables.get(loaded.table.name)
    if source and source.complete_through:
        return
    rows = reader.store.query(
        f"SELECT CAST({loaded.known_on} AS DATE) AS day, count(*) FROM {loaded.table.name}"
        f" WHERE {loaded.known_on} < DATE '{as_of}' GROUP BY day ORDER BY day"
    )
    from leadsignal.ingestion.feed_health import assess_feed, chance_of_silence, daily_counts

    first, counts = daily_counts(rows, as_of)
    if first is None:
        return
    health = assess_feed(
        loaded.table.name, first, counts, chance_of_silence(len(reader.loaded) - 1)
    )
    if not health.stopped or health.last_record is None:
        return
    yield (
        f"its last record is of {health.last_record},"
        f" {(as_of - health.last_record).days} days before {as_of}; usually they follow within"
        f" {count_of(health.usual_days or 0, 'day')}. If the feed ended, set complete_through"
    )


def _repeated(reader: TableReader, loaded: Loaded) -> Iterator[str]:
    if loaded.table.repeats != "warning" or loaded.has_versions:
        return
    listed = ", ".join(map(quoted, loaded.columns))
    sampled = loaded.rows >= SAMPLED
    # 29 is prime to weeks and close to no month: the sample holds every weekday and month day.
    where = f"WHERE ({loaded.table.time} - DATE '1970-01-05') % 29 = 0" if sampled else ""
    ((rows, groups),) = reader.store.query(
        f"SELECT sum(n), count(*) FROM (SELECT count(*) AS n FROM {loaded.table.name} {where} "
        f"GROUP BY {listed} HAVING count(*) > 1)"
    )
    if groups:
        among = " on one day in 29" if sampled else ""
        more = int(rows) - int(groups)
        yield (
            f"{count_of(more, 'row')}{among} {'is' if more == 1 else 'are'} like another in every "
            "column; all are counted"
        )


def _about_series(reader: TableReader) -> Iterator[str]:
    named = reader.project.usage_low.series
    counted = reader.store.query("SELECT series, count(*) FROM usage GROUP BY ALL ORDER BY ALL")
    rows = {series: int(count) for series, count in counted}
    if not named and len(rows) > 1:
        yield (
            f"holds {len(rows)} series, whose amounts are added up. Name those that count as "
            "series of [usage_low] in leadsignal.toml"
        )
    for series in named:
        if series not in rows:
            yield f"holds no row of the series {series!r} that [usage_low] names"
    other = sum(count for series, count in rows.items() if series not in named)
    if named and other:
        yield f"{count_of(other, 'row')} of series that [usage_low] does not name: not counted"
