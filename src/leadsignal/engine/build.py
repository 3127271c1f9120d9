"""The steps from checked tables to the panel, in order."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from leadsignal.account_sample import hashed_below
from leadsignal.config.project import Behaviors
from leadsignal.config.success import Process, SuccessAnalysis
from leadsignal.engine.counts import (
    counts_step,
    last_rows_step,
    latest_step,
    rows_steps,
    users_steps,
    users_together,
)
from leadsignal.engine.episodes import NAME as MEMORY
from leadsignal.engine.episodes import batches, best_usage_steps, episodes_steps, memory_steps
from leadsignal.engine.expressions import (
    COUNTED,
    TOLD,
    Expressions,
    metric_grid,
    metric_spine_steps,
    named_metric_step,
    needed,
    own_metric_step,
)
from leadsignal.engine.grid import (
    Carried,
    CarriedColumn,
    Change,
    Grid,
    Source,
    Step,
    Term,
    carried,
    facts_step,
    grid_step,
    outcome_columns,
    spine_steps,
)
from leadsignal.indicators.declare import (
    AdoptedShare,
    Attribute,
    DaysInState,
    DaysSince,
    DaysSinceBest,
    Early,
    Fact,
    Indicator,
    Lapses,
    Latest,
    Measure,
    ProcessState,
    Rule,
    Running,
    Standing,
    Trailing,
    UsageToBest,
    measures,
)

KEY_COLUMNS = (
    "account_id",
    "customer_id",
    "snapshot_on",
    "start",
    "stop",
    "event",
    "cause",
    "days_observed",
    "ended_within",
    "known_within",
    "end_cause",
    "notice_given",
    "arr",
)
"""The columns of every panel that come before the indicators."""

SAMPLE_WEIGHT = "sample_weight"
"""Column with the number of rows of the whole panel that a sampled row represents."""


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a panel; ``metrics`` names the metrics of results, if needed."""

    grid: Grid
    accounts: Source
    sources: Mapping[str, Source]
    indicators: tuple[Indicator, ...]
    processes: tuple[Process, ...]
    attributes: Mapping[str, str]
    causes: Mapping[str, str] = field(default_factory=dict)
    not_churn: tuple[str, ...] = ()
    metrics: SuccessAnalysis = field(default_factory=lambda: SuccessAnalysis(()))
    behaviors: Behaviors | None = None


def episode_steps(recipe: Recipe) -> list[Step]:
    """Return the steps that create ``episodes`` for all processes."""
    behaviors = recipe.sources.get("behaviors")
    if behaviors is None or not recipe.processes:
        return []
    grouped = batches(recipe.processes)
    steps = [
        step
        for number, batch in enumerate(grouped)
        for step in episodes_steps(batch, number, behaviors, recipe.grid)
    ]
    union = " UNION ALL ".join(f"SELECT * FROM episodes_{n}" for n in range(len(grouped)))
    return [*steps, Step("episodes", union)]


@dataclass(frozen=True)
class PanelSteps:
    """The steps of a panel in order, the tables with its measures, and its columns as SQL.

    ``measured`` names the steps with one row per row of the grid. The panel's ``keys`` and
    ``indicators`` use these, the columns of ``spine``, ``t``, ``next_t`` (the next snapshot of the
    account) and ``counts``, which use these too. ``numbers`` are the rules of the indicators that
    are numbers, and ``write`` writes them as SQL.
    """

    steps: tuple[Step, ...]
    measured: tuple[str, ...]
    counts: Mapping[str, str]
    keys: str
    indicators: Mapping[str, str]
    numbers: Mapping[str, Rule]
    write: Expressions
    one_day: bool = False

    @property
    def outputs(self) -> str:
        """The columns of the panel."""
        return ", ".join([self.keys, *self.indicators.values()])

    def reads(self, column: str) -> bool:
        """Whether a name, as written in SQL, occurs in what creates the rows of the panel."""
        return column in self.outputs or any(column in sql for sql in self.counts.values())

    def without(self, names: Collection[str]) -> PanelSteps:
        """Return the steps without some indicators, and without the counts used only there."""
        kept = {name: sql for name, sql in self.indicators.items() if name not in names}
        fewer = replace(self, indicators=kept)
        used = fewer.outputs
        return replace(fewer, counts={k: sql for k, sql in self.counts.items() if k in used})

    @property
    def select(self) -> str:
        """The SELECT of the panel's rows, unordered."""
        joins = " ".join(f"LEFT JOIN {table} USING (account_no, t)" for table in self.measured)
        along = "LEAD(t) OVER (PARTITION BY account_no ORDER BY t) AS next_t"
        next_t = "CAST(NULL AS INTEGER) AS next_t" if self.one_day else along
        return self.select_from(
            f"(SELECT *, {next_t} FROM grid JOIN spine USING (account_no) {joins}) AS joined"
        )

    def select_from(self, joined: str) -> str:
        """Return SQL for the panel's columns, from rows that already have all measures."""
        counts = ", ".join(self.counts.values())
        counted = f"(SELECT *, {counts} FROM {joined}) AS counted" if counts else joined
        return f"SELECT {self.outputs} FROM {counted}"


def panel_steps(recipe: Recipe) -> PanelSteps:
    """Return the steps of a panel."""
    needed = _required_measures(recipe)
    steps = [
        *spine_steps(recipe.grid, recipe.accounts, recipe.attributes),
        grid_step(recipe.grid),
    ]
    columns: dict[Measure, str] = {
        measure: f"m{number}"
        for number, measure in enumerate(m for m in needed if not isinstance(m, DaysInState))
    }
    created: list[str] = []
    if recipe.accounts.versioned:
        steps.append(facts_step(recipe.grid, recipe.attributes))
        created.append("facts")
    by_table = {
        table: [m for m in columns if getattr(m, "table", None) == table]
        for table in recipe.sources
    }
    mine = by_table.pop("results", [])
    for table, here in by_table.items():
        table_steps, tables = _table_steps(recipe.sources[table], recipe.grid, here, columns)
        steps += table_steps
        created += tables
    if mine:
        steps += _results_steps(recipe, mine, columns, created)
        created.append("own_results")
    if any(isinstance(m, ProcessState) for m in columns):
        steps += episode_steps(recipe)
        steps.append(_last_episode_step(recipe, columns))
        created.append("last_episodes")
    if memory := [m for m in columns if isinstance(m, AdoptedShare | Lapses)]:
        steps += memory_steps(recipe.grid, memory)
        created.append(MEMORY)
    for number, measure in enumerate(m for m in columns if isinstance(m, UsageToBest)):
        created.append(f"usage_best_{number}")
        steps += best_usage_steps(
            recipe.sources["usage"], recipe.grid, measure, columns[measure], created[-1]
        )
    write = _writer(recipe, columns)
    return PanelSteps(
        tuple(steps),
        tuple(created),
        write.counts(),
        _keys(recipe, write),
        _indicators(recipe, write),
        {one.name: one.rule for one in recipe.indicators if one.kind == "number"},
        write,
        recipe.grid.one_day,
    )


def _results_steps(
    recipe: Recipe,
    required: Sequence[Measure],
    columns: Mapping[Measure, str],
    created: Sequence[str],
) -> list[Step]:
    """Return the steps of results: measures by metric, and those of the account's own metric."""
    grid, source = recipe.grid, recipe.sources["results"]
    names = {**{m: columns[m] for m in required}, TOLD: "has_target", COUNTED: "counted"}
    by_metric, tables = _table_steps(source, metric_grid(grid), list(names), names)
    joined = [table for table in created if table in ("facts", "latest_account_changes")]
    return [
        *metric_spine_steps(source, grid, recipe.metrics),
        *by_metric,
        named_metric_step(grid, recipe.metrics, _writer(recipe, columns), joined),
        own_metric_step(tables, names),
    ]


def _required_measures(recipe: Recipe) -> list[Measure]:
    has_changes = "contract_changes" in recipe.sources
    rules = [Fact("arr"), *(indicator.rule for indicator in recipe.indicators)]
    dated = "account_changes" in recipe.sources
    conditions = [one.applies_to for one in recipe.metrics.segments]
    conditions += [one.applies_to for one in recipe.processes]
    named = {name for applies_to in conditions for name in applies_to}
    rules += [Attribute(name, dated) for name in sorted(named)]
    direct = (measure for rule in rules for measure in measures(rule))
    return list(dict.fromkeys(one for m in direct for one in needed(m, has_changes)))


def _table_steps(
    source: Source, grid: Grid, required: Sequence[Measure], columns: Mapping[Measure, str]
) -> tuple[list[Step], list[str]]:
    """Return the steps of one table, and the names of those with measures."""
    counts = [
        m
        for m in required
        if isinstance(m, Standing | Running | Early) or (isinstance(m, Trailing) and not m.users)
    ]
    users = [m for m in required if isinstance(m, Trailing) and m.users]
    latest = [m for m in required if isinstance(m, Latest | DaysSince | DaysSinceBest)]
    read = [*counts, *users, *latest]
    steps: list[Step] = rows_steps(source, grid, read) if read else []
    last = last_rows_step(source, grid, read) if latest else None
    names = []
    if counts:
        steps.append(counts_step(source, grid, counts, [columns[m] for m in counts]))
        names.append(steps[-1].name)
    together: dict[Hashable, list[Trailing]] = {}
    for measure in users:
        together.setdefault(users_together(measure, source), []).append(measure)
    for number, group in enumerate(together.values()):
        users_name = f"users_{source.name}_{number}"
        steps += users_steps(source, grid, group, [columns[m] for m in group], users_name)
        names.append(users_name)
    if latest:
        steps += [last] if last else []
        rows = last.name if last else f"rows_{source.name}"
        steps.append(latest_step(source, grid, latest, [columns[m] for m in latest], rows))
        names.append(steps[-1].name)
    return steps, names


def _last_episode_step(recipe: Recipe, columns: Mapping[Measure, str]) -> Carried:
    """Carry the latest episode of each process forward along the snapshots of an account."""
    grid = recipe.grid
    processes = [m.process for m in columns if isinstance(m, ProcessState)]
    numbers = " ".join(
        f"WHEN {grid.dialect.literal(name)} THEN {n}" for n, name in enumerate(processes)
    )
    begun = Change(
        f"SELECT account_no, first, adopted AS day, CASE process {numbers} END AS member,"
        f" {grid.dialect.pair('adopted', 'lapsed')} AS v0"
        f" FROM episodes JOIN {grid.spine} USING (account_no)",
        by_member=True,
    )
    states = [
        CarriedColumn(column, (Term(0, "v0", processes.index(measure.process)),), "largest pair")
        for measure, column in columns.items()
        if isinstance(measure, ProcessState)
    ]
    return carried("last_episodes", grid, [begun], states)


def _writer(recipe: Recipe, columns: Mapping[Measure, str]) -> Expressions:
    return Expressions(
        recipe.grid,
        recipe.sources,
        {process.name: process for process in recipe.processes},
        columns,
        frozenset(a for a, kind in recipe.attributes.items() if kind == "number"),
    )


def _indicators(recipe: Recipe, write: Expressions) -> dict[str, str]:
    """Return SQL for the indicators, by name."""
    quoted = recipe.grid.dialect.quoted
    return {
        i.name: f"CAST({write.rule(i.rule)} AS {'DOUBLE' if i.kind == 'number' else 'STRING'})"
        f" AS {quoted(i.name)}"
        for i in recipe.indicators
    }


def _keys(recipe: Recipe, write: Expressions) -> str:
    """Return SQL for the columns of the panel before the indicators."""
    d = recipe.grid.dialect
    outcome = outcome_columns(recipe.grid, recipe.causes, recipe.not_churn)
    arr = f"CAST({write.rule(Fact('arr'))} AS DOUBLE) AS arr"
    notice = "CAST(COALESCE(notice < t, FALSE) AS BOOLEAN) AS notice_given"
    who = ["account_id", "customer_id", f"{d.date('t')} AS snapshot_on"]
    return ", ".join([*who, outcome, notice, arr])


def sampled(select: str, share: float, horizon: int, seed: int) -> str:
    """Return SQL for a sample of a panel's rows, with their weights.

    The sample holds every row followed by churn within ``horizon`` days, and a ``share`` of the
    others. Sampling depends only on account, day and seed, not on the engine or the order of the
    rows.
    """
    lucky = hashed_below(f"'{seed} ' || account_id || ' ' || CAST(snapshot_on AS STRING)", share)
    seen = f"COALESCE(ended_within <= {horizon}, FALSE)"
    return (
        f"SELECT *, CASE WHEN {seen} THEN CAST(1 AS DOUBLE) ELSE CAST({1 / share!r} AS DOUBLE) END"
        f" AS {SAMPLE_WEIGHT} FROM ({select}) AS panel"
        f" WHERE {seen} OR {lucky}"
    )
