"""What a customer is shown: every column of every table has a mark, and only allowed ones pass."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from datetime import date, timedelta
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cli import main
from leadsignal.formats import day_text, of_hundred, share_text
from leadsignal.report.review import FACTS, ROWS, Review, Risk, for_customer
from leadsignal.schema import TABLES, Column, Table
from leadsignal.scoring.reasons import NextStep

FIRST = date(2023, 1, 2)
ACTIVE, ENDED = "ACTIVE-9", "ENDED-9"
COLUMNS = [(table, column) for table in TABLES for column in table.columns]
ALLOWED = {
    ("plans", name)
    for name in ("agreed_on", "objective", "metric", "target", "target_on", "sponsor", "next_phase",
                 "closed_on")
} | {("results", name) for name in ("measured_on", "value", "metric", "target")} | {
    ("commitments", name) for name in ("due_on", "action", "owner", "completed_on")
} | {("accounts", name) for name in ("account_id", "name", "started_on", "ended_on")} | {
    ("behaviors", "behavior")  # The essential process says what is done, in the analysis's words.
}  # fmt: skip
ANALYSIS = ls.SuccessAnalysis.from_toml("""
[bullseye]
objective = "MARKaim"
success_metric = "MARKresultsmetric"
traits = ["MARKtrait"]
[tracking]
sponsor = ["MARKbehaviorsbehavior"]
[[process]]
name = "weekly_close"
behavior = "MARKbehaviorsbehavior"
at_least = 1
within = "3000d"
adopt_by = "300d"
why = "MARKwhy"
""")


def mark(table: Table, column: Column) -> str:
    """A value that stands for one column and is found nowhere else."""
    number = COLUMNS.index((table, column))
    if column.kind == "day":
        return (FIRST + timedelta(days=number)).isoformat()
    if column.kind == "moment":
        return (FIRST + timedelta(days=number)).isoformat() + " 08:00"
    if column.kind == "boolean":
        return "true"
    if column.kind == "integer":
        return str(1001 + 2 * number)
    if column.kind in ("number", "decimal"):
        return str(70_001 + 113 * number)
    if column.allowed:
        return str(column.allowed[0])
    return f"MARK{table.name.replace('_', '')}{column.name.replace('_', '')}"


def marked_tables() -> ls.Tables:
    frames = {}
    for table in TABLES:
        row = {column.name: mark(table, column) for column in table.columns}
        rows: list[dict[str, str | None]]
        rows = [{**row, "account_id": account} for account in (ACTIVE, ENDED)]
        for key in filter(None, (table.key if table.key != "account_id" else None,)):
            rows[1][key] = f"{rows[1][key]}2"
        if table.name == "accounts":
            rows = [
                {**one, "segment": "MARKsegment", "seats": "91731", "note": "MARKnote"}
                for one in rows
            ]
            rows[0] |= {"ended_on": None, "end_reason": None}
            rows[1] |= {"ended_on": "2024-12-05", "started_on": row["started_on"]}
        frames[table.name] = pd.DataFrame(rows, dtype=str)
    attributes = {"segment": "text", "seats": "number", "note": "text"}
    return ls.read_tables(frames, as_of="2024-12-31", attributes=attributes)


@pytest.fixture(scope="module", params=[ACTIVE, ENDED])
def review(request: pytest.FixtureRequest) -> Review:
    made = ls.review_account(marked_tables(), request.param, ANALYSIS)
    risk = Risk(0.1847, 0.0613, 180, 3, 50, ("MARKreason",), "MARKmodel")
    return replace(made, risk=risk, steps=(NextStep("MARKstep one"), NextStep("MARKstep two")))


def plain(page: str) -> str:
    """The whole file (text, attributes, titles, pictures) without what separates digits."""
    return re.sub(r"(?<=\d)[,\s\u202f\u00a0](?=\d{3})", "", unescape(page))


def forms(column: Column, value: str) -> list[str]:
    """How a value may read on a page."""
    if column.kind in ("day", "moment"):
        day = date.fromisoformat(value[:10])
        return [day.isoformat(), day_text(day)]
    return [value]


def shown_in(page: str, table: Table, column: Column) -> bool:
    return any(
        re.search(rf"(?<!\d){re.escape(form)}(?!\d)", page)
        for form in forms(column, mark(table, column))
    )


def test_only_what_is_allowed_reaches_the_page(review: Review) -> None:
    page = plain(ls.report.review_page(review, for_customer=True))
    seen = {
        (table.name, column.name)
        for table, column in COLUMNS
        if column.kind != "boolean" and column.name != "account_id" and not column.allowed
        and shown_in(page, table, column)
    }  # fmt: skip
    assert seen - ALLOWED == set()
    assert ("plans", "objective") in seen
    assert ("results", "value") in seen
    assert ("commitments", "action") in seen
    for hidden in ("MARKaim", "MARKtrait", "MARKwhy", "MARKsegment", "91731", "MARKnote",
                   "MARKreason", "MARKmodel", "MARKstep", "2024-12-04"):  # fmt: skip
        assert hidden not in page
    body = page[page.index("<body") :].lower()
    for word in ("risk", "next step", "revenue", "renewal", "notice", "reason", "segment", "seats",
                 "ticket", "expansion", "contract", "flag", "health", "survey", "internal",
                 "sponsor last met", "shown to the customer", "leave"):  # fmt: skip
        assert not re.search(rf"(?<![\w-]){word}", body), word


def test_no_form_of_risk_or_loss_reaches_the_page(review: Review) -> None:
    """Neither the risk in any wording, nor its rank, nor what it costs, as the other page has."""
    arr = float(mark(*next(pair for pair in COLUMNS if pair[1].name == "arr")))
    forms = {
        "0.1847", of_hundred(0.1847), share_text(0.1847), of_hundred(0.0613), share_text(0.0613),
        "3 of 50", f"{arr:.0f}", f"{0.1847 * arr:.0f}",
    }  # fmt: skip
    page = plain(ls.report.review_page(review, for_customer=True))
    assert {form for form in forms if form in page} == set()
    inside = plain(ls.report.review_page(review))
    assert {form for form in (of_hundred(0.1847), of_hundred(0.0613)) if form in inside}


def test_data_and_printout_hold_no_more_than_the_page(review: Review) -> None:
    shown = for_customer(review)
    text = plain(json.dumps(shown.to_dict()) + repr(shown) + shown.to_frame().to_string())
    seen = {
        (table.name, column.name)
        for table, column in COLUMNS
        if column.kind != "boolean" and column.name != "account_id" and not column.allowed
        and shown_in(text, table, column)
    }  # fmt: skip
    # The day of a promise is not on the page, but is nothing that the customer does not know.
    assert seen - ALLOWED - {("commitments", "agreed_on")} == set()
    assert "MARKstep" not in text
    assert "MARKreason" not in text
    assert "0.18" not in text


def test_inside_all_of_it_is_there(review: Review) -> None:
    """The marks would be seen: the page for the vendor shows what the other leaves out."""
    page = plain(ls.report.review_page(review))
    for told in ("MARKsegment", "91731", "MARKreason", "MARKmodel", "MARKstep one",
                 "MARKticketsseverity"):  # fmt: skip
        assert told in page, told


def test_every_column_of_a_frame_is_allowed_or_empty(review: Review) -> None:
    shown = for_customer(review)
    assert {name for name, value in shown.facts.items() if value is not None} <= set(FACTS)
    for name, columns in ROWS.items():
        frame = getattr(shown, name)
        filled = {column for column in frame if frame[column].notna().any()}
        assert filled <= set(columns)
    rest = {one.name for one in fields(Review)} - {*ROWS, "facts"}
    told = {name for name in rest if getattr(shown, name)}
    assert told <= {"account_id", "as_of_date", "status", "processes", "missed"}


def test_the_command_says_no_more_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], business_folder: Path
) -> None:
    accounts = ls.read_tables(business_folder).frame("accounts")
    name = accounts["account_id"].iloc[0]
    command = ["review", str(business_folder), "--account", name, "--out", str(tmp_path / "r.html")]
    assert main([*command, "--for-customer", "--json", "-", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["arr"] is told["risk"] is told["renewal_on"] is None
    assert told["attributes"] == {}
    assert told["next_steps"] == told["tickets"] == told["contract_changes"] == []
