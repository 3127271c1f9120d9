"""Log-rank test and its weighted variants, with strata and delayed entry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from leadsignal.errors import ModelError
from leadsignal.results import Result
from leadsignal.stats.normal import ROUNDING, without_rounding
from leadsignal.survival.estimates import ChiSquare
from leadsignal.survival.inputs import ArrayValidator, Floats, Labels, length_of, one_label
from leadsignal.survival.risk_sets import RiskSets

KINDS = ("log-rank", "gehan", "tarone-ware", "fleming-harrington")


@dataclass(frozen=True, eq=False, repr=False)
class LogRank(Result):
    """A comparison of groups: ``test``, and by group (k) ``observed`` and ``expected`` events.

    Events are weighted according to ``kind``; ``cov`` (k × k) is the covariance of observed −
    expected.
    """

    kind: str
    groups: tuple[object, ...]
    observed: Floats
    expected: Floats
    cov: Floats
    test: ChiSquare

    @property
    def statistic(self) -> float:
        """The chi-square statistic."""
        return self.test.statistic

    @property
    def p(self) -> float:
        """The p-value."""
        return self.test.p

    def _table(self) -> pd.DataFrame:
        """Return one row per group: observed and expected."""
        return pd.DataFrame(
            {"group": self.groups, "observed": self.observed, "expected": self.expected}
        )

    def to_dict(self) -> dict[str, object]:
        """Return the comparison as a plain dictionary, ready for JSON."""
        return {
            "kind": self.kind,
            "groups": list(self.groups),
            "observed": self.observed.tolist(),
            "expected": self.expected.tolist(),
            **self.test.to_dict(),
        }

    def __repr__(self) -> str:
        lines = [
            f"  {group}: {observed:.6g} observed, {expected:.6g} expected"
            for group, observed, expected in zip(
                self.groups, self.observed, self.expected, strict=True
            )
        ]
        return "\n".join([repr(self.test), *lines])


def logrank(
    stop: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    *,
    start: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    kind: str = "log-rank",
    rho: float = 1.0,
    gamma: float = 0.0,
) -> LogRank:
    """Test whether the hazard is the same in all groups.

    Parameters
    ----------
    stop, event, start, weights
        As in `kaplan_meier`.
    group : array_like of shape (n,)
        Labels of the groups.
    strata : array_like of shape (n,), optional
        Strata within which groups are compared.
    kind : str, default "log-rank"
        Weights of the times: ``"log-rank"`` 1 (Mantel 1966), ``"gehan"`` the number at risk (Gehan
        1965), ``"tarone-ware"`` its square root (Tarone & Ware 1977), ``"fleming-harrington"``
        S(t−)^rho (1 − S(t−))^gamma with the pooled Kaplan-Meier S of the stratum (Harrington &
        Fleming 1982).
    rho, gamma : float, default 1 and 0
        Exponents of the Fleming-Harrington weights.

    Returns
    -------
    LogRank

    Raises
    ------
    OptionError
        If the arguments are invalid; all faults are listed.
    ModelError
        If no event distinguishes the groups.

    Examples
    --------
    >>> logrank([1, 2, 3, 4], [1, 1, 1, 1], ["a", "a", "b", "b"])
    log-rank: chi-square 2.882 on 1 df, p = 0.090
      a: 2 observed, 0.833333 expected
      b: 2 observed, 3.16667 expected
    """
    validator = ArrayValidator("logrank", length_of("logrank", "stop", stop))
    (stops, starts), events = validator.times(stop, start), validator.flags("event", event)
    case_weights = validator.weights(weights)
    groups, stratum = validator.labels("group", group), validator.labels("strata", strata)
    validator.one_of("kind", kind, KINDS)
    validator.number("rho", rho, "a finite number of 0 or more", lambda value: value >= 0)
    validator.number("gamma", gamma, "a finite number of 0 or more", lambda value: value >= 0)
    if group is None:
        validator.refuse("group is None; it must be (rows,), one label per row")
    if groups is not None and len(groups) < 2:
        validator.refuse(
            f"group has the one label {groups.names[0]!r}; a comparison needs two or more"
        )
    validator.close()
    groups = groups or one_label(validator.rows)
    sets = RiskSets.of(stops, events & (case_weights > 0), starts, stratum)
    return _compare(sets, groups, case_weights, kind, rho, gamma)


def _compare(
    sets: RiskSets, groups: Labels, weights: Floats, kind: str, rho: float, gamma: float
) -> LogRank:
    mine = weights[:, None] * (groups.codes[:, None] == np.arange(len(groups)))
    Y = np.column_stack([sets.at_risk(column) for column in mine.T])
    N = np.column_stack([sets.at_events(column) for column in mine.T])
    at_risk, events = Y.sum(axis=1), N.sum(axis=1)
    W = _time_weights(sets, at_risk, events, kind, rho, gamma)
    share = Y / at_risk[:, None]
    observed, expected = W @ N, (W * events) @ share
    # Hypergeometric variance: zero if only one row is at risk.
    single = at_risk <= 1
    mixed = (ROUNDING * at_risk[:, None] < Y).sum(axis=1) > 1
    if mixed.any() and single[mixed].all():
        raise ModelError(
            "logrank: where several groups are at risk at an event, their weights add up to 1 or "
            "less; weights count as copies of a row, so scale them to a mean of 1"
        )
    factor = np.where(
        single, 0.0, W**2 * events * (at_risk - events) / np.where(single, 1, at_risk - 1)
    )
    cov = np.diag(factor @ share) - (share * factor[:, None]).T @ share
    # If only one group is at risk at a time, factor · (share − share²) is rounding error.
    size = float(np.max(factor @ share, initial=0.0))
    df = int(np.linalg.matrix_rank(cov, tol=1e-9 * size, hermitian=True)) if size > 0 else 0
    if df == 0:
        raise ModelError("logrank: at no event time is more than one group at risk")
    gap = without_rounding(observed - expected, observed, expected)
    statistic = float(gap @ np.linalg.pinv(cov, rcond=1e-9, hermitian=True) @ gap)
    return LogRank(kind, groups.names, observed, expected, cov, ChiSquare.of(kind, statistic, df))


def _time_weights(
    sets: RiskSets, at_risk: Floats, events: Floats, kind: str, rho: float, gamma: float
) -> Floats:
    if kind == "log-rank":
        return np.ones(len(sets))
    if kind == "gehan":
        return at_risk
    if kind == "tarone-ware":
        return np.sqrt(at_risk)
    before = np.ones(len(sets))
    for begin, end in zip(sets.first[:-1], sets.first[1:], strict=True):
        survival = np.cumprod(1 - events[begin:end] / at_risk[begin:end])
        before[begin + 1 : end] = survival[:-1]
    return before**rho * (1 - before) ** gamma
