"""Bands of risks: refits on accounts drawn anew."""

from __future__ import annotations

import numpy as np
import pytest

import leadsignal as ls
from leadsignal.model.explanation import _resampled


def test_bands_hold_the_risk_evenly(business_panel: ls.Panel) -> None:
    model = ls.ChurnModel(estimator="logistic").fit(business_panel)
    rows = business_panel.current()
    bands = ls.model.risk_bands(model, business_panel, rows, resamples=10)
    assert (bands.low < bands.risk).all()
    assert (bands.risk < bands.high).all()
    assert bands.to_frame()["account_id"].tolist() == rows["account_id"].tolist()
    # Even on the log-odds: as far up as down.
    low, middle, high = (np.log(p / (1 - p)) for p in (bands.low, bands.risk, bands.high))
    assert np.allclose(high - middle, middle - low)


def test_a_resample_holds_whole_accounts(business_panel: ls.Panel) -> None:
    rows = business_panel.frame.groupby("account_id").size()
    numbers = np.random.default_rng(3).integers(len(rows), size=len(rows))
    drawn = _resampled(business_panel, numbers).frame
    original = drawn["account_id"].str.split("#").str[0]
    counted = drawn.groupby("account_id").size()
    assert (counted.to_numpy() == rows[counted.index.str.split("#").str[0]].to_numpy()).all()
    assert drawn["account_id"].nunique() == len(rows)
    customers = drawn.groupby(original)["customer_id"].nunique()
    assert (customers == 1).all()
    assert len(customers) < len(rows)


def test_too_few_resamples_are_refused(
    business_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    with pytest.raises(ls.OptionError, match="at least 10"):
        ls.model.risk_bands(business_model, business_panel, business_panel.current(), resamples=3)
