"""Counts at each snapshot, by difference arrays.

A row counts on the days from ``first_day`` to ``last_day``. It adds its weight at the first
snapshot not before ``first_day`` and takes it away at the first snapshot after ``last_day``;
grouped by account and snapshot and summed along the account's rows, that is the count. Weights are
whole numbers, so sums do not depend on the order of rows, and the cost not on the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leadsignal.engine.grid import Grid, Source, Step
from leadsignal.indicators.behaviors import COUNTED_AS
from leadsignal.indicators.declare import Early, Running, Standing, Trailing, Where
from leadsignal.ingestion.dialect import Dialect
from leadsignal.schema import BY_NAME

Count = Trailing | Standing | Running | Early


def condition(where: Where, d: Dialect) -> str:
    """SQL for conditions that all must hold."""
    if not where:
        return "TRUE"
    return " AND ".join(
        f"{d.quoted(column)} IN ({', '.join(map(d.literal, values))})" for column, values in where
    )


@dataclass(frozen=True)
class Span:
    """SQL for the days on which a row counts for a measure, its weight, and whether it counts."""

    first: str
    last: str
    weight: str
    when: str


def _span(measure: Count, source: Source, d: Dialect) -> Span:
    day = "since" if isinstance(measure, Standing) else "day"
    begins = d.quoted(f"{getattr(measure, day)}_no")
    first = f"(GREATEST({begins}, known) + 1)"
    ends = []
    if isinstance(measure, Trailing):
        ends.append(f"{begins} + {measure.window}")
    if isinstance(measure, Standing):
        ends.append(d.quoted(f"{measure.until}_no"))
    if source.versioned:
        ends.append("superseded")
    last = f"LEAST({', '.join(ends)})" if len(ends) > 1 else (ends[0] if ends else "NULL")
    total = _total(measure)
    weight = d.quoted(f"{total}_whole") if total else "1"
    counts = [condition(measure.where, d)] if not isinstance(measure, Running) else []
    if isinstance(measure, Early):
        counts.append(f"{begins} >= started AND {begins} < started + {measure.window}")
    if tests := [test for test in counts if test != "TRUE"]:
        weight = f"CASE WHEN {' AND '.join(tests)} THEN {weight} ELSE 0 END"
    when = []
    if not BY_NAME[source.name].by_column[getattr(measure, day)].required:
        when.append(f"{begins} IS NOT NULL")
    if isinstance(measure, Standing) or source.late or source.versioned:
        # A row superseded or closed before it was known never counts: neither +1 nor -1.
        when.append(f"COALESCE({last} >= {first}, TRUE)")
    return Span(first, last, weight, " AND ".join(when) or "TRUE")


def rows_step(source: Source, grid: Grid, measures: Sequence[Count]) -> Step:
    """The table's rows with account numbers, day numbers and whole-number weights."""
    d = grid.dialect
    days = sorted(
        {m.since if isinstance(m, Standing) else m.day for m in measures}
        | {m.until for m in measures if isinstance(m, Standing)}
    )
    totals = sorted({total for total in map(_total, measures) if total})
    tested = sorted({c for m in measures if not isinstance(m, Running) for c, _ in m.where})
    users = ["user_id"] if any(isinstance(m, Trailing) and m.users for m in measures) else []
    columns = [
        "account_no",
        "first",
        *(["started"] if any(isinstance(m, Early) for m in measures) else []),
        f"{d.day('known_on')} AS known",
        *([f"{d.day('superseded_on')} AS superseded"] if source.versioned else []),
        *[f"{d.day(d.quoted(day))} AS {d.quoted(f'{day}_no')}" for day in days],
        *[
            f"{d.scaled(d.quoted(t), _places(source, t))} AS {d.quoted(f'{t}_whole')}"
            for t in totals
        ],
        *[d.quoted(column) for column in [*tested, *users]],
    ]
    return Step(
        f"rows_{source.name}",
        f"SELECT {', '.join(columns)} FROM ({source.sql}) AS source"
        f" JOIN {grid.spine} USING ({grid.key})",
    )


def _places(source: Source, column: str) -> int:
    return (source.decimals or {}).get(column, 0)


def _total(measure: Count) -> str | None:
    return None if isinstance(measure, Standing | Early) else measure.total


def scale(source: Source, measure: Count) -> int:
    """By how much the whole-number total of a measure is larger than the total."""
    total = _total(measure)
    return 10 ** _places(source, total) if total else 1


@dataclass(frozen=True)
class Delta:
    """One change of one measure's count: on which day, by how much, under which condition."""

    measure: int
    day: str
    weight: str
    when: str


def _deltas(measures: Sequence[Count], source: Source, d: Dialect) -> list[Delta]:
    deltas = []
    for index, measure in enumerate(measures):
        span = _span(measure, source, d)
        deltas.append(Delta(index, span.first, span.weight, span.when))
        if span.last != "NULL":
            deltas.append(Delta(index, f"({span.last} + 1)", f"-({span.weight})", span.when))
    return deltas


def counts_step(
    source: Source, grid: Grid, measures: Sequence[Count], columns: Sequence[str]
) -> Step:
    """Counts of all measures of one table that do not ask for distinct users."""
    deltas = _deltas(measures, source, grid.dialect)
    return summed(f"counts_{source.name}", f"rows_{source.name}", grid, deltas, columns)


def summed(
    name: str, rows: str, grid: Grid, deltas: Sequence[Delta], columns: Sequence[str]
) -> Step:
    """Join the changes, one narrow group for each day they fall on, to the grid and sum along."""
    days = list(dict.fromkeys(delta.day for delta in deltas))
    joins: list[str] = []
    terms: dict[str, list[str]] = {column: [] for column in columns}
    for number, day in enumerate(days):
        here = [delta for delta in deltas if delta.day == day]
        sums = dict.fromkeys((delta.weight, delta.when) for delta in here)
        names = {key: f"d{number}_{index}" for index, key in enumerate(sums)}
        selected = ", ".join(
            f"CAST(SUM({weight if when == 'TRUE' else f'CASE WHEN {when} THEN {weight} END'})"
            f" AS BIGINT) AS {names[weight, when]}"
            for weight, when in sums
        )
        joins.append(
            f"LEFT JOIN (SELECT account_no, {grid.snapshot(day)} AS t, {selected} FROM {rows}"
            f" WHERE {day} <= {grid.as_of} GROUP BY 1, 2) AS g{number} USING (account_no, t)"
        )
        for delta in here:
            terms[columns[delta.measure]].append(f"COALESCE({names[delta.weight, delta.when]}, 0)")
    along = "PARTITION BY account_no ORDER BY t ROWS UNBOUNDED PRECEDING"
    summed_up = ", ".join(
        f"CAST(SUM({' + '.join(terms[column])}) OVER ({along}) AS BIGINT) AS {column}"
        for column in columns
    )
    return Step(name, f"SELECT account_no, t, {summed_up} FROM {grid.rows} {' '.join(joins)}")


def apart(measure: Trailing) -> str | None:
    """Return the column whose one value the measure counts, if a row has only one such value."""
    (column, values), *more = measure.where or (("", ()),)
    return COUNTED_AS if column == COUNTED_AS and len(values) == 1 and not more else None


def users_steps(
    source: Source, grid: Grid, measures: Sequence[Trailing], columns: Sequence[str], name: str
) -> list[Step]:
    """Distinct users in trailing windows, of measures that share ``day`` and ``where`` or `apart`.

    A user's rows make one stay where they overlap: a row extends it only by what reaches beyond
    the rows before. ``before`` is the latest day among the user's earlier-known rows, ``after``
    the first day of the user's next row that extends.
    """
    d = grid.dialect
    day = d.quoted(f"{measures[0].day}_no")
    rows = f"rows_{source.name}"
    numbered = f"{name}_rows"
    group = apart(measures[0])
    also = f", {group}" if group else ""
    who = f"account_no, first, user_no{also}"
    some = (
        f"{group} IN ({', '.join(d.literal(m.where[0][1][0]) for m in measures)})"
        if group
        else (condition(measures[0].where, d))
    )
    steps = [
        Step(
            f"{name}_users",
            f"SELECT user_id, {d.number_of('user_id')} AS user_no FROM"
            f" (SELECT DISTINCT user_id FROM {rows} WHERE user_id IS NOT NULL) AS u",
        ),
        Step(
            numbered,
            f"SELECT {who}, {day} AS day, GREATEST({day}, known) + 1 AS begins"
            f" FROM {rows} JOIN {name}_users USING (user_id) WHERE {some}",
        ),
        *stays_steps(name, numbered, who, late=source.late),
    ]
    deltas = []
    for index, measure in enumerate(measures):
        # A record later than the window is long never counts in it.
        seen = f"extends AND day + {measure.window} >= begins"
        seen += f" AND {condition(measure.where, d)}" if group else ""
        fresh = f"{seen} AND (before IS NULL OR before + {measure.window} + 1 < begins)"
        gone = f"{seen} AND (after IS NULL OR after > day + {measure.window} + 1)"
        deltas.append(Delta(index, "begins", "1", fresh))
        deltas.append(Delta(index, f"(day + {measure.window + 1})", "-1", gone))
    return [*steps, summed(name, f"{name}_stays", grid, deltas, columns)]


def stays_steps(name: str, rows: str, who: str, *, late: bool) -> list[Step]:
    """Mark for each row whether it extends its user's stay, and its neighbours in that stay."""
    if not late:
        window = f"(PARTITION BY {who} ORDER BY day)"
        return [
            Step(
                f"{name}_stays",
                f"SELECT *, TRUE AS extends, LAG(day) OVER {window} AS before,"
                f" LEAD(begins) OVER {window} AS after FROM {rows}",
            )
        ]
    # Of a user's rows that became known together only the latest matters. The others must go: one
    # that came too late for a window would hide that the stay in that window begins anew.
    together = f"SELECT {who}, begins, MAX(day) AS day FROM {rows} GROUP BY {who}, begins"
    rows_before = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    earlier = f"(PARTITION BY {who} ORDER BY begins {rows_before})"
    extending = f"(PARTITION BY {who}, extends ORDER BY begins)"
    return [
        Step(
            f"{name}_seen",
            f"SELECT *, MAX(day) OVER {earlier} AS before FROM ({together}) AS r",
        ),
        Step(
            f"{name}_stays",
            f"SELECT *, LEAD(begins) OVER {extending} AS after"
            f" FROM (SELECT *, COALESCE(day > before, TRUE) AS extends FROM {name}_seen) AS s",
        ),
    ]
