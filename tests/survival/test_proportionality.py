"""The proportional-hazards test against R's cox.zph."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leadsignal.errors import OptionError
from leadsignal.survival import fit_cox

from .conftest import close

HEART = ["age", "year", "surgery", "transplant"]


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("transform", ["km", "rank", "identity", "log"])
def test_every_transform_agrees_with_r(
    heart: pd.DataFrame, lung: pd.DataFrame, from_r: dict[str, Any], ties: str, transform: str
) -> None:
    fit = fit_cox(heart[HEART], heart.stop, heart.event, start=heart.start, ties=ties)
    ours = fit.test_proportionality(transform).to_frame()
    assert close(ours.chisq, from_r[ties]["heart_zph"][transform])
    strata = fit_cox(
        lung[["age", "ph.ecog"]], lung.time, lung.dead, strata=lung.sex, weights=lung.w,
        offset=lung.off, ties=ties,
    )  # fmt: skip
    ours = strata.test_proportionality(transform).to_frame()
    assert close(ours.chisq, from_r[ties]["lung_strata_zph"][transform])


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_columns_of_a_factor_are_tested_together(
    veteran: pd.DataFrame, given: dict[str, Any], ties: str
) -> None:
    kinds = [veteran.celltype == kind for kind in ("smallcell", "adeno", "large")]
    rest = [veteran[name] for name in ("karno", "diagtime", "age", "prior")]
    X = np.column_stack([veteran.trt, *kinds, *rest]).astype(float)
    fit = fit_cox(X, veteran.time, veteran.status, ties=ties)
    terms = ["trt", "celltype", "celltype", "celltype", "karno", "diagtime", "age", "prior"]
    table = fit.test_proportionality(terms=terms).to_frame()
    numbers = given["veteran"]["fit"][ties]["cox_zph_km"]
    assert list(table.index) == numbers["rows"]
    assert list(table["df"]) == numbers["df"]
    assert close(table.chisq, numbers["chisq"])
    assert close(table.p, numbers["p"])


def test_saas_churn_agrees_with_r(
    saas: tuple[pd.DataFrame, pd.DataFrame], given: dict[str, Any]
) -> None:
    frame, X = saas
    fit = fit_cox(X, frame.months_active, frame.churned)
    # Given p-values come from a fit that R stopped at its default precision.
    overall = fit.test_proportionality().overall
    assert np.log(overall.p) == pytest.approx(
        np.log(given["saas_churn"]["cox_all_efron"]["zph_global_p"]), rel=1e-6
    )


def test_a_coefficient_that_moves_is_found_and_one_that_does_not_is_not() -> None:
    rng = np.random.default_rng(11)
    X = rng.normal(size=(3000, 2))
    # Hazard 1 until 0.5 with log ratio 1 for x0, then −1; x1 always 0.7.
    early = rng.exponential(np.exp(-X @ [1.0, 0.7]))
    late = 0.5 + rng.exponential(np.exp(-X @ [-1.0, 0.7]))
    time = np.where(early < 0.5, early, late)
    test = fit_cox(X, time, np.ones(3000)).test_proportionality("identity")
    assert test.tests[0].p < 1e-20
    assert test.tests[1].p > 1e-3


def test_results_and_refusals(heart: pd.DataFrame) -> None:
    fit = fit_cox(heart[HEART], heart.stop, heart.event, start=heart.start, names=HEART)
    test = fit.test_proportionality()
    assert repr(test).splitlines()[0] == "Proportional hazards, time as km"
    assert json.loads(json.dumps(test.to_dict()))["overall"]["df"] == 4
    with pytest.raises(OptionError, match="transform is 'sqrt'; it must be one of 'km'"):
        fit.test_proportionality("sqrt")
    with pytest.raises(OptionError, match="terms has 2 labels; the fit has 4 columns"):
        fit.test_proportionality(terms=["a", "b"])
    with pytest.raises(OptionError, match="no column 'weight'; there are 'age'"):
        test.plot("weight")
    at_zero = fit_cox([[0.0], [1.0], [0.0], [1.0]], [0, 2, 3, 4], [1, 1, 1, 0])
    with pytest.raises(OptionError, match="needs event times above 0"):
        at_zero.test_proportionality("log")


def test_a_state_of_the_first_days_does_not_change_for_a_ridge() -> None:
    # Nobody has the state after day 3, so x · g is all but a multiple of x; what the ridge leaves
    # of the score of x (ridge · coef) is no sign of change. Without its information the statistic
    # is above 1,000.
    rng = np.random.default_rng(4)
    state = rng.random(600) < 0.5
    early = rng.random(600) < np.where(state, 0.08, 0.02)
    day = rng.integers(1, 4, 600)
    later = np.flatnonzero(~early)
    x = np.concatenate([state, np.zeros(len(later))])
    start = np.concatenate([np.zeros(600), np.full(len(later), 3)])
    stop = np.concatenate([np.where(early, day, 3), rng.integers(20, 600, len(later))])
    event = np.concatenate([early, rng.random(len(later)) < 0.6])
    fit = fit_cox(x[:, None], stop, event, start=start, ridge=5.0)
    assert fit.test_proportionality().tests[0].statistic < 8
