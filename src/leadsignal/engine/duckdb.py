"""Run the steps in DuckDB, and gather the rows in one sorted frame.

Indicators that are arithmetic on counts and days are computed with arrays. Their values are those
of the SQL that `Expressions` writes for the same rules, without a trip through a query; in most
panels, these are most of the cells.

So is adoption if no record is late. Rows of a user at most one window apart form a stay. It begins
with a row farther than that from the row before, and ends one window after its last row.

The content of a window only changes when an event enters or leaves it. Whatever enters also leaves,
so that one running sum over all changes, sorted by account, process and day, gives the content of
every window. Earlier windows have the same content, shifted by one window length each. A process is
adopted when the runs of full windows, shifted in this way, all overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.engine.build import Recipe
from leadsignal.engine.counts import Count
from leadsignal.engine.episodes import Adopted
from leadsignal.engine.expressions import Expressions
from leadsignal.engine.grid import Step
from leadsignal.indicators.declare import (
    DaysSince,
    Difference,
    Early,
    Ratio,
    RelativeRate,
    Rule,
    Running,
    Standing,
    Trailing,
)
from leadsignal.sources.parts import literal

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class PanelRows:
    """Rows of a panel: columns of a table, then ``indicators``, of which some are ``numbers``.

    The numbers are computed when they are asked for, so that they are not all in memory. NaN stands
    for a missing value.
    """

    table: pa.Table
    numbers: Mapping[str, Callable[[], NDArray[np.float64]]] = field(default_factory=dict)
    indicators: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of the columns in order."""
        last = set(self.indicators)
        return [*(n for n in self.table.column_names if n not in last), *self.indicators]

    def to_arrow(self) -> pa.Table:
        """Return all columns as one table."""
        import pyarrow as pa

        def column(name: str) -> Any:
            if name in self.numbers:
                return pa.array(self.numbers[name](), from_pandas=True)
            return self.table[name]

        return pa.table({name: column(name) for name in self.names})


def arrow_array(values: NDArray[Any], missing: NDArray[np.bool_] | None = None) -> pa.Array:
    """Return numbers as an Arrow array.

    ``pyarrow.array`` imports pandas to convert an array, which takes longer than many a query.
    """
    import numpy as np
    import pyarrow as pa

    known = None
    if missing is not None and missing.any():
        known = pa.py_buffer(np.packbits(~missing, bitorder="little"))
    numbers = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [known, numbers])


def as_frame(portions: Iterable[PanelRows], most: int) -> pd.DataFrame:
    """Return the rows of all batches as a frame; ``most`` is an upper bound on their number.

    Numbers are written directly into one array, as a second copy of a large panel would double the
    memory.
    """
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    floats: NDArray[np.float64] = np.empty((0, most))
    others, columns, names, rows = [], [], [], 0
    for part in portions:
        names, table = part.names, part.table
        read = {one.name for one in table.schema if pa.types.is_float64(one.type)}
        columns = [name for name in names if name in read or name in part.numbers]
        floats = floats if len(floats) else np.empty((len(columns), most))
        for column, name in zip(floats, columns, strict=True):
            number = part.numbers.get(name)
            column[rows : rows + len(table)] = number() if number else table[name].to_numpy()
        # Arrow shares equal texts, of which a panel has many.
        others.append(
            table.drop_columns([*read]).to_pandas(
                date_as_object=False, coerce_temporal_nanoseconds=True
            )
        )
        rows += len(table)
    rest = pd.concat(others, ignore_index=True)
    frame = pd.DataFrame(floats[:, :rows].T, columns=pd.Index(columns), copy=False)
    for place, name in enumerate(names):
        if name in rest:
            frame.insert(place, name, rest[name])
    return frame


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Return panel rows sorted by account and snapshot, without a copy if already sorted."""
    import numpy as np
    import pandas as pd

    account = pd.factorize(rows["account_id"], sort=True)[0]
    order = np.lexsort((rows["snapshot_on"].to_numpy(), account))
    found = rows.copy(deep=False) if (order[1:] > order[:-1]).all() else rows.iloc[order]
    found.index = pd.RangeIndex(len(found))
    return found


Plain = Count | DaysSince
"""Measures whose value is their column where they are known."""


def plain_measures(rule: Rule) -> tuple[Plain, ...]:
    """Return the measures of a rule that is arithmetic on counts and days; none for others."""
    match rule:
        case Ratio(first, second) | Difference(first, second) | RelativeRate(first, second):
            both = plain_measures(first), plain_measures(second)
            return (*both[0], *both[1]) if all(both) else ()
    return (rule,) if isinstance(rule, Plain) else ()


def computable(
    rules: Mapping[str, Rule], write: Expressions, carried: Collection[str]
) -> dict[str, Rule]:
    """Return the rules whose measures are all in columns that are carried forward in memory."""
    measures = {name: plain_measures(rule) for name, rule in rules.items()}
    return {
        name: rules[name]
        for name, needed in measures.items()
        if needed and all(write.columns[one] in carried for one in needed)
    }


def conditions(rules: Mapping[str, Rule], write: Expressions) -> list[str]:
    """Return the SQL conditions under which the measures of rules are known, each once."""
    needed = (one for rule in rules.values() for one in plain_measures(rule))
    return list(dict.fromkeys(write.known(one) for one in needed))


@dataclass(frozen=True)
class NumbersOfRows:
    """Computes rules at rows of the grid.

    ``columns`` are the measures; days are masked where there is none. ``unknown`` says for each
    condition where it does not hold.
    """

    write: Expressions
    t: NDArray[np.int64]
    started: NDArray[np.int64]
    columns: Mapping[str, Any]
    unknown: Mapping[str, NDArray[np.bool_]]

    def __call__(self, rule: Rule) -> Floats:
        """Return the value of a rule at each row, NaN where it is unknown or missing."""
        match rule:
            case Ratio(over, under):
                return _divided(self(over), self(under))
            case Difference(first, second):
                return self(first) - self(second)
            case RelativeRate(lately, longer):
                return self._relative_rate(self(lately), self(longer), lately.window, longer.window)
            case Trailing() | Standing() | Running() | Early() | DaysSince():
                return self._measure(rule)
        raise AssertionError(rule)

    def _measure(self, measure: Plain) -> Floats:
        column = self.columns[self.write.columns[measure]]
        found: Floats
        if isinstance(measure, DaysSince):
            found = (self.t - column.data).astype(np.float64)
            found[column.mask] = np.nan
        else:
            factor = self.write.factor(measure)
            found = column.astype(np.float64) if factor == 1 else column / np.float64(factor)
        found[self.unknown[self.write.known(measure)]] = np.nan
        return found

    def _relative_rate(self, few: Floats, many: Floats, lately: int, longer: int) -> Floats:
        before = np.minimum(longer, self.t - self.started) - lately
        rate = _divided(few * before, (many - few) * lately)
        rate[before < lately] = np.nan
        return rate


def _divided(over: Floats, under: Floats) -> Floats:
    """Divide; NaN where the divisor is 0."""
    return over / np.where(under == 0, np.nan, under)


NEVER = 2**31
"""Gap between two rows of different users."""


def days_apart(whose: tuple[Any, ...], day: Any) -> tuple[list[Ints], Ints]:
    """Sort rows by owner (``whose``, numbered from 0) and day, and return the gaps in days.

    Returns
    -------
    in_order : list of arrays of shape (n,)
        The columns ``whose`` and the day, sorted.
    apart : array of shape (n + 1,)
        Number of days from each row to the previous one; `NEVER` if that belongs to another user.

    >>> in_order, apart = days_apart((np.array([1, 1, 0]),), np.array([9, 5, 7]))
    >>> in_order[1], apart
    (array([7, 5, 9]), array([2147483648, 2147483648,          4, 2147483648]))
    """
    origin = day.min(initial=0)
    *owner, nth = sorted_together(*whose, day - origin)
    other = np.zeros(len(nth) + 1, dtype=bool)
    for column in owner:
        other[1:-1] |= column[1:] != column[:-1]
    other[[0, -1]] = True
    apart = np.diff(nth, prepend=0, append=0)
    apart[other] = NEVER
    return [*owner, nth + origin], apart


def sorted_together(*columns: Any) -> list[Ints]:
    """Sort by several columns of non-negative integers, the first column first.

    >>> sorted_together(np.array([2, 1, 1]), np.array([0, 8, 3]))
    [array([1, 1, 2]), array([3, 8, 0])]
    """
    bits = [int(column.max(initial=0)).bit_length() for column in columns]
    if sum(bits) > 63:
        order = np.lexsort(columns[::-1])
        return [column[order].astype(np.int64) for column in columns]
    key = np.zeros(len(columns[0]), np.int64)
    for column, width in zip(columns, bits, strict=True):
        key <<= width
        key |= column
    key.sort()
    parts = []
    for width in reversed(bits):
        parts.append(key & ((1 << width) - 1))
        key >>= width
    return parts[::-1]


ROWS_AT_ONCE = 4_000_000
DAY_BITS = 24
"""Number of bits for a day, including the last day of all windows after it."""
DAYS_BEFORE_1970 = 2**22
"""Offset added to day numbers to make them non-negative."""


def adopted_table(cursor: duckdb.DuckDBPyConnection, step: Adopted) -> pa.Table:
    """Return the same table as the SQL of the step."""
    import pyarrow as pa

    found = [_runs(rows, step) for rows in _portions(cursor, step.read)]
    begins, ends = (np.concatenate(side) for side in zip(*found, strict=True))
    whose, x, next_x = begins >> DAY_BITS, _day(begins), _day(ends)
    known = x <= step.as_of
    return pa.table(
        {
            "account_no": arrow_array((whose // len(step.at_least))[known]),
            "process_no": arrow_array((whose % len(step.at_least))[known]),
            "x": arrow_array(x[known]),
            "next_x": arrow_array(next_x[known], next_x[known] > step.as_of),
        }
    )


def _portions(cursor: duckdb.DuckDBPyConnection, read: str) -> Iterator[Mapping[str, Any]]:
    """Yield the rows in batches of accounts; at least one batch."""
    counts = cursor.sql(
        f"SELECT account_no, count(*) AS n FROM ({read}) AS r GROUP BY 1 ORDER BY 1"
    ).fetchnumpy()
    portion = np.cumsum(counts["n"]) // ROWS_AT_ONCE
    begins = counts["account_no"][np.flatnonzero(np.diff(portion)) + 1]
    where = [f"account_no >= {begin}" for begin in begins]
    for first, beyond in zip(["TRUE", *where], [*where, "FALSE"], strict=True):
        yield cursor.sql(
            f"SELECT * FROM ({read}) AS r WHERE {first} AND NOT ({beyond})"
        ).fetchnumpy()


def _runs(rows: Mapping[str, Any], step: Adopted) -> tuple[Ints, Ints]:
    """Return the first days of runs in which enough windows are full, and the days after them."""
    processes, within = len(step.at_least), step.within
    whose, day = rows["account_no"].astype(np.int64) * processes + rows["process_no"], rows["day"]
    enters, quantity = _at(whose, day + 1), rows["quantity"]
    at, quantities = _summed([enters, enters + within], [quantity, -quantity])
    begins, ends = _where(at, quantities >= np.array(step.at_least)[(at >> DAY_BITS) % processes])
    full = [(begins, ends)]
    if step.by_users > 1:
        full.append(_enough_users(whose, rows["user_no"], day, step))
    return _overlap(
        [
            (begins + k * within, ends + k * within)
            for begins, ends in full
            for k in range(step.sustained_for)
        ]
    )


def _enough_users(whose: Ints, user_no: Any, day: Any, step: Adopted) -> tuple[Ints, Ints]:
    """Return the first days of runs in which windows have enough users, and the days after them."""
    known = user_no > 0
    (whose, _, day), apart = days_apart((whose[known], user_no[known]), day[known])
    enters = _at(whose, day + 1)
    comes, goes = enters[apart[:-1] > step.within], enters[apart[1:] > step.within] + step.within
    at, users = _summed([comes, goes], [np.ones_like(comes), -np.ones_like(goes)])
    return _where(at, users >= step.by_users)


def _overlap(runs: list[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    """Return where all runs overlap; runs within one pair of arrays must not overlap."""
    if len(runs) == 1:
        return runs[0]
    changes = [change for begins, ends in runs for change in (begins, ends)]
    signs = [np.full(len(change), 1 - 2 * (n % 2)) for n, change in enumerate(changes)]
    at, count = _summed(changes, signs)
    return _where(at, count == len(runs))


def _summed(at: list[Ints], amounts: list[Ints]) -> tuple[Ints, Ints]:
    """Return the sorted days of changes, and the running sums from each day on."""
    days, changes = np.concatenate(at), np.concatenate(amounts)
    order = np.argsort(days, kind="stable")
    days, sums = days[order], np.cumsum(changes[order])
    last = np.diff(days, append=-1) != 0
    return days[last], sums[last]


def _where(at: Ints, state: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return where a state that is false at both ends becomes true, and where it becomes false."""
    turns = at[np.diff(state, prepend=False)]
    return turns[::2], turns[1::2]


def _at(whose: Ints, day: Any) -> Ints:
    at: Ints = (whose << DAY_BITS) + day + DAYS_BEFORE_1970
    return at


def _day(at: Ints) -> Ints:
    day: Ints = (at & (2**DAY_BITS - 1)) - DAYS_BEFORE_1970
    return day


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
