"""The panel: one row per account and snapshot date, with only what was known on that date."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from leadsignal.account_sample import AccountSample, refuse_share
from leadsignal.accounts import chosen, counting_process
from leadsignal.arguments import Duration, checked, days_in, reads_weights
from leadsignal.config.project import ENGINES, Behaviors, Engine
from leadsignal.config.success import SuccessAnalysis
from leadsignal.engine.build import (
    KEY_COLUMNS,
    SAMPLE_WEIGHT,
    Recipe,
    episode_steps,
    panel_steps,
    sampled,
)
from leadsignal.engine.duckdb import as_frame, in_order, temporary_tables
from leadsignal.engine.grid import AT_ONCE, accounts_without_rows, spine_steps, without_rows_notes
from leadsignal.engine.in_memory import JOINED, measured_rows
from leadsignal.engine.recipe import panel_recipe
from leadsignal.errors import OptionError, one_of
from leadsignal.indicators import Indicator
from leadsignal.ingestion.check_report import DataWarning
from leadsignal.results import Result
from leadsignal.tables import Tables
from leadsignal.workers import Progress, recalled, remember

__all__ = [
    "Panel",
    "adoption_episodes",
    "build_panel",
    "sample_panel",
]

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from pyspark.sql import SparkSession

    from leadsignal.config.project import Project
    from leadsignal.engine.spark import TablesInSpark
    from leadsignal.engine.warehouse import WarehouseTables

MAX_KEPT = 2**30
"""Maximum size, in bytes, of a panel that is kept for the session."""
Draw = Callable[[str], str]
"""Function from the SELECT of a panel's rows to the SELECT of a sample of them."""


@dataclass(frozen=True, repr=False, eq=False)
class Panel(Result):
    """One row per account and snapshot: the indicators known then, and the later outcome.

    ``frame`` holds the key columns and one column per indicator, sorted by account and snapshot.
    ``every`` is the number of days between snapshots. Rows on ``as_of_date`` are scored, and never
    used for fitting. ``columns`` maps the source tables to the columns that were read. ``episodes``
    are the adoption episodes; None if they were not kept. ``without_rows`` are the accounts that
    ended before their first snapshot, with ``at_once`` set if that was on the day of their start;
    None if unknown. ``warnings`` are the data warnings that affect results; a single snapshot has
    none. ``behaviors`` are the behaviours with indicators of their own. ``sample`` is the sample of
    customers in the panel, each with its ``sample_weight``; None for all customers.
    """

    frame: pd.DataFrame
    indicators: tuple[Indicator, ...]
    as_of_date: date
    every: int
    project: Project
    analysis: SuccessAnalysis
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    episodes: pd.DataFrame | None = None
    without_rows: pd.DataFrame | None = None
    warnings: tuple[DataWarning, ...] = ()
    behaviors: Behaviors | None = None
    sample: AccountSample | None = None

    @property
    def ended_at_once(self) -> pd.DataFrame | None:
        """The accounts that ended on the day of their start, as rows; None if there are none."""
        if self.without_rows is None or not self.without_rows[AT_ONCE].any():
            return None
        return self.without_rows[self.without_rows[AT_ONCE]].reset_index(drop=True)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the accounts without a row."""
        return without_rows_notes(self.without_rows)

    def names(self, *, role: str | None = None, family: str | None = None) -> list[str]:
        """Return the names of the indicators, optionally of one role or family."""
        return [
            indicator.name
            for indicator in self.indicators
            if role in (None, indicator.role) and family in (None, indicator.family)
        ]

    @property
    def iloc(self) -> NoReturn:
        """Raise an error for rows by position, which scikit-learn would split ignoring time."""
        raise OptionError(
            "a panel has no rows by position, which scikit-learn needs",
            "Give cross_val_score the folds of evaluation.panel_folds(panel), and"
            " permutation_importance rows of panel.frame with the columns that the model reads",
        )

    def current(self) -> pd.DataFrame:
        """Return the rows on ``as_of_date``: active accounts, whether notice was given or not."""
        import pandas as pd

        return self.frame[self.frame["snapshot_on"] == pd.Timestamp(self.as_of_date)]

    def snapshot(self) -> Panel:
        """Return a panel of the rows on ``as_of_date`` only, as built by `build_snapshot`."""
        frame = self.current().reset_index(drop=True)
        return replace(self, frame=frame, without_rows=None)

    def copied(self) -> Panel:
        """Return the panel with copies of its frames."""
        episodes, without = self.episodes, self.without_rows
        return replace(
            self,
            frame=self.frame.copy(),
            episodes=None if episodes is None else episodes.copy(),
            without_rows=None if without is None else without.copy(),
        )

    def narrowed(self, names: Iterable[str]) -> Panel:
        """Return the panel with only some of its indicators, which is faster to copy."""
        kept = {*KEY_COLUMNS, SAMPLE_WEIGHT, *names}
        return replace(
            self,
            frame=self.frame[[name for name in self.frame if name in kept]],
            indicators=tuple(one for one in self.indicators if one.name in kept),
        )

    @property
    def weight(self) -> NDArray[np.float64] | None:
        """Number of rows that each row represents; None if the panel is not a sample."""
        return self.frame[SAMPLE_WEIGHT].to_numpy() if SAMPLE_WEIGHT in self.frame else None

    def refuse_sample(self, what: str, *, of_rows: bool = False) -> None:
        """Raise OptionError if the rows are a sample, which ``what`` would take for all rows.

        With ``of_rows``, only for a `sample_panel`: a sample of customers has all of their rows.
        """
        if SAMPLE_WEIGHT in self.frame.columns and not (of_rows and self.sample is not None):
            raise OptionError(
                f"{what} needs the whole panel, and this is a sample of its rows",
                "Pass a panel from build_panel; for fewer rows, build it from part of the accounts",
            )

    def as_of(self, day: date | str) -> Panel:
        """Return the panel as known on ``day``: the rows before it, with outcomes cut to that day.

        Raises OptionError if ``day`` is after the panel's own as_of.
        """
        import pandas as pd

        cut = pd.Timestamp(day)
        if cut.date() > self.as_of_date:
            raise OptionError(
                f"{cut.date()} is after the panel's last day, {self.as_of_date}",
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
        without = self.without_rows
        if without is not None:
            ended = without["snapshot_on"] + pd.to_timedelta(without["stop"], unit="D")
            without = without[ended < cut].reset_index(drop=True)
        return replace(
            self,
            frame=frame.reset_index(drop=True),
            as_of_date=cut.date(),
            episodes=None,
            without_rows=without,
        )

    def to_counting_process(self, indicators: Iterable[str] | None = None) -> pd.DataFrame:
        """Return the rows at risk as numbers, ready for a time-varying Cox model.

        Time is tenure in days. An account is at risk until its end or its notice, whichever became
        known first. Ends that the project does not count as churn are censored.

        Parameters
        ----------
        indicators : iterable of str, optional
            Names of the indicators to include. Default: all.

        Returns
        -------
        DataFrame
            Columns ``account_id``, ``start``, ``stop`` and ``event`` (1 if the account churned at
            ``stop``), then floats without missing values. Numbers keep their unit; unknown ones are
            replaced by the median, with the flag ``"NAME: unknown"`` set to 1. A category has a
            flag ``"NAME: STATE"`` for each state except the most frequent one. Constants are
            dropped, and so are flags of states in which fewer than 5 churns are expected, and
            columns determined by tenure and the columns before them with an R² of at least 0.9.
            ``attrs["left_out"]`` gives the reason for each.

        Raises
        ------
        OptionError
            If a name is not an indicator of the panel, or the panel is a `sample_panel`.

        Examples
        --------
        >>> import leadsignal as ls
        >>> from lifelines import CoxTimeVaryingFitter
        >>> panel = ls.build_panel(ls.read_tables(ls.sample_folder()))
        >>> rows = panel.to_counting_process(["tickets_open", "segment"])
        >>> fit = CoxTimeVaryingFitter().fit(
        ...     rows, id_col="account_id", start_col="start", stop_col="stop", event_col="event"
        ... )
        >>> list(fit.params_.index)
        ['tickets_open', 'segment: enterprise', 'segment: mid']
        """
        self.refuse_sample("a counting process")
        read = chosen(self.indicators, indicators)
        narrow = self.narrowed(indicator.name for indicator in read)
        return counting_process(narrow.frame, read, self.project.not_churn)

    def _notebook_table(self) -> pd.DataFrame:
        """Return a table of indicator families, the largest first, instead of some 200 columns."""
        import pandas as pd

        known = self.frame.notna().mean()
        rows = [
            {
                "family": family,
                "indicators": len(names),
                "share_of_cells_known": float(known[names].mean()),
                "for_example": ", ".join(names[:2]),
            }
            for family in dict.fromkeys(one.family for one in self.indicators)
            if (names := self.names(family=family))
        ]
        columns = ["family", "indicators", "share_of_cells_known", "for_example"]
        table = pd.DataFrame(rows, columns=columns)
        return table.sort_values("indicators", ascending=False, kind="stable")

    def __repr__(self) -> str:
        notes = [*([self.sample.line] if self.sample else []), *self.notes]
        return "\n".join([description(self.to_dict(), self.indicators), *notes])

    def to_dict(self) -> dict[str, Any]:
        """Return a numeric summary of the panel, ready for JSON."""
        return {
            "rows": len(self.frame),
            "accounts": int(self.frame["account_id"].nunique()),
            "events": int(self.frame["event"].sum()),
            "as_of": self.as_of_date.isoformat(),
            "every_days": self.every,
            "indicators": self.names(),
        }


def description(counts: dict[str, Any], indicators: tuple[Indicator, ...]) -> str:
    """Return a description of a panel in two lines."""
    families = ", ".join(dict.fromkeys(one.family for one in indicators))
    return (
        f"Panel of {counts['rows']:,} rows: {counts['accounts']:,} accounts every"
        f" {counts['every_days']} days up to {counts['as_of']}, {counts['events']:,} churns\n"
        f"{len(indicators)} indicators: {families}"
    )


@checked
@reads_weights
def build_panel(
    tables: Tables | TablesInSpark | WarehouseTables,
    analysis: SuccessAnalysis | None = None,
    *,
    every: Duration | None = None,
    engine: Engine | None = None,
    session: SparkSession | None = None,
    progress: Progress | None = None,
) -> Panel:
    """Build the panel of all accounts up to ``tables.as_of_date``.

    ``every`` is the time between snapshots (default: the project's). Without an analysis there
    are no essential processes, and the panel holds all other indicators. ``engine`` is "duckdb" or
    "spark" (default: the project's; with a Spark ``session``, "spark"); both give the same rows.
    `build_spark_panel` leaves them in Spark. Tables of `read_warehouse_tables` are computed in
    their warehouse.

    The latest panel of the same tables is kept for the session if it takes at most 1 GB, and
    reused (LEADSIGNAL_SESSION_CACHE=0 turns that off).

    `extend_panel` adds only the new snapshots to a panel in a folder. Raises OptionError if the
    analysis needs data that the tables do not have.

    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> ls.build_panel(tables, every="28d").every
    28
    """
    step = tables.project.every if every is None else days_in(every)
    analysis = analysis or SuccessAnalysis(())
    if not isinstance(tables, Tables):
        from leadsignal.engine.warehouse import WarehouseTables, warehouse_rows

        if isinstance(tables, WarehouseTables):
            if (engine, session) != (None, None):
                problem = "engine and session cannot be used with tables in a warehouse"
                raise OptionError(problem, "Leave them out")
            recipe, rows = warehouse_rows(tables, analysis, step)
            return _of_rows_elsewhere(tables, analysis, step, recipe, in_order(rows))
    if _engine(tables, engine, session) == "spark" or not isinstance(tables, Tables):
        return _built_on_spark(tables, analysis, step, session)
    settings = (step, analysis.to_toml())
    kept: tuple[object, Panel] | None = recalled(tables, "panel")
    if kept is not None and kept[0] == settings:
        if progress:
            progress(1, 1)
        return kept[1].copied()
    panel = _build(tables, analysis, step, only_as_of=False, progress=progress)
    if panel.frame.memory_usage().sum() <= MAX_KEPT:
        remember(tables, "panel", (settings, panel.copied()))
    return panel


@checked
def sample_panel(
    tables: Tables | TablesInSpark,
    analysis: SuccessAnalysis | None = None,
    *,
    share: float,
    horizon: Duration | None = None,
    every: Duration | None = None,
    seed: int = 0,
    session: SparkSession | None = None,
) -> Panel:
    """Build a case-cohort sample of the panel, to fit a model when the whole panel is too large.

    It holds all rows with churn within ``horizon`` (default: the project's), with a
    ``sample_weight`` of 1, and a ``share`` of the others, with a weight of 1 / share.
    `ChurnModel.fit` uses the weights; functions that cannot raise an error. DuckDB and, with a
    ``session``, Spark draw the same rows. Raises OptionError for a share outside (0, 1], and as
    `build_panel` does.

    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> sample = ls.panel.sample_panel(tables, share=0.2)
    >>> sorted(sample.frame["sample_weight"].unique().tolist())
    [1.0, 5.0]
    """
    refuse_share(share)
    step = tables.project.every if every is None else days_in(every)
    ahead = tables.project.horizon if horizon is None else days_in(horizon)
    analysis = analysis or SuccessAnalysis(())
    draw = partial(sampled, share=share, horizon=ahead, seed=seed)
    if session is not None or not isinstance(tables, Tables):
        return _built_on_spark(tables, analysis, step, session, draw)
    return _build(tables, analysis, step, only_as_of=False, progress=None, draw=draw)


@checked
@reads_weights
def build_snapshot(
    tables: Tables, analysis: SuccessAnalysis | None = None, *, progress: Progress | None = None
) -> Panel:
    """Build only the rows on ``tables.as_of_date``; they equal those of the whole panel."""
    return _build(tables, analysis, tables.project.every, only_as_of=True, progress=progress)


def build_narrow(tables: Tables, chosen: Callable[[Indicator], bool]) -> Panel:
    """Build the panel with only some indicators and without an analysis, which is faster.

    The rows are those of `build_panel`, narrowed to the ``chosen`` indicators.
    """
    every = tables.project.every
    return _build(tables, None, every, only_as_of=False, progress=None, chosen=chosen)


@checked
@reads_weights
def adoption_episodes(tables: Tables, analysis: SuccessAnalysis) -> pd.DataFrame:
    """Return the dates on which each account adopted each process, and on which it lapsed.

    Columns: account_id, process, adopted_on, lapsed_on (empty while adopted).
    """
    recipe = panel_recipe(tables, analysis, tables.project.every, tables.history)
    spine = spine_steps(recipe.grid, recipe.accounts)
    steps = [*spine, *episode_steps(recipe)]
    with temporary_tables(tables.connection, steps) as cursor:
        if len(steps) == len(spine):
            cursor.execute(
                "CREATE TEMP TABLE episodes (account_no INT, process TEXT, adopted INT, lapsed INT)"
            )
        return _episodes(cursor, recipe)


def _episodes(cursor: duckdb.DuckDBPyConnection, recipe: Recipe) -> pd.DataFrame:
    """Return the episodes computed by the steps."""
    d = recipe.grid.dialect
    episodes: pd.DataFrame = cursor.sql(
        f"SELECT account_id, process, {d.date('adopted')} AS adopted_on,"
        f" {d.date('lapsed')} AS lapsed_on FROM episodes JOIN spine USING (account_no)"
        " ORDER BY account_no, process, adopted"
    ).df()
    return episodes


def _engine(tables: Tables | TablesInSpark, engine: str | None, session: object) -> str:
    """Return the requested engine; raises OptionError if it is unknown."""
    in_spark = session is not None or not isinstance(tables, Tables)
    chosen = engine or ("spark" if in_spark else tables.project.engine)
    if chosen not in ENGINES:
        raise OptionError(f"engine = {chosen!r} is not an engine", one_of(ENGINES, chosen))
    if chosen == "duckdb" and in_spark:
        what = "a Spark session" if session is not None else "tables that are in Spark"
        raise OptionError(f"engine = 'duckdb' with {what}", "Leave engine out, or say spark")
    return chosen


def _built_on_spark(
    tables: Tables | TablesInSpark,
    analysis: SuccessAnalysis,
    every: int,
    session: SparkSession | None,
    draw: Draw | None = None,
) -> Panel:
    from leadsignal.engine.spark import panel_rows, spark_session

    if tables.sample is not None:
        problem = "these tables are a sample of customers, whose weights Spark's panel cannot hold"
        raise OptionError(problem, "Build it here: build_panel(tables, engine='duckdb')")
    recipe, rows = panel_rows(tables, analysis, every, spark_session(session), None, draw=draw)
    try:
        frame = rows.to_pandas("account_id", "snapshot_on")
    finally:
        rows.close()
    return _of_rows_elsewhere(tables, analysis, every, recipe, frame, whole=draw is None)


def _of_rows_elsewhere(
    tables: Tables | TablesInSpark | WarehouseTables,
    analysis: SuccessAnalysis,
    every: int,
    recipe: Recipe,
    frame: pd.DataFrame,
    *,
    whole: bool = True,
) -> Panel:
    columns = {name: tables.columns(name) for name in tables.names}
    without = without_rows_of(tables, recipe, frame["account_id"]) if whole else None
    return Panel(
        frame, recipe.indicators, tables.as_of_date, every, tables.project, analysis, columns,
        without_rows=without, warnings=_doubts(tables), behaviors=recipe.behaviors,
    )  # fmt: skip


def _doubts(tables: Tables | TablesInSpark | WarehouseTables) -> tuple[DataWarning, ...]:
    return tuple(one for one in tables.warnings if one.affects)


def without_rows_of(
    tables: Tables | TablesInSpark | WarehouseTables, recipe: Recipe, seen: pd.Series[Any]
) -> pd.DataFrame:
    """Return the accounts that ended before their first snapshot, for any engine."""
    accounts = tables.frame("accounts") if isinstance(tables, Tables) else _ended_elsewhere(tables)
    since = tables.coverage["accounts"].complete_from
    return accounts_without_rows(accounts, seen, since, recipe.causes, recipe.not_churn)


def _ended_elsewhere(tables: TablesInSpark | WarehouseTables) -> pd.DataFrame:
    """Return the accounts with a known end, from Spark or a warehouse."""
    from leadsignal.engine.warehouse import WarehouseTables, ended_accounts

    if isinstance(tables, WarehouseTables):
        return ended_accounts(tables)
    gone = "superseded_on IS NULL AND ended_on IS NOT NULL"
    ended: pd.DataFrame = (
        tables.history("accounts").where(gone).toArrow().to_pandas(date_as_object=False)
    )
    return ended


def _build(
    tables: Tables,
    analysis: SuccessAnalysis | None,
    every: int,
    *,
    only_as_of: bool,
    progress: Progress | None,
    draw: Draw | None = None,
    chosen: Callable[[Indicator], bool] | None = None,
) -> Panel:
    analysis = analysis or SuccessAnalysis(())
    recipe = panel_recipe(tables, analysis, every, tables.history, only_as_of=only_as_of)
    if chosen is not None:
        recipe = replace(recipe, indicators=tuple(filter(chosen, recipe.indicators)))
    complete = not only_as_of and draw is None and chosen is None
    plan = panel_steps(recipe)
    select = None if draw is None else draw(plan.select_from(JOINED))
    with measured_rows(tables.connection, plan, progress) as (cursor, rows):
        ((made,),) = cursor.execute("SELECT count(*) FROM grid").fetchall()
        frame = as_frame(rows(select), made)
        # For a snapshot, only episodes of accounts active on as_of are computed.
        whole = not only_as_of and any(step.name == "episodes" for step in plan.steps)
        episodes = _episodes(cursor, recipe) if whole else None
    columns = {name: tables.columns(name) for name in tables.names}
    without = without_rows_of(tables, recipe, frame["account_id"]) if complete else None
    if tables.sample is not None:
        frame[SAMPLE_WEIGHT] = tables.sample.weight_of(frame["account_id"])
    return Panel(
        frame, recipe.indicators, tables.as_of_date, every, tables.project, analysis, columns,
        episodes, without, () if only_as_of else _doubts(tables), recipe.behaviors,
        tables.sample,
    )  # fmt: skip
