"""An account's best period of usage, as known at each snapshot.

Let S(u) be the amount in [u - best, u), of rows known before u + window. It is a step function of
u, computed with a difference array. The best period at t is the largest S(u) with
t - within + best <= u <= t - window. A step is in that range if its first or last day is, or if it
covers the range, in which case it is the value at the end of the range.

A row that arrives more than ``window`` days after a period never counts in it, since it would
change what earlier snapshots saw.
"""

from __future__ import annotations

from leadsignal.engine.counts import condition
from leadsignal.engine.grid import Grid, Source, Step
from leadsignal.indicators.declare import UsageToBest


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
    none = "CAST(NULL AS INTEGER)"
    lookback = max(measure.within - measure.best - measure.window, 0)
    recent = ""
    if grid.one_day:
        # What is in no period that the snapshot compares has entered and left every sum before.
        earliest = grid.as_of - measure.window - lookback - measure.best
        recent = f" AND used_on >= {d.date(str(earliest))}"
    return [
        Step(
            f"{name}_amounts",
            f"SELECT account_no, {d.day('used_on')} AS day, {d.day('known_on')} AS known,"
            f" {d.scaled('amount', 6)} AS amount"
            f" FROM ({source.sql}) AS source JOIN spine USING (account_id)"
            f" WHERE {d.day('used_on')} >= {history_start(source)}"
            f" AND {condition(measure.where, d)}{recent}",
        ),
        Step(
            f"{name}_steps",
            "SELECT account_no, x, change,"
            f" CAST(SUM(change) {by_day} AS BIGINT) AS total, LEAD(x) {by_day} - 1 AS last_x FROM ("
            "  SELECT account_no, x, CAST(SUM(change) AS BIGINT) AS change FROM ("
            f"   SELECT account_no, {first} AS x, amount AS change FROM {name}_amounts"
            f"   WHERE {first} <= {last}"
            f"   UNION ALL SELECT account_no, {last} + 1, -amount FROM {name}_amounts"
            f"   WHERE {first} <= {last}) AS c GROUP BY 1, 2) AS g",
        ),
        Step(
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
        ),
    ]
