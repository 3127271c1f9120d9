"""Rows of a caller: what is refused, and time away that is at risk nowhere."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from leadsignal.cohorts import DatedCohorts, compare_dated
from leadsignal.cohorts.contrasts import last_day_with
from leadsignal.cohorts.risk_intervals import follow_from_landmark, follow_in_time, follow_naively
from leadsignal.errors import OptionError
from leadsignal.survival import fit_cox

Row = tuple[Any, float, float, int, int]


def made(*rows: Row, levels: tuple[str, ...] = ("no", "yes"), **more: Any) -> DatedCohorts:
    return DatedCohorts.from_rows("used", levels, *zip(*rows, strict=True), **more)


def stretches(cohorts: DatedCohorts) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in cohorts.to_frame().itertuples(index=False)]


# a is away on (5, 9]; b is there throughout.
AWAY: tuple[Row, ...] = (("a", 0, 5, 0, 0), ("a", 9, 12, 1, 1), ("b", 0, 7, 1, 0))


def test_time_away_is_not_at_risk() -> None:
    cohorts = made(*AWAY)
    assert stretches(cohorts) == [
        ("a", 0, 5, "no", 0), ("a", 9, 12, "yes", 1), ("b", 0, 7, "no", 1),
    ]  # fmt: skip
    assert "no: 2 accounts, 12 account-days" in repr(cohorts)
    assert [cohorts.state_at(day).tolist() for day in (4, 5, 8, 9)] == [
        [0, 0], [-1, 0], [-1, -1], [1, -1],
    ]  # fmt: skip


def test_rows_may_come_in_any_order_and_neighbours_are_joined() -> None:
    rows = (("a", 5, 9, 0, 0), ("b", 0, 7, 1, 1), ("a", 0, 5, 0, 0), ("a", 20, 30, 1, 0))
    assert stretches(made(*rows)) == [
        ("a", 0, 9, "no", 0), ("a", 20, 30, "no", 1), ("b", 0, 7, "yes", 1),
    ]  # fmt: skip


def test_days_that_differ_by_rounding_are_one() -> None:
    third = 0.1 + 0.2  # 0.30000000000000004
    assert len(made(("a", 0, third, 0, 0), ("a", 0.3, 1, 1, 0), ("b", 0, 1, 0, 1)).row_start) == 2
    assert len(made(("a", 0, 0.3, 0, 0), ("a", third, 1, 1, 0), ("b", 0, 1, 0, 1)).row_start) == 2


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([("a", 0, 5, 1, 0), ("a", 5, 9, 0, 1)], r"'a' ends on day 5 \(cause 1\) and has later"),
        ([("a", 0, 5, 2, 0), ("a", 7, 9, 1, 1)], r"'a' ends on day 5 \(cause 2\) and has later"),
        ([("a", 0, 5, 0, 0), ("a", 3, 9, 1, 1)], r"'a' has rows that overlap: \(0, 5\] and \(3"),
        ([("a", 0, 5, 0, 0), ("a", 0, 5, 0, 1)], "overlap"),
        ([("a", 0, 9, 0, 0), ("a", 2, 3, 0, 1), ("a", 5, 6, 0, 1)], "overlap"),
        ([("a", 5, 5, 0, 0)], "start is not before stop"),
        ([("a", 6, 5, 0, 0)], "start is not before stop"),
        ([("a", np.nan, 5, 0, 0)], "start is NaN"),
        ([("a", 0, np.inf, 0, 0)], "stop is NaN or infinite"),
        ([("a", 0, 5, 0, 2)], "state is not a position in levels"),
        ([("a", 0, 5, 0, -1)], "state is not a whole number"),
        ([("a", 0, 5, 0, 0.5)], "state is not a whole number"),
        ([("a", 0, 5, 3, 0)], "cause is none of 0"),
        ([("a", 0, 5, np.nan, 0)], "cause is NaN"),
        ([(None, 0, 5, 0, 0)], "account"),
    ],
)
def test_rows_that_contradict_each_other_are_refused(rows: list[Row], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        made(*rows, ("b", 0, 7, 1, 1), ("c", 0, 7, 1, 0))


def test_every_fault_is_told_at_once() -> None:
    rows = (("a", 0, 5, 0, 0), ("a", 3, 9, 1, 1), ("b", 0, 7, 1, 1), ("b", 8, 9, 0, 1))
    with pytest.raises(OptionError, match=r"2 faults[\s\S]*'a' has rows[\s\S]*'b' ends on day 7"):
        made(*rows)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (([2], [5], [1]), "account is not a position"),
        (([0], [np.nan], [1]), "day is NaN"),
        (([0], [5], [2]), "state is not a position"),
        (([-1], [5], [1]), "account is not a whole number"),
    ],
)
def test_changes_that_are_none_are_refused(changes: Any, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        DatedCohorts.from_changes("used", ("no", "yes"), ["a", "b"], [9, 9], [0, 1], changes)


def drawn(seed: int = 0, n: int = 300) -> tuple[DatedCohorts, list[Row]]:
    """Return random accounts, a third of them away for a while, and their rows."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for account in range(n):
        stop, event = int(rng.integers(40, 900)), int(rng.integers(1, 700))
        gap = sorted(rng.integers(10, 600, 2).tolist()) if account % 3 == 0 else [0, 0]
        cuts = sorted({0, stop, *(c for c in (event, *gap) if 0 < c < stop)})
        kept = [
            (start, end) for start, end in pairwise(cuts)
            if not (gap[0] <= start and end <= gap[1] and gap[1] > gap[0])
        ]  # fmt: skip
        for start, end in kept:
            last = (start, end) == kept[-1] and end == stop
            rows.append(
                (account, start, end, int(last and rng.random() < 0.7), int(start >= event))
            )
    return made(*rows), rows


def naive_days(rows: list[Row]) -> float:
    return float(sum(stop - start for _, start, stop, _, _ in rows))


def test_each_method_counts_the_days_at_risk_and_no_others() -> None:
    cohorts, rows = drawn()
    whole = naive_days(rows)
    for followed in (follow_in_time(cohorts), follow_naively(cohorts)):
        assert (followed.stop - followed.start).sum() == whole
        assert (followed.cause == 1).sum() == sum(cause for *_, cause, _ in rows)
    later = [(a, max(s, 200), e, c, g) for a, s, e, c, g in rows if e > 200]
    there = {a for a, s, e, _, _ in rows if s <= 200 < e}
    landmark = follow_from_landmark(cohorts, 200)
    assert set(landmark.account.tolist()) == there
    assert (landmark.stop - landmark.start).sum() == naive_days([r for r in later if r[0] in there])


def test_the_hazard_ratio_is_that_of_the_rows_themselves() -> None:
    cohorts, rows = drawn()
    account, start, stop, cause, state = (np.array(column) for column in zip(*rows, strict=True))
    fit = fit_cox(state[:, None].astype(float), stop, cause == 1, start=start, cluster=account)
    compared = compare_dated(cohorts, landmark=60)
    found = compared.contrast("time_dependent")
    assert found is not None
    assert found.hazard_ratio is not None
    assert np.log(found.hazard_ratio.estimate) == pytest.approx(fit.coef[0], abs=1e-10)
    assert sum(c.account_days for c in compared.cohorts) == naive_days(rows)
    assert compared.bootstrap(5)["draws"].min() == 5


def test_a_draw_keeps_the_time_away() -> None:
    cohorts, _ = drawn()
    picked = np.array([0, 3, 3, 7])
    again = cohorts.chosen(picked)
    days = cohorts.row_stop - cohorts.row_start
    for place, account in enumerate(picked.tolist()):
        mine = days[cohorts.row_account == account]
        assert (again.row_stop - again.row_start)[
            again.row_account == place
        ].tolist() == mine.tolist()


def test_a_trial_follows_an_account_until_it_is_first_away() -> None:
    cohorts = made(*AWAY, ("c", 0, 4, 0, 0), ("c", 4, 9, 1, 1))
    until = cohorts.until_away()
    assert stretches(until) == [
        ("a", 0, 5, "no", 0), ("b", 0, 7, "no", 1), ("c", 0, 4, "no", 0), ("c", 4, 9, "yes", 1),
    ]  # fmt: skip
    assert until.cause.tolist() == [0, 1, 1]
    told = compare_dated(drawn()[0], landmark=60).cautions
    assert any("accounts only until they were first away" in caution for caution in told)
    assert any("were away on that day" in caution for caution in told)


def test_a_property_since_the_start_stays_one_while_accounts_are_away() -> None:
    rng = np.random.default_rng(1)
    rows: list[Row] = []
    for account in range(80):
        kind, cause, away = account % 2, int(rng.random() < 0.6), 50 + account % 30
        last = away + 10 + int(rng.integers(1, 400))
        rows += [(account, 0, away, 0, kind), (account, away + 10, last, cause, kind)]
    cohorts = made(*rows)
    assert cohorts.since_the_start
    found = compare_dated(cohorts).contrast("time_dependent")
    assert found is not None
    assert found.rmst_days is not None  # nobody moves between the two: means have a meaning


def test_the_last_day_with_so_many_at_risk() -> None:
    # (0, 5], (0, 9], (6, 12]: two are there until 5, then on (6, 9].
    start, stop = np.array([0.0, 0.0, 6.0]), np.array([5.0, 9.0, 12.0])
    assert last_day_with(2, start, stop) == 9
    assert last_day_with(2, np.array([0.0, 0.0, 9.0]), stop) == 5
    assert last_day_with(3, start, stop) == np.inf


def test_the_days_before_an_event_leave_out_time_away() -> None:
    # a is yes after 5 of 8 days at risk; of its 12 days four were away.
    assert made(*AWAY).share_before(1) == pytest.approx(5 / 8)


def test_a_dated_covariate_needs_a_state_on_every_day_at_risk() -> None:
    cohorts, rows = drawn()
    gaps = made(*rows)
    whole = DatedCohorts.from_changes(
        "trouble", ("calm", "trouble"), cohorts.accounts, cohorts.stop, cohorts.cause,
        (np.arange(len(cohorts)), np.full(len(cohorts), 100.0), np.ones(len(cohorts))),
    )  # fmt: skip
    known = replace(cohorts, dated_covariates={"trouble": whole})
    asked: dict[str, Any] = {"adjust": ["trouble"], "mediators": ["trouble"]}
    assert compare_dated(known, landmark=60, **asked).contrast("time_dependent", adjusted=True)
    full = replace(whole, name="other", dated_covariates={"trouble": gaps})
    with pytest.raises(OptionError, match="has no state on"):
        compare_dated(full, landmark=60, **asked)
