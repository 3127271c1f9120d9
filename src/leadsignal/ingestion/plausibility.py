"""Warnings about valid but suspicious tables, and about rows that an as-of date hides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from leadsignal.formats import count_of, share_text
from leadsignal.ingestion.check_report import CheckedRows, DataWarning, message
from leadsignal.ingestion.churn_leaks import about_churn, filled, started_accounts
from leadsignal.sources.parts import quoted

if TYPE_CHECKING:
    from leadsignal.ingestion.check_report import Loaded
    from leadsignal.ingestion.feed_health import FeedHealth

OLD = 365
"""Days without a record above which a table is old, if it covers a shorter time than that."""
SAMPLED = 2_000_000
"""Number of rows above which repeated rows are searched for on a sample of days only."""


def find_warnings(rows: CheckedRows) -> tuple[DataWarning, ...]:
    """Return the warnings about the tables that were read, in the order of the tables."""
    found = list(rows.found_in_reading)
    for name, loaded in rows.loaded.items():
        found += hidden_rows(rows.store.query, loaded, rows.as_of_date)
        found += (
            [*about_accounts(rows), *_old_accounts(rows)]
            if name == "accounts"
            else _about_events(rows, loaded)
        )
    return tuple(found)


def _about_events(rows: CheckedRows, loaded: Loaded) -> Iterator[DataWarning]:
    if not rows.store.query(f"SELECT 1 FROM {loaded.table.name} LIMIT 1"):
        yield DataWarning("no_rows", loaded.table.name, "exists but has no rows")
        return
    yield from _late(rows, loaded)
    yield from _repeated(rows, loaded)
    if loaded.table.name == "usage" and "series" in loaded.columns:
        for said in _about_series(rows):
            yield DataWarning("usage_series", "usage", said, "series")
    yield from about_churn(rows, loaded)


def _late(rows: CheckedRows, loaded: Loaded) -> Iterator[DataWarning]:
    """Warn if a table is old, or has fallen silent by the rule of monitoring and scoring."""
    name = loaded.table.name
    source = rows.project.tables.get(name)
    if source and source.complete_through:
        return
    counted = rows.store.query(
        f"SELECT CAST({loaded.known_on} AS DATE) AS day, count(*) FROM {name}"
        f" WHERE {rows.before(loaded.known_on)} GROUP BY day ORDER BY day"
    )
    health = _health(rows, name, counted)
    if health is None or health.last_record is None:
        return
    as_of, last = rows.as_of_date, health.last_record
    silent = (as_of - last).days
    if health.stopped:
        usual = count_of(health.usual_days or 0, "day")
        problem = f"usually they follow within {usual}"
    elif silent > max(OLD, (last - counted[0][0]).days):
        problem = "the table is much older than the others"
    else:
        return
    said = message("feed_stopped", last=last, silent=silent, as_of=as_of, problem=problem)
    yield DataWarning("feed_stopped", name, said, loaded.table.time)


def _old_accounts(rows: CheckedRows) -> Iterator[DataWarning]:
    """Warn if the latest starts and ends of accounts are much older than the events."""
    columns = rows.loaded["accounts"].columns
    dates = [name for name in ("started_on", "ended_on") if name in columns]
    days = " UNION ALL ".join(f"SELECT {name} AS day FROM accounts" for name in dates)
    counted = rows.store.query(
        f"SELECT day, count(*) FROM ({days}) WHERE {rows.before('day')} GROUP BY day ORDER BY day"
    )
    health = _health(rows, "accounts", counted)
    if len(rows.loaded) == 1 or health is None or not health.stopped or not health.last_record:
        return
    as_of, last = rows.as_of_date, health.last_record
    silent, later = (as_of - last).days, last + timedelta(days=1)
    said = message("old_accounts", last=last, silent=silent, as_of=as_of, next=later)
    yield DataWarning("feed_stopped", "accounts", said, "started_on")


def _health(rows: CheckedRows, name: str, counted: list[tuple[date, int]]) -> FeedHealth | None:
    from leadsignal.ingestion.feed_health import assess_feed, chance_of_silence, daily_counts

    first, counts = daily_counts(counted, rows.as_of_date)
    if first is None:
        return None
    return assess_feed(name, first, counts, chance_of_silence(len(rows.loaded) - 1))


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
        said = message("repeated_rows", rows=many, among=among, repeat=repeat)
        yield DataWarning("repeated_rows", loaded.table.name, said)


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
    for said in _hidden(query, loaded, as_of):
        yield DataWarning("hidden_rows", loaded.table.name, said)


def _hidden(query: Query, loaded: Loaded, as_of: date) -> Iterator[str]:
    day = f"DATE '{as_of}'"
    if loaded.table.name == "accounts":
        yield from _accounts(query, loaded, as_of)
        return
    ((later,),) = query(
        f"SELECT count(*) FROM {loaded.table.name} WHERE {loaded.known_on} >= {day}"
    )
    if later:
        recorded = ", or recorded only then" if "recorded_at" in loaded.columns else ""
        yield f"{count_of(later, 'row')} on or after {as_of}{recorded}: left out"


def _accounts(query: Query, loaded: Loaded, as_of: date) -> Iterator[str]:
    day, known = f"DATE '{as_of}'", loaded.known_on
    newest, then = "true", f"{known} < {day}"
    if loaded.has_versions:
        newest = "superseded_on IS NULL"
        then += f" AND coalesce(superseded_on >= {day}, true)"
    ended = "ended_on" if "ended_on" in loaded.columns else "CAST(NULL AS DATE)"
    sql = filled("hidden_accounts", day=day, known=known, ended=ended, newest=newest, then=then)
    ((unstarted, unrecorded, later, unread),) = query(sql)
    if unstarted:
        yield f"{count_of(unstarted, 'account')} not yet started on {as_of}: left out"
    if unrecorded:
        yield f"{count_of(unrecorded, 'account')} recorded only on or after {as_of}: left out"
    if later:
        yield f"{count_of(later, 'end')} on or after {as_of}: treated as active"
    if unread:
        yield f"{count_of(unread, 'end')} recorded only on or after {as_of}: treated as active"


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


def _ended(rows: CheckedRows) -> str:
    return f"coalesce({rows.before('ended_on')}, false)"


def _zero_days(rows: CheckedRows) -> Iterator[DataWarning]:
    ((zero,),) = rows.store.query(
        f"SELECT count(*) FROM {started_accounts(rows)} WHERE {_ended(rows)} "
        "AND ended_on = started_on"
    )
    if zero:
        said = message("zero_days", accounts=count_of(zero, "account"))
        yield DataWarning("zero_days", "accounts", said, "ended_on")


def _piled(rows: CheckedRows) -> Iterator[DataWarning]:
    """Warn if many ends fall on one day: the day of the export, or of a clean-up of the system."""
    accounts = {"ended": _ended(rows), "started": started_accounts(rows)}
    ((ends, active),) = rows.store.query(filled("ends_and_others", **accounts))
    if not ends:
        return
    days = rows.store.query(filled("ends_by_day", **accounts))
    day, alike = days[0]
    if _too_many_alike(alike, days[1][1] if len(days) > 1 else 0, ends):
        many, share = count_of(ends, "end"), share_text(alike / ends)
        said = message("ends_on_one_day", alike=alike, ends=many, share=share, day=day)
        yield DataWarning("ends_on_one_day", "accounts", said, "ended_on")
    if not active:
        said = message("no_active_account", as_of=rows.as_of_date)
        yield DataWarning("no_active_account", "accounts", said, "ended_on")


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
    accounts = {"ended": _ended(rows), "started": started_accounts(rows)}
    found = rows.store.query(filled("lives", **accounts))
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
        said = message(
            "survivors", accounts=count_of(before, "account"), first=first, missed=missed
        )
        yield DataWarning("survivors", "accounts", said, "ended_on")


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
    sql = filled("arr_known", ended=ended, started=started_accounts(rows))
    ((accounts, known, left, known_left),) = rows.store.query(sql)
    if known < accounts:
        of_left = {"known_left": known_left, "left": left}
        many = count_of(accounts, "account")
        said = message("arr_partly_known", known=known, accounts=many, **of_left)
        yield DataWarning("arr_partly_known", "accounts", said, "arr")


def _leaks(rows: CheckedRows) -> Iterator[DataWarning]:
    """Warn about declared attributes and columns of the schema that reveal churn."""
    ended, started = _ended(rows), started_accounts(rows)
    sql = filled("ends_and_others", ended=ended, started=started)
    ((ends, left),) = rows.store.query(sql)
    if min(ends, left) < MIN_ACCOUNTS:
        return
    for name, number in _columns_to_judge(rows):
        what = f"attribute {name!r}" if name in rows.attributes else f"column {name!r}"
        cell = f"TRY_CAST({quoted(name)} AS DOUBLE)" if number else quoted(name)
        blank = f"({cell} IS NULL{f' OR {cell} = 0' if number else ''})"
        sql = filled("blank", blank=blank, ended=ended, started=started)
        ((gone, there),) = rows.store.query(sql)
        if gone - there > 0.5:
            shares = {"gone": share_text(gone), "there": share_text(there)}
            said = message("blank_at_end", what=what, **shares)
        elif not number and (found := _value_of_ended(rows, cell)):
            value, n, alike, other = found
            shares = {"alike": share_text(alike), "other": share_text(other)}
            many = count_of(n, "account")
            said = message("value_of_ended", what=what, value=value, accounts=many, **shares)
        elif (auc := _auc(rows, cell, number, ended, started)) > SEPARATES:
            said = message("separates", what=what, auc=auc)
        else:
            continue
        yield DataWarning("column_reveals_churn", "accounts", said, name)


def _value_of_ended(rows: CheckedRows, cell: str) -> tuple[str, int, float, float] | None:
    """Return a value that many ended accounts have and almost no others; None without one.

    Also return its number of accounts, the share of them that ended, and the share of the other
    accounts that ended.
    """
    accounts = {"ended": _ended(rows), "started": started_accounts(rows)}
    limits = {"least": MIN_ACCOUNTS, "nearly_all": NEARLY_ALL, "of_ended": OF_ENDED}
    found = rows.store.query(filled("value_of_ended", cell=cell, **accounts, **limits))
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
    ((area,),) = rows.store.query(filled("auc", ended=ended, started=started, score=score))
    return float(max(area, 1 - area) if number else area)
