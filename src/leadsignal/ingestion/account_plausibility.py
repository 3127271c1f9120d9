"""What deserves a second look in the list of accounts: whether it tells the truth about ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

from leadsignal.sources.parts import quoted

if TYPE_CHECKING:
    from leadsignal.ingestion.table_reader import TableReader

SEPARATES, MIN_ACCOUNTS = 0.9, 20
"""A column leaks from this AUC on; with fewer ends, or accounts left, nothing is said."""
PILED, MIN_PILED = 0.5, 3
"""Minimum share of all ends, and minimum number, on one day for a warning that they pile up."""
MISSED = 5.0
"""So many ends must be expected before the first one for their absence to be odd (p < 0.01)."""
TENURE = 91
"""Days of tenure within which the rate of ends is taken as one."""
BUILT_IN = ("arr", "term_months", "customer_id")
"""Columns of the schema that exports fill with today's values."""


def count_of(number: int, what: str) -> str:
    """Return a number of things in words.

    >>> count_of(1, "row"), count_of(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def about_accounts(reader: TableReader, as_of: date) -> Iterator[str]:
    """Yield the remarks on accounts, each as it was last recorded."""
    columns = reader.loaded["accounts"].columns
    if "ended_on" not in columns:
        yield "there is no column ended_on: all accounts count as active"
        yield from _arr_known(reader, as_of)
        return
    yield from _zero_days(reader, as_of)
    piled = list(_piled(reader, as_of))
    yield from piled or _survivors(reader, as_of)
    yield from _arr_known(reader, as_of)
    yield from _leaks(reader, as_of)


def _started(reader: TableReader, as_of: date) -> str:
    """SQL: the accounts that had started before ``as_of``, each as it was last recorded."""
    newest = " AND superseded_on IS NULL" if reader.loaded["accounts"].has_versions else ""
    return f"(SELECT * FROM accounts WHERE started_on < DATE '{as_of}'{newest})"


def _ended(as_of: date) -> str:
    return f"coalesce(ended_on < DATE '{as_of}', false)"


def _zero_days(reader: TableReader, as_of: date) -> Iterator[str]:
    ((zero,),) = reader.store.query(
        f"SELECT count(*) FROM {_started(reader, as_of)} WHERE {_ended(as_of)} "
        "AND ended_on = started_on"
    )
    if zero:
        yield (
            f"{count_of(zero, 'account')} ended on the day of the start: counted as ends at the "
            "very beginning wherever accounts are followed from their start; a panel has no "
            "snapshot of them, so a model cannot learn from them"
        )


def _piled(reader: TableReader, as_of: date) -> Iterator[str]:
    """Find ends that are of one day: an export fills its own day in, or a system was cleaned."""
    ((ends, active),) = reader.store.query(
        f"SELECT count(*) FILTER (WHERE {_ended(as_of)}), "
        f"count(*) FILTER (WHERE NOT {_ended(as_of)}) FROM {_started(reader, as_of)}"
    )
    if not ends:
        return
    ((day, alike),) = reader.store.query(
        f"SELECT ended_on, count(*) AS n FROM {_started(reader, as_of)} WHERE {_ended(as_of)} "
        "GROUP BY 1 ORDER BY n DESC, ended_on DESC LIMIT 1"
    )
    if alike >= MIN_PILED and alike > PILED * ends:
        yield (
            f"{alike:,} of {count_of(ends, 'end')} ({alike / ends:.0%}) are of {day}: if that is "
            "the day of the export and these accounts are still customers, leave their ended_on "
            f'empty, or say so under [tables.accounts]: empty = ["{day}"]'
        )
    if not active:
        yield (
            f"no account is active on {as_of}, every one has ended: if some are still customers, "
            "leave their ended_on empty"
        )


def _survivors(reader: TableReader, as_of: date) -> Iterator[str]:
    """Find a list that holds of early accounts only those that survived.

    Before the first end, as many ends are expected as the rates after it give, by tenure.
    """
    import numpy as np
    import pandas as pd

    source = reader.project.tables.get("accounts")
    begin = source.complete_from if source and source.complete_from else date.min
    rows = reader.store.query(
        f"SELECT started_on, CASE WHEN {_ended(as_of)} THEN ended_on END, count(*) "
        f"FROM {_started(reader, as_of)} GROUP BY ALL"
    )
    ends = [ended for _, ended, _ in rows if ended is not None and ended > begin]
    if not ends:
        return
    first = min(ends)
    before = sum(number for started, _, number in rows if started < first)
    frame = pd.DataFrame(rows, columns=["started", "ended", "number"])
    days = {
        name: np.array([day.toordinal() if day else as_of.toordinal() for day in frame[name]])
        for name in ("started", "ended")
    }
    weight = frame["number"].to_numpy(dtype=float)
    seen = frame["ended"].notna().to_numpy()
    missed = _expected_before(days["started"], days["ended"], seen, weight, begin, first)
    if missed >= MISSED:
        yield (
            f"{count_of(before, 'account')} started before {first} and none of them ended before "
            f"it, where {missed:.0f} ends would be expected: the list may hold only those that "
            f"survived until then. If so, say complete_from = {first} under [tables.accounts]"
        )


def _expected_before(
    started: Any, stopped: Any, seen: Any, weight: Any, begin: date, first: date
) -> float:
    """Return the ends expected between ``begin`` and ``first`` by the rates from ``first`` on."""
    import numpy as np

    from_day, day = begin.toordinal(), first.toordinal()
    expected = 0.0
    for low in range(0, int((stopped - started).max(initial=0)) + 1, TENURE):
        enter, leave = started + low, np.minimum(started + low + TENURE, stopped)
        after = np.maximum(leave - np.maximum(enter, day), 0) @ weight
        before = np.maximum(np.minimum(leave, day) - np.maximum(enter, from_day), 0) @ weight
        ended = seen & (stopped >= day) & (stopped - started >= low)
        ends = weight[ended & (stopped - started < low + TENURE)].sum()
        expected += before * ends / after if after else 0.0
    return float(expected)


def _arr_known(reader: TableReader, as_of: date) -> Iterator[str]:
    columns = reader.loaded["accounts"].columns
    if "arr" not in columns:
        return
    ended = _ended(as_of) if "ended_on" in columns else "false"
    ((accounts, known, left, known_left),) = reader.store.query(
        f"SELECT count(*), count(arr), count(*) FILTER (WHERE {ended}), "
        f"count(arr) FILTER (WHERE {ended}) FROM {_started(reader, as_of)}"
    )
    if known < accounts:
        yield (
            f"ARR is known for {known:,} of {count_of(accounts, 'account')}, {known_left:,} of "
            f"{left:,} that left: sums of ARR leave the others out, and gross and net retention "
            "are blank where one of them is in the base"
        )


def _leaks(reader: TableReader, as_of: date) -> Iterator[str]:
    """Find columns that leak churn: declared attributes, and those of the schema."""
    ended, started = _ended(as_of), _started(reader, as_of)
    ((ends, left),) = reader.store.query(
        f"SELECT count(*) FILTER (WHERE {ended}), count(*) FILTER (WHERE NOT {ended}) "
        f"FROM {started}"
    )
    if min(ends, left) < MIN_ACCOUNTS:
        return
    for name, number in _columns_to_judge(reader):
        what = f"attribute {name!r}" if name in reader.attributes else f"column {name!r}"
        cell = f"TRY_CAST({quoted(name)} AS DOUBLE)" if number else quoted(name)
        blank = f"({cell} IS NULL{f' OR {cell} = 0' if number else ''})"
        ((gone, there),) = reader.store.query(
            f"SELECT avg({blank}::INT) FILTER (WHERE {ended}), "
            f"avg({blank}::INT) FILTER (WHERE NOT {ended}) FROM {started}"
        )
        if gone - there > 0.5:
            yield (
                f"{what} is empty or zero for {gone:.0%} of ended accounts and "
                f"{there:.0%} of the others: it holds today's values and gives ends away"
            )
        elif (auc := _auc(reader, cell, number, ended, started)) > SEPARATES:
            yield (
                f"{what} alone separates ended accounts from the others (AUC {auc:.2f}): "
                "make sure that it was true at the start"
            )


def _columns_to_judge(reader: TableReader) -> Iterator[tuple[str, bool]]:
    """Yield each column that may hold today's values, and whether it is a number."""
    columns = reader.loaded["accounts"].columns
    for name, kind in reader.attributes.items():
        yield name, kind == "number"
    for name in BUILT_IN:
        if name in columns and name not in reader.attributes:
            yield name, name != "customer_id"


def _auc(reader: TableReader, cell: str, number: bool, ended: str, started: str) -> float:
    """Return the AUC by which an attribute separates past ends, whatever its direction.

    Texts are ranked by the rate of ends among the *other* accounts of their level, so that a
    level of one account says nothing.
    """
    level = f"(PARTITION BY {cell})"
    others = (
        f"coalesce((sum(ended::INT) OVER {level} - ended::INT) / "
        f"nullif(count(*) OVER {level} - 1, 0), avg(ended::INT) OVER ())"
    )
    score = f"coalesce({cell}, -1e300)" if number else others
    ((area,),) = reader.store.query(
        f"WITH seen AS (SELECT *, {ended} AS ended FROM {started}), "
        f"scored AS (SELECT ended, {score} AS score FROM seen), "
        "levels AS (SELECT score, count(*) FILTER (WHERE ended) AS e, "
        "count(*) FILTER (WHERE NOT ended) AS a FROM scored GROUP BY score), "
        "ranked AS (SELECT e, a, coalesce(sum(a) OVER (ORDER BY score ROWS BETWEEN "
        "UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS below FROM levels) "
        "SELECT sum(e * (below + 0.5 * a)) / (sum(e)::DOUBLE * sum(a)::DOUBLE) FROM ranked"
    )
    return float(max(area, 1 - area) if number else area)
