"""Accounts alike that have adopted: counted by hand on a model whose law is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.indicators.behaviors import behavior_columns, process_columns
from leadsignal.model.explanation import MIN_ADOPTERS


@pytest.fixture(scope="module")
def process(business_model: ls.ChurnModel) -> str:
    return business_model.analysis_.processes[0].name


def test_it_is_the_risk_of_the_row_with_the_adopters_values(
    business_model: ls.ChurnModel, business_panel: ls.Panel, process: str
) -> None:
    rows = business_panel.frame[business_panel.frame["term_months"] == 12].tail(2000)
    rows = rows.reset_index(drop=True)
    adopted = rows[rows[f"{process}_state"] == "adopted"]
    assert adopted["account_id"].nunique() >= MIN_ADOPTERS
    risk = ls.model.risk_if_adopted(business_model, rows, process, alike=("term_months",))
    (declared,) = [p for p in business_model.analysis_.processes if p.name == process]
    kept = business_model.origin_.behaviors
    assert kept is not None
    of_behaviors = behavior_columns(kept, declared.behaviors)
    place = int(np.flatnonzero(rows[f"{process}_state"] == "overdue")[0])
    row = rows.iloc[[place]].copy()
    for name in business_model.features_.names:
        if name in (*process_columns(process)[1:], *of_behaviors):
            row[name] = adopted[name].median()
    row[f"{process}_state"] = "adopted"
    assert risk[place] == pytest.approx(business_model.predict(row).risk[0], abs=1e-12)


def test_adopters_and_contexts_without_support_have_none(
    business_model: ls.ChurnModel, business_panel: ls.Panel, process: str
) -> None:
    rows = business_panel.current()
    state = rows[f"{process}_state"].to_numpy(dtype=object)
    risk = ls.model.risk_if_adopted(business_model, rows, process, alike=("term_months",))
    assert np.isnan(risk[state == "adopted"]).all()
    some = rows[rows[f"{process}_state"] == "adopted"]["account_id"].head(MIN_ADOPTERS - 1)
    few = rows[rows["account_id"].isin(some)]
    among = pd.concat([few, rows[rows[f"{process}_state"] != "adopted"]])
    assert np.isnan(ls.model.risk_if_adopted(business_model, rows, process, among=among)).all()


def test_an_unknown_process_is_refused(
    business_model: ls.ChurnModel, business_panel: ls.Panel, process: str
) -> None:
    with pytest.raises(ls.OptionError, match=process):
        ls.model.risk_if_adopted(business_model, business_panel.current(), "secret_ritual")
