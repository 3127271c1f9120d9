"""Scores kept by date on Apache Spark: in a partitioned table, or in a folder of Parquet files."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from leadsignal.arguments import checked
from leadsignal.engine.spark import elsewhere
from leadsignal.errors import OptionError
from leadsignal.files.outputs import SCORES_BY_DATE, SPARK_ROWS_OF_DATE, check_folder
from leadsignal.files.writing import whole_folder
from leadsignal.ingestion.dialect import Spark
from leadsignal.scoring.batch import partition
from leadsignal.scoring.record import RunRecord
from leadsignal.scoring.scores_table import ScoresWritten

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

DAY = "snapshot_on"
"""The column by which tables and folders are partitioned."""

READ = ("account_id", DAY, "risk", "alert", "clipped", "model_version")
"""Columns of scores that are read before they are written."""


@checked
def save_scores(
    scores: DataFrame,
    to: str | Path,
    *,
    runs: str | Path | None = None,
    record: RunRecord | None = None,
) -> ScoresWritten:
    """Write the scores of one date to a Spark table or a folder, in place of those of that date.

    Other dates are not touched, so that a run may be repeated: one copy is left. A table that is
    not there is made, partitioned by ``snapshot_on``. A folder has a folder for each date, named
    ``snapshot_on=2025-12-31``, which pandas, DuckDB and Spark read as a column. On the disk of this
    machine the folder of a date is replaced whole or not at all. Elsewhere, and in a table, Spark
    replaces it: at once in a format with transactions, such as Delta; of Parquet, the date is
    missing until the new rows are there.

    Parameters
    ----------
    scores : pyspark.sql.DataFrame
        What `SparkPanel.score` returned.
    to : str or Path
        The name of a table (``"crm.churn_scores"``), or a folder: a Path, or text with a slash.
    runs : str or Path, optional
        Another table or folder, for the record of the run: one row a date, with the columns
        ``model_version``, ``record`` (JSON) and ``snapshot_on``. It is written after the scores, so
        that the scores of a date with a record are whole.
    record : RunRecord, optional
        What the run has noted; by default only what the scores say.

    Returns
    -------
    ScoresWritten
        The number of rows, and of those that they replaced.

    Raises
    ------
    OptionError
        If there are no rows or those of several dates, if the table lacks columns or is not
        partitioned by ``snapshot_on``, or if the folder holds something else. Nothing is written.
    """
    _refuse_other_frame(scores)
    counts = _counts(scores)
    day, version = counts.pop(DAY), counts.pop("model_version")
    _refuse_same(to, runs)
    replaced = _overwrite(scores, to, day)
    if runs is not None:
        scored = {DAY: day.isoformat(), "outcome": "scored", **counts}
        record = record or RunRecord("score")
        text = record.to_json(record.outcome, [scored])
        kinds = f"model_version STRING, record STRING, {DAY} DATE"
        row = scores.sparkSession.createDataFrame([(version, text, day)], kinds)
        _overwrite(row, runs, day)
    return ScoresWritten("", str(to), day.isoformat(), version, counts["accounts"], replaced)


def _refuse_other_frame(scores: DataFrame) -> None:
    """Refuse what is no frame of Spark, or none of scores."""
    remedy = (
        "Give what SparkPanel.score returned; Scores in memory go to score_into, write_scores_to"
    )
    if not type(scores).__module__.startswith("pyspark."):
        raise OptionError(f"scores is a {type(scores).__name__}, not a Spark DataFrame", remedy)
    missing = [name for name in READ if name not in scores.columns]
    if missing:
        raise OptionError(f"scores has no column {', '.join(missing)}", remedy)


def _counts(scores: DataFrame) -> dict[str, Any]:
    """Return the one date of scores, their model's version, and the numbers of a run record."""
    sums = {
        "accounts": "count(*)",
        "alerts": "count_if(alert)",
        "expected_churns": "sum(risk)",
        "accounts_clipped": "count_if(clipped > 0)",
    }
    if "held_out" in scores.columns:
        sums["held_out"] = "count_if(held_out)"
    listed = [f"{sql} AS {name}" for name, sql in sums.items()]
    first = [f"min({DAY}) AS {DAY}", f"max({DAY}) AS last", "min(model_version) AS model_version"]
    (row,) = scores.selectExpr(*first, *listed).collect()
    counts: dict[str, Any] = row.asDict()
    last = counts.pop("last")
    if last is None or last != counts[DAY]:
        what = (
            "there are no scores" if last is None else f"the scores are of {counts[DAY]} to {last}"
        )
        raise OptionError(what, "Give the scores of one date, as SparkPanel.score returns them")
    return counts


def _is_folder(to: str | Path) -> bool:
    return isinstance(to, Path) or "/" in to or os.sep in to


def _refuse_same(to: str | Path, runs: str | Path | None) -> None:
    if runs is not None and str(runs) == str(to):
        raise OptionError(
            f"to and runs are both {str(to)!r}", "Give the records a place of their own"
        )


def _overwrite(rows: DataFrame, to: str | Path, day: date) -> int:
    """Replace the rows of a date, and return how many there were."""
    if not _is_folder(to):
        return _overwrite_in_table(rows, str(to), day)
    plain = rows.drop(DAY)
    if "://" in str(to) or elsewhere(rows.sparkSession):
        place = f"{str(to).rstrip('/')}/{DAY}={day}"
        plain.write.mode("overwrite").parquet(place)
        return 0
    return _overwrite_here(plain, Path(to), day)


def _overwrite_here(rows: DataFrame, folder: Path, day: date) -> int:
    """Replace the folder of a date on the disk of this machine, whole or not at all."""
    if not check_folder(folder, SCORES_BY_DATE).is_dir():
        with whole_folder(folder, SCORES_BY_DATE):
            pass
    place = partition(folder, day)
    before = rows.sparkSession.read.parquet(str(place.resolve())).count() if place.exists() else 0
    with whole_folder(place, SPARK_ROWS_OF_DATE) as part:
        rows.write.mode("append").parquet(str(part.resolve()))
    return int(before)


def _overwrite_in_table(rows: DataFrame, table: str, day: date) -> int:
    """Replace the partition of a date in a table, which is made where there is none."""
    session, dialect = rows.sparkSession, Spark()
    named = ".".join(map(dialect.quoted, table.split(".")))
    if not session.catalog.tableExists(table):
        rows.write.partitionBy(DAY).saveAsTable(table)
        return 0
    columns = [c.name for c in session.catalog.listColumns(table) if c.name != DAY]
    _refuse_other_table(table, rows, columns, session.catalog.listColumns(table))
    before = session.table(table).where(f"{DAY} = DATE '{day}'").count()
    listed = [
        dialect.quoted(c) if c in rows.columns else f"NULL AS {dialect.quoted(c)}" for c in columns
    ]
    view = f"leadsignal_{uuid4().hex}"
    rows.selectExpr(*listed).createOrReplaceTempView(view)
    try:
        session.sql(
            f"INSERT OVERWRITE TABLE {named} PARTITION ({DAY} = DATE '{day}') SELECT * FROM {view}"
        )
    finally:
        session.catalog.dropTempView(view)
    return int(before)


def _refuse_other_table(table: str, rows: DataFrame, has: list[str], listed: list[Any]) -> None:
    """Refuse a table that lacks columns, or is not partitioned by date."""
    missing = [name for name in rows.columns if name not in (*has, DAY)]
    if missing:
        kinds = dict(rows.dtypes)
        added = ", ".join(f"{name} {kinds[name]}" for name in missing)
        raise OptionError(
            f"the table {table} has no column {', '.join(missing)}",
            f"ALTER TABLE {table} ADD COLUMNS ({added}); or write to another table",
        )
    if [column.name for column in listed if column.isPartition] != [DAY]:
        raise OptionError(
            f"the table {table} is not partitioned by {DAY} alone",
            f"Make it with PARTITIONED BY ({DAY}), or write to another table",
        )
