"""Build dated cohorts from tables: who is at risk, from when, and in which state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.arguments import checked, reads_weights
from leadsignal.as_of_context import AsOfContext
from leadsignal.cohorts.dated import CHURN, OTHER_END, ContractTerms, DatedCohorts
from leadsignal.cohorts.named_comparisons import (
    Changes,
    changes_from_frame,
    changes_of,
    ready_comparisons,
)
from leadsignal.config.success import SuccessAnalysis
from leadsignal.end_of_risk import known_ends
from leadsignal.engine.without_rows import HALF_A_DAY
from leadsignal.errors import ModelError
from leadsignal.ingestion.dialect import day_number
from leadsignal.phrases import count_of
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


@dataclass(frozen=True, eq=False)
class _Lives:
    """All accounts: days of start and of known end, cause, customer, and baseline covariates."""

    ids: NDArray[np.str_]
    started: Floats
    over: Floats
    cause: Ints
    customer: NDArray[np.str_]
    covariates: dict[str, NDArray[Any]]


def _lives(context: AsOfContext) -> _Lives:
    """Return the lifetimes of all accounts."""
    frame = context.accounts
    ends = known_ends(context.tables, frame)
    over = _days(ends["known_on"])
    customer = frame["customer_id"].where(frame["customer_id"].notna(), frame["account_id"])
    return _Lives(
        frame["account_id"].to_numpy(dtype=object).astype(str),
        _days(frame["started_on"]),
        over,
        np.where(np.isnan(over), 0, np.where(ends["is_churn"], CHURN, OTHER_END)),
        customer.to_numpy(dtype=object).astype(str),
        _covariates(context.tables, frame),
    )


def _accounts(
    context: AsOfContext, changes: Changes, zero: pd.DataFrame | None
) -> tuple[Accounts, list[str]]:
    tables = context.tables
    lives = context.once(("lives",), lambda: _lives(context))
    ids, started, over, cause = lives.ids, lives.started, lives.over, lives.cause
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
        ids[known], lives.customer[known], started[known],
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
