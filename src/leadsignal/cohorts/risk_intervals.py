"""Rows at risk for each method, with their covariates and weights.

``naive`` assigns an account's whole time to the cohort in which it ends up; ``time_dependent``
splits it at the event; ``landmark`` takes the accounts at risk on day L by their state on it;
``target_trial`` clones accounts (see ``trial``); ``at_renewals`` starts again at each renewal. All
later steps are the same for every method: rows, groups, weights.

Sequential trials start before renewals, for changes that are only made around then. Accounts that
expand at a renewal, or shortly before it, have already decided to stay: by the state of each day,
such a change seems to have kept the account. Instead, a trial begins ``lag`` days before each day
on which a contract is due for renewal. Accounts are followed to the next trial, grouped by their
state at its beginning.

Weights of a trial, or by propensity, depend on parameters that are estimated from the same
accounts. An account therefore acts on an estimate in two ways: through its own rows, and through
the parameters and so the weights of all rows. In a sample of customers, the second raises errors,
because customers with large sampling weights determine the parameters but do not churn: intervals
that took weights as known contained 81 % of the values of all customers. With all customers it
lowers them, and they are taken as known: with 400 accounts, intervals then cover 94.7 % (landmark)
and 94.8 % (trial), and otherwise 92.0 and 93.3 %.

The log weight of a row depends on the linear predictors η (accounts × k) of its account, and these
on q parameters. `WeightSlopes` has the derivatives by η, `WeightModel` those of η.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.cohorts.dated import DAYS_A_MONTH, ContractTerms, DatedCohorts, rows_of
from leadsignal.errors import ModelError, OptionError
from leadsignal.survival.inputs import Bools, Floats, Ints, ranges, sums_by_code

METHODS = ("naive", "time_dependent", "landmark", "target_trial", "at_renewals")


@dataclass(frozen=True, eq=False)
class RiskIntervals:
    """Rows at risk on (start, stop] in a group.

    The n rows have ``account`` (position among the cohorts' accounts), ``start``, ``stop``,
    ``cause``, ``group`` (level) and ``weight``. ``origin`` is the day from which the groups are
    compared. ``stratum`` is the stratum of each row; None if all rows are compared with each other.
    ``slopes`` says how estimated weights depend on their parameters; None if they are taken as
    known.
    """

    method: str
    account: Ints
    start: Floats
    stop: Floats
    cause: Ints
    group: Ints
    weight: Floats
    origin: float
    stratum: Ints | None = None
    slopes: WeightSlopes | None = None

    def of(self, levels: tuple[int, ...]) -> RiskIntervals:
        """Return the rows of some groups."""
        return self.where(np.isin(self.group, levels))

    def where(self, kept: Bools) -> RiskIntervals:
        """Return the rows selected by a mask."""
        names = ("account", "start", "stop", "cause", "group", "weight")
        stratum = None if self.stratum is None else self.stratum[kept]
        rows = {name: getattr(self, name)[kept] for name in names}
        slopes = None if self.slopes is None else self.slopes.where(kept)
        return replace(self, **rows, stratum=stratum, slopes=slopes)

    def since(self, day: float) -> RiskIntervals:
        """Return the rows from a day on, cut at that day."""
        later = replace(self, start=np.maximum(self.start, day), origin=day)
        return later.where(self.stop > day)

    def split(self, part: Ints, start: Floats, stop: Floats) -> RiskIntervals:
        """Return parts of the rows: ``part`` is the row of each, at risk on (start, stop]."""
        cause = np.where(stop == self.stop[part], self.cause[part], 0)
        return replace(
            self, account=self.account[part], start=start, stop=stop, cause=cause,
            group=self.group[part], weight=self.weight[part], slopes=None,
            stratum=None if self.stratum is None else self.stratum[part],
        )  # fmt: skip

    def weighted(self, weight: Floats, slopes: WeightSlopes | None = None) -> RiskIntervals:
        """Return the rows with other weights."""
        return replace(self, weight=weight, slopes=slopes)


def follow_naively(cohorts: DatedCohorts) -> RiskIntervals:
    """Follow each account from time zero in the cohort in which it ends up, which is biased.

    With two levels, an account that ever was in the second belongs to it; with more, the last level
    counts.
    """
    if len(cohorts.levels) == 2:
        group = np.isfinite(cohorts.first_day(1)).astype(np.intp)
    else:
        group = np.zeros(len(cohorts), dtype=np.intp)
        order = np.argsort(cohorts.row_stop, kind="stable")
        group[cohorts.row_account[order]] = cohorts.row_state[order]
    return _whole("naive", cohorts, group)


def follow_in_time(cohorts: DatedCohorts) -> RiskIntervals:
    """Follow each account in its time-dependent cohort."""
    return RiskIntervals(
        "time_dependent", cohorts.row_account, cohorts.row_start, cohorts.row_stop,
        cohorts.row_cause, cohorts.row_state, np.ones(len(cohorts.row_account)), 0.0,
    )  # fmt: skip


def with_states_of(rows: RiskIntervals, other: DatedCohorts) -> tuple[RiskIntervals, Ints]:
    """Return rows split where ``other`` changes, and each row's state in ``other`` (−1: none).

    Both must contain the same accounts.
    """
    theirs, count = rows_of(other.row_account, len(other), rows.account)
    mine = np.repeat(np.arange(len(rows.account)), count)
    start = np.maximum(rows.start[mine], other.row_start[theirs])
    stop = np.minimum(rows.stop[mine], other.row_stop[theirs])
    lasts = start < stop
    split = rows.split(mine[lasts], start[lasts], stop[lasts])
    return split, other.row_state[theirs[lasts]]


def in_quarters(
    zero: Floats, account: Ints, start: Floats, stop: Floats
) -> tuple[Ints, Floats, Floats, Ints]:
    """Return rows split at the beginning of each calendar quarter.

    Parameters
    ----------
    zero : ndarray of shape (accounts,)
        Time zero of each account, in days since 1970.
    account, start, stop : ndarray of shape (n,)
        Position of the account of each row, and its days since the time zero of the account.

    Returns
    -------
    tuple of ndarray
        For each part: its row, start, stop, and quarter, counted from 1970.
    """
    since, until = zero[account] + start, zero[account] + stop
    edges = _quarter_days(float(since.min()), float(until.max()))
    first = np.searchsorted(edges, since, side="right") - 1
    last = np.searchsorted(edges, until, side="left") - 1
    row, place = ranges(first, np.maximum(last - first + 1, 1))
    mine = zero[account[row]]
    begins = np.maximum(start[row], edges[place] - mine)
    ends = np.minimum(stop[row], edges[place + 1] - mine)
    quarter = np.floor_divide(edges[place].astype("datetime64[D]").astype("datetime64[M]")
                              .astype(np.int64), 3)  # fmt: skip
    return row, begins, ends, quarter


def _quarter_days(first: float, last: float) -> Floats:
    """Return the first days of the quarters from that of ``first`` to just beyond ``last``."""
    months = [
        np.datetime64(int(np.floor(day)), "D").astype("datetime64[M]").astype(np.int64)
        for day in (first, last)
    ]
    quarters = np.arange(months[0] // 3, months[1] // 3 + 3) * 3
    return quarters.astype("datetime64[M]").astype("datetime64[D]").astype(np.float64)


def within_quarters(rows: RiskIntervals, cohorts: DatedCohorts) -> tuple[RiskIntervals, Ints]:
    """Return rows split at the beginning of each calendar quarter, and the quarter of each.

    If time zero is unknown, the rows are unchanged and form one stratum.
    """
    if cohorts.zero_days is None or not len(rows.account):
        return rows, np.zeros(len(rows.account), dtype=np.intp)
    part, start, stop, quarter = in_quarters(cohorts.zero_days, rows.account, rows.start, rows.stop)
    return rows.split(part, start, stop), quarter


def compared_in_time(cohorts: DatedCohorts, levels: tuple[int, ...]) -> RiskIntervals:
    """Return the time-dependent rows of some levels, split by quarter if the cohorts require it."""
    rows = follow_in_time(cohorts).of(levels)
    if not cohorts.in_quarters:
        return rows
    split, quarter = within_quarters(rows, cohorts)
    return replace(split, stratum=quarter)


def follow_from_landmark(cohorts: DatedCohorts, day: float) -> RiskIntervals:
    """Follow the accounts at risk on ``day``, grouped by their state on that day."""
    rows = _whole("landmark", cohorts, cohorts.state_at(day), day)
    return rows.where(rows.group >= 0)


def _whole(
    method: str, cohorts: DatedCohorts, group: Ints, since: float | None = None
) -> RiskIntervals:
    """Return each account's time at risk from a day on, assigned entirely to its given group."""
    account, start, stop = cohorts.spells()
    cause = np.where(stop == cohorts.stop[account], cohorts.cause[account], 0)
    rows = RiskIntervals(
        method, account, start, stop, cause, group[account], np.ones(len(account)), 0.0
    )
    return rows if since is None else rows.since(since)


def follow_from_renewals(cohorts: DatedCohorts, lag: float) -> RiskIntervals:
    """Follow accounts from ``lag`` days before each renewal to the next, grouped by initial state.

    Days count from the start of each trial. Strata are trials of the same contract length and month
    of tenure. Raises ModelError if there are no contract terms.
    """
    terms: ContractTerms | None = cohorts.terms
    if terms is None:
        raise ModelError("the terms of the contracts are not known")
    cohorts = cohorts.until_away()
    trials = terms.trials(cohorts.stop, lag)
    account, day = trials.account, trials.day
    state = _states_on(cohorts, account, day)
    again = np.append(account[1:] == account[:-1], False)
    stop = np.where(again, np.append(day[1:], 0.0), np.inf)
    stop = np.minimum(stop, cohorts.stop[account])
    cause = np.where(stop == cohorts.stop[account], cohorts.cause[account], 0)
    month = np.round(day / DAYS_A_MONTH)
    kept = (state >= 0) & (stop > day)
    pairs = np.column_stack((trials.months, month))[kept]
    stratum = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    count = int(kept.sum())
    return RiskIntervals(
        "at_renewals", account[kept], np.zeros(count), (stop - day)[kept], cause[kept],
        state[kept], np.ones(count), 0.0, stratum,
    )  # fmt: skip


def _states_on(cohorts: DatedCohorts, account: Ints, day: Floats) -> Ints:
    """Return the level of each account on its given day; −1 if it was not at risk."""
    order = np.lexsort((cohorts.row_start, cohorts.row_account))
    rows, days = len(order), len(day)
    # Sort rows and days together: the row of a day is the last one that starts by that day.
    place = np.lexsort((
        np.append(np.zeros(rows), np.ones(days)),
        np.append(cohorts.row_start[order], day),
        np.append(cohorts.row_account[order], account),
    ))  # fmt: skip
    last = np.maximum.accumulate(np.where(place < rows, place, -1))
    is_day = place >= rows
    found = np.full(days, -1, dtype=np.intp)
    found[place[is_day] - rows] = last[is_day]
    row = order[np.maximum(found, 0)]
    inside = (found >= 0) & (cohorts.row_account[row] == account)
    inside &= (cohorts.row_start[row] <= day) & (day < cohorts.row_stop[row])
    return np.where(inside, cohorts.row_state[row], -1)


@dataclass(frozen=True, eq=False)
class Design:
    """The design of a comparison.

    Parameters
    ----------
    cohorts : DatedCohorts
        The data.
    methods : tuple of str
        Names of the methods.
    adjust : tuple of str
        Names of the covariates to adjust for.
    X : ndarray of shape (accounts, columns), optional
        Baseline covariates.
    mediators : tuple of str
        Names of the dated covariates.
    landmark : int
        Day of the landmark, also used by the target trial.
    horizon : float
        Last day of the restricted means.
    level : float
        Confidence level.
    """

    cohorts: DatedCohorts
    methods: tuple[str, ...]
    adjust: tuple[str, ...]
    X: Floats | None
    mediators: tuple[str, ...]
    landmark: int
    horizon: float
    level: float


def chosen_methods(cohorts: DatedCohorts, methods: Sequence[str] | None) -> tuple[str, ...]:
    """Return the applicable methods, in the order in which they are shown."""
    unknown = [method for method in methods or () if method not in METHODS]
    if unknown:
        raise OptionError(
            f"{', '.join(map(repr, unknown))} is not a method", f"Choose from {', '.join(METHODS)}"
        )
    if cohorts.since_the_start:
        # There is no time before time zero, so all methods agree.
        return ("time_dependent",)
    if "at_renewals" in (methods or ()) and cohorts.terms is None:
        raise OptionError(
            f"at_renewals is a method of the comparison contract, not of {cohorts.name}",
            "Leave it out, or give contract_changes and the terms of contracts",
        )
    always = {"naive"} if cohorts.terms is None else {"naive", "at_renewals"}
    requested = set(METHODS if methods is None else methods) - {"at_renewals"} | always
    return tuple(m for m in METHODS if m in requested)


def chosen_covariates(
    cohorts: DatedCohorts,
    adjust: tuple[str, ...],
    mediators: tuple[str, ...],
    methods: tuple[str, ...],
) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Return the baseline covariates, and the later ones that are named as mediators.

    Raises an error for covariates that the exposure may have changed, unless the target trial is
    the only method: it uses only values recorded before the exposure.
    """
    before_only = set(methods) <= {"naive", "target_trial"}
    values: dict[str, NDArray[Any]] = {}
    later = []
    for name in adjust:
        if name == cohorts.name:
            raise OptionError(
                f"{name} is the cohort itself, so it cannot be adjusted for",
                "Leave it out of adjust=",
            )
        if name in cohorts.covariates:
            values[name] = cohorts.covariates[name]
        elif name in cohorts.dated_covariates and (before_only or name in mediators):
            _refuse_unknown_states(cohorts, name)
            later.append(name)
        elif name in cohorts.dated_covariates:
            raise OptionError(
                f"{name} comes after the start, so {cohorts.name} may have changed it",
                f'Leave it out, name it (mediators=["{name}"]), or take methods=["target_trial"],'
                " which uses only what is known before the event",
            )
        else:
            known = ", ".join(cohorts.covariates) or "none"
            raise OptionError(
                f"{name!r} is not a covariate",
                f"Choose from {known}; declare columns of accounts as attributes",
            )
    return values, tuple(later)


def _refuse_unknown_states(cohorts: DatedCohorts, name: str) -> None:
    """Raise an error if a dated covariate has no state on some days at risk."""
    if len(cohorts.dated_covariates[name]) != len(cohorts):
        raise OptionError(
            f"{name} has other accounts than the cohorts", "Provide its state for each account"
        )
    rows = follow_in_time(cohorts)
    known, _ = with_states_of(rows, cohorts.dated_covariates[name])
    lost = (rows.stop - rows.start).sum() - (known.stop - known.start).sum()
    if lost > 1e-6:
        raise OptionError(
            f"{name} has no state on {lost:,.0f} account-days at risk",
            "Give its state for all of each account's time, or leave it out",
        )


@dataclass(frozen=True, eq=False)
class WeightModel:
    """The parameters of weights.

    ``influence`` (accounts × q) is the influence of each account on the parameters. ``slope`` takes
    the derivative of an estimate by η (accounts × k), and returns that by the parameters (q).
    """

    influence: Floats
    columns: int
    slope: Callable[[Floats], Floats]

    def of(self, seen: Ints, accounts: int) -> WeightModel:
        """Return the model with its accounts at the positions ``seen`` among all accounts."""
        influence = np.zeros((accounts, self.influence.shape[1]))
        influence[seen] = self.influence
        return WeightModel(influence, self.columns, lambda by: self.slope(by[seen]))


@dataclass(frozen=True, eq=False)
class WeightSlopes:
    """Derivatives of the log weight of each row: by η in column ``piece``, and in the last one."""

    piece: Ints
    own: Floats
    last: Floats
    model: WeightModel

    def where(self, kept: Bools) -> WeightSlopes:
        """Return the derivatives of the rows selected by a mask."""
        return WeightSlopes(self.piece[kept], self.own[kept], self.last[kept], self.model)

    def through(self, account: Ints, influence: Floats) -> Floats:
        """Return the influence of each account through the weights, of that of each row (n)."""
        accounts, columns = len(self.model.influence), self.model.columns
        place = account * columns + self.piece
        by = sums_by_code(place, influence * self.own, accounts * columns)
        by = by.reshape(accounts, columns)
        by[:, -1] += sums_by_code(account, influence * self.last, accounts)
        return self.model.influence @ self.model.slope(by)


def hazard_influence(
    until: Floats, happened: Bools, own: Floats, risk: Floats, moments: Floats,
    steps: tuple[Floats, Floats, Floats],
) -> Floats:  # fmt: skip
    """Return the influence of each account on a cumulative hazard at each moment (n × k).

    It is Σ own (dN − risk dH) / Y over the times up to the end of the account. ``steps`` has the
    times of events, the steps dH, and 1 / Y.
    """
    time, step, inverse = steps
    gone = np.concatenate(([0.0], np.cumsum(step * inverse)))
    column = np.searchsorted(time, moments, side="right")
    end = np.searchsorted(time, until, side="right")
    expected = gone[np.minimum(end[:, None], column)]
    at = np.minimum(np.searchsorted(time, until), len(time) - 1)
    counted = happened[:, None] & (until[:, None] <= moments)
    found: Floats = own[:, None] * (counted * inverse[at][:, None] - risk[:, None] * expected)
    return found


KNOTS = 5
"""Number of spline knots."""
RIDGE = 1e-3
"""Penalty on the coefficients of a propensity."""
MIN_ACCOUNTS = 10
"""Values with fewer accounts are pooled."""


def columns_of(covariates: Mapping[str, NDArray[Any]], weight: Floats | None = None) -> Floats:
    """Return a matrix (n × p) of all covariates.

    With sampling weights (n), knots are placed at the quantiles of all accounts.
    """
    blocks = [
        _spline(values, weight) if values.dtype.kind in "fiu" else _indicators(values)
        for values in covariates.values()
    ]
    return np.hstack(blocks) if blocks else np.zeros((0, 0))


def _spline(values: NDArray[Any], weight: Floats | None) -> Floats:
    """Return a restricted cubic spline (Harrell 2015, §2.4.5), with a column for missing values."""
    x = values.astype(np.float64)
    known = np.isfinite(x)
    if len(np.unique(x[known])) < 2 * KNOTS:
        return _indicators(np.where(known, values.astype(str), ""))
    middle, spread = np.median(x[known]), x[known].std()
    z = np.where(known, (x - middle) / spread, 0.0)
    shares, own = np.linspace(0.05, 0.95, KNOTS), None if weight is None else weight[known]
    knots = np.unique(_quantiles(z[known], shares, own))
    columns = [z]
    if len(knots) > 2:
        last, before = knots[-1], knots[-2]
        for knot in knots[:-2]:
            tail = _cube(z - before) * (last - knot) - _cube(z - last) * (before - knot)
            columns.append((_cube(z - knot) - tail / (last - before)) / (last - knots[0]) ** 2)
    if known.sum() <= len(x) - MIN_ACCOUNTS:
        columns.append((~known).astype(np.float64))
    return np.column_stack(columns)


def _quantiles(values: Floats, shares: Floats, weight: Floats | None) -> Floats:
    if weight is None:
        return np.asarray(np.quantile(values, shares), dtype=np.float64)
    order = np.argsort(values)
    middles = np.cumsum(weight[order]) - weight[order] / 2
    return np.asarray(np.interp(shares * weight.sum(), middles, values[order]), dtype=np.float64)


def _cube(x: Floats) -> Floats:
    return np.maximum(x, 0.0) ** 3


def _indicators(values: NDArray[Any]) -> Floats:
    import pandas as pd

    # Number the texts before sorting them, which is slow for many texts.
    code, found = pd.factorize(values, use_na_sentinel=False)
    text = np.array(["" if v is None or v != v else str(v) for v in found.tolist()])
    names, place = np.unique(text, return_inverse=True)
    codes = place[code]
    counts = np.bincount(codes, minlength=len(names))
    often = np.flatnonzero(counts >= MIN_ACCOUNTS)
    base = often[np.argmax(counts[often])] if len(often) else -1
    listed = [code for code in often.tolist() if code != base]
    if (rest := counts[counts < MIN_ACCOUNTS].sum()) > 0 and rest >= MIN_ACCOUNTS:
        codes = np.where(np.isin(codes, often), codes, len(names))
        listed.append(len(names))
    columns: Floats = (codes[:, None] == np.array(listed, dtype=int)).astype(np.float64)
    return columns


def propensity(
    X: Floats, treated: NDArray[np.bool_], ridge: float = RIDGE, weight: Floats | None = None
) -> Floats:
    """Return P(treated | X) by logistic regression with a small ridge penalty (n).

    Fitted by Newton's method; the ridge keeps coefficients finite if a column separates the
    groups. ``weight`` (n) is the number of accounts that each row represents.
    """
    own = np.ones(len(X)) if weight is None else weight
    design = np.column_stack((np.ones(len(X)), X))
    beta, penalty = np.zeros(design.shape[1]), np.full(design.shape[1], ridge)
    penalty[0] = 0.0
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        information = (design * (own * p * (1 - p))[:, None]).T @ design + np.diag(penalty + 1e-9)
        step = np.linalg.solve(information, design.T @ (own * (treated - p)) - penalty * beta)
        beta += step
        if np.abs(step).max() < 1e-8:
            break
    return 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))


def slopes_of_propensity(
    X: Floats, treated: NDArray[np.bool_], p: Floats, weight: Floats, account: Ints
) -> WeightSlopes:
    """Return how weights 1/p and 1/(1 − p) of rows depend on the propensity model.

    ``X`` (accounts × p) has the covariates of all accounts; ``treated``, ``p``, ``weight`` and
    ``account`` (n) belong to the rows that the model was fitted to.
    """
    design = np.column_stack((np.ones(len(X)), X))
    rows = design[account]
    information = (rows * (weight * p * (1 - p))[:, None]).T @ rows
    scores = np.zeros_like(design)
    np.add.at(scores, account, rows * (weight * (treated - p))[:, None])
    information += RIDGE * np.eye(len(information))
    influence = np.linalg.solve(information, scores.T).T.astype(np.float64, copy=False)
    model = WeightModel(influence, 1, lambda by: design.T @ by[:, 0])
    zero = np.zeros(len(account))
    return WeightSlopes(zero.astype(np.intp), np.where(treated, p - 1, p), zero, model)
