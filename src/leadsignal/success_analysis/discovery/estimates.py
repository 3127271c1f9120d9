"""How much less accounts leave: hazard ratios, freed from the choice of definition.

The definition that looks best in some data looks better there than it is. With enough accounts
the definition is chosen in four fifths of the customers and read in the last, five times over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leadsignal.stats.normal import normal_quantile
from leadsignal.success_analysis.discovery.evidence import Evidence, Exposures
from leadsignal.success_analysis.discovery.matched import LIGHT_RIDGE, RIDGE
from leadsignal.survival.cox import fit_cox
from leadsignal.survival.inputs import Floats, Ints

FOLDS = 5
ENOUGH_ACCOUNTS = 600
"""Below this many accounts, choosing in four fifths costs more than it frees."""


@dataclass(frozen=True)
class Ratio:
    """A hazard ratio with its 95 % interval."""

    estimate: float
    low: float
    high: float


def folds_of(exposures: Exposures, *, seed: int) -> Ints | None:
    """Return a fold for each customer, or None where there are too few accounts to split."""
    if len(np.unique(exposures.at_risk.account)) < ENOUGH_ACCOUNTS:
        return None
    customers = int(exposures.at_risk.customers.max()) + 1
    return np.random.default_rng(seed).permutation(customers) % FOLDS


def crossed(exposures: Exposures, evidence: Evidence, behavior: str, folds: Ints) -> Floats:
    """Return the rows' states (n), each under the definition chosen without its own fold."""
    mine = evidence.only(exposures.of(behavior))
    others = (folds[None, :] != np.arange(FOLDS)[:, None]).astype(float)
    chosen = mine.place[mine.together(others)[2].argmax(axis=1)]
    at_risk = exposures.at_risk
    states = exposures.states[at_risk.row, chosen[folds[at_risk.cluster]]]
    return np.asarray(states, dtype=np.float64)


def hazard_ratio(exposures: Exposures, state: Floats, covariates: Sequence[Floats]) -> Ratio:
    """Return the ratio of adopted to not, adjusted, on all rows at risk; errors by customer."""
    at_risk = exposures.at_risk
    X = np.ascontiguousarray(np.column_stack((state, *covariates, at_risk.adjusters)))
    ridge = np.full(X.shape[1], RIDGE)
    ridge[: 1 + len(covariates)] = LIGHT_RIDGE
    fit = fit_cox(
        X,
        at_risk.stop,
        at_risk.event,
        start=at_risk.start,
        strata=at_risk.stratum,
        cluster=at_risk.cluster,
        ridge=ridge,
    )
    spread = fit.cov if fit.robust_cov is None else fit.robust_cov
    beta, margin = float(fit.coef[0]), normal_quantile(0.95) * float(np.sqrt(spread[0, 0]))
    return Ratio(*(float(np.exp(x)) for x in (beta, beta - margin, beta + margin)))
