"""Results by period, and around adoptions whose effect is known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.errors import OptionError

ANALYSIS = ls.SuccessAnalysis.from_toml("""
[bullseye]
success_metric = "days"
[[process]]
name = "weekly_close"
behavior = "closed"
at_least = 1
within = "400d"
""")
START = pd.Timestamp("2022-01-01")


def business_with(effect: float, trend: float, accounts: int = 120) -> ls.Tables:
    """Half adopt at a random tenure; results rise by ``trend`` a day, and by ``effect`` after."""
    rng = np.random.default_rng(1)
    events, results = [("a000", START, "opened")], []
    for n in range(accounts):
        name, day = f"a{n:03d}", int(rng.integers(100, 300))
        if n % 2:
            events.append((name, START + pd.Timedelta(days=day), "closed"))
        for tenure in range(10, 600, 30):
            lift = effect if n % 2 and tenure > day else 0.0
            value = 10 * (0.5 + trend * tenure + lift + 0.05 * rng.standard_normal())
            results.append((name, START + pd.Timedelta(days=tenure), value, 10.0, "days"))
    frames = {
        "accounts": pd.DataFrame(
            {"account_id": [f"a{n:03d}" for n in range(accounts)], "started_on": START}
        ),
        "behaviors": pd.DataFrame(events, columns=["account_id", "occurred_at", "behavior"]),
        "results": pd.DataFrame(
            results, columns=["account_id", "measured_on", "value", "target", "metric"]
        ),
    }
    return ls.read_tables(frames, as_of="2023-09-01")


@pytest.mark.parametrize("effect", [0.0, 0.3])
def test_the_difference_is_the_effect_and_not_the_trend(effect: float) -> None:
    around = ls.success_analysis.results_around_adoption(
        business_with(effect, trend=0.001), ANALYSIS
    )
    (change,) = around.changes
    assert change.accounts == 60
    assert change.difference == pytest.approx(effect, abs=0.03)
    assert change.others is not None
    # Everybody rises: half of 90 + 180 days at 0.001 a day.
    assert change.others == pytest.approx(0.135, abs=0.03)
    assert change.low is not None
    assert change.high is not None
    assert change.low < effect + 0.02
    assert change.high > effect - 0.02
    assert (change.low > 0) == (effect > 0)


def test_results_by_period_against_the_target() -> None:
    tables = ls.read_tables(
        {
            "accounts": pd.DataFrame({"account_id": ["a"], "started_on": ["2024-01-01"]}),
            "results": pd.DataFrame(
                {
                    "account_id": ["a"] * 4,
                    "measured_on": ["2024-01-10", "2024-01-20", "2024-02-01", "2024-02-01"],
                    "value": ["8", "6", "4", "99"],
                    "metric": ["days", "days", "days", "other"],
                    "target": ["5"] * 4,
                    "higher_is_better": ["false"] * 4,
                    "shown_on": [None, "2024-01-21", None, None],
                }
            ),
        },
        as_of="2024-03-01",
    )
    history = ls.success_analysis.result_history(tables, ANALYSIS)
    rows = history.of("a")
    assert list(rows["value"]) == [7, 4]
    assert list(rows["gap"]) == pytest.approx([-0.4, 0.2])
    assert list(rows["met"]) == [0, 1]
    assert list(rows["shown"]) == [1, 0]
    assert len(ls.success_analysis.result_history(tables, ANALYSIS, every="week").frame) == 3
    assert len(ls.success_analysis.result_history(tables, ANALYSIS, every="quarter").frame) == 1
    with pytest.raises(OptionError, match="is not a period"):
        ls.success_analysis.result_history(tables, ANALYSIS, every="fortnight")
    with pytest.raises(OptionError, match="has no results"):
        history.of("b")
    history.plot("a")


def test_they_print_draw_and_go_to_json(
    business: ls.Tables, business_analysis: ls.SuccessAnalysis
) -> None:
    for made in (
        ls.success_analysis.result_history(business, business_analysis),
        ls.success_analysis.results_around_adoption(business, business_analysis),
    ):
        assert json.loads(json.dumps(made.to_dict(), allow_nan=False))
        assert made.plot().get_title("left")
        assert "<table" in made._repr_html_()
        assert len(repr(made).splitlines()) >= 2


def test_results_are_needed() -> None:
    accounts = pd.DataFrame({"account_id": ["a"], "started_on": ["2024-01-01"]})
    with pytest.raises(OptionError, match="no table results"):
        ls.success_analysis.result_history(
            ls.read_tables({"accounts": accounts}, as_of="2024-03-01")
        )
