"""What the data do not determine is missing: slopes, limits, numbers where nobody is at risk."""

import json

import numpy as np
import pytest

from leadsignal.survival import (
    aalen_johansen,
    calibration,
    kaplan_meier,
    probability_at,
    restricted_mean,
)


def sample(rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    return rng.integers(1, 60, rows).astype(float), rng.integers(0, 2, rows)


@pytest.mark.parametrize("risk", [0.2, 0.5, 0.7, 0.1 + 0.2])
def test_one_risk_for_everybody_has_no_slope_but_an_intercept(risk: float) -> None:
    stop, event = sample()
    found = calibration(stop, event, np.full(200, risk), 30)
    assert np.isnan(found.slope).all()
    assert found.intercept[1] < found.intercept[0] < found.intercept[2]
    # With the slope held at 1 the one risk moves to the observed share.
    moved = 1 / (1 + (1 - risk) / risk * np.exp(-found.intercept[0]))
    assert moved == pytest.approx(found.observed, rel=1e-9)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=True))["observed"] == found.observed


@pytest.mark.parametrize(
    ("event", "risk"),
    [
        ([1, 1, 1, 2, 0], [0.8, 0.7, 0.6, 0.2, 0.1]),  # every case above every other
        ([1, 1, 1, 2, 0], [0.1, 0.2, 0.3, 0.8, 0.9]),  # every case below
        ([1, 1, 1, 2, 0], [0.8, 0.7, 0.4, 0.4, 0.1]),  # tied at the border only
        ([1, 1, 1, 2, 0], [0.8, 0.7, 0.3, 0.1 + 0.2, 0.1]),  # out of order by rounding only
        ([1, 1, 1, 2, 0], [1.0, 1.0, 1.0, 0.0, 0.0]),
    ],
)
def test_a_perfect_ranking_has_no_finite_slope(event: list[int], risk: list[float]) -> None:
    found = calibration([1, 2, 3, 4, 9], event, risk, 4.5)
    assert np.isnan(found.slope).all()


def test_one_pair_out_of_order_gives_a_slope() -> None:
    found = calibration([1, 2, 3, 4, 9, 9], [1, 1, 1, 2, 0, 0], [0.8, 0.7, 0.3, 0.4, 0.2, 0.1], 4.5)
    assert found.slope[1] < found.slope[0] < found.slope[2]


def test_limits_of_quantiles_are_missing_where_the_curve_has_none() -> None:
    together = kaplan_meier([8, 8, 8, 8], [1, 1, 1, 1]).quantiles()[0]
    assert together.estimate == 8
    assert np.isnan([together.lower, together.upper]).all()
    assert together.to_dict() == {
        "group": "all", "share": 0.5, "estimate": 8, "lower": None, "upper": None
    }  # fmt: skip
    late = kaplan_meier([2, 6, 7, 9], [1, 1, 0, 1], start=[0, 4, 4, 5])
    median = late.quantiles()[0]
    assert median.estimate == 2
    assert np.isnan([median.lower, median.upper]).all()


def test_numbers_over_a_time_at_which_nobody_was_at_risk_have_no_interval() -> None:
    # The first row ends at 2, the others enter at 4: from 2 to 4 nobody is there to end.
    late = kaplan_meier([2, 6, 7, 9], [1, 1, 0, 1], start=[0, 4, 4, 5])
    for found in (restricted_mean(late, 8), probability_at(late, 6), probability_at(late, 3)):
        assert np.isfinite(found.estimate).all()
        assert np.isnan([found.std_err, found.lower, found.upper]).all()
        assert "nobody was at risk for a part of the time" in repr(found)
        assert found.to_dict()["note"] == found.note != ""
    assert restricted_mean(late, 1.5).note == ""
    assert np.isfinite(restricted_mean(late, 1.5).lower[0])


def test_a_gap_in_one_group_leaves_the_other_as_it_is() -> None:
    stop, start = [2, 6, 7, 9, 3, 8, 9], [0, 4, 4, 5, 0, 0, 0]
    curves = kaplan_meier(stop, [0, 1, 0, 1, 1, 1, 0], start=start, group=list("aaaabbb"))
    found = restricted_mean(curves, 8)
    assert np.isnan(found.lower).tolist() == [True, False]
    assert np.isnan(found.difference("b", "a").p)
    assert "a: no interval" in found.note


def test_a_gap_makes_no_difference_to_rows_that_go_on() -> None:
    # One account in two rows, the second beginning where the first ends: somebody is always there.
    whole = kaplan_meier([5, 9], [1, 0])
    split = kaplan_meier([5, 4, 9], [1, 0, 0], start=[0, 0, 4])
    assert restricted_mean(split, 8).note == ""
    assert restricted_mean(split, 8).std_err == pytest.approx(restricted_mean(whole, 8).std_err)


def test_survival_of_0_has_no_limits_and_a_mean_until_then_has() -> None:
    curves = kaplan_meier([1, 2, 4], [1, 1, 1])
    nobody = probability_at(curves, 4)
    assert nobody.estimate.tolist() == [0]
    assert np.isnan([nobody.lower, nobody.upper]).all()
    mean = restricted_mean(curves, 4)
    assert mean.lower[0] < mean.estimate[0] < mean.upper[0]
    everybody = aalen_johansen([1, 2, 4], [1, 1, 1])
    assert np.isnan(probability_at(everybody, 4, cause=1).upper).all()
    assert probability_at(everybody, 4, cause=1).estimate.tolist() == [1]
