"""Temporal recalibration: one factor of the hazards, from the latest completed horizon."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import leadsignal as ls
from hostile_models import inside
from leadsignal.cli import main
from leadsignal.errors import ModelError
from leadsignal.model.churn_model import at_risk
from leadsignal.model.stacked_model import (
    USUAL_SPREAD,
    CompletedHorizon,
    Recalibration,
    prior_spread,
    shrunken_factor,
)

DAY = date(2024, 1, 1)


def horizons(*pairs: tuple[float, int]) -> list[CompletedHorizon]:
    return [CompletedHorizon(DAY, DAY, expected, observed) for expected, observed in pairs]


def test_the_factor_counted_by_hand() -> None:
    # Variance of the prior: (100 + 100 + 900 - 150) / 7500; shape 7500 / 950 = 7.89.
    past = horizons((50, 80), (50, 40), (50, 40))
    assert prior_spread(past) == pytest.approx((950 / 7500) ** 0.5)
    assert shrunken_factor(past[0], prior_spread(past)) == pytest.approx(
        (7500 / 950 + 80) / (7500 / 950 + 50)
    )
    # Two accounts a churned customer: half as much is known.
    assert prior_spread(past, 2.0) == pytest.approx((800 / 7500) ** 0.5)
    assert shrunken_factor(past[0], 0.5, 2.0) == pytest.approx((4 + 40) / (4 + 25))


def test_what_is_within_chance_changes_nothing_and_few_churns_change_little() -> None:
    past = horizons((50, 56), (50, 45), (50, 50))
    assert prior_spread(past) == 0
    assert shrunken_factor(past[0], 0.0) == 1
    assert prior_spread(past[:2]) == USUAL_SPREAD
    few, many = (shrunken_factor(horizons((n, 2 * int(n)))[0], 0.25) for n in (2.0, 200.0))
    assert 1 < few < 1.2 < 1.9 < many < 2


@pytest.fixture(scope="module")
def model(logistic_model: ls.ChurnModel) -> ls.ChurnModel:
    return logistic_model


def risen(panel: ls.Panel) -> ls.Panel:
    """The panel as if accounts that stayed beyond the last horizon had been half as many."""
    frame = panel.frame
    begins = panel.as_of_date - timedelta(days=180)
    ended = frame.loc[frame["ended_within"].notna(), "account_id"].unique()
    stayed = np.setdiff1d(frame["account_id"].unique(), ended)[::2]
    late = frame["account_id"].isin(stayed) & (frame["snapshot_on"].dt.date <= begins)
    return replace(panel, frame=frame[~late].reset_index(drop=True))


def test_a_recalibrated_model_expects_what_its_report_says(
    model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    panel = risen(business_panel)
    changed = model.recalibrated(panel)
    report = changed.recalibration_
    last = report.horizons[0]
    assert last.ends_on == panel.as_of_date
    assert last.begins_on == panel.as_of_date - timedelta(days=180)
    assert last.observed > last.expected
    assert 1 < report.factor < last.observed / last.expected
    assert report.to_frame()["observed"].tolist() == [one.observed for one in report.horizons]
    assert model.recalibrated(panel).recalibration_.to_dict() == report.to_dict()
    rows = at_risk(panel)
    one, other = model.predict(rows).risk, changed.predict(rows).risk
    assert (other > one).all()
    assert (np.argsort(one, kind="stable") == np.argsort(other, kind="stable")).mean() > 0.5
    assert changed.score(panel) == pytest.approx(model.score(panel), abs=1e-3)


def test_the_fitted_model_stays_as_it_was_and_a_second_time_starts_from_it(
    model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    panel = risen(business_panel)
    rows = business_panel.current()
    before = model.predict(rows).risk
    once = model.recalibrated(panel)
    twice = once.recalibrated(panel)
    assert not hasattr(model, "recalibration_")
    np.testing.assert_array_equal(model.predict(rows).risk, before)
    np.testing.assert_allclose(once.predict(rows).risk, twice.predict(rows).risk)
    assert once.version_ != model.version_
    assert once.recipe.recalibrated
    assert model.recipe.differences(once.recipe) == ("recalibrated",)
    assert once.recipe.differences(model.recipe) == ("not recalibrated",)


def test_it_is_saved_loaded_and_in_the_summary(
    model: ls.ChurnModel, business_panel: ls.Panel, tmp_path: Path
) -> None:
    changed = model.recalibrated(risen(business_panel))
    ls.save_model(changed, tmp_path / "model")
    loaded = ls.load_model(tmp_path / "model")
    rows = business_panel.current()
    np.testing.assert_array_equal(loaded.predict(rows).risk, changed.predict(rows).risk)
    assert loaded.summary().to_dict() == changed.summary().to_dict()
    assert json.loads(json.dumps(loaded.summary().to_dict()))["recalibration"]["factor"] > 1
    assert "churns where" in repr(loaded.summary())
    assert loaded.version_ == changed.version_
    assert loaded.recipe == changed.recipe
    report = changed.recalibration_
    assert Recalibration.from_dict(report.to_dict()).to_dict() == report.to_dict()
    assert model.summary().to_dict()["recalibration"] is None


def test_reasons_add_up_after_a_recalibration(
    model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    changed = model.recalibrated(risen(business_panel))
    rows = business_panel.current().head(5)
    shares = changed.reasons(rows).sum(axis=1).to_numpy()
    risk, typical = changed.predict(rows).risk, changed.typical_risk(rows)
    odds = np.log(risk / (1 - risk)) - np.log(typical / (1 - typical))
    np.testing.assert_allclose(shares, odds, atol=1e-8)


def test_a_backtest_recalibrates_at_each_cut_off(
    model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    panel = business_panel.narrowed(model.recipe.indicators)
    changed = model.recalibrated(panel)
    results = [
        ls.run_backtest(panel, model=one, origins=1, methods=["random"]) for one in (model, changed)
    ]
    assert [one.recipe.recalibrated for one in results if one.recipe] == [False, True]
    assert results[0].methods.keys() == results[1].methods.keys()


def test_a_model_that_cannot_be_recalibrated_says_why(
    model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    frame = business_panel.frame
    young = frame["snapshot_on"].dt.date > business_panel.as_of_date - timedelta(days=170)
    with pytest.raises(ModelError, match="no horizon of 180 days has been completed"):
        model.recalibrated(replace(business_panel, frame=frame[young]))


def test_fitting_anew_forgets_the_recalibration(
    model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    changed = model.recalibrated(business_panel)
    assert changed.fit(business_panel).summary().recalibration is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"factor": "1"},
        {"factor": -1.0},
        {"prior_spread": -0.1},
        {"offset": 9.0},
        {"horizons": []},
        {"horizons": [{"begins_on": "2024-01-01"}]},
        {"horizons": [{"begins_on": "x", "ends_on": "y", "expected": 1.0, "observed": 1}]},
        {"more": 1},
    ],
)
def test_a_saved_recalibration_that_is_none_is_refused(
    wrong: dict[str, Any], model: ls.ChurnModel, business_panel: ls.Panel, tmp_path: Path
) -> None:
    folder = ls.save_model(model.recalibrated(business_panel), tmp_path / "model")
    inside(folder, "recalibration", **wrong)
    with pytest.raises(ModelError, match=r"recalibration|does not fit together"):
        ls.load_model(folder)


def test_the_command_recalibrates_and_says_by_how_much(
    business_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "model")
    options = ["--estimator", "logistic", "--recalibrate"]
    assert main(["fit", str(business_folder), "--out", folder, *options]) == 0
    assert "recalibrated on 2023-" in capsys.readouterr().out
    assert ls.load_model(folder).recipe.recalibrated
