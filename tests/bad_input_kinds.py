"""Kinds of bad input: each writes a folder with one thing wrong, and says what must be told.

``KINDS`` maps a name to a function that spoils a good folder and a regular expression that the
message must match: it names file, line, column and value, as far as they apply.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

ACCOUNTS = """account_id,started_on,ended_on,end_reason,segment
A1,2023-01-01,,,mid
A2,2023-02-01,2023-08-01,price,small
A3,2023-03-01,,,mid
"""
BEHAVIORS = """account_id,occurred_at,behavior,user_id,quantity
A1,2023-01-05,close,u1,1
A1,2023-02-05T10:00:00,close,u2,2
A2,2023-03-05,close,u1,1
A3,2023-04-05,close,u1,1
A3,2023-05-05,close,u2,1
"""
MONTHS = """account_id,started_on,term_months,segment
A1,2023-01-01,TERM,mid
A2,2023-02-01,12,small
A3,2023-03-01,,mid
"""
TICKETS = """account_id,opened_at,ticket_id,severity,closed_at
A1,2023-03-01,T1,high,2023-03-04
A2,2023-04-01,T2,low,
"""
COMMITMENTS = """account_id,agreed_on,due_on,action,owner
A1,2023-03-01,2023-04-01,train users,customer
A3,2023-04-01,2023-05-01,fix import,vendor
"""
PROJECT = """[project]
every = "28d"

[tables.accounts]
attributes = ["segment"]
"""
SUCCESS = """[[process]]
name = "weekly_close"
behavior = "close"
at_least = 2
within = "30d"
"""
GOOD = {
    "accounts.csv": ACCOUNTS,
    "behaviors.csv": BEHAVIORS,
    "tickets.csv": TICKETS,
    "commitments.csv": COMMITMENTS,
    "leadsignal.toml": PROJECT,
    "success.toml": SUCCESS,
}
Spoil = Callable[[Path], None]
KINDS: dict[str, tuple[Spoil, str]] = {}


def write_good(folder: Path) -> None:
    """Write a folder in which nothing is wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in GOOD.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")


def write_bad(name: str, folder: Path) -> str:
    """Write a folder with one kind of fault; returns what the message must match."""
    write_good(folder)
    spoil, expected = KINDS[name]
    spoil(folder)
    return expected


def swap(file: str, old: str, new: str) -> Spoil:
    """Replace the first of one text in a file."""

    def spoil(folder: Path) -> None:
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text, (file, old)
        (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8", newline="")

    return spoil


def put(file: str, content: str | bytes) -> Spoil:
    """Write a file, or write it over."""
    data = content.encode() if isinstance(content, str) else content

    def spoil(folder: Path) -> None:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(data)

    return spoil


def add(file: str, line: str) -> Spoil:
    """Append to a file."""
    return put(file, GOOD[file] + line)


def drop(file: str) -> Spoil:
    """Take a file away."""
    return lambda folder: (folder / file).unlink()


def together(*spoils: Spoil) -> Spoil:
    """Spoil several things."""

    def spoil(folder: Path) -> None:
        for each in spoils:
            each(folder)

    return spoil


def parquet(table: str, columns: dict[str, list[object]]) -> Spoil:
    """Replace a table by Parquet."""

    def spoil(folder: Path) -> None:
        (folder / f"{table}.csv").unlink(missing_ok=True)
        pd.DataFrame(columns).to_parquet(folder / f"{table}.parquet")

    return spoil


def kind(name: str, spoil: Spoil, expected: str) -> None:
    """Add a kind."""
    assert name not in KINDS
    KINDS[name] = (spoil, expected)


# Files
kind("no accounts", drop("accounts.csv"), r"there is no table accounts.*Add accounts\.csv")
kind("empty file", put("tickets.csv", ""), r"tickets\.csv: is empty")
kind("blank file", put("tickets.csv", "\n\n  \n"), r"tickets\.csv: is empty")
kind("empty accounts", put("accounts.csv", ""), r"accounts\.csv: is empty")
kind(
    "header only",
    put("accounts.csv", "account_id,started_on,segment\n"),
    r"accounts\.csv: has no rows",
)
kind(
    "no header",
    put("tickets.csv", "A1,2023-03-01,T1\n"),
    r"tickets\.csv:1: has no header.*account_id, opened_at",
)
kind(
    "misspelt file",
    together(put("behaviours.csv", BEHAVIORS), drop("behaviors.csv")),
    r"behaviours\.csv: is not the name of a table.*behaviors\.csv",
)
kind(
    "two files for one table",
    lambda folder: pd.DataFrame({"account_id": ["A1"], "started_on": ["2023-01-01"]}).to_parquet(
        folder / "accounts.parquet"
    ),
    r"accounts\.csv and accounts\.parquet: two sources",
)
kind("empty folder of parts", lambda folder: (folder / "usage").mkdir(), r"usage: .*without parts")
kind(
    "mixed parts",
    together(put("usage/a.csv", "account_id,used_on,amount\n"), put("usage/b.parquet", "x")),
    r"usage: holds both CSV and Parquet",
)
kind("no Parquet", put("usage.parquet", "nonsense"), r"usage\.parquet: is not a Parquet file")
kind("empty Parquet", put("usage.parquet", b""), r"usage\.parquet: is empty")
kind(
    "NUL byte",
    add("tickets.csv", "A1,2023-05-01,T\0003,low,\n"),
    r"tickets\.csv:4: holds a NUL byte",
)
kind(
    "unclosed quote",
    swap("tickets.csv", "T1,high", 'T1,"high'),
    r"tickets\.csv:2: a quote is never closed",
)
kind(
    "quote unclosed in the last column",
    swap("commitments.csv", "train users,customer", '"train users,customer'),
    r"commitments\.csv:2: a quote is never closed",
)
kind(
    "short row",
    add("tickets.csv", "A1,2023-05-01\n"),
    r"tickets\.csv:4: the row does not have 5 cells \(given: '2 cells'\)",
)
kind(
    "long row",
    add("tickets.csv", "A1,2023-05-01,T3,low,,oops\n"),
    r"tickets\.csv:4: the row does not have 5 cells \(given: '6 cells'\)",
)
kind(
    "line after a quoted newline",
    add("tickets.csv", 'A1,2023-05-01,T3,"very\nlow",\nA1,yesterday,T4,low,\n'),
    r"tickets\.csv:6: opened_at: is not a date \(given: 'yesterday'\)",
)
kind(
    "line after blank lines",
    add("tickets.csv", "\n\nA1,yesterday,T4,low,\n"),
    r"tickets\.csv:6: opened_at: is not a date \(given: 'yesterday'\)",
)
kind(
    "semicolons, bad date",
    put("tickets.csv", (TICKETS + "A1,2023-02-30,T4,low,\n").replace(",", ";")),
    r"tickets\.csv:4: opened_at: there is no such date.*\(given: '2023-02-30'\)",
)
kind(
    "UTF-16, bad date",
    put("tickets.csv", (TICKETS + "A1,2023-02-30,T4,low,\n").encode("utf-16")),
    r"tickets\.csv:4: opened_at: there is no such date.*\(given: '2023-02-30'\)",
)
kind(
    "BOM, bad date",
    put("tickets.csv", (TICKETS + "A1,2023-02-30,T4,low,\n").encode("utf-8-sig")),
    r"tickets\.csv:4: opened_at: there is no such date.*\(given: '2023-02-30'\)",
)
kind(
    "Windows-1252, bad date",
    put("tickets.csv", (TICKETS + "A1,2023-02-30,T4,für,\n").encode("cp1252")),
    r"tickets\.csv:4: opened_at: there is no such date.*\(given: '2023-02-30'\)",
)
# Columns
kind(
    "missing column",
    swap("accounts.csv", "started_on", "x"),
    r"accounts\.csv:1: started_on: the column is missing.*columns = \{ started_on",
)
kind(
    "misspelt column",
    swap("behaviors.csv", "occurred_at", "occured_at"),
    r"behaviors\.csv:1: occurred_at: the column is missing; is it 'occured_at'\?",
)
kind(
    "misspelt optional column",
    swap("accounts.csv", "ended_on", "Ended On"),
    r"accounts\.csv:1: Ended On: is not a known column; is it ended_on\?",
)
kind(
    "column twice",
    swap("behaviors.csv", "user_id", "behavior"),
    r"behaviors\.csv:1: behavior: the header names a column twice",
)
kind(
    "mapping to nothing",
    put("leadsignal.toml", '[tables.accounts]\ncolumns = { started_on = "Go-live" }\n'),
    r"accounts\.csv:1: started_on: there is no column 'Go-live'",
)
kind(
    "attribute that is no column",
    put("leadsignal.toml", '[tables.accounts]\nattributes = ["segmnt"]\n'),
    r"accounts\.csv:1: segmnt: is declared as an attribute.*'segment'",
)
kind(
    "wrong type in Parquet",
    parquet("usage", {"account_id": ["A1"], "used_on": [True], "amount": [1]}),
    r"usage\.parquet: used_on: a column of this type cannot be read as a date \(given: 'boolean'\)",
)
kind(
    "text in a Parquet number",
    parquet("usage", {"account_id": ["A1"], "used_on": ["2023-02-01"], "amount": ["many"]}),
    r"usage\.parquet:1: amount: is not a number \(given: 'many'\)",
)
# Cells
kind(
    "impossible date",
    swap("behaviors.csv", "2023-03-05", "2023-02-30"),
    r"behaviors\.csv:4: occurred_at: there is no such date.*\(given: '2023-02-30'\)",
)
kind(
    "ambiguous date",
    swap("behaviors.csv", "2023-03-05", "03/04/2023"),
    r"behaviors\.csv:4: occurred_at: is not read as a date: it may be DD/MM/YYYY or MM/DD/YYYY.*"
    r"\(given: '03/04/2023'\).*dates = \"DD/MM/YYYY\" or dates = \"MM/DD/YYYY\"",
)
kind(
    "date far off",
    swap("accounts.csv", "A1,2023-01-01,", "A1,2023-01-01,9999-12-31"),
    r"accounts\.csv:2: ended_on: there is no such date.*\(given: '9999-12-31'\).*empty",
)
kind(
    "empty date",
    swap("behaviors.csv", "A2,2023-03-05", "A2,"),
    r"behaviors\.csv:4: occurred_at: is empty",
)
kind("empty account", swap("behaviors.csv", "A2,", ","), r"behaviors\.csv:4: account_id: is empty")
kind("empty text", swap("behaviors.csv", "05,close", "05,"), r"behaviors\.csv:2: behavior: is empt")
kind(
    "text in a number",
    swap("behaviors.csv", "u2,2", "u2,two"),
    r"behaviors\.csv:3: quantity: is not a number \(given: 'two'\)",
)
kind(
    "thousands separator",
    swap("behaviors.csv", "u2,2", 'u2,"1,000"'),
    r"behaviors\.csv:3: quantity: is not read as a number: .*\(given: '1,000'\).*1,234 is 1234",
)
kind(
    "infinite number",
    swap("behaviors.csv", "u2,2", "u2,inf"),
    r"behaviors\.csv:3: quantity: is not a number \(given: 'inf'\)",
)
kind(
    "number too large",
    swap("behaviors.csv", "u2,2", "u2,1e13"),
    r"behaviors\.csv:3: quantity: is too large \(given: '1e13'\)",
)
kind(
    "negative quantity",
    swap("behaviors.csv", "u2,2", "u2,-2"),
    r"behaviors\.csv:3: quantity: is below 0 \(given: '-2\.0*'\)",
)
kind(
    "half a month",
    put("accounts.csv", MONTHS.replace("TERM", "1.5")),
    r"accounts\.csv:2: term_months: is not a whole number \(given: '1\.5'\)",
)
kind(
    "no month at all",
    put("accounts.csv", MONTHS.replace("TERM", "0")),
    r"accounts\.csv:2: term_months: is below 1 \(given: '0'\)",
)
kind(
    "not allowed",
    swap("commitments.csv", "customer", "Custmer"),
    r"commitments\.csv:2: owner: is not allowed \(given: 'Custmer'\). Did you mean 'customer'",
)
kind(
    "no truth value",
    put(
        "results.csv",
        "account_id,measured_on,value,higher_is_better\nA1,2023-02-01,3,perhaps\n",
    ),
    r"results\.csv:2: higher_is_better: is not true or false \(given: 'perhaps'\)",
)
kind(
    "text in a declared number",
    together(
        put("leadsignal.toml", '[tables.accounts]\nattributes = { seats = "number" }\n'),
        put(
            "accounts.csv",
            MONTHS.replace("segment", "seats")
            .replace("small", "7")
            .replace("TERM,mid", ",8")
            .replace(",mid", ",9 or so"),
        ),
    ),
    r"accounts\.csv:4: seats: is not a number \(given: '9 or so'\)",
)
kind(
    "mixed time zones",
    put(
        "behaviors.csv",
        "account_id,occurred_at,behavior\nA1,2023-02-05T10:00:00Z,close\n"
        "A1,2023-02-06T10:00:00,close\nA1,2023-02-07T10:00:00+02:00,close\n",
    ),
    r"behaviors\.csv:3: occurred_at: mixed time zones.*no offset.*'2023-02-06'",
)
# Rows
kind(
    "end before start",
    swap("accounts.csv", "2023-08-01", "2022-08-01"),
    r"accounts\.csv:3: ended_on: is before started_on \(given: '2022-08-01'\).*2023-02-01",
)
kind(
    "closed before opened",
    swap("tickets.csv", "2023-03-04", "2023-02-04"),
    r"tickets\.csv:2: closed_at: is before opened_at \(given: '2023-02-04'\).*2023-03-01",
)
kind(
    "account twice",
    add("accounts.csv", "A1,2023-05-01,,,mid\n"),
    r"accounts\.csv:5: account_id: appears in an earlier row too \(given: 'A1'\)",
)
kind(
    "unknown account",
    add("behaviors.csv", "A9,2023-05-01,close,u1,1\n"),
    r"behaviors\.csv:7: account_id: no such account in accounts \(given: 'A9'\)",
)
kind(
    "before the start",
    together(
        add("behaviors.csv", "A3,2023-02-28,close,u1,1\n"),
        add("leadsignal.toml", '[tables.behaviors]\noutside = "fault"\n'),
    ),
    r"behaviors\.csv:7: occurred_at: is before the account's start \(given: '2023-02-28'\)"
    r".*A3 starts on 2023-03-01",
)
kind(
    "after the end",
    together(
        add("behaviors.csv", "A2,2023-08-02,close,u1,1\n"),
        add("leadsignal.toml", '[tables.behaviors]\noutside = "fault"\n'),
    ),
    r"behaviors\.csv:7: occurred_at: is after the account's end \(given: '2023-08-02'\)"
    r".*A2 ends on 2023-08-01",
)
kind(
    "ticket twice",
    add("tickets.csv", "A1,2023-05-01,T1,low,\n"),
    r"tickets\.csv:4: ticket_id: appears in an earlier row too \(given: 'T1'\)",
)
kind(
    "row repeated",
    put("flags.csv", "account_id,flagged_on\nA1,2023-02-01\nA3,2023-04-01\nA1,2023-02-01\n"),
    r"flags\.csv:4: account_id: repeats an earlier row \(given: 'A1'\)",
)
kind(
    "versions that change hands",
    put(
        "tickets.csv",
        "account_id,opened_at,ticket_id,recorded_at\nA1,2023-03-01,T1,2023-03-01T10:00:00\n"
        "A3,2023-03-01,T1,2023-03-02T10:00:00\n",
    ),
    r"tickets\.csv:3: ticket_id: belongs to another account too \(given: 'T1'\)",
)
kind(
    "three files at once",
    together(
        swap("accounts.csv", "2023-08-01", "soon"),
        swap("tickets.csv", "2023-03-04", "later"),
        swap("behaviors.csv", "A2,", "A7,"),
    ),
    r"(?s)3 faults.*accounts\.csv:3.*'soon'.*behaviors\.csv:4.*'A7'.*tickets\.csv:2.*'later'",
)
# Settings
kind(
    "no TOML",
    put("leadsignal.toml", "[project]\nevery = 28d\n"),
    r"leadsignal\.toml:2: is not valid TOML.*every = 28d",
)
kind(
    "unknown key",
    put("leadsignal.toml", '[project]\nhorizn = "180d"\n'),
    r"leadsignal\.toml:2: project\.horizn: is not a known key.*'horizon'",
)
kind(
    "unknown section",
    put("leadsignal.toml", '[projct]\nhorizon = "180d"\n'),
    r"leadsignal\.toml:1: projct: is not a known key.*'project'",
)
kind(
    "no duration",
    put("leadsignal.toml", '[project]\nhorizon = "6 moons"\n'),
    r"leadsignal\.toml:2: project\.horizon: '6 moons' is not a duration.*\"28d\"",
)
kind(
    "bare number as duration",
    put("leadsignal.toml", "[project]\nhorizon = 180\n"),
    r"leadsignal\.toml:2: project\.horizon: must be a duration \(given: '180'\)",
)
kind(
    "capacity in per cent",
    put("leadsignal.toml", "[project]\ncapacity = 10\n"),
    r"leadsignal\.toml:2: project\.capacity: must be a share.*\(given: '10'\)",
)
kind(
    "no time zone",
    put("leadsignal.toml", '[project]\ntimezone = "Europe/Belrin"\n'),
    r"leadsignal\.toml:2: project\.timezone: is not a time zone \(given: 'Europe/Belrin'\)",
)
kind(
    "cause that is no churn",
    put(
        "leadsignal.toml",
        '[project]\nnot_churn = ["completed"]\n\n[causes]\ndone = ["completed"]\n',
    ),
    r"leadsignal\.toml:5: causes\.done: reason 'completed' is also in not_churn",
)
kind(
    "unknown table",
    put("leadsignal.toml", '[tables.ticket]\npath = "t.csv"\n'),
    r"leadsignal\.toml:1: tables\.ticket: is not a known key.*'tickets'",
)
kind(
    "unknown column in a mapping",
    put("leadsignal.toml", '[tables.accounts]\ncolumns = { start = "x" }\n'),
    r"leadsignal\.toml:2: tables\.accounts\.columns\.start: is not a known key.*'started_on'",
)
kind(
    "query",
    put("leadsignal.toml", '[tables.usage]\nquery = "drop table x"\n'),
    r"usage: the query is not a SELECT",
)
kind(
    "password",
    put("leadsignal.toml", '[sources.crm]\nurl = "postgresql://me:secret@host/crm"\n'),
    r"leadsignal\.toml:2: sources\.crm\.url: holds a password\. Take it out",
)
kind(
    "source",
    put("leadsignal.toml", '[tables.usage]\ntable = "usage"\nsource = "crm"\n'),
    r"leadsignal\.toml:3: tables\.usage\.source: is not a source \(given: 'crm'\)",
)
kind(
    "file not found",
    put("leadsignal.toml", '[tables.usage]\npath = "usge.csv"\n'),
    r"usge\.csv: no such file",
)
kind(
    "pattern without a match",
    put("leadsignal.toml", '[tables.usage]\npath = "usage-*.csv"\n'),
    r"usage-\*\.csv: no file matches",
)
kind(
    "no such analysis",
    put("leadsignal.toml", '[project]\nanalysis = "sucess.toml"\n'),
    r"leadsignal\.toml:2: project\.analysis: no such file \(given: 'sucess\.toml'\)",
)
# Success analysis
kind(
    "process without a window",
    swap("success.toml", 'within = "30d"\n', ""),
    r"success\.toml:1: process: has no within",
)
kind(
    "more users than events",
    put("success.toml", SUCCESS + "by_users = 3\n"),
    r"success\.toml:6: process\.by_users: is above at_least \(given: '3'\)",
)
kind(
    "four processes",
    put("success.toml", "".join(SUCCESS.replace("weekly", w) for w in "abcd")),
    r"success\.toml:16: process: 4 processes",
)
kind(
    "process name with blanks",
    swap("success.toml", "weekly_close", "Weekly close"),
    r"success\.toml:2: process\.name: cannot be used as a column name \(given: 'Weekly close'\)",
)
kind(
    "one name twice",
    put("success.toml", SUCCESS * 2),
    r"success\.toml:7: process\.name: names two processes \(given: 'weekly_close'\)",
)
kind(
    "key misspelt in a process",
    put("success.toml", SUCCESS + "byusers = 2\n"),
    r"success\.toml:6: process\.byusers: is not a known key.*'by_users'",
)
