"""The latest value, and the days since the latest row, before each snapshot.

Each row becomes known at one snapshot. The largest (day, value) of the rows that become known there
is kept, and the running maximum is taken along the account's rows. For the best row, the pair is
(value, day).
"""

from __future__ import annotations

from collections.abc import Sequence

from leadsignal.engine.counts import condition
from leadsignal.engine.grid import Grid, Source, Step
from leadsignal.errors import OptionError
from leadsignal.indicators.declare import DaysSince, DaysSinceBest, Latest

Seen = Latest | DaysSince | DaysSinceBest


def latest_step(
    source: Source, grid: Grid, measures: Sequence[Seen], columns: Sequence[str]
) -> Step:
    """Latest values (as the value) and latest days (as a day number) of one table."""
    if source.versioned:
        raise OptionError(
            f"{source.name} has versions, and a version that is replaced cannot be taken out of "
            "what was seen so far. Count what stands instead (Standing, Trailing)"
        )
    d = grid.dialect
    along = "PARTITION BY account_no ORDER BY t ROWS UNBOUNDED PRECEDING"
    joins, selected = [], []
    for day in dict.fromkeys(measure.day for measure in measures):
        group, selected_parts = _seen_on(source, grid, day, measures, columns)
        joins.append(f"LEFT JOIN ({group}) AS {d.quoted(f'on_{day}')} USING (account_no, t)")
        selected += [
            f"(MAX({column}) OVER ({along})){part} AS {column}" for column, part in selected_parts
        ]
    inner = ", ".join(["account_no", "t", *selected])
    return Step(f"latest_{source.name}", f"SELECT {inner} FROM {grid.rows} {' '.join(joins)}")


def _seen_on(
    source: Source,
    grid: Grid,
    day: str,
    measures: Sequence[Seen],
    columns: Sequence[str],
) -> tuple[str, list[tuple[str, str]]]:
    d = grid.dialect
    number = d.day(d.quoted(day))
    known = f"(GREATEST({number}, {d.day('known_on')}) + 1)"
    selected, parts = [], []
    for measure, column in zip(measures, columns, strict=True):
        if measure.day != day:
            continue
        if isinstance(measure, Latest):
            value, part = d.quoted(measure.column), ".b" * (1 + len(measure.among))
            for order in (*map(d.quoted, reversed(measure.among)), number):
                value = d.pair(order, value)
            when = f"{condition(measure.where, d)} AND {d.quoted(measure.column)} IS NOT NULL"
        elif isinstance(measure, DaysSinceBest):
            # The day is kept beside the value that it is the day of.
            value, part = d.pair(d.quoted(measure.column), number), ".b"
            when = f"{condition(measure.where, d)} AND {d.quoted(measure.column)} IS NOT NULL"
        else:
            value, part, when = number, "", condition(measure.where, d)
        selected.append(f"MAX(CASE WHEN {when} THEN {value} END) AS {column}")
        parts.append((column, part))
    return (
        f"SELECT account_no, {grid.snapshot(known)} AS t, {', '.join(selected)}"
        f" FROM ({source.sql}) AS source JOIN {grid.spine} USING ({grid.key})"
        f" WHERE {number} IS NOT NULL AND {known} <= {grid.as_of} GROUP BY 1, 2",
        parts,
    )
