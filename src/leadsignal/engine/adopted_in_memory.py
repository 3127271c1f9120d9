"""From when to when processes are adopted, added up in arrays: for records that are never late.

What a window holds changes where something enters or leaves it. Whatever enters also leaves, so
one running sum over all changes, in the order of account, process and day, is the sum of each. What
the last window holds, the one before it holds a window later: a process is adopted where the runs
of full windows, each shifted by one window more, all overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.engine.episodes import Adopted
from leadsignal.engine.user_stays import days_apart

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Ints = NDArray[np.int64]
ROWS_AT_ONCE = 4_000_000
DAY_BITS = 24
"""A day, and the last one of all windows after it, is smaller than 2 to the power of this."""
DAYS_BEFORE_1970 = 2**22
"""Added to day numbers, so that none is negative."""


def adopted_table(cursor: duckdb.DuckDBPyConnection, step: Adopted) -> pa.Table:
    """Return the table that the step's SQL would make."""
    import pyarrow as pa

    found = [_runs(rows, step) for rows in _portions(cursor, step.read)]
    begins, ends = (np.concatenate(side) for side in zip(*found, strict=True))
    whose, x, next_x = begins >> DAY_BITS, _day(begins), _day(ends)
    known = x <= step.as_of
    return pa.table(
        {
            "account_no": pa.array((whose // len(step.at_least))[known]),
            "process_no": pa.array((whose % len(step.at_least))[known]),
            "x": pa.array(x[known]),
            "next_x": pa.array(next_x[known], mask=next_x[known] > step.as_of),
        }
    )


def _portions(cursor: duckdb.DuckDBPyConnection, read: str) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of some accounts after those of others; at least once."""
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
    """Return from when to before when windows are full, as many as the step asks for."""
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
    """Return from when to before when windows have enough users."""
    known = user_no > 0
    (whose, _, day), apart = days_apart((whose[known], user_no[known]), day[known])
    enters = _at(whose, day + 1)
    comes, goes = enters[apart[:-1] > step.within], enters[apart[1:] > step.within] + step.within
    at, users = _summed([comes, goes], [np.ones_like(comes), -np.ones_like(goes)])
    return _where(at, users >= step.by_users)


def _overlap(runs: list[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    """Return where all runs overlap; those of one pair of arrays do not overlap each other."""
    if len(runs) == 1:
        return runs[0]
    changes = [change for begins, ends in runs for change in (begins, ends)]
    signs = [np.full(len(change), 1 - 2 * (n % 2)) for n, change in enumerate(changes)]
    at, count = _summed(changes, signs)
    return _where(at, count == len(runs))


def _summed(at: list[Ints], amounts: list[Ints]) -> tuple[Ints, Ints]:
    """Return the days on which something changes, in their order, and the sums from then on."""
    days, changes = np.concatenate(at), np.concatenate(amounts)
    order = np.argsort(days, kind="stable")
    days, sums = days[order], np.cumsum(changes[order])
    last = np.diff(days, append=-1) != 0
    return days[last], sums[last]


def _where(at: Ints, state: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return where states that are false at first and at last begin and end to be true."""
    turns = at[np.diff(state, prepend=False)]
    return turns[::2], turns[1::2]


def _at(whose: Ints, day: Any) -> Ints:
    at: Ints = (whose << DAY_BITS) + day + DAYS_BEFORE_1970
    return at


def _day(at: Ints) -> Ints:
    day: Ints = (at & (2**DAY_BITS - 1)) - DAYS_BEFORE_1970
    return day
