"""The verdict in one sentence, what is shown beside it, and curves that say the same."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from leadsignal.cohorts import Comparison, DatedCohorts, Evidence, compare_dated
from leadsignal.cohorts.contrasts import Contrast
from leadsignal.cohorts.curves import retention_grid, shrink
from leadsignal.cohorts.overview import compare_segments
from leadsignal.cohorts.verdict import WIDTH, main_contrasts, ratio_lines
from leadsignal.errors import ModelError
from leadsignal.stats import Estimate

RATIOS = (0.15, 0.5, 0.97, 1.0, 1.03, 1.3, 6.0)
WIDTHS = (0.02, 0.4)


def number(ratio: float, width: float) -> Estimate:
    return Estimate(ratio, ratio * np.exp(-width), ratio * np.exp(width), 0.5)


def contrast(method: str, ratio: Estimate, off_by: Estimate | None = None) -> Contrast:
    return Contrast(
        "yes", "no", method, (), (50, 50), (20, 20), ratio, shrinkage=off_by,
        shrinkage_of="" if off_by is None else "hazard ratio",
    )  # fmt: skip


def world(seed: int, effect: float = 1.0, n: int = 400) -> DatedCohorts:
    """Accounts of which half are measured some day, which multiplies churn by ``effect``."""
    rng = np.random.default_rng(seed)
    event, end = rng.exponential(400, n).round(), np.ceil(rng.exponential(700, n))
    end = np.where(end > event, np.ceil(event + (end - event) / effect), end)
    last = rng.integers(300, 1400, n)
    return DatedCohorts.from_changes(
        "measured", ("unmeasured", "measured"), np.arange(n), np.minimum(end, last),
        (end <= last).astype(int), (np.arange(n), event, np.ones(n)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def nothing() -> Comparison:
    return compare_dated(world(3))


def test_the_sentence_says_what_the_numbers_say(nothing: Comparison) -> None:
    for n, c, v, w, u in itertools.product(RATIOS, RATIOS, WIDTHS, WIDTHS, WIDTHS):
        naive, corrected, off_by = number(n, v), number(c, w), number(n / c, u)
        daily = contrast("time_dependent", corrected, off_by)
        found = replace(nothing, contrasts=(contrast("naive", naive), daily)).verdict
        assert "\n" not in found
        assert found.count(". ") == 0
        first, _, rest = found.partition(";")
        assert first.startswith("Not proven: ") == (not corrected.excludes(1.0))
        if corrected.excludes(1.0):
            # As often to two digits is as often: how_often rounds first.
            way = "less often" if corrected.estimate < 1 else ("more often", "times as often")
            assert any(one in first for one in np.atleast_1d(way))
        opposite = corrected.excludes(1) and np.log(n) * np.log(c) <= 0
        distorted = bool(naive.excludes(1) and off_by.excludes(1))
        assert ("points the other way" in rest) == (distorted and opposite)
        assert ("artefact" in rest) == (daily.artefact and naive.excludes(1) and not opposite)


def test_methods_that_prove_opposite_directions_claim_none(nothing: Comparison) -> None:
    found = replace(
        nothing,
        contrasts=(
            contrast("naive", number(0.3, 0.1)),
            contrast("time_dependent", number(0.6, 0.1), number(1 / 2, 0.1)),
            contrast("landmark", number(1.8, 0.1)),
        ),
    ).verdict
    assert found.startswith("No direction is claimed of yes against no: the corrected methods")
    assert "leave" not in found.partition(";")[0]


def evidence(**more: object) -> Evidence:
    half = number(0.5, 0.1)
    plain = Evidence(
        "used", "yes", "no", dict.fromkeys((0, 30, 60, 90), half), None, None, float("nan"), {},
        half, {}, half,
    )  # fmt: skip
    return replace(plain, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        (evidence(), "beyond what control behaviours show"),
        (evidence(calibrated=None), "also when measured 90 days earlier"),
        (evidence(calibrated=number(0.9, 0.4)), "which may be no effect"),
        (evidence(lags={0: number(0.9, 0.4)}), "which further checks do not confirm"),
        (evidence(early=number(0.5, 0.1), late=number(2, 0.1), change_p=0.001), "No direction"),
    ],
)
def test_the_sentence_is_as_strong_as_the_evidence(
    nothing: Comparison, checks: Evidence, words: str
) -> None:
    daily = contrast("time_dependent", number(0.5, 0.1), number(0.5, 0.1))
    assert words in replace(nothing, contrasts=(daily,), evidence=(checks,)).verdict


def test_many_groups_have_a_sentence_too(nothing: Comparison) -> None:
    calm = shrink(["a", "b"], [30, 30], [30.0, 30.0])
    assert replace(nothing, contrasts=(), groups=calm).verdict == (
        "Not proven: none of 2 groups differs from the average beyond chance."
    )
    odd = shrink(["a", "b", "c"], [90, 30, 30], [30.0, 60.0, 60.0])
    found = replace(nothing, contrasts=(), groups=odd)
    assert found.verdict.startswith("3 of 3 groups leave unlike the average: a 2.")
    assert "a (90 of 5 left)" in repr(found)


def test_what_is_printed_fits_a_screen(nothing: Comparison) -> None:
    assert [c.method for c in main_contrasts(nothing.contrasts)] == [
        "naive", "time_dependent", "target_trial", "landmark",
    ]  # fmt: skip
    printed = repr(nothing).splitlines()
    assert nothing.verdict in printed
    assert len(nothing.cautions) > 4
    assert [line for line in printed if line.startswith("- ")] == [
        f"- {caution}" for caution in nothing.cautions[:4]
    ]
    assert len(printed) <= 24
    assert max(len(line) for line in printed if line.startswith("  ")) <= 100
    assert all(f"- {caution}" in nothing.details for caution in nothing.cautions)


def test_what_may_change_the_conclusion_comes_first() -> None:
    few = compare_dated(world(1, n=24), landmark=30)
    assert "too few for a reliable ratio" in few.cautions[0]
    assert "one times" in few.cautions[-1]


def test_intervals_are_drawn_where_they_are() -> None:
    axis, usual, corrected = ratio_lines(
        [(Estimate(0.25, 0.2, 0.3, 0.0), True), (Estimate(1.0, 0.5, 2.0, 1.0), False)]
    )
    assert usual.index("o") == pytest.approx(axis.index("1/4") + 1, abs=1)
    assert corrected.index("*") == pytest.approx(axis.index("same") + 2, abs=1)
    assert usual.index("o") < usual.index("|")
    assert corrected.strip("- ") == "*"
    assert max(map(len, (usual, corrected))) <= WIDTH
    # What is not known, or not finite, is no mark.
    assert ratio_lines([(None, False)])[1].strip() == "|"


@pytest.mark.parametrize(("effect", "seed"), [(1.0, 1), (1.0, 2), (0.4, 3), (2.5, 4)])
def test_curves_say_what_the_verdict_says(effect: float, seed: int) -> None:
    compared = compare_dated(world(seed, effect, n=800))
    best = compared.contrast("time_dependent")
    assert best is not None
    assert best.hazard_ratio is not None
    ratio = best.hazard_ratio
    curves = compared.curves()
    reference, other = (
        curves[curves["cohort"] == name].set_index("day") for name in ("unmeasured", "measured")
    )
    later = reference["retention"] < 1
    assert later.any()
    gap = np.log(other["retention"][later]) / np.log(reference["retention"][later])
    assert gap.to_numpy() == pytest.approx(ratio.estimate)
    # The band leaves out the reference where, and only where, something is proven.
    inside = reference["retention"].between(other["low"] - 1e-12, other["high"] + 1e-12)[later]
    assert inside.all() == (not ratio.excludes(1.0))
    assert inside.any() == inside.all()
    if effect == 1.0:
        # Nothing acts: the usual chart has a gap all the same.
        assert not ratio.excludes(1.0)
        after = reference.index[reference.index >= 365][0]
        assert other["usual"][after] - reference["usual"][after] > 0.3
        assert abs(other["retention"][after] - reference["retention"][after]) < 0.1


def test_the_shared_hazard_explains_the_churns_that_happened() -> None:
    cohorts = world(5, 0.5)
    compared = compare_dated(cohorts, methods=["time_dependent"])
    ratio = compared.contrast("time_dependent")
    assert ratio is not None
    assert ratio.hazard_ratio is not None
    curves = compared.curves()
    reference = curves[curves["cohort"] == "unmeasured"]
    days, hazard = reference["day"].to_numpy(), -np.log(reference["retention"].to_numpy())
    last = days[-1]
    factor = np.where(cohorts.row_state == 1, ratio.hazard_ratio.estimate, 1.0)
    passed = np.interp(np.minimum(cohorts.row_stop, last), days, hazard) - np.interp(
        np.minimum(cohorts.row_start, last), days, hazard
    )
    churned = ((cohorts.cause == 1) & (cohorts.stop <= last)).sum()
    assert (factor * passed).sum() == pytest.approx(churned, rel=0.02)


def test_there_are_no_curves_without_a_ratio(nothing: Comparison) -> None:
    with pytest.raises(ModelError, match="no hazard ratio"):
        replace(nothing, contrasts=()).curves()
    assert "still there after 12 months" not in repr(replace(nothing, contrasts=()))


def test_the_grid_counts_who_is_still_there() -> None:
    # Six accounts start on 1 January 2023, five in April, two in July; all are followed to
    # 1 January 2024. Of the first six, one leaves after 100 days, two after 300.
    zero = np.array([19358.0] * 6 + [19448.0] * 5 + [19540.0] * 2)
    stop = np.array([100, 300, 300, 365, 365, 365, *[275] * 5, *[183] * 2])
    cohorts = DatedCohorts.from_changes(
        "kind", ("p", "q"), np.arange(13), stop, [1, 1, 1] + [0] * 10, ([0], [50], [1]),
        zero_days=zero,
    )  # fmt: skip
    grid = retention_grid(cohorts)
    assert grid is not None
    assert grid["quarter"].tolist() == ["2023 Q1", "2023 Q2"]
    assert grid["accounts"].tolist() == [6, 5]
    first, second = grid.drop(columns=["quarter", "accounts"]).to_numpy()
    assert first[:4].tolist() == pytest.approx([1, 5 / 6, 5 / 6, 3 / 6])
    assert np.isnan(first[4:]).all()
    assert second[:3].tolist() == [1, 1, 1]
    assert np.isnan(second[3:]).all()
    assert retention_grid(replace(cohorts, zero_days=None)) is None


def test_segments_are_compared_by_themselves() -> None:
    # In "mid" measuring divides churn by 2.5, in "small" it does nothing; "rare" is too small.
    rng = np.random.default_rng(2)
    segment = rng.choice(["small", "mid"], 900).astype(object)
    segment[:20] = "rare"
    event, end = rng.exponential(300, 900).round(), np.ceil(rng.exponential(600, 900))
    acts = (segment == "mid") & (end > event)
    end = np.where(acts, np.ceil(event + (end - event) * 2.5), end)
    cohorts = DatedCohorts.from_changes(
        "measured", ("unmeasured", "measured"), np.arange(900), np.minimum(end, 1500),
        (end <= 1500).astype(int), (np.arange(900), event, np.ones(900)),
        covariates={"segment": segment, "size": rng.normal(size=900)},
    )  # fmt: skip
    mid, small = compare_segments(compare_dated(cohorts, methods=["time_dependent"]))
    assert (mid.title, small.title) == ("segment: mid", "segment: small")
    assert len(mid.comparison.dated) == (segment == "mid").sum()
    assert mid.comparison.verdict.startswith(
        "measured against unmeasured: accounts leave 66 % less"
    )
    assert small.comparison.verdict.startswith("Not proven: ")
