"""An earlier panel is extended: only rows that may differ are made, the others are taken from it.

A row of a day rests on what was known by then. It is made anew where that may have changed: from
the last snapshot before the earlier as_of on; of accounts in whose rows the past was changed, from
the day of the change; and of accounts whose own row was changed, or whose end was corrected, from
the start. Outcomes are what came later, and are computed for every row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from leadsignal.config.success import SuccessAnalysis
from leadsignal.engine.build import Recipe, panel_steps
from leadsignal.engine.duckdb import temporary_tables
from leadsignal.engine.grid import Grid, grid_step, outcome_columns, spine_steps
from leadsignal.engine.in_memory import CELLS_AT_ONCE, measured_rows
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
"""The key under which a Parquet file of a panel keeps what the tables said of the past."""
AFTER = ("stop", "event", "cause", "days_observed", "ended_within", "known_within", "end_cause")
"""Columns of a row that tell what came after its snapshot."""


class EarlierRows(Protocol):
    """The rows of an earlier panel, in memory or in a file."""

    def keys(self) -> pa.Table:
        """Return ``account_id`` and ``snapshot_on`` of all rows."""

    def rows(self, first: int, end: int) -> pa.Table:
        """Return the rows from one place to another."""


@dataclass(frozen=True)
class FrameRows:
    """Rows of a panel that is in memory."""

    frame: pd.DataFrame

    def keys(self) -> pa.Table:
        """Return ``account_id`` and ``snapshot_on`` of all rows."""
        import pyarrow as pa

        return pa.Table.from_pandas(self.frame[["account_id", "snapshot_on"]], preserve_index=False)

    def rows(self, first: int, end: int) -> pa.Table:
        """Return the rows from one place to another."""
        import pyarrow as pa

        return pa.Table.from_pandas(self.frame.iloc[first:end], preserve_index=False)


@dataclass(frozen=True)
class FileRows:
    """Rows of a panel that `write_panel` has written; ``past`` is what it was made from."""

    path: Path
    past: Past
    begins: Ints

    @classmethod
    def of(cls, path: str | Path) -> Self:
        """Open a file; raises OptionError where it is none of a panel that can be extended."""
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
        """Return the rows from one place to another."""
        import pyarrow.parquet as pq

        groups = range(
            int(np.searchsorted(self.begins, first, "right")) - 1,
            int(np.searchsorted(self.begins, end, "left")),
        )
        read = pq.ParquetFile(self.path).read_row_groups(list(groups))
        return read.slice(first - self.begins[groups[0]], end - first)


def recipe_since(past: Past, recipe: Recipe, tables: Tables, analysis: SuccessAnalysis) -> Recipe:
    """Return the recipe of the rows that an earlier panel does not have, or not as they are now.

    Raises OptionError where all rows may differ: other settings, or tables of an earlier day.
    """
    then = day_of(past.as_of)
    if recipe.grid.as_of < past.as_of:
        raise OptionError(
            f"the earlier panel is of {then}, after as_of {tables.as_of_date}",
            "Give tables of that day or later",
        )
    # Which behaviours have indicators is compared as it is now; to count them again takes time.
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
    """SQL: the first day from which an account's snapshots may differ from the earlier panel's."""
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
    """Return the last day on which all that is not an outcome is the same, as settings go."""
    last = past.as_of - 1
    for source in (recipe.accounts, *recipe.sources.values()):
        two = {past.complete_through[source.name], source.complete_through}
        if len(two) > 1:
            last = min([last, *(day + 1 for day in two if day is not None)])
    return last


def _corrected_accounts(recipe: Recipe, before: Recipe, since: int) -> str:
    """SQL: accounts of whose end something else is known now, or of which a version is gone."""
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
) -> AbstractContextManager[tuple[duckdb.DuckDBPyConnection, Callable[[str], Iterator[pa.Table]]]]:
    """Run the steps of a panel, as `measured_rows` does; rows that an earlier one has are its."""
    if earlier is None:
        return measured_rows(connection, panel_steps(recipe), progress)
    return _extended_rows(connection, recipe, earlier, progress)


@contextmanager
def _extended_rows(
    connection: duckdb.DuckDBPyConnection,
    recipe: Recipe,
    earlier: EarlierRows,
    progress: Progress | None = None,
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Callable[[str], Iterator[pa.Table]]]]:
    """Make the rows of a recipe that begins later than the accounts; query them and those before.

    As `measured_rows`, which see: rows come in their order, those of the earlier panel among them.
    """
    import pyarrow as pa

    order = _order(connection, recipe, earlier.keys())
    with measured_rows(connection, panel_steps(recipe), progress) as (cursor, query):

        def merged(select: str) -> Iterator[pa.Table]:
            yield from _merged(order, pa.concat_tables(query(select)), earlier)

        yield cursor, merged


@dataclass(frozen=True)
class Order:
    """All rows in their order: whether each is ``new``, else its ``place`` in the earlier panel.

    ``after`` are the outcomes of the rows that are not new. Accounts begin at ``begins``.
    """

    new: NDArray[np.bool_]
    place: Ints
    begins: Ints
    after: pa.Table

    def chunks(self, at_once: int) -> Iterator[slice]:
        """Yield slices of about ``at_once`` rows of whole accounts."""
        turns = np.flatnonzero(np.diff(self.begins // at_once)) + 1
        ends = [*self.begins[turns], len(self.new)]
        for begin, end in zip([0, *ends], ends, strict=False):
            yield slice(begin, end)


def _order(connection: duckdb.DuckDBPyConnection, recipe: Recipe, keys: pa.Table) -> Order:
    """Return the order of all rows; raises OptionError where the earlier panel lacks some."""
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
    """Yield all rows in their order, a portion of the accounts at a time."""
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
    """Return rows of the earlier panel with what came after them, as far as it is known now."""
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
