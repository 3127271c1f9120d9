"""Cox fits that were wrong without a word, or failed: the right values are R's (coxph)."""

import numpy as np
import pytest

from leadsignal.errors import ModelError
from leadsignal.survival import fit_cox


def test_a_predictor_that_spans_hundreds_reaches_the_maximum() -> None:
    """Minus the day of the last login; R's coxph(iter.max=100) and Newton by hand agree."""
    rng = np.random.default_rng(0)
    stop = rng.integers(1, 2000, 200).astype(float)
    event = rng.random(200) < 0.7
    x = -(stop - np.abs(rng.normal(0, 5, 200)))
    fit = fit_cox(x[:, None], stop, event)
    assert fit.coef[0] == pytest.approx(0.41084, abs=5e-6)
    assert fit.se[0] == pytest.approx(0.06757, abs=6e-6)
    assert fit.loglik == pytest.approx(-36.4902, abs=5e-5)


@pytest.mark.parametrize("rows", [10, 20, 30, 60, 300, 2000])
def test_a_column_that_orders_all_ends_is_refused_at_every_size(rows: int) -> None:
    stop = np.arange(1, rows + 1.0)
    with pytest.raises(ModelError, match=r"the events are separated: 'x0' \(rising\)"):
        fit_cox(-stop[:, None], stop, np.ones(rows))


def days_since(
    seed: int, effect: float, horizon: int, spread: int, accounts: int = 100
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of 28 days with a column that grows by a day a day, and one that is fixed."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(accounts):
        since, fixed = rng.normal(0, spread), rng.normal()
        life = np.ceil(rng.exponential(500 * np.exp(effect * since)))
        until = rng.integers(200, horizon)
        begins = np.arange(0, min(life, until), 28)
        ends = np.minimum(begins + 28, min(life, until))
        event = (life <= until) & (life <= begins + 28)
        rows += [
            (begin, end, churned, begin - since, fixed)
            for begin, end, churned in zip(begins, ends, event, strict=True)
        ]
    start, stop, event, *columns = np.array(rows, dtype=float).T
    return np.column_stack(columns), start, stop, event


@pytest.mark.parametrize(
    ("seed", "effect", "horizon", "spread", "coef", "error"),
    [
        (0, 0.040, 1500, 50, 0.03813924, 0.0042157),
        (0, 0.043, 1500, 45, 0.04113894, 0.0045454),
        (6, 0.045, 1300, 40, 0.04661361, 0.0055850),
        (0, 0.035, 1500, 50, 0.03599322, 0.00408797),
    ],
)
def test_a_covariate_that_rises_with_tenure(
    seed: int, effect: float, horizon: int, spread: int, coef: float, error: float
) -> None:
    X, start, stop, event = days_since(seed, effect, horizon, spread)
    fit = fit_cox(X, stop, event, start=start)
    assert fit.coef[0] == pytest.approx(coef, rel=5e-7)
    assert fit.se[0] == pytest.approx(error, rel=2e-5)
