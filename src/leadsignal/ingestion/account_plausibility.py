"""Warnings about the list of accounts: doubtful or missing ends, columns that reveal churn."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from leadsignal.ingestion.churn_leaks import started_accounts
from leadsignal.ingestion.data_warnings import CheckedRows, DataWarning
from leadsignal.phrases import count_of, share_text
from leadsignal.sources.parts import quoted

SEPARATES, MIN_ACCOUNTS = 0.9, 20
"""AUC above which a column is reported as revealing churn, and the minimum number of ended and of
other accounts for this check."""
PILED, MIN_PILED = 0.5, 3
"""A day is reported if it has more than this share of all ends, and at least this number."""
NEARLY_ALL, OF_ENDED, MAX_OTHERS = 0.95, 0.2, 0.75
"""A value reveals churn if at least ``NEARLY_ALL`` of its accounts ended, these are at least
``OF_ENDED`` of all ended accounts, and at most ``MAX_OTHERS`` of the other accounts ended."""
NO_END_BEFORE = 1e-4
"""If no end before the first is at most this likely, early churned accounts seem to be missing."""
OF_FEW, FEW = 2e-2, 5
"""The same where at least ``FEW`` ends are recorded, and at least as many are missing."""
OF_ONE_DAY, MIN_OF_ONE_DAY, TIMES_SECOND = 0.03, 10, 3
"""With a smaller share and this number of ends, a day is reported if it has this many times the
ends of the second day."""
TENURE = 91
"""Width in days of the tenure bands within which the rate of ends is assumed to be constant."""
BUILT_IN = ("arr", "term_months", "customer_id")
"""Columns of the schema that exports often fill with today's values."""


def about_accounts(rows: CheckedRows) -> Iterator[DataWarning]:
    """Yield the warnings about accounts, using the latest version of each."""
    columns = rows.loaded["accounts"].columns
    if "ended_on" not in columns:
        message = "there is no column ended_on: all accounts count as active"
        yield DataWarning("no_ends", "accounts", message, "ended_on")
        yield from _arr_known(rows)
        return
    yield from _zero_days(rows)
    piled = list(_piled(rows))
    yield from piled or _survivors(rows)
    yield from _arr_known(rows)
    yield from _leaks(rows)


def _ended(rows: CheckedRows) -> str:
    return f"coalesce({rows.before('ended_on')}, false)"


def _zero_days(rows: CheckedRows) -> Iterator[DataWarning]:
    ((zero,),) = rows.store.query(
        f"SELECT count(*) FROM {started_accounts(rows)} WHERE {_ended(rows)} "
        "AND ended_on = started_on"
    )
    if zero:
        yield DataWarning(
            "zero_days", "accounts",
            f"{count_of(zero, 'account')} ended on the day they started: counted as ends just "
            "after it where accounts are followed from their start; a panel has no snapshot of "
            "them, so a model cannot learn from them",
            "ended_on",
        )  # fmt: skip


def _piled(rows: CheckedRows) -> Iterator[DataWarning]:
    """Warn if many ends fall on one day: the day of the export, or of a clean-up of the system."""
    ((ends, active),) = rows.store.query(
        f"SELECT count(*) FILTER (WHERE {_ended(rows)}), "
        f"count(*) FILTER (WHERE NOT {_ended(rows)}) FROM {started_accounts(rows)}"
    )
    if not ends:
        return
    days = rows.store.query(
        f"SELECT ended_on, count(*) AS n FROM {started_accounts(rows)} "
        f"WHERE {_ended(rows)} GROUP BY 1 ORDER BY n DESC, ended_on DESC LIMIT 2"
    )
    day, alike = days[0]
    if _too_many_alike(alike, days[1][1] if len(days) > 1 else 0, ends):
        yield DataWarning(
            "ends_on_one_day", "accounts",
            f"{alike:,} of {count_of(ends, 'end')} ({share_text(alike / ends)}) are on {day}: if"
            " that is the day of the export and these accounts are still customers, leave their"
            f' ended_on empty, or say so under [tables.accounts]: empty = ["{day}"]',
            "ended_on",
        )  # fmt: skip
    if not active:
        yield DataWarning(
            "no_active_account", "accounts",
            f"no account is active on {rows.as_of_date}, all have ended: if some are still "
            "customers, leave their ended_on empty",
            "ended_on",
        )  # fmt: skip


def _too_many_alike(alike: int, second: int, ends: int) -> bool:
    """Return whether one day has most of the ends, or far more than any other day."""
    if alike > PILED * ends:
        return alike >= MIN_PILED
    return alike >= MIN_OF_ONE_DAY and alike > OF_ONE_DAY * ends and alike > TIMES_SECOND * second


def _survivors(rows: CheckedRows) -> Iterator[DataWarning]:
    """Warn if the list seems to lack the early accounts that churned.

    The number of ends expected before the first recorded one is based on the later rates by tenure.
    """
    import numpy as np
    import pandas as pd

    source = rows.project.tables.get("accounts")
    begin = source.complete_from if source and source.complete_from else date.min
    found = rows.store.query(
        f"SELECT started_on, CASE WHEN {_ended(rows)} THEN ended_on END, count(*) "
        f"FROM {started_accounts(rows)} GROUP BY ALL"
    )
    ends = [ended for _, ended, _ in found if ended is not None and ended > begin]
    if not ends:
        return
    first = min(ends)
    before = sum(number for started, _, number in found if started < first)
    frame = pd.DataFrame(found, columns=["started", "ended", "number"])
    days = {
        name: np.array(
            [day.toordinal() if day else rows.as_of_date.toordinal() for day in frame[name]]
        )
        for name in ("started", "ended")
    }
    weight = frame["number"].to_numpy(dtype=float)
    seen = frame["ended"].notna().to_numpy()
    missed, chance = _expected_before(days["started"], days["ended"], seen, weight, begin, first)
    if chance <= (OF_FEW if FEW <= weight[seen].sum() <= missed else NO_END_BEFORE):
        yield DataWarning(
            "survivors", "accounts",
            f"{count_of(before, 'account')} started before {first} and none of them ended before "
            f"it, where {missed:.0f} ends would be expected: the list may hold only those that "
            f"survived until then. If so, set complete_from = {first} under [tables.accounts]",
            "ended_on",
        )  # fmt: skip


def _expected_before(
    started: Any, stopped: Any, seen: Any, weight: Any, begin: date, first: date
) -> tuple[float, float]:
    """Return the ends expected between ``begin`` and ``first``, and the probability of none.

    The rates are those from ``first`` on. If the rate of a tenure band did not change, each of its
    ends is equally likely on every day at risk, so all of them come after ``first`` with
    probability (days at risk after ``first`` / days at risk)^ends.
    """
    import numpy as np

    from_day, day = begin.toordinal(), first.toordinal()
    expected = log_chance = 0.0
    for low in range(0, int((stopped - started).max(initial=0)) + 1, TENURE):
        enter, leave = started + low, np.minimum(started + low + TENURE, stopped)
        after = np.maximum(leave - np.maximum(enter, day), 0) @ weight
        before = np.maximum(np.minimum(leave, day) - np.maximum(enter, from_day), 0) @ weight
        ended = seen & (stopped >= day) & (stopped - started >= low)
        ends = weight[ended & (stopped - started < low + TENURE)].sum()
        if after:
            expected += before * ends / after
            log_chance -= ends * np.log1p(before / after)
    return float(expected), float(np.exp(log_chance))


def _arr_known(rows: CheckedRows) -> Iterator[DataWarning]:
    columns = rows.loaded["accounts"].columns
    if "arr" not in columns:
        return
    ended = _ended(rows) if "ended_on" in columns else "false"
    ((accounts, known, left, known_left),) = rows.store.query(
        f"SELECT count(*), count(arr), count(*) FILTER (WHERE {ended}), "
        f"count(arr) FILTER (WHERE {ended}) FROM {started_accounts(rows)}"
    )
    if known < accounts:
        yield DataWarning(
            "arr_partly_known", "accounts",
            f"ARR is known for {known:,} of {count_of(accounts, 'account')}, {known_left:,} of "
            f"{left:,} that left: sums of ARR leave the others out, and gross and net retention "
            "are blank where one of them is in the base",
            "arr",
        )  # fmt: skip


def _leaks(rows: CheckedRows) -> Iterator[DataWarning]:
    """Warn about declared attributes and columns of the schema that reveal churn."""
    ended, started = _ended(rows), started_accounts(rows)
    ((ends, left),) = rows.store.query(
        f"SELECT count(*) FILTER (WHERE {ended}), count(*) FILTER (WHERE NOT {ended}) "
        f"FROM {started}"
    )
    if min(ends, left) < MIN_ACCOUNTS:
        return
    for name, number in _columns_to_judge(rows):
        what = f"attribute {name!r}" if name in rows.attributes else f"column {name!r}"
        cell = f"TRY_CAST({quoted(name)} AS DOUBLE)" if number else quoted(name)
        blank = f"({cell} IS NULL{f' OR {cell} = 0' if number else ''})"
        ((gone, there),) = rows.store.query(
            f"SELECT avg({blank}::INT) FILTER (WHERE {ended}), "
            f"avg({blank}::INT) FILTER (WHERE NOT {ended}) FROM {started}"
        )
        if gone - there > 0.5:
            message = (
                f"{what} is empty or zero for {share_text(gone)} of ended accounts and "
                f"{share_text(there)} of the others: it holds today's values and reveals churn"
            )
        elif not number and (found := _value_of_ended(rows, cell)):
            value, n, alike, other = found
            message = (
                f"{what} is {value!r} for {count_of(n, 'account')}, of which {share_text(alike)}"
                f" ended; of the others, {share_text(other)} did: if it was set at the end or"
                " later, it reveals churn"
            )
        elif (auc := _auc(rows, cell, number, ended, started)) > SEPARATES:
            message = (
                f"{what} alone separates ended accounts from the others (AUC {auc:.2f}): "
                "make sure that it was true at the start"
            )
        else:
            continue
        yield DataWarning("column_reveals_churn", "accounts", message, name)


def _value_of_ended(rows: CheckedRows, cell: str) -> tuple[str, int, float, float] | None:
    """Return a value that many ended accounts have and almost no others; None without one.

    Also return its number of accounts, the share of them that ended, and the share of the other
    accounts that ended.
    """
    found = rows.store.query(
        f"WITH counted AS (SELECT {cell} AS value, count(*) AS n, "
        f"count(*) FILTER (WHERE {_ended(rows)}) AS gone FROM {started_accounts(rows)} "
        "GROUP BY 1), totals AS (SELECT value, n, gone, sum(n) OVER () AS accounts, "
        "sum(gone) OVER () AS ends FROM counted) "
        "SELECT value, n, gone / n, (ends - gone) / nullif(accounts - n, 0) FROM totals "
        f"WHERE value IS NOT NULL AND n >= {MIN_ACCOUNTS} AND gone >= {NEARLY_ALL} * n "
        f"AND gone >= {OF_ENDED} * ends ORDER BY gone DESC, value LIMIT 1"
    )
    if not found or found[0][3] is None or found[0][3] > MAX_OTHERS:
        return None
    value, n, alike, other = found[0]
    return str(value), int(n), float(alike), float(other)


def _columns_to_judge(rows: CheckedRows) -> Iterator[tuple[str, bool]]:
    """Yield each column that may hold today's values, and whether it is numeric."""
    columns = rows.loaded["accounts"].columns
    for name, kind in rows.attributes.items():
        yield name, kind == "number"
    for name in BUILT_IN:
        if name in columns and name not in rows.attributes:
            yield name, name != "customer_id"


def _auc(rows: CheckedRows, cell: str, number: bool, ended: str, started: str) -> float:
    """Return the AUC with which a column separates ended accounts, in either direction.

    Texts are scored by the rate of ends among the *other* accounts with the same value, so that a
    value of a single account is uninformative.
    """
    level = f"(PARTITION BY {cell})"
    others = (
        f"coalesce((sum(ended::INT) OVER {level} - ended::INT) / "
        f"nullif(count(*) OVER {level} - 1, 0), avg(ended::INT) OVER ())"
    )
    score = f"coalesce({cell}, -1e300)" if number else others
    ((area,),) = rows.store.query(
        f"WITH seen AS (SELECT *, {ended} AS ended FROM {started}), "
        f"scored AS (SELECT ended, {score} AS score FROM seen), "
        "levels AS (SELECT score, count(*) FILTER (WHERE ended) AS e, "
        "count(*) FILTER (WHERE NOT ended) AS a FROM scored GROUP BY score), "
        "ranked AS (SELECT e, a, coalesce(sum(a) OVER (ORDER BY score ROWS BETWEEN "
        "UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS below FROM levels) "
        "SELECT sum(e * (below + 0.5 * a)) / (sum(e)::DOUBLE * sum(a)::DOUBLE) FROM ranked"
    )
    return float(max(area, 1 - area) if number else area)
