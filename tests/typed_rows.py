"""Tables as typed columns in three databases, from the rows of a random case or a folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from leadsignal.config.credentials import Source
from leadsignal.config.project import Project
from leadsignal.config.table_settings import TableSource
from leadsignal.schema import BY_NAME
from leadsignal.sources.parts import literal, quoted

SQL_TYPES = {
    "id": "text",
    "text": "text",
    "day": "date",
    "moment": "timestamp",
    "number": "double precision",
    "decimal": "numeric(24,6)",
    "integer": "integer",
    "boolean": "boolean",
}
Rows = Sequence[Mapping[str, Any]]


def _type(table: str, column: str) -> str:
    known = BY_NAME[table].by_column.get(column)
    return SQL_TYPES[known.kind] if known else "text"


def as_literal(value: Any) -> str:
    """Return a value as SQL, exactly."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | Decimal):
        return str(value)
    if isinstance(value, float):
        return f"CAST({literal(repr(value))} AS double precision)"
    return literal(str(value))


def create(table: str, columns: Sequence[str], target: str) -> str:
    listed = ", ".join(f"{quoted(name)} {_type(table, name)}" for name in columns)
    return f"CREATE TABLE {target} ({listed})"


def insert(columns: Sequence[str], rows: Rows, target: str) -> list[str]:
    """Return INSERTs of a few hundred rows each."""
    told = ["(" + ", ".join(as_literal(row[name]) for name in columns) + ")" for row in rows]
    return [
        f"INSERT INTO {target} VALUES {', '.join(told[first : first + 500])}"
        for first in range(0, len(told), 500)
    ]


def fill_duckdb(path: Path, tables: Mapping[str, Rows], columns: Mapping[str, Any]) -> None:
    with duckdb.connect(str(path)) as connection:
        for name, listed in columns.items():
            for statement in [create(name, listed, name), *insert(listed, tables[name], name)]:
                connection.execute(statement).fetchall()


def fill_postgres(
    server: Any, schema: str, tables: Mapping[str, Rows], columns: Mapping[str, Any]
) -> None:
    statements = [f"CREATE SCHEMA {quoted(schema)}"]
    for name, listed in columns.items():
        target = f"{quoted(schema)}.{name}"
        statements += [create(name, listed, target), *insert(listed, tables[name], target)]
    server.run(*statements)


def fill_sqlite(path: Path, tables: Mapping[str, Rows], columns: Mapping[str, Any]) -> None:
    """SQLite has no dates: they are texts, and decimals are doubles."""

    def cell(value: Any) -> Any:
        if isinstance(value, datetime | date):
            return value.isoformat()
        return float(value) if isinstance(value, Decimal) else value

    connection = sqlite3.connect(path)
    for name, listed in columns.items():
        connection.execute(create(name, listed, name))
        marks = ", ".join("?" * len(listed))
        cells = [[cell(row[column]) for column in listed] for row in tables[name]]
        connection.executemany(f"INSERT INTO {name} VALUES ({marks})", cells)
    connection.commit()
    connection.close()


def in_source(project: Project, source: Source, names: Sequence[str], *schema: str) -> Project:
    """Return a project whose tables lie in a database, each under its own name."""
    tables = {
        name: replace(
            project.tables.get(name, TableSource()), source=source.name, table=(*schema, name)
        )
        for name in names
    }
    return replace(project, tables=tables, sources={source.name: source})


def ingest(server: Any, name: str, table: pa.Table) -> None:
    """Write an Arrow table to PostgreSQL."""
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(server.full_url) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(name, table, mode="create")
        connection.commit()
