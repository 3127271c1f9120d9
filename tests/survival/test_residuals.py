"""Residuals of Cox fits against R, and the sums they must have."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leadsignal.survival import CoxFit, fit_cox

from .conftest import close


@pytest.fixture(params=["efron", "breslow"])
def fits(
    request: pytest.FixtureRequest, heart: pd.DataFrame, lung: pd.DataFrame, from_r: dict[str, Any]
) -> tuple[tuple[CoxFit, dict[str, Any]], ...]:
    columns = ["age", "year", "surgery", "transplant"]
    by_id = fit_cox(
        heart[columns], heart.stop, heart.event, start=heart.start, cluster=heart.id,
        ties=request.param,
    )  # fmt: skip
    weighted = fit_cox(
        lung[["age", "ph.ecog"]], lung.time, lung.dead, strata=lung.sex, weights=lung.w,
        offset=lung.off, ties=request.param,
    )  # fmt: skip
    numbers = from_r[request.param]
    return (by_id, numbers["heart"]), (weighted, numbers["lung_strata"])


def test_residuals_agree_with_r(fits: tuple[tuple[CoxFit, dict[str, Any]], ...]) -> None:
    for fit, numbers in fits:
        residuals = fit.residuals()
        assert close(residuals.martingale, numbers["martingale"])
        # R gives score residuals without the weight, ours sum to the score with it.
        unweighted = residuals.score / fit.rows.weights[:, None]
        assert close(unweighted, numbers["score_residuals"])
        assert close(residuals.schoenfeld, numbers["schoenfeld"])


def test_residuals_sum_to_zero_at_the_maximum(
    fits: tuple[tuple[CoxFit, dict[str, Any]], ...],
) -> None:
    for fit, _ in fits:
        residuals = fit.residuals()
        scale = np.sqrt(fit.n_events)
        assert abs(fit.rows.weights @ residuals.martingale) < 1e-9 * scale
        assert np.abs(residuals.score.sum(axis=0) * fit.se).max() < 1e-9
        assert np.abs(residuals.event_weight @ residuals.schoenfeld * fit.se).max() < 1e-9


def test_influence_is_about_what_leaving_a_row_out_does(lung: pd.DataFrame) -> None:
    X = lung[["age", "ph.ecog"]].to_numpy(float)
    fit = fit_cox(X, lung.time, lung.dead)
    influence = fit.residuals().influence
    for row in (3, 50, 120):
        kept = np.arange(len(lung)) != row
        without = fit_cox(X[kept], lung.time[kept], lung.dead[kept])
        assert np.abs(fit.coef - without.coef - influence[row]).max() < 0.02 * fit.se.max()


def test_scaled_residuals_average_to_the_coefficients(lung: pd.DataFrame) -> None:
    fit = fit_cox(lung[["age", "ph.ecog"]], lung.time, lung.dead, names=["age", "ecog"])
    residuals = fit.residuals()
    assert close(residuals.scaled_schoenfeld.mean(axis=0), fit.coef, 1e-10)
    assert list(residuals.to_frame().columns) == ["row", "time", "age", "ecog"]
    assert (np.diff(residuals.event_time) >= 0).all()
    assert "227 rows, 164 events" in repr(residuals)
    assert len(json.loads(json.dumps(residuals.to_dict()))["martingale"]) == 227
