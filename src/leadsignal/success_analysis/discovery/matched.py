"""Matched risk sets: each churn with accounts at risk at the same tenure and contract term.

Under the null hypothesis, any member of a set could be the case, with the probability given by the
adjusters (Cox's partial likelihood). Redrawing the cases with these probabilities gives the null
distribution of the maximum of all statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.success_analysis.discovery.at_risk import AtRisk
from leadsignal.survival.cox import fit_cox
from leadsignal.survival.inputs import Bools, Floats, Ints

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
        return Scores(
            self.sets,
            self.members[:, place],
            self.chance,
            self.score[:, place],
            self.information[:, place],
        )

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
