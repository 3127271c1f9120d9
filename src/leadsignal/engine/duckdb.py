"""Run the steps on DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from leadsignal.engine.grid import Step

if TYPE_CHECKING:
    import duckdb


@contextmanager
def temporary_tables(
    connection: duckdb.DuckDBPyConnection,
    steps: Sequence[Step],
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Create a temporary table per step on a cursor of its own; drop them at exit."""
    cursor = connection.cursor()
    try:
        for number, step in enumerate(steps):
            if progress:
                progress(number, len(steps))
            cursor.execute(f"CREATE TEMP TABLE {step.name} AS {step.sql}").fetchall()
        if progress:
            progress(len(steps), len(steps))
        yield cursor
    finally:
        cursor.close()
