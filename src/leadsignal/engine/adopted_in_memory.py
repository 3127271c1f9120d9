"""Compute when processes are adopted with arrays, for records that are never late.

The content of a window only changes when an event enters or leaves it. Whatever enters also leaves,
so that one running sum over all changes, sorted by account, process and day, gives the content of
every window. Earlier windows have the same content, shifted by one window length each. A process is
adopted when the runs of full windows, shifted in this way, all overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.engine.episodes import Adopted
from leadsignal.engine.frames import arrow_array
from leadsignal.engine.user_stays import days_apart

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Ints = NDArray[np.int64]
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
