"""SQL for the value of a rule at a snapshot, from the measures that the steps compute.

Available names: ``t`` and ``next_t``, the columns of spine, and one column per measure. Several
rules share counts, so `Expressions.counts` computes their values first, each once.

The metrics of an account are rows of a separate spine and grid, on which the measures of the table
are computed as for accounts. At each snapshot, the measures of the account's own metric at that
time (`leadsignal.targets`) are selected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from leadsignal.config.success import Process, SuccessAnalysis
from leadsignal.engine.counts import Count, scale
from leadsignal.engine.episodes import known_from, memory_column
from leadsignal.engine.grid import Grid, Source, Step
from leadsignal.indicators.declare import (
    AdoptedShare,
    Attribute,
    Below,
    DaysInState,
    DaysSince,
    DaysSinceBest,
    Difference,
    Early,
    Fact,
    FirstBy,
    Lapses,
    Latest,
    Least,
    Measure,
    ProcessState,
    Ratio,
    RelativeRate,
    Rule,
    Running,
    Standing,
    Trailing,
    UsageToBest,
)

RENEWED = DaysSince("contract_changes", "changed_at", (("kind", ("renewal",)),))
NEW_TERM = Latest("contract_changes", "changed_at", "term_months")
ARR_DELTA = Running("contract_changes", "changed_at", "arr_delta")

NEEDS: Mapping[str, tuple[Measure, ...]] = {
    "arr": (ARR_DELTA,),
    "term_months": (NEW_TERM,),
    "days_to_renewal": (NEW_TERM, RENEWED),
}
"""Measures of contract changes that an account fact depends on, if changes are recorded."""


def needed(measure: Measure, has_changes: bool) -> tuple[Measure, ...]:
    """Return the measures that the engine must compute for one measure of a rule."""
    match measure:
        case Fact(column):
            return NEEDS.get(column, ()) if has_changes else ()
        case Attribute(attribute, dated):
            return (dated_attribute(attribute),) if dated else ()
        case UsageToBest():
            return (measure, used_lately(measure))
        case _:
            return (measure,)


def used_lately(measure: UsageToBest) -> Trailing:
    """Return the measure of recent usage, which is compared with the best period."""
    return Trailing("usage", "used_on", measure.window, measure.where, total="amount")


def dated_attribute(attribute: str) -> Latest:
    """Return the measure of the latest dated value of an attribute."""
    where = (("attribute", (attribute,)),)
    return Latest("account_changes", "changed_on", "value_or_empty", where)


def _value_of(column: str) -> str:
    """Return the name of a count's value, in the unit of its rule and missing if unknown."""
    return f"value_{column}"


@dataclass(frozen=True)
class Expressions:
    """Writes rules as SQL; ``columns`` maps measures to their columns."""

    grid: Grid
    sources: Mapping[str, Source]
    processes: Mapping[str, Process]
    columns: Mapping[Measure, str]
    numeric: frozenset[str] = frozenset()

    def rule(self, rule: Rule) -> str:
        """Return SQL for the value of a rule; NULL if it is unknown or missing."""
        match rule:
            case Ratio(over, under):
                return f"({self.rule(over)}) / NULLIF(CAST({self.rule(under)} AS DOUBLE), 0)"
            case RelativeRate(lately, longer):
                return self._relative_rate(lately, longer)
            case Difference(first, second):
                return f"({self.rule(first)}) - ({self.rule(second)})"
            case Least(values):
                listed = ", ".join(self.rule(value) for value in values)
                return f"LEAST({listed})" if len(values) > 1 else listed
            case Below(value, limit):
                below = f"CASE WHEN ({self.rule(value)}) < {limit} THEN 1 ELSE 0 END"
                return f"CASE WHEN ({self.rule(value)}) IS NOT NULL THEN {below} END"
            case FirstBy(done):
                return self._first_by(done)
            case Trailing() | Standing() | Running() | Early():
                return _value_of(self.columns[rule])
            case Latest() | DaysSince() | DaysSinceBest():
                return self._latest(rule)
            case ProcessState(process):
                return self._state(self.processes[process])
            case DaysInState(process):
                return self._days_in_state(self.processes[process])
            case AdoptedShare():
                return self._adopted_share(rule)
            case Lapses():
                return self._if_remembered(rule, self._memory("lapses", rule))
            case UsageToBest():
                return self._usage_to_best(rule)
            case Attribute():
                return self._attribute(rule)
            case Fact(column):
                return self.fact(column)

    def counts(self) -> dict[str, str]:
        """Return SQL columns with the values of counts, which other rules use, by name."""
        counts = {m: c for m, c in self.columns.items() if isinstance(m, Count)}
        return {_value_of(c): f"{self._count(m)} AS {_value_of(c)}" for m, c in counts.items()}

    def fact(self, column: str) -> str:
        """Return SQL for a fact of the account itself."""
        facts: dict[str, Callable[[], str]] = {
            "tenure_days": lambda: "t - started",
            "arr": self._arr,
            "term_months": self._term_months,
            "days_to_renewal": self._days_to_renewal,
        }
        return facts[column]()

    def _latest(self, measure: Latest | DaysSince | DaysSinceBest) -> str:
        column = self.columns[measure]
        value = column if isinstance(measure, Latest) else f"t - {column}"
        return f"CASE WHEN {self.known(measure)} THEN {value} END"

    def _count(self, measure: Count) -> str:
        column, factor = self.columns[measure], self.factor(measure)
        value = column if factor == 1 else f"{column} / CAST({factor} AS DOUBLE)"
        return (
            value
            if isinstance(measure, Running)
            else f"CASE WHEN {self.known(measure)} THEN {value} END"
        )

    def factor(self, measure: Count) -> int:
        """Return the factor by which the column of a count exceeds its value."""
        return scale(self.sources[measure.table], measure)

    def known(self, measure: Count | Latest | DaysSince | DaysSinceBest) -> str:
        """Return SQL for whether a measure is known at ``t``."""
        source = self.sources[measure.table]
        known = source.known_before("t")
        if isinstance(measure, Trailing | Early) and source.complete_from is not None:
            early = isinstance(measure, Early)
            since = "started" if early else f"GREATEST(t - {measure.window}, started)"
            known += f" AND {since} >= {source.complete_from}"
        return "TRUE" if isinstance(measure, Running) else known

    def _first_by(self, done: Early) -> str:
        count = self.rule(done)
        passed = f"{count} = 0 AND t - started >= {done.window}"
        return f"CASE WHEN {count} > 0 THEN 1 WHEN {passed} THEN 0 END"

    def _episode(self, process: Process) -> tuple[str, str, str]:
        """Return SQL for: the state is known; start of the last episode; whether it lapsed."""
        column = self.columns[ProcessState(process.name)]
        source = self.sources["behaviors"]
        known = f"{source.known_before('t')} AND t >= {known_from(process, source)}"
        lapsed = f"COALESCE({column}.b <= t, FALSE)"
        return known, column, lapsed

    def applies(self, applies_to: Mapping[str, tuple[str, ...]]) -> str:
        """Return SQL for whether the attributes at ``t`` satisfy ``applies_to``."""
        d, dated = self.grid.dialect, "account_changes" in self.sources
        tests = [
            f"COALESCE({self._attribute(Attribute(name, dated))}"
            f" IN ({', '.join(map(d.literal, values))}), FALSE)"
            for name, values in sorted(applies_to.items())
        ]
        return " AND ".join(tests) or "TRUE"

    def _overdue(self, process: Process) -> str:
        if process.adopt_by is None:
            return "FALSE"
        return f"t - started >= {process.adopt_by}"

    def _state(self, process: Process) -> str:
        known, column, lapsed = self._episode(process)
        return (
            f"CASE WHEN NOT ({self.applies(process.applies_to)}) THEN 'not applicable'"
            f" WHEN NOT COALESCE({known}, FALSE) THEN 'unknown'"
            f" WHEN {column} IS NOT NULL AND NOT {lapsed} THEN 'adopted'"
            f" WHEN {column} IS NOT NULL THEN 'lapsed'"
            f" WHEN {self._overdue(process)} THEN 'overdue' ELSE 'pending' END"
        )

    def _days_in_state(self, process: Process) -> str:
        known, column, lapsed = self._episode(process)
        overdue = f"t - started - {process.adopt_by}" if process.adopt_by is not None else "NULL"
        meant = self.applies(process.applies_to)
        return (
            f"CASE WHEN NOT ({meant} AND COALESCE({known}, FALSE)) THEN NULL"
            f" WHEN {column} IS NOT NULL AND NOT {lapsed} THEN t - {column}.a"
            f" WHEN {column} IS NOT NULL THEN t - {column}.b"
            f" WHEN {self._overdue(process)} THEN {overdue} ELSE t - started END"
        )

    def _relative_rate(self, lately: Trailing, longer: Trailing) -> str:
        few, many = self.rule(lately), self.rule(longer)
        before = f"(LEAST({longer.window}, t - started) - {lately.window})"
        rest = f"(({many}) - ({few})) * {lately.window}"
        rate = f"(({few}) * {before}) / NULLIF(CAST({rest} AS DOUBLE), 0)"
        return f"CASE WHEN {before} >= {lately.window} THEN {rate} END"

    def _memory(
        self, what: str, measure: AdoptedShare | Lapses, days_ago: int | None = None
    ) -> str:
        return self.grid.dialect.quoted(memory_column(what, measure, days_ago))

    def _if_remembered(self, measure: AdoptedShare | Lapses, value: str) -> str:
        """Return SQL for a value, NULL unless the state is known on all days of the window."""
        process, source = self.processes[measure.process], self.sources["behaviors"]
        first = f"GREATEST(t - {measure.window - 1}, started)"
        known = f"{source.known_before('t')} AND {first} >= {known_from(process, source)}"
        return f"CASE WHEN ({self.applies(process.applies_to)}) AND {known} THEN {value} END"

    def _adopted_share(self, measure: AdoptedShare) -> str:
        # The days adopted up to a day: for each episode, the days from its first to that day or, if
        # it has lapsed, to its last.
        def up_to(days_ago: int) -> str:
            open_at, sums = (self._memory(what, measure, days_ago) for what in ("open", "sums"))
            return f"({open_at} * (t - {days_ago - 1}) - {sums})"

        adopted = f"({up_to(0)} - {up_to(measure.window)})"
        days = f"LEAST({measure.window}, t - started + 1)"
        return self._if_remembered(measure, f"{adopted} / CAST({days} AS DOUBLE)")

    def _usage_to_best(self, measure: UsageToBest) -> str:
        source = self.sources["usage"]
        if source.complete_from is None or measure.within < measure.best + measure.window:
            return "CAST(NULL AS DOUBLE)"
        history = f"t - GREATEST(started, {source.complete_from})"
        lately = self.columns[used_lately(measure)]
        best = self.columns[measure]
        return (
            f"CASE WHEN {source.known_before('t')} AND {history} >= {measure.best + measure.window}"
            f" THEN {lately} * CAST({measure.best} AS DOUBLE)"
            f" / NULLIF(CAST({best} AS DOUBLE) * {measure.window}, 0) END"
        )

    def _attribute(self, attribute: Attribute) -> str:
        own = self.grid.dialect.quoted(f"own_{attribute.name}")
        if not attribute.dated:
            return own
        dated = self.columns[dated_attribute(attribute.name)]
        value = f"NULLIF({dated}, '')"
        if attribute.name in self.numeric:
            value = self.grid.dialect.number(value)
        return f"CASE WHEN {dated} IS NULL THEN {own} ELSE {value} END"

    def _arr(self) -> str:
        if ARR_DELTA not in self.columns:
            return "first_arr / CAST(100 AS DOUBLE)"
        return f"(first_arr + COALESCE({self.columns[ARR_DELTA]}, 0)) / CAST(100 AS DOUBLE)"

    def _term_months(self) -> str:
        if NEW_TERM not in self.columns:
            return "first_term"
        return f"COALESCE({self.columns[NEW_TERM]}, first_term)"

    def _days_to_renewal(self) -> str:
        """Count full terms from the start or last renewal to the first due day not before t."""
        d, term = self.grid.dialect, self._term_months()
        anchor = "started"
        if RENEWED in self.columns:
            anchor = f"COALESCE({self.columns[RENEWED]}, started)"
        begun, today = d.date(anchor), d.date("t")
        months = f"((YEAR({today}) - YEAR({begun})) * 12 + MONTH({today}) - MONTH({begun}))"
        terms = f"GREATEST({d.floor_divide(months, f'({term})')}, 1)"
        this = d.day(d.add_months(begun, f"{terms} * ({term})"))
        following = d.day(d.add_months(begun, f"({terms} + 1) * ({term})"))
        return f"CASE WHEN {this} >= t THEN {this} - t ELSE {following} - t END"


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
