"""What is not wrong but deserves a second look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from leadsignal.intake.account_notices import about_accounts, count_of
from leadsignal.intake.hidden import hidden_rows
from leadsignal.sources.parts import quoted

if TYPE_CHECKING:
    from leadsignal.intake.door import Door
    from leadsignal.intake.loading import Loaded

SLOWER, LEAST_DAYS = 5, 14
"""A table is late when its silence is 5 times its usual longest gap, and more than 14 days."""
SAMPLED = 2_000_000
"""From so many rows on, repeats are looked for on a sample of days."""


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


def find_notices(door: Door, as_of: date) -> tuple[Notice, ...]:
    """Return the remarks on the tables that were read, in the order of the tables."""
    found = [Notice(table, message) for table, message in door.intake.notices]
    for name, loaded in door.loaded.items():
        accounts = name == "accounts"
        about = about_accounts(door, as_of) if accounts else _about_events(door, loaded, as_of)
        found += [Notice(name, message) for message in hidden_rows(door.store.query, loaded, as_of)]
        found += [Notice(name, message) for message in about]
    return tuple(found)


def _about_events(door: Door, loaded: Loaded, as_of: date) -> Iterator[str]:
    if not door.store.query(f"SELECT 1 FROM {loaded.table.name} LIMIT 1"):
        yield "is there but holds no rows"
        return
    yield from _late(door, loaded, as_of)
    yield from _repeated(door, loaded)
    if loaded.table.name == "usage" and "series" in loaded.columns:
        yield from _about_series(door)


def _late(door: Door, loaded: Loaded, as_of: date) -> Iterator[str]:
    """Compare the days since the last record with the gaps between days that have records."""
    source = door.project.tables.get(loaded.table.name)
    if source and source.complete_through:
        return
    rows = f"SELECT {loaded.known_on} AS day FROM {loaded.table.name}"
    silence = find_silence(door.store.query, f"{rows} WHERE {loaded.known_on} < DATE '{as_of}'")
    if silence is None or not silence.is_odd(as_of):
        return
    last, usual = silence.last, silence.usual
    yield (
        f"its last record is of {last}, {(as_of - last).days} days before {as_of}; usually "
        f"they follow within {count_of(usual, 'day')}. If the feed ended, set complete_through"
    )


@dataclass(frozen=True)
class Silence:
    """The last day of a table, the gap between its days that 95 % keep to, and its days."""

    last: date
    usual: int
    days: int

    def is_odd(self, as_of: date) -> bool:
        """Whether so long a silence is unlike the table."""
        silent = (as_of - self.last).days
        return self.days >= 5 and silent > max(SLOWER * self.usual, LEAST_DAYS)


def find_silence(query: Callable[[str], list[tuple[Any, ...]]], days: str) -> Silence | None:
    """Return how a table falls silent; ``days`` is the SQL of its days. None without rows."""
    ((last, usual, count),) = query(
        "SELECT max(day), quantile_disc(gap, 0.95), count(*) FROM (SELECT day, day - lag(day) "
        f"OVER (ORDER BY day) AS gap FROM (SELECT DISTINCT day FROM ({days})))"
    )
    return None if last is None else Silence(last, int(usual or 0), int(count))


def _repeated(door: Door, loaded: Loaded) -> Iterator[str]:
    if loaded.table.repeats != "warning" or loaded.has_versions:
        return
    listed = ", ".join(map(quoted, loaded.columns))
    sampled = loaded.rows >= SAMPLED
    # 29 is prime to weeks and close to no month: the sample holds every weekday and month day.
    where = f"WHERE ({loaded.table.time} - DATE '1970-01-05') % 29 = 0" if sampled else ""
    ((rows, groups),) = door.store.query(
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


def _about_series(door: Door) -> Iterator[str]:
    named = door.project.usage_low.series
    counted = door.store.query("SELECT series, count(*) FROM usage GROUP BY ALL ORDER BY ALL")
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
