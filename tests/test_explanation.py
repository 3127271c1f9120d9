"""Explanations: they add up, they do not depend on others, they read well."""

from __future__ import annotations

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import Rectangle

import leadsignal as ls


def test_the_factors_lead_from_a_typical_account_to_this_one(
    business_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    rows = business_panel.current()
    name = rows["account_id"].iloc[3]
    told = ls.explain_account(business_model, rows, name)
    odds, typical = (one / (1 - one) for one in (told.risk, told.typical_risk))
    assert typical * np.prod(told.table["factor"]) == pytest.approx(odds, rel=1e-9)
    assert told.risk == business_model.predict(rows).risk[3]
    assert f"about {100 * told.risk:.0f} leave within 180 days" in told.sentence()
    assert json.loads(json.dumps(told.to_dict()))["account_id"] == name


def test_it_is_the_same_in_any_order_and_with_other_days(
    business_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    day = business_panel.current()
    shuffled = business_panel.frame.sample(frac=1, random_state=1)
    name = day["account_id"].iloc[5]
    alone = ls.explain_account(business_model, day, name)
    among = ls.explain_account(business_model, shuffled, name)
    assert alone.table.equals(among.table)
    assert alone.sentence() == among.sentence()


def test_importance_is_the_mean_size_of_the_shares(
    business_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    rows = business_panel.current()
    shares = business_model.reasons(rows)
    table = ls.model.subject_importance(business_model, rows).to_frame().set_index("subject")
    assert table["mean_share"].is_monotonic_decreasing
    for subject in map(str, shares):
        assert table.loc[subject, "mean_share"] == pytest.approx(shares[subject].abs().mean())


def test_both_can_be_drawn(business_model: ls.ChurnModel, business_panel: ls.Panel) -> None:
    rows = business_panel.current()
    told = ls.explain_account(business_model, rows, rows["account_id"].iloc[0])
    bars = [bar.get_width() for bar in told.plot().patches if isinstance(bar, Rectangle)]
    assert np.allclose(bars, told.table["share"].iloc[::-1])
    assert ls.model.subject_importance(business_model, rows).plot().patches
    plt.close("all")


def test_an_account_that_is_not_there_is_refused(
    business_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    with pytest.raises(ls.OptionError, match="A-nobody"):
        ls.explain_account(business_model, business_panel.current(), "A-nobody")
