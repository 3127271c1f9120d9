"""The probability of an end by each cause, against cases counted by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from hand_panels import indicator, panel_of

SIZE = indicator("size", "category", "context")


def panel(rows: list[tuple[str, int, int, str, str]], **project: object) -> ls.Panel:
    names = ["account_id", "start", "stop", "cause", "size"]
    return panel_of(pd.DataFrame(rows, columns=names), SIZE, **project)


FOUR = [
    ("a", 0, 10, "", "s"), ("a", 10, 20, "churn", "s"),
    ("b", 0, 30, "acquired", "s"),
    ("c", 0, 40, "completed", "l"),
    ("d", 0, 50, "", "l"), ("d", 50, 90, "", "s"),
]  # fmt: skip


def test_four_accounts_by_hand() -> None:
    # At 20 one of 4 leaves, at 30 one of 3 of the 3/4 still there, at 40 one of 2 of 2/4.
    result = ls.model.cumulative_incidence(
        panel(FOUR, not_churn=("completed",)), horizons=["25d", "60d"]
    )
    table = result.to_frame().set_index(["cause", "days"])
    assert table.loc[("churn", 25), "estimate"] == pytest.approx(1 / 4)
    assert table.loc[("acquired", 25), "estimate"] == 0
    assert table.loc[("acquired", 60), "estimate"] == pytest.approx(1 / 4)
    assert table.loc[("completed", 60), "estimate"] == pytest.approx(1 / 4)
    assert table.loc[("all churn", 60), "estimate"] == pytest.approx(1 / 2)
    assert table.loc[("all churn", 60), "ended"] == 2
    assert table.loc[("all churn", 60), "at_risk"] == 1
    assert result.not_churn == ("completed",)


def test_an_account_counts_in_the_group_it_began_in() -> None:
    table = ls.model.cumulative_incidence(panel(FOUR), by="size", horizons=["60d"]).to_frame()
    total = table[table["cause"] == "all churn"].set_index("group")
    assert total.loc["l", "at_risk"] == 1
    # The two of s have both ended by 30: nothing is to be seen after, and nothing can change.
    assert total.loc["s", "ended"] == 2


def test_late_entry_is_not_time_survived() -> None:
    late = [("a", 0, 20, "churn", "s"), ("b", 30, 40, "churn", "s"), ("c", 0, 50, "", "s")]
    table = ls.model.cumulative_incidence(panel(late), horizons=["25d", "45d"]).to_frame()
    churn = table[table["cause"] == "churn"].set_index("days")["estimate"]
    assert churn[25] == pytest.approx(1 / 2)
    assert churn[45] == pytest.approx(1 / 2 + 1 / 2 * 1 / 2)


def test_beyond_what_was_followed_there_is_no_value() -> None:
    table = ls.model.cumulative_incidence(panel(FOUR), horizons=["100d"]).to_frame()
    assert table["estimate"].isna().all()
    data = ls.model.cumulative_incidence(panel(FOUR), horizons=["100d"]).to_dict()
    assert json.loads(json.dumps(data))["incidence"][0]["estimate"] is None


def test_causes_add_up_to_all_churn(business_panel: ls.Panel) -> None:
    result = ls.model.cumulative_incidence(business_panel)
    sums = result.to_frame().groupby(["days", result.table["cause"] == "all churn"])["estimate"]
    parts = sums.sum().unstack()
    np.testing.assert_allclose(parts[False], parts[True], atol=1e-12)
    assert "all churn" in repr(result)
    assert "<table" in result._repr_html_()


def test_the_picture_names_the_causes(business_panel: ls.Panel) -> None:
    import matplotlib.pyplot as plt

    axes = ls.model.cumulative_incidence(business_panel, by="segment").plot()
    legend = axes.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert "small: churn" in labels
    plt.close("all")


def test_wrong_questions_are_refused() -> None:
    with pytest.raises(ls.errors.OptionError, match="Choose one of size"):
        ls.model.cumulative_incidence(panel(FOUR), by="cause")
    with pytest.raises(ls.errors.ModelError, match="no account"):
        ls.model.cumulative_incidence(panel([("a", 0, 10, "", "s")]))
