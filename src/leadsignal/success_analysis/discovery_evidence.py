"""Evidence for each candidate, given the processes named before, and its p-value.

There are three questions. Do accounts that had adopted the candidate a warning time earlier leave
less often (matched risk sets)? Do accounts that had adopted it at any time by then, even if they
have dropped it since, leave less often? (Accounts that have decided to leave drop what they did,
which moves them from adopted to dropped, but not to never adopted.) And do the results of an
account rise with it?

A matched risk set is a churn with accounts at risk at the same tenure and contract term. Under the
null hypothesis, any member of a set could be the case, with the probability given by the adjusters
(Cox's partial likelihood). Redrawing the cases with these probabilities gives the null distribution
of the maximum of all statistics.

Each result is compared with the account's other results for that metric, by whether the process was
adopted a warning time earlier. Fixed properties of the account cancel out; tenure, and activity and
usage on the earlier day, are adjusted for.

The reported hazard ratio is cross-fitted, because the definition that looks best in some data looks
better there than it is: with enough accounts, the definition is chosen in four fifths of the
customers and evaluated in the remaining fifth, five times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.cohorts.risk_intervals import columns_of
from leadsignal.panel import Panel
from leadsignal.stats import normal_quantile
from leadsignal.success_analysis.discovery_candidates import (
    LAGGED,
    AtRisk,
    Candidate,
    in_order,
    whose,
)
from leadsignal.survival.cox import fit_cox
from leadsignal.survival.inputs import Bools, Floats, Ints
from leadsignal.tables import Tables

# Matched risk sets --------------------------------------------------------------------------------


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


# Results ------------------------------------------------------------------------------------------


CANDIDATES_AT_ONCE = 64
MIN_ACCOUNTS = 30
"""Minimum number of accounts with two or more results; with fewer, results are not tested."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Results, each with the panel row a warning time earlier.

    ``account`` (n) is the account's code, ``row`` (n) the panel row of the earlier day (sorted by
    account and day), and ``group`` (n) the code of account and metric. ``value`` (n) is in standard
    deviations of its metric, higher is better, minus the group's mean and what ``adjusters`` (n ×
    p) explain.
    """

    account: Ints
    row: Ints
    group: Ints
    value: Floats
    adjusters: Floats

    def __len__(self) -> int:
        return len(self.value)


def measured_results(
    tables: Tables, panel: Panel, accounts: np.ndarray, warning_time: int
) -> Measured | None:
    """Return the results of accounts with at least two; None if there are too few such accounts."""
    if "results" not in tables.names:
        return None
    found = tables.frame("results").dropna(subset=["value"])
    metric = found["metric"].fillna("") if "metric" in found else pd.Series("", found.index)
    number = pd.Index(accounts).get_indexer(pd.Index(found["account_id"]))
    day = found["measured_on"].to_numpy().astype("datetime64[D]").astype(np.int64)
    frame = pd.DataFrame({"account": number, "metric": metric, "on": day})
    better = np.where(found["higher_is_better"].eq(False), -1.0, 1.0)
    spread = found["value"].astype(float).groupby(metric).transform("std")
    frame["value"] = better * found["value"].astype(float) / spread
    frame = frame[(frame["account"] >= 0) & np.isfinite(frame["value"])]
    frame = _with_earlier(frame, panel, warning_time)
    frame["group"] = frame.groupby(["account", "metric"]).ngroup()
    frame = frame[frame.groupby("group")["value"].transform("size") >= 2]
    if frame["account"].nunique() < MIN_ACCOUNTS:
        return None
    group = pd.factorize(frame["group"])[0].astype(np.int64)
    Z = columns_of({name: frame[name].to_numpy(dtype=float) for name in _adjusted(panel)})
    Z = _within(Z, group)
    Z = Z[:, Z.std(axis=0) > 1e-9]
    value = _within(frame["value"].to_numpy()[:, None], group)
    account, row = (frame[name].to_numpy(np.int64) for name in ("account", "row"))
    return Measured(account, row, group, _freed(value, Z)[:, 0], Z)


def _adjusted(panel: Panel) -> list[str]:
    return [one.name for one in panel.indicators if one.family in LAGGED] + ["tenure"]


def _with_earlier(frame: pd.DataFrame, panel: Panel, warning_time: int) -> pd.DataFrame:
    """Join the latest panel row at least one warning time before each result."""
    rows = in_order(panel)
    account, _, earlier = whose(rows)
    known = pd.DataFrame({"account": account, "row": np.arange(len(rows)), "earlier": earlier})
    known["began"] = earlier - rows["start"].to_numpy(dtype=np.int64)
    for name in _adjusted(panel)[:-1]:
        known[name] = np.log1p(np.maximum(rows[name].astype(float), 0))
    known = known.sort_values("earlier")
    frame = frame.assign(until=frame["on"] - warning_time).sort_values("until")
    joined = pd.merge_asof(
        frame, known, left_on="until", right_on="earlier", by="account", tolerance=panel.every
    )
    joined = joined.dropna(subset=["earlier"])
    return joined.assign(tenure=joined["on"] - joined["began"])


@dataclass(frozen=True, eq=False)
class Rises:
    """Score and information by customer and candidate (customers × candidates).

    ``customers`` (customers) are the codes of the customers that have results.
    """

    customers: Ints
    score: Floats
    information: Floats

    def at(self, place: Ints) -> Rises:
        """Return the statistics of the candidates at ``place``."""
        return Rises(self.customers, self.score[:, place], self.information[:, place])

    @property
    def effect(self) -> Floats:
        """Difference in results with and without the process earlier, in standard deviations."""
        information = self.information.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(information > 0, self.score.sum(axis=0) / information, np.nan)

    @property
    def std_err(self) -> Floats:
        """Standard error of the effect, clustered by customer."""
        information = self.information.sum(axis=0)
        rest = self.score - self.information * np.nan_to_num(self.effect)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(information > 0, np.sqrt((rest**2).sum(axis=0)) / information, np.nan)

    def z(self, weights: Floats | None = None) -> Floats:
        """Return z statistics; ``weights`` (draws × customers) give those of resamples."""
        if weights is None:
            return np.asarray(self.z(np.ones((1, len(self.score))))[0])
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.nan_to_num((weights @ self.score) / np.sqrt(weights @ np.square(self.score)))

    def permuted_maxima(self, draws: int, *, seed: int) -> Floats:
        """Return the maximum statistic of each draw of random signs for the customers."""
        rng = np.random.default_rng(seed)
        signs = rng.choice(np.array([-1.0, 1.0]), (draws, len(self.score)))
        spread = np.sqrt(np.square(self.score).sum(axis=0))
        with np.errstate(invalid="ignore", divide="ignore"):
            z = (signs @ self.score) / spread
        return np.asarray(np.where(np.isfinite(z), z, -np.inf).max(axis=1))


def rises_of(measured: Measured, customers: Ints, states: np.ndarray) -> Rises:
    """Return each customer's evidence from results on each candidate's ``states`` (n × candidates).

    ``customers`` (accounts) are the codes of the accounts' customers.
    """
    cluster = customers[measured.account]
    order = np.argsort(cluster, kind="stable")
    first = np.flatnonzero(np.append(True, np.diff(cluster[order]) != 0))
    parts = [
        _parts(measured, states[:, begin : begin + CANDIDATES_AT_ONCE], order, first)
        for begin in range(0, states.shape[1], CANDIDATES_AT_ONCE)
    ]
    score, information = (np.hstack(part) for part in zip(*parts, strict=True))
    return Rises(cluster[order][first], score, information)


def _parts(
    measured: Measured, states: np.ndarray, order: Ints, first: Ints
) -> tuple[Floats, Floats]:
    """Return score and information of each customer (customers × candidates)."""
    X = _freed(_within(states.astype(np.float64), measured.group), measured.adjusters)
    score = np.add.reduceat((X * measured.value[:, None])[order], first, axis=0)
    information = np.add.reduceat(np.square(X)[order], first, axis=0)
    # If no account ever changes its state, only rounding errors are left.
    seen = information.sum(axis=0) > 1e-6
    return np.where(seen, score, 0.0), np.where(seen, information, 0.0)


def _within(values: Floats, group: Ints) -> Floats:
    """Return values minus their group's mean."""
    count = np.bincount(group).astype(float)
    order = np.argsort(group, kind="stable")
    first = np.concatenate(([0], np.cumsum(count)[:-1])).astype(np.int64)
    means = np.add.reduceat(values[order], first, axis=0) / count[:, None]
    less: Floats = values - means[group]
    return less


def _freed(values: Floats, adjusters: Floats) -> Floats:
    """Return the residuals of ``values`` after regression on the adjusters."""
    if not adjusters.shape[1]:
        return values
    gram = adjusters.T @ adjusters
    scale = np.trace(gram) / len(gram)
    solved = np.linalg.solve(gram + 1e-9 * scale * np.eye(len(gram)), adjusters.T @ values)
    return values - adjusters @ solved


# Both together ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Exposures:
    """Everything that is tested: rows at risk, matched sets, results, and the candidates' states.

    ``states`` (panel rows × candidates) is adoption at each snapshot; ``ever`` is adoption at that
    snapshot or an earlier one.
    """

    candidates: tuple[Candidate, ...]
    at_risk: AtRisk
    sets: MatchedSets
    measured: Measured | None
    states: Bools
    ever: Bools

    def of(self, behavior: str) -> Ints:
        """Return the positions of a behaviour's candidates."""
        return np.array([n for n, c in enumerate(self.candidates) if c.behavior == behavior])

    @cached_property
    def share(self) -> Floats:
        """Share of rows at risk in which each candidate is adopted."""
        share: Floats = self.states[self.at_risk.row].mean(axis=0)
        return share

    @property
    def behaviors(self) -> tuple[str, ...]:
        """The distinct behaviours."""
        return tuple(dict.fromkeys(c.behavior for c in self.candidates))


@dataclass(frozen=True, eq=False)
class Evidence:
    """Statistics of the candidates at positions ``place``, given the processes named before.

    ``stay`` and ``rise`` (candidates) are z statistics for retention and results; ``p`` is
    corrected for the whole grid and, if there are results, for testing both; ``critical`` are the
    critical values of the two.
    """

    place: Ints
    scores: Scores
    rises: Rises | None
    stay: Floats
    rise: Floats
    p: Floats
    critical: tuple[float, float]

    def together(self, customers: Floats | None = None) -> tuple[Floats, Floats, Floats]:
        """Return stay, rise and their sum; ``customers`` (draws × customers) weight resamples."""
        if customers is None:
            return self.stay, self.rise, self.stay + self.rise
        stay = self.scores.z(customers[:, self.scores.sets.cluster])
        rise = np.zeros_like(stay)
        if self.rises is not None:
            rise = self.rises.z(customers[:, self.rises.customers])
        return stay, rise, stay + rise

    def passes(self, stay: Floats, rise: Floats) -> Bools:
        """Return where both statistics reach their critical values for the whole grid."""
        return (stay >= self.critical[0]) & ((rise >= self.critical[1]) | (self.rises is None))

    def only(self, place: Ints) -> Evidence:
        """Return the evidence for the candidates at ``place``."""
        mine = np.flatnonzero(np.isin(self.place, place))
        rises = None if self.rises is None else self.rises.at(mine)
        numbers = {name: getattr(self, name)[mine] for name in ("place", "stay", "rise", "p")}
        return replace(self, scores=self.scores.at(mine), rises=rises, **numbers)

    def best(self, place: Ints) -> int:
        """Return the position in this evidence of the strongest candidate among ``place``."""
        mine = np.flatnonzero(np.isin(self.place, place))
        return int(mine[self.together()[2][mine].argmax()])


@dataclass(frozen=True, eq=False)
class Rising:
    """Evidence from results for all candidates, and its permutation distribution of the maximum."""

    rises: Rises
    maxima: Floats


def rising(exposures: Exposures, *, draws: int, seed: int) -> Rising | None:
    """Return the evidence from results, or None if there are too few of them."""
    if exposures.measured is None:
        return None
    states = exposures.states[exposures.measured.row]
    rises = rises_of(exposures.measured, exposures.at_risk.customers, states)
    return Rising(rises, rises.permuted_maxima(draws, seed=seed))


def gather(
    exposures: Exposures, chances: Chances, results: Rising | None, place: Ints,
    *, level: float, draws: int, seed: int,
) -> Evidence:  # fmt: skip
    """Return the evidence for the candidates at ``place``, given what ``chances`` adjust for."""
    row = exposures.at_risk.row
    scores = chances.scores(exposures.states[row[:, None], place])
    stay = scores.z()
    maxima = scores.permuted_maxima(draws, seed=seed)
    p = _corrected(stay, maxima)
    if results is None:
        high = (_critical(maxima, level), -np.inf)
        return Evidence(place, scores, None, stay, np.zeros(len(place)), p, high)
    rises = results.rises.at(place)
    rise = rises.z()
    # Both must hold, so take the larger p, doubled for two families of tests.
    p = np.minimum(1.0, 2 * np.maximum(p, _corrected(rise, results.maxima)))
    high = (_critical(maxima, level / 2), _critical(results.maxima, level / 2))
    return Evidence(place, scores, rises, stay, rise, p, high)


def stays_if_ever(exposures: Exposures, chances: Chances, place: int) -> tuple[float, float]:
    """Return z statistic and hazard ratio of ever having adopted, whether dropped since or not.

    In a long history, a single window may be met by chance. If the definition requires one window,
    two consecutive ones are required here, provided that is among the candidates.
    """
    twin = replace(exposures.candidates[place], sustained_for=2)
    if exposures.candidates[place].sustained_for == 1 and twin in exposures.candidates:
        place = exposures.candidates.index(twin)
    scores = chances.scores(exposures.ever[exposures.at_risk.row, place][:, None])
    return float(scores.z()[0]), float(scores.ratio()[0])


def _corrected(statistics: Floats, maxima: Floats) -> Floats:
    """Return p-values corrected by permutation of the maximum (Westfall & Young 1993)."""
    beyond = len(maxima) - np.searchsorted(np.sort(maxima), statistics, side="left")
    return (beyond + 1) / (len(maxima) + 1)


def _critical(maxima: Floats, level: float) -> float:
    """Return the critical value above which the corrected p-value is at most ``level``."""
    allowed = int(np.floor(level * (len(maxima) + 1))) - 1
    return float(np.nextafter(np.sort(maxima)[::-1][max(allowed, 0)], np.inf))


def grid_of(first: Evidence, exposures: Exposures) -> pd.DataFrame:
    """Return every definition compared, with its statistics from the first round."""
    rows = [asdict(exposures.candidates[n]) for n in first.place]
    frame = pd.DataFrame(rows).rename(columns={"within": "within_days"})
    frame["hazard_ratio"] = first.scores.ratio()
    frame["z_stay"] = first.stay
    if first.rises is not None:
        frame["result_effect"], frame["z_rise"] = first.rises.effect, first.rise
    frame["q_value"] = first.p
    order = np.argsort(-first.together()[2], kind="stable")
    return frame.iloc[order].reset_index(drop=True)


FOLDS = 5
ENOUGH_ACCOUNTS = 600
"""With fewer accounts, cross-fitting costs more precision than it removes bias."""


@dataclass(frozen=True)
class Ratio:
    """A hazard ratio with its 95 % interval."""

    estimate: float
    low: float
    high: float


def folds_of(exposures: Exposures, *, seed: int) -> Ints | None:
    """Return a fold for each customer, or None if there are too few accounts to split."""
    if len(np.unique(exposures.at_risk.account)) < ENOUGH_ACCOUNTS:
        return None
    customers = int(exposures.at_risk.customers.max()) + 1
    return np.random.default_rng(seed).permutation(customers) % FOLDS


def crossed(exposures: Exposures, evidence: Evidence, behavior: str, folds: Ints) -> Floats:
    """Return the rows' states (n), each under the definition chosen in the other folds."""
    mine = evidence.only(exposures.of(behavior))
    others = (folds[None, :] != np.arange(FOLDS)[:, None]).astype(float)
    chosen = mine.place[mine.together(others)[2].argmax(axis=1)]
    at_risk = exposures.at_risk
    states = exposures.states[at_risk.row, chosen[folds[at_risk.cluster]]]
    return np.asarray(states, dtype=np.float64)


def hazard_ratio(exposures: Exposures, state: Floats, covariates: Sequence[Floats]) -> Ratio:
    """Return the adjusted hazard ratio of adoption over all rows at risk, clustered by customer."""
    at_risk = exposures.at_risk
    X = np.ascontiguousarray(np.column_stack((state, *covariates, at_risk.adjusters)))
    ridge = np.full(X.shape[1], RIDGE)
    ridge[: 1 + len(covariates)] = LIGHT_RIDGE
    fit = fit_cox(
        X, at_risk.stop, at_risk.event, start=at_risk.start, strata=at_risk.stratum,
        cluster=at_risk.cluster, ridge=ridge,
    )  # fmt: skip
    spread = fit.cov if fit.robust_cov is None else fit.robust_cov
    beta, margin = float(fit.coef[0]), normal_quantile(0.95) * float(np.sqrt(spread[0, 0]))
    return Ratio(*(float(np.exp(x)) for x in (beta, beta - margin, beta + margin)))
