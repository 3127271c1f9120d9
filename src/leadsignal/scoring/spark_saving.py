"""Scores stored by date on Apache Spark: in a partitioned table, or a folder of Parquet files."""

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
"""Column by which tables and folders are partitioned."""

READ = ("account_id", DAY, "risk", "alert", "clipped", "model_version")
"""Columns of scores that are read before writing."""


@checked
def save_scores(
    scores: DataFrame,
    to: str | Path,
    *,
    runs: str | Path | None = None,
    record: RunRecord | None = None,
) -> ScoresWritten:
    """Write the scores of one date to a Spark table or a folder, replacing those of that date.

    Other dates stay unchanged, so that a run may be repeated. A table that does not exist is
    created, partitioned by ``snapshot_on``. A folder has a subfolder for each date, such as
    ``snapshot_on=2025-12-31``, which pandas, DuckDB and Spark read as a column. On a local disk,
    the subfolder of a date is replaced atomically. Elsewhere, and in a table, Spark replaces it:
    atomically in a transactional format such as Delta; in Parquet, the date is missing until the
    new rows are written.

    Parameters
    ----------
    scores : pyspark.sql.DataFrame
        The result of `SparkPanel.score`.
    to : str or Path
        The name of a table (``"crm.churn_scores"``), or a folder: a Path, or a string with a slash.
    runs : str or Path, optional
        Another table or folder for the run record: one row per date, with the columns
        ``model_version``, ``record`` (JSON) and ``snapshot_on``. It is written after the scores, so
        that a date with a record has complete scores.
    record : RunRecord, optional
        The run record. Default: only the counts of the scores.

    Returns
    -------
    ScoresWritten
        The number of rows written, and of rows replaced.

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
    """Raise an error if the argument is not a Spark DataFrame of scores."""
    remedy = (
        "Give what SparkPanel.score returned; Scores in memory go to score_into, write_scores_to"
    )
    if not type(scores).__module__.startswith("pyspark."):
        raise OptionError(f"scores is a {type(scores).__name__}, not a Spark DataFrame", remedy)
    missing = [name for name in READ if name not in scores.columns]
    if missing:
        raise OptionError(f"scores has no column {', '.join(missing)}", remedy)


def _counts(scores: DataFrame) -> dict[str, Any]:
    """Return the date of the scores, the version of the model, and the counts of a run record."""
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
    """Replace the rows of a date; return the number of replaced rows."""
    if not _is_folder(to):
        return _overwrite_in_table(rows, str(to), day)
    plain = rows.drop(DAY)
    if "://" in str(to) or elsewhere(rows.sparkSession):
        place = f"{str(to).rstrip('/')}/{DAY}={day}"
        plain.write.mode("overwrite").parquet(place)
        return 0
    return _overwrite_here(plain, Path(to), day)


def _overwrite_here(rows: DataFrame, folder: Path, day: date) -> int:
    """Replace the folder of a date on a local disk, atomically."""
    if not check_folder(folder, SCORES_BY_DATE).is_dir():
        with whole_folder(folder, SCORES_BY_DATE):
            pass
    place = partition(folder, day)
    before = rows.sparkSession.read.parquet(str(place.resolve())).count() if place.exists() else 0
    with whole_folder(place, SPARK_ROWS_OF_DATE) as part:
        rows.write.mode("append").parquet(str(part.resolve()))
    return int(before)


def _overwrite_in_table(rows: DataFrame, table: str, day: date) -> int:
    """Replace the partition of a date in a table, creating the table if it does not exist."""
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
    """Raise an error if a table lacks columns, or is not partitioned by date."""
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
