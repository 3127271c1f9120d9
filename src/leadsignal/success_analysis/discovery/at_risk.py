"""Rows at risk, with what was known about each account one warning time earlier.

A row of the panel at day s has the states of that day; its outcome is churn between s plus the
warning time and the next snapshot plus the warning time. Accounts about to leave stop everything,
so today's state may be a consequence of the decision to leave. A state one warning time earlier, in
accounts still active, may precede it.

Matched risk sets: each churn with accounts at risk at the same tenure and contract term.

Under the null hypothesis, any member of a set could be the case, with the probability given by the
adjusters (Cox's partial likelihood). Redrawing the cases with these probabilities gives the null
distribution of the maximum of all statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.cohorts.covariates import columns_of
from leadsignal.config.toml_files import one_of
from leadsignal.errors import OptionError
from leadsignal.indicators.declare import Indicator
from leadsignal.model.effects.columns import SKEWED, skewness
from leadsignal.panel import Panel
from leadsignal.survival.cox import fit_cox
from leadsignal.survival.inputs import Bools, Floats, Ints

LAGGED = ("activity", "usage")
"""Families of indicators of how active an account was; taken at the earlier day, like the
process."""
MATCHED = ("tenure_days", "term_months", "days_to_renewal")
"""Context that risk sets match on: tenure to the day, and the contract term."""
ONCE_IN = 0.01
"""A column is left out of the adjustment if a smaller share of its rows is nonzero."""


@dataclass(frozen=True, eq=False)
class AtRisk:
    """Rows at risk on (``start``, ``stop``] days of tenure, with the states a warning time earlier.

    ``accounts`` are ids and ``customers`` the codes of their customers; ``account`` (n) indexes
    both, ``row`` indexes the panel's rows sorted by account and day, and ``day`` is the earlier
    day. ``stratum`` encodes the contract term and other matched columns. ``adjusters`` (n × p) hold
    activity, usage, context and size on the earlier day as splines and dummy variables;
    ``adjusted_for`` names them.
    """

    accounts: np.ndarray
    customers: Ints
    account: Ints
    row: Ints
    day: Ints
    start: Floats
    stop: Floats
    event: Bools
    stratum: Ints
    adjusters: Floats
    adjusted_for: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.day)

    @property
    def cluster(self) -> Ints:
        """Code of each row's customer."""
        return self.customers[self.account]


@dataclass(frozen=True)
class KnownBefore:
    """The days on which the state of a process is known.

    It is known from day ``since`` for accounts that started on or after it, ``lookback`` days later
    for older accounts, and until day ``until`` (None: the as-of date).
    """

    since: int
    lookback: int
    until: int | None = None

    def at(self, day: Ints, started: Floats) -> Bools:
        """Return whether the state is known on ``day`` for accounts that started on ``started``."""
        known: Bools = (started >= self.since) | (day >= self.since + self.lookback)
        return known if self.until is None else known & (day <= self.until)


def rows_at_risk(
    panel: Panel, warning_time: int, known_before: KnownBefore, *, match: Sequence[str] = ()
) -> AtRisk:
    """Return the rows of ``panel`` whose accounts are still at risk a warning time later.

    Churn is dated by the day it was known. ``match`` names context columns that risk sets match on,
    in addition to the contract term. Raises OptionError for an unknown column.
    """
    frame = in_order(panel)
    account, accounts, day = whose(frame)
    customers = pd.factorize(frame["customer_id"])[0][~frame["account_id"].duplicated()]
    tenure = frame["start"].to_numpy(dtype=float)
    same = np.append(account[1:] == account[:-1], False)
    length = np.where(same, np.append(np.diff(day), 0), panel.every)
    known = frame["known_within"].to_numpy(dtype=float, na_value=np.nan)
    follow = np.where(np.isnan(known), frame["days_observed"].to_numpy(dtype=float), known)
    left = follow - warning_time
    churns = ~np.isnan(known) & ~frame["end_cause"].isin(panel.project.not_churn).to_numpy()
    kept = np.flatnonzero((left > 0) & known_before.at(day, day - tenure) & (length > 0))
    rows = frame.iloc[kept]
    matrix, names = _adjusters(panel, rows, (*MATCHED, *match))
    start = tenure[kept] + warning_time
    stop = start + np.minimum(left, length)[kept]
    event = (churns & (left <= length))[kept]
    return AtRisk(
        accounts, customers.astype(np.int64), account[kept], kept.astype(np.int64), day[kept],
        start, stop, event, _strata(panel, rows, match), matrix, names,
    )  # fmt: skip


def _strata(panel: Panel, rows: pd.DataFrame, match: Sequence[str]) -> Ints:
    """Return codes of the combinations of contract term and values in ``match``."""
    allowed = [one.name for one in panel.indicators if one.role == "context"]
    for name in match:
        if name not in allowed or name in MATCHED:
            raise OptionError(f"match = {name!r}", one_of(set(allowed) - set(MATCHED), name))
    columns = [*match, *(["term_months"] if "term_months" in rows else [])]
    if not columns or not len(rows):
        return np.zeros(len(rows), dtype=np.int64)
    return np.asarray(rows.groupby(columns, dropna=False).ngroup(), dtype=np.int64)


def in_order(panel: Panel) -> pd.DataFrame:
    """Return the panel's rows sorted by account and day."""
    return panel.frame.sort_values(["account_id", "snapshot_on"], ignore_index=True)


def whose(frame: pd.DataFrame) -> tuple[Ints, np.ndarray, Ints]:
    """Return each row's account as a code, the account ids by code, and each row's day."""
    account, accounts = pd.factorize(frame["account_id"])
    day = frame["snapshot_on"].to_numpy().astype("datetime64[D]").astype(np.int64)
    return account.astype(np.int64), np.asarray(accounts, dtype=object), day


def is_compared(indicator: Indicator) -> bool:
    """Whether comparisons match on an indicator or adjust for it."""
    return indicator.family in LAGGED or indicator.role == "context"


def _adjusters(
    panel: Panel, rows: pd.DataFrame, matched: Sequence[str]
) -> tuple[Floats, tuple[str, ...]]:
    """Return the columns to adjust for, with mean 0 and standard deviation 1, and their names."""
    values: dict[str, np.ndarray] = {}
    for one in panel.indicators:
        if is_compared(one) and one.name not in matched:
            values[one.name] = _plain(rows[one.name], one.kind, log=one.family in LAGGED)
    if "arr" in rows and "arr_now" not in values and rows["arr"].notna().any():
        values["arr"] = _plain(rows["arr"], "number", log=True)
    if not values or not len(rows):
        return np.zeros((len(rows), 0)), ()
    matrix, _ = columns_of(values)
    spread = matrix.std(axis=0)
    common = (spread > 0) & ((matrix != 0).mean(axis=0) >= ONCE_IN)
    matrix = (matrix[:, common] - matrix[:, common].mean(axis=0)) / spread[common]
    return np.ascontiguousarray(matrix), tuple(values)


def _plain(values: pd.Series[Any], kind: str, *, log: bool) -> np.ndarray:
    if kind == "category":
        return values.astype(object).to_numpy()
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    known = numbers[~np.isnan(numbers)]
    skewed = len(known) > 0 and known.min() >= 0 and skewness(known) > SKEWED
    # Ratios of counts, amounts and sizes matter, hence logs; attributes may be negative.
    return np.log1p(np.maximum(numbers, 0)) if log or skewed else numbers


MAX_CONTROLS = 50
"""Maximum number of controls per churn; more would reduce the variance by less than 2 %."""
MIN_INFORMATION = 0.5
"""With less information, a state varies within at most about two sets and cannot be tested."""
RIDGE = 1.0
"""Ridge penalty that stabilises adjusters that barely vary; adds one unit of information each."""
LIGHT_RIDGE = 0.05
"""Ridge penalty that keeps the coefficient of a process finite if no adopter left; with ten churns
it shrinks the coefficient by 0.5 %."""


@dataclass(frozen=True, eq=False)
class MatchedSets:
    """Members of the sets, set by set, the case first.

    ``row`` (members) indexes the rows at risk, ``first`` (sets + 1) is where each set begins, and
    ``cluster`` (sets) is the case's customer.
    """

    row: Ints
    first: Ints
    cluster: Ints

    def __len__(self) -> int:
        return len(self.first) - 1

    @property
    def of(self) -> Ints:
        """Index of each member's set."""
        return np.repeat(np.arange(len(self)), np.diff(self.first))

    def sums(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the sums over the members of each set (sets × columns)."""
        return np.add.reduceat(values, self.first[:-1], axis=0)


def matched_sets(at_risk: AtRisk, *, seed: int) -> MatchedSets:
    """Return the risk set of each churn: up to 50 accounts with its term at risk at its tenure."""
    rng = np.random.default_rng(seed)
    members, sizes, cases = [], [], []
    for stratum in np.unique(at_risk.stratum):
        mine = np.flatnonzero(at_risk.stratum == stratum)
        mine = mine[np.argsort(at_risk.start[mine], kind="stable")]
        start, stop = at_risk.start[mine], at_risk.stop[mine]
        longest = float((stop - start).max())
        for case in mine[at_risk.event[mine]]:
            time = at_risk.stop[case]
            near = slice(*np.searchsorted(start, (time - longest, time)))
            others = mine[near][stop[near] >= time]
            others = others[at_risk.cluster[others] != at_risk.cluster[case]]
            if len(others) > MAX_CONTROLS:
                others = rng.choice(others, MAX_CONTROLS, replace=False)
            if len(others):
                members += [np.array([case]), others]
                sizes.append(len(others) + 1)
                cases.append(case)
    first = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
    row = np.concatenate(members) if members else np.zeros(0, np.int64)
    return MatchedSets(row, first, at_risk.cluster[np.array(cases, dtype=np.int64)])


@dataclass(frozen=True, eq=False)
class Scores:
    """Score and information of each candidate by set, adjusted.

    ``members`` (members × candidates) are states minus their mean in the set and minus what the
    adjusters explain; ``chance`` (members) is each member's probability of being the case;
    ``score`` and ``information`` (sets × candidates) are the sets' contributions.
    """

    sets: MatchedSets
    members: NDArray[Any]
    chance: Floats
    score: Floats
    information: Floats

    def at(self, place: Ints) -> Scores:
        """Return the scores of the candidates at ``place``."""
        names = ("members", "score", "information")
        return replace(self, **{name: getattr(self, name)[:, place] for name in names})

    def z(self, weights: Floats | None = None) -> Floats:
        """Return z statistics; positive if cases have adopted less than their sets.

        ``weights`` (draws × sets) give the statistics of resamples of the sets.
        """
        score, information = self.totals(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(information > MIN_INFORMATION, -score / np.sqrt(information), 0.0)

    def ratio(self) -> Floats:
        """Return each candidate's hazard ratio after one Newton step from no effect."""
        score, information = self.totals()
        # If a state hardly varies within sets, one step is meaningless.
        known = information > MIN_INFORMATION
        step = np.divide(score, information, out=np.full_like(score, np.nan), where=known)
        return np.exp(step)

    def totals(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """Return score and information summed over sets, with ``weights`` if given."""
        if weights is None:
            return self.score.sum(axis=0), self.information.sum(axis=0)
        return weights @ self.score, weights @ self.information

    def permuted_maxima(self, draws: int, *, seed: int) -> Floats:
        """Return the maximum statistic of each of ``draws`` random redraws of the cases."""
        rng = np.random.default_rng(seed)
        total = np.zeros((draws, self.members.shape[1]), dtype=np.float32)
        for first, after in zip(self.sets.first[:-1], self.sets.first[1:], strict=True):
            running = np.cumsum(self.chance[first:after])
            picks = np.searchsorted(running, rng.random(draws) * running[-1], side="right")
            total += self.members[first:after][np.minimum(picks, after - first - 1)]
        information = self.information.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            known = information > MIN_INFORMATION
            z = np.where(known, -total / np.sqrt(information), -np.inf)
        return np.asarray(z.max(axis=1), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Chances:
    """Each member's probability ``chance`` (members) of being the case, given only the adjusters.

    ``Z`` (members × p) are the adjusters and the processes named before, centred within sets.
    """

    sets: MatchedSets
    chance: Floats
    Z: Floats

    def scores(self, states: Bools) -> Scores:
        """Return the scores of ``states`` (rows at risk × candidates)."""
        # Single precision suffices: states are 0 or 1, sets are small, and candidates are many.
        chance = np.asarray(self.chance[:, None], dtype=np.float32)
        X = _centred(self.sets, states[self.sets.row].astype(np.float32), chance)
        if self.Z.shape[1]:
            Z = self.Z.astype(np.float32)
            weighed = self.Z * self.chance[:, None]
            gram = weighed.T @ self.Z + 1e-9 * np.eye(self.Z.shape[1])
            explained = np.linalg.solve(gram, weighed.astype(np.float32).T @ X)
            X -= Z @ explained.astype(np.float32)
        information = self.sets.sums(np.square(X) * chance).astype(np.float64)
        score = X[self.sets.first[:-1]].astype(np.float64)
        return Scores(self.sets, X, self.chance, score, information)


def chances_of(sets: MatchedSets, at_risk: AtRisk, covariates: Floats) -> Chances:
    """Return the probabilities given the adjusters and ``covariates`` (rows × k)."""
    Z = np.ascontiguousarray(np.column_stack((at_risk.adjusters, covariates))[sets.row])
    if not Z.shape[1]:
        return Chances(sets, 1 / np.diff(sets.first)[sets.of], Z)
    is_case = np.zeros(len(sets.row), dtype=bool)
    is_case[sets.first[:-1]] = True
    ridge = np.full(Z.shape[1], RIDGE)
    ridge[Z.shape[1] - covariates.shape[1] :] = LIGHT_RIDGE
    fit = fit_cox(Z, np.ones(len(Z)), is_case, strata=sets.of, ridge=ridge, ties="breslow")
    eta = Z @ fit.coef
    risk = np.exp(eta - np.maximum.reduceat(eta, sets.first[:-1])[sets.of])
    chance = risk / sets.sums(risk)[sets.of]
    return Chances(sets, chance, _centred(sets, Z, chance[:, None]))


def _centred(sets: MatchedSets, values: NDArray[Any], chance: NDArray[Any]) -> NDArray[Any]:
    """Return values minus their set's mean, weighted by ``chance`` (members × 1)."""
    centred: NDArray[Any] = values - sets.sums(values * chance)[sets.of]
    return centred
