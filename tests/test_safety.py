"""Hostile strings do nothing; names and free text reach no message; only declared columns stay."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.scores import write_scores
from leadsignal.tables import check_tables

FORMULAS = [
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "=cmd|' /C calc'!A0", '=HYPERLINK("http://x","y")',
    "\t=1", " =1", "=X()", "=1;=2", '"=1"', "＝1+1", "＋1", "－1", "＠A1", "|calc", "%0A=1",
    "=DDE(1)", "+cmd|'x'!A1", "-2+3+cmd|'x'!A1", "@x", "=A1&B1", "=-1", "=+1", "=@x",
]  # fmt: skip
MARKUP = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</table><h1>x", "<svg onload=x>",
    "&lt;b&gt;", "<!-- x", "]]>", "<style>*{}</style>", "javascript:alert(1)", "<a href='x'>",
    '"><b>', "'><b>", "<iframe src=x>", "{{7*7}}", "${7*7}", "<%= 7 %>", "{% x %}", "<b>bold</b>",
    "<math><x>", "<body onload=x>", "<input autofocus>", "\x1b[31mred", "<x y=z>", "<p", ">",
]  # fmt: skip
SQL = [
    "'; DROP TABLE accounts; --", '"; DROP TABLE accounts; --', "' OR 1=1 --", "1; ATTACH 'x'",
    "x' UNION SELECT 1 --", "COPY accounts TO 'canary'", "$$; DROP TABLE accounts", "/* x */",
    "'||'", "\\'; --", "NULL", "true", "DATE '2020-01-01'", "?", "$1", ":x", "%s", "{0}", "--", ";",
    "' ; INSTALL httpfs; --", "accounts", "known_on", "read_csv('/etc/passwd')", "E'\\x27'",
]  # fmt: skip
PATHS = [
    "../../etc/passwd", "/etc/passwd", "..\\..\\windows", "C:\\x", "~root", "file:///etc/passwd",
    "canary/../canary", "./x", "x/../../y", "/dev/null", "con", "nul", "a\\b", "//host/share",
    "s3://x/y", "http://x/y", "$(touch canary)", "`touch canary`", "; touch canary", "| touch x",
    "*", "?x", "[a]", "x.parquet", ".hidden",
]  # fmt: skip
ODD = [
    "ünï",
    "名前",
    "\u202ereversed",
    "a\u0000b",
    "\ufeffx",
    "x" * 5000,
    "a\nb",
    "a\rb",
    "🙂",
    "0x",
]
HOSTILE = [
    f"{text}{ending}" for ending in ("", " x", "!") for text in [*FORMULAS, *MARKUP, *SQL, *PATHS]
]


def test_there_are_at_least_three_hundred() -> None:
    assert len({*HOSTILE, *ODD}) >= 300


@pytest.fixture(scope="module")
def hostile(business_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small business, every account, user, behaviour, segment and text of it hostile."""
    folder = tmp_path_factory.mktemp("hostile") / "business"
    shutil.copytree(business_folder, folder)
    accounts = pd.read_csv(folder / "accounts.csv", dtype=str)
    names = [*HOSTILE, *(text for text in ODD if "\0" not in text)]
    ids = dict(zip(accounts["account_id"], names, strict=False))
    assert len(ids) == len(accounts)
    texts = {"objective", "action", "sponsor", "severity", "metric", "segment", "next_phase"}
    for file in folder.glob("*.csv"):
        frame = pd.read_csv(file, dtype=str)
        frame["account_id"] = frame["account_id"].map(ids)
        for column in texts & set(frame.columns):
            picked = [names[-1 - row % len(names)] for row in range(len(frame))]
            frame[column] = picked
        frame.to_parquet(file.with_suffix(".parquet"), index=False)
        file.unlink()
    return folder


def test_hostile_strings_do_nothing(
    hostile: Path,
    business_model: ls.ChurnModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    tables = ls.read_tables(hostile)
    scores = ls.score_accounts(business_model, tables)
    write_scores(scores, "scores.csv")
    write_scores(scores, "scores.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.csv", "scores.parquet"]
    stood = set(tables.frame("accounts")["account_id"])
    assert set(pd.read_parquet("scores.parquet")["account_id"]) <= stood
    with open("scores.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert {len(row) for row in rows} == {len(rows[0])}
    cells = [cell for row in rows[1:] for cell in row if not re.fullmatch(r"-?[\d.e-]+", cell)]
    assert [cell for cell in cells if re.match(r"\s*[=+\-@＝＋－＠|%\t\r]", cell)] == []
    for html in (scores._repr_html_(), tables._repr_html_()):
        assert not re.search(r"<(script|img|svg|iframe|style|h1|b>|math|body|input)", html)


def test_a_csv_keeps_what_is_no_formula(business_model: ls.ChurnModel, business: ls.Tables) -> None:
    from leadsignal.scores import _harmless

    assert [_harmless(x) for x in ("-12", "+4.5", "A-1", "mid", 3, None)] == [
        "-12", "+4.5", "A-1", "mid", 3, None,
    ]  # fmt: skip
    assert all(_harmless(text).startswith("'") for text in FORMULAS if text != '"=1"')


SECRET = "Anna Secret, CFO, +49 170 1234567"


def test_free_text_reaches_no_message(business_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "business"
    shutil.copytree(business_folder, folder)
    for name, column in (("plans", "objective"), ("commitments", "action")):
        frame = pd.read_csv(folder / f"{name}.csv", dtype=str)
        frame[column] = SECRET
        frame.loc[0, "account_id"] = "nobody"
        frame = pd.concat([frame, frame.tail(1)])
        frame.loc[frame.index[-1], column] = None
        frame.to_csv(folder / f"{name}.csv", index=False)
    report = check_tables(folder)
    assert not report.ok
    told = json.dumps(report.to_dict()) + "".join(map(str, report.faults))
    assert "Anna" not in told
    assert "nobody" in told


def test_a_long_cell_is_not_told_in_full(tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_text(f"account_id,started_on\na,{'Anna Secret ' * 20}\n")
    (fault,) = check_tables(tmp_path).faults
    assert fault.value is not None
    assert len(fault.value) <= 41


def test_columns_that_nobody_declared_are_not_stored(tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_text(
        f'account_id,started_on,segment,contact\na,2024-01-01,mid,"{SECRET}"\n'
    )
    tables = ls.read_tables(tmp_path, attributes=["segment"])
    held = tables.connection.cursor().execute("DESCRIBE accounts").fetchall()
    names = {row[0] for row in held}
    assert "segment" in names
    assert "contact" not in names
    assert tables.unread("accounts") == ("contact",)
    assert "contact" not in tables.frame("accounts").columns
