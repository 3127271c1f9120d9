"""Two warehouses that run here, with the rows of tables in them: PostgreSQL, and ClickHouse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from leadsignal.tables import Tables
from postgres_server import running_server, why_not


def missing(dialect: str) -> str:
    """Return why a warehouse cannot be run here, or nothing."""
    needed = {"postgres": "adbc_driver_postgresql", "clickhouse": "chdb"}[dialect]
    for package in ("sqlglot", needed):
        if find_spec(package) is None:
            return f"{package} is not installed: pip install -r requirements-ci.txt"
    return why_not() if dialect == "postgres" else ""


@contextmanager
def connected(dialect: str) -> Iterator[Any]:
    """A connection to a warehouse without tables, which goes at the end."""
    if dialect == "clickhouse":
        from chdb import dbapi

        connect: Any = dbapi.connect  # Its package says that it has types; this has none.
        connection = connect()
        try:
            with connection.cursor() as cursor:
                # The rows are few: to compile expressions takes longer than to run them.
                for part in ("expressions", "aggregate_expressions", "sort_description"):
                    cursor.execute(f"SET compile_{part} = 0")
            yield connection
        finally:
            connection.close()
        return
    from adbc_driver_postgresql import dbapi as postgres

    with running_server() as server, postgres.connect(server.full_url) as connection:
        yield connection


def put(connection: Any, dialect: str, tables: Tables, folder: Path) -> dict[str, str]:
    """Put the rows of tables that were read into the warehouse; return their names there."""
    cursor = tables.connection.cursor()
    rows = {}
    for name in tables.names:
        listed = ", ".join(f'"{column}"' for column in tables.columns(name))
        rows[name] = cursor.sql(f"SELECT {listed} FROM {name}").to_arrow_table()
    return _put(connection, dialect, rows, folder)


def rows_of(
    connection: Any, dialect: str, frames: Mapping[str, pd.DataFrame], folder: Path
) -> dict[str, str]:
    """Put frames into the warehouse, their dates as dates; return their names there."""
    rows = {}
    for name, frame in frames.items():
        days = frame.filter(regex="_(on|at)$").columns
        typed = frame.assign(
            **{day: pd.to_datetime(frame[day]).astype("datetime64[s]") for day in days}
        )
        table = pa.Table.from_pandas(typed, preserve_index=False)
        for day in days:
            table = table.set_column(
                table.schema.get_field_index(day), day, table[day].cast(pa.date32())
            )
        rows[name] = table
    return _put(connection, dialect, rows, folder)


def _put(
    connection: Any, dialect: str, rows: Mapping[str, pa.Table], folder: Path
) -> dict[str, str]:
    names = {name: f"crm_{name}" for name in rows}
    for name, place in names.items():
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {place}")
            if dialect == "postgres":
                cursor.adbc_ingest(place, rows[name], mode="create")
                connection.commit()
                continue
            file = folder / f"{name}.parquet"
            pq.write_table(rows[name], file)
            cursor.execute(
                f"CREATE TABLE {place} ENGINE = MergeTree ORDER BY tuple()"
                f" AS SELECT * FROM file('{file}', Parquet)"
            )
    return names
