"""Tables that would silently change the truth: each case with its right value."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cli import main
from leadsignal.config.project import Project
from leadsignal.config.success import SuccessAnalysis
from leadsignal.config.table_settings import TableSource
from leadsignal.errors import SuccessAnalysisError, TablesError
from leadsignal.ingestion import table_reader as door


def listed(text: str) -> pd.DataFrame:
    """A table written as lines of cells; "-" is an empty cell."""
    head, *rows = (line.split() for line in text.strip().splitlines())
    return pd.DataFrame(rows, columns=head).replace("-", None)


def told(tables: ls.Tables, word: str) -> list[str]:
    return [str(notice) for notice in tables.warnings if word in str(notice)]


# An end on the day of the start -------------------------------------------------------------------


def with_early_leavers() -> pd.DataFrame:
    """Ten by mail, three of whom leave on the first day; ten by phone, two of whom leave later."""
    started = pd.date_range("2022-03-01", periods=20, freq="D")
    ended = [started[k] if k < 3 else pd.NaT for k in range(20)]
    ended[11], ended[12] = started[11] + pd.Timedelta(days=90), started[12] + pd.Timedelta(days=30)
    return pd.DataFrame(
        {
            "account_id": [f"k{k:02d}" for k in range(20)],
            "started_on": started,
            "ended_on": ended,
            "way": ["mail"] * 10 + ["phone"] * 10,
        }
    )


def read_early() -> ls.Tables:
    return ls.read_tables(
        {"accounts": with_early_leavers()}, as_of="2023-09-01", attributes=["way"]
    )


def test_an_end_on_the_first_day_counts_in_cohorts() -> None:
    comparison = ls.compare_cohorts(read_early(), "way")
    assert sum(cohort.accounts for cohort in comparison.cohorts) == 20
    assert "mail: 10 accounts, 3 churns" in comparison.details
    assert "70 % there at 12 months" in comparison.details
    assert "3 accounts ended on the day of the start" in comparison.details


def test_an_end_on_the_first_day_counts_in_incidence_and_ends() -> None:
    panel = ls.build_panel(read_early())
    table = ls.model.cumulative_incidence(panel, by="way", horizons=["28d", "365d"]).to_frame()
    found = table[table["cause"] == "all churn"].set_index(["group", "days"])
    assert found["estimate"].to_dict() == pytest.approx(
        {("mail", 28): 0.3, ("mail", 365): 0.3, ("phone", 28): 0.0, ("phone", 365): 0.2}
    )
    assert found["ended"].to_dict() == {
        ("mail", 28): 3, ("mail", 365): 3, ("phone", 28): 0, ("phone", 365): 2
    }  # fmt: skip
    everybody = ls.model.cumulative_incidence(panel, horizons=["365d"]).to_frame()
    assert everybody["estimate"].iloc[-1] == pytest.approx(0.25)
    ends = ls.churn_events(panel)
    assert len(ends.frame) == len(ends.churned) == 5
    at_once = ends.frame[ends.frame["started_on"] == ends.frame["ended_on"]]
    assert set(at_once["verdict"]) == {"too young"}


def test_fit_by_counts_them_too() -> None:
    frame = ls.success_analysis.fit_by(read_early(), "way").frame.set_index("value")
    assert frame["accounts"].to_dict() == {"mail": 10, "phone": 10}
    assert frame["churned"].to_dict() == {"mail": 3, "phone": 2}


def test_the_panel_says_whom_it_cannot_use() -> None:
    tables = read_early()
    panel = ls.build_panel(tables)
    assert panel.frame["account_id"].nunique() == 17
    assert "3 that ended on the day of the start" in repr(panel)
    assert "3 that ended on the day of the start" in " ".join(panel.notes)
    assert ["3 accounts" in text for text in told(tables, "day they started")] == [True]
    earlier = panel.as_of("2022-03-02")
    assert earlier.ended_at_once is not None
    assert list(earlier.ended_at_once["account_id"]) == ["k00"]
    assert panel.as_of("2022-03-01").ended_at_once is None


def test_a_written_panel_says_so_as_well(tmp_path: Path) -> None:
    written = ls.write_panel(read_early(), None, tmp_path / "panel.parquet")
    assert "3 that ended on the day of the start" in str(written)


def test_who_had_ended_before_being_recorded_is_counted_apart() -> None:
    accounts = listed("""
        account_id started_on ended_on   recorded_at
        a          2023-01-05 2023-01-05 2023-01-05T10:00:00
        b          2023-01-05 2023-02-05 2023-03-01T10:00:00
        c          2023-01-05 -          2023-01-04T10:00:00
        d          2023-01-06 2023-01-06 2023-01-02T10:00:00
        """)
    panel = ls.build_panel(ls.read_tables({"accounts": accounts}, as_of="2023-06-01"))
    assert panel.ended_at_once is not None
    assert list(panel.ended_at_once["account_id"]) == ["d"]
    assert "2 that had ended before they were first seen" in repr(panel)


# The as-of date -----------------------------------------------------------------------------------

OLD_SURVEY = listed("""
    account_id answered_on score
    a          2021-05-02  8
    b          2021-09-30  6
    """)


def test_an_old_side_table_does_not_move_as_of_back() -> None:
    accounts = listed("""
        account_id started_on ended_on
        a          2021-02-10 2023-03-01
        b          2021-03-10 2023-04-01
        c          2022-05-10 -
        d          2023-04-20 -
        """)
    tables = ls.read_tables({"accounts": accounts, "surveys": OLD_SURVEY})
    assert tables.as_of_date == date(2023, 4, 21)
    assert tables.coverage["accounts"].rows == 4
    assert tables.frame("accounts")["ended_on"].notna().sum() == 2
    assert not tables.hidden


def test_the_day_an_end_was_known_is_the_fact() -> None:
    accounts = listed("""
        account_id started_on ended_on   end_known_on
        a          2021-02-10 2023-12-31 2023-04-01
        b          2021-03-10 2023-02-01 -
        """)
    assert ls.read_tables({"accounts": accounts}).as_of_date == date(2023, 4, 2)


def test_dates_after_the_day_of_the_run_are_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = listed("""
        account_id started_on ended_on
        a          2023-02-10 2023-06-01
        b          2023-03-10 2024-12-31
        c          2024-02-01 -
        """)
    monkeypatch.setattr(door, "day_of_the_run", lambda project: date(2023, 9, 1))
    tables = ls.read_tables({"accounts": accounts})
    assert tables.as_of_date == date(2023, 6, 2)
    assert [str(one) for one in tables.hidden] == [
        "accounts: 1 account not yet started on 2023-06-02: left out",
        "accounts: 1 end on or after 2023-06-02: treated as active",
    ]
    monkeypatch.setattr(door, "day_of_the_run", lambda project: date(2020, 1, 1))
    assert ls.read_tables({"accounts": accounts}).as_of_date == date(2025, 1, 1)


def versions() -> pd.DataFrame:
    return listed("""
        account_id started_on ended_on   recorded_at
        p          2018-05-02 2018-05-02 2018-05-02T09:00:00
        q          2016-03-11 -          2021-06-11T08:00:00
        q          2016-03-11 -          2021-07-15T08:00:00
        r          2016-04-13 -          2021-06-20T08:00:00
        """)


def test_as_of_respects_when_accounts_were_recorded() -> None:
    tables = ls.read_tables({"accounts": versions()})
    assert tables.as_of_date == date(2021, 7, 16)
    assert tables.coverage["accounts"].rows == 3
    past = tables.as_of("2021-06-15")
    assert past.coverage["accounts"].rows == 2
    assert [str(one) for one in past.hidden] == [
        "accounts: 1 account recorded only on or after 2021-06-15: left out"
    ]


def test_an_end_that_was_recorded_late_is_counted_as_hidden() -> None:
    accounts = listed("""
        account_id started_on ended_on   recorded_at
        q          2020-03-11 -          2020-03-11T08:00:00
        q          2020-03-11 2021-01-11 2021-02-15T08:00:00
        """)
    past = ls.read_tables({"accounts": accounts}).as_of("2021-02-01")
    assert [one.message for one in past.hidden] == [
        "1 end recorded only on or after 2021-02-01: treated as active"
    ]


def test_print_and_every_command_tell_what_is_hidden(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_early_leavers().to_csv(tmp_path / "accounts.csv", index=False)
    events = pd.DataFrame(
        {"account_id": "k19", "occurred_at": ["2022-04-01", "2022-04-20"], "behavior": "met"}
    )
    events.to_csv(tmp_path / "behaviors.csv", index=False)
    hidden = ("hidden: accounts: 2 ends on or after 2022-04-10: treated as active; "
              "behaviors: 1 row on or after 2022-04-10: left out")  # fmt: skip
    tables = ls.read_tables(tmp_path, as_of="2022-04-10")
    assert hidden in repr(tables)
    assert "1 row on or after 2022-04-10" in tables._repr_html_()
    panel = tmp_path / "panel.parquet"
    assert main(["panel", str(tmp_path), "--as-of", "2022-04-10", "--out", str(panel)]) == 0
    assert hidden in capsys.readouterr().err
    main(["check", str(tmp_path), "--as-of", "2022-04-10"])
    assert "1 row on or after 2022-04-10: left out" in capsys.readouterr().out


# Rows outside their account's life ----------------------------------------------------------------

ONE_LIFE = listed("""
    account_id started_on ended_on
    a          2024-02-15 2024-08-01
    b          2024-02-15 -
    """)
AROUND = listed("""
    account_id occurred_at behavior
    a          2024-02-14  tried
    a          2024-02-15  opened
    a          2024-08-01  exported
    a          2024-08-02  exported
    b          2024-02-01  tried
    """)


def read_around(outside: Any = "exclude", **options: Any) -> ls.Tables:
    project = Project(tables={"behaviors": TableSource(outside=outside)})
    frames = {"accounts": ONE_LIFE, "behaviors": AROUND}
    return ls.read_tables(frames, project=project, **options)


def test_rows_outside_a_life_are_left_out_counted_and_told_once() -> None:
    tables = read_around()
    assert tables.as_of("2024-09-01").coverage["behaviors"].rows == 2
    assert told(tables, "left out: ") == [
        "behaviors: 3 rows left out: 2 before the account's start, 1 after its end. To treat them"
        ' as faults, set outside = "fault" under [tables.behaviors]'
    ]


def test_they_are_faults_where_that_was_said() -> None:
    with pytest.raises(TablesError) as caught:
        read_around("fault")
    assert [fault.line for fault in caught.value.faults] == [1, 5, 4]
    dropped = read_around("fault", drop_bad_rows=True)
    assert dropped.dropped_rows == {"behaviors": 3}


def test_outside_is_read_from_the_project(tmp_path: Path) -> None:
    ONE_LIFE.to_csv(tmp_path / "accounts.csv", index=False)
    AROUND.to_csv(tmp_path / "behaviors.csv", index=False)
    settings = tmp_path / "leadsignal.toml"
    settings.write_text('[tables.behaviors]\noutside = "fault"\n')
    assert main(["check", str(tmp_path)]) == 2
    settings.write_text('[tables.behaviors]\noutside = "exclude"\n')
    assert main(["check", str(tmp_path)]) == 0
    settings.write_text('[tables.behaviors]\noutside = "keep"\n')
    with pytest.raises(ls.LeadsignalError, match="Allowed: exclude, fault"):
        ls.read_tables(tmp_path)


def test_unknown_accounts_are_faults_all_the_same() -> None:
    frames = {"accounts": ONE_LIFE, "behaviors": AROUND.assign(account_id="nobody")}
    with pytest.raises(TablesError, match="no such account"):
        ls.read_tables(frames)


# What a list of accounts may hide -----------------------------------------------------------------


def test_built_in_columns_that_give_ends_away() -> None:
    n = 60
    gone = np.arange(n) % 2 == 0
    started = pd.Timestamp("2021-01-01") + pd.to_timedelta(np.arange(n) * 9, unit="D")
    accounts = pd.DataFrame(
        {
            "account_id": [f"a{k}" for k in range(n)],
            "started_on": started,
            "ended_on": [day + pd.Timedelta(days=200) if g else pd.NaT
                         for day, g in zip(started, gone, strict=True)],
            "arr": np.where(gone, 0, 1000 + 10 * np.arange(n)),
            "term_months": [None if g else 12 for g in gone],
            "customer_id": [f"c{k // 2}" for k in range(n)],
        }
    )  # fmt: skip
    leaks = told(ls.read_tables({"accounts": accounts}, as_of="2024-01-01"), "reveals churn")
    assert [text.split("'")[1] for text in leaks] == ["arr", "term_months"]
    honest = accounts.assign(arr=1000, term_months=12)
    assert not told(ls.read_tables({"accounts": honest}, as_of="2024-01-01"), "reveals churn")


def test_ends_that_are_all_of_the_day_of_the_export(tmp_path: Path) -> None:
    accounts = listed("""
        account_id started_on ended_on
        a          2025-01-09 2025-11-20
        b          2024-03-07 2025-11-20
        c          2024-05-09 2025-11-20
        d          2024-02-12 2025-11-20
        e          2024-06-03 2025-03-18
        """)
    tables = ls.read_tables({"accounts": accounts})
    (text,) = told(tables, "are on 2025-11-20")
    assert "4 of 5 ends (80 %)" in text
    assert 'empty = ["2025-11-20"]' in text
    assert told(tables, "no account is active on 2025-11-21")
    accounts.to_csv(tmp_path / "accounts.csv", index=False)
    (tmp_path / "leadsignal.toml").write_text('[tables.accounts]\nempty = ["2025-11-20"]\n')
    cured = ls.read_tables(tmp_path)
    assert cured.frame("accounts")["ended_on"].notna().sum() == 1
    assert not told(cured, "are on")


def test_ends_of_many_days_are_nothing_odd() -> None:
    tables = read_early()
    assert not told(tables, " are on ")
    assert not told(tables, "no account is active")


def survivors(first: str) -> pd.DataFrame:
    """Fifty accounts a year of which a third leaves each year; those gone before ``first`` lack."""
    rng = np.random.default_rng(7)
    started = pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 2900, 400), unit="D")
    days = np.ceil(rng.exponential(900, 400))
    ended = started + pd.to_timedelta(days, unit="D")
    frame = pd.DataFrame({"started_on": started, "ended_on": ended})
    frame = frame[frame["ended_on"] >= first].reset_index(drop=True)
    frame["account_id"] = [f"s{k}" for k in range(len(frame))]
    frame.loc[frame["ended_on"] >= "2023-06-01", "ended_on"] = None
    return frame


def test_a_list_of_survivors_is_told() -> None:
    accounts = survivors("2021-01-01")
    (text,) = told(ls.read_tables({"accounts": accounts}, as_of="2023-06-01"), "none of them ended")
    first = accounts["ended_on"].min()
    before = (accounts["started_on"] < first).sum()
    assert text.startswith(f"accounts: {before} accounts started before {first.date()} and none")
    assert f"complete_from = {first.date()}" in text
    project = Project(tables={"accounts": TableSource(complete_from=first.date())})
    cured = ls.read_tables({"accounts": accounts}, project=project, as_of="2023-06-01")
    assert not told(cured, "none of them ended")


FEW_SURVIVORS = """
account_id started_on ended_on
A          2018-02-01 2022-03-01
B          2018-06-01 -
C          2019-01-01 2023-02-01
D          2019-05-01 2022-08-01
E          2019-09-01 -
F          2020-01-01 2023-06-01
G          2020-04-01 -
H          2020-11-01 2022-05-01
I          2021-03-01 2023-11-01
J          2021-10-01 -
K          2022-02-01 2022-09-01
L          2022-07-01 -
"""


def test_a_short_list_of_survivors_is_found() -> None:
    accounts = listed(FEW_SURVIVORS)
    (text,) = told(ls.read_tables({"accounts": accounts}, as_of="2024-01-01"), "none of them")
    assert text.startswith("accounts: 11 accounts started before 2022-03-01 and none of them ended")
    assert "complete_from = 2022-03-01" in text
    # With one more end in 2019 there is nothing to say.
    more = {"account_id": "M", "started_on": "2018-03-01", "ended_on": "2019-06-01"}
    whole = pd.concat([accounts, pd.DataFrame([more])])
    assert not told(ls.read_tables({"accounts": whole}, as_of="2024-01-01"), "none of them")


def test_a_table_that_is_much_older_than_the_others_is_found() -> None:
    accounts = pd.DataFrame({"account_id": list("abc"), "started_on": "2022-01-10"})
    surveys = pd.DataFrame(
        {"account_id": list("ab"), "answered_on": ["2022-03-01", "2022-06-30"], "score": 9}
    )
    frames = {"accounts": accounts, "surveys": surveys}
    (text,) = told(ls.read_tables(frames, as_of="2024-06-11"), "older than the others")
    assert text.startswith("surveys: its last record is of 2022-06-30, 712 days before 2024-06-11")
    assert not told(ls.read_tables(frames, as_of="2023-06-30"), "older than the others")


def test_a_list_of_accounts_older_than_the_events_is_found() -> None:
    started = pd.date_range("2020-01-06", periods=100, freq="7D")
    accounts = pd.DataFrame({"account_id": [f"k{n}" for n in range(100)], "started_on": started})
    used = pd.date_range("2022-01-03", "2024-01-01", freq="D")
    usage = pd.DataFrame({"account_id": "k1", "used_on": used, "amount": 1})
    tables = ls.read_tables({"accounts": accounts, "usage": usage})
    (text,) = told(tables, "older than the other tables")
    assert text.startswith("accounts: the last start or end is of 2021-11-29, 764 days before")
    assert not told(tables.as_of("2021-12-06"), "older than the other tables")


def test_a_whole_list_is_not() -> None:
    tables = ls.read_tables({"accounts": survivors("2015-01-01")}, as_of="2023-06-01")
    assert not told(tables, "none of them ended")


def test_terms_of_a_year_are_no_list_of_survivors() -> None:
    started = pd.date_range("2021-01-01", periods=300, freq="D")
    left = [day + pd.Timedelta(days=365) if k % 4 == 0 else pd.NaT
            for k, day in enumerate(started)]  # fmt: skip
    accounts = pd.DataFrame(
        {"account_id": [f"t{k}" for k in range(300)], "started_on": started, "ended_on": left}
    )
    tables = ls.read_tables({"accounts": accounts}, as_of="2023-06-01")
    assert not told(tables, "none of them ended")


# Money --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arr", [["EUR 7,000", "$9,000"], ["7,000 €", "CHF 9,000"]])
def test_several_currencies_in_one_column_are_a_fault(arr: list[str], tmp_path: Path) -> None:
    ONE_LIFE.assign(arr=arr).to_csv(tmp_path / "accounts.csv", index=False)
    (tmp_path / "leadsignal.toml").write_text('[tables.accounts]\ndecimal = "."\n')
    with pytest.raises(TablesError, match="amounts are in 2 currencies"):
        ls.read_tables(tmp_path)
    same = ONE_LIFE.assign(arr=["EUR 7,000", "9,000 €"])
    same.to_csv(tmp_path / "accounts.csv", index=False)
    assert ls.read_tables(tmp_path).frame("accounts")["arr"].astype(float).sum() == 16000


@pytest.mark.parametrize("column", ["currency", "CurrencyIsoCode"])
@pytest.mark.parametrize("attributes", [True, False])
def test_a_column_of_several_currencies_is_a_fault(column: str, attributes: bool) -> None:
    accounts = ONE_LIFE.assign(arr=[7000, 9000], **{column: ["EUR", "JPY"]})
    options: dict[str, Any] = {"attributes": [column]} if attributes else {}
    with pytest.raises(TablesError) as caught:
        ls.read_tables({"accounts": accounts}, **options)
    (fault,) = caught.value.faults
    assert (fault.column, fault.value, fault.line) == (column, "JPY", 2)
    assert "EUR in 1 row, JPY in 1 row" in fault.problem
    accounts[column] = ["EUR", "eur "]
    assert ls.read_tables({"accounts": accounts}, **options).coverage["accounts"].rows == 2
    without = accounts.drop(columns="arr").assign(**{column: ["EUR", "JPY"]})
    assert ls.read_tables({"accounts": without}, **options).coverage["accounts"].rows == 2


def test_arr_that_is_known_of_some_accounts_only() -> None:
    accounts = listed("""
        account_id started_on ended_on   arr
        a          2022-02-10 -          500
        b          2022-02-10 2022-08-10 -
        c          2022-02-10 -          700
        d          2022-02-10 2022-08-12 -
        """)
    tables = ls.read_tables({"accounts": accounts}, as_of="2023-01-05")
    assert "ARR is known for 2 of 4 accounts, 0 of 2 that left" in told(tables, "ARR")[0]
    table = ls.churn.retention_table(tables)
    total = table.total().set_index("period")
    assert total.loc["2022Q3", "logo"] == 0.5
    rates = total[["gross", "net"]].astype(float)
    assert rates.xs("2022Q3").isna().all()
    assert [*rates.xs("2022Q4")] == [1.0, 1.0]
    assert "ARR is known for 2 of 4 accounts, 0 of 2 that left (2022Q3)" in repr(table)
    assert "nan" not in repr(table) + table._repr_html_().lower()


def test_churn_events_say_of_how_many_arr_is_known() -> None:
    accounts = listed("""
        account_id started_on ended_on   arr
        a          2022-02-10 2022-07-10 500
        b          2022-02-10 2022-08-10 -
        c          2022-02-10 -          700
        """)
    ends = ls.churn_events(
        ls.build_panel(ls.read_tables({"accounts": accounts}, as_of="2023-01-05"))
    )
    assert "ARR is known for 1 of 2; sums leave the others out" in repr(ends)


def test_one_convention_for_the_first_day_of_a_quarter() -> None:
    accounts = listed("""
        account_id started_on ended_on   arr
        x          2023-02-15 2024-01-01 1200
        y          2024-01-01 -          600
        z          2023-02-15 -          100.10
        """)
    changes = listed("""
        account_id changed_at kind      arr_delta
        z          2024-01-01 expansion 50.05
        """)
    frames = {"accounts": accounts, "contract_changes": changes}
    tables = ls.read_tables(frames, as_of="2024-07-05")
    total = ls.churn.retention_table(tables).total().set_index("period")
    closing, opening = total["closing_arr"], total["opening_arr"]
    assert closing["2023Q4"] == opening["2024Q1"] == 1300.10
    assert closing["2024Q1"] == opening["2024Q2"] == 750.15
    row = total.loc["2024Q1"]
    moved = [row[f"{name}_arr"] for name in ("new", "expansion", "churned", "reduction")]
    assert moved == pytest.approx([600, 50.05, 1200, 0])
    by_quarter = ls.churn_events(ls.build_panel(tables)).by_quarter()
    assert [str(quarter) for quarter in by_quarter.index] == ["2024Q1"]


def test_closing_arr_is_arr_on_the_last_day_of_the_quarter() -> None:
    rng = np.random.default_rng(3)
    firsts = pd.date_range("2022-01-01", "2023-10-01", freq="QS")
    days = np.concatenate([firsts, firsts - pd.Timedelta(days=1), firsts + pd.Timedelta(days=9)])
    started, ended = (pd.Series(rng.choice(days, 60)) for _ in range(2))
    accounts = pd.DataFrame(
        {
            "account_id": [f"a{k}" for k in range(60)],
            "started_on": started,
            "ended_on": ended.where(ended >= started),
            "arr": rng.integers(1, 10**6, 60) / 100,
        }
    )
    total = ls.churn.retention_table(
        ls.read_tables({"accounts": accounts}, as_of="2024-01-01")
    ).total()
    row: Any
    for row in total.itertuples():
        day = pd.Timestamp(row.period.end_time.date())
        there = (started <= day) & ~(accounts["ended_on"] <= day)
        assert row.closing_arr == pytest.approx(accounts["arr"][there].sum(), abs=0.001)
    assert total["opening_arr"].iloc[1:].tolist() == total["closing_arr"].iloc[:-1].tolist()
    assert total["accounts"].iloc[1:].tolist() == (
        (total["stayed"] + total["new"]).iloc[:-1].tolist()
    )


# Names of the analysis that match nothing ---------------------------------------------------------

TYPO = """
[bullseye]
success_metric = "days_to_clos"
[[process]]
name = "close"
behavior = "exprted"
at_least = 1
within = "30d"
applies_to = { size = ["large"] }
"""


def with_results() -> dict[str, pd.DataFrame]:
    return {
        "accounts": ONE_LIFE.assign(size=["big", "small"]),
        "behaviors": AROUND,
        "results": listed("""
            account_id measured_on value metric
            a          2024-03-01  5     days_to_close
            """),
    }


def test_names_that_match_nothing_are_faults_that_name_the_closest() -> None:
    tables = ls.read_tables(with_results(), attributes=["size"])
    analysis = SuccessAnalysis.from_toml(TYPO, "success.toml")
    with pytest.raises(SuccessAnalysisError) as caught:
        ls.build_panel(tables, analysis)
    assert [fault.value for fault in caught.value.faults] == ["exprted", "days_to_clos", "large"]
    said = str(caught.value)
    assert "process close: occurs in no row of behaviors.behavior (given: 'exprted')" in said
    assert "Did you mean 'exported'?" in said
    assert "Did you mean 'days_to_close'?" in said
    assert "There are big, small" in said
    for ask in (
        ls.panel.adoption_episodes,
        ls.success_analysis.most_successful,
        ls.success_analysis.adoption_table,
        ls.success_analysis.unattended_accounts,
    ):
        with pytest.raises(SuccessAnalysisError):
            ask(tables, analysis)
    with pytest.raises(SuccessAnalysisError):
        ls.compare_cohorts(tables, "close", analysis)


def test_check_finds_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, frame in with_results().items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "leadsignal.toml").write_text('[tables.accounts]\nattributes = ["size"]\n')
    (tmp_path / "success.toml").write_text(TYPO)
    assert main(["check", str(tmp_path)]) == 2
    assert "Did you mean 'exported'?" in capsys.readouterr().err
    right = TYPO.replace("exprted", "exported").replace("_clos", "_close").replace("large", "big")
    (tmp_path / "success.toml").write_text(right)
    assert main(["check", str(tmp_path)]) == 0


def test_a_behaviour_that_comes_later_is_no_typo() -> None:
    tables = ls.read_tables(with_results(), attributes=["size"])
    analysis = SuccessAnalysis.from_toml(
        '[[process]]\nname = "p"\nbehavior = "exported"\nat_least = 1\nwithin = "30d"\n'
    )
    assert len(ls.build_panel(tables.as_of("2024-03-01"), analysis).frame)


def test_of_several_behaviours_only_a_misspelt_one_is_a_fault() -> None:
    tables = ls.read_tables(with_results(), attributes=["size"])
    text = '[[process]]\nname = "p"\nbehavior = ["opened", "{}"]\nat_least = 1\nwithin = "30d"\n'
    assert len(ls.build_panel(tables, SuccessAnalysis.from_toml(text.format("never"))).frame)
    with pytest.raises(SuccessAnalysisError, match="Did you mean 'exported'"):
        ls.build_panel(tables, SuccessAnalysis.from_toml(text.format("exportet")))
