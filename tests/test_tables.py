from __future__ import annotations

import gc
import re
import subprocess
import sys
from datetime import date, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from bad_input_kinds import ACCOUNTS, BEHAVIORS, GOOD, PROJECT, write_good
from leadsignal.errors import OptionError, TablesError
from leadsignal.ingestion.check_report import Coverage
from leadsignal.tables import check_tables, read_tables

A = pd.DataFrame({"account_id": ["a", "b"], "started_on": ["2023-01-01", "2023-02-01"]})


def behaviors(days: Any, **more: Any) -> pd.DataFrame:
    return pd.DataFrame({"account_id": "a", "occurred_at": days, "behavior": "close", **more})


def rows(tables: Any, name: str, listed: str = "*") -> list[tuple[Any, ...]]:
    query = f"SELECT {listed} FROM ({tables.sql(name)}) ORDER BY ALL"
    found: list[tuple[Any, ...]] = tables.connection.cursor().execute(query).fetchall()
    return found


# What Tables says


def test_a_folder(tmp_path: Path) -> None:
    write_good(tmp_path)
    tables = read_tables(tmp_path)
    assert tables.names == ("accounts", "behaviors", "tickets", "commitments")
    assert tables.as_of_date == date(2023, 8, 2)  # the day after the last end
    assert tables.attributes == {"segment": "text"}
    assert tables.coverage["behaviors"] == Coverage(5, date(2023, 1, 5), None)
    assert tables.coverage["accounts"] == Coverage(3, None, None)
    assert tables.columns("tickets") == (
        "account_id",
        "opened_at",
        "ticket_id",
        "severity",
        "closed_at",
    )
    assert repr(tables).splitlines()[:3] == [
        "Tables as of 2023-08-02",
        "  accounts: 3 rows",
        "  behaviors: 5 rows, complete from 2023-01-05",
    ]
    assert re.search(">behaviors</td><td [^>]*>5</td>", tables._repr_html_())
    told = tables.to_dict()
    assert told["ok"] is True
    assert told["tables"] == {"accounts": 3, "behaviors": 5, "tickets": 2, "commitments": 2}
    assert told["faults"] == []


def test_coverage_looks_back_only(tmp_path: Path) -> None:
    write_good(tmp_path)
    settings = "[tables.tickets]\ncomplete_from = 2023-02-01\ncomplete_through = 2023-04-30\n"
    (tmp_path / "leadsignal.toml").write_text(PROJECT + settings)
    early = read_tables(tmp_path).as_of("2023-02-01")
    assert early.coverage["behaviors"] == Coverage(1, date(2023, 1, 5), None)
    assert early.coverage["commitments"] == Coverage(0, None, None)
    assert early.coverage["tickets"] == Coverage(0, date(2023, 2, 1), date(2023, 4, 30))


def test_names_that_are_not_there(tmp_path: Path) -> None:
    tables = read_tables({"accounts": A})
    with pytest.raises(OptionError, match="'usage' is not among these tables"):
        tables.sql("usage")
    with pytest.raises(OptionError, match=r"'acounts' is not a table.*'accounts'"):
        tables.frame("acounts")
    with pytest.raises(OptionError, match="must be a date"):
        tables.as_of("soon")
    with pytest.raises(OptionError, match="is not a source of tables"):
        read_tables(3)  # type: ignore[arg-type]


def test_as_of_comes_from_records_not_from_plans() -> None:
    plans = pd.DataFrame(
        {
            "account_id": ["a"],
            "agreed_on": ["2023-03-01"],
            "objective": ["x"],
            "target_on": ["2030-01-01"],
            "recorded_at": ["2023-03-04T10:00"],
        }
    )
    assert read_tables({"accounts": A}).as_of_date == date(2023, 2, 2)
    assert read_tables({"accounts": A, "plans": plans}).as_of_date == date(2023, 3, 5)
    assert read_tables({"accounts": A}, as_of="2024-01-01").as_of_date == date(2024, 1, 1)


def test_the_store_goes_with_the_last_tables() -> None:
    tables = read_tables({"accounts": A})
    folder = Path(tables._store.folder)
    later = tables.as_of("2024-01-01")
    del tables
    gc.collect()
    assert folder.exists()
    assert len(later.frame("accounts")) == 2
    del later
    gc.collect()
    assert not folder.exists()


def test_nothing_is_left_behind_by_a_process(tmp_path: Path) -> None:
    write_good(tmp_path)
    code = (
        "import leadsignal.tables as t\n"
        f"tables = t.read_tables({str(tmp_path)!r})\n"
        "frame = tables.frame('accounts')\n"
        "print(tables._store.folder)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    assert not Path(run.stdout.strip()).exists()


def test_memory_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADSIGNAL_MEMORY", "300MiB")
    tables = read_tables({"accounts": A})
    query = "SELECT current_setting('memory_limit')"
    assert tables.connection.cursor().execute(query).fetchall() == [("300.0 MiB",)]
    monkeypatch.setenv("LEADSIGNAL_MEMORY", "lots")
    with pytest.raises(OptionError, match="LEADSIGNAL_MEMORY = 'lots' is not a size"):
        read_tables({"accounts": A})


# Sources


@pytest.mark.parametrize("form", ["pandas", "arrow", "reader", "relation", "categories", "path"])
def test_frames_of_many_kinds(form: str, tmp_path: Path) -> None:
    frame = A.assign(seats=pd.Series([3, None], dtype=object))
    connection = duckdb.connect()
    given: Any = {
        "pandas": frame,
        "arrow": pa.Table.from_pandas(frame),
        "reader": pa.Table.from_pandas(frame).to_reader(),
        "relation": connection.from_df(frame),
        "categories": frame.astype({"account_id": "category"}),
        "path": tmp_path / "a.parquet",
    }[form]
    frame.to_parquet(tmp_path / "a.parquet")
    tables = read_tables({"accounts": given}, attributes=["seats"])
    assert tables.attributes == {"seats": "number"}
    listed = "account_id, started_on, seats"
    assert rows(tables, "accounts", listed) == [
        ("a", date(2023, 1, 1), 3.0),
        ("b", date(2023, 2, 1), None),
    ]
    connection.close()


def test_csv_parquet_parts_and_globs_hold_the_same(tmp_path: Path) -> None:
    write_good(tmp_path)
    expected = rows(read_tables(tmp_path), "behaviors")
    (tmp_path / "behaviors.csv").unlink()
    frame = pd.read_csv(StringIO(BEHAVIORS))
    frame["occurred_at"] = pd.to_datetime(frame["occurred_at"], format="ISO8601")
    parts = tmp_path / "behaviors"
    parts.mkdir()
    (parts / "_SUCCESS").touch()
    frame[:2].to_parquet(parts / "part-0.parquet")
    frame[2:].drop(columns="quantity").to_parquet(parts / "part-1.parquet")
    assert rows(read_tables(tmp_path), "behaviors") == expected
    parts.rename(tmp_path / "elsewhere")
    text = PROJECT + '[tables.behaviors]\npath = "else*/part-*.parquet"\n'
    (tmp_path / "leadsignal.toml").write_text(text)
    assert rows(read_tables(tmp_path), "behaviors") == expected


def test_faults_in_parts_name_the_part(tmp_path: Path) -> None:
    write_good(tmp_path)
    parts = tmp_path / "usage"
    parts.mkdir()
    (parts / "a.csv").write_text("account_id,used_on,amount\nA1,2023-02-01,1\nA1,2023-02-02,x\n")
    (parts / "b.csv").write_text("used_on,account_id,amount\n2023-02-01,A3,1\n2023-04-02,A3,y\n")
    with pytest.raises(TablesError) as caught:
        read_tables(tmp_path)
    places = [(fault.file, fault.line, fault.value) for fault in caught.value.faults]
    assert places == [("usage/a.csv", 3, "x"), ("usage/b.csv", 3, "y")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_however_the_file_is_written(delimiter: str, encoding: str, tmp_path: Path) -> None:
    newline = "\n" if delimiter in ",|" else "\r\n"
    text = "account_id,started_on,note\nA1,2023-01-01,Zürich\nA2,2023-02-01,\n"
    text = text.replace(",", delimiter).replace("\n", newline)
    (tmp_path / "accounts.csv").write_bytes(text.encode(encoding))
    tables = read_tables(tmp_path, attributes=["note"])
    assert rows(tables, "accounts", "account_id, note") == [("A1", "Zürich"), ("A2", None)]
    told = [notice.message for notice in tables.warnings if "cp1252" in notice.message]
    assert bool(told) == (encoding == "cp1252")


def test_mapping_by_argument_and_by_settings(tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_text("Id,Go-live,started_on\nA1,2023-01-01,2020-01-01\n")
    mapping = {"account_id": "Id", "started_on": "Go-live"}
    tables = read_tables(tmp_path, columns={"accounts": mapping})
    assert rows(tables, "accounts", "account_id, started_on") == [("A1", date(2023, 1, 1))]
    (tmp_path / "leadsignal.toml").write_text(
        '[tables.accounts]\ncolumns = { account_id = "Id", started_on = "Go-live" }\n'
    )
    assert rows(read_tables(tmp_path), "accounts") == rows(tables, "accounts")


def test_cells_are_trimmed_and_ids_stay_texts(tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_text(
        "account_id, started_on ,arr\n 007 , 2023-01-01 , 1e3 \n"
    )
    listed = "account_id, started_on, arr::VARCHAR"
    assert rows(read_tables(tmp_path), "accounts", listed) == [("007", date(2023, 1, 1), "1000.00")]


def test_numbers_as_ids_mean_the_same_in_every_source() -> None:
    accounts = pd.DataFrame({"account_id": [1, 2], "started_on": ["2023-01-01"] * 2})
    events = behaviors(["2023-01-02", "2023-01-03"]).assign(account_id=[1.0, 2.0])
    tables = read_tables({"accounts": accounts, "behaviors": events})
    assert rows(tables, "behaviors", "account_id") == [("1",), ("2",)]


def test_arguments_are_checked() -> None:
    with pytest.raises(OptionError, match=r"'acounts' is not known.*'accounts'"):
        read_tables({"accounts": A}, columns={"acounts": {"account_id": "Id"}})
    with pytest.raises(OptionError, match=r"'id' is not known"):
        read_tables({"accounts": A}, columns={"accounts": {"id": "Id"}})
    with pytest.raises(TablesError, match=r"'acounts'|acounts: is not a table"):
        read_tables({"accounts": A, "acounts": A})
    with pytest.raises(TablesError, match="usage: a list is not a frame"):
        read_tables({"accounts": A, "usage": []})
    assert read_tables({"accounts": A.assign(s="x")}, attributes="s").attributes == {"s": "text"}


# Time


def test_moments_become_local_days() -> None:
    times = ["2023-06-01T22:30:00Z", "2023-06-01 22:30:00.5+02:00", "2023-06-01T02:00:00-05"]
    frames = {"accounts": A, "behaviors": behaviors(times)}
    days = {
        zone: [
            day for (day,) in rows(read_tables(frames, timezone=zone), "behaviors", "occurred_at")
        ]
        for zone in ("UTC", "Europe/Berlin")
    }
    first, second = date(2023, 6, 1), date(2023, 6, 2)
    assert days == {"UTC": [first, first, first], "Europe/Berlin": [first, first, second]}


def test_typed_times_with_a_zone_become_local_too() -> None:
    times = pd.to_datetime(["2023-06-01T22:30:00Z"])
    tables = read_tables(
        {"accounts": A, "behaviors": behaviors(times, recorded_at=times)}, timezone="Europe/Berlin"
    )
    local = datetime(2023, 6, 2, 0, 30)
    assert rows(tables, "behaviors", "occurred_at, recorded_at") == [(local.date(), local)]


@pytest.mark.parametrize(
    "written",
    ["2023-06-01", "2023-06-01T10:00", "2023-06-01 10:00:00", "2023-06-01T10:00:00.123456789"],
)
def test_dates_that_are_read(written: str) -> None:
    tables = read_tables({"accounts": A, "behaviors": behaviors([written])})
    assert rows(tables, "behaviors", "occurred_at") == [(date(2023, 6, 1),)]


@pytest.mark.parametrize(
    "written",
    ["03/04/2023", "20230403", "3.4.2023", "45019", "April", "NaT", "x"],
)
def test_dates_that_are_not(written: str) -> None:
    report = check_tables({"accounts": A, "behaviors": behaviors([written])})
    (fault,) = report.faults
    assert (fault.line, fault.column, fault.value) == (1, "occurred_at", written)
    assert fault.problem.startswith(("is not a date", "is not read as a date"))


# Bad rows


def test_bad_rows_are_dropped_exactly_and_told(tmp_path: Path) -> None:
    write_good(tmp_path)
    bad = "A1,2023-02-30,close,u1,1\nA9,2023-03-01,close,u1,1\nA1,2023-03-01,close,u1,x\nA1\n"
    (tmp_path / "behaviors.csv").write_text(BEHAVIORS + bad)
    with pytest.raises(TablesError) as caught:
        read_tables(tmp_path)
    tables = read_tables(tmp_path, drop_bad_rows=True)
    assert tables.dropped == caught.value.faults
    assert sorted(str(fault.line) for fault in tables.dropped) == ["10", "7", "8", "9"]
    assert tables.dropped_rows == {"behaviors": 4}
    (tmp_path / "behaviors.csv").write_text(BEHAVIORS)
    assert rows(tables, "behaviors") == rows(read_tables(tmp_path), "behaviors")


def test_rows_of_a_dropped_account_go_with_it(tmp_path: Path) -> None:
    write_good(tmp_path)
    (tmp_path / "accounts.csv").write_text(ACCOUNTS.replace("2023-02-01", "soon"))
    report = check_tables(tmp_path)
    assert [(fault.file, fault.line) for fault in report.faults] == [("accounts.csv", 3)]
    tables = read_tables(tmp_path, drop_bad_rows=True)
    assert tables.dropped_rows == {"accounts": 1, "behaviors": 1, "tickets": 1}
    assert {fault.problem for fault in tables.dropped[1:]} == {
        "belongs to an account that is dropped"
    }
    assert rows(tables, "accounts", "account_id") == [("A1",), ("A3",)]


def test_structure_stops_even_when_rows_are_dropped(tmp_path: Path) -> None:
    write_good(tmp_path)
    (tmp_path / "tickets.csv").write_text("account_id\nA1\n")
    with pytest.raises(TablesError, match="opened_at: the column is missing"):
        read_tables(tmp_path, drop_bad_rows=True)


def test_many_faults_are_counted_and_the_first_are_listed() -> None:
    days = ["2023-13-01"] * 12_000 + ["2023-03-01"]
    with pytest.raises(TablesError) as caught:
        read_tables({"accounts": A, "behaviors": behaviors(days)})
    error = caught.value
    assert (error.count, len(error.faults)) == (12_000, 10_000)
    message = str(error)
    assert message.startswith("12,000 faults in the tables:")
    line = "behaviors: 12,000 rows, first in row 1: occurred_at: there is no such date"
    assert line in message
    assert len(message.splitlines()) == 2
    tables = read_tables({"accounts": A, "behaviors": behaviors(days)}, drop_bad_rows=True)
    assert tables.dropped_rows == {"behaviors": 12_000}
    assert len(rows(tables, "behaviors")) == 1


def test_a_version_may_repeat_a_key_but_not_change_hands() -> None:
    tickets = pd.DataFrame(
        {
            "account_id": ["a", "a", "b"],
            "opened_at": ["2023-03-01"] * 3,
            "ticket_id": ["t", "t", "u"],
            "recorded_at": ["2023-03-01", "2023-03-02", "2023-03-01"],
        }
    )
    assert check_tables({"accounts": A, "tickets": tickets}).ok
    tickets["ticket_id"] = "t"
    report = check_tables({"accounts": A, "tickets": tickets})
    assert [(fault.line, fault.problem) for fault in report.faults] == [
        (3, "belongs to another account too")
    ]


# Warnings


def warnings_of(frames: dict[str, pd.DataFrame], **options: Any) -> list[str]:
    return [str(notice) for notice in read_tables(frames, **options).warnings]


def test_a_feed_that_fell_silent() -> None:
    events = behaviors([f"2023-03-{day:02d}" for day in range(1, 31)])
    (told,) = [
        text
        for text in warnings_of({"accounts": A, "behaviors": events}, as_of="2023-06-01")
        if "last record" in text
    ]
    assert "its last record is of 2023-03-30, 63 days before 2023-06-01" in told
    assert not any(
        "last record" in text
        for text in warnings_of({"accounts": A, "behaviors": events}, as_of="2023-04-10")
    )


def test_rows_alike_and_empty_tables() -> None:
    usage = pd.DataFrame({"account_id": [], "used_on": [], "amount": []})
    frames = {"accounts": A, "behaviors": behaviors(["2023-03-01"] * 3), "usage": usage}
    told = warnings_of(frames)
    assert "behaviors: 2 rows repeat another in every column; all are counted" in told
    assert "usage: exists but has no rows" in told


def test_ends_and_starts_that_are_still_to_come() -> None:
    accounts = A.assign(ended_on=pd.Series(["2023-07-01", None], dtype=object))
    told = warnings_of({"accounts": accounts}, as_of="2023-01-15")
    assert "accounts: 1 account not yet started on 2023-01-15: left out" in told
    assert "accounts: 1 end on or after 2023-01-15: treated as active" in told


def test_attributes_that_give_ends_away() -> None:
    n = 100
    ended = [i % 2 == 0 for i in range(n)]
    accounts = pd.DataFrame(
        {
            "account_id": [f"a{i}" for i in range(n)],
            "started_on": "2023-01-01",
            "ended_on": ["2023-06-01" if gone else None for gone in ended],
            "seats": [0 if gone else 5 + i for i, gone in enumerate(ended)],
            "status": ["closed" if gone else "open" for gone in ended],
            "score": [i if gone else i + 1000 for i, gone in enumerate(ended)],
            "segment": [("mid", "small")[i % 3 == 0] for i in range(n)],
            "serial": [f"n{i}" for i in range(n)],
        }
    )
    names = ["seats", "status", "score", "segment", "serial"]
    told = warnings_of({"accounts": accounts}, attributes=names)
    leaks = [text for text in told if "attribute" in text]
    assert [text.split("'")[1] for text in leaks] == names[:3]
    assert "'seats' is empty or zero for 100 % of ended accounts and 0 % of the others" in leaks[0]


def test_columns_that_may_be_meant() -> None:
    tickets = pd.DataFrame(
        {"account_id": ["a"], "opened_at": ["2023-03-01"], "closed_on": ["2023-03-02"]}
    )
    told = warnings_of({"accounts": A, "tickets": tickets})
    assert any("column 'closed_on' is not read; if it is closed_at" in text for text in told)


def test_the_good_files_are_all_used(tmp_path: Path) -> None:
    write_good(tmp_path)
    assert {f"{name}.csv" for name in read_tables(tmp_path).names} == {
        name for name in GOOD if name.endswith(".csv")
    }


def test_order_of_rows_and_columns_never_matters(tmp_path: Path) -> None:
    write_good(tmp_path)
    first = read_tables(tmp_path)
    frames = {}
    for name in first.names:
        frame = pd.read_csv(tmp_path / f"{name}.csv", dtype=str).assign(zip="1", area="2")
        frames[name] = frame if name == "accounts" else frame.drop(columns=["zip", "area"])
    turned = {
        name: frame[frame.columns[::-1]].sample(frac=1, random_state=1)
        for name, frame in frames.items()
    }
    one, other = read_tables(frames), read_tables(turned)
    for name in first.names:
        pd.testing.assert_frame_equal(one.frame(name), other.frame(name))


def test_what_checking_found_is_told_in_sentences() -> None:
    accounts = pd.DataFrame({"account_id": ["a", "b"], "started_on": ["2024-01-01", "soon"]})
    told = repr(check_tables({"accounts": accounts}))
    assert told.splitlines()[0] == "Checked rows: accounts 2; 1 fault"
    assert "started_on: is not a date (given: 'soon')" in told
    fine = repr(check_tables({"accounts": accounts[:1]})).splitlines()
    assert fine[0] == "Checked rows: accounts 1; no faults"
    assert fine[1].startswith("  warning: accounts: there is no column ended_on")
