"""Cases small enough to count by hand: each edge day by itself, with the sum shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd
import pytest

from leadsignal.config.project import Project, UsageLow
from leadsignal.config.success import Process, SuccessAnalysis
from leadsignal.config.table_settings import TableSource
from leadsignal.errors import OptionError
from leadsignal.panel import adoption_episodes, build_panel
from leadsignal.tables import Tables, read_tables

START = "2024-01-01"  # A Monday on the grid of 7 days; day 0 below.
ACCOUNT = {"account_id": ["a"], "started_on": [START]}
WHOLE = date(2023, 1, 1)


def day(number: int) -> str:
    return str((pd.Timestamp(START) + pd.Timedelta(number, "D")).date())


def tables_of(as_of: int, accounts: Any = ACCOUNT, **frames: Any) -> Tables:
    """Tables that are complete from long ago, as of a number of days after the start."""
    given = {"accounts": accounts, **frames}
    sources = {name: TableSource(complete_from=WHOLE) for name in frames}
    project = Project(every=7, tables=sources, usage_low=UsageLow(7, 0.5, 14, 60))
    frames = {name: pd.DataFrame(frame) for name, frame in given.items()}
    return read_tables(frames, project=project, as_of=day(as_of))


def column(tables: Tables, name: str, analysis: SuccessAnalysis | None = None) -> dict[int, Any]:
    """An indicator by days since the start; missing is None."""
    frame = build_panel(tables, analysis).frame
    return {
        int(start): None if pd.isna(value) else value
        for start, value in zip(frame["start"], frame[name], strict=True)
    }


def behaviors(*rows: tuple[int, str, float], recorded: list[int] | None = None) -> dict[str, Any]:
    frame: dict[str, Any] = {
        "account_id": ["a"] * len(rows),
        "occurred_at": [day(row[0]) for row in rows],
        "behavior": ["x"] * len(rows),
        "user_id": [row[1] for row in rows],
        "quantity": [row[2] for row in rows],
    }
    if recorded:
        frame["recorded_at"] = [f"{day(number)} 12:00:00" for number in recorded]
    return frame


def test_rows_stand_on_entry_grid_and_as_of() -> None:
    # Started on a Wednesday: day 0 is entry; Mondays are days 5 and 12; as_of is day 13.
    accounts = {"account_id": ["a"], "started_on": ["2024-01-03"]}
    frame = build_panel(tables_of(15, accounts)).frame
    assert list(frame["start"]) == [0, 5, 12, 13]
    assert list(frame["stop"]) == [5, 12, 13, 13]
    frame = build_panel(tables_of(14, accounts)).frame  # As of a Monday, itself on the grid.
    assert list(frame["start"]) == [0, 5, 12]
    assert list(frame["days_observed"]) == [12, 7, 0]


def test_an_account_has_no_row_on_the_day_it_ends() -> None:
    # Ends on day 14, a snapshot: rows on 0 and 7, and the end belongs to (7, 14].
    accounts = {**ACCOUNT, "ended_on": [day(14)]}
    frame = build_panel(tables_of(30, accounts)).frame
    assert list(zip(frame["start"], frame["stop"], frame["event"], strict=True)) == [
        (0, 7, 0),
        (7, 14, 1),
    ]
    assert list(frame["ended_within"]) == [14, 7]
    # As of day 14 the end is not known: active, seen up to that day.
    frame = build_panel(tables_of(14, accounts)).frame
    assert list(frame["event"]) == [0, 0, 0]
    assert frame["ended_within"].isna().all()


def test_an_account_that_ends_on_its_first_day_has_no_row() -> None:
    assert build_panel(tables_of(30, {**ACCOUNT, "ended_on": [START]})).frame.empty


def test_notice_is_known_from_the_midnight_after_it() -> None:
    accounts = {**ACCOUNT, "ended_on": [day(40)], "end_known_on": [day(14)]}
    frame = build_panel(tables_of(30, accounts)).frame
    assert list(frame["notice_given"]) == [False, False, False, True, True, True]
    assert list(frame["known_within"]) == [14, 7, 0, -7, -14, -16]


def test_the_end_is_known_with_the_notice_or_the_end_whichever_is_first() -> None:
    accounts = {**ACCOUNT, "ended_on": [day(14)], "end_known_on": [day(20)]}
    assert list(build_panel(tables_of(30, accounts)).frame["known_within"]) == [14, 7]
    panel = build_panel(tables_of(30, {**accounts, "end_known_on": [None]}))
    assert list(panel.frame["known_within"]) == [14, 7]
    assert panel.as_of(day(14)).frame["known_within"].isna().all()


def test_a_window_holds_the_days_before_the_snapshot() -> None:
    # In [t - 30, t): day 0 counts at 7 to 28, and still at 30 (30 - 30 = 0), not at 35.
    events = behaviors((0, "u", 1), (7, "u", 2))
    found = column(tables_of(38, behaviors=events), "activity_events_30d")
    # Day 7 counts from 14 on, up to 37: at 35 it stands alone; at 38, 38 - 30 = 8 > 7.
    assert found == {0: 0, 7: 1, 14: 3, 21: 3, 28: 3, 35: 2, 38: 0}
    assert column(tables_of(30, behaviors=events), "activity_events_30d")[30] == 3
    assert column(tables_of(31, behaviors=events), "activity_events_30d")[31] == 2


def test_a_late_record_counts_from_the_midnight_after_it_was_made() -> None:
    # Day 1, recorded on day 14: counts at 21 and 28 (until 31). Recorded on 31: never.
    late = behaviors((1, "u", 1), recorded=[14])
    assert column(tables_of(36, behaviors=late), "activity_events_30d") == {
        0: 0, 7: 0, 14: 0, 21: 1, 28: 1, 35: 0, 36: 0,
    }  # fmt: skip
    too_late = behaviors((1, "u", 1), recorded=[31])
    assert set(column(tables_of(36, behaviors=too_late), "activity_events_30d").values()) == {0}


def test_users_are_counted_once_and_each_as_long_as_seen() -> None:
    # u: days 0 and 5, in windows of 30 up to day 35; v: day 10, up to 40; nobody: day 12.
    events = behaviors((0, "u", 1), (5, "u", 1), (5, "u", 1), (10, "v", 1), (12, None, 1))  # type: ignore[arg-type]
    found = column(tables_of(42, behaviors=events), "activity_users_30d")
    assert found == {0: 0, 7: 1, 14: 2, 21: 2, 28: 2, 35: 2, 42: 0}


def test_a_record_too_late_for_a_window_does_not_hide_a_timely_one() -> None:
    # Both recorded on day 31: day 1 is out of [32 - 30, 32) when it is known, day 20 is in.
    events = behaviors((1, "u", 1), (20, "u", 1), recorded=[31, 31])
    found = column(tables_of(56, behaviors=events), "activity_users_30d")
    assert found == {0: 0, 7: 0, 14: 0, 21: 0, 28: 0, 35: 1, 42: 1, 49: 1, 56: 0}


def test_the_same_in_episodes() -> None:
    events = behaviors((1, "u", 1), (20, "u", 1), (20, "v", 1), recorded=[31, 31, 31])
    pair = SuccessAnalysis((Process("pair", ("x",), 2, 30, by_users=2),))
    found = adoption_episodes(tables_of(60, behaviors=events), pair)
    # Known from the midnight of day 32; day 20 leaves [t - 30, t) on day 51.
    assert [str(d.date()) for d in (*found["adopted_on"], *found["lapsed_on"])] == [
        day(32),
        day(51),
    ]


def test_what_a_feed_has_not_seen_is_unknown() -> None:
    # First record on day 10: at 7 unknown; windows of 30 from 40 on; the latest from 11 on.
    given = {"accounts": pd.DataFrame(ACCOUNT), "behaviors": pd.DataFrame(behaviors((10, "u", 1)))}
    tables = read_tables(given, project=Project(every=7), as_of=day(45))
    found = column(tables, "activity_events_30d")
    assert found == {0: None, 7: None, 14: None, 21: None, 28: None, 35: None, 42: 0, 45: 0}


def test_on_the_day_of_the_first_record_nobody_has_seen_it() -> None:
    """An account starts on the day of the very first record: not zero, but unknown, that midnight.

    Were it zero, taking away a record of that day would change what was known before it.
    """
    given = {"accounts": pd.DataFrame(ACCOUNT), "behaviors": pd.DataFrame(behaviors((0, "u", 1)))}
    tables = read_tables(given, project=Project(every=7), as_of=day(9))
    assert column(tables, "activity_events_30d") == {0: None, 7: 1, 9: 1}
    said = tables_of(9, behaviors=behaviors((0, "u", 1)))
    assert column(said, "activity_events_30d") == {0: 0, 7: 1, 9: 1}


def test_after_complete_through_nothing_is_known() -> None:
    sources = {"behaviors": TableSource(complete_from=WHOLE, complete_through=date(2024, 1, 13))}
    given = {"accounts": pd.DataFrame(ACCOUNT), "behaviors": pd.DataFrame(behaviors((0, "u", 1)))}
    tables = read_tables(given, project=Project(every=7, tables=sources), as_of=day(14))
    # Complete through day 12, so known at 13 and no later; 14 is unknown.
    assert column(tables, "activity_events_30d") == {0: 0, 7: 1, 14: None}


def test_a_plan_without_a_target_date_is_never_overdue() -> None:
    plans = {
        "account_id": ["a", "a"],
        "agreed_on": [day(0), day(0)],
        "objective": ["grow", "save"],
        "target_on": [None, day(7)],
    }
    tables = tables_of(14, plans={**plans, "closed_on": [None, None]})
    assert column(tables, "plans_open") == {0: 0, 7: 2, 14: 2}
    assert column(tables, "plans_overdue") == {0: 0, 7: 0, 14: 1}


def test_a_ticket_is_open_until_the_midnight_after_it_was_closed() -> None:
    tickets = {"account_id": ["a"], "opened_at": [day(0)], "closed_at": [day(14)]}
    assert column(tables_of(21, tickets=tickets), "tickets_open") == {0: 0, 7: 1, 14: 1, 21: 0}


def test_a_moved_due_date_is_a_new_version() -> None:
    # Due on day 3; on day 10 it was moved to day 25: overdue at 7, not at 14 and 21, again at 28.
    rows = {
        "account_id": ["a", "a"],
        "agreed_on": [day(0), day(0)],
        "due_on": [day(3), day(25)],
        "action": ["train", "train"],
        "owner": ["vendor", "vendor"],
        "commitment_id": ["c", "c"],
        "completed_on": [None, None],
        "recorded_at": [f"{day(0)} 09:00:00", f"{day(10)} 09:00:00"],
    }
    found = column(tables_of(28, commitments=rows), "vendor_commitments_overdue")
    assert found == {0: 0, 7: 1, 14: 0, 21: 0, 28: 1}


def test_each_snapshot_reads_the_account_as_recorded_then() -> None:
    """Two versions make one account: the first gives its start, the second its end."""
    accounts = {
        "account_id": ["a", "a"],
        "started_on": [day(0), day(0)],
        "ended_on": [None, day(26)],
        "arr": [100, 200],
        "term_months": [1, 12],
        "recorded_at": [f"{day(2)} 09:00:00", f"{day(14)} 09:00:00"],
    }
    frame = build_panel(tables_of(40, accounts)).frame
    assert list(frame["start"]) == [3, 7, 14, 21]
    assert list(frame["arr"]) == [100, 100, 100, 200]
    assert list(frame["term_months"]) == [1, 1, 1, 12]
    assert list(frame["event"]) == [0, 0, 0, 1]


PROCESS = Process("p", ("x",), 2, 10, sustained_for=2, adopt_by=14)


@pytest.mark.parametrize("source", [{}, {"recorded": [0, 5, 10, 15]}])
def test_a_process_is_adopted_while_every_window_is_full(source: dict[str, Any]) -> None:
    # Days 0, 5, 10, 15 in windows of 10. At t the windows are [t-10, t) and [t-20, t-10).
    # t = 16: {10, 15} and {0, 5}: adopted. t = 20: {10, 15}, {0, 5}: the same. t = 21: [1, 11)
    # holds {5, 10}, [11, 21) only {15}: lapsed.
    events = behaviors((0, "u", 1), (5, "u", 1), (10, "u", 1), (15, "u", 1), **source)
    tables, analysis = tables_of(29, behaviors=events), SuccessAnalysis((PROCESS,))
    found = adoption_episodes(tables, analysis)
    assert [str(d.date()) for d in found["adopted_on"]] == [day(16)]
    assert [str(d.date()) for d in found["lapsed_on"]] == [day(21)]
    assert column(tables, "p_state", analysis) == {
        0: "pending", 7: "pending", 14: "overdue", 21: "lapsed", 28: "lapsed", 29: "lapsed",
    }  # fmt: skip
    assert column(tables, "p_days_in_state", analysis) == {0: 0, 7: 7, 14: 0, 21: 0, 28: 7, 29: 8}


def test_half_quantities_add_up_exactly() -> None:
    events = behaviors((0, "u", 0.1), (0, "v", 0.2), (1, "u", 0.7))
    analysis = SuccessAnalysis((Process("p", ("x",), 1, 7),))
    found = adoption_episodes(tables_of(9, behaviors=events), analysis)
    assert str(found["adopted_on"].item().date()) == day(2)  # 0.1 + 0.2 + 0.7 = 1 on day 2.
    assert str(found["lapsed_on"].item().date()) == day(8)  # Day 0 leaves [1, 8).


def test_renewal_of_a_month_end_is_on_the_last_day_of_shorter_months() -> None:
    # From 31 January by months: 29 February, 31 March (not 29), 30 April.
    accounts = {"account_id": ["a"], "started_on": ["2024-01-31"], "term_months": [1]}
    frame = build_panel(tables_of(100, accounts)).frame
    found = dict(zip(frame["snapshot_on"].astype(str), frame["days_to_renewal"], strict=True))
    assert found["2024-01-31"] == 29  # To 29 February.
    assert found["2024-02-26"] == 3
    assert found["2024-03-04"] == 27  # To 31 March.
    assert found["2024-04-01"] == 29  # To 30 April.


def test_usage_to_best_compares_means() -> None:
    # Ten a day on days 0 to 13: the best 14 days hold 140, a mean of 10. The week before day 21
    # holds 2 a day, so 14 / 7 over 140 / 14 is 2 / 10. Known from day 14 + 7 = 21 on.
    amounts = [10] * 14 + [2] * 7
    usage = {
        "account_id": ["a"] * 21,
        "used_on": [day(number) for number in range(21)],
        "amount": amounts,
    }
    tables = tables_of(21, usage=usage)
    assert column(tables, "usage_to_best") == {0: None, 7: None, 14: None, 21: 0.2}
    assert column(tables, "usage_low")[21] == 1


def usage_of_two(amounts: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    rows = [(day(d), a, name) for name, of in amounts.items() for d, a in enumerate(of)]
    frame = pd.DataFrame(rows, columns=["used_on", "amount", "series"])
    return {str(name): [*values] for name, values in frame.assign(account_id="a").items()}


def of_series(usage: dict[str, Any], *series: str) -> Tables:
    low = UsageLow(7, 0.5, 14, 60, series)
    project = Project(every=7, tables={"usage": TableSource(complete_from=WHOLE)}, usage_low=low)
    frames = {"accounts": pd.DataFrame(ACCOUNT), "usage": pd.DataFrame(usage)}
    return read_tables(frames, project=project, as_of=day(21))


def test_one_of_several_usage_series_that_is_low_is_enough() -> None:
    # API calls stay at 1000 a day and would drown logins, which fall from 10 a day to 2.
    usage = usage_of_two({"API calls": [1000] * 21, "logins": [10] * 14 + [2] * 7})
    tables = of_series(usage, "API calls", "logins")
    assert column(tables, "usage_to_best_api_calls")[21] == 1.0
    assert column(tables, "usage_to_best_logins")[21] == 0.2
    assert column(tables, "usage_to_best") == {0: None, 7: None, 14: None, 21: 0.2}
    assert column(tables, "usage_low")[21] == 1
    assert column(tables, "usage_amount_logins")[21] == 14


def test_a_series_that_an_account_never_used_is_not_low() -> None:
    tables = of_series(usage_of_two({"logins": [10] * 21}), "logins", "exports")
    assert column(tables, "usage_to_best_exports")[21] is None
    assert column(tables, "usage_low")[21] == 0
    (notice,) = [str(one) for one in tables.warnings if "exports" in str(one)]
    assert notice == "usage: holds no row of the series 'exports' that [usage_low] names"


def test_series_that_are_not_named_are_told() -> None:
    usage = usage_of_two({"API calls": [1000] * 21, "logins": [10] * 21})
    (added,) = [n.message for n in of_series(usage).warnings if "series" in n.message]
    assert added.startswith("holds 2 series, whose amounts are added up.")
    (left,) = [n.message for n in of_series(usage, "logins").warnings if "series" in n.message]
    assert left == "21 rows of series that [usage_low] does not name: not counted"


def test_series_without_their_column_are_refused() -> None:
    usage = {"account_id": ["a"], "used_on": [day(0)], "amount": [5]}
    with pytest.raises(OptionError, match="names series, but usage has no column series"):
        build_panel(of_series(usage, "logins"))


def test_a_year_too_short_for_a_best_stretch_leaves_it_unknown() -> None:
    usage = {"account_id": ["a"], "used_on": [day(0)], "amount": [5]}
    given = {"accounts": pd.DataFrame(ACCOUNT), "usage": pd.DataFrame(usage)}
    sources = {"usage": TableSource(complete_from=WHOLE)}
    project = Project(every=7, tables=sources, usage_low=UsageLow(28, 0.5, 84, 90))
    tables = read_tables(given, project=project, as_of=day(200))
    assert set(column(tables, "usage_to_best").values()) == {None}


def test_mean_gap_leaves_out_results_without_a_target_share() -> None:
    # Gaps: (110 - 100) / 100 = 0.1; none against a target of 0; (80 - 100) / 100 = -0.2.
    results = {
        "account_id": ["a"] * 3,
        "measured_on": [day(1), day(2), day(3)],
        "value": [110, 5, 80],
        "target": [100, 0, 100],
    }
    tables = tables_of(7, results=results)
    assert column(tables, "result_gap_90d")[7] == pytest.approx(-0.05)  # (0.1 - 0.2) / 2
    assert column(tables, "results_met_365d")[7] == pytest.approx(2 / 3)


def test_a_text_among_dated_numbers_is_missing() -> None:
    changes = {
        "account_id": ["a", "a"],
        "changed_on": [day(1), day(8)],
        "attribute": ["seats", "seats"],
        "value": ["7", "many"],
    }
    given = {
        "accounts": pd.DataFrame({**ACCOUNT, "seats": [5]}),
        "account_changes": pd.DataFrame(changes),
    }
    tables = read_tables(given, as_of=day(14), attributes={"seats": "number"})
    frame = build_panel(tables, every="7d").frame
    assert list(frame["seats"].fillna(-1)) == [5, 7, -1]


def test_the_term_may_be_named_among_the_attributes() -> None:
    accounts = pd.DataFrame({**ACCOUNT, "term_months": [12]})
    tables = read_tables({"accounts": accounts}, as_of=day(14), attributes=["term_months"])
    assert set(build_panel(tables).frame["term_months"]) == {12}


def test_a_late_record_counts_in_no_stretch_that_had_already_been_judged() -> None:
    # Ten a day on days 0 to 13, 19 a day on days 21 to 27, and 100 more for day 5, recorded on
    # day 25. The stretch [0, 14) is judged at 14 + 7 = 21 and stays 140. [5, 19) is judged at 26:
    # it holds 9 * 10 + 100 = 190 and is the best at 28: 19 a day over 190 / 14 is 1.4.
    days = [*range(14), *range(21, 28)]
    usage = {
        "account_id": ["a"] * 22,
        "used_on": [*map(day, days), day(5)],
        "amount": [10] * 14 + [19] * 7 + [100],
        "recorded_at": [f"{day(number)} 12:00:00" for number in (*days, 25)],
    }
    assert column(tables_of(28, usage=usage), "usage_to_best") == {
        0: None, 7: None, 14: None, 21: 0, 28: 1.4,
    }  # fmt: skip
