"""A seeded slice of benchmarks/lag_and_controls.py: what lag and control behaviours repair."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
trials: Any = import_module("lag_and_controls")


@pytest.mark.parametrize(("effect", "raw"), [(0.0, -0.68), (-0.7, -1.38)])
def test_controls_remove_the_bias_of_an_unseen_quality(effect: float, raw: float) -> None:
    found = [trials.with_controls(seed, effect) for seed in range(5)]
    logs = [np.log(one.raw.estimate) for one in found]
    # Five runs with a standard deviation of 0.16 each: three standard errors are 0.21.
    assert np.mean(logs) == pytest.approx(raw, abs=0.21)
    assert not any(one.raw.high > np.exp(effect) for one in found)
    assert all(one.corrected.low < np.exp(effect) < one.corrected.high for one in found)
    mean = np.mean([np.log(one.corrected.estimate) for one in found])
    assert mean == pytest.approx(effect, abs=0.3)


@pytest.mark.parametrize("trial", [trials.quiet_leavers, trials.stop_at_notice])
def test_lag_and_the_day_of_the_notice_remove_reverse_causation(
    trial: Callable[[int], Any],
) -> None:
    found = [trial(seed) for seed in range(4)]
    assert all(one.raw.high < 0.7 for one in found)
    mean = np.mean([np.log(one.corrected.estimate) for one in found])
    # Four runs with a standard error of 0.11 to 0.15 each.
    assert mean == pytest.approx(0.0, abs=0.22)
    assert sum(one.corrected.excludes(1.0) for one in found) <= 1


def test_cohorts_are_those_of_the_states() -> None:
    """Two accounts in weeks 0 to 2: exposed in weeks 1 and 2, and in week 0 only."""
    states = np.array([[False, True, True], [True, False, False]])
    cohorts = trials.cohorts_of(states, np.array([3, 2]), np.array([True, False]))
    rows = list(
        zip(
            cohorts.row_account.tolist(), cohorts.row_start.tolist(), cohorts.row_stop.tolist(),
            cohorts.row_state.tolist(), strict=True,
        )
    )  # fmt: skip
    assert rows == [(0, 0, 1, 0), (0, 1, 3, 1), (1, 0, 1, 1), (1, 1, 2, 0)]
