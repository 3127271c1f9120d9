"""The churn model: conventions, refusals, calibration, saving."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score

import leadsignal as ls


def test_it_keeps_to_scikit_learns_conventions(business_model: ls.ChurnModel) -> None:
    fresh = clone(business_model)
    assert fresh.get_params() == business_model.get_params()
    assert not hasattr(fresh, "hazards_")
    assert fresh.set_params(estimator="logistic").estimator == "logistic"
    assert repr(fresh) == "ChurnModel(estimator='logistic')"
    with pytest.raises(ls.OptionError, match=r"has no parameter horizons.*horizon, step"):
        fresh.set_params(horizons="90d")


def test_an_unfitted_model_does_not_predict(business_panel: ls.Panel) -> None:
    with pytest.raises(NotFittedError):
        ls.ChurnModel().predict(business_panel)


def test_wrong_parameters_are_told_together(business_panel: ls.Panel) -> None:
    model = ls.ChurnModel(estimator="forest", roles=("leading", "secret"))  # type: ignore[arg-type]
    with pytest.raises(ls.OptionError, match=r"forest.*secret"):
        model.fit(business_panel)
    with pytest.raises(ls.OptionError, match="half a year"):
        ls.ChurnModel(horizon="half a year").fit(business_panel)


def test_too_few_churns_are_refused(business: ls.Tables) -> None:
    early = ls.build_panel(business.as_of("2021-05-01"))
    with pytest.raises(ls.ModelError, match="a model needs 20"):
        ls.ChurnModel().fit(early)


def test_missing_indicators_are_named(
    business_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    frame = business_panel.frame.drop(columns=["result_gap", "tickets_open"])
    with pytest.raises(ls.ModelError, match="result_gap, tickets_open"):
        business_model.predict(frame)


def test_predictions_belong_to_their_rows(
    business_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    frame = business_panel.frame.head(500)
    shuffled = frame.sample(frac=1, random_state=0)
    risk = pd.Series(business_model.predict(frame).risk, frame.index)
    again = pd.Series(business_model.predict(shuffled).risk, shuffled.index)
    assert risk.equals(again.sort_index())
    assert business_model.predict(frame.iloc[[7]]).risk[0] == risk.iloc[7]


def test_a_fit_repeats_itself_to_the_byte(
    business_model: ls.ChurnModel, business_panel: ls.Panel, tmp_path: Path
) -> None:
    again = ls.ChurnModel().fit(business_panel)
    risk = business_model.predict(business_panel).risk
    assert (again.predict(business_panel).risk == risk).all()
    one, two = (
        (ls.save_model(model, tmp_path / name) / "model.json").read_bytes()
        for name, model in (("one", business_model), ("two", again))
    )
    assert one == two


def test_outcomes_after_as_of_do_not_reach_the_fit(business_panel: ls.Panel) -> None:
    past = business_panel.as_of("2023-06-01")
    frame = business_panel.frame.copy()
    later = frame["snapshot_on"] >= "2023-06-01"
    frame.loc[later, "event"] = 1 - frame.loc[later, "event"]
    same = replace(business_panel, frame=frame).as_of("2023-06-01")
    left, right = (ls.ChurnModel(estimator="logistic").fit(p) for p in (past, same))
    assert left.version_ == right.version_
    assert left.trained_through_.isoformat() == "2023-06-01"


def test_rows_after_notice_are_not_fitted(
    business_panel: ls.Panel, business_model: ls.ChurnModel
) -> None:
    frame = business_panel.frame
    before = frame["snapshot_on"] < pd.Timestamp(business_panel.as_of_date)
    assert frame["notice_given"].any()
    assert business_model.rows_ == int((before & ~frame["notice_given"]).sum())


@pytest.mark.parametrize("estimator", ["ensemble", "boosting", "logistic", "cox"])
def test_it_foresees_on_later_data(business_panel: ls.Panel, estimator: str) -> None:
    cut = "2023-03-01"
    model = ls.ChurnModel(estimator=estimator).fit(business_panel.as_of(cut))  # type: ignore[arg-type]
    frame = business_panel.frame
    followed = pd.Timestamp(business_panel.as_of_date) - pd.Timedelta(days=180)
    rows = frame[(frame["snapshot_on"] >= cut) & (frame["snapshot_on"] <= followed)]
    rows = rows[~rows["notice_given"]]
    left = rows["ended_within"] <= 180
    risk = model.predict(rows).risk
    # 300 accounts: the AUC's standard error is about 0.03. No foresight is 0.5.
    assert roc_auc_score(left, risk) > 0.65


@pytest.mark.parametrize("estimator", ["ensemble", "boosting", "logistic", "cox"])
def test_it_expects_as_many_churns_as_there_are(business_panel: ls.Panel, estimator: str) -> None:
    # Fitted on either half of the accounts and judged on the other. If one half happens to churn
    # more, one ratio is as much too high as the other is too low: their geometric mean is not.
    frame = business_panel.frame
    followed = pd.Timestamp(business_panel.as_of_date) - pd.Timedelta(days=180)
    half = frame["account_id"].str[-1].isin(list("02468"))
    ratios = []
    for fitted in (half, ~half):
        model = ls.ChurnModel(estimator=estimator)  # type: ignore[arg-type]
        model.fit(replace(business_panel, frame=frame[fitted]))
        rows = frame[~fitted & (frame["snapshot_on"] <= followed) & ~frame["notice_given"]]
        ratios.append(model.predict(rows).risk.mean() / (rows["ended_within"] <= 180).mean())
    assert 0.8 < np.sqrt(np.prod(ratios)) < 1.25


def test_unseen_categories_count_as_missing_and_are_counted(
    business_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    category = next(iter(business_model.features_.levels))
    rows = business_panel.frame.head(3).copy()
    rows[category] = ["never seen", None, rows[category].iloc[2]]
    risk = business_model.predict(rows).risk
    missing = rows.assign(**{category: [None, None, rows[category].iloc[2]]})
    assert (risk == business_model.predict(missing).risk).all()
    assert business_model.features_.unseen(rows) == {category: 1}


def test_a_saved_model_predicts_the_same(
    business_model: ls.ChurnModel, business_panel: ls.Panel, tmp_path: Path
) -> None:
    ls.save_model(business_model, tmp_path / "model")
    loaded = ls.load_model(tmp_path / "model")
    assert (
        loaded.predict(business_panel).risk == business_model.predict(business_panel).risk
    ).all()
    assert loaded.version_ == business_model.version_
    assert loaded.analysis_ == replace(business_model.analysis_, file=loaded.analysis_.file)
    ls.save_model(business_model, tmp_path / "model")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]


def _remove(model: Path) -> None:
    (model / "model.json").unlink()


def _cut_short(model: Path) -> None:
    content = (model / "model.json").read_bytes()
    (model / "model.json").write_bytes(content[:-1])


def _other_format(model: Path) -> None:
    recipe = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**recipe, "format": 99}))


def _no_json(model: Path) -> None:
    (model / "model.json").write_text("{")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (_remove, "not a model folder"),
        (_cut_short, "altered or is cut short"),
        (_other_format, "format 99"),
        (_no_json, "not readable as a model"),
    ],
)
def test_harmed_models_are_refused(
    business_model: ls.ChurnModel, tmp_path: Path, harm: object, told: str
) -> None:
    ls.save_model(business_model, tmp_path / "model")
    harm(tmp_path / "model")  # type: ignore[operator]
    with pytest.raises(ls.ModelError, match=told):
        ls.load_model(tmp_path / "model")
    shutil.rmtree(tmp_path / "model")


def test_probabilities_of_both_classes_add_up(
    business_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    both = business_model.predict_proba(business_panel)
    assert both.shape == (len(business_panel.frame), 2)
    assert np.allclose(both.sum(axis=1), 1)


def test_an_indicator_that_is_never_known_is_left_out(business_panel: ls.Panel) -> None:
    frame = business_panel.frame.assign(usage_to_best=np.nan, health_band=None)
    model = ls.ChurnModel().fit(replace(business_panel, frame=frame))
    assert not {"usage_to_best", "health_band"} & set(model.features_.names)
    assert np.isfinite(model.predict(business_panel).risk).all()


@pytest.mark.parametrize("estimator", ["ensemble", "boosting", "logistic", "cox"])
def test_an_indicator_known_only_of_late_is_no_obstacle(
    business_panel: ls.Panel, estimator: str
) -> None:
    # Known in rows that have not been followed for a step: of these nothing can be learned yet.
    late = business_panel.frame["snapshot_on"].nlargest(300).min()
    frame = business_panel.frame.copy()
    frame.loc[frame["snapshot_on"] < late, "tickets_open"] = np.nan
    panel = replace(business_panel, frame=frame)
    assert frame["tickets_open"].notna().any()
    model = ls.ChurnModel(estimator=estimator).fit(panel)  # type: ignore[arg-type]
    risk = model.predict(panel.current()).risk
    assert np.isfinite(risk).all()
    assert len(np.unique(risk)) > 10
