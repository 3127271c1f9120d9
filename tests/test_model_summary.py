"""What a fitted model says of itself, and its score."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score

import leadsignal as ls
from leadsignal.model.churn_model import at_risk


def test_a_summary_says_what_the_model_was_trained_on(
    business_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    summary = business_model.summary()
    rows = at_risk(business_panel)
    assert summary.rows == len(rows)
    assert summary.accounts == rows["account_id"].nunique()
    assert summary.churned == rows.loc[rows["ended_within"].notna(), "account_id"].nunique()
    assert summary.trained_through == business_panel.as_of_date
    assert {"accounts", "behaviors", "usage"} <= set(summary.tables)
    table = summary.to_frame().set_index("indicator")
    assert list(table.index) == list(business_model.feature_names_in_)
    assert table.loc["segment", "states"] == rows["segment"].nunique()
    assert table.loc["tickets_open", "highest"] == rows["tickets_open"].max()
    assert table.loc["tickets_open", "tables"] == "tickets"
    assert pd.isna(table.loc["segment", "lowest"])
    text = repr(summary)
    assert f"{summary.rows:,} rows of {summary.accounts:,} accounts until" in text
    assert json.loads(json.dumps(summary.to_dict()))["estimator"] == "ensemble"


def test_the_held_out_auc_is_that_of_accounts_not_fitted_on(
    business_panel: ls.Panel, logistic_model: ls.ChurnModel
) -> None:
    auc = logistic_model.summary().held_out_auc
    assert auc is not None
    assert 0.65 < auc < 0.95
    # Each row has the indicators of another: there is nothing to learn but the step.
    frame = business_panel.frame.copy()
    rng = np.random.default_rng(0)
    names = business_panel.names()
    frame[names] = frame[names].iloc[rng.permutation(len(frame))].to_numpy()
    shuffled = replace(business_panel, frame=frame.astype(business_panel.frame.dtypes))
    none = ls.ChurnModel(estimator="logistic").fit(shuffled).summary().held_out_auc
    assert none is not None
    assert 0.4 < none < 0.6


def test_a_loaded_model_has_the_same_summary(business_model: ls.ChurnModel, tmp_path: Path) -> None:
    ls.save_model(business_model, tmp_path / "model")
    loaded = ls.load_model(tmp_path / "model")
    assert loaded.summary().to_dict() == business_model.summary().to_dict()
    pd.testing.assert_frame_equal(loaded.summary().frame, business_model.summary().frame)
    assert loaded.n_features_in_ == business_model.n_features_in_ > 20


def test_a_model_that_was_saved_without_them_says_so() -> None:
    older = ls.load_model(Path(__file__).parent / "saved" / "format-5" / "logistic")
    summary = older.summary()
    assert (summary.accounts, summary.held_out_auc) == (None, None)
    assert "customers held out: not known" in repr(summary)
    assert "rows until" in repr(summary)


def test_the_score_is_the_auc_at_the_horizon(business_panel: ls.Panel) -> None:
    cut = "2023-01-01"
    model = ls.ChurnModel(estimator="logistic").fit(business_panel.as_of(cut))
    later = replace(
        business_panel, frame=business_panel.frame[business_panel.frame["snapshot_on"] >= cut]
    )
    rows = at_risk(later)
    followed = pd.Timestamp(later.as_of_date) - pd.Timedelta(days=180)
    rows = rows[rows["snapshot_on"] <= followed]
    expected = roc_auc_score(rows["ended_within"] <= 180, model.predict(rows).risk)
    assert model.score(later) == pytest.approx(expected, abs=1e-12)
    assert 0.6 < expected < model.score(business_panel.as_of(cut))


def test_a_score_needs_both_outcomes(
    business_panel: ls.Panel, business: ls.Tables, logistic_model: ls.ChurnModel
) -> None:
    model = logistic_model
    frame = business_panel.frame
    stayed = replace(business_panel, frame=frame[frame["ended_within"].isna()])
    with pytest.raises(ls.ModelError, match=r"0 of .* needs rows that did and rows that did not"):
        model.score(stayed)
    with pytest.raises(ls.OptionError, match="a score needs the whole panel"):
        model.score(ls.panel.sample_panel(business, share=0.5))


def test_an_unfitted_model_has_nothing_to_say(business_panel: ls.Panel) -> None:
    model = ls.ChurnModel()
    assert not hasattr(model, "feature_names_in_")
    assert not hasattr(model, "n_features_in_")
    with pytest.raises(NotFittedError):
        model.summary()
    with pytest.raises(NotFittedError):
        model.score(business_panel)
