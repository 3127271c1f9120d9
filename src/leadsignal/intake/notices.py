"""What is not wrong but deserves a second look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING

from leadsignal.intake.pace import chance_of_silence, daily_counts, judge_pace
from leadsignal.sources.parts import quoted

if TYPE_CHECKING:
    from leadsignal.intake.door import Door
    from leadsignal.intake.loading import Loaded

SEPARATES, FEWEST = 0.9, 20
"""An attribute leaks from this AUC on; with fewer ends, or accounts left, nothing is said."""
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
        about = _about_accounts(door, as_of) if accounts else _about_events(door, loaded, as_of)
        found += [Notice(name, message) for message in about]
    return tuple(found)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _about_events(door: Door, loaded: Loaded, as_of: date) -> Iterator[str]:
    if not door.store.query(f"SELECT 1 FROM {loaded.table.name} LIMIT 1"):
        yield "is there but holds no rows"
        return
    yield from _late(door, loaded, as_of)
    yield from _repeated(door, loaded)
    if loaded.table.name == "usage" and "series" in loaded.columns:
        yield from _about_series(door)


def _late(door: Door, loaded: Loaded, as_of: date) -> Iterator[str]:
    """Say where the table has fallen silent, by the rule of monitoring and scoring."""
    source = door.project.tables.get(loaded.table.name)
    if source and source.complete_through:
        return
    rows = door.store.query(
        f"SELECT CAST({loaded.known_on} AS DATE) AS day, count(*) FROM {loaded.table.name}"
        f" WHERE {loaded.known_on} < DATE '{as_of}' GROUP BY day ORDER BY day"
    )
    first, counts = daily_counts(rows, as_of)
    if first is None:
        return
    pace = judge_pace(loaded.table.name, first, counts, chance_of_silence(len(door.loaded) - 1))
    if not pace.stopped or pace.last_record is None:
        return
    yield (
        f"its last record is of {pace.last_record}, {(as_of - pace.last_record).days} days before"
        f" {as_of}; usually they follow within {_count(pace.usual_days or 0, 'day')}. If the feed"
        " ended, set complete_through"
    )


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
            f"{_count(more, 'row')}{among} {'is' if more == 1 else 'are'} like another in every "
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
        yield f"{_count(other, 'row')} of series that [usage_low] does not name: not counted"


def _about_accounts(door: Door, as_of: date) -> Iterator[str]:
    columns = door.loaded["accounts"].columns
    ended = "count(*) FILTER (WHERE ended_on >= $day)" if "ended_on" in columns else "0"
    counts = f"SELECT count(*) FILTER (WHERE started_on >= $day), {ended} FROM accounts"
    ((later, open_ends),) = door.store.query(counts.replace("$day", f"DATE '{as_of}'"))
    if later:
        yield f"{_count(later, 'account')} not yet started on {as_of}: left out"
    if open_ends:
        yield f"{_count(open_ends, 'end')} on or after {as_of}: treated as active"
    if "ended_on" in columns:
        yield from _leaks(door, as_of)
    else:
        yield "there is no column ended_on: all accounts count as active"


def _leaks(door: Door, as_of: date) -> Iterator[str]:
    ended = f"coalesce(ended_on < DATE '{as_of}', false)"
    started = f"started_on < DATE '{as_of}'"
    ((ends, left),) = door.store.query(
        f"SELECT count(*) FILTER (WHERE {ended}), count(*) FILTER (WHERE NOT {ended}) "
        f"FROM accounts WHERE {started}"
    )
    if min(ends, left) < FEWEST:
        return
    for name, kind in door.attributes.items():
        number = kind == "number"
        cell = f"TRY_CAST({quoted(name)} AS DOUBLE)" if number else quoted(name)
        blank = f"({cell} IS NULL{f' OR {cell} = 0' if number else ''})"
        ((gone, there),) = door.store.query(
            f"SELECT avg({blank}::INT) FILTER (WHERE {ended}), "
            f"avg({blank}::INT) FILTER (WHERE NOT {ended}) FROM accounts WHERE {started}"
        )
        if gone - there > 0.5:
            yield (
                f"attribute {name!r} is empty or zero for {gone:.0%} of ended accounts and "
                f"{there:.0%} of the others: it holds today's values and gives ends away"
            )
        elif (auc := _auc(door, cell, number, ended, started)) > SEPARATES:
            yield (
                f"attribute {name!r} alone tells ended accounts from the others (AUC {auc:.2f}): "
                "make sure that it held at the start"
            )


def _auc(door: Door, cell: str, number: bool, ended: str, started: str) -> float:
    """Return the AUC by which an attribute separates past ends, whatever its direction.

    Texts are ranked by the rate of ends among the *other* accounts of their level, so that a
    level of one account says nothing.
    """
    level = f"(PARTITION BY {cell})"
    others = (
        f"coalesce((sum(ended::INT) OVER {level} - ended::INT) / "
        f"nullif(count(*) OVER {level} - 1, 0), avg(ended::INT) OVER ())"
    )
    score = f"coalesce({cell}, -1e300)" if number else others
    ((area,),) = door.store.query(
        f"WITH seen AS (SELECT *, {ended} AS ended FROM accounts WHERE {started}), "
        f"scored AS (SELECT ended, {score} AS score FROM seen), "
        "levels AS (SELECT score, count(*) FILTER (WHERE ended) AS e, "
        "count(*) FILTER (WHERE NOT ended) AS a FROM scored GROUP BY score), "
        "ranked AS (SELECT e, a, coalesce(sum(a) OVER (ORDER BY score ROWS BETWEEN "
        "UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS below FROM levels) "
        "SELECT sum(e * (below + 0.5 * a)) / (sum(e)::DOUBLE * sum(a)::DOUBLE) FROM ranked"
    )
    return float(max(area, 1 - area) if number else area)
