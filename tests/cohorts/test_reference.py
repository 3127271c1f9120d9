"""The Stanford heart data against R, and a trial of six accounts worked by hand."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leadsignal.cohorts import Comparison, DatedCohorts, compare_dated
from leadsignal.cohorts.contrasts import groups_of, hazard_ratio
from leadsignal.cohorts.risk_intervals import (
    follow_from_landmark,
    follow_in_time,
    follow_naively,
)
from leadsignal.cohorts.trial import clone_and_weight
from leadsignal.survival import kaplan_meier

REFERENCE = Path(__file__).parents[1] / "reference"
# R's heart data count the day of acceptance as day 1, its landmark of day 30 is day 31 of these.
DAY_30 = 31


@pytest.fixture(scope="module")
def from_r() -> Any:
    return json.loads((REFERENCE / "r_reference.json").read_text())["heart"]


@pytest.fixture(scope="module")
def heart() -> DatedCohorts:
    rows = pd.read_csv(REFERENCE / "heart.csv")
    return DatedCohorts.from_rows(
        "transplanted", ("waiting", "transplanted"), rows["id"], rows["start"], rows["stop"],
        rows["event"], rows["transplant"].astype(int),
    )  # fmt: skip


@pytest.fixture(scope="module")
def compared(heart: DatedCohorts) -> Comparison:
    return compare_dated(heart, landmark=DAY_30)


def coefficient(compared: Comparison, method: str) -> float:
    found = compared.contrast(method)
    assert found is not None
    assert found.hazard_ratio is not None
    return float(np.log(found.hazard_ratio.estimate))


def test_the_time_dependent_transplant_is_rs(compared: Comparison, from_r: Any) -> None:
    given = from_r["tv_transplant_only"]["efron"]["coef"]["transplant1"]
    assert coefficient(compared, "time_dependent") == pytest.approx(given, abs=1e-10)
    assert given == pytest.approx(0.1271, abs=1e-4)


def test_the_naive_transplant_is_rs(compared: Comparison, from_r: Any) -> None:
    given = from_r["NAIVE_immortal_time_ever_transplant"]["efron"]["coef"]["ever_tx"]
    assert coefficient(compared, "naive") == pytest.approx(given, abs=1e-10)
    assert given == pytest.approx(-1.3234, abs=1e-4)


def test_the_landmark_of_day_30_is_rs(
    heart: DatedCohorts, compared: Comparison, from_r: Any
) -> None:
    given = from_r["landmark"]["day30"]
    rows = follow_from_landmark(heart, DAY_30)
    assert (len(rows.group), rows.group.sum()) == (given["n_at_risk"], given["n_treated"])
    coef = next(iter(given["efron"]["coef"].values()))
    assert coefficient(compared, "landmark") == pytest.approx(coef, abs=1e-8)
    assert coef == pytest.approx(-0.0888, abs=1e-4)


def test_the_verdict_names_the_artefact(compared: Comparison) -> None:
    assert "The naive result is an artefact of immortal time" in compared.explanation
    assert compared.verdict in repr(compared)


@pytest.mark.parametrize(
    ("follow", "name", "tolerance"),
    [
        (follow_naively, "km_naive_by_ever_tx", 0),
        (follow_in_time, "km_counting_process_by_transplant_simon_makuch", 0),
    ],
)
def test_curves_are_rs(
    heart: DatedCohorts, from_r: Any, follow: Any, name: str, tolerance: int
) -> None:
    rows, given = follow(heart), from_r[name]
    curves = kaplan_meier(rows.stop, rows.cause, start=rows.start, group=rows.group)
    lengths = list(given["strata"].values())
    for group, (begin, length) in enumerate(zip([0, lengths[0]], lengths, strict=True)):
        part = slice(begin, begin + length)
        event = np.array(given["n.event"][part]) > 0
        curve = curves.of(group)
        assert curve.estimate == pytest.approx(np.array(given["surv"][part])[event], abs=1e-10)
        assert curve.at_risk.tolist() == np.array(given["n.risk"][part])[event].tolist()


@pytest.fixture
def six() -> DatedCohorts:
    """Six accounts: a, b measured by day 4, d later; c leaves before it.

    account   a  b  c  d  e   f
    event     1  3  -  6  -   -
    stop      6  8  2  9  10  5   (e is still here)
    """
    return DatedCohorts.from_changes(
        "measured", ("unmeasured", "measured"), list("abcdef"), [6, 8, 2, 9, 10, 5],
        [1, 1, 1, 1, 0, 1], ([0, 1, 3], [1, 3, 6], [1, 1, 1]),
    )  # fmt: skip


def test_trial_weights_are_those_worked_by_hand(six: DatedCohorts) -> None:
    # Until day 4 unmeasured: day 1, one of six is measured, G = 5/6; day 3, c having left, one of
    # b d e f, G = 5/6 · 3/4 = 5/8. So F(4) = 3/8. The end of day 2 and day 4 cut the time.
    # Not by day 4: 1/G(2-) = 6/5, then 1/G(4-) = 8/5, and so from day 4 on.
    # By day 4: before the event (F(4) - F(2-)) / (F(4) G(2-)) = (3/8 - 1/6) / (3/8 · 5/6) = 2/3,
    # then (3/8 - 3/8) = 0, so that these rows are gone; with it 1/F(4) = 8/3.
    clones, weighting = clone_and_weight(six, 1, 4)
    found = {
        (six.accounts[a], int(g), float(s), float(e)): Fraction(w).limit_denominator(1000)
        for a, g, s, e, w in zip(
            clones.account, clones.group, clones.start, clones.stop, clones.weight, strict=True
        )
    }
    early, late, waiting, measured = (Fraction(*f) for f in ((6, 5), (8, 5), (2, 3), (8, 3)))
    assert found == {
        ("a", 0, 0, 1): early, ("b", 0, 0, 2): early, ("b", 0, 2, 3): late, ("c", 0, 0, 2): early,
        ("d", 0, 0, 2): early, ("d", 0, 2, 4): late, ("d", 0, 4, 9): late,
        ("e", 0, 0, 2): early, ("e", 0, 2, 4): late, ("e", 0, 4, 10): late,
        ("f", 0, 0, 2): early, ("f", 0, 2, 4): late, ("f", 0, 4, 5): late,
        ("a", 1, 0, 1): waiting, ("a", 1, 1, 6): measured,
        ("b", 1, 0, 2): waiting, ("b", 1, 3, 8): measured, ("c", 1, 0, 2): waiting,
        ("d", 1, 0, 2): waiting, ("e", 1, 0, 2): waiting, ("f", 1, 0, 2): waiting,
    }  # fmt: skip
    assert weighting.by_day == pytest.approx(3 / 8)
    assert weighting.effective == pytest.approx((3, 2))


def test_trial_curves_are_those_worked_by_hand(six: DatedCohorts) -> None:
    # By day 4: at day 2 weigh a 8/3 and five 2/3, six together; c leaves, S = 1 - (2/3)/6 = 8/9.
    # Day 6, a of a b: 4/9. Mean days until 7: 2 + 4 · 8/9 + 1 · 4/9 = 6.
    # Not by day 4: at day 2 five weigh 6/5, c leaves, S = 4/5; day 5, f of d e f: 8/15.
    # Mean days until 7: 2 + 3 · 4/5 + 2 · 8/15 = 82/15.
    clones, _ = clone_and_weight(six, 1, 4)
    groups = groups_of(clones, six, 1)
    days, there = groups.mean_days(7), groups.retention(7)
    assert (days[1].value, days[0].value) == pytest.approx((6, 82 / 15))
    assert (there[1].value, there[0].value) == pytest.approx((4 / 9, 8 / 15))


def test_clones_of_an_account_are_one_cluster(six: DatedCohorts) -> None:
    clones, _ = clone_and_weight(six, 1, 4)
    ratio, fit = hazard_ratio(clones, six, 1)
    assert fit.rows.cluster is not None
    assert len(fit.rows.cluster) == 6
    assert len(ratio.influence) == 6
