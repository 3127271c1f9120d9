"""The rule for whether an account meets its target, as SQL for the panel and as frames.

**Own metric.** On a given day, an account is measured by the metric that its bullseye names: the
bullseye of its segment by the attributes known on that day, or else the common one. If none names a
metric, it is the metric with the most results that have a target by then; ties are broken by the
number of results, then by name. A table without a column ``metric`` holds one metric.

**Result.** A result is compared with the target in its own row, and meets it if it is as good or
better; differences from rounding are ignored. A result without a target is not compared. Of several
results on one day, the best counts.

**Status.** The status on a day is whether the latest result in the account's own metric that has a
target meets it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from leadsignal.config.success import SuccessAnalysis
from leadsignal.sources.parts import literal, quoted
from leadsignal.tables import Tables, queried

if TYPE_CHECKING:
    import pandas as pd

FARTHEST = 10
"""Upper limit of the distance to the target, as a multiple of the target."""
FAR = 1e300
"""A distance larger than that of any result below its target."""
ROUNDING = 1e-9
"""Tolerance, relative to the target, for rounding errors in sums of decimals."""

EVER = "1700-01-01"
"""A date before all dates in the tables, for values that hold from the start."""

_Event = tuple[str, Any, str, Any]
"""A change in what is known of an account: account, first midnight it is known, kind, value."""
_Says = Callable[[Mapping[str, Any], Mapping[str, Any]], Any]
"""A function of an account's attributes and its counts of results; None for no value."""

BEST = ("reached", "better")
"""Columns by which results of one day are ordered; the best has the largest values."""
OWN = (("own", ("yes",)),)
"""Condition for indicators that use the results in the account's own metric."""

BEYOND = "CASE WHEN higher_is_better THEN value - target ELSE target - value END"
SHARE = (
    f"CASE WHEN target IS NULL OR target = 0 THEN NULL ELSE LEAST({FARTHEST}.0, "
    f"GREATEST(-{FARTHEST}.0, ({BEYOND}) / ABS(target))) END"
)
ROW_COLUMNS = {
    # 'yes' if the value reaches its target.
    "met": (
        f"CASE WHEN target IS NULL THEN NULL WHEN {BEYOND} >= -{ROUNDING!r} *"
        f" GREATEST(ABS(target), {ROUNDING!r}) THEN 'yes' ELSE 'no' END"
    ),
    # Distance to the target as a share of the target, positive if better, within -10 and 10.
    "gap": f"FLOOR(({SHARE}) * 1000000 + 0.5) / 1000000",
    # 'yes' if there is a gap; it is undefined for a target of zero.
    "gap_known": "CASE WHEN target IS NULL OR target = 0 THEN 'no' ELSE 'yes' END",
    # The value, with its sign changed if lower is better.
    "better": "CASE WHEN higher_is_better THEN value ELSE -value END",
    # Distance to the target, by which the results of a day are ordered; minimal without a target.
    "reached": f"COALESCE({BEYOND}, {-FAR!r})",
    # The engine counts each metric of an account separately, and selects the account's own.
    "own": "'yes'",
    "metric_name": "COALESCE(metric, '')",
    "one": "1",
    "has_target": "CASE WHEN target IS NULL THEN 0 ELSE 1 END",
}
"""Columns computed for each result, as SQL."""


def names_metrics(columns: tuple[str, ...] | frozenset[str], analysis: SuccessAnalysis) -> bool:
    """Return whether a bullseye names a metric and results have a column for it."""
    return "metric" in columns and bool(analysis.success_metrics)


def attributes_on(tables: Tables) -> pd.DataFrame:
    """Return the accounts with their attributes at ``as_of_date``, by account_id.

    If an attribute changes several times on one day, the largest value counts, as in the panel.
    """
    accounts = tables.frame("accounts").set_index("account_id")
    if "account_changes" not in tables.names:
        return accounts
    import pandas as pd

    changes = tables.frame("account_changes")
    changes = changes.assign(value=changes["value"].fillna("")).sort_values(["changed_on", "value"])
    for name in tables.attributes:
        latest = changes[changes["attribute"] == name].drop_duplicates("account_id", keep="last")
        values = latest.set_index("account_id")["value"].replace("", None).reindex(accounts.index)
        if tables.attributes[name] == "number":
            values = pd.to_numeric(values, errors="coerce")
        accounts[name] = values.where(accounts.index.isin(latest["account_id"]), accounts[name])
    return accounts


def own_results(
    tables: Tables, analysis: SuccessAnalysis | None = None, *, account: str | None = None
) -> pd.DataFrame:
    """Return the visible results in each account's own metric at ``as_of_date``, oldest first.

    Has the columns of results, ``beyond`` (distance to the target, positive if better), ``gap``
    (the same as a share of the target, within -10 and 10), ``better`` (the value, larger is better)
    and ``met`` (None without a target). The best result of a day comes last. ``account`` selects
    one account.
    """
    rows = _with_distances(tables, account)
    own = own_metrics(tables, analysis, account=account)
    last = own.drop_duplicates("account_id", keep="last").set_index("account_id")["metric"]
    return rows[rows["metric"] == rows["account_id"].map(last)].reset_index(drop=True)


def _with_distances(tables: Tables, account: str | None = None) -> pd.DataFrame:
    import pandas as pd

    columns = {"beyond": BEYOND, "gap": SHARE, **{c: ROW_COLUMNS[c] for c in ("better", "met")}}
    columns_sql = ", ".join(f"{rule} AS {quoted(name)}" for name, rule in columns.items())
    rows = queried(
        tables,
        f"SELECT *, {columns_sql} FROM ({tables.sql('results')}) AS r{_only(account)}"
        " ORDER BY account_id, measured_on,"
        " beyond NULLS FIRST, better, value, target, shown_on, metric",
    )
    rows["metric"] = rows["metric"].astype(object).where(rows["metric"].notna(), "")
    met = [{"yes": True, "no": False}.get(answer) for answer in rows["met"]]
    rows["met"] = pd.Series(met, rows.index, dtype=object)
    return rows


def own_metrics(
    tables: Tables, analysis: SuccessAnalysis | None = None, *, account: str | None = None
) -> pd.DataFrame:
    """Return each account's own metric over time: account_id, since, metric; by account and day.

    A row holds from midnight of ``since`` until the next row of the account.
    """
    import pandas as pd

    analysis_used, only = analysis or SuccessAnalysis(()), _only(account)
    if not names_metrics(tables.columns("results"), analysis_used):
        analysis_used = SuccessAnalysis(())
    events: list[_Event] = []
    if analysis_used.success_metrics:
        used = {name for segment in analysis_used.segments for name in segment.applies_to}
        events += _facts(tables, sorted(used), only)
    if not analysis_used.bullseye.success_metric:
        events += _measured(tables, only)
    rows = _turns(events, lambda values, counts: metric_on(values, counts, analysis_used))
    frame = pd.DataFrame(rows, columns=["account_id", "since", "metric"], dtype=object)
    return frame.assign(since=pd.to_datetime(frame["since"]))


def attributes_over_time(
    tables: Tables, names: Sequence[str], of: Callable[[Mapping[str, Any]], Any]
) -> pd.DataFrame:
    """Return a function of each account's attributes over time: account_id, on, value.

    A value holds from the midnight after ``on``; the first one holds from the start.
    """
    import pandas as pd

    rows = _turns(_facts(tables, names, ""), lambda values, _: (of(values),))
    frame = pd.DataFrame(rows, columns=["account_id", "on", "value"], dtype=object)
    on = pd.to_datetime(frame["on"]) - pd.Timedelta(days=1)
    on = on.where(frame["account_id"].duplicated(), pd.Timestamp(EVER))
    return frame.assign(on=on, value=[value for (value,) in frame["value"]])


def _only(account: str | None) -> str:
    return "" if account is None else f" WHERE account_id = {literal(account)}"


def _facts(tables: Tables, used: Sequence[str], only: str) -> Iterator[_Event]:
    """Yield the changes of attributes: versions of the account's row, and dated changes."""
    own = "".join(f", {quoted(name)}" for name in used)
    order = "COALESCE(recorded_at, CAST(started_on AS TIMESTAMP))"
    versions = (
        "SELECT account_id, greatest(started_on, coalesce(CAST(recorded_at AS DATE) + 1,"
        f" started_on)), row_number() OVER (PARTITION BY account_id ORDER BY {order},"
        f" superseded_on NULLS LAST){own} FROM ({tables.history('accounts')}) AS a{only}"
    )
    for account, since, number, *values in _rows(tables, versions):
        yield account, since, "0 version", (number, dict(zip(used, values, strict=True)))
    if used and "account_changes" in tables.names:
        listed = ", ".join(map(literal, used))
        dated = (
            "SELECT account_id, CAST(greatest(changed_on, known_on) AS DATE) + 1, attribute,"
            " changed_on, coalesce(value, '') FROM"
            f" (SELECT * FROM ({tables.sql('account_changes')}) AS c{only}) AS mine"
            f" WHERE attribute IN ({listed})"
        )
        for account, since, name, *values in _rows(tables, dated):
            yield account, since, "1 change", (name, tuple(values))


def _measured(tables: Tables, only: str) -> Iterator[_Event]:
    """Yield the numbers of results that become known by metric, with and without a target."""
    measured = (
        "SELECT account_id, CAST(greatest(measured_on, known_on) AS DATE) + 1,"
        f" coalesce(metric, ''), count(target), count(*) FROM ({tables.sql('results')}) AS r"
        f"{only} GROUP BY ALL"
    )
    for account, since, metric, *counts in _rows(tables, measured):
        yield account, since, "2 results", (metric, counts)


def _turns(events: Iterable[_Event], of: _Says) -> list[tuple[str, Any, Any]]:
    """Return account, midnight and value of ``of`` whenever that value changes."""
    by_account: dict[str, list[tuple[Any, str, Any]]] = {}
    for account, *event in events:
        by_account.setdefault(account, []).append(tuple(event))
    return [
        (account, since, said)
        for account in sorted(by_account)
        for since, said in _turns_of(by_account[account], of)
    ]


def _turns_of(events: list[tuple[Any, str, Any]], of: _Says) -> Iterator[tuple[Any, Any]]:
    newest, facts = 0, dict[str, Any]()
    dated: dict[str, tuple[Any, str]] = {}
    counts: dict[str, list[int]] = {}
    said: Any = None
    events.sort(key=lambda event: event[:2])
    for place, (since, kind, what) in enumerate(events):
        if kind == "0 version" and what[0] > newest:
            newest, facts = what
        elif kind == "1 change":
            dated[what[0]] = max(dated.get(what[0], what[1]), what[1])
        elif kind == "2 results":
            before = counts.get(what[0], [0, 0])
            counts[what[0]] = [before[0] + what[1][0], before[1] + what[1][1]]
        if place + 1 < len(events) and events[place + 1][0] == since:
            continue
        values = {**facts, **{name: value or None for name, (_, value) in dated.items()}}
        found = of(values, counts)
        if found is not None and found != said:
            said = found
            yield since, said


def metric_on(
    attributes: Mapping[str, Any], counts: Mapping[str, Any], analysis: SuccessAnalysis
) -> str | None:
    """Return an account's own metric, given its attributes and its results so far.

    ``counts`` holds, by metric, the number of results with a target and of all results. None if no
    metric is named and nothing has been measured.

    >>> metric_on({}, {"b": [2, 2], "a": [1, 9], "c": [2, 2]}, SuccessAnalysis(()))
    'b'
    """
    named = analysis.bullseye_of(attributes).success_metric
    if named or not counts:
        return named or None
    return min(counts, key=lambda metric: (*(-n for n in counts[metric]), metric))


def status_changes(
    tables: Tables, analysis: SuccessAnalysis | None = None, *, days: int
) -> pd.DataFrame:
    """Return the dates on which each account's status changes: account_id, on, state.

    State 2: the latest result of the last ``days`` days meets its target; 1: it does not; 0: there
    is none. Results count from the day they were recorded, in the metric that was the account's own
    at that time. A change ``on`` a day takes effect at the next midnight.
    """
    import pandas as pd

    rows = _with_distances(tables)
    rows = rows[rows["met"].notna()].assign(day=lambda f: pd.to_datetime(f["measured_on"]))
    known = pd.to_datetime(rows["known_on"]).dt.normalize()
    rows["known"] = known.where(known > rows["day"], rows["day"])
    spells = own_metrics(tables, analysis)
    spells["begin"] = spells["since"] - pd.Timedelta(days=1)
    first = ~spells.duplicated("account_id")
    # Results from before anything was known of an account belong to its first metric.
    # Whole days are exact in every time unit that pandas may have chosen for a column.
    earliest, latest = pd.Timestamp.min.ceil("D"), pd.Timestamp.max.floor("D")
    spells.loc[first, "begin"] = earliest
    spells["until"] = spells.groupby("account_id")["begin"].shift(-1).fillna(latest)
    spans = rows.merge(spells, on=["account_id", "metric"])
    spans["end"] = spans["day"] + pd.Timedelta(days=days)
    spans["on"] = spans["known"].where(spans["known"] > spans["begin"], spans["begin"])
    spans = spans[(spans["known"] < spans["until"]) & (spans["end"] > spans["on"])]
    # Sort by day with the best result last: the newest one known when the metric changed counts.
    spans = newest_known(spans, ["account_id", "begin"])
    spans["state"] = 1 + spans["met"].astype(bool).astype(int)
    following = spans.groupby(["account_id", "begin"])["on"].shift(-1).fillna(latest)
    lapses = (following > spans["end"]) & (spans["end"] < spans["until"])
    lapsed = spans.loc[lapses, ["account_id", "end"]].rename(columns={"end": "on"})
    turned = spells.loc[~first, ["account_id", "begin"]].rename(columns={"begin": "on"})
    none = pd.concat([turned, lapsed]).assign(state=0)
    both = pd.concat([none, spans[["account_id", "on", "state"]]], ignore_index=True)
    both = both.drop_duplicates(["account_id", "on"], keep="last")
    return both.sort_values(["account_id", "on"], ignore_index=True)


def newest_known(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the rows that count from ``on``: the newest of what is known by then.

    Rows must be sorted from old to new. One that becomes known after a newer one never counts.
    """
    frame = frame.assign(place=range(len(frame))).sort_values([*by, "on", "place"])
    frame = frame.drop_duplicates([*by, "on"], keep="last")
    newest = frame["place"] == frame.groupby(by)["place"].cummax()
    return frame[newest].reset_index(drop=True)


def _rows(tables: Tables, sql: str) -> list[tuple[Any, ...]]:
    return tables.connection.cursor().execute(sql).fetchall()
