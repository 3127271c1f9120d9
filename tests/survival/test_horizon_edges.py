"""What happens exactly at the horizon counts as within it, everywhere alike.

Each case has an end or a censoring at the horizon itself, and the value counted by hand.
"""

import numpy as np
import pytest

from leadsignal.errors import OptionError
from leadsignal.survival import (
    aalen_johansen,
    brier,
    calibration,
    concordance,
    dynamic_auc,
    incident_auc,
    kaplan_meier,
    probability_at,
    restricted_mean,
)
from leadsignal.survival.risk_sets import Censoring

# Ends at 1 and, exactly at the horizon, 2; one still there after it.
STOP, EVENT, SCORE = [1.0, 2.0, 3.0], [1, 1, 0], [0.9, 0.2, 0.4]


def test_an_end_at_the_horizon_is_a_case() -> None:
    found = dynamic_auc(STOP, EVENT, SCORE, [1.0, 2.0])
    assert found.cases.tolist() == [1, 2]
    # By 1: 0.9 against 0.2 and 0.4. By 2: 0.9 and 0.2 against 0.4.
    assert found.auc.tolist() == [1, 0.5]
    assert brier(STOP, EVENT, SCORE, 2).score[0] == pytest.approx((0.01 + 0.64 + 0.16) / 3)
    assert calibration(STOP, EVENT, SCORE, 2, bins=1).observed == pytest.approx(2 / 3)


def test_an_end_on_day_0_is_a_case_and_no_time_is_negative() -> None:
    assert dynamic_auc([0, 1, 2], [1, 1, 0], SCORE, 0.5).cases.tolist() == [1]
    with pytest.raises(OptionError, match="stop is negative"):
        dynamic_auc([-1, 1, 2], [1, 1, 0], SCORE, 0.5)


def test_another_end_at_the_horizon_is_a_control() -> None:
    # The end by cause 2 at the horizon is known by then: a control with the highest score.
    found = dynamic_auc([1, 2, 3], [1, 2, 0], [0.5, 0.9, 0.1], 2)
    assert (found.auc[0], found.cases[0]) == (0.5, 1)
    assert calibration([1, 2, 3], [1, 2, 0], [0.5, 0.9, 0.1], 2, bins=1).observed == 1 / 3


def test_a_row_censored_at_the_horizon_stands_aside() -> None:
    # At risk of being censored at 2: the rows that end later and itself, 3; G(2) = 2/3.
    stop, cause = np.array([1.0, 2, 3, 3]), np.array([1, 0, 0, 0])
    censoring = Censoring.of(stop, cause == 0)
    assert censoring.by(2.0) == pytest.approx([1, 0, 1.5, 1.5])
    # Just before it nobody is censored and all count.
    assert censoring.by(1.9) == pytest.approx([1, 1, 1, 1])
    assert brier(stop, cause, [1.0, 0.7, 0, 0], 2).score[0] == 0
    assert brier(stop, cause, [1.0, 0.7, 0, 0], 1.9).score[0] == pytest.approx(0.49 / 4)


def test_an_end_at_the_time_of_a_censoring_comes_before_it() -> None:
    # At 2 one ends and one is censored: the end weighs 1/G(2−) = 1.
    stop, cause = np.array([2.0, 2, 3, 3]), np.array([1, 0, 0, 0])
    censoring = Censoring.of(stop, cause == 0)
    assert censoring.own.tolist()[:2] == [1, 1]
    assert censoring.by(2.0) == pytest.approx([1, 0, 1.5, 1.5])


def test_concordance_counts_events_at_the_horizon_and_none_after_it() -> None:
    # Event at 1 wins against three; at 2 it loses to 0.4 and beats 0.1; at 3 it beats 0.1.
    stop, event, score = [1, 2, 3, 4], [1, 1, 1, 0], [0.9, 0.2, 0.4, 0.1]
    found = [concordance(stop, event, score, horizon=h) for h in (1, 1.9, 2, 2.9, 3)]
    assert [f.concordant for f in found] == [3, 3, 4, 4, 5]
    assert [f.discordant for f in found] == [0, 0, 1, 1, 1]


def test_intervals_of_incident_auc_hold_their_end_and_not_their_beginning() -> None:
    stop, event, score = [1, 2, 3, 4], [1, 1, 1, 0], [0.9, 0.2, 0.4, 0.1]
    found = incident_auc(stop, event, score, [0, 1, 2, 3])
    assert found.events.tolist() == [1, 1, 1]
    assert found.auc.tolist() == [1, 0.5, 1]
    assert incident_auc(stop, event, score, [1, 2]).events.tolist() == [1]


def test_a_row_that_begins_at_an_event_is_not_at_risk_there() -> None:
    # The second row enters at 1, after the event there; the first interval has nobody to compare.
    found = incident_auc([1, 3, 3], [1, 1, 0], [1, 2, 1], [0, 1, 3], start=[0, 1, 1])
    assert np.isnan(found.auc[0])
    assert found.auc[1] == 1
    assert kaplan_meier([1, 3, 3], [1, 1, 0], start=[0, 1, 1])[0].at_risk.tolist() == [1, 2]


def test_the_last_time_of_all_is_no_horizon_and_any_before_it_is() -> None:
    with pytest.raises(ValueError, match="horizon 3 is not before the last observed time, 3"):
        dynamic_auc(STOP, EVENT, SCORE, 3.0)
    assert dynamic_auc(STOP, EVENT, SCORE, 2.999).cases.tolist() == [2]


def test_curves_and_their_means_include_the_event_at_the_time_asked_for() -> None:
    curves = kaplan_meier([1, 2, 3, 4], [1, 1, 1, 0])
    assert curves[0].at([0.9, 1, 1.1]).tolist() == [1, 0.75, 0.75]
    assert probability_at(curves, 2).estimate[0] == 0.5
    assert probability_at(curves, 1.9).estimate[0] == 0.75
    ends = aalen_johansen([1, 2, 3, 4], [1, 2, 1, 0])
    assert probability_at(ends, 2, cause=2).estimate[0] == 0.25
    # 1 until 1, 3/4 until 2; the event at 2 itself adds no area, and the last time is allowed.
    assert restricted_mean(curves, 2).estimate[0] == 1.75
    assert restricted_mean(curves, 4).estimate[0] == 2.5


SHIFTED = [0.1 * 3, 0.7, 1.1]  # 0.1 * 3 is 0.30000000000000004


def test_a_horizon_equal_to_a_time_up_to_rounding_is_that_time() -> None:
    assert dynamic_auc(SHIFTED, EVENT, SCORE, [0.3]).cases.tolist() == [1]
    assert calibration(SHIFTED, EVENT, [0.9, 0.2, 0.4], 0.3, bins=1).observed == 1 / 3
    assert concordance(SHIFTED, EVENT, SCORE, horizon=0.3).concordant == 2
    assert incident_auc(SHIFTED, EVENT, SCORE, [0, 0.3, 1]).events.tolist() == [1, 1]
    curves = kaplan_meier(SHIFTED, EVENT)
    assert curves[0].at(0.3) == probability_at(curves, 0.3).estimate[0] == pytest.approx(2 / 3)
    assert restricted_mean(curves, 0.3).estimate[0] == pytest.approx(0.3)
    assert curves[0].at(1.1 + 2e-16) == pytest.approx(1 / 3)
