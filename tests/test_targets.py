"""Whether an account meets its target: the panel, cohorts, review, history and standings agree."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.as_of_context import results_over_time, standings
from leadsignal.config.project import Project
from leadsignal.config.success import Bullseye, Segment, SuccessAnalysis
from leadsignal.config.table_settings import TableSource
from leadsignal.targets import metric_on, own_metrics, own_results, status_changes
from random_tables import Case, random_case
from reference_panel import DAY, Reference

START, AS_OF = date(2024, 1, 1), date(2024, 9, 2)
ACCOUNTS = pd.DataFrame(
    {"account_id": ["small", "large"], "started_on": START, "segment": ["small", "large"]}
)
PROJECT = Project(
    tables={
        "accounts": TableSource(attributes=("segment",), attribute_kinds={"segment": "text"}),
        "results": TableSource(complete_from=START),
    }
)
EVERYBODY = SuccessAnalysis((), Bullseye("all", "speed"))
OWN_METRIC = SuccessAnalysis(
    (), Bullseye("all", "speed"), segments=(Segment({"segment": ("large",)}, Bullseye("", "cost")),)
)


def read(rows: list[dict[str, Any]], as_of: date = AS_OF, **more: pd.DataFrame) -> ls.Tables:
    results = pd.DataFrame(rows, columns=[
        "account_id", "measured_on", "value", "metric", "target", "higher_is_better",
    ])  # fmt: skip
    frames = {"accounts": ACCOUNTS, "results": results, **more}
    return ls.read_tables(frames, project=PROJECT, as_of=as_of)


def result(
    account: str, day: str, value: float, metric: str | None = "speed",
    target: float | None = 10.0, higher: bool = True,
) -> dict[str, Any]:  # fmt: skip
    return {"account_id": account, "measured_on": f"2024-{day}", "value": value, "metric": metric,
            "target": target, "higher_is_better": higher}  # fmt: skip


def answers(tables: ls.Tables, analysis: SuccessAnalysis, account: str) -> dict[str, bool | None]:
    """Return what each part of the library says of an account on as_of."""
    now = ls.build_panel(tables, analysis).current().set_index("account_id").loc[account]
    review = ls.review_account(tables, account, analysis)
    over = results_over_time(tables, analysis)
    mine = over[over["account_id"] == account]
    history = (
        ls.success_analysis.result_history(tables, analysis, every="week").of(account).iloc[-1]
    )
    changes = status_changes(tables, analysis, days=365)
    changes = changes[changes["on"] < pd.Timestamp(AS_OF)]
    state = changes[changes["account_id"] == account]["state"].iloc[-1]
    assert review.status is not None
    return {
        "panel": bool(now["result_gap"] >= 0),
        "review": review.status.met,
        "standing": bool(mine["gap"].iloc[-1] >= 0),
        "history": bool(history["met"]),
        "cohort": bool(state == 2),
    }


SEGMENTED = [
    result("small", "08-01", 12, "speed"),
    result("small", "08-02", 99, "cost", higher=False),
    result("small", "08-03", 98, "cost", higher=False),
    result("large", "08-01", 7, "speed"),
    result("large", "08-08", 6, "speed"),
    result("large", "08-02", 9, "cost", higher=False),
]


def test_a_segment_with_a_metric_of_its_own_is_judged_by_it_everywhere() -> None:
    tables = read(SEGMENTED)
    for account in ("small", "large"):
        assert set(answers(tables, OWN_METRIC, account).values()) == {True}, account
    held = standings(tables, OWN_METRIC)
    assert held["metric"].to_dict() == {"small": "speed", "large": "cost"}
    review = ls.review_account(tables, "large", OWN_METRIC)
    assert review.status is not None
    assert review.status.metric == "cost"
    assert review.objective == "all"
    # With everybody's metric the large account has not met its target, and all say so.
    assert set(answers(tables, EVERYBODY, "large").values()) == {False}


def test_the_metric_measured_most_is_the_own_one_where_none_is_named() -> None:
    tables = read(SEGMENTED)
    own = own_results(tables).groupby("account_id")["metric"].unique().map(list).to_dict()
    assert own == {"small": ["cost"], "large": ["speed"]}
    for account in ("small", "large"):
        assert set(answers(tables, SuccessAnalysis(()), account).values()) == {False}


@pytest.mark.parametrize(
    ("value", "higher", "met"),
    [(10.0, True, True), (10.0, False, True), (9.99, True, False), (10.01, False, False),
     (10 - 1e-9, True, True), (10 + 1e-9, False, True), (10 - 1e-6, True, False)],
)  # fmt: skip
def test_a_result_at_its_target_meets_it(value: float, higher: bool, met: bool) -> None:
    tables = read([result("small", "08-01", value, higher=higher)])
    assert own_results(tables)["met"].tolist() == [met]
    given = answers(tables, EVERYBODY, "small")
    assert (given["review"], given["history"], given["cohort"]) == (met, met, met)
    panel = ls.build_panel(tables, EVERYBODY).current().set_index("account_id")
    assert panel.loc["small", "results_met_365d"] == float(met)


def test_on_target_takes_three_results() -> None:
    rows = [result("small", f"0{month}-01", value) for month, value in ((5, 12), (6, 9), (7, 9))]
    on = results_over_time(read(rows))["on_target"].tolist()
    assert on == [None, None, True]
    assert results_over_time(read([*rows[:2], result("small", "07-01", 8.99)]))[
        "on_target"
    ].tolist() == [None, None, False]


def test_the_best_of_a_day_counts_and_the_rest_stays_with_its_row() -> None:
    rows = [result("small", "08-01", 9), result("small", "08-01", 11), result("small", "08-01", 8)]
    tables = read(rows)
    assert set(answers(tables, EVERYBODY, "small").values()) - {False} == {True}
    status = ls.review_account(tables, "small", EVERYBODY).status
    assert status is not None
    assert status.latest == 11
    assert standings(tables)["value"].tolist() == [11]
    panel = ls.build_panel(tables, EVERYBODY).current().set_index("account_id")
    assert panel.loc["small", "results_met_365d"] == pytest.approx(1 / 3)


def test_a_result_is_held_against_the_target_of_its_own_day() -> None:
    rows = [result("small", "06-01", 11, target=10), result("small", "07-01", 11, target=12),
            result("small", "08-01", 11, target=11)]  # fmt: skip
    assert own_results(read(rows))["met"].tolist() == [True, False, True]


def test_a_result_without_a_target_leaves_the_status_as_it_was() -> None:
    rows = [result("small", "07-01", 11), result("small", "08-01", 1, target=None)]
    tables = read(rows)
    assert own_results(tables)["met"].tolist() == [True, None]
    assert status_changes(tables, days=90)["state"].tolist() == [2, 0]
    assert standings(tables)["value"].tolist() == [11]
    panel = ls.build_panel(tables).current().set_index("account_id")
    assert panel.loc["small", "result_gap"] == pytest.approx(0.1)
    standing = ls.review_account(tables, "small").status
    assert standing is not None
    assert (standing.latest, standing.met, standing.met_on) == (1, True, date(2024, 7, 1))


def test_a_named_metric_that_was_never_measured_is_not_replaced_by_another() -> None:
    rows = [result("small", "08-01", 12, "cost"), result("large", "08-01", 12, "speed")]
    tables = read(rows)
    assert ls.review_account(tables, "small", EVERYBODY).status is None
    assert standings(tables, EVERYBODY).index.tolist() == ["large"]
    history = ls.success_analysis.result_history(tables, EVERYBODY)
    assert set(history.frame["account_id"]) == {"large"}
    panel = ls.build_panel(tables, EVERYBODY).current().set_index("account_id")
    assert panel["result_value"].notna().to_dict() == {"large": True, "small": False}
    assert set(status_changes(tables, EVERYBODY, days=90)["account_id"]) == {"large"}


def test_ties_between_metrics_go_to_targets_then_results_then_names() -> None:
    nobody = SuccessAnalysis(())
    assert metric_on({}, {"b": [2, 2], "a": [1, 9]}, nobody) == "b"
    assert metric_on({}, {"b": [2, 2], "a": [2, 3]}, nobody) == "a"
    assert metric_on({}, {"b": [2, 2], "a": [2, 2]}, nobody) == "a"
    assert metric_on({}, {"b": [2, 2], "": [2, 2]}, nobody) == ""
    assert metric_on({}, {}, nobody) is None


def test_the_metric_follows_the_segment_of_the_day() -> None:
    changes = pd.DataFrame(
        {"account_id": ["small"] * 2, "changed_on": [date(2024, 8, 10)] * 2,
         "attribute": "segment", "value": ["large", "huge"]}
    )  # fmt: skip
    rows = [result("small", "08-01", 12), result("small", "08-05", 20, "cost", higher=False)]
    tables = read(rows, account_changes=changes.iloc[:1])
    assert own_metrics(tables, OWN_METRIC).query("account_id == 'small'")[
        ["since", "metric"]
    ].to_numpy().tolist() == [
        [pd.Timestamp(START), "speed"],
        [pd.Timestamp("2024-08-11"), "cost"],
    ]
    states = status_changes(tables, OWN_METRIC, days=90)
    assert states[["on", "state"]].to_numpy().tolist() == [
        [pd.Timestamp("2024-08-01"), 2],
        [pd.Timestamp("2024-08-10"), 1],
        [pd.Timestamp("2024-11-03"), 0],
    ]
    assert set(answers(tables, OWN_METRIC, "small").values()) == {False}
    # Of two changes on one day the largest value holds, as in the panel.
    both = read(rows, account_changes=changes)
    now = ls.build_panel(both, OWN_METRIC).current().set_index("account_id")
    assert now.loc["small", "segment"] == "large"
    assert set(answers(both, OWN_METRIC, "small").values()) == {False}


def _cases(seeds: range, *, late: bool = True) -> list[tuple[Case, ls.Tables, Reference]]:
    drawn = [random_case(seed) for seed in seeds]
    kept = [case for case in drawn if "results" in case.tables and (late or _is_prompt(case))]
    return [(case, case.read(), Reference(case)) for case in kept]


def _is_prompt(case: Case) -> bool:
    """Whether nothing that says how an account does is recorded after its day."""
    read_from = {"accounts", "results", "account_changes"} & set(case.columns)
    late = any("recorded_at" in case.columns[name] for name in read_from)
    return not late and "target" in case.columns["results"]


def test_on_random_tables_all_agree_with_the_reference_on_as_of() -> None:
    judged, segments, metrics = 0, 0, set()
    for case, tables, slow in _cases(range(16)):
        segments += len(case.analysis.segments)
        panel = ls.build_panel(tables, case.analysis)
        now = panel.current().set_index("account_id")
        mine = own_results(tables, case.analysis)
        whole = slow.is_whole("results", case.as_of)
        for account in now.index:
            rows = [r for r in slow.rows_at("results", account, case.as_of) if r["own"] == "yes"]
            found = mine[mine["account_id"] == account]
            assert len(found) == len(rows)
            assert sorted(found["met"].map({True: "yes", False: "no"}).fillna("none")) == sorted(
                r["met"] or "none" for r in rows
            )
            metrics |= {r.get("metric") for r in rows}
            gaps = found["gap"].dropna()
            if len(gaps) and whole and "target" in case.columns["results"]:
                # Of one day the best stands last.
                assert now.loc[account, "result_gap"] == pytest.approx(gaps.iloc[-1], abs=1e-6)
            if len(found) and whole:
                assert now.loc[account, "result_value"] == found["value"].iloc[-1]
                judged += 1
    assert judged > 15
    assert segments > 4
    assert {"speed", "cost"} < metrics


def test_on_random_tables_cohorts_say_on_every_day_what_the_reference_says() -> None:
    seen: dict[int, int] = {0: 0, 1: 0, 2: 0}
    for case, tables, slow in _cases(range(40)):
        changes = status_changes(tables, case.analysis, days=90)
        by_account = dict(iter(changes.groupby("account_id")))
        for account in slow.accounts[:4]:
            mine, first = by_account.get(account), slow.snapshots(account)[0]
            for step in range(0, (case.as_of - first).days, 13):
                t = first + timedelta(days=step) + DAY
                before = changes.head(0) if mine is None else mine[mine["on"] < pd.Timestamp(t)]
                state = int(before["state"].iloc[-1]) if len(before) else 0
                rows = [r for r in slow.rows_at("results", account, t) if r["own"] == "yes"]
                told = [r for r in rows if r["met"] and r["measured_on"] >= t - timedelta(days=90)]
                last = max((r["measured_on"] for r in told), default=None)
                met = [r["met"] == "yes" for r in told if r["measured_on"] == last]
                assert state == (1 + int(any(met)) if met else 0), (account, t)
                seen[state] += 1
    assert min(seen.values()) > 20
    assert np.sum(list(seen.values())) > 300
