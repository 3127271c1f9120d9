"""Warnings about valid but suspicious tables, and about rows that an as-of date hides.

Suspicious are also rows that exist because an account churned: added later, or closed with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from itertools import groupby
from math import lgamma, log
from typing import TYPE_CHECKING, Any

from leadsignal.formats import count_of, share_text
from leadsignal.ingestion.check_report import CheckedRows, DataWarning, message, warning
from leadsignal.ingestion.feed_health import late_rows, old_accounts
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


def _found(
    rows: CheckedRows, name: str, loaded: Loaded | None = None, /, **values: object
) -> list[tuple[Any, ...]]:
    """Return the rows of a query of ``plausibility.sql`` on the accounts, or on another table."""
    if loaded is not None:
        values |= {"table": loaded.table.name, "known_on": loaded.known_on}
    started, churned = _started_accounts(rows), _churned_accounts(rows)
    accounts = {"ended": _ended(rows), "started": started, "churned": churned}
    return rows.store.query(filled(name, as_of=rows.as_of_date, **accounts, **values))


def _started_accounts(rows: CheckedRows) -> str:
    """SQL: the accounts that had started before the as-of date, each in its latest version."""
    newest = " AND superseded_on IS NULL" if rows.loaded["accounts"].has_versions else ""
    return f"(SELECT * FROM accounts WHERE {rows.before('started_on')}{newest})"


def _churned_accounts(rows: CheckedRows) -> str:
    """SQL: account, start, end (NULL while active), and whether the end is churn."""
    kept = ", ".join(map(literal, rows.project.not_churn))
    has_reason = "end_reason" in rows.loaded["accounts"].columns
    other = f" AND coalesce(end_reason NOT IN ({kept}), true)" if kept and has_reason else ""
    ended = f"CASE WHEN {rows.before('ended_on')} THEN ended_on END AS ended_on"
    return (
        f"(SELECT account_id, started_on, {ended}, {_ended(rows)}{other} AS churned"
        f" FROM {_started_accounts(rows)})"
    )


def _ended(rows: CheckedRows) -> str:
    has_ends = "ended_on" in rows.loaded["accounts"].columns
    return f"coalesce({rows.before('ended_on')}, false)" if has_ends else "false"


def _lives(rows: CheckedRows) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """Return the start and end of each account as day numbers, and whether the end is churn."""
    import numpy as np

    lives = rows.store.query(f"SELECT * FROM {_churned_accounts(rows)}")
    started = np.array([row[1].toordinal() for row in lives])
    ended = np.array([(row[2] or date.max).toordinal() for row in lives])
    return started, ended, np.array([row[3] for row in lives], dtype=bool)


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
    day = f"CAST({quoted(loaded.table.time)} AS DATE)"
    found = _found(rows, "recorded_late", loaded, day=day, late=LATE)
    if not found:
        return
    started, ended, _ = _lives(rows)
    gone, usual = sum(bool(row[2]) for row in found), 0.0
    for first, known, _ in found:
        active = (started <= first.toordinal()) & (ended > first.toordinal())
        usual += float((ended[active] <= known.toordinal()).mean()) if active.any() else 0.0
    # Chernoff bound on the probability of at most ``gone`` ends where ``usual`` are expected.
    chance = gone * log(usual / gone) if 0 < gone < usual else 0.0
    if gone > EXCEPTIONS * len(found) or usual - gone - chance < -log(CHANCE):
        return
    many, have = count_of(len(found), "account"), "has" if len(found) == 1 else "have"
    counts = {"accounts": many, "have": have, "late": LATE, "gone": gone, "usual": usual}
    yield warning("recorded_by_survivors", loaded.table.name, "recorded_at", **counts)


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
        said = {"what": what, "accounts": many, "others": others}
        yield warning("only_churned_accounts", name, at, **said)


def _first_rows(
    rows: CheckedRows, loaded: Loaded, value: str
) -> Iterator[tuple[str | None, NDArray[Any], NDArray[np.bool_]]]:
    """Yield each value that almost only churned accounts have.

    Also yield the day of each account's first row, and whether the account churned.
    """
    import numpy as np

    limits = {"least": MIN_CHURNED, "exceptions": EXCEPTIONS}
    time = quoted(loaded.table.time)
    found = _found(rows, "first_rows", loaded, value=value, time=time, **limits)
    for one, alike in groupby(found, key=lambda row: row[0]):
        _, days, churned = zip(*alike, strict=True)
        yield one, np.array([day.toordinal() for day in days]), np.array(churned, dtype=bool)


def _chance(rows: CheckedRows, days: NDArray[Any], churned: NDArray[np.bool_]) -> float:
    """Return an upper bound on the probability that as many of the accounts churn by chance."""
    import numpy as np

    started, ended, churns = _lives(rows)
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
    ((accounts, alike, before),) = _found(rows, "closed_at_end", loaded, cell=cell, before=BEFORE)
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


SAMPLED = 2_000_000
"""Number of rows above which repeated rows are searched for on a sample of days only."""


def find_warnings(rows: CheckedRows) -> tuple[DataWarning, ...]:
    """Return the warnings about the tables that were read, in the order of the tables."""
    found = list(rows.found_in_reading)
    for name, loaded in rows.loaded.items():
        found += hidden_rows(rows.store.query, loaded, rows.as_of_date)
        found += (
            [*about_accounts(rows), *old_accounts(rows)]
            if name == "accounts"
            else _about_events(rows, loaded)
        )
    return tuple(found)


def _about_events(rows: CheckedRows, loaded: Loaded) -> Iterator[DataWarning]:
    if not rows.store.query(f"SELECT 1 FROM {loaded.table.name} LIMIT 1"):
        yield DataWarning("no_rows", loaded.table.name, "exists but has no rows")
        return
    yield from late_rows(rows, loaded)
    yield from _repeated(rows, loaded)
    if loaded.table.name == "usage" and "series" in loaded.columns:
        for said in _about_series(rows):
            yield DataWarning("usage_series", "usage", said, "series")
    yield from about_churn(rows, loaded)


def _repeated(rows: CheckedRows, loaded: Loaded) -> Iterator[DataWarning]:
    if loaded.table.repeats != "warning" or loaded.has_versions:
        return
    listed = ", ".join(map(quoted, loaded.columns))
    sampled = loaded.rows >= SAMPLED
    # 29 is coprime to 7 and rarely the length of a month: all days of week and month occur.
    where = f"WHERE ({loaded.table.time} - DATE '1970-01-05') % 29 = 0" if sampled else ""
    ((repeated, groups),) = rows.store.query(
        f"SELECT sum(n), count(*) FROM (SELECT count(*) AS n FROM {loaded.table.name} {where} "
        f"GROUP BY {listed} HAVING count(*) > 1)"
    )
    if groups:
        among = " on one day in 29" if sampled else ""
        more = int(repeated) - int(groups)
        many, repeat = count_of(more, "row"), "repeats" if more == 1 else "repeat"
        said = {"rows": many, "among": among, "repeat": repeat}
        yield warning("repeated_rows", loaded.table.name, **said)


def _about_series(rows: CheckedRows) -> Iterator[str]:
    named = rows.project.usage_low.series
    found = rows.store.query("SELECT series, count(*) FROM usage GROUP BY ALL ORDER BY ALL")
    counts = {series: int(count) for series, count in found}
    if not named and len(counts) > 1:
        yield (
            f"holds {len(counts)} series, whose amounts are added up. Name those that count as "
            "series of [usage_low] in leadsignal.toml"
        )
    for series in named:
        if series not in counts:
            yield f"holds no row of the series {series!r} that [usage_low] names"
    other = sum(count for series, count in counts.items() if series not in named)
    if named and other:
        yield f"{count_of(other, 'row')} of series that [usage_low] does not name: not counted"


Query = Callable[[str], list[tuple[Any, ...]]]


def hidden_rows(query: Query, loaded: Loaded, as_of: date) -> Iterator[DataWarning]:
    """Yield warnings about the rows of a settled table not yet known at midnight of ``as_of``."""
    name, day = loaded.table.name, f"DATE '{as_of}'"
    if name == "accounts":
        found = _hidden_accounts(query, loaded, as_of)
    else:
        ((later,),) = query(f"SELECT count(*) FROM {name} WHERE {loaded.known_on} >= {day}")
        recorded = ", or recorded only then" if "recorded_at" in loaded.columns else ""
        found = {f"on or after {as_of}{recorded}: left out": (later, "row")}
    for what, (count, unit) in found.items():
        if count:
            yield DataWarning("hidden_rows", name, f"{count_of(count, unit)} {what}")


def _hidden_accounts(query: Query, loaded: Loaded, as_of: date) -> dict[str, tuple[int, str]]:
    day, known = f"DATE '{as_of}'", loaded.known_on
    newest, then = "true", f"{known} < {day}"
    if loaded.has_versions:
        newest = "superseded_on IS NULL"
        then += f" AND coalesce(superseded_on >= {day}, true)"
    ended = "ended_on" if "ended_on" in loaded.columns else "CAST(NULL AS DATE)"
    sql = filled("hidden_accounts", day=day, known=known, ended=ended, newest=newest, then=then)
    ((unstarted, unrecorded, later, unread),) = query(sql)
    return {
        f"not yet started on {as_of}: left out": (unstarted, "account"),
        f"recorded only on or after {as_of}: left out": (unrecorded, "account"),
        f"on or after {as_of}: treated as active": (later, "end"),
        f"recorded only on or after {as_of}: treated as active": (unread, "end"),
    }


# Accounts -----------------------------------------------------------------------------------------


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
        said = "there is no column ended_on: all accounts count as active"
        yield DataWarning("no_ends", "accounts", said, "ended_on")
        yield from _arr_known(rows)
        return
    yield from _zero_days(rows)
    piled = list(_piled(rows))
    yield from piled or _survivors(rows)
    yield from _arr_known(rows)
    yield from _leaks(rows)


def _zero_days(rows: CheckedRows) -> Iterator[DataWarning]:
    ((zero,),) = rows.store.query(
        f"SELECT count(*) FROM {_started_accounts(rows)} WHERE {_ended(rows)} "
        "AND ended_on = started_on"
    )
    if zero:
        many = count_of(zero, "account")
        yield warning("zero_days", "accounts", "ended_on", accounts=many)


def _piled(rows: CheckedRows) -> Iterator[DataWarning]:
    """Warn if many ends fall on one day: the day of the export, or of a clean-up of the system."""
    ((ends, active),) = _found(rows, "ends_and_others")
    if not ends:
        return
    days = _found(rows, "ends_by_day")
    day, alike = days[0]
    if _too_many_alike(alike, days[1][1] if len(days) > 1 else 0, ends):
        share = share_text(alike / ends)
        said = {"alike": alike, "ends": count_of(ends, "end"), "share": share, "day": day}
        yield warning("ends_on_one_day", "accounts", "ended_on", **said)
    if not active:
        yield warning("no_active_account", "accounts", "ended_on", as_of=rows.as_of_date)


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

    source = rows.project.tables.get("accounts")
    begin = source.complete_from if source and source.complete_from else date.min
    found = _found(rows, "lives")
    ends = [ended for _, ended, _ in found if ended is not None and ended > begin]
    if not ends:
        return
    first = min(ends)
    before = sum(number for started, _, number in found if started < first)
    starts = np.array([started.toordinal() for started, _, _ in found])
    stops = np.array([(ended or rows.as_of_date).toordinal() for _, ended, _ in found])
    seen = np.array([ended is not None for _, ended, _ in found])
    weight = np.array([number for _, _, number in found], dtype=float)
    missed, chance = _expected_before(starts, stops, seen, weight, begin, first)
    if chance <= (OF_FEW if FEW <= weight[seen].sum() <= missed else NO_END_BEFORE):
        said = {"accounts": count_of(before, "account"), "first": first, "missed": missed}
        yield warning("survivors", "accounts", "ended_on", **said)


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
    if "arr" not in rows.loaded["accounts"].columns:
        return
    ((accounts, known, left, known_left),) = _found(rows, "arr_known")
    if known < accounts:
        many = count_of(accounts, "account")
        said = {"known": known, "accounts": many, "known_left": known_left, "left": left}
        yield warning("arr_partly_known", "accounts", "arr", **said)


def _leaks(rows: CheckedRows) -> Iterator[DataWarning]:
    """Warn about declared attributes and columns of the schema that reveal churn."""
    ((ends, left),) = _found(rows, "ends_and_others")
    if min(ends, left) < MIN_ACCOUNTS:
        return
    for name, number in _columns_to_judge(rows):
        what = f"attribute {name!r}" if name in rows.attributes else f"column {name!r}"
        cell = f"TRY_CAST({quoted(name)} AS DOUBLE)" if number else quoted(name)
        blank = f"({cell} IS NULL{f' OR {cell} = 0' if number else ''})"
        ((gone, there),) = _found(rows, "blank", blank=blank)
        if gone - there > 0.5:
            shares = {"gone": share_text(gone), "there": share_text(there)}
            said = message("blank_at_end", what=what, **shares)
        elif not number and (found := _value_of_ended(rows, cell)):
            value, n, alike, other = found
            shares = {"alike": share_text(alike), "other": share_text(other)}
            many = count_of(n, "account")
            said = message("value_of_ended", what=what, value=value, accounts=many, **shares)
        elif (auc := _auc(rows, cell, number)) > SEPARATES:
            said = message("separates", what=what, auc=auc)
        else:
            continue
        yield DataWarning("column_reveals_churn", "accounts", said, name)


def _value_of_ended(rows: CheckedRows, cell: str) -> tuple[str, int, float, float] | None:
    """Return a value that many ended accounts have and almost no others; None without one.

    Also return its number of accounts, the share of them that ended, and the share of the other
    accounts that ended.
    """
    limits = {"least": MIN_ACCOUNTS, "nearly_all": NEARLY_ALL, "of_ended": OF_ENDED}
    found = _found(rows, "value_of_ended", cell=cell, **limits)
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


def _auc(rows: CheckedRows, cell: str, number: bool) -> float:
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
    ((area,),) = _found(rows, "auc", score=score)
    return float(max(area, 1 - area) if number else area)
