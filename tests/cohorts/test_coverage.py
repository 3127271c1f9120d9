"""A seeded slice of the coverage simulations; ``benchmarks/cohort_coverage.py`` has all."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmark_modules import benchmark_module

RUNS = 200
# 95 % ± 3.5 binomial deviations of 200 runs.
LOW, HIGH = 0.896, 1.0


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return benchmark_module("cohort_coverage")


def drawn(bench: Any, name: str, runs: int = RUNS) -> dict[str, np.ndarray[Any, Any]]:
    world = next(world for world in bench.WORLDS if world.name == name)
    found: dict[str, list[Any]] = {}
    for run in range(runs):
        for estimator, held in bench.one_run(world, (7, run)).items():
            found.setdefault(estimator, []).append(held)
    return {estimator: np.array(held) for estimator, held in found.items()}


def covers(held: np.ndarray[Any, Any], truth: float = 0.0) -> float:
    return float(((held[:, 1] <= truth) & (truth <= held[:, 2])).mean())


@pytest.mark.parametrize("hazard", ["smooth", "renewal"])
def test_where_measuring_does_nothing(bench: ModuleType, hazard: str) -> None:
    found = drawn(bench, f"no_effect-{hazard}")
    for name in ("time_dependent log HR", "landmark mean days", "target_trial mean days"):
        assert LOW <= covers(found[name]) <= HIGH, name
        assert abs(found[name][:, 0].mean()) < 0.25 * found[name][:, 0].std(), name
    assert covers(found["naive log HR"]) < 0.02
    assert covers(found["naive mean days"]) < 0.02
    assert (found["log-rank"][:, 0] < 0.05).mean() < 0.105


def test_a_confounder_adjusted_for_and_not(bench: ModuleType) -> None:
    found = drawn(bench, "confounded-smooth", 100)
    assert covers(found["time_dependent log HR"]) < 0.7
    assert covers(found["time_dependent log HR, adjusted"]) >= 0.87
    assert covers(found["landmark, adjusted mean days"]) >= 0.87
    assert covers(found["target_trial, adjusted mean days"]) >= 0.87
    assert covers(found["target_trial mean days"]) < 0.85


def test_few_churns(bench: Any) -> None:
    drawn = bench.with_few_churns(200, 0.9, (7,), 100)
    assert 10 < np.median([churns for churns, _ in drawn]) < 40
    assert np.mean([not ratio.excludes(1.0) for _, ratio in drawn]) >= 0.88
    # With half the error the share would be about two in three.
    z = [abs(np.log(ratio.estimate)) / ratio.std_err for _, ratio in drawn]
    assert 0.8 < np.sqrt(np.mean(np.square(z))) < 1.2


def test_a_confounder_that_comes_with_time(bench: Any) -> None:
    found: dict[int, list[float]] = {0: [], 1: []}
    for run in range(40):
        cohorts, trouble = bench.troubled(600, np.random.default_rng((5, run)))
        for number, states in enumerate(((), (trouble,))):
            rows, _ = bench.clone_and_weight(cohorts, 1, 90, None, states)
            days = bench.groups_of(rows, cohorts, 1).mean_days(365)
            found[number].append(days[1].value - days[0].value)
    raw, adjusted = (np.array(found[number]) for number in (0, 1))
    error = adjusted.std() / np.sqrt(len(adjusted))
    assert abs(adjusted.mean()) < 3 * error
    assert raw.mean() < -3 * error
