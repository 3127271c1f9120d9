"""The user's health score judged, on accounts counted by hand."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.config.project import Project
from leadsignal.config.table_settings import TableSource

START = pd.Timestamp("2021-01-04")


def day(number: int) -> str:
    return str((START + pd.Timedelta(days=number)).date())


@pytest.fixture(scope="module")
def panel() -> ls.Panel:
    """Four accounts: a and b leave on day 400, d is red for a while and stays, c stays green."""
    accounts = pd.DataFrame({"account_id": list("abcd"), "started_on": day(0)})
    accounts["ended_on"] = [day(400), day(400), None, None]
    scores = [
        *[("abcd"[n], 0, "green") for n in range(4)],
        ("a", 295, "red"),  # red from the snapshot of day 301 on, 99 days before
        ("b", 395, "yellow"),
        ("d", 95, "red"),
        ("d", 150, "green"),
    ]
    frame = pd.DataFrame(scores, columns=["account_id", "scored_on", "band"])
    frame["scored_on"] = frame["scored_on"].map(day)
    frame["score"] = frame["band"].map({"green": 90, "yellow": 50, "red": 10})
    whole = {"health_scores": TableSource(complete_from=date(2020, 1, 1))}
    project = Project(every=7, tables=whole, horizon=180)
    tables = {"accounts": accounts, "health_scores": frame}
    return ls.build_panel(ls.read_tables(tables, project=project, as_of=day(800)))


def test_green_churners_turns_and_false_alarms(panel: ls.Panel) -> None:
    audit = ls.evaluation.audit_health(panel)
    assert audit is not None
    assert audit.churned == 2
    # Day 310 is 90 days before: a is red since day 301, b green; at the last snapshot b is yellow.
    assert audit.bands["early"].to_dict() == {"green": 1, "red": 1, "yellow": 0}
    assert audit.green_share == 0.5
    assert sorted(audit.turned) == [1, 99]  # b turns at the snapshot of day 399
    assert audit.median_turn_days == 50
    assert audit.red_episodes == 2  # a's came true, d's did not
    assert audit.false_alarms == 0.5
    assert "1 were green" in repr(audit)
    assert audit.to_dict()["green_at_warning_time"] == 1


def test_without_bands_there_is_nothing_to_judge() -> None:
    accounts = pd.DataFrame({"account_id": ["a"], "started_on": [day(0)]})
    panel = ls.build_panel(ls.read_tables({"accounts": accounts}, as_of=day(100)))
    assert ls.evaluation.audit_health(panel) is None
