"""Two warehouses that run here, with the rows of tables in them: PostgreSQL, and ClickHouse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from leadsignal.tables import Tables
from postgres_server import running_server, why_not


def missing(dialect: str) -> str:
    """Return why a warehouse cannot be run here, or nothing."""
    needed = {"postgres": "adbc_driver_postgresql", "clickhouse": "chdb"}[dialect]
    for package in ("sqlglot", needed):
        if find_spec(package) is None:
            return f"{package} is not installed"
    return why_not() if dialect == "postgres" else ""


@contextmanager
def connected(dialect: str) -> Iterator[Any]:
    """A connection to a warehouse without tables, which goes at the end."""
    if dialect == "clickhouse":
        from chdb import dbapi

        connection = dbapi.connect()
        try:
            yield connection
        finally:
            connection.close()
        return
    from adbc_driver_postgresql import dbapi as postgres

    with running_server() as server, postgres.connect(server.full_url) as connection:
        yield connection


def put(connection: Any, dialect: str, tables: Tables, folder: Path) -> dict[str, str]:
    """Put the rows that were read into the warehouse, typed; return the tables' names there."""
    names = {name: f"crm_{name}" for name in tables.names}
    for name, place in names.items():
        listed = ", ".join(f'"{column}"' for column in tables.columns(name))
        rows = f"SELECT {listed} FROM {name}"
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {place}")
            if dialect == "postgres":
                arrow = tables.connection.cursor().sql(rows).to_arrow_table()
                cursor.adbc_ingest(place, arrow, mode="create")
                connection.commit()
                continue
            file = folder / f"{name}.parquet"
            tables.connection.cursor().execute(
                f"COPY ({rows}) TO '{file}' (FORMAT parquet)"
            ).fetchall()
            cursor.execute(
                f"CREATE TABLE {place} ENGINE = MergeTree ORDER BY tuple()"
                f" AS SELECT * FROM file('{file}', Parquet)"
            )
    return names
