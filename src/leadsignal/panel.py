"""The panel: one row an account and snapshot, strictly point in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from leadsignal.durations import days_in
from leadsignal.engine.build import KEY_COLUMNS, Recipe, episode_steps, panel_steps
from leadsignal.engine.dialect import day_number
from leadsignal.engine.duckdb import made
from leadsignal.engine.grid import Grid, Source, spine_steps
from leadsignal.errors import OptionError
from leadsignal.indicators import ROW_COLUMNS, Given, Indicator, declare_indicators
from leadsignal.schema import BY_NAME
from leadsignal.sources.parts import quoted
from leadsignal.success import SuccessAnalysis

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.project import Project
    from leadsignal.tables import Tables

Progress = Callable[[int, int], None]


@dataclass(frozen=True, repr=False, eq=False)
class Panel:
    """One row an account and snapshot: what was known then, and what came of it.

    ``frame`` holds the key columns, then one column an indicator, sorted by account and snapshot.
    ``every`` is the days between snapshots; rows on ``as_of_date`` are scored and never fitted.
    ``columns`` maps the tables behind it to their columns that were read.
    """

    frame: pd.DataFrame
    indicators: tuple[Indicator, ...]
    as_of_date: date
    every: int
    project: Project
    analysis: SuccessAnalysis
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the rows."""
        return self.frame.copy()

    def names(self, *, role: str | None = None, family: str | None = None) -> list[str]:
        """Return the names of the indicators, of one role or family if one is given."""
        return [
            indicator.name
            for indicator in self.indicators
            if role in (None, indicator.role) and family in (None, indicator.family)
        ]

    def current(self) -> pd.DataFrame:
        """Return the rows on ``as_of_date``: accounts active then, notice given or not."""
        return self._on(self.as_of_date)

    def _on(self, day: date) -> pd.DataFrame:
        import pandas as pd

        return self.frame[self.frame["snapshot_on"] == pd.Timestamp(day)]

    def as_of(self, day: date | str) -> Panel:
        """Return the panel as its outcomes were known on ``day``: rows before it, recut.

        Raises OptionError where ``day`` lies after the panel's own as_of.
        """
        import pandas as pd

        cut = pd.Timestamp(day)
        if cut.date() > self.as_of_date:
            raise OptionError(
                f"the panel ends at {self.as_of_date}; {cut.date()} is later",
                "Build the panel from tables that reach that day",
            )
        frame = self.frame[self.frame["snapshot_on"] < cut].copy()
        seen = (cut - frame["snapshot_on"]).dt.days
        hidden = ~(frame["ended_within"] < seen)
        later = frame["stop"] - frame["start"] >= seen
        frame.loc[hidden, ["ended_within", "end_cause"]] = None
        frame.loc[~(frame["known_within"] < seen), "known_within"] = None
        frame.loc[hidden & later, "event"] = 0
        frame.loc[hidden, "cause"] = None
        frame["stop"] = (frame["start"] + seen).where(later, frame["stop"])
        frame["days_observed"] = seen.where(hidden, frame["days_observed"])
        return replace(self, frame=frame.reset_index(drop=True), as_of_date=cut.date())

    def __repr__(self) -> str:
        rows, accounts = len(self.frame), self.frame["account_id"].nunique()
        events = int(self.frame["event"].sum())
        families = ", ".join(dict.fromkeys(i.family for i in self.indicators))
        return (
            f"Panel of {rows:,} rows: {accounts:,} accounts every {self.every} days up to"
            f" {self.as_of_date}, {events:,} churns\n"
            f"{len(self.indicators)} indicators: {families}"
        )

    def _repr_html_(self) -> str:
        from html import escape

        head = "<br>".join(escape(line) for line in repr(self).splitlines())
        return f"<p>{head}</p>{self.frame.head(5).to_html(index=False)}"

    def to_dict(self) -> dict[str, Any]:
        """Return what the panel holds in numbers, ready for JSON."""
        return {
            "rows": len(self.frame),
            "accounts": int(self.frame["account_id"].nunique()),
            "events": int(self.frame["event"].sum()),
            "as_of": self.as_of_date.isoformat(),
            "every_days": self.every,
            "indicators": self.names(),
        }


def build_panel(
    tables: Tables,
    analysis: SuccessAnalysis | None = None,
    *,
    every: str | None = None,
    progress: Progress | None = None,
) -> Panel:
    """Build the panel of all accounts up to ``tables.as_of_date``.

    ``every`` is the time between snapshots (default: the project's). Without an analysis there
    are no essential processes and the panel holds all other indicators. Raises OptionError where
    the analysis asks for what the tables do not have.

    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> ls.build_panel(tables, every="28d").every
    28
    """
    step = tables.project.every if every is None else days_in(every)
    return _build(tables, analysis, step, only_as_of=False, progress=progress)


def build_snapshot(
    tables: Tables, analysis: SuccessAnalysis | None = None, *, progress: Progress | None = None
) -> Panel:
    """Build only the rows on ``tables.as_of_date``, the same as in the whole panel."""
    return _build(tables, analysis, tables.project.every, only_as_of=True, progress=progress)


def adoption_episodes(tables: Tables, analysis: SuccessAnalysis) -> pd.DataFrame:
    """Return when each account adopted each process and when it lapsed, to the day.

    Columns: account_id, process, adopted_on, lapsed_on (empty while adopted).
    """
    recipe = _recipe(tables, analysis, tables.project.every, only_as_of=False)
    spine = spine_steps(recipe.grid, recipe.accounts)
    steps = [*spine, *episode_steps(recipe)]
    d = recipe.grid.dialect
    with made(tables.connection, steps) as cursor:
        if len(steps) == len(spine):
            cursor.execute(
                "CREATE TEMP TABLE episodes (account_no INT, process TEXT, adopted INT, lapsed INT)"
            )
        episodes: pd.DataFrame = cursor.sql(
            f"SELECT account_id, process, {d.date('adopted')} AS adopted_on,"
            f" {d.date('lapsed')} AS lapsed_on FROM episodes JOIN spine USING (account_no)"
            " ORDER BY account_no, process, adopted"
        ).df()
        return episodes


def _build(
    tables: Tables,
    analysis: SuccessAnalysis | None,
    every: int,
    *,
    only_as_of: bool,
    progress: Progress | None,
) -> Panel:
    recipe = _recipe(tables, analysis, every, only_as_of=only_as_of)
    steps, select = panel_steps(recipe)
    with made(tables.connection, steps, progress) as cursor:
        # Arrow first: it shares equal texts, of which a panel has many.
        frame: pd.DataFrame = (
            cursor.sql(select)
            .to_arrow_table()
            .to_pandas(date_as_object=False, coerce_temporal_nanoseconds=True)
        )
    return Panel(
        frame,
        recipe.indicators,
        tables.as_of_date,
        every,
        tables.project,
        analysis or SuccessAnalysis(()),
        {name: tables.columns(name) for name in tables.names},
    )


def _recipe(
    tables: Tables, analysis: SuccessAnalysis | None, every: int, *, only_as_of: bool
) -> Recipe:
    analysis = analysis or SuccessAnalysis(())
    _check_fits(tables, analysis)
    project = tables.project
    given = Given(
        {table: frozenset(tables.columns(table)) for table in tables.names},
        tables.attributes,
        analysis,
        project.usage_low,
    )
    return Recipe(
        Grid(day_number(tables.as_of_date), every, only_as_of),
        _source(tables, "accounts"),
        {table: _source(tables, table) for table in tables.names if table != "accounts"},
        declare_indicators(given),
        analysis.processes,
        tables.attributes,
        {reason: cause for cause, reasons in project.causes.items() for reason in reasons},
        project.not_churn,
    )


def _source(tables: Tables, table: str) -> Source:
    declared, coverage = BY_NAME[table], tables.coverage[table]
    sql = tables.history(table)
    added = ROW_COLUMNS.get(table, {})
    if added:
        columns = ", ".join(f"{rule} AS {quoted(column)}" for column, rule in added.items())
        sql = f"SELECT *, {columns} FROM ({sql}) AS history"
    recorded, given = "recorded_at" in tables.columns(table), tables.project.tables.get(table)
    decimals = {column.name: column.decimals for column in declared.columns}
    return Source(
        table,
        sql,
        _number(coverage.complete_from),
        _number(coverage.complete_through),
        assumed=given is None or given.complete_from is None,
        late=recorded,
        versioned=recorded and declared.key is not None,
        decimals={**decimals, **dict.fromkeys(added, 6)},
    )


def _number(day: date | None) -> int | None:
    return None if day is None else day_number(day)


def _check_fits(tables: Tables, analysis: SuccessAnalysis) -> None:
    """Refuse an analysis that asks for what the tables do not have, all faults at once."""
    problems = []
    users = [p.name for p in analysis.processes if p.by_users > 1]
    behaviors = tables.columns("behaviors") if "behaviors" in tables.names else ()
    if users and behaviors and "user_id" not in behaviors:
        problems.append(f"{', '.join(users)} counts users (by_users), but behaviors has no user_id")
    if analysis.processes and not behaviors:
        problems.append("the analysis names essential processes, but there is no behaviors table")
    texts = {name for name, kind in tables.attributes.items() if kind == "text"}
    for process in analysis.processes:
        missing = sorted(set(process.applies_to) - texts)
        if missing:
            problems.append(
                f"{process.name} applies to accounts by {', '.join(missing)}, which is not a "
                "declared text attribute of accounts"
            )
    for segment in analysis.segments:
        if missing := sorted(set(segment.applies_to) - texts):
            problems.append(
                f"a segment applies to accounts by {', '.join(missing)}, which is not a declared "
                "text attribute of accounts"
            )
    if problems:
        raise OptionError(
            "the success analysis and the tables do not fit: " + "; ".join(problems),
            "Correct success.toml, or declare the attributes and tables in leadsignal.toml",
        )


__all__ = ["KEY_COLUMNS", "Panel", "adoption_episodes", "build_panel", "build_snapshot"]
