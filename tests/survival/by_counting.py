"""Slow, plain definitions that the fast code must equal: every pair, every risk set, by loops."""

import numpy as np


def partial_loglik(
    X: np.ndarray,
    stop: np.ndarray,
    event: np.ndarray,
    coef: np.ndarray,
    start: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    strata: np.ndarray | None = None,
    ties: str = "efron",
) -> float:
    """Cox's partial log-likelihood, one risk set at a time."""
    rows = len(stop)
    start = np.full(rows, -np.inf) if start is None else start
    weights = np.ones(rows) if weights is None else weights
    strata = np.zeros(rows) if strata is None else strata
    eta = X @ coef
    risk, total = weights * np.exp(eta), 0.0
    for stratum in np.unique(strata):
        for time in np.unique(stop[event & (strata == stratum)]):
            there = (strata == stratum) & (start < time) & (stop >= time)
            dying = there & event & (stop == time)
            deaths = dying.sum()
            mean_weight = weights[dying].mean()
            total += weights[dying] @ eta[dying]
            for k in range(deaths):
                share = k / deaths if ties == "efron" else 0.0
                total -= mean_weight * np.log(risk[there].sum() - share * risk[dying].sum())
    return total


def pairs(
    stop: np.ndarray,
    event: np.ndarray,
    score: np.ndarray,
    start: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    strata: np.ndarray | None = None,
) -> np.ndarray:
    """Weights of concordant, discordant and tied pairs, by looking at every pair."""
    rows = len(stop)
    start = np.full(rows, -np.inf) if start is None else start
    weights = np.ones(rows) if weights is None else weights
    strata = np.zeros(rows) if strata is None else strata
    found = np.zeros(3)
    for i in np.flatnonzero(event):
        later = (stop > stop[i]) | ((stop == stop[i]) & ~event)
        others = np.flatnonzero(later & (start < stop[i]) & (strata == strata[i]))
        for j in others:
            place = 0 if score[j] < score[i] else 1 if score[j] > score[i] else 2
            found[place] += weights[i] * weights[j]
    return found


def staying(stop: np.ndarray, censored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kaplan-Meier of staying uncensored just before, and at, each row's stop."""
    before, at = np.ones(len(stop)), np.ones(len(stop))
    for time in np.unique(stop[censored]):
        risk = (stop > time) | ((stop == time) & censored)
        fall = 1 - (censored & (stop == time)).sum() / risk.sum()
        before[stop > time] *= fall
        at[stop >= time] *= fall
    return before, at


def weights_at(stop: np.ndarray, cause: np.ndarray, horizon: float) -> np.ndarray:
    """Inverse probability of censoring weights at a horizon."""
    censored = cause == 0
    before, _ = staying(stop, censored)
    at_horizon = 1.0
    for time in np.unique(stop[censored]):
        if time <= horizon:
            risk = (stop > time) | ((stop == time) & censored)
            at_horizon *= 1 - (censored & (stop == time)).sum() / risk.sum()
    ended = (stop <= horizon) & ~censored
    weights = np.zeros(len(stop))
    weights[ended] = 1 / before[ended]
    weights[stop > horizon] = 1 / at_horizon
    return weights


def auc(stop: np.ndarray, cause: np.ndarray, score: np.ndarray, horizon: float) -> float:
    """Cumulative/dynamic AUC over every pair of a case and a control."""
    weights = weights_at(stop, cause, horizon)
    case = (stop <= horizon) & (cause == 1)
    won = total = 0.0
    for i in np.flatnonzero(case):
        for j in np.flatnonzero(~case):
            weight = weights[i] * weights[j]
            won += weight * (score[i] > score[j]) + weight * (score[i] == score[j]) / 2
            total += weight
    return won / total
