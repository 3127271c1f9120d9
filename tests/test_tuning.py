"""Tuning on past folds: what it is given, what it must not see, what it finds."""

from __future__ import annotations

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.evaluation.methods import past_folds
from leadsignal.evaluation.past_rows import thinned


def test_folds_keep_accounts_and_days_apart(business_panel: ls.Panel) -> None:
    seen = 0
    for known, rows in past_folds(thinned(business_panel), 180, 2):
        cut = pd.Timestamp(known.as_of_date)
        assert not set(known.frame["customer_id"]) & set(rows["customer_id"])
        assert (rows["snapshot_on"] >= cut).all()
        assert (known.frame["snapshot_on"] <= cut).all()
        seen += len(rows)
    assert seen > 100


def test_a_model_that_reads_more_of_what_matters_wins() -> None:
    simulation = ls.simulate(600, seed=4, world="leading")
    tables = ls.read_tables(simulation.tables)
    panel = ls.build_panel(tables, ls.SuccessAnalysis.from_toml(simulation.analysis_toml))
    tuning = ls.evaluation.tune_model(
        panel,
        [{"roles": ("lagging",)}, {"roles": ("leading", "lagging", "context")}],
        model=ls.ChurnModel(estimator="cox"),
        folds=2,
    )
    table = tuning.to_frame()
    assert table["roles"].iloc[0] == ("leading", "lagging", "context")
    assert tuning.best.roles == ("leading", "lagging", "context")
    assert table["behind"].iloc[0] == 0
    assert table["behind"].iloc[1] > 0
    assert table["behind_error"].iloc[1] > 0


def test_nothing_to_compare_is_refused(business_panel: ls.Panel) -> None:
    with pytest.raises(ls.OptionError, match="no candidate"):
        ls.evaluation.tune_model(business_panel, [])
    with pytest.raises(ls.OptionError, match="different horizons"):
        ls.evaluation.tune_model(business_panel, [{"horizon": "90d"}, {"horizon": "180d"}])
