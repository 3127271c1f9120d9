"""Classifiers of the user's as the estimator of a churn model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import leadsignal as ls
from leadsignal.model.learners import FURTHEST

SEEN: list[Any] = []


class Base:
    """The least that scikit-learn can clone."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {}

    def set_params(self, **params: Any) -> Base:
        assert params == {}
        return self


class Share(Base):
    """Says that each row ends with the share of all rows that did; takes no weights."""

    def fit(self, X: Any, y: Any) -> Share:
        assert set(np.unique(y)) == {0, 1}
        assert np.isfinite(X).all()
        self.share_ = y.mean()
        return self

    def predict_proba(self, X: Any) -> Any:
        return np.column_stack([np.full(len(X), 1 - self.share_), np.full(len(X), self.share_)])


class Weighted(Share):
    """The same, by weight."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Weighted:
        SEEN.append(sample_weight)
        self.share_ = np.average(y, weights=sample_weight)
        return self


class Watched(GaussianNB):  # type: ignore[misc]  # scikit-learn has no types
    """Naive Bayes that notes the weights it is given."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        SEEN.append(sample_weight)
        return super().fit(X, y, sample_weight)


class Certain(Base):
    """Knows of some rows that they end, of others that they do not."""

    def fit(self, X: Any, y: Any) -> Certain:
        return self

    def predict_proba(self, X: Any) -> Any:
        ends = (np.arange(len(X)) % 2).astype(float)
        return np.column_stack([1 - ends, ends])


@pytest.fixture(scope="module")
def bayes(business_panel: ls.Panel) -> ls.ChurnModel:
    return ls.ChurnModel(estimator=GaussianNB()).fit(business_panel)


FEW_TREES = RandomForestClassifier(3, min_samples_leaf=10, max_features=0.2, max_samples=0.2)
FOREST = RandomForestClassifier(40, min_samples_leaf=10, max_features=0.2, max_samples=0.2)
PIPELINE = make_pipeline(StandardScaler(), LogisticRegression(C=0.001, max_iter=300))


@pytest.mark.parametrize("estimator", [FOREST, PIPELINE], ids=["forest", "pipeline"])
def test_it_foresees_on_later_data(business_panel: ls.Panel, estimator: Any) -> None:
    cut = "2023-03-01"
    frame = business_panel.frame
    followed = pd.Timestamp(business_panel.as_of_date) - pd.Timedelta(days=180)
    rows = frame[frame["snapshot_on"].between(cut, followed) & ~frame["notice_given"]]
    model = ls.ChurnModel(estimator=estimator).fit(business_panel.as_of(cut))
    forecast = model.predict(rows)
    # The standard error is about 0.03, as for the built-in estimators.
    assert roc_auc_score(rows["ended_within"] <= 180, forecast.risk) > 0.65
    assert (np.diff(forecast.churned, axis=1) >= 0).all()
    assert not hasattr(estimator, "classes_"), "it is cloned"


def test_a_fit_repeats_itself_though_the_forest_has_no_random_state(
    business_panel: ls.Panel,
) -> None:
    first, second, other = (
        ls.ChurnModel(estimator=FEW_TREES, random_state=seed).fit(business_panel)
        for seed in (0, 0, 1)
    )
    risks = [model.predict(business_panel.current()).risk for model in (first, second, other)]
    assert first.version_ == second.version_ != other.version_
    assert (risks[0] == risks[1]).all()
    assert (risks[0] != risks[2]).any()
    assert FEW_TREES.random_state is None


def test_a_classifier_that_knows_nothing_gives_the_mean_risk(
    business_panel: ls.Panel, logistic_model: ls.ChurnModel
) -> None:
    own = ls.ChurnModel(estimator=Share()).fit(business_panel)
    risk = own.predict(business_panel.current()).risk
    known = logistic_model.predict(business_panel.current()).risk
    assert np.ptp(risk) < 1e-9
    assert 0.7 < risk[0] / known.mean() < 1.4


def test_weights_are_given_where_fit_takes_them(business: ls.Tables) -> None:
    sample = ls.panel.sample_panel(business, share=0.2)
    SEEN.clear()
    ls.ChurnModel(estimator=Weighted()).fit(sample)
    assert {1.0, 5.0} == set(np.unique(np.concatenate(SEEN)))
    assert len(SEEN) >= 4, "once on all rows and once for each fold"
    ls.ChurnModel(estimator=Share()).fit(sample)
    SEEN.clear()
    ls.ChurnModel(estimator=make_pipeline(StandardScaler(), Watched())).fit(sample)
    assert {1.0, 5.0} == set(np.unique(np.concatenate(SEEN)))


def test_certainty_is_bounded_and_calibrated(business_panel: ls.Panel) -> None:
    model = ls.ChurnModel(estimator=Certain()).fit(business_panel)
    member = model.hazards_.churn.members[0]
    odds = member.log_odds(np.zeros((4, len(model.features_.names) + 3)))
    assert np.ptp(odds) == pytest.approx(2 * FURTHEST)
    # Its certainty says nothing of who leaves, and counts for nearly nothing.
    risk = model.predict(business_panel.current()).risk
    assert 0.0 < risk.min() <= risk.max() < 0.6


def test_parameters_inside_are_read_set_and_cloned() -> None:
    model = ls.ChurnModel(estimator=clone(FOREST))
    assert model.get_params()["estimator__n_estimators"] == 40
    assert set(model.get_params(deep=False)) == {
        "estimator", "horizon", "random_state", "roles", "step"
    }  # fmt: skip
    copy = clone(model).set_params(estimator__n_estimators=3, horizon="90d")
    assert (copy.estimator.n_estimators, copy.horizon) == (3, "90d")
    assert model.get_params()["estimator__n_estimators"] == 40
    both = ls.ChurnModel().set_params(estimator__n_estimators=2, estimator=clone(FOREST))
    assert both.estimator.n_estimators == 2  # type: ignore[union-attr]
    assert "n_estimators=40" in repr(model)
    with pytest.raises(ls.OptionError, match="estimator is 'ensemble'"):
        ls.ChurnModel().set_params(estimator__n_estimators=2)
    with pytest.raises(ls.OptionError, match="did you mean 'horizon'"):
        ls.ChurnModel().set_params(horizons="90d")


@pytest.mark.parametrize(
    ("estimator", "problem"),
    [
        (Ridge(), r"a Ridge, which has no predict_proba; it may be ensemble or boosting or"),
        (SVC(), r"a SVC, which has no predict_proba"),
        (object(), r"a object, which has no fit or predict_proba or get_params or set_params"),
        (RandomForestClassifier, r"the class RandomForestClassifier; give an instance of it"),
        ("bosting", r"'bosting' \(did you mean 'boosting'\?\)"),
        (None, r"a NoneType, which has no fit"),
    ],
    ids=["regressor", "svc", "object", "class", "misspelt", "None"],
)
def test_what_cannot_learn_hazards_is_refused(
    business_panel: ls.Panel, estimator: Any, problem: str
) -> None:
    with pytest.raises(ls.OptionError, match=problem):
        ls.ChurnModel(estimator=estimator).fit(business_panel)


def test_a_backtest_refuses_the_same(business_panel: ls.Panel) -> None:
    with pytest.raises(ls.OptionError, match="a Ridge, which has no predict_proba"):
        ls.run_backtest(business_panel, estimator=Ridge())


def test_it_is_not_saved_and_the_message_says_what_to_do(
    bayes: ls.ChurnModel, tmp_path: Path
) -> None:
    with pytest.raises(
        ls.ModelError, match=r"sklearn\.naive_bayes\.GaussianNB cannot be saved.*fit again where"
    ):
        ls.save_model(bayes, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_reasons_add_up_to_the_difference_from_the_typical_account(
    business_panel: ls.Panel, bayes: ls.ChurnModel
) -> None:
    model = bayes
    rows = business_panel.current().head(3)
    shares = model.reasons(rows, business_panel.current())
    odds = np.log(model.predict(rows).risk) - np.log1p(-model.predict(rows).risk)
    typical = model.typical_risk(business_panel.current())
    expected = odds - np.log(typical / (1 - typical))
    assert np.allclose(shares.sum(axis=1), expected, atol=1e-9)


def test_a_backtest_and_a_tuning_name_the_classifier(business_panel: ls.Panel) -> None:
    tested = ls.run_backtest(
        business_panel, estimator=GaussianNB(), methods=["all", "context"], origins=1
    )
    assert "models: GaussianNB(), 180 days ahead" in repr(tested)
    narrow = replace(business_panel).narrowed(business_panel.names(role="context"))
    tuning = ls.evaluation.tune_model(
        narrow,
        [{"estimator": GaussianNB()}, {"estimator": "logistic"}],
        model=ls.ChurnModel(horizon="90d"),
        folds=1,
    )
    named = [row["estimator"] for row in tuning.to_dict()["candidates"]]
    assert sorted(named) == ["GaussianNB()", "logistic"]
