"""Monitoring: quiet while nothing changes, clear when a feed stops or a number moves."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cli import main
from leadsignal.errors import InputError, OptionError
from leadsignal.evaluation.past_rows import on_grid
from leadsignal.ingestion.feed_health import FeedHealth, assess_feed, detected_after
from leadsignal.monitoring.monitor import MIN_SHIFT, _of_outcomes
from leadsignal.monitoring.realised import (
    Realised,
    alert_volume,
    difference_of,
    evaluate_arms,
    evaluate_outcomes,
    find_outcomes,
)
from leadsignal.monitoring.shifts import find_comparable, find_shifts, levels_of
from leadsignal.scoring.batch import tables_of_runs
from leadsignal.scoring.feeds import check_contacts
from leadsignal.stats import Share

MONDAY = date(2023, 1, 2)
WORKDAYS = np.tile([9.0, 10, 11, 10, 9, 0, 0], 104)
A_RUN = 0.5 * 7 / 365.25


def judge(counts: np.ndarray) -> FeedHealth:
    return assess_feed("tickets", MONDAY, counts, chance=4e-4)


def silent(counts: np.ndarray, days: int) -> np.ndarray:
    return np.concatenate([counts, np.zeros(days)])


def test_a_weekend_is_no_broken_feed_and_a_workweek_is() -> None:
    assert judge(WORKDAYS).state == "on time"
    until_tuesday = WORKDAYS[:-5]
    assert judge(silent(until_tuesday, 1)).state == "on time"
    broken = judge(silent(until_tuesday, 3))
    assert broken.state == "silent"
    assert broken.broken
    assert str(broken).startswith("no tickets since Tuesday 2024-12-24: 3 days")
    assert 28 < broken.expected < 33  # Wednesday 11, Thursday 10, Friday 9


def test_a_rare_feed_is_given_the_time_it_takes() -> None:
    rare = np.tile([1.0, 0, 0, 0], 180)  # one record in four days
    assert judge(silent(rare, 20)).state == "on time"
    assert judge(silent(rare, 45)).state == "silent"


def test_a_feed_that_comes_once_a_month_is_broken_when_the_month_is_missed() -> None:
    monthly = np.tile([60.0, 60, *[0.0] * 28], 24)
    assert judge(monthly).state == "on time"
    assert judge(silent(monthly, 1)).state == "on time"
    assert judge(silent(monthly, 16)).state == "silent"


def waves(apart: int, count: int, records: float = 40.0) -> np.ndarray:
    """One day with records, then silence until the next."""
    counts = np.zeros(apart * (count - 1) + 1)
    counts[::apart] = records
    return counts


def test_a_feed_that_comes_once_a_quarter_is_broken_days_after_it_was_due() -> None:
    quarterly = waves(91, 8)
    assert judge(silent(quarterly, 92)).state == "on time"
    told = detected_after(MONDAY, quarterly, 4e-4)
    assert told is not None
    assert 93 <= told <= 100
    assert judge(silent(quarterly, told - 1)).state == "on time"
    assert judge(silent(quarterly, told)).state == "silent"


def test_waves_that_are_not_regular_are_given_their_own_time() -> None:
    days = np.cumsum([0, 30, 45, 25, 60, 33, 28, 50, 38, 41, 29, 55])
    counts = np.zeros(int(days[-1]) + 1)
    counts[days] = 40.0
    assert judge(silent(counts, 58)).state != "silent"


def test_the_wave_that_was_left_out_last_year_is_not_missed_this_year() -> None:
    monthly = waves(28, 40)
    monthly[28 * 20] = 0.0
    assert judge(silent(monthly, 36)).state == "silent"
    yearly = waves(28, 40)
    yearly[28 * 27] = 0.0  # 364 days before the wave that is left out now
    assert judge(silent(yearly, 36)).state == "on time"


def test_one_wave_that_never_came_hides_no_other() -> None:
    monthly = waves(28, 40)
    monthly[28 * 10] = 0.0
    assert judge(silent(monthly, 36)).state == "silent"


def test_a_silence_is_told_when_it_was_said_to_be() -> None:
    random = np.random.default_rng(6)
    for rate in (0.15, 0.4, 2.0):
        counts = np.append(random.poisson(rate, 900), 1).astype(float)
        told = detected_after(MONDAY, counts, 4e-4)
        assert told is not None
        assert not judge(silent(counts, told - 1)).broken
        assert judge(silent(counts, told)).broken
        assert told * rate > -np.log(4e-4) * 0.6  # sooner, chance alone would be told
    assert detected_after(MONDAY, np.ones(30), 4e-4) is None


def test_the_pace_of_the_past_judges_a_silence_and_not_the_silence_itself() -> None:
    rare = np.tile([1.0, 0, 0, 0, 0], 180)
    told = detected_after(MONDAY, rare, 4e-4)
    assert told is not None
    assert told < 60  # 12 records that should have come


def test_the_holidays_of_last_year_are_expected_again() -> None:
    year = np.tile([9.0, 10, 11, 10, 9, 0, 0], 52)
    holidays = np.where((np.arange(364) >= 340) & (np.arange(364) < 352), 0.0, year)
    before = np.concatenate([holidays, year[:340]])
    assert judge(silent(before, 11)).state == "on time"
    assert judge(silent(np.concatenate([year, year[:340]]), 11)).state == "silent"


def test_one_outage_in_the_past_hides_no_other() -> None:
    counts = WORKDAYS.copy()
    counts[300:330] = 0
    assert judge(silent(counts, 5)).state == "silent"


def test_a_feed_of_which_little_comes_is_thin() -> None:
    counts = WORKDAYS.copy()
    counts[-14:] = np.floor(counts[-14:] / 4)
    found = judge(counts)
    assert found.state == "thin"
    assert "22 % of the records usual" in str(found)


def test_a_young_feed_has_no_pace() -> None:
    assert judge(silent(WORKDAYS[:60], 20)).state == "too young"
    assert judge(np.zeros(200)).state == "empty"


def test_poisson_feeds_are_seldom_called_broken() -> None:
    random, called, weeks = np.random.default_rng(4), 0, 0
    for rate in (0.3, 1.0, 5.0, 40.0):
        counts = random.poisson(rate, 728 + 52 * 7).astype(float)
        states = [judge(counts[:day]).broken for day in range(728, len(counts), 7)]
        called, weeks = called + sum(states), weeks + len(states)
    assert weeks > 200
    assert called <= 1


def noise(runs: int = 150, accounts: int = 300, seed: int = 0, columns: int = 20) -> pd.DataFrame:
    """Weekly rows whose values persist by account, and whose law never changes."""
    random = np.random.default_rng(seed)
    days = pd.date_range(MONDAY, periods=runs, freq="7D")
    own = random.normal(size=(columns, 1, accounts))
    values = 0.8 * own + 0.6 * random.normal(size=(columns, runs, accounts))
    frame = {f"x{column}": values[column].ravel() for column in range(columns)}
    return pd.DataFrame({"snapshot_on": np.repeat(days, accounts), **frame})


def shifts_at(rows: pd.DataFrame, run: int, **more: int) -> list[str]:
    names = [str(name) for name in rows if name != "snapshot_on"]
    judged = find_shifts(levels_of(rows, names, 7), run, alarms=A_RUN, least=MIN_SHIFT, **more)
    return [str(shift.series) for shift in judged.shifts]


def test_what_does_not_change_is_not_found_and_half_a_standard_deviation_is() -> None:
    rows = noise()
    levels = levels_of(rows, [f"x{column}" for column in range(20)], 7)
    assert [
        shift
        for run in range(60, 150)
        for shift in find_shifts(levels, run, alarms=A_RUN, least=MIN_SHIFT).shifts
    ] == []
    late = (rows["snapshot_on"] >= levels.days[120]).to_numpy()
    moved = rows.assign(x3=rows["x3"] + 0.5 * late * rows["x3"].std())
    assert shifts_at(moved, 119) == []
    assert shifts_at(moved, 120) == ["x3"]
    assert shifts_at(moved, 121) == ["x3"]
    assert shifts_at(moved, 140) == []  # by then it is the level


def test_a_trend_that_goes_on_is_no_shift() -> None:
    rows = noise(columns=1)
    run = rows["snapshot_on"].rank(method="dense")
    assert shifts_at(rows.assign(x0=rows["x0"] + 0.02 * run), 140) == []


def swinging(rows: pd.DataFrame, months: int) -> pd.DataFrame:
    """Rows of which x0 rises through each month, or each quarter, and falls back at its end."""
    day = rows["snapshot_on"]
    since = (day.dt.month - 1) % months * 30.5 + day.dt.day
    return rows.assign(x0=rows["x0"] + 2.0 * since / (months * 30.5))


@pytest.mark.parametrize("months", [1, 3])
def test_a_level_that_swings_with_the_calendar_is_compared_with_its_own_phase(
    months: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = swinging(noise(runs=210, columns=1, seed=months), months)

    def found(rows: pd.DataFrame, runs: range) -> list[int]:
        levels = levels_of(rows, ["x0"], 7)
        law = {"alarms": A_RUN, "least": MIN_SHIFT, "rooms": 100}
        return [run for run in runs if find_shifts(levels, run, **law).shifts]  # type: ignore[arg-type]

    def named() -> int:
        count = 0
        for at in (150, 159, 168, 177, 186, 195):
            late = (rows["snapshot_on"] >= rows["snapshot_on"].unique()[at]).to_numpy()
            moved = rows.assign(x0=rows["x0"] + 0.5 * late * rows["x0"].std())
            count += bool(found(moved, range(at, at + 2)))
        return count

    assert found(rows, range(104, 210)) == []
    assert named() >= 5
    monkeypatch.setattr("leadsignal.monitoring.shifts.EXPLAINED", 0.0)
    assert named() == 0


def test_only_a_level_that_swings_is_compared_by_phase() -> None:
    rows = noise(runs=150, columns=3)
    levels = levels_of(swinging(rows, 1), ["x0", "x1", "x2"], 7)
    past = levels.changes(1, 149)[:, :-1]
    compared = find_comparable(levels.days[1:], past, 1, 7, 104)
    level = [str(one) for one in levels.series if one.kind == "level"]
    by_phase = dict(zip([str(one) for one in levels.series], compared.by_phase, strict=True))
    assert [name for name in level if by_phase[name]] == ["x0"]
    days = pd.DatetimeIndex(levels.days[1:])
    mine = compared.among[[str(one) for one in levels.series].index("x0")]
    last = days[-1].day / days[-1].days_in_month
    apart = np.abs(days[:-1][mine].day / days[:-1][mine].days_in_month - last)
    assert 10 < mine.sum() < 25
    assert np.minimum(apart, 1 - apart).max() < 0.09  # two days and a half


def test_what_was_seen_twice_is_no_shift() -> None:
    rows = noise(columns=1)
    run = rows["snapshot_on"].rank(method="dense") - 1
    assert shifts_at(rows.assign(x0=rows["x0"] + (run % 30 == 0)), 120) == []
    assert shifts_at(rows.assign(x0=rows["x0"] + (run == 120)), 120) == ["x0"]


def test_values_that_go_missing_are_found_and_such_that_come_are_not() -> None:
    rows = noise(columns=2)
    late = rows["snapshot_on"] >= rows["snapshot_on"].unique()[120]
    some = np.arange(len(rows)) % 5 == 0
    assert shifts_at(rows.assign(x0=rows["x0"].mask(late & some)), 120) == ["missing values of x0"]
    assert shifts_at(rows.assign(x0=rows["x0"].mask(~late & some)), 120) == []


def test_categories_are_followed_by_value() -> None:
    rows = noise(columns=1)
    late = rows["snapshot_on"] >= rows["snapshot_on"].unique()[120]
    named = np.where(rows["x0"] > np.where(late, 0.3, 1.0), "red", "green")
    found = shifts_at(rows[["snapshot_on"]].assign(band=named), 120)
    assert set(found) == {"band = red", "band = green"}


def test_outliers_do_not_move_a_level() -> None:
    rows = noise(columns=1)
    last = rows["snapshot_on"].unique()[120]
    wild = (rows["snapshot_on"] == last) & (np.arange(len(rows)) % 100 == 0)
    assert shifts_at(rows.assign(x0=rows["x0"].where(~wild, 1e9)), 120) == []


def test_the_hold_out_is_the_same_everywhere_and_of_the_share_asked_for() -> None:
    ids = [f"a{number}" for number in range(20_000)]
    drawn = ls.scoring.hold_out(ids, 0.1)
    assert abs(drawn.mean() - 0.1) < 0.01
    assert (ls.scoring.hold_out(ids[::-1], 0.1)[::-1] == drawn).all()
    assert (ls.scoring.hold_out(ids, 0.2) >= drawn).all()
    other = ls.scoring.hold_out(ids, 0.1, seed=1)
    assert abs((drawn & other).mean() - 0.01) < 0.004
    with pytest.raises(OptionError, match="between 0 and"):
        ls.scoring.hold_out(ids, 0.9)


def test_scores_record_who_is_held_out(
    business: ls.Tables, business_panel: ls.Panel, logistic_model: ls.ChurnModel
) -> None:
    plain = ls.score_accounts(logistic_model, business, effects={}).to_frame()
    assert "held_out" not in plain
    scores = ls.score_accounts(logistic_model, business, holdout=0.2, effects={})
    frame = scores.to_frame()
    pd.testing.assert_frame_equal(frame.drop(columns="held_out"), plain)
    current = business_panel.current().set_index("account_id")["customer_id"]
    customers = frame["account_id"].map(current)
    assert (frame["held_out"] == ls.scoring.hold_out(customers, 0.2)).all()
    assert scores.to_dict()["held_out"] == frame["held_out"].sum() > 0
    assert "are held out" in repr(scores)
    of_panel = ls.scoring.score_panel(logistic_model, business_panel, holdout=0.2)
    pd.testing.assert_frame_equal(of_panel.to_frame(), frame)
    assert "held_out" not in ls.scoring.score_panel(logistic_model, business_panel).to_frame()
    project = business_panel.project.replace(holdout=0.3)
    drawn = ls.scoring.score_panel(
        logistic_model, replace(business_panel, project=project)
    ).to_frame()
    customers = drawn["account_id"].map(current)
    assert (drawn["held_out"] == ls.scoring.hold_out(customers, 0.3)).all()
    with pytest.raises(OptionError, match="holdout"):
        ls.Project().replace(holdout=0.7)


def past_scores(rows: list[tuple[str, str, float, bool, bool]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["account_id", "snapshot_on", "risk", "alert", "held_out"])
    frame["snapshot_on"] = pd.to_datetime(frame["snapshot_on"])
    return frame.assign(still_active_90d=1 - frame["risk"], model_version="v")


@pytest.fixture
def six() -> ls.Tables:
    """Accounts a to f; a and b end within 90 days of March, c later, d for another reason."""
    ends = {"a": "2024-04-01", "b": "2024-05-20", "c": "2024-08-01", "d": "2024-04-10"}
    accounts = pd.DataFrame(
        {
            "account_id": list("abcdef"),
            "started_on": "2023-01-01",
            "ended_on": [ends.get(one) for one in "abcdef"],
            "end_reason": [None, None, None, "completed", None, None],
        }
    )
    return ls.read_tables({"accounts": accounts}, as_of="2024-09-01", not_churn=["completed"])


def six_scores(day: str) -> pd.DataFrame:
    held = {"a": True, "e": True}
    alerted = "abce"
    return past_scores([(one, day, 0.4, one in alerted, held.get(one, False)) for one in "abcdef"])


def test_outcomes_counted_by_hand(six: ls.Tables) -> None:
    scores = pd.concat([six_scores("2024-03-04"), six_scores("2024-07-01").iloc[2:3]])
    outcomes = find_outcomes(six, scores)
    (everyone, _) = evaluate_outcomes(outcomes, warning_time=28)
    assert everyone.rows == 6  # the later run's horizon has not passed
    assert everyone.observed == 2  # a and b; c came later, d is no churn
    assert everyone.expected == pytest.approx(2.4)
    assert everyone.low < 2 < everyone.high
    assert everyone.precision == Share(2, 4)
    # Of a (28 days after the run), b (77) and c (31 after the later run), a and c have a run
    # within five weeks before the warning time; both were alerted.
    assert everyone.caught == Share(2, 2)
    with_strangers = pd.concat([scores, six_scores("2024-03-04").assign(account_id="zz")])
    assert find_outcomes(six, with_strangers).strangers == 6


def test_results_by_arm_counted_by_hand(six: ls.Tables) -> None:
    scores = pd.concat([six_scores("2024-03-04"), six_scores("2024-03-11")])
    contacts = check_contacts(
        pd.DataFrame(
            {
                "account_id": ["b", "e", "c", "c"],
                "contacted_on": ["2024-03-20"] * 3 + ["2024-08-30"],
            }
        )
    )
    arms = evaluate_arms(find_outcomes(six, scores), contacts)
    assert arms is not None
    assert (arms.held_out, arms.acted_on) == (Share(1, 2), Share(1, 2))  # a of a, e; b of b, c
    assert arms.difference == 0
    assert -0.8 < arms.low < 0 < arms.high < 0.8
    assert arms.contacted == Share(2, 2)
    assert arms.contacted_though_held_out == Share(1, 2)
    assert "contacted were 2 of the others and 1 held out" in str(arms)
    assert evaluate_arms(find_outcomes(six, scores.drop(columns="held_out")), None) is None


def test_the_difference_of_shares_is_newcombes() -> None:
    estimate, low, high = difference_of(Share(9, 10), Share(3, 10))  # his table II, case d
    assert (round(estimate, 4), round(low, 4), round(high, 4)) == (0.6, 0.1705, 0.809)


def test_calibration_is_found_where_it_is_off_by_more_than_chance() -> None:
    def judged(observed: int, caught: Share) -> list[str]:
        one = Realised(
            "all", 900, 300, 20, 100.0, observed, 0, 1, 15.0, None, caught, 0.1, Share(1, 2)
        )
        return [found.kind for found in _of_outcomes([one], 0.002)]

    assert judged(110, Share(9, 30)) == []
    assert judged(124, Share(9, 30)) == []  # beyond 1.6 standard errors, and less than a quarter
    assert judged(170, Share(9, 30)) == ["calibration"]
    assert judged(40, Share(9, 30)) == ["calibration"]
    assert judged(100, Share(0, 90)) == ["catch"]


def test_contacts_name_every_fault(tmp_path: Path) -> None:
    log = tmp_path / "contacts.csv"
    log.write_text("account_id,contacted_on\na,2024-01-01\n,2024-01-02\nb,soon\n")
    with pytest.raises(InputError) as caught:
        ls.scoring.read_contacts(log)
    assert [(fault.line, fault.column) for fault in caught.value.faults] == [
        (3, "account_id"),
        (4, "contacted_on"),
    ]
    log.write_text("account,day\na,2024-01-01\n")
    with pytest.raises(InputError, match="no column account_id and no contacted_on"):
        ls.scoring.read_contacts(log)
    with pytest.raises(OptionError, match="no file"):
        ls.scoring.read_contacts(tmp_path / "none.csv")


@pytest.fixture(scope="module")
def weekly(business: ls.Tables, business_analysis: ls.SuccessAnalysis) -> ls.Panel:
    return ls.build_panel(business, business_analysis, every="7d")


@pytest.fixture(scope="module")
def scored(weekly: ls.Panel) -> pd.DataFrame:
    """Weekly scores of the last year, of a model of what was known before."""
    first = pd.Timestamp(weekly.as_of_date) - pd.Timedelta(days=360)
    model = ls.ChurnModel(estimator="logistic").fit(weekly.as_of(first))
    rows = on_grid(weekly)
    rows = rows[rows["snapshot_on"] >= first]
    frame = model.predict(rows).to_frame().assign(model_version=model.version_)
    rank = frame.groupby("snapshot_on")["risk"].rank(ascending=False, method="first")
    size = frame.groupby("snapshot_on")["risk"].transform("size")
    return frame.assign(alert=rank <= 0.1 * size)


def test_a_stable_business_is_quiet(
    weekly: ls.Panel, business: ls.Tables, scored: pd.DataFrame
) -> None:
    found = ls.monitor_scores(weekly, business, scored)
    assert found.ok, found
    assert found.to_frame().empty
    assert found.drift["assessed"].sum() > 60
    assert {pace.state for pace in found.feeds} <= {"on time", "too young"}
    (realised,) = found.realised
    assert realised.low < realised.expected < realised.high
    assert realised.rows > 1000
    told = json.loads(json.dumps(found.to_dict()))
    assert told["ok"] is True
    assert told["findings"] == []
    assert "no findings" in repr(found)


def test_the_seeded_slice_of_the_benchmark_is_quiet(weekly: ls.Panel) -> None:
    levels = levels_of(on_grid(weekly), weekly.names(), 7)
    runs = range(len(levels.days) - 52, len(levels.days))
    judged = [find_shifts(levels, run, alarms=A_RUN, least=MIN_SHIFT) for run in runs]
    assert sum(bool(one.shifts) for one in judged) <= 1
    assert judged[-1].assessed.sum() > 60


def test_an_indicator_moved_by_half_a_standard_deviation_is_named(
    weekly: ls.Panel, business: ls.Tables, scored: pd.DataFrame
) -> None:
    last = on_grid(weekly)["snapshot_on"].max()
    values = weekly.frame["usage_amount"].astype(float)
    late = weekly.frame["snapshot_on"] >= last
    frame = weekly.frame.assign(usage_amount=values + 0.5 * late * values.std())
    found = ls.monitor_scores(replace(weekly, frame=frame), business, scored)
    assert [(one.kind, one.subject) for one in found.findings] == [("indicator", "usage_amount")]
    assert "standard deviations within 7 days" in str(found)
    axes = found.plot()
    assert axes.get_yticklabels()[0].get_text() == "usage_amount"


def test_scores_that_promise_too_little_and_alert_the_wrong_are_named(
    weekly: ls.Panel, business: ls.Tables, scored: pd.DataFrame
) -> None:
    found = ls.monitor_scores(weekly, business, scored.assign(risk=scored["risk"] / 4))
    assert "calibration" in {one.kind for one in found.findings}
    last = scored["snapshot_on"] == scored["snapshot_on"].max()
    risen = scored["risk"].where(~last, scored["risk"] ** 0.5)
    found = ls.monitor_scores(weekly, business, scored.assign(risk=risen))
    assert ("score", "risk") in {(one.kind, one.subject) for one in found.findings}
    # A new model may see all risks otherwise: its runs are compared with its own.
    refitted = scored["model_version"].where(~last, "new")
    found = ls.monitor_scores(weekly, business, scored.assign(risk=risen, model_version=refitted))
    assert ("score", "risk") not in {(one.kind, one.subject) for one in found.findings}


def test_churn_that_the_scores_did_not_expect_is_named_with_its_day(
    weekly: ls.Panel, business: ls.Tables, scored: pd.DataFrame
) -> None:
    names = [str(name) for name in scored if str(name).startswith("still_active_")]
    found = ls.monitor_scores(
        weekly, business, scored.assign(**{n: scored[n] ** 0.2 for n in names})
    )
    (churn,) = [one for one in found.findings if one.kind == "churn"]
    assert churn.subject == "more than expected"
    assert churn.value > 2.5 * churn.expected
    (change,) = [one for one in found.lasting if one.found]
    assert change.since.isoformat() in churn.message
    content = json.loads(json.dumps(found.to_dict()))
    assert content["lasting"][0]["found"] is True
    assert {one["subject"] for one in content["lasting"]} >= {"tickets", "usage", "behaviors"}
    table = found.calibration_by_quarter
    assert table["expected"].sum() == pytest.approx(found.realised[0].expected)
    assert table["observed"].sum() == found.realised[0].observed
    assert f"{table['quarter'].iloc[-1]} " in repr(found)


def test_alerts_a_run_are_counted() -> None:
    one, two = six_scores("2024-03-04"), six_scores("2024-03-11")
    two["alert"] = [True, False, False, False, False, True]
    volume = alert_volume(pd.concat([one, two]))
    assert volume["alerts"].tolist() == [4, 2]
    assert volume["new_alerts"].iloc[1] == 1  # f; a was alerted before
    assert volume["expected_churns"].iloc[0] == pytest.approx(2.4)


def test_a_single_run_can_be_told(
    weekly: ls.Panel, business: ls.Tables, scored: pd.DataFrame
) -> None:
    only = scored[scored["snapshot_on"] == scored["snapshot_on"].max()]
    told = repr(ls.monitor_scores(weekly, business, only))
    assert f"of {len(only):,} accounts alerted" in told
    assert " new" not in told


def test_what_does_not_fit_is_refused_all_at_once(
    weekly: ls.Panel, business: ls.Tables, scored: pd.DataFrame
) -> None:
    with pytest.raises(OptionError) as caught:
        ls.monitor_scores(
            weekly,
            business.as_of(weekly.as_of_date - timedelta(days=7)),
            scored.drop(columns=["risk"]),
            false_alarms=0,
        )
    assert caught.value.problem.count(";") == 2
    late = scored.assign(snapshot_on=pd.Timestamp("2090-01-01"))
    with pytest.raises(OptionError, match="no scores are of"):
        ls.monitor_scores(weekly, business, late)


def test_a_held_out_account_that_is_contacted_spoils_the_hold_out(
    weekly: ls.Panel, business: ls.Tables, scored: pd.DataFrame
) -> None:
    held = scored.assign(held_out=ls.scoring.hold_out(scored["account_id"], 0.3))
    first = held[held["alert"]].groupby("account_id").head(1)
    contacts = first[["account_id"]].assign(contacted_on=first["snapshot_on"])
    found = ls.monitor_scores(weekly, business, held, contacts=contacts)
    assert [one.kind for one in found.findings] == ["holdout"]
    assert [one.arm for one in found.realised] == ["all", "held out"]
    unheld = ls.monitor_scores(weekly, business, scored, contacts=contacts)
    assert any("none held out" in note for note in unheld.notes)


def test_the_command_names_a_feed_that_stopped_and_one_that_is_gone(
    business_folder: Path, business: ls.Tables, logistic_model: ls.ChurnModel, tmp_path: Path
) -> None:
    project, scores, out = tmp_path / "project", tmp_path / "scores", tmp_path / "found.json"
    ls.score_into(logistic_model, business, scores)
    assert "tickets" in tables_of_runs(scores) or not tables_of_runs(scores)
    shutil.copytree(business_folder, project)
    tickets = pd.read_csv(project / "tickets.csv")
    stop = business.as_of_date - timedelta(days=10)
    tickets[tickets["opened_at"] < str(stop)].to_csv(project / "tickets.csv", index=False)
    given = ["monitor", str(project), "--scores", str(scores), "--json", str(out)]
    assert main([*given, "--as-of", str(business.as_of_date), "--quiet"]) == 4
    told = json.loads(out.read_text())
    assert told["ok"] is False
    assert [(one["kind"], one["subject"]) for one in told["findings"]] == [("feed", "tickets")]
    assert told["findings"][0]["message"].startswith("no tickets since ")
    assert "account" not in json.dumps(told["findings"])
