"""What falls exactly on the warning time, the usage drop, the horizon or a cut-off."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.churn.events import churn_events
from leadsignal.config.project import Project
from leadsignal.config.table_settings import TableSource
from leadsignal.evaluation import evaluation_rows as judging
from leadsignal.evaluation.backtest import Backtest
from leadsignal.evaluation.health_score import audit_health
from leadsignal.evaluation.methods import Ranked, _between, cut_offs
from leadsignal.evaluation.past_rows import (
    MatchedSets,
    catch,
    churns_to_evaluate,
    find_episodes,
    raise_alerts,
    rows_to_evaluate,
)
from leadsignal.model.churn_model import churned_within

START = pd.Timestamp("2021-01-04")  # A Monday; weekly snapshots fall on days 0, 7, 14, …
EVER = date(2020, 1, 1)


def day(number: int) -> str:
    return str((START + pd.Timedelta(days=number)).date())


def number_of(when: Any) -> int:
    return int((pd.Timestamp(when) - START).days)


def panel_of(ended: int, told: int | None = None, **frames: pd.DataFrame) -> ls.Panel:
    """One account from day 0, looked at each week; a warning is early 90 days before."""
    accounts = {"account_id": ["a"], "started_on": [day(0)], "ended_on": [day(ended)]}
    if told is not None:
        accounts["end_known_on"] = [day(told)]
    sources = {name: TableSource(complete_from=EVER) for name in frames}
    project = Project(every=7, warning_time=90, tables=sources)
    given = {"accounts": pd.DataFrame(accounts), **frames}
    return ls.build_panel(ls.read_tables(given, project=project, as_of=day(ended + 30)))


def flag(since: int, until: int | None = None) -> pd.DataFrame:
    cleared = [None if until is None else day(until)]
    return pd.DataFrame({"account_id": ["a"], "flagged_on": [day(since)], "cleared_on": cleared})


def bands(*given: tuple[int, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {"account_id": "a", "scored_on": [day(n) for n, _ in given], "score": 50.0,
         "band": [band for _, band in given]}
    )  # fmt: skip


def verdict(panel: ls.Panel) -> str:
    return str(churn_events(panel).frame["verdict"].iloc[0])


# Verdicts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ended", "said"), [(89, "too young"), (90, "unexpected")])
def test_a_snapshot_on_the_very_day_of_the_warning_time_is_early_enough(
    ended: int, said: str
) -> None:
    # The first snapshot falls on day 0: 89 or 90 days before.
    assert verdict(panel_of(ended, flags=flag(ended - 5))) == said


@pytest.mark.parametrize(("ended", "said"), [(292, "unexpected"), (293, "signalled")])
def test_a_warning_since_the_very_day_of_the_warning_time_is_one(ended: int, said: str) -> None:
    # Flagged on day 200: seen at the snapshot of day 203, 89 or 90 days before.
    assert verdict(panel_of(ended, flags=flag(200))) == said


@pytest.mark.parametrize(("cleared", "said"), [(297, "unexpected"), (301, "signalled")])
def test_the_snapshot_of_the_day_of_notice_is_the_last_that_counts(cleared: int, said: str) -> None:
    # At midnight of day 301 nobody knew of the notice that day; a flag cleared before stood no
    # more, one cleared that day did.
    assert verdict(panel_of(360, told=301, flags=flag(150, cleared))) == said


@pytest.mark.parametrize(("ended", "band"), [(293, "red"), (292, "green")])
def test_a_health_score_is_read_at_the_very_day_of_the_warning_time(ended: int, band: str) -> None:
    # Red at the snapshot of day 203, green at that of day 196.
    found = audit_health(panel_of(ended, health_scores=bands((50, "green"), (200, "red"))))
    assert found is not None
    assert found.bands["early"][band] == 1
    assert found.bands["early"].sum() == 1


# Alerts -------------------------------------------------------------------------------------------


def panel_of_ten(known: int, as_of: int = 400, ended: int = 240) -> ls.Panel:
    """Ten accounts, looked at every 28 days from day 7 (21, 49, …, 161, 189, 217, …); a leaves."""
    accounts = pd.DataFrame({"account_id": list("abcdefghij"), "started_on": day(0), "arr": 100})
    accounts["ended_on"] = [day(ended), *[None] * 9]
    accounts["end_known_on"] = [day(known), *[None] * 9]
    project = Project(every=28, horizon=90, warning_time=60)
    return ls.build_panel(ls.read_tables({"accounts": accounts}, project=project, as_of=day(as_of)))


def rows_of(panel: ls.Panel, first: int, **given: str) -> tuple[Any, Any]:
    evaluation = rows_to_evaluate(panel, day(first), 90)
    return evaluation, churns_to_evaluate(evaluation, panel, churn_events(panel, **given))


def snapshot(evaluation: Any, row: int) -> int:
    return number_of(evaluation.rows["snapshot_on"].iloc[row])


@pytest.mark.parametrize(("known", "at"), [(220, 133), (221, 161)])
def test_in_time_is_at_the_very_day_of_the_warning_time(known: int, at: int) -> None:
    evaluation, ends = rows_of(panel_of_ten(known), 0)
    assert snapshot(evaluation, ends.chance[0]) == at


@pytest.mark.parametrize(("known", "at"), [(217, 189), (218, 217)])
def test_before_the_end_was_known_is_not_on_that_day(known: int, at: int) -> None:
    evaluation, ends = rows_of(panel_of_ten(known), 0)
    assert snapshot(evaluation, ends.before_drop[0]) == at


def test_before_the_usage_drop_is_not_at_it() -> None:
    # Ten a week until day 259, then nothing: low from a snapshot on, which is the usage drop.
    days = range(0, 500, 7)
    usage = pd.DataFrame({"account_id": "a", "used_on": [day(n) for n in days],
                          "amount": [10.0 if n < 260 else 0.0 for n in days]})  # fmt: skip
    panel = panel_of(500, usage=usage)
    evaluation = rows_to_evaluate(panel, day(0), 30)
    ends = churns_to_evaluate(evaluation, panel, churn_events(panel))
    drop = number_of(ends.frame["usage_drop_on"].iloc[0])
    assert snapshot(evaluation, ends.before_drop[0]) == drop - 7


def test_the_first_row_is_a_row_like_any_other() -> None:
    # Known on day 184, a warning of 14 days: both are read at day 161, the first that is judged.
    evaluation, ends = rows_of(panel_of_ten(184, ended=194), 161, warning_time="14d")
    assert (list(ends.chance), list(ends.before_drop)) == ([0], [0])
    alerted = np.arange(len(evaluation.rows)) == 0
    caught = catch(evaluation, find_episodes(evaluation, alerted), ends)
    assert (list(caught.in_time), list(caught.before_drop)) == ([True], [1.0])
    assert (list(caught.lead), list(caught.head_start)) == ([23.0], [23.0])


@pytest.mark.parametrize(("as_of", "last"), [(363, 245), (364, 273)])
def test_rows_are_judged_when_the_whole_horizon_lies_before_as_of(as_of: int, last: int) -> None:
    panel = panel_of_ten(200, as_of)
    evaluation = rows_to_evaluate(panel, day(161), 90)
    days = [number_of(when) for when in evaluation.rows["snapshot_on"]]
    assert (min(days), max(days)) == (161, last)
    assert number_of(cut_offs(panel, 90, 100)[-1]) == last


@pytest.mark.parametrize(("ended", "outcome"), [(251, 1), (252, 0)])
def test_an_end_on_the_last_day_of_the_horizon_is_inside(ended: int, outcome: int) -> None:
    panel = panel_of_ten(200, ended=ended)
    evaluation = rows_to_evaluate(panel, day(161), 90)
    assert evaluation.outcome[0] == outcome  # 90 or 91 days after day 161
    assert churned_within(panel, evaluation.rows, 90)[0] == bool(outcome)


def test_a_row_on_a_cut_off_is_scored_by_the_model_fitted_there() -> None:
    evaluation = rows_to_evaluate(panel_of_ten(200), day(0), 90)
    cut, until = (pd.Timestamp(day(n)).date() for n in (161, 217))
    days = {snapshot(evaluation, row) for row in _between(evaluation, cut, until)}
    assert days == {161, 189}


def test_the_list_is_as_long_as_allowed() -> None:
    evaluation = rows_to_evaluate(panel_of_ten(200), day(245), 90)  # Nine accounts are left.
    for capacity, count in ((1 / 9, 1), (2 / 9, 2)):
        alerted = raise_alerts(evaluation, np.arange(len(evaluation.rows), dtype=float), capacity)
        assert set(pd.Series(alerted).groupby(evaluation.day).sum()) == {count}


def test_alerts_of_the_first_snapshot_are_not_new() -> None:
    evaluation, ends = rows_of(panel_of_ten(221), 0)
    first = evaluation.day == evaluation.day.min()
    for alerted, new in (
        (first, 0),
        (evaluation.day == evaluation.day.min() + 28, len(evaluation.rows[first])),
    ):
        episodes = find_episodes(evaluation, alerted)
        one = judging.MethodEvaluation(
            Ranked("x", np.zeros(len(first)), False), alerted, episodes,
            catch(evaluation, episodes, ends),
        )  # fmt: skip
        told = judging._episodes(one, evaluation)
        assert told["new_alerts_a_month"] * evaluation.months == pytest.approx(new)


@pytest.mark.parametrize(("low", "beats"), [(0.0, False), (1e-6, True)])
def test_beyond_chance_is_more_than_nothing(low: float, beats: bool) -> None:
    differences = pd.DataFrame({"method": ["all"], "measure": ["recall_ahead"], "low": [low]})
    found: Any = SimpleNamespace(differences=differences, headline="recall_ahead")
    assert Backtest.beats_context(found, "all") is beats


def test_matched_rows_are_read_at_the_very_day_of_the_lead() -> None:
    days = np.array([7, 14, 21, 7, 14, 21])
    sets = MatchedSets(
        pd.DataFrame({"row": range(6)}), np.repeat([0, 1], 3), days, np.array([0]), np.array([1]),
        np.array([0]), np.array([24]), np.array([0, 1]), 0, False,
    )  # fmt: skip
    for lead, row in ((10, 1), (11, 0), (3, 2)):  # 24 - 10 = 14 is a snapshot, 13 is not.
        case, control = sets.rows_at(lead)
        assert (list(case), list(control)) == ([row], [row + 3])
