"""Cox's model as slowly and obviously as it can be written: one risk set after the other.

Every risk set has its own log-sum-exp, its own mean and its own sum of squares about that mean;
Newton's method climbs to the maximum by halved steps. Whether there is one is decided apart from
the climb, by the definition: the likelihood rises for ever along d where x·d of every event is the
largest in its risk set and differs from some other's in at least one of them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linprog


@dataclass(frozen=True)
class SlowFit:
    coef: np.ndarray
    se: np.ndarray
    loglik: float
    steps: int


@dataclass(frozen=True)
class RiskSet:
    """The rows at risk at one event time of one stratum, and which of them have the event."""

    rows: np.ndarray
    is_event: np.ndarray


def risk_sets(
    stop: np.ndarray,
    event: np.ndarray,
    start: np.ndarray | None = None,
    strata: np.ndarray | None = None,
) -> list[RiskSet]:
    stop, event = np.asarray(stop), np.asarray(event, bool)
    start = np.full(len(stop), -np.inf) if start is None else np.asarray(start)
    strata = np.zeros(len(stop)) if strata is None else np.asarray(strata)
    found = []
    for stratum in np.unique(strata):
        mine = strata == stratum
        for time in np.unique(stop[event & mine]):
            rows = np.flatnonzero(mine & (start < time) & (stop >= time))
            found.append(RiskSet(rows, event[rows] & (stop[rows] == time)))
    return found


def evaluate(
    coef: np.ndarray,
    X: np.ndarray,
    sets: list[RiskSet],
    weights: np.ndarray,
    offset: np.ndarray,
    efron: bool,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Log-likelihood, score and information at `coef`."""
    p, kind = X.shape[1], X.dtype
    loglik, score, information = kind.type(0), np.zeros(p, kind), np.zeros((p, p), kind)
    eta = X @ coef + offset
    for risk_set in sets:
        x, e, w = X[risk_set.rows], eta[risk_set.rows], weights[risk_set.rows]
        event, deaths = risk_set.is_event, int(risk_set.is_event.sum())
        mean_weight = w[event].mean()
        top = e.max()
        loglik += w[event] @ (e[event] - top)
        middle = x[event].mean(axis=0)
        score += w[event] @ (x[event] - middle)
        for k in range(deaths):
            risk = w * np.exp(e - top)
            if efron:
                risk[event] *= 1 - k / deaths
            # In this order log(sum) stays precise where the events have nearly all the risk.
            others, own = risk[~event].sum(), risk[event].sum()
            total = others + own
            loglik -= mean_weight * (np.log(own) + np.log1p(others / own) if own else np.log(total))
            share = risk / total
            mean = share @ (x - middle)
            score -= mean_weight * mean
            deviation = x - middle - mean
            information += mean_weight * (deviation * share[:, None]).T @ deviation
    return loglik, score, information


def slow_cox(X: np.ndarray, sets: list[RiskSet], **options: Any) -> SlowFit:
    """The maximum, of which the caller knows that it exists.

    Where the likelihood is so flat that doubles do not settle, long doubles are tried.
    """
    try:
        return climb(np.asarray(X, float), sets, **options)
    except ArithmeticError:
        return climb(np.asarray(X, np.longdouble), sets, **options)


def climb(
    X: np.ndarray,
    sets: list[RiskSet],
    *,
    weights: np.ndarray | None = None,
    offset: np.ndarray | None = None,
    ridge: Any = 0.0,
    efron: bool = True,
    steps: int = 300,
) -> SlowFit:
    """Newton's method with halved steps, in the precision of X."""
    kind = X.dtype
    scale = np.abs(X - X.mean(axis=0)).max(axis=0)
    Z = (X - X.mean(axis=0)) / scale
    weights = np.ones(len(X), kind) if weights is None else np.asarray(weights, kind)
    offset = np.zeros(len(X), kind) if offset is None else np.asarray(offset, kind)
    penalty = np.broadcast_to(ridge, X.shape[1]) / scale**2
    kept = [RiskSet(s.rows[weights[s.rows] > 0], s.is_event[weights[s.rows] > 0]) for s in sets]
    kept = [s for s in kept if s.is_event.any()]

    def at(coef: np.ndarray) -> tuple[float, float, np.ndarray, np.ndarray]:
        loglik, score, information = evaluate(coef, Z, kept, weights, offset, efron)
        height = loglik - penalty @ coef**2 / 2
        return loglik, height, score - penalty * coef, information + np.diag(penalty)

    coef = np.zeros(X.shape[1], kind)
    now, rounding = at(coef), 1e-14 * np.sqrt(len(kept))
    for number in range(steps):
        step = np.linalg.solve(now[3].astype(float), now[2].astype(float))
        decrement = np.sqrt(max(0.0, float(now[2] @ step)))
        if decrement < 1e-6 and np.abs(step).max() <= 1e-10 * max(1.0, np.abs(coef).max()):
            errors = np.sqrt(np.diag(np.linalg.inv(now[3].astype(float))))
            found, errors = (coef / scale).astype(float), (errors / scale).astype(float)
            return SlowFit(found, errors, float(now[0]), number)
        part = 1.0
        while part > 1e-12:
            there = at(coef + part * step)
            if np.isfinite(there[1]) and there[1] >= now[1] - rounding * (1 + abs(now[1])):
                break
            part /= 2
        coef, now = coef + part * step, there
    raise ArithmeticError("the slow climb did not settle")


def has_maximum(X: np.ndarray, sets: list[RiskSet], free: np.ndarray | None = None) -> bool:
    """Whether the likelihood has a maximum in the columns without a penalty (`free`)."""
    X = np.asarray(X, float)
    free = np.ones(X.shape[1], bool) if free is None else np.asarray(free)
    if not free.any():
        return True
    X = X[:, free]
    if X.shape[1] == 1:
        return not (_separates(X[:, 0], sets) or _separates(-X[:, 0], sets))
    differences = [
        (x[s.is_event][:, None] - x[None, :]).reshape(-1, X.shape[1])
        for s in sets
        for x in [X[s.rows] / np.maximum(np.abs(X).max(axis=0), 1e-300)]
    ]
    pairs = np.vstack(differences)
    pairs = pairs[np.abs(pairs).max(axis=1) > 1e-13]
    if X.shape[1] == 2:
        # All differences lie in one half of the plane: a gap of half a turn between angles.
        angle = np.sort(np.arctan2(pairs[:, 1], pairs[:, 0]))
        gaps = np.diff(np.append(angle, angle[0] + 2 * np.pi))
        return bool(gaps.max() < np.pi - 1e-12)
    total = pairs.sum(axis=0)
    solved = linprog(-total / np.abs(total).max(), -pairs, np.zeros(len(pairs)), bounds=(-1, 1))
    assert solved.status == 0
    return bool(solved.fun > -1e-7)


def _separates(x: np.ndarray, sets: list[RiskSet]) -> bool:
    strict = False
    for s in sets:
        if x[s.rows][s.is_event].min() < x[s.rows].max():
            return False
        strict = strict or np.ptp(x[s.rows]) > 0
    return strict
