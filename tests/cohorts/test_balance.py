"""The caution that cohorts differ at the start: rare where they do not, given where they do."""

from __future__ import annotations

import numpy as np
import pytest

from leadsignal.cohorts import DatedCohorts, compare_dated
from leadsignal.cohorts.caveats import gap_at_equal_tenure
from leadsignal.cohorts.risk_intervals import follow_in_time

CAUTION = "cohorts differ at the start in "


def world(seed: int, confounded: float = 0.0, n: int = 300) -> DatedCohorts:
    """Accounts whose size and segment drive churn; ``confounded`` is how far size drives events."""
    rng = np.random.default_rng((seed, 11))
    started, size = rng.integers(0, 1460, n), rng.normal(size=n)
    segment = rng.choice(["small", "middle", "large"], n)
    event = np.ceil(rng.exponential(400, n) * np.exp(-confounded * size))
    end = np.ceil(
        rng.exponential(600, n) * np.exp(0.5 * size) * np.where(segment == "small", 0.6, 1)
    )
    last = 1461 - started
    return DatedCohorts.from_changes(
        "measured", ("unmeasured", "measured"), np.arange(n), np.minimum(end, last),
        (end <= last).astype(int), (np.arange(n), event, np.ones(n)),
        covariates={
            "size": size, "segment": segment, "started_on": started.astype(float),
            "rep": rng.choice([f"rep {k}" for k in range(9)], n),
        },
    )  # fmt: skip


def told(cohorts: DatedCohorts) -> list[str]:
    compared = compare_dated(cohorts, methods=["time_dependent"], horizon=365)
    return [caution for caution in compared.cautions if caution.startswith(CAUTION)]


def test_it_keeps_to_its_rate_where_nothing_depends_on_the_covariates() -> None:
    # 5 % of 50 worlds are 2.5; more than 8 come once in 1,000 times.
    assert sum(bool(told(world(seed))) for seed in range(50)) <= 8


def test_it_speaks_where_a_covariate_drives_the_change() -> None:
    found = [told(world(seed, confounded=0.7)) for seed in range(10)]
    assert all(one and "size" in one[0] for one in found)


def test_what_is_adjusted_for_is_not_named() -> None:
    compared = compare_dated(world(0, 0.7), methods=["time_dependent"], adjust=["size"])
    assert not any("size" in c for c in compared.cautions if c.startswith(CAUTION))


def test_cohorts_since_the_start_are_held_against_each_other() -> None:
    rng = np.random.default_rng(0)
    kind, n = rng.integers(0, 2, 200), 200
    stop = rng.integers(1, 900, n)
    cohorts = DatedCohorts.from_changes(
        "kind", ("a", "b"), np.arange(n), stop, rng.integers(0, 2, n),
        (np.arange(n), np.zeros(n), kind),
        covariates={"size": kind + rng.normal(size=n), "noise": rng.normal(size=n)},
    )  # fmt: skip
    assert told(cohorts) == [f"{CAUTION}size, which is not adjusted for"]


def test_the_gap_by_hand() -> None:
    # Churns of a, b, c on days 10, 20, 30; z = 1 for b from day 5 and c from day 15; x = 1 for d.
    # Σzx − n·z̄x̄ is 0 − 4·1/4·1/4 on day 10, 0 − 3·2/3·1/3 on day 20 (b, c and d are there) and
    # 0 − 2·1/2·1/2 on day 30 (c and d): together −17/12. Σ n·z̄(1 − z̄) = 3/4 + 2/3 + 1/2 = 23/12,
    # so that the means of x lie 17/23 apart. Its variance: (3/4 + 2/3 + 1/2) of 9 at risk, 23/108.
    cohorts = DatedCohorts.from_changes(
        "measured", ("no", "yes"), list("abcd"), [10, 20, 30, 40], [1, 1, 1, 0],
        ([1, 2], [5, 15], [1, 1]),
    )  # fmt: skip
    many = cohorts.chosen(np.repeat(np.arange(4), 10))  # rare values are pooled
    values = np.array(["near", "near", "near", "far"]).repeat(10)
    gap = gap_at_equal_tenure(follow_in_time(many), many, 1, values)
    assert gap.size == pytest.approx((17 / 23) / np.sqrt(23 / 108))


def test_without_churn_nothing_is_known_of_a_gap() -> None:
    cohorts = DatedCohorts.from_changes(
        "measured",
        ("no", "yes"),
        list("abcd"),
        [10, 20, 30, 40],
        [0] * 4,
        ([1, 2], [5, 15], [1, 1]),
    )
    assert gap_at_equal_tenure(follow_in_time(cohorts), cohorts, 1, np.arange(4.0)).p == 1.0
