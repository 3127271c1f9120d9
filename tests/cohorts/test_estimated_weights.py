"""Weights that are estimated: the influence of an account is what happens if it counts for more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leadsignal.cohorts.contrasts import groups_of, hazard_ratio
from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.risk_intervals import RiskIntervals, columns_of, follow_from_landmark
from leadsignal.cohorts.side_by_side import _balanced
from leadsignal.cohorts.trial import clone_and_weight
from leadsignal.stats import ClusteredEstimate


@pytest.fixture(scope="module")
def weighted() -> DatedCohorts:
    """Accounts that are measured sooner and stay longer if they are large; a weighted sample."""
    rng = np.random.default_rng(0)
    n = 300
    size = rng.normal(size=n)
    event = np.ceil(rng.exponential(400 * np.exp(-0.6 * size)))
    end, last = np.ceil(rng.exponential(900 * np.exp(0.6 * size))), rng.integers(60, 1400, n)
    return DatedCohorts.from_changes(
        "measured", ("no", "yes"), np.arange(n), np.minimum(end, last), (end <= last) * CHURN,
        (np.arange(n), event, np.ones(n)), covariates={"size": size},
        weight=rng.choice([1.0, 3.0], n),
    )  # fmt: skip


def estimate(cohorts: DatedCohorts, X: np.ndarray, kind: str) -> ClusteredEstimate:
    rows: RiskIntervals
    if kind == "landmark":
        rows = _balanced(follow_from_landmark(cohorts, 90), cohorts, X, 1)
    else:
        rows = clone_and_weight(cohorts, 1, 90, X if "adjusted" in kind else None)[0]
    if "ratio" in kind:
        return hazard_ratio(rows, cohorts, 1)[0]
    days = groups_of(rows, cohorts, 1).mean_days(500)
    return days[1] - days[0]


@pytest.mark.parametrize("kind", ["landmark", "trial", "trial, adjusted", "ratio, adjusted"])
def test_influence_is_the_derivative_by_the_weight(weighted: DatedCohorts, kind: str) -> None:
    X = columns_of(weighted.covariates, weighted.weight)
    whole = estimate(weighted, X, kind)
    for account in (0, 3, 50, 51, 52, 60, 200):
        moved = []
        for step in (1e-4, -1e-4):
            own = weighted.weights.copy()
            own[account] *= 1 + step
            moved.append(estimate(replace(weighted, weight=own), X, kind).value)
        derivative = (moved[0] - moved[1]) / 2e-4
        assert whole.influence[account] == pytest.approx(
            derivative, rel=2e-3, abs=1e-3 * whole.std_err
        )


def test_weights_are_taken_as_known_with_all_customers(weighted: DatedCohorts) -> None:
    X = columns_of(weighted.covariates, weighted.weight)
    everyone = replace(weighted, weight=None)
    for cohorts, known in ((weighted, False), (everyone, True)):
        rows = _balanced(follow_from_landmark(cohorts, 90), cohorts, X, 1)
        errors = [
            groups_of(one, cohorts, 1).mean_days(500)[1].std_err
            for one in (rows, rows.weighted(rows.weight))
        ]
        assert (errors[0] == pytest.approx(errors[1], rel=1e-3)) == known
        assert (clone_and_weight(cohorts, 1, 90, X)[0].slopes is None) == known
