"""A case-cohort sample of the panel: what is drawn, and that a model fitted on it agrees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.engine.build import KEY_COLUMNS

KEYS = ["account_id", "snapshot_on"]


def drawn(
    business: ls.Tables, analysis: ls.SuccessAnalysis, share: float, seed: int = 0
) -> ls.Panel:
    return ls.panel.sample_panel(business, analysis, share=share, seed=seed)


def test_all_rows_near_an_end_are_drawn_and_a_share_of_the_others(
    business: ls.Tables, business_analysis: ls.SuccessAnalysis, business_panel: ls.Panel
) -> None:
    whole, sample = business_panel.frame, drawn(business, business_analysis, 0.25).frame
    near = whole["ended_within"] <= business.project.horizon
    kept = whole.merge(sample[[*KEYS, "sample_weight"]], on=KEYS)
    assert len(kept) == len(sample)
    pd.testing.assert_frame_equal(sample, kept)
    ended = kept["ended_within"] <= business.project.horizon
    assert ended.sum() == near.sum()
    assert set(kept.loc[ended, "sample_weight"]) == {1.0}
    assert set(kept.loc[~ended, "sample_weight"]) == {4.0}
    others, expected = int((~ended).sum()), 0.25 * (~near).sum()
    assert abs(others - expected) < 4 * np.sqrt(expected * 0.75)


def test_the_draw_depends_on_the_seed_and_on_nothing_else(
    business: ls.Tables, business_analysis: ls.SuccessAnalysis
) -> None:
    first = drawn(business, business_analysis, 0.25).frame
    again = ls.panel.sample_panel(business, share=0.25).frame
    other = drawn(business, business_analysis, 0.25, seed=1).frame
    keys = list(KEY_COLUMNS)
    pd.testing.assert_frame_equal(first[keys], again[keys])
    assert not set(map(tuple, first[KEYS].values)) >= set(map(tuple, other[KEYS].values))


def test_the_whole_as_a_sample_gives_the_same_model(
    business: ls.Tables,
    business_analysis: ls.SuccessAnalysis,
    business_panel: ls.Panel,
    logistic_model: ls.ChurnModel,
) -> None:
    sample = drawn(business, business_analysis, 1.0)
    assert set(sample.frame["sample_weight"]) == {1.0}
    expected = logistic_model.predict(business_panel)
    found = fit_on(sample).predict(business_panel)
    np.testing.assert_allclose(found.churned, expected.churned, rtol=1e-9)


def test_models_of_samples_agree_with_that_of_the_whole_within_their_errors(
    business: ls.Tables,
    business_analysis: ls.SuccessAnalysis,
    business_panel: ls.Panel,
    logistic_model: ls.ChurnModel,
) -> None:
    """Eight samples of a fifth: their mean is that of the whole, as far as they scatter.

    Without the weights the same test fails by far: ends would seem several times as frequent.
    """
    rows = business_panel.frame[business_panel.frame["ended_within"].isna()]
    expected = summary(logistic_model, rows)
    samples = [drawn(business, business_analysis, 0.2, seed) for seed in range(8)]
    found = np.array([summary(fit_on(sample), rows) for sample in samples])
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - expected) < 3.5 * error + 0.003).all()
    unweighted = samples[0].frame.drop(columns="sample_weight")
    wrong = fit_on(replace(samples[0], frame=unweighted))
    assert summary(wrong, rows)[0] > 1.8 * expected[0]


def fit_on(panel: ls.Panel) -> ls.ChurnModel:
    return ls.ChurnModel(estimator="logistic").fit(panel)


def summary(model: ls.ChurnModel, rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Mean risk of rows, and of those with above and below the median tenure."""
    risk = model.predict(rows).risk
    old = (rows["tenure_days"] > rows["tenure_days"].median()).to_numpy()
    return np.array([risk.mean(), risk[old].mean(), risk[~old].mean()])


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_a_share_is_a_share(business: ls.Tables, share: float) -> None:
    with pytest.raises(ls.OptionError, match="above 0"):
        ls.panel.sample_panel(business, share=share)


def fitted() -> ls.ChurnModel:
    return ls.load_model(Path(__file__).parent / "saved" / "format-5" / "logistic")


MISREAD: dict[str, Callable[[ls.Tables, ls.Panel], object]] = {
    "backtest": lambda _, panel: ls.run_backtest(panel),
    "audit": lambda _, panel: ls.audit_indicators(panel),
    "health": lambda _, panel: ls.evaluation.audit_health(panel),
    "ends": lambda _, panel: ls.churn_events(panel),
    "rescues": ls.churn.find_rescues,
    "order": lambda _, panel: ls.evaluation.order_in_time(panel),
    "ratios": lambda _, panel: ls.model.hazard_ratios(panel),
    "incidence": lambda _, panel: ls.model.cumulative_incidence(panel),
    "tuning": lambda _, panel: ls.evaluation.tune_model(panel, [{}]),
    "bands": lambda _, panel: ls.model.risk_bands(fitted(), panel, panel.frame),
    "scores": lambda _, panel: ls.scoring.score_panel(fitted(), panel),
}


@pytest.mark.parametrize("misread", MISREAD)
def test_what_would_misread_a_sample_refuses_it(
    business: ls.Tables, business_sample: ls.Panel, misread: str
) -> None:
    with pytest.raises(ls.OptionError, match="is a sample of its rows"):
        MISREAD[misread](business, business_sample)


@pytest.fixture(scope="module")
def business_sample(business: ls.Tables, business_analysis: ls.SuccessAnalysis) -> ls.Panel:
    return drawn(business, business_analysis, 0.5)
