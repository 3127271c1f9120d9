"""Metrics of behaviours in success.toml: what is read, what is refused, values by hand."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.config.success import KEYS_OF, BehaviorMetric, Process, SuccessAnalysis
from leadsignal.model.explanation import _columns_of
from leadsignal.model.provenance import Origin
from leadsignal.model.reasons import by_name, indicator_text, reason_text

AS_OF = "2024-01-01"

FULL = """
[[metric]]
name = "exports_per_report"
measure = "ratio"
behavior = ["exported", "printed"]
per_behavior = "opened"
within = "90d"
expected_sign = 1
why = "reports that are read are exported"

[[metric]]
name = "exports_per_user"
measure = "rate"
behavior = "exported"
per = "user"
within = "90d"

[[metric]]
name = "exports_per_arr"
measure = "rate"
behavior = "exported"
per = "arr"
within = "90d"

[[metric]]
name = "exports_per_seat"
measure = "rate"
behavior = "exported"
per = "seats"
within = "90d"

[[metric]]
name = "export_change"
measure = "change"
behavior = "exported"
within = "30d"
before = "60d"

[[metric]]
name = "last_export"
measure = "days since"
behavior = "exported"
expected_sign = -1

[[metric]]
name = "early_export"
measure = "first by"
behavior = "exported"
by_day = "30d"
"""


def test_everything_that_a_metric_can_say() -> None:
    analysis = SuccessAnalysis.from_toml(FULL)
    assert analysis.processes == ()
    assert {metric.measure for metric in analysis.metrics} == set(KEYS_OF)
    ratio, user, _, seat, change, since, early = analysis.metrics
    assert ratio == BehaviorMetric(
        "exports_per_report",
        "ratio",
        ("exported", "printed"),
        per_behavior=("opened",),
        within=90,
        expected_sign=1,
        why="reports that are read are exported",
    )
    assert (user.per, seat.per, since.expected_sign, early.by_day) == ("user", "seats", -1, 30)
    assert (change.within, change.before, change.expected_sign) == (30, 60, 0)


def test_metrics_are_shown_and_read_back() -> None:
    analysis = SuccessAnalysis.from_toml(FULL)
    assert SuccessAnalysis.from_toml(analysis.to_toml()) == analysis
    lines = repr(analysis).splitlines()
    assert "  exports_per_report: exported or printed per opened in 90 days" in lines
    assert "  early_export: exported in the first 30 days" in lines
    shown = analysis._repr_html_()
    assert ">last_export</td>" in shown
    assert ">days since the last exported</td>" in shown
    assert analysis.to_dict()["metrics"][4]["before"] == 60


def test_differences_name_the_metrics() -> None:
    one = SuccessAnalysis.from_toml(FULL)
    ratio, user, *others = one.metrics
    changed = (replace(ratio, within=30), replace(others[0], why="another text"), *others[1:])
    other = replace(one, metrics=(*changed, BehaviorMetric("added", "days since", ("opened",))))
    assert one.differences(other) == (
        "metric exports_per_user is missing",
        "metric added is new",
        "metric exports_per_report has other rules",
    )
    assert one.differences(replace(one, metrics=(replace(ratio, why=""), user, *others))) == ()


METRIC = '[[metric]]\nname = "m"\nbehavior = "b"\nmeasure = "ratio"\n'
RATIO = METRIC + 'per_behavior = "c"\nwithin = "30d"\n'
CHANGE = METRIC.replace("ratio", "change") + 'within = "30d"\n'


@pytest.mark.parametrize(
    ("text", "line", "problem", "remedy"),
    [
        ("metric = 3\n", 1, "must be a list of sections", "[[metric]]"),
        ("metric = [3]\n", 1, "must be a section", ""),
        (METRIC, 1, "has no per_behavior", "Add per_behavior"),
        (METRIC, 1, "has no within", "Add within"),
        ('[[metric]]\nname = "m"\n', 1, "has no measure", "Add measure"),
        (RATIO.replace('"m"', '"My metric"'), 2, "cannot be used as a column name", "letters"),
        (RATIO.replace('"b"', "[]"), 3, "names no behaviour", "Name at least one"),
        (RATIO.replace('"c"', "[]"), 5, "names no behaviour", "Name at least one"),
        (RATIO.replace('"ratio"', '"ratios"'), 4, "is not allowed", "Did you mean 'ratio'?"),
        (RATIO.replace('"ratio"', '"x"'), 4, "is not allowed", "rate, change, days since, first"),
        (RATIO + 'by_day = "30d"\n', 7, "does not belong to the measure 'ratio'", "per_behavior"),
        (METRIC.replace("ratio", "days since") + 'per = "user"\n', 5, "does not belong", "none"),
        (RATIO + "expected_sign = 2\n", 7, "must be 1, -1 or 0", "Write 1"),
        (RATIO + "expected_sign = true\n", 7, "must be 1, -1 or 0", "Write 1"),
        (RATIO.replace('"30d"', "30"), 6, "must be a duration", "28d"),
        (CHANGE + 'before = "29d"\n', 6, "is shorter than within", "at least as many"),
        (RATIO + 'applies_to = { a = ["b"] }\n', 7, "is not a known key", ""),
        (RATIO + RATIO, 8, "names two metrics", "its own name"),
    ],
)
def test_metrics_that_are_refused(text: str, line: int, problem: str, remedy: str) -> None:
    with pytest.raises(ls.SuccessAnalysisError) as caught:
        SuccessAnalysis.from_toml(text, "success.toml")
    found = [fault for fault in caught.value.faults if problem in fault.problem]
    assert [fault.line for fault in found] == [line]
    assert remedy in found[0].remedy


def test_all_faults_are_listed_at_once() -> None:
    text = RATIO.replace('"30d"', "30").replace('"m"', '"M"') + "expected_sign = 5\n" + METRIC
    with pytest.raises(ls.SuccessAnalysisError) as caught:
        SuccessAnalysis.from_toml(text)
    assert [fault.line for fault in caught.value.faults] == [2, 6, 7, 8, 8]


# Values by hand -----------------------------------------------------------------------------------

Event = tuple[str, str, str, float]


def tables(
    events: Sequence[Event],
    *,
    start: str = "2023-01-01",
    recorded: Mapping[int, str] | None = None,
    complete_from: str | None = "2023-01-01",
) -> ls.Tables:
    """One account, and its events of (day, behaviour, user, quantity)."""
    account = {"account_id": ["a"], "started_on": [start], "arr": ["1000"], "seats": ["4"]}
    rows = [{"account_id": "a", "occurred_at": d, "behavior": b, "user_id": u, "quantity": str(q)}
            for d, b, u, q in events]  # fmt: skip
    behaviors = pd.DataFrame(rows)
    if recorded is not None:
        behaviors["recorded_at"] = [recorded.get(n, day) for n, (day, *_) in enumerate(events)]
    frames = {"accounts": pd.DataFrame(account), "behaviors": behaviors}
    options = {"behaviors": {"complete_from": complete_from}} if complete_from else None
    kinds = {"seats": "number"}
    return ls.read_tables(frames, as_of=AS_OF, attributes=kinds, options=options)


def values(read: ls.Tables, toml: str, day: str = AS_OF, every: str = "1d") -> dict[str, Any]:
    """The metrics of the account on a day, without their prefix."""
    frame = ls.build_panel(read, SuccessAnalysis.from_toml(toml), every=every).frame
    row = frame[frame["snapshot_on"] == day].iloc[0]
    names = [str(name) for name in frame if str(name).startswith("metric_")]
    return {name.removeprefix("metric_"): row[name] for name in names}


EVENTS: list[Event] = [
    ("2023-01-20", "exported", "u1", 1),
    ("2023-10-02", "exported", "u1", 64),
    ("2023-10-03", "exported", "u1", 3),
    ("2023-11-05", "printed", "u1", 2),
    ("2023-11-05", "opened", "u1", 8),
    ("2023-12-01", "exported", "u2", 1),
    ("2023-12-02", "exported", "u3", 2),
    ("2023-12-22", "exported", "u1", 2),
]
"""The last 90 days begin on 3 October, the last 30 on 2 December."""


def test_every_measure_by_hand() -> None:
    """Exports since 3 October: 3 + 1 + 2 + 2 = 8, by u1, u2 and u3; since 2 December: 4."""
    found = values(tables(EVENTS), FULL, every="28d")
    assert found["exports_per_report"] == (8 + 2) / 8
    assert found["exports_per_user"] == pytest.approx(8 / 3)
    assert found["exports_per_arr"] == 8 / 1000
    assert found["exports_per_seat"] == 8 / 4
    assert found["export_change"] == (4 / 30) / (4 / 60)
    assert found["last_export"] == 10
    assert found["early_export"] == 1


def test_a_divisor_of_zero_is_missing() -> None:
    only = [("2023-10-02", "opened", "u1", 1.0), ("2023-12-22", "exported", "u1", 2.0)]
    found = values(tables([*only, ("2023-12-22", "printed", "", 1.0)]), FULL, every="28d")
    assert pd.isna(found["exports_per_report"])
    assert pd.isna(found["export_change"])


EARLY = '[[metric]]\nname = "m"\nmeasure = "first by"\nbehavior = "exported"\nby_day = "30d"\n'
OTHER: Event = ("2023-01-01", "opened", "u1", 1)


@pytest.mark.parametrize(
    ("event", "undecided", "first", "then"),
    [
        # The 30 days are 1 to 30 January; they have passed at the midnight of 31 January.
        ("2023-01-01", "2023-01-01", "2023-01-02", 1),
        ("2023-01-30", "2023-01-30", "2023-01-31", 1),
        ("2023-01-31", "2023-01-30", "2023-01-31", 0),
        ("2023-06-01", "2023-01-30", "2023-01-31", 0),
    ],
)
def test_first_by_is_missing_until_it_is_decided(
    event: str, undecided: str, first: str, then: int
) -> None:
    read = tables([OTHER, (event, "exported", "u1", 1)])
    assert pd.isna(values(read, EARLY, undecided)["m"])
    assert values(read, EARLY, first)["m"] == then
    assert values(read, EARLY)["m"] == then


def test_an_early_event_that_is_recorded_late_counts_from_that_day() -> None:
    events = [OTHER, ("2023-01-10", "exported", "u1", 1.0)]
    read = tables(events, recorded={1: "2023-03-05 12:00"})
    days = ["2023-01-20", "2023-01-31", "2023-03-05", "2023-03-06"]
    found = [values(read, EARLY, day)["m"] for day in days]
    assert pd.isna(found[0])
    assert found[1:] == [0, 0, 1]


@pytest.mark.parametrize(("start", "known"), [("2023-01-31", False), ("2023-02-01", True)])
def test_first_by_is_unknown_of_accounts_older_than_the_table(start: str, known: bool) -> None:
    read = tables([("2023-02-10", "exported", "u1", 1)], start=start, complete_from="2023-02-01")
    assert pd.notna(values(read, EARLY)["m"]) == known


def test_what_lies_before_the_start_as_first_recorded_is_not_early() -> None:
    """The account was recorded to start on 1 February; later its start was put on 1 January."""
    accounts = pd.DataFrame(
        {
            "account_id": ["a", "a"],
            "started_on": ["2023-02-01", "2023-01-01"],
            "recorded_at": ["2023-02-01 08:00", "2023-06-01 08:00"],
        }
    )
    behaviors = pd.DataFrame(
        {"account_id": ["a"], "occurred_at": ["2023-01-15"], "behavior": ["exported"]}
    )
    options = {"behaviors": {"complete_from": "2023-01-01"}}
    frames = {"accounts": accounts, "behaviors": behaviors}
    read = ls.read_tables(frames, as_of=AS_OF, options=options)
    assert values(read, EARLY, every="28d")["m"] == 0


# Where the analysis meets the tables --------------------------------------------------------------


def test_what_the_tables_do_not_have_is_refused_at_once() -> None:
    accounts = pd.DataFrame(
        {"account_id": ["a"], "started_on": ["2023-01-01"], "seat": ["4"], "segment": ["small"]}
    )
    behaviors = pd.DataFrame(
        {"account_id": ["a"], "occurred_at": ["2023-02-01"], "behavior": ["exported"]}
    )
    frames = {"accounts": accounts, "behaviors": behaviors}
    kinds = {"seat": "number", "segment": "text"}
    read = ls.read_tables(frames, as_of=AS_OF, attributes=kinds)
    rates = tuple(
        BehaviorMetric(f"per_{per}", "rate", ("exported",), per=per, within=30)
        for per in ("user", "arr", "seats", "segment")
    )
    with pytest.raises(ls.OptionError) as caught:
        ls.build_panel(read, SuccessAnalysis((), metrics=rates))
    for problem in (
        "metric per_user is per user, but behaviors has no user_id",
        "metric per_arr is per ARR, but accounts has no arr",
        "per seats, which is not a declared number attribute of accounts (did you mean 'seat'?)",
        "per segment, which is not a declared number attribute of accounts",
    ):
        assert problem in str(caught.value)


def test_without_behaviors_there_is_nothing_to_compute() -> None:
    accounts = pd.DataFrame({"account_id": ["a"], "started_on": ["2023-01-01"]})
    read = ls.read_tables({"accounts": accounts}, as_of=AS_OF)
    with pytest.raises(ls.OptionError, match="metrics of behaviours, but there is no behaviors"):
        ls.build_panel(read, SuccessAnalysis.from_toml(EARLY))


def test_behaviours_that_never_occur_are_refused_with_the_nearest_name() -> None:
    misspelt = RATIO.replace('"b"', '"export"').replace('"c"', '"openned"')
    with pytest.raises(ls.SuccessAnalysisError) as caught:
        ls.build_panel(tables(EVENTS), SuccessAnalysis.from_toml(misspelt))
    first, second = caught.value.faults
    assert (first.column, first.value, second.value) == ("metric m", "export", "openned")
    assert "Did you mean 'exported'?" in first.remedy
    assert "Did you mean 'opened'?" in second.remedy


def test_a_metric_and_an_attribute_of_one_name_are_refused() -> None:
    accounts = {"account_id": ["a"], "started_on": ["2023-01-01"], "metric_m": ["4"]}
    behaviors = {"account_id": ["a"], "occurred_at": ["2023-02-01"], "behavior": ["exported"]}
    frames = {"accounts": pd.DataFrame(accounts), "behaviors": pd.DataFrame(behaviors)}
    read = ls.read_tables(frames, as_of=AS_OF, attributes={"metric_m": "number"})
    with pytest.raises(ls.OptionError, match="two indicators are named metric_m"):
        ls.build_panel(read, SuccessAnalysis.from_toml(EARLY))


# Words and models ---------------------------------------------------------------------------------


def test_metrics_are_indicators_with_words() -> None:
    panel = ls.build_panel(tables(EVENTS), SuccessAnalysis.from_toml(FULL), every="90d")
    found = {one.name: one for one in panel.indicators if one.family == "metrics"}
    assert {one.role for one in found.values()} == {"leading"}
    assert found["metric_exports_per_report"].expected_sign == 1
    assert found["metric_last_export"].expected_sign == -1
    assert found["metric_exports_per_user"].expected_sign == 0

    def words(name: str, value: float | None, usual: float | None = None) -> str:
        return reason_text(name, value, found[name], usual)

    assert words("metric_exports_per_report", 0.5, 0.8) == (
        "exports per report in 90 days: 0.5, usually 0.8"
    )
    assert words("metric_exports_per_arr", None) == "exports per arr in 90 days: none known"
    assert words("metric_export_change", 0.25, 1.0) == "export change in 30 days: 0.25, usually 1"
    assert words("metric_last_export", 12.0, 3.0) == "12 days since the last exported, usually 3"
    assert words("metric_early_export", 0.0, 1.0) == "early export in the first 30 days: not done"
    assert words("metric_early_export", 1.0) == "early export in the first 30 days: done"
    assert words("metric_early_export", None) == "early export in the first 30 days: not known yet"
    assert indicator_text("metric_exports_per_seat", by_name(panel.indicators)) == (
        "exports per seat in the last 90 days"
    )


TRAINED = """\
[[metric]]
name = "reconciled_per_user"
measure = "rate"
behavior = "reconciliation_completed"
per = "user"
within = "90d"
expected_sign = 1

[[metric]]
name = "reconciled_early"
measure = "first by"
behavior = "reconciliation_completed"
by_day = "60d"
"""


def test_a_saved_model_with_metrics_scores_the_same_and_asks_for_behaviors(
    business_folder: Path, business: ls.Tables, tmp_path: Path
) -> None:
    analysis = SuccessAnalysis.from_toml(TRAINED)
    panel = ls.build_panel(business, analysis, every="60d")
    model = ls.ChurnModel(estimator="logistic").fit(panel)
    loaded = ls.load_model(ls.save_model(model, tmp_path / "model"))
    assert loaded.analysis_ == analysis
    read = loaded.features_
    assert {"metric_reconciled_per_user", "metric_reconciled_early"} <= set(read.names)
    assert read.expected_sign["metric_reconciled_per_user"] == 1
    before, after = (ls.score_accounts(one, business, effects={}).frame for one in (model, loaded))
    pd.testing.assert_frame_equal(before, after)
    other = ls.build_panel(business, SuccessAnalysis.from_toml(TRAINED.replace("60d", "90d")))
    with pytest.raises(ls.OptionError, match="metric reconciled_early has other rules"):
        ls.scoring.score_panel(loaded, other)
    shutil.copytree(business_folder, tmp_path / "less")
    (tmp_path / "less" / "behaviors.csv").unlink()
    with pytest.raises(ls.ModelError, match="metrics of behaviours, and there is no table"):
        ls.score_accounts(loaded, ls.read_tables(tmp_path / "less"), effects={})


def test_adopting_a_process_changes_the_metrics_of_its_behaviours() -> None:
    metrics = SuccessAnalysis.from_toml(FULL).metrics
    model = ls.ChurnModel()
    processes = (Process("reading", ("opened",), 1, 30), Process("other", ("met",), 1, 30))
    model.analysis_, model.origin_ = SuccessAnalysis(processes, metrics=metrics), Origin()
    assert _columns_of(model, "reading")["metrics"] == ("metric_exports_per_report",)
    assert _columns_of(model, "other")["metrics"] == ()
