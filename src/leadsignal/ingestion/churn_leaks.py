"""Warnings about rows that exist because an account churned: added later, or closed with it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import groupby
from math import lgamma, log
from typing import TYPE_CHECKING, Any

from leadsignal.formats import count_of
from leadsignal.ingestion.check_report import CheckedRows, DataWarning, message
from leadsignal.package_data import packaged_queries
from leadsignal.sources.parts import literal, quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from leadsignal.ingestion.check_report import Loaded

MIN_CHURNED = 5
"""Minimum number of churned accounts for a warning."""
EXCEPTIONS = 0.02
"""Maximum share of retained accounts in a table reported as covering churned accounts only."""
CHANCE = 1e-6
"""Maximum probability that chance alone triggers a warning."""
CLOSED, BEFORE = 0.1, 60
"""Minimum share of churned accounts for which a date falls on their end, and the number of days
before the end from which the usual share is estimated."""
LATE = 90
"""Delay in days above which a row counts as recorded late."""
BY_VALUE = {"behaviors": "behavior"}
"""The column of a table whose values are also checked one by one."""


def filled(name: str, /, **values: object) -> str:
    """Return a query of ``plausibility.sql`` with its placeholders filled in."""
    return packaged_queries("leadsignal.ingestion", "plausibility.sql")[name].format(**values)


def started_accounts(rows: CheckedRows) -> str:
    """SQL: the accounts that had started before the as-of date, each in its latest version."""
    newest = " AND superseded_on IS NULL" if rows.loaded["accounts"].has_versions else ""
    return f"(SELECT * FROM accounts WHERE {rows.before('started_on')}{newest})"


def churned_accounts(rows: CheckedRows) -> str:
    """SQL: account, start, end (NULL while active), and whether the end is churn."""
    columns, ended = rows.loaded["accounts"].columns, rows.before("ended_on")
    kept = ", ".join(map(literal, rows.project.not_churn))
    other = f" AND coalesce(end_reason NOT IN ({kept}), true)" if kept else ""
    other = other if "end_reason" in columns else ""
    return (
        f"(SELECT account_id, started_on, CASE WHEN {ended} THEN ended_on END AS ended_on, "
        f"coalesce({ended}, false){other} AS churned FROM {started_accounts(rows)})"
    )


def about_churn(rows: CheckedRows, loaded: Loaded) -> Iterator[DataWarning]:
    """Yield warnings about the rows of an events table that exist because accounts churned."""
    if "ended_on" not in rows.loaded["accounts"].columns:
        return
    yield from _only_churned(rows, loaded)
    for second in loaded.table.second_dates:
        if second.column in loaded.columns:
            yield from _closed_at_end(rows, loaded, second.column)
    if "recorded_at" in loaded.columns:
        yield from _recorded_by_survivors(rows, loaded)


def _recorded_by_survivors(rows: CheckedRows, loaded: Loaded) -> Iterator[DataWarning]:
    """Warn about late rows if too few of their accounts had ended by the day of recording.

    The expected number follows from all accounts that were active on the day of the row.
    """
    import numpy as np

    day = f"CAST({quoted(loaded.table.time)} AS DATE)"
    churned, known_on = churned_accounts(rows), loaded.known_on
    of_table = {"table": loaded.table.name, "known_on": known_on, "as_of": rows.as_of_date}
    sql = filled("recorded_late", day=day, late=LATE, churned=churned, **of_table)
    found = rows.store.query(sql)
    if not found:
        return
    lives = rows.store.query(f"SELECT * FROM {churned} ORDER BY ALL")
    started = np.array([row[1].toordinal() for row in lives])
    ended = np.array([(row[2] or date.max).toordinal() for row in lives])
    gone, usual = sum(bool(row[2]) for row in found), 0.0
    for first, known, _ in found:
        active = (started <= first.toordinal()) & (ended > first.toordinal())
        usual += float((ended[active] <= known.toordinal()).mean()) if active.any() else 0.0
    # Chernoff bound on the probability of at most ``gone`` ends where ``usual`` are expected.
    chance = gone * log(usual / gone) if 0 < gone < usual else 0.0
    if gone > EXCEPTIONS * len(found) or usual - gone - chance < -log(CHANCE):
        return
    many, have = count_of(len(found), "account"), "has" if len(found) == 1 else "have"
    kind, counts = "recorded_by_survivors", {"late": LATE, "gone": gone, "usual": usual}
    said = message(kind, accounts=many, have=have, **counts)
    yield DataWarning(kind, loaded.table.name, said, "recorded_at")


def _only_churned(rows: CheckedRows, loaded: Loaded) -> Iterator[DataWarning]:
    """Warn about a table, or one behaviour in it, if almost all of its accounts churned.

    Under the null hypothesis, the first row of an account could be of any account active that day.
    """
    name, column = loaded.table.name, BY_VALUE.get(loaded.table.name)
    whole = list(_first_rows(rows, loaded, "NULL"))
    by_value = [] if whole or column is None else _first_rows(rows, loaded, quoted(column))
    for value, days, churned in (*whole, *by_value):
        if _chance(rows, days, churned) > CHANCE:
            continue
        gone, there = int(churned.sum()), int((~churned).sum())
        what = "" if value is None else f"{value!r} "
        others = f"and {count_of(there, 'other')}" if there else "and no other"
        many, at = count_of(gone, "account"), column if value is not None else None
        said = message("only_churned_accounts", what=what, accounts=many, others=others)
        yield DataWarning("only_churned_accounts", name, said, at)


def _first_rows(
    rows: CheckedRows, loaded: Loaded, value: str
) -> Iterator[tuple[str | None, NDArray[Any], NDArray[np.bool_]]]:
    """Yield each value that almost only churned accounts have.

    Also yield the day of each account's first row, and whether the account churned.
    """
    import numpy as np

    time, lives = quoted(loaded.table.time), churned_accounts(rows)
    of_table = {"table": loaded.table.name, "known_on": loaded.known_on, "as_of": rows.as_of_date}
    limits = {"least": MIN_CHURNED, "exceptions": EXCEPTIONS}
    sql = filled("first_rows", value=value, time=time, churned=lives, **of_table, **limits)
    found = rows.store.query(sql)
    for one, alike in groupby(found, key=lambda row: row[0]):
        _, days, churned = zip(*alike, strict=True)
        yield one, np.array([day.toordinal() for day in days]), np.array(churned, dtype=bool)


def _chance(rows: CheckedRows, days: NDArray[Any], churned: NDArray[np.bool_]) -> float:
    """Return an upper bound on the probability that as many of the accounts churn by chance."""
    import numpy as np

    accounts = rows.store.query(f"SELECT * FROM {churned_accounts(rows)}")
    started = np.array([row[1].toordinal() for row in accounts])
    ended = np.array([(row[2] or date.max).toordinal() for row in accounts])
    churns = np.array([row[3] for row in accounts], dtype=bool)
    unique, number = np.unique(days[churned], return_inverse=True)
    share = [
        churns[active].mean() if active.any() else 1.0
        for active in ((started <= day) & (ended > day) for day in unique)
    ]
    n, k = len(churned), int(churned.sum())
    choices = lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
    with np.errstate(divide="ignore"):
        return float(np.exp(choices + np.log(share)[number].sum()))


def _closed_at_end(rows: CheckedRows, loaded: Loaded, column: str) -> Iterator[DataWarning]:
    """Warn about a date that falls on the end of accounts more often than on the days before."""
    cell = f"CAST({quoted(column)} AS DATE)"
    churned = churned_accounts(rows)
    of_table = {"table": loaded.table.name, "as_of": rows.as_of_date}
    sql = filled("closed_at_end", cell=cell, before=BEFORE, churned=churned, **of_table)
    ((accounts, alike, before),) = rows.store.query(sql)
    usual = max(2 * before / (BEFORE - 1), 0.5)
    if alike < max(MIN_CHURNED, CLOSED * accounts) or poisson_tail(alike, usual) > CHANCE:
        return
    counts = {"alike": alike, "accounts": count_of(accounts, "churned account"), "usual": usual}
    said = message("closed_at_end", column=column, **counts)
    yield DataWarning("closed_at_end", loaded.table.name, said, column)


def poisson_tail(count: int, mean: float) -> float:
    """Return the probability of at least ``count`` events of a Poisson variable with this mean.

    >>> round(poisson_tail(3, 1.0), 4)
    0.0803
    """
    from scipy.special import gammainc

    return float(gammainc(count, mean)) if count > 0 else 1.0
