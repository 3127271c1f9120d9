"""Write scores to tables of databases and of Spark; repeating a write changes nothing."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from leadsignal.arguments import checked
from leadsignal.config.credentials import Access, Source, open_source
from leadsignal.config.table_settings import a_table_name
from leadsignal.engine.spark import elsewhere
from leadsignal.errors import BusyError, OptionError, SourceError
from leadsignal.files.outputs import SPARK_ROWS_OF_DATE
from leadsignal.files.writing import lock_wait, whole_folder
from leadsignal.ingestion.dialect import Spark
from leadsignal.results import to_html
from leadsignal.scoring.batch import counts, make_folder, partition
from leadsignal.scoring.record import Outcome, RunRecord
from leadsignal.sources.database import ADBC_DRIVERS, RowRequest, refusal
from leadsignal.sources.parts import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from pyspark.sql import DataFrame

    from leadsignal.scoring.scores import Scores


KEY = ("account_id", "snapshot_on", "model_version")
RUN_KEY = KEY[1:]
INCOMING = "leadsignal_incoming_scores"
ROWS_AT_ONCE = 10_000
LOCK_WAIT = 60.0
"""Default number of seconds to wait for another writer; LEADSIGNAL_LOCK_WAIT overrides it."""
BUSY = ("lock timeout", "database is locked", "could not set lock on file")
"""Messages of PostgreSQL, SQLite and DuckDB if another process has the lock."""


@dataclass(frozen=True)
class ScoresWritten:
    """Number of rows written, and of rows of the same date and model that they replaced."""

    source: str
    table: str
    snapshot_on: str
    model_version: str
    rows: int
    replaced: int

    def __str__(self) -> str:
        instead = f", {self.replaced:,} replaced" if self.replaced else ""
        where = f"{self.source}: {self.table}" if self.source else self.table
        return f"{self.rows:,} scores of {self.snapshot_on} written to {where}{instead}"

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as a plain dictionary, ready for JSON."""
        return asdict(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return to_html(str(self))


@dataclass(frozen=True)
class Incoming:
    """Rows to write to a table, replacing those of the same date and model."""

    parts: tuple[str, ...]
    rows: pa.Table
    key: tuple[str, ...] = KEY

    @property
    def target(self) -> str:
        """The name of the table in SQL."""
        return ".".join(quoted(part) for part in self.parts)


@checked
def write_scores_to(
    scores: Scores,
    table: str | tuple[str, ...],
    source: Source | str,
    *,
    runs: str | tuple[str, ...] | None = None,
    record: RunRecord | None = None,
) -> ScoresWritten:
    """Write the scores to a database table, in one transaction.

    Rows with the same snapshot date and model version are replaced, so that a run may be repeated;
    other rows stay. The table is created if it does not exist. ``source`` is one of
    ``tables.project.sources``, or a URL. ``runs`` is another table for the run record, written in
    the same transaction, with the columns ``snapshot_on, model_version, outcome`` and ``record``
    (as JSON). By default, the record holds only the counts of the scores. Raises SourceError, with
    nothing written.

    >>> import leadsignal as ls, tempfile
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> model = ls.ChurnModel(estimator="logistic").fit(ls.build_panel(tables))
    >>> scores = ls.score_accounts(model, tables)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     url = f"duckdb:///{folder}/scores.duckdb"
    ...     first = write_scores_to(scores, "churn_scores", url)
    ...     again = write_scores_to(scores, "churn_scores", url)
    >>> first.replaced, again.replaced == again.rows
    (0, True)
    """
    parts = _name(table)
    access = open_source(source if isinstance(source, Source) else Source("", url=source))
    rows = _as_arrow(scores)
    incoming = [Incoming(parts, rows)]
    if runs is not None:
        incoming.append(Incoming(_name(runs), _record_row(scores, record), RUN_KEY))
        if incoming[1].parts == parts:
            named = "Give the records a table of their own"
            raise OptionError(f"table and runs are both {'.'.join(parts)!r}", named)
    write = _writer(access)
    try:
        replaced = write(access, incoming, scores.as_of_date, scores.model_version)
    except SourceError:
        raise
    # Drivers raise all kinds of errors, and any message may contain the URL with its password.
    except Exception as error:  # noqa: BLE001
        if any(said in str(error).lower() for said in BUSY):
            name = ".".join(parts)
            raise BusyError(
                f"the table {name} of source {access.name!r} is being written by another",
                "Try again later, or wait longer for it (LEADSIGNAL_LOCK_WAIT=600)",
            ) from None
        refused = refusal(access, error, RowRequest(parts), doing="written")
        said = f" ({refused.said})" if refused.said else ""
        raised = SourceError(f"{refused.problem}{said}", refused.remedy)
    else:
        day, version = scores.as_of_date.isoformat(), scores.model_version
        return ScoresWritten(access.name, ".".join(parts), day, version, rows.num_rows, replaced)
    raise raised


def _name(table: str | tuple[str, ...]) -> tuple[str, ...]:
    try:
        return a_table_name(table)
    except OptionError as error:
        raise OptionError(f"{table!r} {error.problem}", error.remedy) from None


def _writer(access: Access) -> Any:
    driver = access.driver or ADBC_DRIVERS.get(access.scheme)
    if driver == "adbc_driver_postgresql":
        return _to_postgres
    if driver is not None:
        problem = f"scores cannot be written through {driver}"
        raise SourceError(problem, "Write to PostgreSQL, DuckDB, or a SQLAlchemy URL")
    return _to_duckdb if access.scheme == "duckdb" else _to_sqlalchemy


def _as_arrow(scores: Scores) -> pa.Table:
    """Return the scores with dates as dates and missing values as NULL."""
    import pyarrow as pa

    table = pa.Table.from_pandas(scores.frame, preserve_index=False).replace_schema_metadata()

    def kind(field: pa.Field) -> pa.DataType:
        if pa.types.is_timestamp(field.type):
            return pa.date32()
        if pa.types.is_floating(field.type):
            return pa.float64()
        if pa.types.is_boolean(field.type):
            return pa.bool_()
        return pa.int64() if pa.types.is_integer(field.type) else pa.string()

    return table.cast(pa.schema([pa.field(field.name, kind(field)) for field in table.schema]))


def _record_row(scores: Scores, record: RunRecord | None) -> pa.Table:
    """Return the record of the run that made the scores, as one row."""
    import pyarrow as pa

    scored = {"snapshot_on": scores.as_of_date.isoformat(), "outcome": "scored", **counts(scores)}
    outcome: Outcome = "done in part" if scores.feeds else "done"
    text = (record or RunRecord("score")).to_json(outcome, [scored])
    row = {"snapshot_on": scores.as_of_date, "model_version": scores.model_version}
    return pa.Table.from_pylist([{**row, "outcome": outcome, "record": text}])


def _sql_types(rows: pa.Table) -> dict[str, str]:
    names = {
        "double": "double precision",
        "date32[day]": "date",
        "bool": "boolean",
        "int64": "bigint",
    }
    return {field.name: names.get(str(field.type), "text") for field in rows.schema}


def _create(one: Incoming) -> str:
    listed = [f"{quoted(name)} {kind}" for name, kind in _sql_types(one.rows).items()]
    key = ", ".join(quoted(name) for name in one.key)
    return f"CREATE TABLE IF NOT EXISTS {one.target} ({', '.join(listed)}, PRIMARY KEY ({key}))"


def _insert(target: str, incoming: str, types: dict[str, str], rows: pa.Table) -> str:
    """Return an INSERT that casts to the column types of the table."""
    names = rows.schema.names
    cast = ", ".join(f"CAST({quoted(name)} AS {types[name]})" for name in names)
    listed = ", ".join(quoted(name) for name in names)
    return f"INSERT INTO {target} ({listed}) SELECT {cast} FROM {incoming}"


def _refuse_missing(access: Access, parts: tuple[str, ...], has: Any, rows: pa.Table) -> None:
    """Raise an error if an existing table lacks columns; they are not added without being asked."""
    kinds = _sql_types(rows)
    missing = [name for name in kinds if name not in has]
    if missing:
        name = ".".join(parts)
        problem = f"the table {name} of source {access.name!r} has no column {', '.join(missing)}"
        added = ", ".join(f"ADD COLUMN {column} {kinds[column]}" for column in missing)
        raise SourceError(problem, f"ALTER TABLE {name} {added}; or write to another table")


def _to_postgres(access: Access, incoming: Sequence[Incoming], day: date, version: str) -> int:
    from leadsignal.sources.sqlalchemy_rows import POSTGRES, connect

    with connect(access, POSTGRES) as connection, connection.cursor() as cursor:
        # Limit the wait, to avoid a deadlock with a process that waits for this one.
        cursor.execute(f"SET LOCAL lock_timeout = {int(lock_wait(LOCK_WAIT) * 1000) or 1}")
        replaced = [_put_in_postgres(cursor, access, one, day, version) for one in incoming]
        connection.commit()
    return replaced[0]


def _put_in_postgres(cursor: Any, access: Access, one: Incoming, day: date, version: str) -> int:
    """Replace rows within the transaction of a cursor; return the number of replaced rows."""
    cursor.execute(_create(one))
    # Only one writer at a time; readers see the previous rows until the commit.
    cursor.execute(f"LOCK TABLE {one.target} IN SHARE ROW EXCLUSIVE MODE")
    cursor.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
        (one.target,),
    )
    types = {str(name): str(kind) for name, kind in cursor.fetchall()}
    _refuse_missing(access, one.parts, types, one.rows)
    cursor.execute(
        f"WITH gone AS (DELETE FROM {one.target} WHERE snapshot_on = CAST($1 AS date) "
        "AND model_version = $2 RETURNING 1) SELECT count(*) FROM gone",
        (day.isoformat(), version),
    )
    replaced = int(cursor.fetchall()[0][0])
    cursor.adbc_ingest(INCOMING, one.rows, mode="create", temporary=True)
    cursor.execute(_insert(one.target, f"pg_temp.{INCOMING}", types, one.rows))
    cursor.execute(f"DROP TABLE pg_temp.{INCOMING}")
    return replaced


def _to_duckdb(access: Access, incoming: Sequence[Incoming], day: date, version: str) -> int:
    import duckdb

    from leadsignal.sources.project_files import duckdb_path, refuse_others

    path = duckdb_path(access)
    if not path.parent.is_dir():
        raise SourceError(f"there is no folder {path.parent}", "Make it, or correct the url")
    if path.exists():
        refuse_others(access, path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("BEGIN TRANSACTION")
        replaced = [_put_in_duckdb(connection, access, one, day, version) for one in incoming]
        connection.execute("COMMIT")
    return replaced[0]


def _put_in_duckdb(connection: Any, access: Access, one: Incoming, day: date, version: str) -> int:
    """Replace rows within the transaction of a connection; return the number of replaced rows."""
    connection.execute(_create(one))
    described = connection.execute(f"DESCRIBE {one.target}").fetchall()
    types = {str(row[0]): str(row[1]) for row in described}
    _refuse_missing(access, one.parts, types, one.rows)
    gone = connection.execute(
        f"DELETE FROM {one.target} WHERE snapshot_on = CAST(? AS DATE) AND model_version = ?",
        [day.isoformat(), version],
    ).fetchall()
    connection.register(INCOMING, one.rows)
    connection.execute(_insert(one.target, INCOMING, types, one.rows))
    connection.unregister(INCOMING)
    return int(gone[0][0])


def _to_sqlalchemy(access: Access, incoming: Sequence[Incoming], day: date, version: str) -> int:
    from leadsignal.sources.sqlalchemy_rows import make_engine

    engine = make_engine(access, create=True)
    if engine.dialect.name == "sqlite":
        _lock_at_once(engine)
    try:
        with engine.begin() as connection:
            replaced = [
                _put_in_sqlalchemy(engine, connection, access, one, day, version)
                for one in incoming
            ]
    finally:
        engine.dispose()
    return replaced[0]


def _put_in_sqlalchemy(
    engine: Any, connection: Any, access: Access, one: Incoming, day: date, version: str
) -> int:
    """Replace rows within the transaction of a connection; return the number of replaced rows."""
    import sqlalchemy as sa

    *around, name = one.parts
    schema = ".".join(around) or None
    inspector = sa.inspect(connection)
    table = _sa_table(engine, one)
    if inspector.has_table(name, schema=schema):
        has = {column["name"] for column in inspector.get_columns(name, schema=schema)}
        _refuse_missing(access, one.parts, has, one.rows)
    else:
        table.create(connection)
    replaced = connection.execute(
        table.delete().where(table.c.snapshot_on == day, table.c.model_version == version)
    ).rowcount
    for batch in one.rows.to_batches(ROWS_AT_ONCE):
        connection.execute(table.insert(), batch.to_pylist())
    return int(replaced)


def _lock_at_once(engine: Any) -> None:
    """Make SQLite lock at BEGIN; by default, Python's driver begins only after CREATE TABLE."""
    from sqlalchemy import event

    event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))


def _sa_table(engine: Any, one: Incoming) -> Any:
    import sqlalchemy as sa

    quote = engine.dialect.identifier_preparer.quote_identifier
    *around, name = one.parts
    schema = sa.quoted_name(".".join(quote(part) for part in around), False) if around else None
    kinds: dict[str, Any] = {
        "double": sa.Double(),
        "date32[day]": sa.Date(),
        "bool": sa.Boolean(),
        "int64": sa.BigInteger(),
    }
    columns = [
        sa.Column(
            field.name,
            # Some databases do not accept unbounded text as a key.
            sa.String(255) if field.name in KEY[::2] else kinds.get(str(field.type), sa.Text()),
            primary_key=field.name in one.key,
            autoincrement=False,
        )
        for field in one.rows.schema
    ]
    return sa.Table(sa.quoted_name(name, True), sa.MetaData(), *columns, schema=schema)


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
    if runs is not None and str(runs) == str(to):
        problem = f"to and runs are both {str(to)!r}"
        raise OptionError(problem, "Give the records a place of their own")
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


def _overwrite(rows: DataFrame, to: str | Path, day: date) -> int:
    """Replace the rows of a date; return the number of replaced rows."""
    is_folder = isinstance(to, Path) or "/" in to or os.sep in to
    if not is_folder:
        return _overwrite_in_table(rows, str(to), day)
    plain = rows.drop(DAY)
    if "://" in str(to) or elsewhere(rows.sparkSession):
        place = f"{str(to).rstrip('/')}/{DAY}={day}"
        plain.write.mode("overwrite").parquet(place)
        return 0
    return _overwrite_here(plain, Path(to), day)


def _overwrite_here(rows: DataFrame, folder: Path, day: date) -> int:
    """Replace the folder of a date on a local disk, atomically."""
    make_folder(folder)
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
