"""Test of proportional hazards: whether a coefficient changes with (a function of) time.

Grambsch & Therneau (1994), as an exact score test of adding x · (g(t) − ḡ) for each column. With
V_g a group's part of the information, the added columns have information Σ g² V_g and covariance Σ
g V_g with the original ones, so three weighted information matrices suffice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leadsignal.errors import OptionError
from leadsignal.results import Result
from leadsignal.survival.cox_estimate import CoxEstimate
from leadsignal.survival.estimates import ChiSquare
from leadsignal.survival.inputs import Floats, Labels
from leadsignal.survival.plots import coefficient_over_time
from leadsignal.survival.risk_sets import RiskSets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRANSFORMS = ("km", "rank", "identity", "log")


@dataclass(frozen=True, eq=False, repr=False)
class ProportionalityTest(Result):
    """A test of proportional hazards for each term, and one overall.

    Attributes: ``transform`` of time; ``tests``, one per term; ``overall``; ``time``,
    ``transformed`` (d) and ``scaled_schoenfeld`` (d × p) of the events, with the ``coef`` and
    ``names`` of the columns, for the plot.
    """

    transform: str
    tests: tuple[ChiSquare, ...]
    overall: ChiSquare
    names: tuple[str, ...]
    coef: Floats
    time: Floats
    transformed: Floats
    scaled_schoenfeld: Floats

    def _table(self) -> pd.DataFrame:
        """Return one row per term and a last one, ``GLOBAL``: chisq, df, p."""
        rows = [*self.tests, self.overall]
        return pd.DataFrame(
            {
                "chisq": [test.statistic for test in rows],
                "df": [test.df for test in rows],
                "p": [test.p for test in rows],
            },
            index=pd.Index([test.name for test in rows], name="term"),
        )

    def to_dict(self) -> dict[str, object]:
        """Return transform and tests as a plain dictionary, ready for JSON."""
        return {
            "transform": self.transform,
            "tests": [test.to_dict() for test in self.tests],
            "overall": self.overall.to_dict(),
        }

    def plot(self, name: str, ax: Axes | None = None) -> Axes:
        """Plot how the coefficient of column ``name`` changes over time and return the Axes."""
        if name not in self.names:
            raise OptionError(f"no column {name!r}; there are {', '.join(map(repr, self.names))}")
        column = self.names.index(name)
        residual, coef = self.scaled_schoenfeld[:, column], float(self.coef[column])
        return coefficient_over_time(self.time, residual, coef, name, ax)

    def __repr__(self) -> str:
        lines = "\n".join(f"  {test!r}" for test in (*self.tests, self.overall))
        return f"Proportional hazards, time as {self.transform}\n{lines}"


def proportionality_of(
    fit: CoxEstimate, transform: str = "km", terms: Sequence[object] | None = None
) -> ProportionalityTest:
    """Test whether hazard ratios are constant over time.

    ``transform`` of time: ``"km"`` (one minus Kaplan-Meier before the event), ``"rank"``,
    ``"identity"`` or ``"log"``; ``terms`` (p), one label per column, tests columns of the same term
    together, such as the indicators of a factor. Raises OptionError for an unknown transform, or
    for ``"log"`` if an event is at time 0 or earlier.

    >>> from leadsignal.survival import fit_cox
    >>> fit = fit_cox([[1], [1], [0], [1], [0], [0]], [1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 0])
    >>> fit.test_proportionality("identity").overall
    GLOBAL: chi-square 0.08226 on 1 df, p = 0.774
    """
    likelihood, sets = fit.rows.likelihood, fit.rows.likelihood.sets
    g = _transformed(fit, transform)
    weights = np.bincount(sets.group, weights=fit.rows.weights[sets.events], minlength=len(sets))
    g = g - np.average(g, weights=weights)
    residuals = likelihood.event_X - fit.terms.mean_covariate[sets.group]
    score = (fit.rows.weights[sets.events] * g[sets.group]) @ residuals
    plain, cross, squared = (
        likelihood.weighted_information(fit.terms, power) for power in (np.ones_like(g), g, g * g)
    )
    # With a ridge, the score of the original columns is ridge · coef rather than 0, so the prior's
    # information is added to them; otherwise a large coefficient would look like a change.
    information = np.block([[plain + np.diag(fit.ridge), cross], [cross, squared]])
    labels = _terms(fit, terms)
    tests = [
        _score_test(str(label), information, score, np.flatnonzero(labels.codes == code))
        for code, label in enumerate(labels.names)
    ]
    overall = _score_test("GLOBAL", information, score, np.arange(len(score)))
    return ProportionalityTest(
        transform, tuple(tests), overall, fit.names, fit.coef, sets.time[sets.group],
        _transformed(fit, transform)[sets.group],
        fit.coef + len(sets.events) * residuals @ fit.cov,
    )  # fmt: skip


def _score_test(name: str, information: Floats, score: Floats, columns: np.ndarray) -> ChiSquare:
    p = len(score)
    chosen = np.concatenate((np.arange(p), p + columns))
    u = np.concatenate((np.zeros(p), score[columns]))
    matrix = information[np.ix_(chosen, chosen)]
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    solved = np.linalg.lstsq(matrix * scale[:, None] * scale, u * scale, rcond=1e-12)[0]
    return ChiSquare.of(name, float(u * scale @ solved), len(columns))


def _terms(fit: CoxEstimate, terms: Sequence[object] | None) -> Labels:
    listed = isinstance(terms, str) or not hasattr(terms, "__iter__")
    labels = fit.names if terms is None else () if listed else tuple(terms)
    if len(labels) != len(fit.names):
        raise OptionError(f"terms has {len(labels)} labels; the fit has {len(fit.names)} columns")
    order = list(dict.fromkeys(labels))
    return Labels(tuple(order), np.array([order.index(label) for label in labels], dtype=np.intp))


def _transformed(fit: CoxEstimate, transform: str) -> Floats:
    """Return g at the time of each event group."""
    if not isinstance(transform, str) or transform not in TRANSFORMS:
        allowed = ", ".join(map(repr, TRANSFORMS))
        raise OptionError(f"transform is {transform!r}; it must be one of {allowed}")
    time = fit.rows.likelihood.sets.time
    if transform == "identity":
        return time
    if transform == "log":
        if time.min() <= 0:
            raise OptionError('transform="log" needs event times above 0; use "rank" or "km"')
        return np.log(time)
    if transform == "rank":
        return _mid_ranks(fit)
    return _failed_before(fit)


def _mid_ranks(fit: CoxEstimate) -> Floats:
    """Return the mean rank of each group's time among the stops of all rows, as R does."""
    stops, time = np.sort(fit.rows.stop), fit.rows.likelihood.sets.time
    before, through = (np.searchsorted(stops, time, side=side) for side in ("left", "right"))
    return (before + through + 1) / 2


def _failed_before(fit: CoxEstimate) -> Floats:
    """Return 1 − Kaplan-Meier just before each group's time, ignoring strata and weights."""
    rows = fit.rows
    pooled = RiskSets.of(rows.stop, rows.event, rows.start)
    at_risk = pooled.at_risk(np.ones(len(rows.stop)))
    survival = np.cumprod(1 - pooled.deaths / at_risk)
    before = np.concatenate(([1.0], survival[:-1]))
    return 1 - before[np.searchsorted(pooled.time, rows.likelihood.sets.time)]
