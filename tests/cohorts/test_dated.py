"""Cohorts with dates, from tables to stretches; every case counted by hand."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cohorts import DatedCohorts, dated_cohorts
from leadsignal.errors import ModelError, OptionError, TablesError

START = pd.Timestamp("2024-01-01")


def day(number: int) -> str:
    return str((START + pd.Timedelta(days=number)).date())


def tables(accounts: list[tuple[Any, ...]], as_of: int = 400, **frames: Any) -> ls.Tables:
    columns = ["account_id", "started_on", "ended_on"]
    listed = pd.DataFrame(
        [(name, day(s), None if e is None else day(e)) for name, s, e in accounts], columns=columns
    )
    options = frames.pop("options", {})
    extra = frames.pop("extra", {})
    return ls.read_tables(
        {"accounts": listed.assign(**extra), **frames}, as_of=day(as_of), **options
    )


def stretches(cohorts: DatedCohorts) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in cohorts.to_frame().itertuples(index=False)]


def results(*rows: tuple[str, int, float]) -> pd.DataFrame:
    return pd.DataFrame(
        [(a, day(d), v, 5.0) for a, d, v in rows],
        columns=["account_id", "measured_on", "value", "target"],
    )


def test_time_before_the_event_belongs_to_the_other_cohort() -> None:
    # The table begins on day 0, so that what a and b did is known from their start.
    held = tables(
        [("x", 0, 390), ("a", 10, 200), ("b", 20, None)],
        results=results(("x", 0, 1), ("a", 60, 1), ("a", 90, 1)),
    )
    assert stretches(dated_cohorts(held, "measured")) == [
        ("a", 0, 50, "unmeasured", 0),
        ("a", 50, 190, "measured", 1),
        ("b", 0, 380, "unmeasured", 0),
        ("x", 0, 390, "measured", 1),
    ]


def test_an_event_on_the_day_of_the_end_changes_nothing() -> None:
    held = tables([("x", 0, None), ("a", 0, 60)], results=results(("x", 0, 1), ("a", 60, 1)))
    assert stretches(dated_cohorts(held, "measured"))[0] == ("a", 0, 60, "unmeasured", 1)


def test_results_lapse_after_ninety_days() -> None:
    # Good on day 100 until day 190; poor on day 300 until the end. State is known after a window:
    # the table begins on day 0, before the accounts.
    held = tables(
        [("x", 0, None), ("a", 1, None)],
        results=results(("x", 0, 9), ("a", 101, 9), ("a", 301, 2)),
    )
    assert stretches(dated_cohorts(held, "results"))[:5] == [
        ("a", 0, 100, "no results", 0),
        ("a", 100, 190, "good", 0),
        ("a", 190, 300, "no results", 0),
        ("a", 300, 390, "poor", 0),
        ("a", 390, 399, "no results", 0),
    ]


def test_contract_changes_follow_the_latest() -> None:
    changes = pd.DataFrame(
        [("x", day(0), "renewal"), ("a", day(30), "expansion"), ("a", day(50), "renewal"),
         ("a", day(80), "reduction")],
        columns=["account_id", "changed_at", "kind"],
    )  # fmt: skip
    held = tables([("x", 0, None), ("a", 0, 100)], contract_changes=changes)
    assert stretches(dated_cohorts(held, "contract"))[:3] == [
        ("a", 0, 30, "no change", 0),
        ("a", 30, 80, "expansion", 0),
        ("a", 80, 100, "reduction", 1),
    ]


def test_commitments_kept_missed_and_forgotten() -> None:
    # Due day 20, done day 25: missed from day 21 (its state is known at the next midnight) until
    # it is 180 days old, day 201.
    commitments = pd.DataFrame(
        [("x", day(0), day(10), day(9)), ("a", day(5), day(20), day(25))],
        columns=["account_id", "agreed_on", "due_on", "completed_on"],
    ).assign(action="call", owner="vendor")
    held = tables([("x", 0, None), ("a", 0, None)], commitments=commitments)
    assert stretches(dated_cohorts(held, "commitments")) == [
        ("a", 0, 21, "none due", 0),
        ("a", 21, 201, "missed", 0),
        ("a", 201, 400, "none due", 0),
        ("x", 0, 11, "none due", 0),
        ("x", 11, 191, "kept", 0),
        ("x", 191, 400, "none due", 0),
    ]


def test_commitments_of_one_side() -> None:
    commitments = pd.DataFrame(
        [("x", day(0), day(10), day(9), "customer"), ("x", day(0), day(30), None, "vendor")],
        columns=["account_id", "agreed_on", "due_on", "completed_on", "owner"],
    ).assign(action="call")
    held = tables([("x", 0, 150)], commitments=commitments)
    assert [row[3] for row in stretches(dated_cohorts(held, "customer_commitments"))] == [
        "none due", "kept",
    ]  # fmt: skip
    assert [row[3] for row in stretches(dated_cohorts(held, "vendor_commitments"))] == [
        "none due", "missed",
    ]  # fmt: skip


def test_a_moved_date_was_due_until_it_was_moved() -> None:
    # Due day 20 and missed; moved on day 30 to day 60; done day 50, recorded day 52.
    versions = [(5, 20, None), (30, 60, None), (52, 60, 50)]
    commitments = pd.DataFrame(
        [
            ("a", day(5), day(due), None if done is None else day(done), f"{day(known)} 12:00")
            for known, due, done in versions
        ],
        columns=["account_id", "agreed_on", "due_on", "completed_on", "recorded_at"],
    ).assign(action="call", owner="vendor", commitment_id="k")
    first = pd.DataFrame(
        {"account_id": ["x"], "agreed_on": day(0), "due_on": day(300), "action": "call",
         "owner": "vendor", "commitment_id": "other", "recorded_at": f"{day(0)} 12:00"}
    )  # fmt: skip
    commitments = pd.concat([first, commitments], ignore_index=True)
    held = tables([("x", 0, None), ("a", 0, None)], commitments=commitments)
    assert stretches(dated_cohorts(held, "commitments"))[:5] == [
        ("a", 0, 21, "none due", 0),
        ("a", 21, 31, "missed", 0),
        ("a", 31, 61, "none due", 0),
        ("a", 61, 241, "kept", 0),
        ("a", 241, 400, "none due", 0),
    ]


def test_a_rescue_counts_from_the_flag() -> None:
    flags = pd.DataFrame(
        [("a", day(100), day(140)), ("b", day(50), None)],
        columns=["account_id", "flagged_on", "cleared_on"],
    )
    held = tables([("a", 0, 300), ("b", 0, 90), ("c", 0, None)], flags=flags)
    cohorts = dated_cohorts(held, "rescued")
    assert cohorts.since == "the flag"
    assert stretches(cohorts) == [
        ("a", 0, 40, "flagged", 0),
        ("a", 40, 200, "rescued", 1),
        ("b", 0, 40, "flagged", 1),
    ]


def test_a_process_is_adopted_both_ways() -> None:
    behaviors = pd.DataFrame(
        [("x", day(0)), ("a", day(10)), ("a", day(200))], columns=["account_id", "occurred_at"]
    ).assign(behavior="closed")
    analysis = ls.SuccessAnalysis.from_toml(
        '[[process]]\nname = "close"\nbehavior = "closed"\nat_least = 1\nwithin = "30d"\n'
    )
    held = tables([("x", 0, None), ("a", 0, None)], behaviors=behaviors)
    mine = [row for row in stretches(dated_cohorts(held, "close", analysis)) if row[0] == "a"]
    assert [row[3] for row in mine] == [
        "not adopted", "adopted", "not adopted", "adopted", "not adopted",
    ]  # fmt: skip
    assert [row[2] - row[1] for row in mine][1::2] == [30, 30]


def test_attributes_and_their_dated_values() -> None:
    changes = pd.DataFrame(
        [("a", day(100), "rep", "Bo")], columns=["account_id", "changed_on", "attribute", "value"]
    )
    held = tables(
        [("a", 0, 300), ("b", 0, None)], account_changes=changes, extra={"rep": ["Ann", "Bo"]},
        options={"attributes": ["rep"]},
    )  # fmt: skip
    assert stretches(dated_cohorts(held, "rep")) == [
        ("a", 0, 100, "Ann", 0),
        ("a", 100, 300, "Bo", 1),
        ("b", 0, 400, "Bo", 0),
    ]


def test_events_of_ones_own() -> None:
    held = tables([("a", 0, 300), ("b", 0, None)])
    mine = pd.DataFrame({"account_id": ["a", "b"], "on": [day(50), day(20)], "state": ["x", "y"]})
    assert [row[1:4] for row in stretches(dated_cohorts(held, mine))] == [
        (0, 50, "before"), (50, 300, "x"), (0, 20, "before"), (20, 400, "y"),
    ]  # fmt: skip
    with pytest.raises(TablesError, match="by_frame: on: the column is missing"):
        dated_cohorts(held, mine[["account_id"]])


def test_old_accounts_enter_late_and_old_feeds_leave_them_out() -> None:
    # Accounts are complete from day 100: a, of day 0, enters at tenure 100.
    from leadsignal.config.project import Project
    from leadsignal.config.table_settings import TableSource

    project = Project(
        tables={"accounts": TableSource(complete_from=(START + pd.Timedelta(days=100)).date())}
    )
    frame = pd.DataFrame(
        {"account_id": ["a", "b"], "started_on": [day(0), day(150)], "kind": ["p", "q"]}
    )
    held = ls.read_tables({"accounts": frame}, as_of=day(400), attributes=["kind"], project=project)
    assert stretches(dated_cohorts(held, "kind")) == [
        ("a", 100, 400, "p", 0),
        ("b", 0, 250, "q", 0),
    ]
    old = tables(
        [("a", 0, None), ("b", 60, None), ("c", 70, None)],
        results=results(("b", 60, 1), ("c", 99, 1)),
    )
    cohorts = dated_cohorts(old, "measured")
    assert cohorts.accounts.tolist() == ["b", "c"]
    assert any("1 account started before results is complete" in note for note in cohorts.notes)


def test_ends_that_are_no_churn_are_told_apart() -> None:
    held = tables(
        [("a", 0, 300), ("b", 0, 200), ("c", 0, None)],
        extra={"end_reason": ["completed", "price", None], "kind": ["p", "q", "q"]},
        options={"not_churn": ["completed"], "attributes": ["kind"]},
    )
    assert dated_cohorts(held, "kind").cause.tolist() == [2, 1, 0]


def test_names_that_are_not_there_are_told_what_is() -> None:
    held = tables([("a", 0, 300), ("b", 0, None)], extra={"size": [1, 2]},
                  results=results(("a", 5, 1)))  # fmt: skip
    with pytest.raises(
        OptionError,
        match=r"'measured'\? Choose from measured, results",
    ):
        dated_cohorts(held, "mesured")
    with pytest.raises(OptionError, match="not declared as an attribute"):
        dated_cohorts(held, "size")
    with pytest.raises(ModelError, match=r"no account is observed|every account is"):
        dated_cohorts(held, "measured")


def test_the_order_of_rows_and_the_names_of_accounts_do_not_matter(business: ls.Tables) -> None:
    accounts, found = business.frame("accounts"), business.frame("results")
    names = dict(
        zip(accounts["account_id"], sorted(accounts["account_id"], reverse=True), strict=True)
    )

    def read(rename: bool) -> ls.Comparison:
        frames = {"accounts": accounts, "results": found}
        frames = {
            name: frame.drop(columns=["known_on", "superseded_on"]).sample(frac=1, random_state=1)
            for name, frame in frames.items()
        }
        if rename:
            for frame in frames.values():
                frame["account_id"] = frame["account_id"].map(names)
            frames["accounts"]["customer_id"] = frames["accounts"]["customer_id"] + "x"
        return ls.compare_cohorts(ls.read_tables(frames, as_of=business.as_of_date), "measured")

    one, other = read(False), read(True)
    for left, right in zip(one.contrasts, other.contrasts, strict=True):
        assert left.hazard_ratio is not None
        assert right.hazard_ratio is not None
        assert left.hazard_ratio.to_dict() == pytest.approx(right.hazard_ratio.to_dict(), rel=1e-9)
