"""Baseline hazards and survival along a path: against R, and against the definition."""

import json
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from leadsignal.errors import OptionError
from leadsignal.survival import CoxFit, fit_cox

from .conftest import close

HEART = ["age", "year", "surgery", "transplant"]
PATH = np.array([[2.0, 2, 0, 0], [2, 2, 0, 1], [3, 2, 0, 1]])


@pytest.fixture(params=["efron", "breslow"])
def fit(request: pytest.FixtureRequest, heart: pd.DataFrame) -> CoxFit:
    return fit_cox(heart[HEART], heart.stop, heart.event, start=heart.start, ties=request.param)


def test_path_agrees_with_r(fit: CoxFit, from_r: dict[str, Any]) -> None:
    path = fit.baseline().along(PATH, [0, 30, 90], [30, 90, 400])
    numbers = from_r[fit.ties]["path"]
    assert close(path.cumulative_hazard, numbers["cumhaz"])
    assert close(path.survival, numbers["surv"])
    # Over the first stretch only: R adds later stretches up as if coefficients were estimated
    # anew in each (docs/survival.md); the delta method below is the judge of those.
    assert close(path.std_err[0], numbers["std_chaz"][0])


def test_path_errors_are_those_of_the_delta_method(fit: CoxFit, heart: pd.DataFrame) -> None:
    baseline = fit.baseline()
    path = baseline.along(PATH, [0, 30, 90], [30, 90, 400])

    def total(coef: np.ndarray) -> np.ndarray:
        # A huge ridge around `coef` by way of the offset holds the coefficients there.
        moved = fit_cox(
            heart[HEART], heart.stop, heart.event, start=heart.start, ties=fit.ties, ridge=1e14,
            offset=heart[HEART].to_numpy(float) @ coef,
        ).baseline()  # fmt: skip
        time, cumulative = moved.cumulative()
        at = np.concatenate(([0.0], cumulative))
        steps = np.diff(at[np.searchsorted(time, [0, 30, 90, 400], side="right")])
        return np.cumsum(np.exp(PATH @ coef) * steps)

    slope = np.array(
        [
            (total(fit.coef + step) - total(fit.coef - step)) / (2 * step.max())
            for step in np.eye(4) * 1e-5
        ]
    ).T
    risk = np.exp((PATH - baseline.reference) @ fit.coef)
    at = np.concatenate(([0.0], np.cumsum(baseline.variance)))
    own = np.cumsum(
        risk**2 * np.diff(at[np.searchsorted(baseline.time, [0, 30, 90, 400], "right")])
    )
    expected = np.sqrt(own + np.einsum("ij,jk,ik->i", slope, fit.cov, slope))
    assert close(path.std_err, expected, 1e-5)


def test_strata_have_their_own_baseline_and_it_agrees_with_r(
    lung: pd.DataFrame, from_r: dict[str, Any]
) -> None:
    for ties in ("efron", "breslow"):
        fit = fit_cox(
            lung[["age", "ph.ecog"]], lung.time, lung.dead, strata=lung.sex, weights=lung.w,
            offset=lung.off, ties=ties,
        )  # fmt: skip
        numbers = from_r[ties]["lung_strata"]
        names = np.array(numbers["base_strata"])
        for stratum in (1, 2):
            time, hazard = fit.baseline().cumulative(stratum)
            mine = names == f"sex={stratum}"
            assert mine.any()
            at = np.searchsorted(time, np.array(numbers["base_time"])[mine], side="right")
            # R puts the offset at its weighted mean, we put it at zero.
            centred = np.concatenate(([0.0], hazard))[at] * np.exp(
                np.average(lung.off, weights=lung.w)
            )
            assert close(centred, np.array(numbers["base_hazard"])[mine])


def test_nelson_aalen_is_the_baseline_without_covariates(lung: pd.DataFrame) -> None:
    fit = fit_cox(lung[["age"]], lung.time, lung.dead, ties="breslow", ridge=1e15)
    time, hazard = fit.baseline().cumulative()
    dead, stop = lung.dead.to_numpy(), lung.time.to_numpy()
    by_hand = np.cumsum([dead[stop == t].sum() / (stop >= t).sum() for t in time])
    assert close(hazard, by_hand, 1e-9)


def test_gaps_in_a_path_carry_no_risk(fit: CoxFit) -> None:
    baseline = fit.baseline()
    whole = baseline.along(PATH, [0, 30, 90], [30, 90, 400]).cumulative_hazard
    gap = baseline.along(PATH[[0, 2]], [0, 90], [30, 400]).cumulative_hazard
    assert gap[1] == pytest.approx(whole[2] - (whole[1] - whole[0]))


def test_clustered_fits_hand_their_robust_covariance_on(heart: pd.DataFrame) -> None:
    fit = fit_cox(heart[HEART], heart.stop, heart.event, start=heart.start, cluster=heart.id)
    assert fit.robust_cov is not None
    assert np.array_equal(fit.baseline().cov, fit.robust_cov)


def test_bad_paths_are_refused(fit: CoxFit, lung: pd.DataFrame) -> None:
    baseline = fit.baseline()
    with pytest.raises(OptionError, match="intervals overlap"):
        baseline.along(PATH[:2], [0, 10], [20, 40])
    with pytest.raises(OptionError, match=r"X has shape \(2, 3\); it must be \(2, 4\)"):
        baseline.along(PATH[:2, :3], [0, 20], [20, 40])
    with pytest.raises(OptionError, match="X column 'x0' is NaN or infinite in 1 row"):
        baseline.along(PATH[:1] * np.nan, [0], [20])
    by_sex = fit_cox(lung[["age"]], lung.time, lung.dead, strata=lung.sex).baseline()
    with pytest.raises(OptionError, match="stratum is None; it must be one of 1, 2"):
        by_sex.cumulative()


def test_baseline_goes_to_frames_and_json(fit: CoxFit) -> None:
    baseline = fit.baseline()
    frame = baseline.to_frame()
    assert list(frame.columns) == ["stratum", "time", "hazard", "cumulative_hazard"]
    assert frame.cumulative_hazard.iloc[-1] == pytest.approx(baseline.hazard.sum())
    assert json.loads(json.dumps(baseline.to_dict()))["time"] == baseline.time.tolist()
    path = baseline.along(PATH, [0, 30, 90], [30, 90, 400])
    assert ((path.lower < path.survival) & (path.survival < path.upper)).all()
    assert len(path.to_frame()) == 3
    assert len(cast("list[float]", path.to_dict()["time"])) == 3
    assert repr(path).startswith("Survival along a path: 0.17")
    assert "62 event times in 1 stratum" in repr(baseline)


def test_covariates_far_from_zero_can_be_predicted_for(heart: pd.DataFrame) -> None:
    X, away = heart[["age", "year"]].to_numpy(float), np.array([-40_000, 60_000])
    plain, far = (
        fit_cox(columns, heart.stop, heart.event, start=heart.start).baseline()
        for columns in (X, X + away)
    )
    paths = plain.along(X[:1], [0], [900]), far.along(X[:1] + away, [0], [900])
    assert close(paths[1].survival, paths[0].survival, 1e-6)
    assert close(paths[1].std_err, paths[0].std_err, 1e-6)
