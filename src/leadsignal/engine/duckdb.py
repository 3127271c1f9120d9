"""Run the steps in DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from leadsignal.engine.adopted_in_memory import adopted_table
from leadsignal.engine.build import Recipe
from leadsignal.engine.episodes import Adopted
from leadsignal.engine.grid import Step
from leadsignal.sources.parts import literal

if TYPE_CHECKING:
    import duckdb


@contextmanager
def temporary_tables(
    connection: duckdb.DuckDBPyConnection,
    steps: Sequence[Step],
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Create a temporary table per step, on a separate cursor; drop them on exit."""
    cursor = connection.cursor()
    unused = {name for s in steps if isinstance(s, Adopted) for name in s.steps_before}
    try:
        for number, step in enumerate(steps):
            if progress:
                progress(number, len(steps))
            if step.name in unused:
                continue
            if isinstance(step, Adopted):
                cursor.register(step.name, adopted_table(cursor, step))
                continue
            order = " ORDER BY account_no" if step.by_account else ""
            cursor.execute(f"CREATE TEMP TABLE {step.name} AS {step.sql}{order}").fetchall()
        if progress:
            progress(len(steps), len(steps))
        yield cursor
    finally:
        cursor.close()


Query = Callable[[str], list[tuple[Any, ...]]]


def portions_of(recipe: Recipe, count: int, query: Query) -> list[Recipe]:
    """Return the recipes of ``count`` batches of accounts, in the order of account_id.

    A row of the panel depends only on its own account, so that each batch is a small panel, and the
    concatenated batches are the whole panel.
    """
    if count <= 1:
        return [recipe]
    source = recipe.accounts
    ids = f"SELECT DISTINCT account_id FROM ({source.sql}) AS accounts"
    tiles = f"SELECT account_id, ntile({count}) OVER (ORDER BY account_id) AS tile FROM ({ids})"
    firsts = f"SELECT min(account_id) FROM ({tiles}) GROUP BY tile ORDER BY tile"
    begins = [literal(first) for (first,) in query(firsts)]
    if not begins:
        return [recipe]
    within = [
        f"account_id >= {begin}" + (f" AND account_id < {end}" if end else "")
        for begin, end in zip(begins, [*begins[1:], ""], strict=True)
    ]
    return [
        replace(recipe, accounts=replace(source, sql=f"SELECT * FROM ({source.sql}) WHERE {one}"))
        for one in within
    ]
