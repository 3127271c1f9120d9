"""Discrete-time hazards: stacking counted by hand, and recovery of hazards that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from leadsignal.model.features import Features, design, stack, step_ends
from leadsignal.model.stacked_model import Hazards, SampleSize, fit_hazards

NAN = np.nan


@pytest.mark.parametrize(
    ("horizon", "step", "ends"),
    [(180, 30, [30, 60, 90, 120, 150, 180]), (28, 28, [28]), (100, 30, [30, 60, 90, 100])],
)
def test_steps_reach_the_horizon(horizon: int, step: int, ends: list[int]) -> None:
    assert step_ends(horizon, step).tolist() == ends


def test_rows_enter_only_whole_steps() -> None:
    # Steps (0, 30], (30, 60]. Account 0: seen 70 days, stays: both steps.
    # 1: churns on day 30, seen 70: step 0 with the end, then gone.
    # 2: churns on day 31: step 0 without, step 1 with it.
    # 3: seen 59 days, ends otherwise on day 40: step 0 only; step 1 was not seen whole.
    # 4: seen 29 days and ends on day 10: nothing, or ends would be seen more often than staying.
    stacked = stack(
        ended_within=np.array([NAN, 30.0, 31.0, 40.0, 10.0]),
        observed=np.array([70.0, 70.0, 70.0, 59.0, 29.0]),
        churns=np.array([False, True, True, False, True]),
        ends=np.array([30, 60]),
    )
    rows = list(zip(stacked.row, stacked.step, stacked.churned, stacked.left, strict=True))
    assert rows == [
        (0, 0, False, False),
        (0, 1, False, False),
        (1, 0, True, False),
        (2, 0, False, False),
        (2, 1, True, False),
        (3, 0, False, False),
    ]


def test_an_end_of_another_kind_is_left_not_churned() -> None:
    stacked = stack(np.array([20.0]), np.array([99.0]), np.array([False]), np.array([30]))
    assert (stacked.churned.tolist(), stacked.left.tolist()) == ([False], [True])


def test_rows_move_ahead_in_time() -> None:
    # Tenure 100, 20 days to the renewal of a 12-month term. 30 days on: tenure 130, and the
    # renewal after next is 365.25 - 10 days away. 10 days on: 10 days to go.
    features = Features(("tenure_days", "days_to_renewal", "term_months"))
    matrix = np.array([[100.0, 20.0, 12.0]])
    features.move_ahead(matrix, np.array([10.0]))
    assert matrix.tolist() == [[110.0, 10.0, 12.0]]
    features.move_ahead(matrix, np.array([20.0]))
    assert matrix.tolist() == [[130.0, 355.25, 12.0]]


def test_design_says_whether_a_renewal_falls_into_the_step() -> None:
    features = Features(("days_to_renewal", "term_months"))
    matrix = np.array([[40.0, 12.0]])
    made = design(features, matrix, np.array([30, 60]), np.array([0, 0]), np.array([0, 1]))
    assert made[:, -2].tolist() == [0.0, 1.0]
    assert made[:, -1].tolist() == [40.0, 40.0]


def _lives(
    rng: np.random.Generator, rows: int, churn: np.ndarray, other: float
) -> dict[str, np.ndarray]:
    """Draw days to the end from hazards a day; followed for 200 days."""
    leaves = rng.geometric(churn, rows).astype(float)
    elsewhere = rng.geometric(other, rows).astype(float) if other else np.full(rows, np.inf)
    end = np.minimum(leaves, elsewhere)
    seen = end <= 200
    return {
        "ended_within": np.where(seen, end, NAN),
        "observed": np.full(rows, 200.0),
        "churns": (leaves < elsewhere) & seen,
    }


@pytest.mark.parametrize("kind", ["ensemble", "boosting", "logistic", "cox"])
def test_known_hazards_are_recovered(kind: str) -> None:
    # Two groups with daily hazards 0.001 and 0.004, and 0.002 of ending otherwise. With both at
    # work P(churned by 180) = h / (h + g) (1 - (1 - h - g)^180) up to ties within a day.
    rng = np.random.default_rng(1)
    group = np.repeat([0.0, 1.0], 20_000)
    hazard = np.where(group == 1, 0.004, 0.001)
    outcome = _lives(rng, len(group), hazard, 0.002)
    features, matrix = Features(("group",)), group[:, None]
    fitted = fit_hazards(features, matrix, outcome, step_ends(180, 30), kind, 0)  # type: ignore[arg-type]
    churned, active = fitted.curves(np.array([[0.0], [1.0]]))
    total = np.array([0.003, 0.006])
    truth = np.array([0.001, 0.004]) / total * (1 - (1 - total) ** 180)
    # Standard errors are below sqrt(0.25 / 20000) = 0.0035; four of them.
    assert np.abs(churned[:, -1] - truth).max() < 0.014
    assert np.abs(active[:, -1] - (1 - total) ** 180).max() < 0.014


@pytest.mark.parametrize("kind", ["ensemble", "boosting", "logistic", "cox"])
def test_what_one_account_alone_knows_is_no_obstacle(kind: str) -> None:
    # Among the accounts not held out, such a column may have no value at all.
    rng = np.random.default_rng(2)
    group = np.repeat([0.0, 1.0], 300)
    rare = np.where(np.arange(600) == 7, 5.0, NAN)
    outcome = _lives(rng, 600, np.where(group == 1, 0.004, 0.001), 0.002)
    matrix = np.column_stack([group, rare])
    fitted = fit_hazards(
        Features(("group", "rare")),
        matrix,
        outcome,
        step_ends(180, 30),
        kind,  # type: ignore[arg-type]
        0,
    )
    churned, _ = fitted.curves(np.array([[0.0, NAN], [1.0, NAN], [1.0, 5.0], [1.0, 9.0]]))
    assert np.isfinite(churned).all()
    assert churned[1, -1] > churned[0, -1]


def test_curves_are_probabilities_that_never_turn(
    business_model: object, business_panel: object
) -> None:
    hazards: Hazards = business_model.hazards_  # type: ignore[attr-defined]
    matrix = hazards.features.matrix(business_panel.frame)  # type: ignore[attr-defined]
    churned, active = hazards.curves(matrix)
    assert np.isfinite(churned).all()
    assert ((churned >= 0) & (churned <= 1) & (active >= 0) & (active <= 1)).all()
    assert (np.diff(churned, axis=1) >= 0).all()
    assert (np.diff(active, axis=1) <= 0).all()
    assert (churned + active <= 1 + 1e-12).all()


def test_a_fit_keeps_every_end_and_so_many_other_rows_for_each() -> None:
    stacked = stack(
        ended_within=np.where(np.arange(1000) < 40, 10.0, NAN),
        observed=np.full(1000, 70.0),
        churns=np.arange(1000) < 40,
        ends=np.array([30, 60]),
    )
    rows = len(stacked.row)
    assert (rows, stacked.churned.sum()) == (40 + 2 * 960, 40)
    assert SampleSize(per_end=5, least=100, most=10_000).of(stacked) == 240
    assert SampleSize(per_end=5, least=500, most=10_000).of(stacked) == 500
    assert SampleSize(per_end=500, least=1, most=1_000).of(stacked) == 1_000
    sample = stacked.sampled(240, np.random.default_rng(0))
    assert (len(sample.row), sample.churned.sum()) == (240, 40)
    assert sample.weight.sum() == pytest.approx(rows)


def test_numbers_beyond_the_range_of_the_fit_count_as_its_ends() -> None:
    seen = pd.DataFrame({"logins": [2.0, 5.0, np.nan]})
    learned = Features.of(seen, ["logins"], categories=())
    later = pd.DataFrame({"logins": [-1.0, 3.0, 80.0]})
    assert learned.matrix(later)[:, 0].tolist() == [2.0, 3.0, 5.0]
