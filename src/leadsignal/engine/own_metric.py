"""Results in the account's own metric: computed for every metric, then selected.

The metrics of an account are rows of a separate spine and grid, on which the measures of the table
are computed as for accounts. At each snapshot, the measures of the account's own metric at that
time (`leadsignal.targets`) are selected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from leadsignal.config.success import SuccessAnalysis
from leadsignal.engine.expressions import Expressions
from leadsignal.engine.grid import Grid, Source, Step
from leadsignal.indicators.declare import (
    DaysSince,
    DaysSinceBest,
    Latest,
    Measure,
    Running,
)

TOLD = Running("results", "measured_on", "has_target")
COUNTED = Running("results", "measured_on", "one")


def metric_grid(grid: Grid) -> Grid:
    """Return the grid with one row per account, metric and snapshot."""
    return replace(grid, spine="spine_results", rows="grid_results", key="account_id, metric_name")


def metric_spine_steps(source: Source, grid: Grid, analysis: SuccessAnalysis) -> list[Step]:
    """Create one row per account and metric, and one for each of their snapshots."""
    d = grid.dialect
    name = "CAST(LENGTH(account_id) AS STRING) || ':' || account_id || metric_name"
    listed = ", ".join(map(d.literal, analysis.success_metrics))
    # If a bullseye names the common metric, only named metrics can be an account's own.
    named = f" WHERE metric_name IN ({listed})" if analysis.bullseye.success_metric else ""
    spine = (
        f"SELECT {d.number_of(name)} AS account_no, account_no AS owner_no, account_id,"
        f" metric_name, first FROM (SELECT DISTINCT account_id, metric_name FROM ({source.sql}) AS"
        f" source{named}) AS m JOIN spine USING (account_id)"
    )
    rows = (
        "SELECT s.account_no, g.t FROM grid AS g JOIN spine_results AS s"
        " ON s.owner_no = g.account_no"
    )
    return [Step("spine_results", spine), Step("grid_results", rows)]


def named_metric_step(
    grid: Grid, analysis: SuccessAnalysis, write: Expressions, joined: Sequence[str]
) -> Step:
    """Create the metric named by each account's bullseye at each snapshot; NULL if none."""
    d = grid.dialect

    def of(metric: str) -> str:
        return d.literal(metric) if metric else "CAST(NULL AS STRING)"

    everybody = analysis.bullseye.success_metric
    cases = []
    for segment in analysis.segments:
        metric = segment.bullseye.success_metric or everybody
        cases.append(f"WHEN {write.applies(segment.applies_to)} THEN {of(metric)}")
    named = f"CASE {' '.join(cases)} ELSE {of(everybody)} END" if cases else of(everybody)
    joins = " ".join(f"LEFT JOIN {table} USING (account_no, t)" for table in joined)
    return Step(
        "named_metrics",
        f"SELECT account_no, t, {named} AS named FROM grid JOIN spine USING (account_no) {joins}",
    )


def own_metric_step(tables: Sequence[str], columns: Mapping[Measure, str]) -> Step:
    """Select the measures of each account's own metric at each snapshot."""
    visible = {m: c for m, c in columns.items() if m not in (TOLD, COUNTED)}
    joins = " ".join(
        f"JOIN {table} AS {table}_of ON {table}_of.account_no = s.account_no AND {table}_of.t = n.t"
        for table in tables
    )
    order = f"{columns[TOLD]} DESC, {columns[COUNTED]} DESC, metric_name"
    listed = "".join(f", {column}" for column in visible.values())
    kept = "".join(
        f", {column}"
        if isinstance(measure, Latest | DaysSince | DaysSinceBest)
        else f", COALESCE({column}, 0) AS {column}"
        for measure, column in visible.items()
    )
    return Step(
        "own_results",
        f"SELECT grid.account_no, grid.t{kept} FROM grid LEFT JOIN (SELECT * FROM ("
        "SELECT n.account_no AS owner_no, n.t AS own_t, ROW_NUMBER() OVER (PARTITION BY"
        f" n.account_no, n.t ORDER BY {order}) AS nth{listed} FROM named_metrics AS n"
        " JOIN spine_results AS s"
        f" ON s.owner_no = n.account_no {joins} WHERE n.named = s.metric_name OR"
        f" (n.named IS NULL AND {columns[COUNTED]} > 0)) AS ranked WHERE nth = 1) AS own"
        " ON own.owner_no = grid.account_no AND own.own_t = grid.t",
    )
