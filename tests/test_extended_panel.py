"""A panel built on an earlier one: the same to the byte as one built at once, or refused.

More random tables than these: benchmarks/panel_reference.py --since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import leadsignal as ls
from contract_rows import BEGIN, random_contracts
from extended import as_exported_on, before_corrections, case_of, differences, differing
from leadsignal.cli import main
from leadsignal.config.project import Project
from leadsignal.config.success import Process, SuccessAnalysis
from leadsignal.engine.past import Past
from leadsignal.panel import Panel, sample_panel
from leadsignal.tables import Tables, read_tables

LAST = date(2025, 1, 20)


@pytest.mark.parametrize("seed", range(15))
def test_random_tables_cut_at_an_earlier_midnight(seed: int) -> None:
    assert differences(seed) == []


@pytest.mark.parametrize("seed", range(20, 26))
def test_random_tables_to_which_rows_were_added(seed: int) -> None:
    assert differences(seed, as_exported_on) == []


@pytest.mark.parametrize("seed", range(30, 38))
def test_random_tables_whose_past_was_corrected(seed: int) -> None:
    assert differences(seed, before_corrections) == []


# A small business, and what may change in it ------------------------------------------------------


def small(**changed: list[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """Three accounts, one of which has ended, with a row of usage each ten days."""
    rows: dict[str, list[dict[str, Any]]] = {
        "accounts": [
            {"account_id": "a", "started_on": "2024-01-03", "ended_on": None, "arr": 100},
            {"account_id": "b", "started_on": "2024-02-01", "ended_on": "2024-08-20", "arr": 200},
            {"account_id": "c", "started_on": "2024-03-05", "ended_on": "2025-01-10", "arr": 300},
        ],
        "usage": [
            {"account_id": account, "used_on": str(day.date()), "amount": number}
            for account, first, last in (
                ("a", "2024-01-03", str(LAST)),
                ("c", "2024-03-05", "2025"),
            )
            for number, day in enumerate(pd.date_range(first, last, freq="10D"))
        ],
    }
    return {name: pd.DataFrame(listed) for name, listed in (rows | changed).items()}


def rows_of(frames: dict[str, pd.DataFrame], name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = frames[name].to_dict("records")  # type: ignore[assignment]
    return found


def read(as_of: date = LAST, **changed: list[dict[str, Any]]) -> Tables:
    return read_tables(small(**changed), as_of=as_of, project=Project(every=28))


@pytest.fixture
def since() -> Panel:
    return ls.build_panel(read(LAST - timedelta(days=7)))


def marked(since: Panel) -> Panel:
    """A panel of which every row tells that it is from it: a row that is made anew does not."""
    return replace(since, frame=since.frame.assign(arr=-1.0))


def made_anew(tables: Tables, since: Panel) -> dict[str, str]:
    """The first day of each account that was not taken from the earlier panel."""
    frame = ls.build_panel(tables, since=marked(since)).frame
    new = frame[frame["arr"] != -1]
    return {
        str(one): str(day.date())
        for one, day in new.groupby("account_id")["snapshot_on"].min().items()
    }


def test_only_the_last_rows_are_made_anew(since: Panel) -> None:
    assert made_anew(read(), since) == {"a": "2024-12-23", "c": "2024-12-23"}
    assert differing(ls.build_panel(read(), since=since), ls.build_panel(read())) == []


def test_outcomes_of_all_rows_are_those_known_now(since: Panel) -> None:
    frame = ls.build_panel(read(), since=since).frame
    mine = frame[frame["account_id"] == "c"]
    assert since.frame.loc[since.frame["account_id"] == "c", "ended_within"].notna().all()
    earlier = ls.build_panel(read(date(2025, 1, 6)))
    assert earlier.frame.loc[earlier.frame["account_id"] == "c", "ended_within"].isna().all()
    later = ls.build_panel(read(), since=earlier).frame
    pd.testing.assert_frame_equal(later, frame)
    assert mine["ended_within"].notna().all()


def test_a_changed_account_is_made_anew_from_its_start(since: Panel) -> None:
    accounts = rows_of(small(), "accounts")
    accounts[1]["arr"] = 201
    found = made_anew(read(accounts=accounts), since)
    assert found == {"a": "2024-12-23", "b": "2024-02-01", "c": "2024-12-23"}


def test_an_account_is_made_anew_from_the_day_on_which_its_rows_changed(since: Panel) -> None:
    usage = rows_of(small(), "usage")
    late = {"account_id": "c", "used_on": "2024-07-15", "amount": 3}
    tables = read(usage=[*usage, late])
    assert made_anew(tables, since) == {"a": "2024-12-23", "c": "2024-07-08"}
    assert differing(ls.build_panel(tables, since=since), ls.build_panel(tables)) == []


def test_accounts_that_were_added_and_taken_out(since: Panel) -> None:
    accounts = rows_of(small(), "accounts")
    new = {"account_id": "d", "started_on": "2024-05-01", "ended_on": None, "arr": 1}
    tables = read(accounts=[accounts[0], accounts[2], new])
    assert made_anew(tables, since) == {"a": "2024-12-23", "c": "2024-12-23", "d": "2024-05-01"}
    assert differing(ls.build_panel(tables, since=since), ls.build_panel(tables)) == []


def test_columns_that_no_row_rests_on_may_change(since: Panel) -> None:
    named = [{**row, "owner": "Ann"} for row in rows_of(small(), "accounts")]
    assert made_anew(read(accounts=named), since) == {"a": "2024-12-23", "c": "2024-12-23"}


@pytest.mark.parametrize(("then", "now"), [("2024-10-01", None), ("2024-12-01", "2025-01-19")])
def test_a_table_that_was_complete_through_another_day(then: str, now: str | None) -> None:
    def tables(as_of: date, through: str | None) -> Tables:
        days = {} if through is None else {"usage": date.fromisoformat(through)}
        return read(as_of).complete_through(days)

    since = ls.build_panel(tables(LAST - timedelta(days=7), then))
    assert (
        differing(ls.build_panel(tables(LAST, now), since=since), ls.build_panel(tables(LAST, now)))
        == []
    )


def test_an_end_that_is_recorded_late_takes_rows_away_and_one_that_is_taken_back_adds_them() -> (
    None
):
    def accounts(*ends: tuple[str, str | None]) -> list[dict[str, Any]]:
        return [
            {"account_id": account, "started_on": "2024-01-03", "ended_on": end, "recorded_at": at}
            for account in ("a", "c")
            for at, end in (("2024-01-03", None), *(ends if account == "c" else ()))
        ]

    told = accounts(("2025-01-15", "2024-06-01"))
    taken_back = accounts(("2024-06-02", "2024-06-01"), ("2025-01-15", None))
    usage = [row for row in rows_of(small(), "usage") if row["used_on"] < "2024-06"]
    for rows in (told, taken_back):
        since = ls.build_panel(read(LAST - timedelta(days=7), accounts=rows, usage=usage))
        tables = read(accounts=rows, usage=usage)
        assert len(since.frame) != len(ls.build_panel(tables).frame)
        assert differing(ls.build_panel(tables, since=since), ls.build_panel(tables)) == []


# What is refused ----------------------------------------------------------------------------------

CLOSED = {"account_id": "a", "occurred_at": "2024-03-01", "behavior": "closed"}
PROCESS = Process("p", ("closed",), 1, 30)
ANALYSIS = SuccessAnalysis((PROCESS,))
RECORDED = [{**row, "recorded_at": row["used_on"]} for row in rows_of(small(), "usage")]

REFUSALS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "other days": ({}, {"every": "7d"}, r"every \(28 days then, 7 days now\)"),
    "no process": ({}, {"analysis": None}, r"process p \(not there now\)"),
    "another process": (
        {},
        {"analysis": SuccessAnalysis((replace(PROCESS, at_least=2),))},
        r"process p \(declared differently\)",
    ),
    "another behaviour": (
        {"behaviors": [CLOSED, {**CLOSED, "behavior": "filed"}]},
        {},
        r"\(closed then, closed, filed now\).*2 more indicators.*\[behaviors\] keep",
    ),
    "another table": (
        {"tickets": [{"account_id": "a", "opened_at": "2024-03-01"}]},
        {},
        r"tables \(accounts, behaviors, usage then, accounts, behaviors, tickets, usage now\)",
    ),
    "an earlier first row": (
        {"behaviors": [CLOSED, {**CLOSED, "occurred_at": "2024-02-01"}]},
        {},
        r"first day of behaviors \(2024-03-01, assumed then, 2024-02-01, assumed now\)",
    ),
    "another column": (
        {"usage": RECORDED},
        {},
        r"recorded_at of usage \(not there then, there now\)",
    ),
    "earlier tables": (
        {"as_of": LAST - timedelta(days=8)},
        {},
        "is of 2025-01-13, after as_of 2025-01-12",
    ),
    "Spark": ({}, {"engine": "spark"}, "since is not there with the engine spark"),
}
"""Tables and options that no earlier panel is extended with, and what is said of them."""


@pytest.mark.parametrize("what", REFUSALS)
def test_other_settings_are_refused_with_what_they_are(what: str) -> None:
    tables, options, said = REFUSALS[what]
    since = ls.build_panel(read(LAST - timedelta(days=7), behaviors=[CLOSED]), ANALYSIS)
    now = read(**{"behaviors": [CLOSED], **tables})
    with pytest.raises(ls.OptionError, match=said):
        ls.build_panel(now, since=since, **{"analysis": ANALYSIS, **options})


def test_another_version_is_refused(since: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ls, "__version__", "99")
    with pytest.raises(ls.OptionError, match=r"version of leadsignal \(.* then, 99 now\)"):
        ls.build_panel(read(), since=since)


@pytest.mark.parametrize("part", ["snapshot", "narrowed", "as_of", "sample"])
def test_a_part_of_a_panel_is_refused(since: Panel, part: str) -> None:
    parts: dict[str, Callable[[], Panel]] = {
        "snapshot": since.snapshot,
        "narrowed": lambda: since.narrowed(since.names()[:3]),
        "as_of": lambda: since.as_of("2024-12-31"),
        "sample": lambda: sample_panel(read(), share=0.5),
    }
    with pytest.raises(ls.OptionError, match="cannot be extended: part of one"):
        ls.build_panel(read(), since=parts[part]())


def test_a_panel_whose_rows_are_not_all_there_once_is_refused(since: Panel) -> None:
    for rows in (since.frame.iloc[1:], pd.concat([since.frame, since.frame.iloc[:1]])):
        with pytest.raises(ls.OptionError, match="does not have the rows"):
            ls.build_panel(read(), since=replace(since, frame=rows))
    without = since.frame.drop(columns=since.names()[0])
    with pytest.raises(ls.OptionError, match=f"has no column {since.names()[0]}"):
        ls.build_panel(read(), since=replace(since, frame=without))


# Files --------------------------------------------------------------------------------------------


def test_a_file_is_extended_in_portions(tmp_path: Path) -> None:
    case = case_of(3)
    tables, (earlier, later, anew) = case.read(), [tmp_path / f"{n}.parquet" for n in range(3)]
    rows = sum(covered.rows for covered in tables.coverage.values())
    before = tables.as_of(case.as_of - timedelta(days=40))
    ls.write_panel(before, case.analysis, earlier, rows_at_once=rows // 4)
    written = ls.write_panel(tables, case.analysis, later, since=earlier, rows_at_once=rows // 3)
    expected = ls.write_panel(tables, case.analysis, anew)
    assert replace(written, path=anew) == expected
    assert pq.read_table(later).equals(pq.read_table(anew), check_metadata=True)
    again = ls.write_panel(tables, case.analysis, tmp_path / "again.parquet", since=later)
    assert pq.read_table(again.path).equals(pq.read_table(anew))


def test_what_the_past_was_is_read_as_it_was_written() -> None:
    past = ls.build_panel(read()).past
    assert past is not None
    assert Past.from_text(past.to_text()) == past


def test_files_that_cannot_be_extended_are_refused(since: Panel, tmp_path: Path) -> None:
    text, plain = tmp_path / "notes.txt", tmp_path / "plain.parquet"
    text.write_text("mine")
    since.frame.to_parquet(plain)
    said = {
        tmp_path / "none.parquet": r"none.parquet': no such file\. Name",
        text: "this is no Parquet file",
        plain: "does not say what its rows were made from",
    }
    for file, what in said.items():
        with pytest.raises(ls.OptionError, match=what):
            ls.write_panel(read(), None, tmp_path / "new.parquet", since=file)
    assert not (tmp_path / "new.parquet").exists()


def test_the_command_extends_a_file_and_never_replaces_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t").mkdir()
    for name, frame in small().items():
        frame.to_csv(tmp_path / "t" / f"{name}.csv", index=False)
    project, first, second = (str(tmp_path / name) for name in ("t", "1.parquet", "2.parquet"))
    assert main(["panel", project, "--out", first, "--as-of", "2025-01-13", "--every", "28d"]) == 0
    later = ["panel", project, "--as-of", str(LAST), "--every", "28d", "--since", first]
    assert main([*later, "--out", second]) == 0
    expected = ls.build_panel(read()).frame
    pd.testing.assert_frame_equal(pd.read_parquet(second), expected, check_dtype=False)
    before = Path(first).read_bytes()
    capsys.readouterr()
    assert main([*later, "--out", first]) == 2
    assert "input" in capsys.readouterr().err
    assert Path(first).read_bytes() == before


# Accounts that are derived from contracts, some of which vanish again -----------------------------


@pytest.mark.parametrize("seed", range(1, 16, 2))
def test_accounts_derived_from_contracts_that_were_corrected(seed: int) -> None:
    as_of, rng = BEGIN + timedelta(days=400), Random(seed)
    tables = read_tables({"contracts": pd.DataFrame(random_contracts(seed))}, as_of=as_of)
    expected = ls.build_panel(tables)
    for day in (as_of - timedelta(days=rng.randint(0, 350)) for _ in range(2)):
        since = ls.build_panel(tables.as_of(day))
        assert differing(ls.build_panel(tables, since=since), expected) == []


def test_a_version_of_an_account_that_vanished_since() -> None:
    """The first version stays where a later one vanishes, and says what the account was."""
    first = {
        "account_id": "v",
        "contract_id": "c1",
        "started_on": "2024-01-01",
        "trial_ends_on": "2024-01-15",
        "ended_on": None,
        "arr": 100,
        "recorded_at": "2024-01-01",
    }
    rows = [
        first,
        {**first, "arr": 200, "recorded_at": "2024-03-01"},
        {**first, "ended_on": "2024-01-10", "recorded_at": "2025-01-15"},
        {**first, "account_id": "w", "contract_id": "c2"},
    ]
    tables = read_tables({"contracts": pd.DataFrame(rows)}, as_of=LAST)
    since, expected = ls.build_panel(tables.as_of("2025-01-13")), ls.build_panel(tables)
    assert since.frame["arr"].max() == 200
    assert expected.frame["arr"].max() == 100
    assert differing(ls.build_panel(tables, since=since), expected) == []
