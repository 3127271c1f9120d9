"""Hostile strings do nothing; names and free text reach no message; only declared columns stay."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb
import pandas as pd
import pytest

import leadsignal as ls
from hostile_strings import HOSTILE
from leadsignal.files.writing import plain_text
from leadsignal.scoring.batch import read_scores
from leadsignal.scoring.scores import Scores, write_scores
from leadsignal.tables import check_tables


def test_there_are_at_least_three_hundred() -> None:
    assert len(set(HOSTILE)) > 300


@pytest.fixture(scope="module")
def hostile(business_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small business, with an active account of each hostile name.

    Users, behaviours, segments, and all texts are hostile too.
    """
    folder = tmp_path_factory.mktemp("hostile") / "business"
    shutil.copytree(business_folder, folder)
    accounts = pd.read_csv(folder / "accounts.csv", dtype=str)
    active = accounts[accounts["ended_on"].isna() & accounts["end_known_on"].isna()]["account_id"]
    ids = dict(zip(active, HOSTILE, strict=False))
    for file in folder.glob("*.csv"):
        frame = pd.read_csv(file, dtype=str)
        if file.stem == "accounts":
            again = [row % len(active) for row in range(len(HOSTILE) - len(ids))]
            more = frame.set_index("account_id").loc[active.to_numpy()[again]].reset_index()
            more["account_id"] = HOSTILE[len(ids) :]
            frame = pd.concat([frame, more], ignore_index=True)
        frame["account_id"] = frame["account_id"].map(lambda name: ids.get(name, name))
        for place, column in enumerate(sorted(TEXTS & set(frame.columns))):
            start = place * 97
            frame[column] = [HOSTILE[(start + row) % len(HOSTILE)] for row in range(len(frame))]
        if file.stem == "results":
            # A metric of the success analysis that occurs nowhere is refused.
            frame.loc[0, "metric"] = "days_to_close"
        frame.to_parquet(file.with_suffix(".parquet"), index=False)
        file.unlink()
    return folder


TEXTS = {
    "objective", "action", "sponsor", "severity", "metric", "segment", "next_phase", "user_id",
    "sales_rep", "purchase_reason", "customer_id",
}  # fmt: skip


@pytest.fixture(scope="module")
def hostile_scores(hostile: Path, business_model: ls.ChurnModel) -> Scores:
    tables = ls.read_tables(hostile)
    scores = ls.score_accounts(business_model, tables, effects={})
    assert set(HOSTILE) <= set(scores.frame["account_id"])
    return scores


def test_hostile_strings_do_nothing_in_files(
    hostile_scores: Scores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_scores(hostile_scores, "scores.csv")
    write_scores(hostile_scores, "scores.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.csv", "scores.parquet"]
    stood = hostile_scores.frame["account_id"].tolist()
    assert pd.read_parquet("scores.parquet")["account_id"].tolist() == stood
    with open("scores.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert len(rows) == len(stood) + 1
    cells = [cell for row in rows[1:] for cell in row if not re.fullmatch(r"[-+]?[\d.e-]+", cell)]
    assert [cell for cell in cells if STARTS_A_FORMULA.match(cell)] == []
    ids = [row[0] for row in rows[1:]]
    assert [plain_text(one) for one in ids] == stood
    again, texts = read_scores("scores.csv"), hostile_scores.frame.select_dtypes(object)
    pd.testing.assert_frame_equal(again[texts.columns], texts, check_dtype=False)


STARTS_A_FORMULA = re.compile("[\\s\u200b\ufeff\\0]*[=+\\-@＝＋－＠|%\\t\\r\\n]")


def test_hostile_strings_do_nothing_in_spreadsheets(hostile_scores: Scores, tmp_path: Path) -> None:
    """What a spreadsheet makes of the CSV: texts, and no cell is a formula."""
    openpyxl = pytest.importorskip("openpyxl")
    write_scores(hostile_scores, tmp_path / "scores.csv")
    book = openpyxl.Workbook()
    with open(tmp_path / "scores.csv", newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            # A control character is no text of a spreadsheet's file.
            book.active.append([openpyxl.cell.cell.ILLEGAL_CHARACTERS_RE.sub("", x) for x in row])
    kinds = {cell.data_type for row in book.active.iter_rows() for cell in row}
    assert "f" not in kinds


@pytest.mark.parametrize("url", ["duckdb:///{}/scores.db", "sqlite:///{}/scores.db"])
def test_hostile_strings_do_nothing_in_databases(
    hostile_scores: Scores, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if url.startswith("sqlite"):
        pytest.importorskip("sqlalchemy")
    monkeypatch.chdir(tmp_path)
    url, kept = url.format(tmp_path), hostile_scores.frame["account_id"].tolist()
    first = ls.scoring.write_scores_to(hostile_scores, "scores", url)
    again = ls.scoring.write_scores_to(hostile_scores, "scores", url)
    assert (first.rows, again.replaced) == (len(kept), len(kept))
    ask, tables = "SELECT account_id, reason_1 FROM scores", "SELECT name FROM sqlite_master"
    if url.startswith("duckdb"):
        with duckdb.connect(str(tmp_path / "scores.db")) as connection:
            held = connection.execute(ask).fetchall()
            there = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    else:
        with closing(sqlite3.connect(tmp_path / "scores.db")) as connection:
            held = connection.execute(ask).fetchall()
            there = connection.execute(f"{tables} WHERE type = 'table'").fetchall()
    assert sorted(account for account, _ in held) == sorted(kept)
    assert there == [("scores",)]
    assert [path.name for path in tmp_path.iterdir()] == ["scores.db"]


def test_hostile_strings_do_nothing_in_pages(hostile: Path, hostile_scores: Scores) -> None:
    tables = ls.read_tables(hostile)
    panel = ls.build_panel(tables)
    pages = [hostile_scores._repr_html_(), tables._repr_html_(), panel._repr_html_()]
    shown = hostile_scores.frame
    for at in range(0, len(shown), 10):  # the page of scores shows ten
        pages.append(replace(hostile_scores, frame=shown.iloc[at : at + 10])._repr_html_())
    tags = {tag for page in pages for tag in re.findall(r"<\s*/?\s*([^\s>/]+)", page)}
    assert tags <= {
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "p",
        "br",
        "div",
        "style",
        "ul",
        "li",
        "b",
        "h3",
    }
    inside = "".join(re.sub(r"<style[^<]*</style>", "", page) for page in pages)
    assert "<b>bold" not in inside
    assert not re.search(r"<(style|b)[\s/>]", inside)


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
