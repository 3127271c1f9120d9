"""Extend an earlier panel: compute only rows that may differ, and reuse all others.

A row depends on what was known on its day. It is recomputed if that may have changed: for all
accounts, from the last snapshot before the earlier as_of; for accounts with changed past records,
from the day of the change; for accounts whose own row changed or whose end was corrected, from
the start. Outcomes depend on what came later, and are recomputed for every row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from leadsignal.config.success import SuccessAnalysis
from leadsignal.engine.build import Recipe, panel_steps
from leadsignal.engine.duckdb import temporary_tables
from leadsignal.engine.frames import PanelRows
from leadsignal.engine.grid import Grid, grid_step, outcome_columns, spine_steps
from leadsignal.engine.in_memory import CELLS_AT_ONCE, Rows, measured_rows
from leadsignal.engine.past import (
    Past,
    day_of,
    differing,
    group_of_account,
    settings_of,
    settings_of_tables,
)
from leadsignal.engine.recipe import panel_recipe
from leadsignal.errors import OptionError
from leadsignal.files.outputs import shown
from leadsignal.progress import Progress
from leadsignal.tables import Tables

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa

Ints = NDArray[np.int64]
ANEW = "Build the panel anew, without since"
PAST = b"leadsignal past"
"""Key under which the Parquet file of a panel stores its `Past`."""
AFTER = ("stop", "event", "cause", "days_observed", "ended_within", "known_within", "end_cause")
"""Columns that depend on what came after the snapshot."""


class EarlierRows(Protocol):
    """The rows of an earlier panel, in memory or in a file."""

    def keys(self) -> pa.Table:
        """Return ``account_id`` and ``snapshot_on`` of all rows."""

    def rows(self, first: int, end: int) -> pa.Table:
        """Return the rows from ``first`` to before ``end``."""


@dataclass(frozen=True)
class FrameRows:
    """Rows of a panel in memory."""

    frame: pd.DataFrame

    def keys(self) -> pa.Table:
        """Return ``account_id`` and ``snapshot_on`` of all rows."""
        import pyarrow as pa

        return pa.Table.from_pandas(self.frame[["account_id", "snapshot_on"]], preserve_index=False)

    def rows(self, first: int, end: int) -> pa.Table:
        """Return the rows from ``first`` to before ``end``."""
        import pyarrow as pa

        return pa.Table.from_pandas(self.frame.iloc[first:end], preserve_index=False)


@dataclass(frozen=True)
class FileRows:
    """Rows of a panel written by `write_panel`; ``past`` is its `Past`."""

    path: Path
    past: Past
    begins: Ints

    @classmethod
    def of(cls, path: str | Path) -> Self:
        """Open a file; raises OptionError if it holds no panel that can be extended."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            found = pq.read_metadata(path)
        except (OSError, pa.ArrowException) as error:
            there = not isinstance(error, FileNotFoundError)
            other = getattr(error, "strerror", None) or "this is no Parquet file"
            said = other if there else "no such file"
            raise OptionError(
                f"{shown(path)}: {said}", "Name a panel that write_panel or leadsignal panel wrote"
            ) from None
        text = (found.metadata or {}).get(PAST)
        if text is None:
            raise OptionError(
                f"{shown(path)} does not say what its rows were made from",
                "Name a panel that write_panel or leadsignal panel wrote, with the engine duckdb",
            )
        counts = [found.row_group(number).num_rows for number in range(found.num_row_groups)]
        return cls(Path(path), Past.from_text(text.decode()), np.cumsum([0, *counts]))

    def keys(self) -> pa.Table:
        """Return ``account_id`` and ``snapshot_on`` of all rows."""
        import pyarrow.parquet as pq

        return pq.ParquetFile(self.path).read(["account_id", "snapshot_on"])

    def rows(self, first: int, end: int) -> pa.Table:
        """Return the rows from ``first`` to before ``end``."""
        import pyarrow.parquet as pq

        groups = range(
            int(np.searchsorted(self.begins, first, "right")) - 1,
            int(np.searchsorted(self.begins, end, "left")),
        )
        read = pq.ParquetFile(self.path).read_row_groups(list(groups))
        return read.slice(first - self.begins[groups[0]], end - first)


def recipe_since(past: Past, recipe: Recipe, tables: Tables, analysis: SuccessAnalysis) -> Recipe:
    """Return the recipe of the rows that are new or may differ from an earlier panel.

    Raises OptionError if all rows may differ, because of other settings or tables of an earlier
    day.
    """
    then = day_of(past.as_of)
    if recipe.grid.as_of < past.as_of:
        raise OptionError(
            f"the earlier panel is of {then}, after as_of {tables.as_of_date}",
            "Give tables of that day or later",
        )
    # Compare using the current choice of behaviours, as counting them again takes time.
    before = tables.as_of(then).with_behaviors(recipe.behaviors)
    read = panel_recipe(before, analysis, recipe.grid.every, before.history)
    now = {**settings_of(recipe), **settings_of_tables(read)}
    if differences := list(differing(past.settings, now)):
        kept = any(one.startswith("behaviours with") for one in differences)
        fixed = "; [behaviors] keep of leadsignal.toml fixes which behaviours have indicators"
        raise OptionError(
            f"the earlier panel cannot be extended, since these differ: {'; '.join(differences)}",
            ANEW + fixed * kept,
        )
    first = _first_day(past, Past.of(before, read, past.groups), recipe, read)
    return replace(recipe, grid=replace(recipe.grid, first=first))


def _first_day(past: Past, now: Past, recipe: Recipe, before: Recipe) -> str:
    """Return SQL for the first day from which an account's rows may differ."""
    grid = recipe.grid
    since = grid.last_on_grid(_all_the_same_until(past, recipe))
    accounts, events, days = (
        sorted(one for one in {**a, **b} if a.get(one) != b.get(one))
        for a, b in (
            (past.accounts, now.accounts),
            (past.events, now.events),
            (past.days, now.days),
        )
    )
    group = group_of_account(past.groups)
    whole = f"account_id IN ({_corrected_accounts(recipe, before, since)})"
    if accounts:
        whole += f" OR {group} IN ({', '.join(map(str, accounts))})"
    cases = f"WHEN {whole} THEN entry"
    if events:
        changed = grid.last_on_grid(min(days[0] + 1, since))
        cases += f" WHEN {group} IN ({', '.join(map(str, events))}) THEN GREATEST(entry, {changed})"
    return f"CASE {cases} ELSE GREATEST(entry, {since}) END"


def _all_the_same_until(past: Past, recipe: Recipe) -> int:
    """Return the last day up to which the settings leave everything but outcomes unchanged."""
    last = past.as_of - 1
    for source in (recipe.accounts, *recipe.sources.values()):
        two = {past.complete_through[source.name], source.complete_through}
        if len(two) > 1:
            last = min([last, *(day + 1 for day in two if day is not None)])
    return last


def _corrected_accounts(recipe: Recipe, before: Recipe, since: int) -> str:
    """Return SQL for accounts whose known end has changed, or with a version that was removed."""
    d, then = recipe.grid.dialect, before.grid.as_of
    now = f"({recipe.accounts.sql}) AS accounts"
    return (
        f"SELECT account_id FROM {now} GROUP BY account_id"
        f" HAVING MAX({d.day('known_on')}) >= {then} AND MIN({d.day('ended_on')}) <= {since}"
        " UNION SELECT account_id FROM ("
        f"SELECT account_id, 1 AS n FROM ({before.accounts.sql}) AS accounts UNION ALL"
        f" SELECT account_id, -1 FROM {now} WHERE {d.day('known_on')} < {then}) AS versions"
        " GROUP BY account_id HAVING SUM(n) <> 0"
    )


def rows_since(
    connection: duckdb.DuckDBPyConnection,
    recipe: Recipe,
    earlier: EarlierRows | None,
    progress: Progress | None,
) -> AbstractContextManager[tuple[duckdb.DuckDBPyConnection, Rows]]:
    """Run the steps of a panel as `measured_rows` does, reusing the rows of an earlier panel."""
    if earlier is None:
        return measured_rows(connection, panel_steps(recipe), progress)
    return _extended_rows(connection, recipe, earlier, progress)


@contextmanager
def _extended_rows(
    connection: duckdb.DuckDBPyConnection,
    recipe: Recipe,
    earlier: EarlierRows,
    progress: Progress | None = None,
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Rows]]:
    """Compute the rows of a recipe that starts after the accounts, and merge those of before.

    Works like `measured_rows`; all rows come in order, with those of the earlier panel among them.
    """
    import pyarrow as pa

    order = _order(connection, recipe, earlier.keys())
    with measured_rows(connection, panel_steps(recipe), progress) as (cursor, rows):

        def merged(select: str | None) -> Iterator[PanelRows]:
            new = pa.concat_tables(some.to_arrow() for some in rows(select))
            yield from map(PanelRows, _merged(order, new, earlier))

        yield cursor, merged


@dataclass(frozen=True)
class Order:
    """All rows in order: whether each is ``new``, else its ``place`` in the earlier panel.

    ``after`` are the outcomes of the reused rows. ``begins`` are the first rows of the accounts.
    """

    new: NDArray[np.bool_]
    place: Ints
    begins: Ints
    after: pa.Table

    def chunks(self, at_once: int) -> Iterator[slice]:
        """Yield slices of about ``at_once`` rows that contain complete accounts."""
        turns = np.flatnonzero(np.diff(self.begins // at_once)) + 1
        ends = [*self.begins[turns], len(self.new)]
        for begin, end in zip([0, *ends], ends, strict=False):
            yield slice(begin, end)


def _order(connection: duckdb.DuckDBPyConnection, recipe: Recipe, keys: pa.Table) -> Order:
    """Return the order of all rows; raises OptionError if the earlier panel lacks some."""
    import pyarrow as pa

    first = recipe.grid.first
    grid = replace(recipe.grid, first=Grid.first)
    places = keys.append_column("place", pa.array(np.arange(len(keys))))
    outcomes = outcome_columns(grid, recipe.causes, recipe.not_churn)
    day = grid.dialect.day("CAST(snapshot_on AS DATE)")
    select = f"""
        SELECT account_no, t >= {first} AS new, place, {outcomes}
        FROM (SELECT *, LEAD(t) OVER (PARTITION BY account_no ORDER BY t) AS next_t
              FROM grid JOIN spine USING (account_no)) AS joined
        LEFT JOIN (SELECT account_id, {day} AS t, place FROM places) AS places
        USING (account_id, t) ORDER BY account_no, t, place
        """
    steps = [*spine_steps(grid, recipe.accounts), grid_step(grid)]
    with temporary_tables(connection, steps) as cursor:
        ((count,),) = cursor.execute("SELECT count(*) FROM grid").fetchall()
        cursor.register("places", places)
        rows = cursor.sql(select).to_arrow_table()
    new = rows["new"].to_numpy()
    old = rows.filter(pa.array(~new))
    if old["place"].null_count or len(rows) != count:
        raise OptionError(
            "the earlier panel does not have the rows that it was built with, each once", ANEW
        )
    begins = np.flatnonzero(np.diff(rows["account_no"].to_numpy(), prepend=0))
    return Order(new, old["place"].to_numpy(), begins, old.select(AFTER))


def _merged(order: Order, made: pa.Table, earlier: EarlierRows) -> Iterator[pa.Table]:
    """Yield all rows in order, in batches of accounts."""
    import pyarrow as pa

    old_before = np.concatenate([[0], np.cumsum(~order.new)])
    for chunk in order.chunks(max(CELLS_AT_ONCE // len(made.column_names), 1)):
        begin, end = int(old_before[chunk.start]), int(old_before[chunk.stop])
        new = made.slice(chunk.start - begin, chunk.stop - chunk.start - (end - begin))
        old = _kept(order, earlier, begin, end, made.schema)
        place = np.empty(len(new) + len(old), np.int64)
        is_new = order.new[chunk]
        place[~is_new] = np.arange(len(old))
        place[is_new] = np.arange(len(old), len(place))
        yield pa.concat_tables([old, new]).take(pa.array(place))


def _kept(order: Order, earlier: EarlierRows, begin: int, end: int, schema: pa.Schema) -> pa.Table:
    """Return rows of the earlier panel with their outcomes updated."""
    import pyarrow as pa

    if begin == end:
        return schema.empty_table()
    place = order.place[begin:end]
    first, last = int(place.min()), int(place.max())
    rows = earlier.rows(first, last + 1).take(pa.array(place - first))
    if missing := [name for name in schema.names if name not in rows.column_names]:
        raise OptionError(f"the earlier panel has no column {missing[0]}", ANEW)
    after = order.after.slice(begin, end - begin)
    columns = [(after if name in AFTER else rows)[name] for name in schema.names]
    casts = [column.cast(field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.table(casts, schema=schema)
