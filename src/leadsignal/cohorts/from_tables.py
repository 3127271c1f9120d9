"""Build dated cohorts from tables, also of control behaviours by the same rule.

A control should resemble the exposure in everything but its effect: the same kind of rule, met
for about the same share of the accounts' time. Thresholds depend only on that share, never on
outcomes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.accounts import known_ends
from leadsignal.arguments import checked, reads_weights
from leadsignal.as_of_context import AsOfContext
from leadsignal.cohorts.dated import CHURN, OTHER_END, ContractTerms, DatedCohorts
from leadsignal.cohorts.named_comparisons import (
    Changes,
    adopted_changes,
    changes_from_frame,
    changes_of,
    event_day,
    ready_comparisons,
)
from leadsignal.config.success import Process, SuccessAnalysis
from leadsignal.engine.grid import HALF_A_DAY
from leadsignal.errors import ModelError
from leadsignal.formats import count_of
from leadsignal.ingestion.dialect import day_number
from leadsignal.sources.parts import literals
from leadsignal.survival.inputs import Bools, Floats, Ints
from leadsignal.tables import Tables, queried


@dataclass(frozen=True, eq=False)
class Accounts:
    """The n accounts of some tables: ids, clusters, days of start, entry and stop, and cause.

    ``weight`` is the number of accounts that each represents; None if the tables have all accounts.
    """

    ids: NDArray[Any]
    cluster: NDArray[Any]
    started: Floats
    entry: Floats
    stop: Floats
    cause: Ints
    covariates: dict[str, NDArray[Any]]
    weight: Floats | None


@checked
@reads_weights
def dated_cohorts(
    tables: Tables,
    by: str | pd.DataFrame,
    analysis: SuccessAnalysis | None = None,
    *,
    dated_covariates: tuple[str, ...] = (),
    lag: int = 0,
    context: AsOfContext | None = None,
) -> DatedCohorts:
    """Return the dated cohorts of a comparison.

    An account is at risk from its start, or from the first day on which its cohort is known, until
    its end became known, the as-of date, or the last day on which the events are complete.

    Parameters
    ----------
    tables : Tables
        The tables.
    by : str or DataFrame
        As in `compare_cohorts`.
    analysis : SuccessAnalysis, optional
        The success analysis; each of its processes is a comparison.
    dated_covariates : tuple of str, default ()
        Names of other comparisons whose states are used as covariates.
    lag : int, default 0
        Number of days by which the state is measured earlier.
    context : AsOfContext, optional
        Intermediate results to reuse.

    Returns
    -------
    DatedCohorts

    Raises
    ------
    OptionError
        If ``by`` is not a comparison.
    TablesError
        If ``by`` is a frame with faults; it is checked in the same way as the tables.
    ModelError
        If there is only one cohort.

    Examples
    --------
    >>> import leadsignal as ls
    >>> dated_cohorts(ls.read_tables(ls.sample_folder()), "measured").levels
    ('unmeasured', 'measured')
    """
    context = AsOfContext.of(tables, analysis, context)
    name = by if isinstance(by, str) else "event"
    changes = changes_of(context, by) if isinstance(by, str) else changes_from_frame(tables, by)
    return cohorts_from_changes(context, name, changes.later(lag), dated_covariates)


def cohorts_from_changes(
    context: AsOfContext, name: str, changes: Changes, dated_covariates: tuple[str, ...] = ()
) -> DatedCohorts:
    """Return the dated cohorts defined by changes of state; see `dated_cohorts`."""
    tables = context.tables
    zero = _flags(tables) if name == "rescued" and "flags" in tables.names else None
    accounts, notes = _accounts(context, changes, zero)
    if not len(accounts.ids):
        raise ModelError(
            f"no account is observed from the day on which its state of {name} is known",
            "; ".join(notes),
        )
    own = name.removeprefix("attribute:")
    cohorts = _in_cohorts(
        accounts, name, changes,
        covariates={k: v for k, v in accounts.covariates.items() if k != own},
        dated_covariates={
            other: _in_cohorts(accounts, other, changes_of(context, other))
            for other in dated_covariates
        },
        since="the flag" if zero is not None else "the start", landmark=changes.landmark,
        in_quarters=changes.table is None and own in tables.attributes,
        terms=_terms(tables, accounts) if name == "contract" else None,
        notes=(*([changes.meaning] if changes.meaning else []), *notes),
    )  # fmt: skip
    return cohorts.without(changes.away) if changes.away else cohorts


def _terms(tables: Tables, accounts: Accounts) -> ContractTerms | None:
    """Return the contract terms of the accounts: from the start, and from each renewal.

    A renewal without a term keeps the term of the account. None if no term is known.
    """
    columns = tables.columns("contract_changes")
    term = "max(term_months)" if "term_months" in columns else "NULL"
    frame = queried(
        tables,
        f'SELECT account_id, CAST(changed_at AS DATE) AS "on", {term} AS term'
        f" FROM ({tables.sql('contract_changes')}) AS t WHERE kind = 'renewal'"
        " GROUP BY ALL ORDER BY ALL",
    )
    at_start = accounts.covariates.get("term_months", np.full(len(accounts.ids), np.nan))
    position, day = _placed(accounts, frame)
    months = frame["term"].to_numpy(dtype=np.float64, na_value=np.nan)
    months = np.where(np.isnan(months), at_start[np.maximum(position, 0)], months)
    account = np.append(np.arange(len(accounts.ids)), position)
    day, months = np.append(np.zeros(len(accounts.ids)), day), np.append(at_start, months)
    kept = (account >= 0) & (months > 0)
    return ContractTerms(account[kept], day[kept], months[kept]) if kept.any() else None


def _in_cohorts(accounts: Accounts, name: str, changes: Changes, **more: Any) -> DatedCohorts:
    """Assign accounts to the cohorts defined by changes of state."""
    position, day = _placed(accounts, changes.frame)
    kept = position >= 0
    return DatedCohorts.from_changes(
        name, changes.levels, accounts.ids, accounts.stop, accounts.cause,
        (position[kept], day[kept], changes.frame["state"].to_numpy()[kept]),
        entry=accounts.entry, cluster=accounts.cluster, zero_days=accounts.started,
        weight=accounts.weight, **more,
    )  # fmt: skip


def is_dated(tables: Tables, analysis: SuccessAnalysis | None, name: str) -> bool:
    """Whether a name refers to a comparison with dates rather than to a value at the start."""
    ready = ready_comparisons(tables, analysis or SuccessAnalysis(()))
    return name in ready and name not in tables.attributes


def _placed(accounts: Accounts, frame: pd.DataFrame) -> tuple[Ints, Floats]:
    """Return the account position (−1: none) and the day since time zero of each change."""
    order = np.argsort(accounts.ids, kind="stable")
    sorted_ids = accounts.ids[order]
    requested = frame["account_id"].to_numpy(dtype=object).astype(str)
    place = np.minimum(np.searchsorted(sorted_ids, requested), len(sorted_ids) - 1)
    found = sorted_ids[place] == requested
    position = np.where(found, order[place], -1)
    on = _days(frame["on"])
    return position, on - accounts.started[np.maximum(position, 0)]


def _days(column: Any) -> Floats:
    """Return dates as days since 1970, NaN where empty."""
    # Skip to_datetime for a column of dates: it would convert every value.
    is_dated = isinstance(column, pd.Series) and column.dtype.kind == "M"
    dated = column if is_dated else pd.to_datetime(column)
    moments = dated.to_numpy(dtype="datetime64[s]")
    days = moments.astype("datetime64[D]").astype(np.int64).astype(np.float64)
    return np.where(np.isnat(moments), np.nan, days)


def _flags(tables: Tables) -> pd.DataFrame:
    """Return the first flag of each account, which is time zero of a rescue."""
    return queried(
        tables,
        'SELECT account_id, CAST(min(greatest(flagged_on, known_on)) AS DATE) AS "on"'
        f" FROM ({tables.sql('flags')}) AS t GROUP BY account_id",
    )


def _lives(context: AsOfContext) -> Accounts:
    """Return all accounts from their start to their known end (NaN: none is known)."""
    frame = context.accounts
    ends = known_ends(context.tables, frame)
    over = _days(ends["known_on"])
    customer = frame["customer_id"].where(frame["customer_id"].notna(), frame["account_id"])
    cause = np.where(np.isnan(over), 0, np.where(ends["is_churn"], CHURN, OTHER_END))
    columns = (frame["account_id"], customer)
    ids, cluster = (one.to_numpy(dtype=object).astype(str) for one in columns)
    started, covariates = _days(frame["started_on"]), _covariates(context.tables, frame)
    return Accounts(ids, cluster, started, started, over, cause, covariates, None)


def _accounts(
    context: AsOfContext, changes: Changes, zero: pd.DataFrame | None
) -> tuple[Accounts, list[str]]:
    tables = context.tables
    lives = context.once(("lives",), lambda: _lives(context))
    ids, started, over, cause = lives.ids, lives.started, lives.stop, lives.cause
    as_of = float(day_number(tables.as_of_date))
    stop = np.fmin(over, as_of)
    first = started.copy()  # the first day on which the account is observed
    if (complete := tables.coverage["accounts"].complete_from) is not None:
        first = np.maximum(first, float(day_number(complete)))
    first, stop, known, notes = _known(tables, changes, started, first, stop)
    if zero is not None:
        flagged = dict(zip(zero["account_id"].astype(str), _days(zero["on"]), strict=True))
        begun = np.array([flagged.get(name, np.nan) for name in ids])
        known &= np.isfinite(begun)
        started, first = np.where(known, begun, started), np.where(known, begun, first)
    cause = np.where(stop < np.fmin(over, as_of), 0, cause)
    at_once = (stop == started) & (cause > 0) & (first == started)
    if zero is None and at_once.any():
        stop = np.where(at_once, started + HALF_A_DAY, stop)
        notes.append(
            f"{count_of(at_once.sum(), 'account')} ended on the day of the"
            " start: counted as ending just after it"
        )
    known &= stop > first
    at_risk = Accounts(
        ids[known], lives.cluster[known], started[known],
        (first - started)[known], (stop - started)[known], cause[known],
        {name: values[known] for name, values in lives.covariates.items()},
        None if tables.sample is None else tables.sample.weight_of(ids[known]),
    )  # fmt: skip
    return at_risk, notes


def _known(
    tables: Tables, changes: Changes, started: Floats, first: Floats, stop: Floats
) -> tuple[Floats, Floats, Bools, list[str]]:
    """Restrict accounts to the days on which the event table determines their state."""
    known, notes = np.ones(len(started), dtype=bool), list[str]()
    if changes.table is None:
        return first, stop, known, notes
    coverage = tables.coverage[changes.table]
    if coverage.complete_from is not None:
        whole = float(day_number(coverage.complete_from))
        early = started < whole
        if changes.for_good and changes.table != "flags":
            known = ~early
            if early.any():
                notes.append(
                    f"{count_of(early.sum(), 'account')} started before"
                    f" {changes.table} is complete"
                    f" ({coverage.complete_from}): what they did before is not known; left out"
                )
        else:
            first = np.where(early, np.maximum(first, whole + changes.window), first)
    if coverage.complete_through is not None:
        stop = np.minimum(stop, float(day_number(coverage.complete_through)) + 1)
    return first, stop, known, notes


def _covariates(tables: Tables, frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return baseline covariates: attributes, term, ARR, and the start itself."""
    values: dict[str, NDArray[Any]] = {
        name: frame[name].to_numpy(dtype=np.float64 if kind == "number" else object)
        for name, kind in tables.attributes.items()
    }
    for name in ("term_months", "arr"):
        if name in tables.columns("accounts"):
            values[name] = frame[name].astype("float64").to_numpy()
    values["started_on"] = _days(frame["started_on"])
    return values


MAX_CONTROLS = 30
"""Maximum number of control behaviours; those shown by most accounts are used."""
MIN_SHARE_OF_ACCOUNTS = 0.05
"""Behaviours shown by a smaller share of accounts are not used as controls."""


def control_names(context: AsOfContext, excluded: frozenset[str]) -> tuple[str, ...]:
    """Return the behaviours usable as controls, those shown by most accounts first."""
    tables = context.tables
    if "behaviors" not in tables.names:
        return ()
    found = tables.accounts_with("behaviors", "behavior")
    enough = MIN_SHARE_OF_ACCOUNTS * len(context.accounts)
    names = sorted((name for name in found if found[name] >= enough), key=lambda n: (-found[n], n))
    return tuple(name for name in names if name not in excluded)[:MAX_CONTROLS]


def lasting_controls(
    context: AsOfContext, names: tuple[str, ...], share: float
) -> Iterator[tuple[str, Changes]]:
    """Yield controls for a permanent exposure: the N-th event of each behaviour.

    N is chosen so that accounts spend about ``share`` of their time after that event.
    """
    lives = context.accounts
    whole = float((_last_days(context, lives) - lives["started_on"]).dt.days.clip(lower=0).sum())
    found = context.once(("event days", names), lambda: _event_days(context, names))
    for name, (days, after) in found.items():
        counts = np.unique(np.geomspace(1, len(after), 40).round().astype(int))
        shares = after[counts - 1] / max(whole, 1.0)
        chosen = counts[np.abs(shares - share).argmin()]
        frame = days.loc[days["number"] == chosen, ["account_id", "on"]].assign(state=1)
        yield name, Changes((f"fewer {name}", f"{chosen} {name}"), frame, "behaviors")


def lapsing_controls(
    context: AsOfContext, names: tuple[str, ...], rule: Process, share: float | None = None
) -> Iterator[tuple[str, Changes]]:
    """Yield controls for an exposure that can lapse: ``rule`` applied to each other behaviour.

    The required number of events is chosen so that accounts meet the rule in about ``share`` of
    their windows; by default, in as many windows as they meet ``rule`` itself.
    """
    counts = _window_counts(context, names, rule.within, by_users=rule.by_users > 1)
    windows = _windows(context, rule.within)
    if share is None:
        share = _windows_met(context, rule) / windows
    processes = tuple(
        replace(
            rule, name=f"control_{place}", behaviors=(name,), applies_to={}, adopt_by=None,
            at_least=_threshold(
                counts[counts["behavior"] == name], share * windows, rule.by_users
            ),
        )
        for place, name in enumerate(names)
    )  # fmt: skip
    shared = AsOfContext(context.tables, SuccessAnalysis(processes))
    for name, process in zip(names, processes, strict=True):
        yield name, adopted_changes(process.name, shared)


def _event_days(
    context: AsOfContext, names: tuple[str, ...]
) -> dict[str, tuple[pd.DataFrame, Floats]]:
    """Return, by behaviour, the event days, numbered within accounts.

    Each comes with the total number of days that accounts were customers after their N-th event.
    """
    tables, known = context.tables, event_day("occurred_at")
    events = queried(
        tables,
        f'SELECT account_id, behavior, {known} AS "on",'
        f" row_number() OVER (PARTITION BY account_id, behavior ORDER BY {known}) AS number"
        f" FROM ({tables.sql('behaviors')}) AS t WHERE behavior IN ({literals(names)})"
        " ORDER BY behavior, account_id, number",
    )
    events = events.assign(on=events["on"].astype("datetime64[ns]"))
    lives = context.accounts[["account_id"]].assign(until=_last_days(context, context.accounts))
    until = events[["account_id"]].merge(lives, on="account_id", how="left")["until"]
    after = (until - events["on"]).dt.days.clip(lower=0).to_numpy(dtype=float)
    return {
        str(name): (
            mine.drop(columns="behavior"),
            np.bincount(mine["number"] - 1, np.nan_to_num(after[mine.index])).astype(np.float64),
        )
        for name, mine in events.groupby("behavior", sort=False)
    }


def _last_days(context: AsOfContext, lives: pd.DataFrame) -> pd.Series[Any]:
    as_of = pd.Timestamp(context.tables.as_of_date)
    ended: pd.Series[Any] = lives["ended_on"].fillna(as_of)
    return ended.where(ended <= as_of, as_of)


def _window_counts(
    context: AsOfContext, names: tuple[str, ...], within: int, *, by_users: bool
) -> pd.DataFrame:
    """Return the number of windows with each number of events and users, by behaviour.

    A window is a period of ``within`` days of one account. Counting users is slow, so it is done
    only if ``by_users``; otherwise the number of users is 1.
    """
    tables = context.tables
    known = by_users and "user_id" in tables.columns("behaviors")
    # Grouping by user first takes half as long as counting distinct users.
    of_user = ", user_id" if known else ""
    sql = (
        "SELECT behavior, events, users, count(*) AS windows FROM ("
        " SELECT behavior, account_id, window_no, CAST(sum(events) AS BIGINT) AS events,"
        f" {'count(user_id)' if known else '1'} AS users FROM ("
        f" SELECT behavior, account_id, {_WINDOW} // {within} AS window_no{of_user},"
        " count(*) AS events"
        f" FROM ({tables.sql('behaviors')}) AS t WHERE behavior IN ({literals(names)})"
        " GROUP BY ALL) GROUP BY ALL) GROUP BY ALL"
    )
    key = ("window counts", names, within, by_users)
    return context.once(key, lambda: queried(tables, sql))


def _windows_met(context: AsOfContext, rule: Process) -> int:
    """Return the number of windows with the events that a rule requires."""
    met = queried(
        context.tables,
        f"SELECT 1 FROM ({context.tables.sql('behaviors')}) AS t"
        f" WHERE behavior IN ({literals(rule.behaviors)})"
        f" GROUP BY account_id, {_WINDOW} // {rule.within} HAVING count(*) >= {rule.at_least}",
    )
    return len(met)


_WINDOW = "(CAST(occurred_at AS DATE) - DATE '1970-01-01')"
"""SQL for the day of an event; divided by the window length, it gives the window number."""


def _windows(context: AsOfContext, within: int) -> float:
    """Return the number of windows of this length in the lifetimes of all accounts."""
    lives = context.accounts
    days = (_last_days(context, lives) - lives["started_on"]).dt.days.clip(lower=0)
    return max(1.0, float(days.sum()) / within)


def _threshold(counts: pd.DataFrame, target: float, by_users: int) -> int:
    """Return the number of events that is reached in about ``target`` windows."""
    enough = counts[counts["users"] >= by_users]
    if enough.empty:
        return 1
    reached = np.bincount(enough["events"], enough["windows"])[::-1].cumsum()[::-1][1:]
    return 1 + int(np.abs(reached - target).argmin())
