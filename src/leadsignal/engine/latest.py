"""The latest value, and the days since the latest row, before each snapshot.

Each row becomes known at one snapshot, and the largest (day, value) so far is carried forward along
the account's rows. For the best row, the pair is (value, day).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from leadsignal.engine.carried import Carried, CarriedColumn, Change, How, Term, carried
from leadsignal.engine.counts import Seen, all_of, change, known_first, member_of, own_condition
from leadsignal.engine.grid import Grid, Source
from leadsignal.errors import OptionError
from leadsignal.indicators.declare import DaysSince, Latest
from leadsignal.ingestion.dialect import Dialect


def latest_step(
    source: Source, grid: Grid, measures: Sequence[Seen], columns: Sequence[str], rows: str
) -> Carried:
    """Return the step for latest values, and latest days (as day numbers), from a table's rows."""
    if source.versioned:
        raise OptionError(
            f"{source.name} has versions, and a version that is replaced cannot be taken out of "
            "what was seen so far. Count what stands instead (Standing, Trailing)"
        )
    d = grid.dialect
    together: dict[tuple[str, str | None], list[tuple[Seen, str]]] = {}
    for measure, column in zip(measures, columns, strict=True):
        member = member_of(measure, source)
        by = member.numbers if member else None
        together.setdefault((measure.day, by), []).append((measure, column))
    changes: list[Change] = []
    latest_columns: list[CarriedColumn] = []
    for number, ((day, by), here) in enumerate(together.items()):
        values = {measure: _value(measure, source, d) for measure, _ in here}
        known = dict.fromkeys((value, when) for value, when, _, _ in values.values())
        names = {key: f"v{index}" for index, key in enumerate(known)}
        changes.append(change(rows, known_first(day, source, d), by, names))
        for measure, column in here:
            value, when, how, part = values[measure]
            member = member_of(measure, source)
            term = Term(number, names[value, when], member.number if member else None)
            latest_columns.append(CarriedColumn(column, (term,), how, part))
    step = carried(f"latest_{source.name}", grid, changes, latest_columns)
    return replace(step, table=source.name)


def _value(measure: Seen, source: Source, d: Dialect) -> tuple[str, str, How, str]:
    """Return SQL for the compared value, its condition, how to compare, and the part to return."""
    day = d.quoted(f"{measure.day}_no")
    where = own_condition(measure, source, d)
    if isinstance(measure, DaysSince):
        return day, all_of([where, f"{day} IS NOT NULL"]), "largest", ""
    column = d.quoted(measure.column)
    when = all_of([where, f"{day} IS NOT NULL", f"{column} IS NOT NULL"])
    if not isinstance(measure, Latest):
        # Keep the day together with its value.
        return d.pair(column, day), when, "largest pair", ".b"
    value = column
    for order in (*map(d.quoted, reversed(measure.among)), day):
        value = d.pair(order, value)
    return value, when, "largest pair", ".b" * (1 + len(measure.among))
