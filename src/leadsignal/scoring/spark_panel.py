"""The panel on Apache Spark: the same rows, computed there when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.arguments import checked
from leadsignal.config.success import SuccessAnalysis
from leadsignal.durations import Duration, days_in
from leadsignal.engine.spark import Rows, TablesInSpark, panel_rows, spark_session
from leadsignal.indicators import Indicator
from leadsignal.panel import Panel
from leadsignal.results import to_html
from leadsignal.scoring.hindsight import HINDSIGHT, in_hindsight
from leadsignal.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from leadsignal.config.project import Behaviors, Project
    from leadsignal.model.churn_model import ChurnModel

ROWS_AT_ONCE = 50_000
"""Number of rows that are scored at once: enough for speed, few enough for a small executor."""


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

    def __enter__(self) -> SparkPanel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what Spark holds for the panel; its rows cannot be asked for any more."""
        self._rows.close()

    def current(self) -> DataFrame:
        """Return the rows on ``as_of_date``: accounts active then, notice given or not."""
        from pyspark.sql import functions as f

        return self.frame.where(f.col("snapshot_on") == f.lit(self.as_of_date))

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
        mode = "overwrite" if overwrite else "errorifexists"
        ordered = self.frame.sortWithinPartitions("account_id", "snapshot_on")
        ordered.write.mode(mode).parquet(str(path))

    def score(self, model: ChurnModel) -> DataFrame:
        """Return what ``model`` expects of the accounts active on ``as_of_date``, as Spark rows.

        Columns: account_id, snapshot_on, risk, still_active_30d … to the horizon,
        expected_arr_loss, clipped, model_version, hindsight; accounts that have given notice are
        left out. The rows are scored in Arrow batches on Spark's workers: leadsignal must be
        installed there.
        """
        return forecasts(self.current().where("NOT notice_given"), model)

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


def forecasts(rows: DataFrame, model: ChurnModel) -> DataFrame:
    """Return what ``model`` expects of panel rows in Spark, scored in Arrow batches."""
    sent = rows.sparkSession.sparkContext.broadcast(model)
    needed = ["account_id", "snapshot_on", "arr", *model.features_.names]

    def scored(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from _forecast(batch, sent.value)

    steps = ", ".join(f"still_active_{days}d DOUBLE" for days in model.hazards_.ends)
    schema = (
        f"account_id STRING, snapshot_on DATE, risk DOUBLE, {steps}, expected_arr_loss DOUBLE,"
        " clipped BIGINT, model_version STRING, hindsight BOOLEAN"
    )
    missing = [name for name in needed if name not in rows.columns]
    return rows.select(*[n for n in needed if n not in missing]).mapInArrow(scored, schema)


def _forecast(batch: pa.RecordBatch, model: ChurnModel) -> Iterator[pa.RecordBatch]:
    import numpy as np
    import pyarrow as pa

    for begin in range(0, batch.num_rows, ROWS_AT_ONCE):
        rows = batch.slice(begin, ROWS_AT_ONCE).to_pandas(
            date_as_object=False, coerce_temporal_nanoseconds=True
        )
        forecast = model.predict(rows).to_frame()
        forecast["expected_arr_loss"] = forecast["risk"] * rows["arr"].to_numpy(
            dtype=float, na_value=np.nan
        )
        forecast["clipped"] = model.features_.clipped(rows).sum(axis=1)
        forecast["model_version"] = model.version_
        forecast[HINDSIGHT] = in_hindsight(forecast["snapshot_on"], model.trained_through_)
        forecast["snapshot_on"] = forecast["snapshot_on"].dt.date
        yield pa.RecordBatch.from_pandas(forecast, preserve_index=False)
