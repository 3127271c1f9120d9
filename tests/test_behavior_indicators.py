"""Indicators of each behaviour, and the memory of processes, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.config.project import Behaviors
from leadsignal.indicators.behaviors import MOST, most_common, prefixes

START, AS_OF = date(2023, 1, 1), "2024-01-01"


def tables(events: Sequence[tuple[str, str, str, str]], **options: Any) -> ls.Tables:
    """Two accounts, and events of (account, day, behaviour, user)."""
    accounts = pd.DataFrame({"account_id": ["a", "b"], "started_on": [str(START)] * 2})
    columns = ["account_id", "occurred_at", "behavior", "user_id"]
    behaviors = pd.DataFrame(events, columns=columns).astype(str)
    frames = {"accounts": accounts, "behaviors": behaviors}
    return ls.read_tables(frames, as_of=AS_OF, **options)


def row(built: ls.Panel, account: str = "a") -> dict[str, Any]:
    rows = built.current().set_index("account_id")
    return {str(name): rows[name][account] for name in rows}


EVENTS = [
    ("a", "2023-12-30", "export", "u1"),
    ("a", "2023-12-20", "export", "u2"),
    ("a", "2023-11-01", "export", "u1"),
    ("a", "2023-08-01", "export", "u1"),
    ("b", "2023-12-30", "login", "u9"),
    ("b", "2023-01-02", "login", "u9"),
]


def test_each_behaviour_has_its_own_columns() -> None:
    one = row(ls.build_panel(tables(EVENTS)))
    assert one["behavior_export_events_30d"] == 2
    assert one["behavior_export_events_90d"] == 3
    assert one["behavior_export_events_180d"] == 4
    assert one["behavior_export_users_30d"] == 2
    assert one["behavior_export_users_180d"] == 2
    assert one["behavior_export_days_since"] == 2
    assert one["behavior_export_events_per_user"] == 1.5
    assert one["behavior_login_events_180d"] == 0
    # 2 in 30 days, and 2 in the 180 before.
    assert one["behavior_export_relative"] == 6


def test_a_young_account_is_compared_with_the_days_that_it_had() -> None:
    events = [("a", f"2023-12-{day:02d}", "export", "u1") for day in (3, 20, 30)]
    events += [("a", "2023-11-20", "export", "u1")]
    accounts = pd.DataFrame({"account_id": ["a"], "started_on": ["2023-11-02"]})
    behaviors = pd.DataFrame(
        [(who, day, what) for who, day, what, _ in events],
        columns=["account_id", "occurred_at", "behavior"],
    )
    whole = {"behaviors": {"complete_from": str(START)}}
    frames = {"accounts": accounts, "behaviors": behaviors}
    read = ls.read_tables(frames, as_of=AS_OF, options=whole)
    one = ls.build_panel(read).current().iloc[0]
    # 60 days old: 3 in the last 30 days; 1 in the 30 before.
    assert one["behavior_export_relative"] == 3
    assert "behavior_export_users_30d" not in one


def test_what_is_not_kept_is_pooled(tmp_path: Path) -> None:
    (tmp_path / "leadsignal.toml").write_text('[behaviors]\nkeep = ["login"]\n')
    project = ls.read_project(tmp_path)
    assert project.behaviors == Behaviors(("login",))
    one = row(ls.build_panel(tables(EVENTS, project=project)))
    assert one["other_behaviors_events_180d"] == 4
    assert "behavior_export_events_180d" not in one
    assert one["behavior_login_events_30d"] == 0


def test_the_most_common_are_those_of_most_accounts() -> None:
    counted = {f"b{number:02d}": 100 - number for number in range(30)}
    kept = most_common(counted)
    assert kept.keep == tuple(f"b{number:02d}" for number in range(MOST))
    assert kept.others


def test_total_activity_leaves_out_what_a_process_covers() -> None:
    analysis = ls.SuccessAnalysis.from_toml(
        '[[process]]\nname = "p"\nbehavior = "export"\nat_least = 1\nwithin = "60d"\n'
    )
    assert row(ls.build_panel(tables(EVENTS)))["activity_events_90d"] == 3
    assert row(ls.build_panel(tables(EVENTS), analysis))["activity_events_90d"] == 0


def test_names_of_columns_differ_whatever_the_behaviours_are_called() -> None:
    names = ["A b", "a-b", "!!!", "", "x" * 60, "x" * 61]
    found = list(prefixes(names).values())
    assert len(set(found)) == len(names)
    assert max(map(len, found)) < 60


@pytest.mark.parametrize(
    ("days", "share", "lapses"), [(90, 61 / 90, 1), (180, 61 / 180, 1), (365, 61 / 365, 1)]
)
def test_the_share_of_days_on_which_a_process_was_adopted(
    days: int, share: float, lapses: int
) -> None:
    """One export on 5 October within 60 days: adopted from 6 October to 4 December, then again."""
    analysis = ls.SuccessAnalysis.from_toml(
        '[[process]]\nname = "p"\nbehavior = "export"\nat_least = 1\nwithin = "60d"\n'
    )
    events = [("a", "2023-01-01", "login", "u1"), ("a", "2023-10-05", "export", "u1")]
    events += [("a", "2023-12-31", "export", "u1")]
    one = row(ls.build_panel(tables(events), analysis))
    assert one[f"p_adopted_share_{days}d"] == pytest.approx(share)
    assert one["p_lapses_365d"] == lapses
    assert one["p_state"] == "adopted"


def test_the_model_keeps_its_behaviours_when_others_become_common() -> None:
    simulated = ls.simulate(300, seed=5)
    frames = {name: table for name, table in simulated.tables.items() if len(table)}
    read = ls.read_tables(frames, as_of=simulated.as_of)
    model = ls.ChurnModel(estimator="logistic").fit(ls.build_panel(read, every="60d"))
    kept = model.origin_.behaviors
    assert kept is not None
    busy = frames["behaviors"].drop_duplicates("account_id")
    recent = pd.Timestamp(simulated.as_of) - timedelta(days=3)
    new = [busy.assign(behavior=f"new_{n}", occurred_at=recent) for n in range(MOST)]
    later = {**frames, "behaviors": pd.concat([frames["behaviors"], *new])}
    again = ls.read_tables(later, as_of=simulated.as_of)
    assert ls.build_panel(again, every="60d").behaviors != kept
    scores = ls.score_accounts(model, again, effects={})
    assert len(scores.frame) > 100
