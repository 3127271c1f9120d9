"""One rule in one place: the parts of the library that answer one question give one answer."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cohorts.from_tables import dated_cohorts
from leadsignal.config.project import Project
from leadsignal.config.success import Process, SuccessAnalysis, Tracking
from leadsignal.config.table_settings import TableSource
from leadsignal.files.writing import safe_frame
from leadsignal.stats import holm

START, GROWN, AS_OF = date(2023, 1, 2), date(2023, 7, 3), date(2024, 1, 1)
CLOSE = Process("close", ("closed",), 1, 30, adopt_by=90, applies_to={"size": ("large",)})
ANALYSIS = SuccessAnalysis((CLOSE,))
PROJECT = Project(
    tables={
        "accounts": TableSource(
            attributes=("size",), attribute_kinds={"size": "text"}, complete_from=START
        ),
        "behaviors": TableSource(complete_from=START),
    }
)


def read(**more: Any) -> ls.Tables:
    """Return accounts of which one grows in July and one shrinks; "grows" closes in October."""
    frames = {
        "accounts": pd.DataFrame(
            {"account_id": ["grows", "shrinks", "large", "small"], "started_on": START,
             "size": ["small", "large", "large", "small"]}
        ),
        "behaviors": pd.DataFrame(
            {"account_id": ["grows", "large"], "occurred_at": [date(2023, 10, 2)] * 2,
             "behavior": "closed"}
        ),
        "account_changes": pd.DataFrame(
            {"account_id": ["grows", "shrinks"], "changed_on": GROWN, "attribute": "size",
             "value": ["large", "small"]}
        ),
    } | more  # fmt: skip
    return ls.read_tables(frames, project=PROJECT, as_of=AS_OF)


MEANT_ON_AS_OF = {"grows", "large"}


def test_the_panel_asks_for_a_process_of_the_attributes_of_the_day() -> None:
    frame = ls.build_panel(read(), ANALYSIS).frame
    meant = frame[frame["close_state"] != "not applicable"]
    assert set(meant["account_id"]) == {"grows", "shrinks", "large"}
    by_day = frame["snapshot_on"] > pd.Timestamp(GROWN)
    for account, days in (("grows", by_day), ("shrinks", ~by_day)):
        mine = frame["account_id"] == account
        found = meant[meant["account_id"] == account]
        assert found.index.tolist() == frame[mine & days].index.tolist()
    assert set(meant[meant["snapshot_on"] == pd.Timestamp(AS_OF)]["account_id"]) == MEANT_ON_AS_OF


def test_tracking_and_review_agree_with_the_panel_on_as_of() -> None:
    tables = read()
    assert ls.success_analysis.adoption_table(tables, ANALYSIS).frame["accounts"].sum() == 2
    for account in ("grows", "shrinks", "large", "small"):
        (process,) = ls.review_account(tables, account, ANALYSIS).processes
        assert (process.state != "not applicable") == (account in MEANT_ON_AS_OF)


@pytest.mark.parametrize("by", ["close", "adopted"])
def test_a_cohort_of_a_process_holds_accounts_while_it_is_meant_for_them(by: str) -> None:
    rows = dated_cohorts(read(), by, ANALYSIS).to_frame()
    whole, turn = (AS_OF - START).days, (GROWN - START).days
    adopted = (date(2023, 10, 3) - START).days
    found = rows[["account_id", "start", "stop", "cohort"]].to_numpy().tolist()
    assert found[:2] == [["grows", turn, adopted, "not adopted"],
                         ["grows", adopted, adopted + 30, "adopted"]]  # fmt: skip
    shrinks = [row for row in found if row[0] == "shrinks"]
    assert shrinks == [["shrinks", 0, turn, "not adopted"]]
    assert {row[0] for row in found} == {"grows", "shrinks", "large"}
    assert max(row[2] for row in found) == whole
    # Read some days earlier, it is still asked of nobody that it was not meant for.
    later = dated_cohorts(read(), by, ANALYSIS, lag=28).to_frame()
    assert later[later["account_id"] == "grows"]["start"].min() == turn + 28
    assert "small" not in set(later["account_id"])


RESULTS = {"account_id": "large", "measured_on": date(2023, 6, 1)}


def results(*rows: dict[str, Any]) -> ls.Tables:
    return read(results=pd.DataFrame([RESULTS | row for row in rows]))


@pytest.mark.parametrize(
    ("higher", "values", "target", "best"),
    [(False, (4, 9), 5, 4), (True, (4, 9), 5, 9), (False, (-3, 2), None, -3),
     (False, (2, 7), 0, 2)],
)  # fmt: skip
def test_value_and_distance_of_a_day_are_those_of_its_best_result(
    higher: bool, values: tuple[float, float], target: float | None, best: float
) -> None:
    rows = [{"value": v, "target": target, "higher_is_better": higher} for v in values]
    for tables in (results(*rows), results(*rows[::-1])):
        now = ls.build_panel(tables, ANALYSIS).current().set_index("account_id").loc["large"]
        assert now["result_value"] == best
        standing = ls.review_account(tables, "large", ANALYSIS).status
        assert standing is not None
        assert standing.latest == best
        if target:
            beyond = (best - target if higher else target - best) / target
            assert now["result_gap"] == pytest.approx(beyond)


def test_of_results_with_targets_of_their_own_the_one_that_goes_farthest_counts() -> None:
    tables = results(
        {"value": 20.0, "target": 30.0}, {"value": 12.0, "target": 10.0},
        {"value": 99.0, "target": None},
    )  # fmt: skip
    now = ls.build_panel(tables, ANALYSIS).current().set_index("account_id").loc["large"]
    assert (now["result_value"], now["result_gap"]) == (12.0, pytest.approx(0.2))
    standing = ls.review_account(tables, "large", ANALYSIS).status
    assert standing is not None
    assert (standing.latest, standing.met) == (12.0, True)


def test_a_latest_result_without_a_target_leaves_the_answer_of_the_one_before() -> None:
    for value, met in ((12.0, True), (8.0, False)):
        tables = results(
            {"value": value, "target": 10.0},
            {"value": 1.0, "target": None, "measured_on": date(2023, 8, 1)},
        )
        review = ls.review_account(tables, "large", ANALYSIS)
        standing = review.status
        assert standing is not None
        assert (standing.latest, standing.target, standing.met) == (1.0, 10.0, met)
        assert standing.met_on == RESULTS["measured_on"]
        assert f"target 10 {'met' if met else 'missed'} on 2023-06-01" in repr(review)
        now = ls.build_panel(tables, ANALYSIS).current().set_index("account_id").loc["large"]
        assert bool(now["result_gap"] >= 0) is met


def plain(size: str, *names: str, **more: Any) -> tuple[ls.Tables, SuccessAnalysis]:
    """Return accounts with an attribute of this name, and processes, closed in October."""
    accounts = pd.DataFrame(
        {"account_id": ["grows", "shrinks", "large", "small"], "started_on": START,
         size: ["a", "b", "b", "b"]}
    )  # fmt: skip
    source = TableSource(attributes=(size,), attribute_kinds={size: "text"}, complete_from=START)
    behaviors = pd.DataFrame(
        {"account_id": ["large"], "occurred_at": [date(2023, 10, 2)], "behavior": "closed"}
    )
    frames = {"accounts": accounts, "behaviors": behaviors} | more
    tables = {name: TableSource(complete_from=START) for name in frames} | {"accounts": source}
    read = ls.read_tables(frames, project=Project(tables=tables), as_of=AS_OF)
    return read, SuccessAnalysis(tuple(Process(name, ("closed",), 1, 30) for name in names))


@pytest.mark.parametrize("name", ["planned", "adopted", "rescued"])
def test_a_process_named_like_a_ready_comparison_hides_none_and_is_not_hidden(name: str) -> None:
    extra = {
        "plans": pd.DataFrame(
            {"account_id": ["small"], "agreed_on": [date(2023, 3, 1)], "objective": "grow"}
        ),
        "flags": pd.DataFrame(
            {"account_id": ["small", "grows"], "flagged_on": [date(2023, 3, 1)] * 2,
             "cleared_on": [date(2023, 4, 1), None]}
        ),
    }  # fmt: skip
    tables, analysis = plain("size", name, "other", **extra)
    assert {name, f"process:{name}", "other"} <= set(ls.cohorts.comparison_names(tables, analysis))
    mine = dated_cohorts(tables, f"process:{name}", analysis).to_frame()
    assert set(mine[mine["cohort"] == "adopted"]["account_id"]) == {"large"}
    ready = dated_cohorts(tables, name, SuccessAnalysis(analysis.processes[1:])).to_frame()
    pd.testing.assert_frame_equal(dated_cohorts(tables, name, analysis).to_frame(), ready)
    # A name that nothing else has may be written either way.
    for by in ("other", "process:other"):
        assert set(dated_cohorts(tables, by, analysis).to_frame()["cohort"]) == {
            "adopted", "not adopted",
        }  # fmt: skip


@pytest.mark.parametrize("name", ["planned", "rescued", "measured"])
def test_a_process_keeps_its_name_where_no_table_has_the_comparison(name: str) -> None:
    tables, analysis = plain("size", name)
    assert name in ls.cohorts.comparison_names(tables, analysis)
    cohorts = dated_cohorts(tables, name, analysis).to_frame()
    assert set(cohorts[cohorts["cohort"] == "adopted"]["account_id"]) == {"large"}


def test_an_attribute_named_like_a_comparison_or_a_process_is_not_hidden() -> None:
    tables, analysis = plain("adopted", "close")
    assert {"adopted", "attribute:adopted", "close"} <= set(
        ls.cohorts.comparison_names(tables, analysis)
    )
    assert dated_cohorts(tables, "attribute:adopted", analysis).levels == ("b", "a")
    assert dated_cohorts(tables, "adopted", analysis).levels == ("not adopted", "adopted")
    tables, analysis = plain("close", "close")
    assert dated_cohorts(tables, "close", analysis).levels == ("b", "a")
    assert dated_cohorts(tables, "process:close", analysis).levels == ("not adopted", "adopted")


# An event counts from the day on which it was recorded --------------------------------------------

DAY, RECORDED = date(2023, 3, 1), "2023-05-01 12:00:00"
LATE: dict[str, tuple[str, dict[str, Any]]] = {
    "measured": ("results", {"measured_on": DAY, "value": 1.0}),
    "shown": ("results", {"measured_on": DAY, "value": 1.0, "shown_on": DAY}),
    "results": ("results", {"measured_on": DAY, "value": 1.0, "target": 2.0}),
    "complained": ("tickets", {"opened_at": DAY}),
    "contract": ("contract_changes", {"changed_at": DAY, "kind": "expansion", "arr_delta": 5}),
    "planned": ("plans", {"agreed_on": DAY, "objective": "grow"}),
    "satisfied": ("surveys", {"answered_on": DAY, "score": 3.0}),
    "customer_commitments": (
        "commitments",
        {"agreed_on": DAY, "due_on": DAY, "completed_on": DAY, "action": "do", "owner": "customer"},
    ),
    "size": ("account_changes", {"changed_on": DAY, "attribute": "size", "value": "c"}),
    "behavior:met": ("behaviors", {"occurred_at": DAY, "behavior": "met"}),
    "diary": ("behaviors", {"occurred_at": DAY, "behavior": "met"}),
    "sponsor_seen": ("behaviors", {"occurred_at": DAY, "behavior": "met"}),
}


@pytest.mark.parametrize("by", LATE)
@pytest.mark.parametrize("late", [False, True])
def test_an_event_counts_from_the_day_on_which_it_was_recorded(by: str, late: bool) -> None:
    table, row = LATE[by]
    known = RECORDED if late else "2023-03-01 12:00:00"
    event = pd.DataFrame([{"account_id": "large", **row, "recorded_at": known}])
    tables, _ = plain("size", **{table: event})
    analysis = SuccessAnalysis((), tracking=Tracking(sponsor=("met",), diary=("met",)))
    rows = dated_cohorts(tables, by, analysis).to_frame()
    mine = rows[rows["account_id"] == "large"]
    on = (date(2023, 5, 1) if late else DAY) - START
    # What fell due in a commitment is known on the day after.
    next_day = by == "customer_commitments"
    assert mine["start"].tolist()[:2] == [0, on.days + next_day]


@pytest.mark.parametrize("by", ["results", "satisfied", "contract"])
def test_what_is_recorded_after_a_newer_one_changes_nothing(by: str) -> None:
    table, row = LATE[by]
    day = next(name for name in row if name.endswith(("_on", "_at")))
    values: dict[str, dict[str, Any]] = {
        "results": {"value": 9.0}, "satisfied": {"score": 9.0}, "contract": {"kind": "reduction"},
    }  # fmt: skip
    worse = values[by]
    event = pd.DataFrame([
        {"account_id": "large", **row, "recorded_at": RECORDED},
        {"account_id": "large", **row, **worse, day: date(2023, 4, 3),
         "recorded_at": "2023-04-03 12:00:00"},
        {"account_id": "small", **row, "recorded_at": "2023-03-01 12:00:00"},
    ])  # fmt: skip
    tables, _ = plain("size", **{table: event})
    rows = dated_cohorts(tables, by, SuccessAnalysis(())).to_frame()
    mine = rows[rows["account_id"] == "large"]
    lasts = {"results": 90, "satisfied": 365}
    turns = [(date(2023, 4, 3) - START).days]
    turns += [turns[0] + lasts[by]] if by == "results" else []
    assert mine["start"].tolist() == [0, *turns]


def test_missing_p_values_are_not_counted_among_those_corrected() -> None:
    given = np.array([0.01, np.nan, 0.04, 0.03])
    assert holm(given).tolist() == pytest.approx([0.03, np.nan, 0.06, 0.06], nan_ok=True)
    files = Path(ls.__file__).parent.rglob("*.py")
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    assert len([name for name, text in texts.items() if "def holm(" in text]) == 1
    assert not [name for name, text in texts.items() if re.search(r"\b1\.9(6\b|59)", text)]


@pytest.mark.parametrize("account", ["=1+1", "+49 30", "@home", "'=1", "plain", "-12"])
def test_contacts_copied_from_guarded_scores_name_the_same_accounts(
    account: str, tmp_path: Path
) -> None:
    log = pd.DataFrame({"account_id": [account], "contacted_on": ["2024-01-02"]})
    safe_frame(log).to_csv(tmp_path / "log.csv", index=False)
    assert ls.scoring.read_contacts(tmp_path / "log.csv")["account_id"].tolist() == [account]
