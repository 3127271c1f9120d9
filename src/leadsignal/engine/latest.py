"""The latest value before each snapshot, and the best period of usage known there.

Each row becomes known at one snapshot, and the largest (day, value) so far is carried forward along
the account's rows. For the best row, the pair is (value, day).

Let S(u) be the amount in [u - best, u), of rows known before u + window. It is a step function of
u, computed with a difference array. The best period at t is the largest S(u) with
t - within + best <= u <= t - window. A step is in that range if its first or last day is, or if it
covers the range, in which case it is the value at the end of the range.

A row that arrives more than ``window`` days after a period never counts in it, since it would
change what earlier snapshots saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from leadsignal.engine.counts import (
    Seen,
    all_of,
    change,
    condition,
    known_first,
    member_of,
    own_condition,
)
from leadsignal.engine.grid import (
    Carried,
    CarriedColumn,
    Change,
    Grid,
    How,
    Source,
    Step,
    Term,
    carried,
)
from leadsignal.errors import OptionError
from leadsignal.indicators.declare import DaysSince, Latest, UsageToBest
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


def history_start(source: Source) -> str:
    """Return SQL for the first day of an account's usage history (needs ``started``)."""
    return "NULL" if source.complete_from is None else f"GREATEST(started, {source.complete_from})"


def best_usage_steps(
    source: Source, grid: Grid, measure: UsageToBest, column: str, name: str
) -> list[Step]:
    """Compute the total of the best period, as an integer number of millionths, in ``made``."""
    d = grid.dialect
    first = f"GREATEST(day + 1, known - {measure.window - 1})"
    last = f"day + {measure.best}"
    by_day = "OVER (PARTITION BY account_no ORDER BY x)"
    lookback = max(measure.within - measure.best - measure.window, 0)
    recent, best = "", _carried_best(name, measure, column, lookback)
    if grid.one_day:
        # What is in no period that the snapshot compares has entered and left every sum before.
        earliest = grid.as_of - measure.window - lookback - measure.best
        recent = f" AND used_on >= {d.date(str(earliest))}"
        best = _best_on_one_day(name, column, grid.as_of - measure.window, lookback)
    return [
        Step(
            f"{name}_amounts",
            f"SELECT account_no, {d.day('used_on')} AS day, {d.day('known_on')} AS known,"
            f" {d.scaled('amount', 6)} AS amount"
            f" FROM ({source.sql}) AS source JOIN spine USING (account_id)"
            f" WHERE {d.day('used_on')} >= {history_start(source)}"
            f" AND {condition(measure.where, d)}{recent}",
            table=source.name,
            back=max(measure.within, measure.best + measure.window) + 1,
        ),
        Step(
            f"{name}_steps",
            "SELECT account_no, x, change,"
            f" CAST(SUM(change) {by_day} AS BIGINT) AS total, LEAD(x) {by_day} - 1 AS last_x FROM ("
            "  SELECT account_no, x, CAST(SUM(change) AS BIGINT) AS change FROM ("
            f"   SELECT account_no, CASE WHEN sign = 1 THEN {first} ELSE {last} + 1 END AS x,"
            f"   sign * amount AS change FROM {name}_amounts"
            # Not a union: Spark then need not move the rows again to their accounts.
            "   CROSS JOIN (SELECT 1 AS sign UNION ALL SELECT -1 AS sign) AS signs"
            f"   WHERE {first} <= {last}) AS c GROUP BY 1, 2) AS g",
        ),
        best,
    ]


def _best_on_one_day(name: str, column: str, end: int, lookback: int) -> Step:
    """Select the largest total of the steps that reach into the ``lookback`` days up to ``end``."""
    compared = f"x <= {end} AND COALESCE(last_x >= {end - lookback}, TRUE)"
    return Step(
        name,
        f"SELECT account_no, t, COALESCE(most, 0) AS {column} FROM grid LEFT JOIN ("
        f"SELECT account_no, MAX(total) AS most FROM {name}_steps WHERE {compared}"
        " GROUP BY account_no) AS b USING (account_no)",
    )


def _carried_best(name: str, measure: UsageToBest, column: str, lookback: int) -> Step:
    """Select the largest total at each snapshot, with the steps and the snapshots in one order."""
    by_day = "OVER (PARTITION BY account_no ORDER BY x)"
    none = "CAST(NULL AS INTEGER)"
    return Step(
        name,
        f"SELECT account_no, t, GREATEST(COALESCE(most, 0), standing) AS {column} FROM ("
        f"  SELECT account_no, t,"
        f"  CAST(SUM(change) {by_day} AS BIGINT) AS standing,"
        f"  MAX(total) OVER (PARTITION BY account_no ORDER BY x"
        f"   RANGE BETWEEN {lookback} PRECEDING AND CURRENT ROW) AS most"
        "  FROM ("
        f"   SELECT account_no, x, change, total, {none} AS t FROM {name}_steps"
        f"   UNION ALL SELECT account_no, last_x, 0, total, {none} FROM {name}_steps"
        "   WHERE last_x IS NOT NULL"
        f"  UNION ALL SELECT account_no, t - {measure.window}, 0, NULL, t FROM grid"
        "  ) AS u) AS w WHERE t IS NOT NULL",
    )
