"""Folds of a panel by time and customer, and scikit-learn's functions on panels and their rows."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.inspection import permutation_importance
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, LeaveOneOut, cross_val_score

import leadsignal as ls
from leadsignal.evaluation.methods import PanelFolds

CONTEXT = ls.ChurnModel("90d", estimator="logistic", roles=("context",))


@pytest.fixture(scope="module")
def folds(business_panel: ls.Panel) -> PanelFolds:
    return ls.evaluation.panel_folds(business_panel, horizon="90d", folds=1)


def customers(panel: ls.Panel) -> set[str]:
    return set(panel.frame["customer_id"].fillna(panel.frame["account_id"]))


def test_a_fold_is_cut_by_time_and_by_customer(folds: PanelFolds, business_panel: ls.Panel) -> None:
    last = pd.Timestamp(business_panel.as_of_date) - pd.Timedelta(days=90)
    held_out: set[str] = set()
    for known, later in (folds[fold] for fold in range(folds.get_n_splits())):
        assert customers(known).isdisjoint(customers(later))
        assert held_out.isdisjoint(customers(later))
        held_out |= customers(later)
        assert known.frame["snapshot_on"].max() < pd.Timestamp(known.as_of_date)
        assert later.frame["snapshot_on"].min() >= pd.Timestamp(known.as_of_date)
        assert later.frame["snapshot_on"].max() <= last
        # What came after the cut-off is not known in the training rows.
        ended = known.frame["snapshot_on"] + pd.to_timedelta(known.frame["ended_within"], unit="D")
        assert (ended.dropna() < pd.Timestamp(known.as_of_date)).all()
        assert not later.frame["notice_given"].any()
        assert later.as_of_date == business_panel.as_of_date


def test_cross_val_score_is_the_score_of_each_fold(folds: PanelFolds) -> None:
    found = cross_val_score(CONTEXT, folds, cv=folds)
    expected = [clone(CONTEXT).fit(known).score(later) for known, later in folds.pairs]
    assert found.tolist() == expected
    assert not hasattr(CONTEXT, "hazards_"), "it is cloned"


def test_a_grid_is_searched_without_a_refit(folds: PanelFolds) -> None:
    search = GridSearchCV(CONTEXT, {"roles": [("context",)]}, cv=folds, refit=False).fit(folds)
    assert search.cv_results_["mean_test_score"] == [
        cross_val_score(CONTEXT, folds, cv=folds).mean()
    ]


def test_folds_go_to_other_processes(folds: PanelFolds) -> None:
    again = pickle.loads(pickle.dumps(folds))
    pd.testing.assert_frame_equal(again[1][0].frame, folds[1][0].frame)


@pytest.mark.parametrize("other", [KFold(3), KFold(2, shuffle=True), LeaveOneOut(), 3])
def test_other_splitters_are_refused(folds: PanelFolds, other: Any) -> None:
    with pytest.raises(ls.OptionError, match=r"another splitter\. .*cv=folds"):
        cross_val_score(CONTEXT, folds, cv=other)


def test_other_data_are_refused(folds: PanelFolds, business_panel: ls.Panel) -> None:
    for data in (business_panel, business_panel.frame):
        with pytest.raises(ls.OptionError, match=r"not the folds\. .*cv=folds"):
            cross_val_score(CONTEXT, data, cv=folds)


def test_a_panel_itself_is_refused_with_what_to_give_instead(
    business_panel: ls.Panel, logistic_model: ls.ChurnModel
) -> None:
    with pytest.raises(ls.OptionError, match=r"panel_folds\(panel\)"):
        cross_val_score(CONTEXT, business_panel, cv=3)
    with pytest.raises(ls.OptionError, match="permutation_importance rows of"):
        permutation_importance(logistic_model, business_panel, None)


def test_too_many_cut_offs_and_a_sample_are_refused(
    business_panel: ls.Panel, business: ls.Tables
) -> None:
    with pytest.raises(ls.OptionError, match="cut-offs followed for 180 days, not 900"):
        ls.evaluation.panel_folds(business_panel, folds=900)
    with pytest.raises(ls.OptionError, match="a fold needs the whole panel"):
        ls.evaluation.panel_folds(ls.panel.sample_panel(business, share=0.2))


def test_they_print(folds: PanelFolds) -> None:
    cut = folds[0][0].as_of_date
    assert repr(folds) == (
        f"3 folds of a panel, 90 days ahead: cut-offs {cut}, each with 3 parts of the customers"
        " held out in turn"
    )
    assert repr(folds) in folds._repr_html_()


def auc(model: ls.ChurnModel, rows: pd.DataFrame, churned: pd.Series[bool]) -> float:
    return float(roc_auc_score(churned, model.predict_proba(rows)[:, 1]))


def test_columns_are_permuted_one_by_one(folds: PanelFolds) -> None:
    known, later = folds[0]
    model = clone(CONTEXT).fit(known)
    columns = ["account_id", "snapshot_on", *model.feature_names_in_]
    rows, churned = later.frame[columns], later.frame["ended_within"] <= 90
    found = permutation_importance(model, rows, churned, scoring=auc, n_repeats=2, random_state=1)
    assert (found.importances[:2] == 0).all(), "no model reads these"
    # By hand: the column permuted as scikit-learn does it.
    order = np.arange(len(rows))
    state = np.random.RandomState(np.random.RandomState(1).randint(np.iinfo(np.int32).max + 1))
    state.shuffle(order)
    changed = rows.copy()
    name = "days_to_renewal"
    changed[name] = rows[name].to_numpy()[order]
    expected = auc(model, rows, churned) - auc(model, changed, churned)
    assert found.importances[columns.index(name), 0] == pytest.approx(expected, abs=1e-12)
    assert expected != 0
