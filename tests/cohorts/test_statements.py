"""What is said of two ratios follows from the two ratios, whatever they are."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from leadsignal.cohorts import Comparison, DatedCohorts, compare_dated
from leadsignal.cohorts.contrasts import Contrast
from leadsignal.cohorts.wording import naive_beside
from leadsignal.stats import Estimate

RATIOS = (0.15, 0.5, 0.8, 0.97, 1.0, 1.03, 1.3, 2.0, 6.0)
WIDTHS = (0.02, 0.4)


def number(ratio: float, width: float) -> Estimate:
    return Estimate(ratio, ratio * np.exp(-width), ratio * np.exp(width), 0.5)


GRID = [
    (number(n, v), number(c, w), number(n / c, u))
    for n, c in itertools.product(RATIOS, repeat=2)
    for v, w, u in itertools.product(WIDTHS, repeat=3)
]


def test_no_statement_contradicts_its_numbers() -> None:
    for naive, corrected, off_by in GRID:
        check_statement(naive, corrected, off_by)


def check_statement(naive: Estimate, corrected: Estimate, off_by: Estimate) -> None:
    told = naive_beside(naive, corrected, off_by)
    n, c = np.log(naive.estimate), np.log(corrected.estimate)
    opposite, weaker = n * c <= 0, n * c > 0 and abs(c) < abs(n)
    shown, proven, differ = naive.excludes(1), corrected.excludes(1), off_by.excludes(1)
    assert ("do not differ by more than chance" in told) == (not differ)
    assert ("artefact" in told) == (differ and shown and (opposite or weaker))
    assert ("Its direction is an artefact" in told) == (differ and shown and opposite and proven)
    assert ("The naive result is an artefact" in told) == (
        differ and shown and opposite and not proven
    )
    assert ("% of it is an artefact" in told) == (differ and shown and weaker)
    assert ("understates" in told) == (differ and shown and proven and not opposite and not weaker)
    assert ("may be chance" in told) == (differ and shown and weaker and not proven)
    # Immortal time can only make the naive ratio smaller.
    assert ("immortal time" in told) == (differ and off_by.estimate < 1)
    assert ("the wrong cohort" in told) == (differ and off_by.estimate > 1)
    if share := re.match(r"(\d+)% of it", told):
        assert 0 < int(share[1]) < 100
        assert int(share[1]) / 100 == pytest.approx(1 - c / n, abs=0.0051) or int(share[1]) in (
            1, 99,
        )  # fmt: skip


def test_nothing_is_said_of_what_is_no_ratio() -> None:
    one = number(1.2, 0.1)
    for odd in (number(0.0, 0.1), number(np.inf, 0.1), replace(one, low=np.nan)):
        assert naive_beside(odd, one, one) == ""
        assert naive_beside(one, odd, one) == ""
        assert naive_beside(one, one, odd) == ""
    assert naive_beside(one, one, None) == ""


def contrast(
    method: str, ratio: Estimate, off_by: Estimate | None = None, *adjust: str
) -> Contrast:
    return Contrast(
        "yes", "no", method, adjust, (50, 50), (20, 20), ratio, shrinkage=off_by,
        shrinkage_of="" if off_by is None else "hazard ratio",
    )  # fmt: skip


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    rng = np.random.default_rng(4)
    event, end = rng.exponential(300, 200).round(), np.ceil(rng.exponential(500, 200))
    return compare_dated(
        DatedCohorts.from_changes(
            "used", ("no", "yes"), np.arange(200), end, np.ones(200),
            (np.arange(200), event, np.ones(200)),
        )
    )  # fmt: skip


def test_the_flag_of_an_artefact_says_what_the_words_say(comparison: Comparison) -> None:
    for naive, corrected, off_by in GRID:
        daily = contrast("time_dependent", corrected, off_by)
        made = replace(comparison, contrasts=(contrast("naive", naive), daily))
        assert ("artefact" in made.explanation) == (daily.artefact and naive.excludes(1))
        assert ("fewer leave" in made.explanation) == (corrected.high < 1)
        assert ("more leave" in made.explanation) == (corrected.low > 1)


def test_an_adjusted_verdict_gives_the_ratio_that_the_naive_one_is_held_against(
    comparison: Comparison,
) -> None:
    # Only adjusted does it prove something: what is said of the naive chart stands on 0.9.
    made = replace(
        comparison,
        contrasts=(
            contrast("naive", number(0.3, 0.1)),
            contrast("time_dependent", number(0.9, 0.4), number(1 / 3, 0.1)),
            contrast("time_dependent", number(0.6, 0.1), number(1 / 2, 0.1), "size"),
        ),
    )
    assert "adjusted for size, fewer leave" in made.explanation
    assert "Not adjusted it is 0.9" in made.explanation
    assert "91 % of it is an artefact of immortal time" in made.explanation


def test_methods_that_disagree_prove_no_direction(comparison: Comparison) -> None:
    made = replace(
        comparison,
        contrasts=(
            contrast("naive", number(0.3, 0.1)),
            contrast("time_dependent", number(0.6, 0.1), number(1 / 2, 0.1)),
            contrast("landmark", number(1.8, 0.1)),
        ),
    )
    assert "the corrected methods disagree, and no direction is proven" in made.explanation
    assert "leave" not in made.explanation
    assert "artefact" not in made.explanation


def falling(seed: int, effect: float, n: int = 600) -> DatedCohorts:
    """Churn falls with tenure, from 1 in 100 to 1 in 1,000 days at day 100; ``effect`` on it."""
    rng = np.random.default_rng(seed)

    def since(day: np.ndarray, factor: float) -> np.ndarray:
        """Return the day of the end of those there on ``day``."""
        left = rng.exponential(1, n) / factor
        early = np.maximum(100 - day, 0) * 0.01
        late = np.maximum(day, 100) + (left - early) / 0.001
        return np.asarray(np.where(left < early, day + left * 100, late))

    event = rng.exponential(300, n)
    end = since(np.zeros(n), 1.0)
    end = np.ceil(np.where(end > event, since(event, effect), end))
    return DatedCohorts.from_changes(
        "used", ("no", "yes"), np.arange(n), np.minimum(end, 1000), (end <= 1000).astype(int),
        (np.arange(n), np.ceil(event), np.ones(n)),
    )  # fmt: skip


@pytest.mark.parametrize("effect", [1.0, 1.6, 2.5])
def test_rates_point_where_the_verdict_points(effect: float) -> None:
    cohorts = falling(1, effect)
    days = np.bincount(cohorts.row_state, cohorts.row_stop - cohorts.row_start)
    crude = np.bincount(cohorts.row_state, cohorts.row_cause == 1) / days
    compared = compare_dated(cohorts, methods=["time_dependent"])
    daily = compared.contrast("time_dependent")
    assert daily is not None
    assert daily.hazard_ratio is not None
    first, second = (cohort.rate for cohort in compared.cohorts)
    assert first is not None
    assert second is not None
    assert first == pytest.approx(crude[0] * 1000 * 365.25 / 12)
    assert second / first == pytest.approx(daily.hazard_ratio.estimate)
    if effect > 1:
        # The crude rates say the opposite of the truth, and are nowhere printed.
        assert crude[1] < crude[0]
        assert daily.hazard_ratio.low > 1
    told = compared.details.splitlines()[2]
    assert f"{second:.1f} per 1,000 account-months at the tenure of no" in told
    assert f"{crude[1] * 1000 * 365.25 / 12:.1f} per 1,000" not in told


def test_no_rate_is_told_where_there_is_no_ratio() -> None:
    cohorts = DatedCohorts.from_changes(
        "used", ("no", "yes"), np.arange(30), np.full(30, 200), np.zeros(30),
        (np.arange(15), np.full(15, 40), np.ones(15)),
    )  # fmt: skip
    compared = compare_dated(cohorts)
    assert [cohort.rate for cohort in compared.cohorts] == [None, None]
    assert "per 1,000" not in repr(compared)
