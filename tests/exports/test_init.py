"""From a folder of exports to right numbers: what `init` writes is read without being edited.

Recurly's file does not say how long a billing period is: that question is answered.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

import leadsignal as ls
from exports.business import Truth
from exports.test_truth import WRITERS
from leadsignal.cli import main
from leadsignal.proposals import ProjectProposal, propose_project

ANSWERS = {"recurly": ("[tables.contracts]\n", '[tables.contracts]\nperiod = "month"\n')}
"""What a person adds to the proposed file; every other system is read as it is proposed."""

WITHOUT_REVENUE = ("intercom",)
"""A company of Intercom has no notice and no revenue but that of today."""

Read = tuple[str, Truth, ls.Tables]


@pytest.fixture(scope="module", params=WRITERS)
def read(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Read:
    """A system, what is true of its folder, and the tables that are read from it."""
    truth, _, tables = proposed(request.param, tmp_path_factory.mktemp(request.param))
    return request.param, truth, tables


def proposed(system: str, folder: Path) -> tuple[Truth, ProjectProposal, ls.Tables]:
    """Write the exports of a system, and read them by what is proposed."""
    truth = WRITERS[system](folder, 0)
    proposal = propose_project(folder)
    path = proposal.write_project()
    before, after = ANSWERS.get(system, ("", ""))
    path.write_text(path.read_text(encoding="utf-8").replace(before, after, 1), encoding="utf-8")
    return truth, proposal, ls.read_tables(folder, as_of=truth.as_of)


def arr_on(tables: ls.Tables) -> float:
    """Return the ARR of the accounts that are active: at the start, with all changes since."""
    accounts = tables.frame("accounts")
    arr = accounts.set_index("account_id")["arr"].astype(float)
    if "contract_changes" in tables.names:
        changes = tables.frame("contract_changes").groupby("account_id")["arr_delta"].sum()
        arr = arr.add(changes.astype(float), fill_value=0)
    return float(arr[accounts.loc[accounts["ended_on"].isna(), "account_id"]].sum())


def test_the_numbers_are_right(read: Read) -> None:
    system, truth, tables = read
    accounts = tables.frame("accounts")
    ended = accounts["ended_on"].notna()
    assert len(accounts) == truth.accounts
    assert (ended.sum(), (~ended).sum()) == (truth.churned, truth.active)
    started = pd.to_datetime(accounts["started_on"]).dt.date
    assert (started.min(), started.max()) == (truth.first_start, truth.last_start)
    assert pd.to_datetime(accounts["ended_on"]).max().date() == truth.last_end
    if system in WITHOUT_REVENUE:
        return
    assert (accounts["end_known_on"].notna() & ~ended).sum() == truth.notified
    assert arr_on(tables) == pytest.approx(truth.arr_active, abs=1)


def test_rows_are_neither_lost_nor_counted_twice(read: Read) -> None:
    _, truth, tables = read
    names = {"tickets": truth.tickets, "behaviors": truth.events, "health_scores": truth.scores,
             "flags": truth.flags, "plans": truth.plans}  # fmt: skip
    for name, rows in names.items():
        assert (name in tables.names) == (rows is not None), name
        if rows is not None:
            assert len(tables.frame(name)) == rows, name
    if truth.users is not None:
        assert tables.frame("behaviors")["user_id"].nunique() == truth.users


def test_names_are_found(read: Read) -> None:
    _, _, tables = read
    assert tables.frame("accounts")["name"].notna().mean() > 0.9


def test_what_links_the_tables_is_not_asked(tmp_path: Path) -> None:
    _, proposal, _ = proposed("segment", tmp_path)
    assert proposal.all_questions() == []


def test_seats_are_asked_about_where_there_are_several(tmp_path: Path) -> None:
    """The query in the question multiplies the ARR of the subscriptions with three seats."""
    truth = WRITERS["stripe_api"](tmp_path, 0)
    assert propose_project(tmp_path).all_questions() == []
    file = tmp_path / "subscriptions.json"
    text = file.read_text(encoding="utf-8").replace('"quantity": 1', '"quantity": 3')
    file.write_text(text, encoding="utf-8")
    proposal = propose_project(tmp_path)
    (question,) = proposal.all_questions()
    assert question.startswith("contracts: Is plan.amount the price of one seat?")
    path = proposal.write_project()
    (unit,) = re.findall(r"^query = .*", path.read_text(encoding="utf-8"), re.MULTILINE)
    answer = question[question.index("query = ") :]
    written = path.read_text(encoding="utf-8").replace(unit, answer)
    path.write_text(written, encoding="utf-8")
    arr = arr_on(ls.read_tables(tmp_path, as_of=truth.as_of))
    assert arr == pytest.approx(3 * truth.arr_active, abs=1)


def test_two_sheets_of_a_workbook_are_two_tables(tmp_path: Path) -> None:
    """Accounts are found by their names in the other sheet."""
    truth = WRITERS["zendesk"](tmp_path / "texts", 0)
    with pd.ExcelWriter(tmp_path / "export.xlsx") as book:
        for name in ("accounts", "tickets"):
            rows = pd.read_csv(tmp_path / "texts" / f"{name}.csv")
            rows.to_excel(book, sheet_name=name, index=False)
            (tmp_path / "texts" / f"{name}.csv").unlink()
    proposal = propose_project(tmp_path)
    assert "export.xlsx (tickets): read as tickets" in repr(proposal)
    proposal.write_project()
    tables = ls.read_tables(tmp_path, as_of=truth.as_of)
    assert len(tables.frame("accounts")) == truth.accounts
    assert len(tables.frame("tickets")) == truth.tickets


@pytest.mark.parametrize("system", ["stripe", "zendesk"])
def test_two_commands_lead_to_a_list_with_names(
    system: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    truth = WRITERS[system](folder, 0)
    assert main(["init", str(folder)]) == 0
    out = tmp_path / "scores.csv"
    assert main(["score", str(folder), "--as-of", str(truth.as_of), "--out", str(out)]) == 0
    scores = pd.read_csv(out)
    assert len(scores) == truth.active - truth.notified
    assert scores["name"].notna().all()
    assert "next: " in capsys.readouterr().out
