"""Rows chosen by where, users and queries; events sent twice; a month a column."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls

STRIPE = """customer,status,created,canceled_at,livemode,email
cus_1,active,2025-01-01,,true,a@x.com
cus_2,canceled,2024-06-15,2025-06-15,true,b@x.com
cus_3,trialing,2025-12-01,,true,c@x.com
cus_4,incomplete_expired,soon,,true,d@x.com
cus_5,active,2025-01-01,,false,qa@ourselves.com
"""
MAPPED = 'columns = { account_id = "customer", started_on = "created", ended_on = "canceled_at" }\n'
EVENTS = """name,time,distinct_id,properties,insert_id
plays,2020-08-01 10:16:46,9e30,"{""os"": ""Roku"",""user_id"": ""114521""}",pnre
plays,2020-08-01 10:16:46,9e30,"{""os"": ""Roku"",""user_id"": ""114521""}",pnre
stops,2020-08-02 10:16:46,9e30,"{""os"": ""Roku"",""user_id"": ""007""}",qqqq
"""
ACCOUNTS = "account_id,started_on,ended_on\nacme,2020-01-01,\nblue,2020-01-01,\n"


def put(folder: Path, toml: str = "", **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    (folder / "leadsignal.toml").write_text(toml, encoding="utf-8")
    return folder


def faults_of(source: Any, **options: Any) -> list[str]:
    return [str(fault) for fault in ls.check_tables(source, **options).faults]


def remarks(tables: ls.Tables) -> list[str]:
    return [str(one) for one in tables.warnings if one.kind == "reading"]


# where -------------------------------------------------------------------------------------------


def stripe(folder: Path, where: str) -> Path:
    return put(folder, f'[tables.accounts]\npath = "s.csv"\n{MAPPED}where = {where}\n', s=STRIPE)


def test_where_leaves_rows_out_and_says_how_many(tmp_path: Path) -> None:
    where = '{ status = ["active", "canceled"], livemode = ["true"] }'
    tables = ls.read_tables(stripe(tmp_path, where), as_of="2025-12-15")
    assert tables.frame("accounts")["account_id"].tolist() == ["cus_1", "cus_2"]
    assert remarks(tables) == ["accounts: 3 rows of 5 left out by where (status, livemode)"]
    assert tables.rows_read == {"accounts": 5}


def test_rows_that_are_left_out_are_not_checked_and_the_others_keep_their_lines(
    tmp_path: Path,
) -> None:
    where = '{ status = ["active", "incomplete_expired"], livemode = true }'
    (fault,) = faults_of(stripe(tmp_path, where))
    assert fault.startswith("s.csv:5: started_on: is not a date (given: 'soon')")


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ('{ status = ["activ"] }', "no row has this value.*'activ'.*Did you mean 'active'"),
        ('{ livemode = ["True", "maybe"] }', "no row has this value.*'True'.*Did you mean 'true'"),
        ('{ email = "" }', "no row has this value, which where names"),
        ("{ livemod = true }", "there is no column 'livemod', .*Did you mean 'livemode'"),
        ("{ status = [] }", "must be a list of values"),
        ("7", "must be a section"),
    ],
)
def test_what_where_does_not_find_is_a_fault(tmp_path: Path, where: str, told: str) -> None:
    import re

    try:
        faults = faults_of(stripe(tmp_path, where))
    except ls.ProjectError as error:
        faults = [str(error)]
    assert re.search(told, "\n".join(faults))


def test_an_empty_text_is_an_empty_cell(tmp_path: Path) -> None:
    tables = ls.read_tables(stripe(tmp_path, '{ canceled_at = "", status = "active" }'))
    assert tables.frame("accounts")["account_id"].tolist() == ["cus_1", "cus_5"]


def test_where_that_leaves_nothing(tmp_path: Path) -> None:
    where = '{ status = ["trialing"], livemode = ["false"] }'
    (fault,) = faults_of(stripe(tmp_path, where))
    assert "no row is left" in fault


@pytest.mark.parametrize("kind", ["csv", "jsonl", "xlsx", "parquet", "frame"])
def test_where_in_every_format(tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame(
        {
            "account_id": ["a", "b", "c", "d"],
            "started_on": ["2024-01-01", "2024-01-02", "soon", "2024-01-04"],
            "live": [True, True, False, True],
            "plan": [1, 2, 2, 2],
            "seats": [1.5, 2.0, None, 2.0],
        }
    )
    path = tmp_path / f"accounts.{kind}"
    writers: dict[str, Any] = {
        "csv": lambda: frame.to_csv(path, index=False),
        "jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        "xlsx": lambda: frame.to_excel(path, index=False),
        "parquet": lambda: frame.to_parquet(path),
        "frame": lambda: None,
    }
    writers[kind]()
    seats = "2.0" if kind == "csv" else "2"
    where = {"live": True, "plan": [2], "seats": [seats]}
    source = frame if kind == "frame" else path
    tables = ls.read_tables(
        {"accounts": source}, as_of="2025-01-01", options={"accounts": {"where": where}}
    )
    assert tables.frame("accounts")["account_id"].tolist() == ["b", "d"]
    assert remarks(tables) == ["accounts: 2 rows of 4 left out by where (live, plan, seats)"]


def test_where_over_thousands_of_rows_and_several_parts(tmp_path: Path) -> None:
    put(tmp_path, "", accounts=ACCOUNTS)
    (tmp_path / "usage").mkdir()
    for part in range(3):
        rows = "".join(
            f"acme,2023-01-01,{n},{'x' if n % 3 else 'y'}\n"
            for n in range(part * 5000, part * 5000 + 5000)
        )
        bad = rows.replace("acme,2023-01-01,7002,y", "acme,never,7002,y")
        (tmp_path / "usage" / f"{part}.csv").write_text(f"account_id,used_on,amount,kind\n{bad}")
    options = {"usage": {"where": {"kind": "x"}}}
    tables = ls.read_tables(tmp_path, options=options, as_of="2024-01-01")
    expected = sum(n for n in range(15_000) if n % 3)
    assert float(tables.frame("usage")["amount"].sum()) == expected
    assert "5,000 rows of 15,000 left out" in remarks(tables)[0]
    (fault,) = faults_of(tmp_path, options={"usage": {"where": {"kind": "y"}}})
    assert fault.startswith("usage/1.csv:2004: used_on: is not a date (given: 'never')")


# users and events --------------------------------------------------------------------------------


def test_users_give_the_account_of_a_row(tmp_path: Path) -> None:
    events = "user_id,account_id,occurred_at,behavior\n1,,2020-02-01,x\n2,,2020-02-01,x\n"
    events += "3,,2020-02-01,x\n3,,2020-02-02,x\n,blue,2020-02-03,x\n3,blue,2020-02-04,x\n"
    users = "user_id,account_id\n1,acme\n2,blue\n2,blue\n"
    toml = '[tables.behaviors]\nusers = "users.csv"\n'
    put(tmp_path, toml, accounts=ACCOUNTS, behaviors=events, users=users)
    tables = ls.read_tables(tmp_path)
    rows = tables.frame("behaviors").fillna({"user_id": "nobody"})
    assert rows[["account_id", "user_id"]].to_numpy().tolist() == [
        ["acme", "1"], ["blue", "2"], ["blue", "nobody"], ["blue", "3"],
    ]  # fmt: skip
    assert remarks(tables) == [
        "behaviors: 2 rows left out: 1 value of user_id not in users.csv, as '3'"
    ]
    assert "users.csv" not in tables.not_read


def test_users_of_tables_without_an_account_and_under_other_names(tmp_path: Path) -> None:
    tickets = "requester,opened_at\n7,2020-02-01\n8,2020-02-02\nx,2020-02-03\n"
    users = "id;company\n7;acme\n8;blue\n"
    toml = '[tables.tickets]\ncolumns = { user_id = "requester" }\n'
    toml += 'users = { path = "u.csv", columns = { user_id = "id", account_id = "company" } }\n'
    put(tmp_path, toml, accounts=ACCOUNTS, tickets=tickets, u=users)
    tables = ls.read_tables(tmp_path)
    assert tables.frame("tickets")["account_id"].tolist() == ["acme", "blue"]
    assert remarks(tables) == ["tickets: 1 row left out: 1 value of requester not in u.csv, as 'x'"]


def test_users_as_a_frame() -> None:
    frames = {
        "accounts": pd.DataFrame({"account_id": ["a"], "started_on": ["2020-01-01"]}),
        "surveys": pd.DataFrame({"user_id": [5, 6], "answered_on": ["2020-02-01"] * 2, "score": 9}),
    }
    users = pd.DataFrame({"user_id": [5], "account_id": ["a"]})
    tables = ls.read_tables(frames, options={"surveys": {"users": users}})
    assert tables.frame("surveys")["account_id"].tolist() == ["a"]


@pytest.mark.parametrize(
    ("users", "events", "told"),
    [
        ("user_id,account_id\n1,acme\n1,blue\n", "user_id\n1\n", "has several accounts"),
        ("user_id,account_id\nu1,acme\n", "user_id\n1\n", "users lists none of these users.*'u1'"),
        ("user,account_id\nu1,acme\n", "user_id\n1\n", "user_id: the column is missing"),
        (
            "user_id,account_id\n1,acme\n",
            "userid\n1\n",
            "no column 'user_id'.*Did you mean 'userid'",
        ),
        ("user_id,account_id\n1,zeta\n", "user_id\n1\n", "no such account"),
    ],
)
def test_users_that_do_not_fit_are_faults(
    tmp_path: Path, users: str, events: str, told: str
) -> None:
    import re

    head, *rows = events.splitlines()
    text = f"{head},occurred_at,behavior\n" + "".join(f"{row},2020-02-01,x\n" for row in rows)
    put(tmp_path, '[tables.behaviors]\nusers = "users.csv"\n', accounts=ACCOUNTS,
        behaviors=text, users=users)  # fmt: skip
    assert re.search(told, "\n".join(faults_of(tmp_path)))


def test_events_sent_twice_count_once(tmp_path: Path) -> None:
    events = "account_id,occurred_at,behavior,event_id\n"
    events += "acme,2020-02-01,x,1\nacme,2020-02-01,x,1\nblue,2020-02-02,y,1\nacme,2020-02-03,x,\n"
    events += "acme,2020-02-03,x,\nacme,never,x,2\n"
    put(tmp_path, "", accounts=ACCOUNTS, behaviors=events)
    assert faults_of(tmp_path)[0].startswith("behaviors.csv:7: occurred_at")
    put(tmp_path, "", behaviors=events.replace("never", "2020-02-04"))
    tables = ls.read_tables(tmp_path)
    assert len(tables.frame("behaviors")) == 4
    assert remarks(tables) == ["behaviors: 2 rows left out: an earlier row has the same event_id"]


# Queries over files ------------------------------------------------------------------------------


def query(text: str, table: str = "behaviors", more: str = "") -> str:
    return f'[tables.{table}]\nquery = """\n{text}\n"""\n{more}'


JOINED = """SELECT u.company AS account_id, e.time AS occurred_at, e.name AS behavior,
  u.user_id, e.insert_id AS event_id
FROM {event} e JOIN 'users.csv' u ON u.user_id = (e.properties->>'$.user_id')"""


@pytest.mark.parametrize("event", ["'event.csv'", '"event.csv"', "read_csv('event.csv')"])
def test_a_query_over_the_files_of_the_project(tmp_path: Path, event: str) -> None:
    users = "user_id,company\n114521,acme\n007,blue\n"
    put(tmp_path, query(JOINED.format(event=event)), accounts=ACCOUNTS, event=EVENTS, users=users)
    tables = ls.read_tables(tmp_path)
    assert tables.frame("behaviors")[["account_id", "user_id"]].to_numpy().tolist() == [
        ["acme", "114521"], ["blue", "007"],
    ]  # fmt: skip
    assert tables.not_read == ()


def test_a_query_over_files_of_every_format(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": ["acme", "blue"], "d": ["2020-02-01", "2020-02-02"], "n": [1, 2]})
    put(tmp_path, "", accounts=ACCOUNTS)
    (tmp_path / "in").mkdir()
    frame.to_json(tmp_path / "in" / "1.jsonl", orient="records", lines=True)
    frame.to_excel(tmp_path / "in" / "2.xlsx", index=False)
    frame.to_parquet(tmp_path / "in" / "3.parquet")
    frame.to_csv(tmp_path / "in" / "4.csv.gz", index=False, sep=";")
    frame.to_csv(tmp_path / "in" / "5 a.csv", index=False, encoding="utf-16", sep="\t")
    for name in ("1.jsonl", "2.xlsx", "3.parquet", "4.csv.gz", "5 a.csv", "*.csv"):
        text = "SELECT a AS account_id, d AS used_on, sum(n) * 2 AS amount"
        text = f"{text} FROM 'in/{name}' GROUP BY ALL"
        (tmp_path / "leadsignal.toml").write_text(query(text, "usage"))
        amounts = ls.read_tables(tmp_path).frame("usage")["amount"].astype(float).tolist()
        assert amounts == [2, 4]


def test_texts_keep_their_zeros_and_ambiguous_dates_are_not_guessed(tmp_path: Path) -> None:
    accounts = "account_id,started_on\n00123,2020-01-01\n"
    usage = "id,day,n\n00123,03/04/2020,5\n"
    text = "SELECT id AS account_id, day AS used_on, n AS amount FROM 'u.csv'"
    put(tmp_path, query(text, "usage"), accounts=accounts, u=usage)
    (fault,) = faults_of(tmp_path)
    assert "may be DD/MM/YYYY or MM/DD/YYYY" in fault
    put(tmp_path, query(text, "usage", 'dates = "DD/MM/YYYY"'))
    frame = ls.read_tables(tmp_path, as_of="2021-01-01").frame("usage")
    assert frame["used_on"].dt.date.tolist() == [date(2020, 4, 3)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELECT * FROM '../secret.csv'", "outside the project's folder"),
        ("SELECT * FROM '/etc/passwd'", "outside the project's folder"),
        ("SELECT * FROM read_text('/etc/passwd')", "outside the project's folder"),
        ("SELECT * FROM 'link.csv'", "outside the project's folder"),
        ("SELECT * FROM read_csv('usage.csv', header = true)", "calls read_csv"),
        ("SELECT * FROM read_blob(concat('/etc', '/passwd'))", "outside the project's folder"),
        ("SELECT * FROM glob('/etc/*')", "cannot be read|no file matches|calls|outside|permission"),
        ("SELECT getenv('HOME')", "calls getenv"),
        ("COPY (SELECT 1) TO 'x.csv'", "not a SELECT"),
        ("CREATE TABLE x AS SELECT 1", "not a SELECT"),
        ("SELECT 1; SELECT 2", "not one statement"),
        ("INSTALL httpfs", "not a SELECT"),
        ("ATTACH 'x.db'", "not a SELECT"),
        ("SELECT * FROM 'usge.csv'", "no such file. Did you mean 'usage.csv'"),
        ("SELECT nothing FROM 'usage.csv'", "no such column"),
        ("SELECT FROM WHERE", "cannot understand the query"),
        ("SELECT * FROM 'bad.csv'", "does not have 2 cells"),
    ],
)
def test_a_query_reads_the_folder_and_does_nothing_else(
    tmp_path: Path, text: str, told: str
) -> None:
    import re

    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    put(folder, query(text, "usage"), accounts=ACCOUNTS, usage="account_id,used_on,amount\n",
        bad="a,b\n1,2,3\n")  # fmt: skip
    assert re.search(told, "\n".join(faults_of(folder)))
    assert not (folder / "x.csv").exists()


def test_with_other_sources_a_query_names_the_files(tmp_path: Path) -> None:
    text = "SELECT account_id, used_on, amount FROM 'u.csv'"
    sources = "".join(f'[sources.{n}]\nurl = "duckdb:///{n}.db"\n' for n in ("one", "two"))
    put(tmp_path, query(text, "usage", sources), accounts=ACCOUNTS,
        u="account_id,used_on,amount\nacme,2020-02-01,3\n")  # fmt: skip
    with pytest.raises(ls.ProjectError, match='source = "files"'):
        ls.check_tables(tmp_path)
    put(tmp_path, query(text, "usage", f'source = "files"\n{sources}'))
    assert ls.check_tables(tmp_path).tables["usage"] == 1


# A month a column --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "months",
    [
        ["2023-01", "2023-02", "2023-03"], ["2023/1", "2023/2", "2023/3"],
        ["Jan 2023", "Feb 2023", "Mar 2023"], ["Jan-23", "Feb-23", "Mar-23"],
        ["January 2023", "February 2023", "March 2023"], ["01/2023", "02/2023", "03/2023"],
        ["202301", "202302", "202303"], ["2023-01-01", "2023-02-01", "2023-03-01"],
        ["01.2023", "02.2023", "03.2023"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("account", ["account_id", "Account Id", "Kunde"])
def test_the_query_that_the_fault_proposes_reads_a_month_a_column(
    tmp_path: Path, months: list[str], account: str
) -> None:
    usage = f"{account},{','.join(months)}\nacme,100,90.5,80\nblue,10,0,\n"
    put(tmp_path, "", accounts=ACCOUNTS, usage=usage)
    (fault,) = faults_of(tmp_path)
    assert "usage.csv:1: has a column per month, not a row per month" in fault
    proposed = fault[fault.index("query = ") :].removesuffix(".")
    assert tomllib.loads(proposed)
    put(tmp_path, f"[tables.usage]\n{proposed}\n")
    frame = ls.read_tables(tmp_path, as_of="2024-01-01").frame("usage")
    assert [
        (account, day.date().isoformat(), float(amount))
        for account, day, amount in zip(
            frame["account_id"], frame["used_on"], frame["amount"], strict=True
        )
    ] == [
        ("acme", "2023-01-01", 100), ("acme", "2023-02-01", 90.5), ("acme", "2023-03-01", 80),
        ("blue", "2023-01-01", 10), ("blue", "2023-02-01", 0),
    ]  # fmt: skip
