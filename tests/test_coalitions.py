"""What every coalition of subjects is worth: as if each were forecast by itself."""

from __future__ import annotations

import numpy as np
import pytest

from leadsignal.model.contributions import coalition_risks
from leadsignal.model.features import Features, step_ends
from leadsignal.model.stacked_model import Hazards, fit_hazards

FEATURES = Features(
    ("tenure_days", "days_to_renewal", "term_months", "load", "state", "rare", "other"),
    {"state": ("adopted", "lapsed", "overdue")},
)
SUBJECT = np.array([0, 0, 0, 1, 2, 2, 3])


def drawn(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Rows with gaps, a category, and renewals ahead."""
    matrix = np.column_stack(
        [
            rng.integers(0, 1500, rows),
            rng.integers(1, 365, rows),
            rng.choice([1, 12, 24], rows),
            rng.normal(size=rows),
            rng.integers(0, 3, rows),
            rng.poisson(0.3, rows),
            rng.normal(size=rows),
        ]
    ).astype(float)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    return matrix


def fitted(kind: str, others: bool) -> Hazards:
    rng = np.random.default_rng(3)
    matrix = drawn(rng, 3000)
    pull = 0.8 * np.nan_to_num(matrix[:, 3]) + 0.5 * (matrix[:, 4] == 2)
    day = rng.exponential(400 * np.exp(-pull))
    outcome = {
        "ended_within": np.where(day <= 200, np.ceil(day), np.nan),
        "observed": np.full(len(day), 200.0),
        "churns": (rng.random(len(day)) < 0.7) | (not others),
    }
    return fit_hazards(FEATURES, matrix, outcome, step_ends(180, 30), kind, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("others", [True, False])
@pytest.mark.parametrize("kind", ["ensemble", "boosting", "logistic"])
def test_each_coalition_is_forecast_as_if_alone(kind: str, others: bool) -> None:
    hazards = fitted(kind, others)
    rng = np.random.default_rng(4)
    rows, reference = drawn(rng, 700), drawn(rng, 1)[0]
    risks = coalition_risks(hazards, rows, reference, SUBJECT)
    assert risks is not None
    for coalition in range(16):
        kept = coalition >> SUBJECT & 1 == 1
        alone = hazards.curves(np.where(kept, rows, reference))[0][:, -1]
        np.testing.assert_allclose(risks[coalition], alone, rtol=0, atol=1e-13)
    assert len(np.unique(risks[:, 0])) > 4  # coalitions do differ


def test_a_row_is_worth_the_same_beside_any_others() -> None:
    hazards = fitted("ensemble", others=True)
    rng = np.random.default_rng(5)
    rows, reference = drawn(rng, 900), drawn(rng, 1)[0]
    all_at_once = coalition_risks(hazards, rows, reference, SUBJECT)
    alone = coalition_risks(hazards, rows[600:601], reference, SUBJECT)
    assert all_at_once is not None
    assert alone is not None
    assert np.array_equal(all_at_once[:, 600:601], alone)


@pytest.mark.parametrize(
    ("kind", "subject"),
    [("cox", SUBJECT), ("ensemble", np.array([0, 1, 0, 1, 2, 2, 3]))],
    ids=["a Cox model is no sum", "what tells when has two subjects"],
)
def test_what_cannot_be_taken_apart_is_left_to_others(kind: str, subject: np.ndarray) -> None:
    hazards = fitted(kind, others=False)
    rows = drawn(np.random.default_rng(6), 3)
    assert coalition_risks(hazards, rows, rows[0], subject) is None
