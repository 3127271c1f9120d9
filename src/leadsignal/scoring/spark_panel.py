"""The panel on Apache Spark: the same rows, computed there when they are asked for."""

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
from leadsignal.indicators import Indicator
from leadsignal.model.persistence.recipe import refuse_other_analysis
from leadsignal.panel import Panel
from leadsignal.results import to_html
from leadsignal.scoring.spark_scores import RowScoring, forecasts, sent_model, whole_scores
from leadsignal.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame, SparkSession

    from leadsignal.config.project import Behaviors, Project
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.stats.estimates import Estimate


@dataclass(frozen=True, repr=False, eq=False)
class SparkPanel:
    """A panel whose rows Spark computes: one row an account and snapshot, in no order.

    ``frame`` is a Spark DataFrame with the columns of ``Panel.frame``. It is computed when rows
    are requested; ``close`` frees the memory and disk space that this takes.
    ``columns`` maps the tables behind it to their columns that were read; ``behaviors`` are those
    that have indicators of their own.
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
    _kept: list[DataFrame] = field(default_factory=list)

    def __enter__(self) -> SparkPanel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what Spark holds for the panel; its rows cannot be asked for any more."""
        while self._kept:
            self._kept.pop().unpersist()
        self._rows.close()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            refuse_name(self, name, Panel)

    def current(self) -> DataFrame:
        """Return the rows on ``as_of_date``: accounts active then, notice given or not."""
        return self.frame.where(f"snapshot_on = DATE '{self.as_of_date}'")

    def collect(self) -> Panel:
        """Compute the rows and return them as an ordinary panel, which has to fit into memory.

        Spark itself refuses more than ``spark.driver.maxResultSize``.
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

        Raises pyspark's AnalysisException where the folder is there and not to be replaced.
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
        """Score the accounts active on ``as_of_date`` that have not given notice, as Spark rows.

        The cells are those of `score_accounts`: risks, alerts, reasons, next steps, and the names
        of the accounts. The column ``rank`` gives the order of the rows, 1 for the highest
        risk. Rows are forecast in Arrow batches on Spark's workers, where leadsignal must be
        installed, and kept until `close`. Only the rows that reasons are worked out from, at most
        25,000, come to this machine.

        Three things of `score_accounts` are not done, since they read more than the rows of one
        day: late feeds are not looked for (`monitor_scores` finds them in tables in
        memory); effects of processes are shown only if ``effects`` has them;
        and no warning says that far more or fewer churns are expected than came before: compare
        the sum of ``risk`` with the churns of the last horizon.

        Parameters
        ----------
        model : ChurnModel
            A fitted model with the success analysis of the panel.
        capacity : float, optional
            Share of accounts to alert (default: the project's).
        holdout : float, optional
            Share of customers, chosen at random, not to be contacted (default: the project's).
        effects : mapping, optional
            Effects of processes that are shown with the next step (default: none).

        Returns
        -------
        pyspark.sql.DataFrame
            To be written as a table: ``scores.write.saveAsTable("scores")``.

        Raises
        ------
        ModelError
            If the panel lacks what the model reads, or no account is active.
        OptionError
            If the panel has another success analysis than the model.
        """
        refuse_other_analysis(model.analysis_, self.analysis, "the panel")
        model.features_.refuse_missing(self.frame.columns)
        share = self.project.holdout if holdout is None else holdout
        processes = self.analysis.processes
        seed = self.project.holdout_seed
        scoring = RowScoring(sent_model(model), processes, effects or {}, (share or 0, seed))
        rows = self.current().where("NOT notice_given")
        scored = forecasts(rows, model, scoring).persist()
        self._kept.append(scored)
        declared = {indicator.name: indicator for indicator in self.indicators}
        capacity = self.project.capacity if capacity is None else capacity
        return whole_scores(rows, scored, model, declared, capacity, self._names(), bool(share))

    def _names(self) -> DataFrame | None:
        """Return what accounts are called, as far as the tables say."""
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
        """Return what is known of the panel before its rows are, ready for JSON."""
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
    """Return the panel that `build_panel` gives, as rows that Spark computes.

    ``tables`` are checked tables, or those of `read_spark_tables`, whose rows are in Spark already.
    ``only_as_of`` leaves out all rows but those on the as_of date, as `build_snapshot` does.
    ``session`` defaults to the active one, else to a new one on this machine; ``staging`` is the
    folder through which checked tables reach Spark's machines (on this one, a temporary one).
    Raises OptionError where pyspark is missing, or a cluster has no ``staging``.
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
    )
