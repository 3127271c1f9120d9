"""The panel on Apache Spark: the same rows, computed lazily."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.account_facts import shown_columns
from leadsignal.arguments import checked, refuse_name
from leadsignal.config.success import SuccessAnalysis
from leadsignal.durations import Duration, days_in
from leadsignal.engine.spark import (
    Rows,
    TablesInSpark,
    panel_rows,
    source_view,
    spark_session,
)
from leadsignal.evaluation.doubts import doubt_of_expected
from leadsignal.indicators import Indicator
from leadsignal.ingestion.loaded_table import DataWarning, affecting
from leadsignal.model.persistence.recipe import refuse_other_analysis
from leadsignal.panel import Panel
from leadsignal.progress import log_warnings
from leadsignal.results import to_html
from leadsignal.scoring.spark_scores import (
    RowScoring,
    forecasts,
    scored_columns,
    sent_model,
    totals,
    whole_scores,
)
from leadsignal.scoring.spark_warnings import last_horizon_in_spark, silent_feeds
from leadsignal.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame, SparkSession

    from leadsignal.config.project import Behaviors, Project
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.stats.estimates import Estimate


@dataclass(frozen=True, repr=False, eq=False)
class SparkPanel:
    """A panel whose rows Spark computes: one row per account and snapshot, unordered.

    ``frame`` is a Spark DataFrame with the columns of ``Panel.frame``. It is computed when rows are
    requested; ``close`` frees the memory and disk space it uses. ``columns`` maps the source tables
    to the columns that were read. ``behaviors`` are the behaviours with indicators of their own.
    ``warnings`` are those of the tables.
    """

    frame: DataFrame
    indicators: tuple[Indicator, ...]
    as_of_date: date
    every: int
    project: Project
    analysis: SuccessAnalysis
    columns: Mapping[str, tuple[str, ...]]
    behaviors: Behaviors | None
    _rows: Rows
    warnings: tuple[DataWarning, ...] = ()
    _kept: list[DataFrame] = field(default_factory=list)

    def __enter__(self) -> SparkPanel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the memory and disk space in Spark; afterwards, no rows can be requested."""
        while self._kept:
            self._kept.pop().unpersist()
        self._rows.close()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            refuse_name(self, name, Panel)

    def current(self) -> DataFrame:
        """Return the rows on ``as_of_date``: active accounts, whether notice was given or not."""
        return self.frame.where(f"snapshot_on = DATE '{self.as_of_date}'")

    def collect(self) -> Panel:
        """Compute the rows and return them as an ordinary panel, which must fit into memory.

        Spark limits their size to ``spark.driver.maxResultSize``.
        """
        return Panel(
            self._rows.to_pandas("account_id", "snapshot_on"),
            self.indicators,
            self.as_of_date,
            self.every,
            self.project,
            self.analysis,
            self.columns,
            behaviors=self.behaviors,
        )

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Compute the rows and write them as a folder of Parquet files, each sorted by account.

        Raises pyspark's AnalysisException if the folder exists and ``overwrite`` is False.
        """
        mode = "overwrite" if overwrite else "error"
        ordered = self.frame.sortWithinPartitions("account_id", "snapshot_on")
        ordered.write.mode(mode).parquet(str(path))

    def score(
        self,
        model: ChurnModel,
        *,
        capacity: float | None = None,
        holdout: float | None = None,
        effects: Mapping[str, Estimate] | None = None,
    ) -> DataFrame:
        """Score the accounts active on ``as_of_date`` that have not given notice, in Spark.

        The values equal those of `score_accounts`: risks, alerts, reasons, next steps, and account
        names. The column ``rank`` gives the order, with 1 for the highest risk. Rows are forecast
        in Arrow batches on Spark's workers, on which leadsignal must be installed, and cached until
        `close`. Only the rows needed for the reasons, at most 25,000, are collected on the driver.

        Two things differ from `score_accounts`. Effects of processes are shown only if given as
        ``effects``. The last state of a late table is not used: its silence counts as no activity.
        Warnings are logged: of the data, of late and empty tables, and if far more or fewer churns
        are expected than there were in the last horizon.

        Parameters
        ----------
        model : ChurnModel
            A fitted model with the success analysis of the panel.
        capacity : float, optional
            Share of accounts to alert. Default: the project's.
        holdout : float, optional
            Share of customers, chosen at random, not to contact. Default: the project's.
        effects : mapping, optional
            Effects of processes to show with the next step. Default: none.

        Returns
        -------
        pyspark.sql.DataFrame
            Scores, to be written as a table: ``scores.write.saveAsTable("scores")``.

        Raises
        ------
        ModelError
            If the panel lacks what the model needs, or no account is active.
        OptionError
            If the panel has another success analysis than the model.
        """
        refuse_other_analysis(model.analysis_, self.analysis, "the panel")
        model.features_.refuse_missing(self.frame.columns)
        share = self.project.holdout if holdout is None else holdout
        processes = self.analysis.processes
        seed = self.project.holdout_seed
        scoring = RowScoring(sent_model(model), processes, effects or {}, (share or 0, seed))
        # The forecasts read the rows, and then the reasons read some of them again.
        read = scored_columns(model, processes, self.frame.columns)
        rows = self.current().where("NOT notice_given").select(*read).persist()
        scored = forecasts(rows, model, scoring).persist()
        self._kept.extend([rows, scored])
        declared = {indicator.name: indicator for indicator in self.indicators}
        capacity = self.project.capacity if capacity is None else capacity
        count, expected = totals(scored)
        self._warn(model, count, expected)
        names = self._names()
        return whole_scores(rows, scored, count, model, declared, capacity, names, bool(share))

    def _warn(self, model: ChurnModel, count: int, expected: float) -> None:
        """Log what casts doubt on scores."""
        read, horizon = self._rows.read, int(model.hazards_.ends[-1])
        tables = {table for names in model.origin_.indicators.values() for table in names}
        accounts = read.get(source_view("accounts"))
        last = last_horizon_in_spark(accounts, self.project, self.as_of_date, horizon)
        warnings = [
            *silent_feeds(read, tables, self.project, self.as_of_date),
            *affecting(self.warnings, "score"),
            *doubt_of_expected(expected, count, last, horizon),
        ]
        log_warnings(f"scores of {self.as_of_date}", warnings)

    def _names(self) -> DataFrame | None:
        """Return the names of accounts, if the tables have them."""
        accounts = self._rows.read.get(source_view("accounts"))
        shown = shown_columns(self.project, self.columns.get("accounts", ()))
        if accounts is None or not shown:
            return None
        return accounts.where("superseded_on IS NULL").select("account_id", *shown)

    def __repr__(self) -> str:
        families = ", ".join(dict.fromkeys(i.family for i in self.indicators))
        return (
            f"SparkPanel every {self.every} days up to {self.as_of_date}; its rows are computed"
            f" when they are asked for\n{len(self.indicators)} indicators: {families}"
        )

    def _repr_html_(self) -> str:
        return to_html(repr(self))

    def to_dict(self) -> dict[str, Any]:
        """Return what is known about the panel before its rows are computed, ready for JSON."""
        return {
            "as_of": self.as_of_date.isoformat(),
            "every_days": self.every,
            "indicators": [indicator.name for indicator in self.indicators],
        }


@checked
def build_spark_panel(
    tables: Tables | TablesInSpark,
    analysis: SuccessAnalysis | None = None,
    *,
    every: Duration | None = None,
    only_as_of: bool = False,
    session: SparkSession | None = None,
    staging: str | Path | None = None,
) -> SparkPanel:
    """Return the panel of `build_panel` as rows that Spark computes.

    ``tables`` are checked tables, or those of `read_spark_tables`, whose rows are already in Spark.
    ``only_as_of`` keeps only the rows on the as_of date, as `build_snapshot` does. ``session``
    defaults to the active session, or else to a new local one. ``staging`` is the folder through
    which checked tables reach the machines of a cluster (default for a local session: a temporary
    folder). Raises OptionError if pyspark is missing, or a cluster has no ``staging``.
    """
    running, analysis = spark_session(session), analysis or SuccessAnalysis(())
    step = tables.project.every if every is None else days_in(every)
    folder = None if staging is None else Path(staging)
    recipe, rows = panel_rows(tables, analysis, step, running, folder, only_as_of=only_as_of)
    return SparkPanel(
        rows.frame,
        recipe.indicators,
        tables.as_of_date,
        step,
        tables.project,
        analysis,
        {name: tables.columns(name) for name in tables.names},
        recipe.behaviors,
        rows,
        tables.warnings,
    )
