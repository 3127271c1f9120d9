"""Evidence: what a corrected association is worth where nothing has an effect, and where it has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

import leadsignal as ls
from leadsignal.as_of_context import AsOfContext
from leadsignal.cohorts import Evidence, Rung, dated_cohorts, weigh_evidence
from leadsignal.cohorts.curves import expected_ends, shrink
from leadsignal.cohorts.risk_intervals import in_quarters
from leadsignal.scoring.scores import proven_effects
from leadsignal.stats import Estimate, empirical_null

PROCESS = "weekly_reconciliation"


def world(name: str, folder: Path, seed: int = 0) -> AsOfContext:
    ls.simulate(600, seed=seed, world=name, days=1095).write(folder)
    tables = ls.read_tables(folder)
    return AsOfContext(tables, ls.read_success_analysis(folder / "success.toml"))


def weigh(context: AsOfContext, by: str = PROCESS, **options: object) -> Evidence:
    return weigh_evidence(context.tables, by, context.analysis, context=context, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def marker(tmp_path_factory: pytest.TempPathFactory) -> AsOfContext:
    return world("marker", tmp_path_factory.mktemp("marker"), seed=1)


@pytest.fixture(scope="module")
def leading(tmp_path_factory: pytest.TempPathFactory) -> AsOfContext:
    return world("leading", tmp_path_factory.mktemp("leading"))


# Calibration --------------------------------------------------------------------------------------


def test_calibration_by_hand() -> None:
    values, errors = np.array([-0.4, -0.6, -0.8, -0.2, -0.5]), np.full(5, 0.1)
    null = empirical_null(values, errors)
    # Mean -0.5; squared distances 0.01 + 0.01 + 0.09 + 0.09 + 0 = 0.2, over 4 = 0.05; less 0.01.
    assert (null.mean, null.variance) == pytest.approx((-0.5, 0.04))
    found = null.calibrate(-1.0, 0.2)
    error = np.sqrt(0.2**2 + 0.04 + (0.04 + 0.01) / 5)
    assert np.log(found.estimate) == pytest.approx(-0.5)
    assert np.log(found.low) == pytest.approx(-0.5 - student.ppf(0.975, 4) * error)
    assert found.p == pytest.approx(2 * student.cdf(-0.5 / error, 4))


def test_controls_that_agree_leave_no_excess_variance() -> None:
    null = empirical_null(np.full(6, 0.3), np.full(6, 0.5))
    assert null.variance == 0
    assert null.calibrate(0.3, 0.5).estimate == pytest.approx(1.0)


def test_few_controls_are_refused() -> None:
    with pytest.raises(ls.OptionError, match="4 negative controls are too few"):
        empirical_null([0.1] * 4, [0.1] * 4)


def test_calibrated_intervals_hold_the_truth_of_controls() -> None:
    """Where exposure and controls share one law, 95 % of calibrated intervals hold 1."""
    rng, held = np.random.default_rng(5), 0
    for _ in range(2000):
        bias = rng.normal(-0.5, 0.25, 9)
        seen = bias + rng.normal(0, 0.15, 9)
        null = empirical_null(seen[1:], np.full(8, 0.15))
        held += not null.calibrate(float(seen[0]), 0.15).excludes(1.0)
    assert 0.93 < held / 2000 < 0.985


# Rungs --------------------------------------------------------------------------------------------


def ratio(low: float, high: float) -> Estimate:
    return Estimate(float(np.sqrt(low * high)), low, high, 0.01)


def evidence(calibrated: Estimate | None, **changed: object) -> Evidence:
    parts: dict[str, object] = {
        "lags": {lag: ratio(0.3, 0.7) for lag in (0, 30, 60, 90)}, "early": None, "late": None,
        "change_p": float("nan"), "controls": {}, "calibrated": calibrated, "methods": {},
        "in_quarters": ratio(0.3, 0.7),
    }  # fmt: skip
    return Evidence("measured", "measured", "unmeasured", **(parts | changed))  # type: ignore[arg-type]


def test_the_rung_follows_from_the_checks() -> None:
    assert evidence(ratio(0.4, 0.9)).rung == Rung.CONTROLLED
    assert evidence(None).rung == Rung.LAGGED
    # What controls show as well is no more than an association, however often it is lagged.
    assert evidence(ratio(0.4, 1.1)).rung == Rung.ASSOCIATION
    assert evidence(ratio(1.1, 2.0)).rung == Rung.ASSOCIATION
    late = {0: ratio(0.3, 0.7), 30: ratio(0.3, 0.7), 60: ratio(0.5, 0.9), 90: ratio(0.6, 1.3)}
    assert evidence(ratio(0.4, 0.9), lags=late).rung == Rung.ASSOCIATION
    another_time = evidence(ratio(0.4, 0.9), in_quarters=ratio(0.6, 1.2))
    assert another_time.rung == Rung.ASSOCIATION
    assert "within calendar quarters it is" in another_time.sentence
    assert evidence(None, lags={0: ratio(0.3, 1.1)}).rung == Rung.NOT_PROVEN
    assert evidence(None, lags={90: ratio(0.3, 0.7)}).rung == Rung.NOT_PROVEN


def test_disagreement_is_said_first_and_no_direction() -> None:
    methods = {"landmark": ratio(0.3, 0.7), "target_trial": ratio(1.2, 2.0)}
    found = evidence(ratio(0.4, 0.9), methods=methods)
    assert found.rung == Rung.NOT_PROVEN
    assert "no direction is claimed, because the methods disagree" in found.sentence
    turns = evidence(ratio(0.4, 0.9), early=ratio(0.3, 0.6), late=ratio(1.2, 3.0), change_p=0.001)
    assert "early and late effects differ" in turns.sentence
    alike = evidence(ratio(0.4, 0.9), early=ratio(0.3, 0.6), late=ratio(0.5, 0.9), change_p=0.001)
    assert alike.rung == Rung.CONTROLLED


def test_only_an_experiment_says_that_acting_works() -> None:
    for lower in (None, ratio(0.4, 0.9)):
        assert "acting" not in evidence(lower).sentence
    shown = evidence(ratio(0.4, 1.1), experiment=ratio(0.5, 0.9))
    assert shown.rung == Rung.EXPERIMENT
    assert shown.wording == "shown by an experiment"
    assert "an experiment shows that acting on it makes them leave less often" in shown.sentence
    assert shown.to_dict()["experiment"]["high"] == 0.9
    failed = evidence(ratio(0.4, 0.9), experiment=ratio(0.7, 1.2))
    assert failed.rung == Rung.CONTROLLED
    assert "experiment" in failed.to_frame()["check"].tolist()
    methods = {"landmark": ratio(0.3, 0.7), "target_trial": ratio(1.2, 2.0)}
    assert evidence(None, methods=methods, experiment=ratio(0.5, 0.9)).rung == Rung.EXPERIMENT


# Calendar quarters --------------------------------------------------------------------------------


def test_rows_are_split_where_a_quarter_begins() -> None:
    """From 2024-03-30 on: two days before April, the 91 days of the quarter, three days of July."""
    zero = np.array([np.datetime64("2024-03-30").astype(int)], dtype=float)
    row, start, stop, quarter = in_quarters(zero, np.array([0]), np.array([0.0]), np.array([96.0]))
    assert row.tolist() == [0, 0, 0]
    assert start.tolist() == [0, 2, 93]
    assert stop.tolist() == [2, 93, 96]
    assert quarter.tolist() == [54 * 4, 54 * 4 + 1, 54 * 4 + 2]


def test_a_row_that_ends_with_the_quarter_is_one_part() -> None:
    zero = np.array([np.datetime64("2024-04-01").astype(int)], dtype=float)
    row, start, stop, _ = in_quarters(zero, np.array([0]), np.array([0.0]), np.array([91.0]))
    assert (row.tolist(), start.tolist(), stop.tolist()) == ([0], [0], [91])


def test_reps_are_not_blamed_for_a_bad_year(tmp_path: Path) -> None:
    """Where the hazard quadruples on one day, reps of new accounts are no worse than others."""
    wrong = {"tenure": 0, "quarters": 0}
    for seed in (0, 4):
        jump = world("jump", tmp_path / str(seed), seed).tables
        cohorts = dated_cohorts(jump, "sales_rep")
        ended = np.bincount(cohorts.row_state, cohorts.row_cause == 1, len(cohorts.levels))
        for name, one in (("tenure", replace(cohorts, zero_days=None)), ("quarters", cohorts)):
            expected = expected_ends(one)
            assert expected.sum() == pytest.approx(ended.sum())
            groups = shrink(cohorts.levels, ended, expected)
            wrong[name] += sum(not group.low <= 1 <= group.high for group in groups)
    assert wrong["quarters"] <= 1
    assert wrong["tenure"] > wrong["quarters"]


# Worlds with known truth --------------------------------------------------------------------------


def test_a_marker_of_an_unseen_quality_stays_an_association(marker: AsOfContext) -> None:
    found = weigh(marker)
    assert found.lags[90].high < 1, "the world must look like an effect"
    assert len(found.controls) >= 5
    assert np.mean([np.log(one.estimate) for one in found.controls.values()]) < -0.2
    assert found.rung <= Rung.ASSOCIATION
    assert proven_effects(marker.tables, marker.analysis, marker) == {}


def test_an_effect_reaches_the_third_rung(leading: AsOfContext) -> None:
    found = weigh(leading)
    assert found.rung == Rung.CONTROLLED
    assert "more than the control behaviours" in found.sentence
    assert PROCESS in proven_effects(leading.tables, leading.analysis, leading)


def test_leavers_who_go_quiet_prove_nothing(tmp_path: Path) -> None:
    quiet = world("quiet", tmp_path)
    assert weigh(quiet, "complained").lags[0].high < 1, "the world must look like an effect"
    for by in (PROCESS, "monthly_close_review", "measured", "complained"):
        assert weigh(quiet, by).rung <= Rung.ASSOCIATION


def test_an_effect_that_turns_is_a_disagreement(tmp_path: Path) -> None:
    found = weigh(world("crossing", tmp_path))
    assert found.early is not None
    assert found.late is not None
    assert found.early.estimate < 1 < found.late.estimate
    assert found.rung == Rung.NOT_PROVEN
    assert "early and late effects differ" in found.sentence


def test_evidence_is_part_of_a_comparison(leading: AsOfContext) -> None:
    found = ls.compare_cohorts(leading.tables, PROCESS, leading.analysis, context=leading)
    (one,) = found.evidence
    assert set(one.methods) == {"time_dependent", "landmark", "target_trial"}
    assert one.sentence in found.details
    assert found.to_dict()["evidence"][0]["rung"] == int(one.rung)
    region = ls.compare_cohorts(leading.tables, "region", leading.analysis, context=leading)
    assert region.evidence == ()


def test_an_overview_weighs_controls_only_where_they_decide(leading: AsOfContext) -> None:
    overview = ls.compare_all(
        leading.tables, leading.analysis, methods=["time_dependent"], context=leading
    )
    found = [line.evidence for line in overview.lines if line.evidence is not None]
    for one in found:
        whole = weigh(leading, one.by, cohort=one.cohort, methods=one.methods)
        assert (one.rung, one.wording) == (whole.rung, whole.wording)
        assert one.controls in ({}, whole.controls)
    assert {one.rung >= Rung.LAGGED for one in found} == {True, False}
    without = next(one for one in found if one.rung == Rung.NOT_PROVEN)
    assert without.controls == {}
    assert "No control behaviours were compared" in repr(without)


def test_a_property_since_the_start_has_no_evidence_of_this_kind(leading: AsOfContext) -> None:
    with pytest.raises(ls.OptionError, match="region is a property since the start"):
        weigh(leading, "region")
    with pytest.raises(ls.OptionError, match="'happy' is not a cohort of measured"):
        weigh(leading, "measured", cohort="happy")
