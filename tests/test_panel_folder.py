"""A panel in a folder to which each run adds snapshots: the same to the byte as one built at once.

More random tables than these: benchmarks/panel_reference.py --weeks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import leadsignal as ls
from contract_rows import BEGIN, random_contracts
from extended import as_exported_on, before_corrections, case_of, differences, equal, weeks_of
from futures import as_bytes
from leadsignal.cli import main
from leadsignal.config.project import Behaviors, Project
from leadsignal.config.success import Process, SuccessAnalysis
from leadsignal.errors import BusyError
from leadsignal.files.writing import exclusive_lock
from leadsignal.panel_folder import PanelFolder, extend_panel
from leadsignal.tables import read_tables
from random_tables import Case


@pytest.mark.parametrize("seed", range(20))
def test_several_weeks_one_after_the_other(seed: int, tmp_path: Path) -> None:
    case = case_of(seed)
    tables = case.read()
    for number, day in enumerate(weeks_of(case, Random(seed))):
        known = tables.as_of(day)
        made = extend_panel(known, case.analysis, tmp_path / "panel")
        assert (made.built_in_full == "") == (number > 0)
        assert equal(made, known, case.analysis), f"{number}: {day}"


@pytest.mark.parametrize(
    ("seed", "earlier"),
    [(40, as_exported_on), (40, before_corrections), (43, before_corrections)],
)
def test_rows_that_were_added_or_corrected(
    seed: int, earlier: Callable[[Case, date, Random], Case], tmp_path: Path
) -> None:
    assert differences(seed, tmp_path / "panel", earlier) == []


@pytest.mark.parametrize("seed", range(1, 9, 2))
def test_accounts_derived_from_contracts_that_were_corrected(seed: int, tmp_path: Path) -> None:
    as_of = BEGIN + timedelta(days=400)
    tables = read_tables({"contracts": pd.DataFrame(random_contracts(seed))}, as_of=as_of)
    for days in (200, 90, 7, 0):
        known = tables.as_of(as_of - timedelta(days=days))
        assert equal(extend_panel(known, None, tmp_path / "panel"), known, SuccessAnalysis(()))


# A small business whose behaviours are in one file a week ----------------------------------------

FIRST = date(2024, 1, 1)
PROJECT = Project(every=7, behaviors=Behaviors(("closed",)))
ANALYSIS = SuccessAnalysis((Process("p", ("closed",), 2, 14, by_users=2, sustained_for=2),))


def accounts(**changed: Any) -> pd.DataFrame:
    """Three accounts: one ends, and one starts later."""
    rows = {
        "a": {"started_on": FIRST, "ended_on": None, "arr": 100},
        "b": {"started_on": FIRST, "ended_on": None, "arr": 200},
        "c": {"started_on": FIRST + timedelta(days=100), "ended_on": None, "arr": 300},
    }
    for name, cells in changed.items():
        rows[name] = {**rows.get(name, {}), **cells}
    frame = pd.DataFrame([{"account_id": name, **cells} for name, cells in rows.items()])
    return frame.assign(ended_on=pd.to_datetime(frame["ended_on"]))


def events(week: int) -> list[dict[str, Any]]:
    """The behaviours of a week: from the day after its Monday to the next Monday."""
    rng, day = Random(week), FIRST + timedelta(days=7 * week)
    names = ["a", "b", *(["c"] if week > 15 else [])]
    return [
        {
            "account_id": rng.choice(names),
            "occurred_at": day + timedelta(days=rng.randint(0, 6)),
            "behavior": rng.choice(["closed", "filed"]),
            "user_id": rng.choice(["u1", "u2", "u3"]),
        }
        for _ in range(5)
    ]


def write_week(folder: Path, week: int, added: list[dict[str, Any]] | None = None) -> Path:
    rows = [*events(week), *(added or [])]
    path = folder / "behaviors" / f"{week:02d}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    os.utime(path, (week, week))
    return path


def write_accounts(folder: Path, **changed: Any) -> None:
    accounts(**changed).to_parquet(folder / "accounts.parquet")


def until(week: int) -> date:
    return FIRST + timedelta(days=7 * week)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with the files of 40 weeks."""
    folder = tmp_path / "tables"
    for week in range(40):
        write_week(folder, week)
    write_accounts(folder)
    return folder


def run(files: Path, as_of: date, project: Project = PROJECT) -> PanelFolder:
    """Extend the panel beside the tables, and compare it with one that is built at once."""
    now = replace(project, folder=files, as_of=as_of)
    made = extend_panel(now, ANALYSIS, files.parent / "panel")
    assert equal(made, read_tables(files, project=now), ANALYSIS)
    return made


def test_a_week_reads_its_file_only(files: Path) -> None:
    run(files, until(40))
    write_week(files, 40)
    made = run(files, until(41))
    assert (made.built_in_full, made.new_rows) == ("", 3)
    assert made._tables.rows_read["behaviors"] == 5
    names = sorted(path.name for path in (files.parent / "panel" / "snapshots").iterdir())
    assert names == [f"{until(40)}.parquet", f"{until(41)}.parquet"]
    current = made.current()
    assert as_bytes(current.frame) == as_bytes(made.panel().snapshot().frame)


def test_files_that_are_written_stay_as_they_are(files: Path) -> None:
    run(files, until(38))
    snapshots = files.parent / "panel" / "snapshots"
    before = (snapshots / f"{until(38)}.parquet").read_bytes()
    run(files, until(40))
    assert (snapshots / f"{until(38)}.parquet").read_bytes() == before


def test_the_same_week_twice_is_the_same_folder(files: Path) -> None:
    def content() -> dict[str, bytes]:
        folder = files.parent / "panel"
        return {str(one): one.read_bytes() for one in folder.rglob("*") if one.is_file()}

    for as_of in (until(38), until(39), until(39) + timedelta(days=3)):
        run(files, as_of)
        before = content()
        assert run(files, as_of).built_in_full == ""
        assert content() == before


def test_days_between_two_snapshots(files: Path) -> None:
    """Rows of such a day are replaced by the next run."""
    for days in (0, 1, 3, 7, 8, 20):
        made = run(files, until(36) + timedelta(days=days))
        assert (made.built_in_full == "") == (days > 0)


def test_only_files_with_later_rows_are_read_again(files: Path) -> None:
    run(files, until(40) - timedelta(days=3))
    write_week(files, 40)
    assert run(files, until(41))._tables.rows_read["behaviors"] == 10


def test_an_end_that_becomes_known_late(files: Path) -> None:
    """The outcomes of all rows change, and rows after the end are left out."""
    run(files, until(40))
    write_week(files, 40, [])
    write_accounts(files, b={"ended_on": until(38)})
    assert run(files, until(41)).built_in_full == ""
    write_accounts(files, b={"ended_on": until(38)}, a={"ended_on": until(41)})
    assert run(files, until(42)).built_in_full == ""


def test_accounts_that_are_new(files: Path) -> None:
    write_accounts(files)
    run(files, until(40))
    write_week(files, 40)
    new = {"started_on": until(40) + timedelta(days=2), "ended_on": None, "arr": 7}
    write_accounts(files, d=new)
    assert run(files, until(41)).built_in_full == ""
    write_accounts(files, d=new, e={**new, "started_on": until(20)})
    assert "rows of accounts before 2024-10-14 have changed" in run(files, until(42)).built_in_full


def test_an_account_recorded_after_its_first_rows(files: Path) -> None:
    """Its rows were read before it had a snapshot, and count once it has one."""
    recorded = accounts(d={"started_on": until(38), "ended_on": None, "arr": 7})
    recorded["recorded_at"] = pd.to_datetime(recorded["started_on"])
    recorded.loc[3, "recorded_at"] = pd.Timestamp(until(40) + timedelta(days=1))
    recorded.to_parquet(files / "accounts.parquet")
    mine = {"account_id": "d", "behavior": "closed", "user_id": "u9"}
    write_week(files, 39, [{**mine, "occurred_at": until(39) + timedelta(days=1)}])
    run(files, until(40))
    write_week(files, 40, [{**mine, "occurred_at": until(40) + timedelta(days=3)}])
    made = run(files, until(41))
    assert made.built_in_full == ""
    assert made._tables.rows_read["behaviors"] == 6
    assert made.frame().query("account_id == 'd'")["behavior_closed_events_90d"].tolist()[-1] == 2


CHANGES: dict[str, tuple[Callable[[Path], object], Project, str]] = {
    "a row of the past": (
        lambda files: write_week(files, 3, [{**events(3)[0], "user_id": "u4"}]),
        PROJECT,
        "rows of behaviors before 2024-10-07 have changed",
    ),
    "a row of the past in a new file": (
        lambda files: write_week(files, 41, [{**events(3)[0], "user_id": "u4"}]),
        PROJECT,
        "a new file has rows of behaviors before 2024-10-07",
    ),
    "a file that is gone": (
        lambda files: (files / "behaviors" / "05.parquet").unlink(),
        PROJECT,
        "rows of behaviors before 2024-10-07 have changed",
    ),
    "a fact of an account": (
        lambda files: write_accounts(files, a={"arr": 101}),
        PROJECT,
        "rows of accounts before 2024-10-07 have changed",
    ),
    "other days": (
        lambda files: None,
        replace(PROJECT, every=14),
        "every (7 days then, 14 days now)",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_past_is_built_in_full(what: str, files: Path) -> None:
    change, project, why = CHANGES[what]
    run(files, until(40))
    write_week(files, 40)
    change(files)
    made = run(files, until(42), project)
    assert why in made.built_in_full
    assert why in str(made)
    assert run(files, until(42), project).built_in_full == ""


def test_a_file_that_was_written_again_with_the_same_rows(files: Path) -> None:
    run(files, until(40))
    os.utime(write_week(files, 3), (99, 99))
    assert run(files, until(40)).built_in_full == ""


def test_a_run_that_was_stopped_leaves_the_panel_as_it_was(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run(files, until(40))
    before = made.frame()
    write_week(files, 40)
    monkeypatch.setattr("leadsignal.panel_folder.asdict", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(files, until(41))
    assert as_bytes(made.frame()) == as_bytes(before)
    monkeypatch.undo()
    assert run(files, until(41)).built_in_full == ""
    monkeypatch.setattr("leadsignal.panel_folder.asdict", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(files, until(41), replace(PROJECT, every=14))
    monkeypatch.undo()
    assert "first run" in run(files, until(41)).built_in_full


def test_what_is_refused(files: Path, tmp_path: Path) -> None:
    run(files, until(40))
    with pytest.raises(ls.OptionError, match="has a panel of 2024-10-07, after as_of 2024-09-30"):
        run(files, until(39))
    for content in ("{}", "no JSON", json.dumps({"format": 1})):
        other = tmp_path / "other"
        other.mkdir(exist_ok=True)
        (other / "panel.json").write_text(content)
        with pytest.raises(ls.OptionError, match="is no panel of extend_panel"):
            extend_panel(read_tables(files), None, other)
    (other / "panel.json").rename(other / "mine.txt")
    with pytest.raises(ls.OptionError, match="is no panel of extend_panel"):
        extend_panel(read_tables(files), None, other)
    sample = read_tables(files).sample_accounts(0.5, keep_churned=True)
    with pytest.raises(ls.OptionError, match="is a sample of all churned customers"):
        extend_panel(sample, None, tmp_path / "new")


def test_the_command_extends_a_folder_once_a_week(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, outcome = files.parent / "weekly", files.parent / "o.json"
    command = ["panel", str(files), "--out", str(folder), "--every", "7d", "--json", str(outcome)]
    for week in (39, 40):
        assert main([*command, "--extend", "--as-of", str(until(week))]) == 0
        found = json.loads(outcome.read_text())
        assert (found["built_in_full"] == "") == (week == 40)
    assert "3 new rows" in capsys.readouterr().out
    for option in ("--strict", "--drop-bad-rows"):
        assert main([*command, "--extend", option]) == 2
        assert f"{option} cannot be used with --extend" in capsys.readouterr().err
    (files / "mine").mkdir()
    (files / "mine" / "mine.txt").write_text("mine")
    assert main(["panel", str(files), "--out", str(files / "mine"), "--extend"]) == 2
    assert "is not a panel in a folder" in capsys.readouterr().err


def test_two_runs_never_write_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADSIGNAL_LOCK_WAIT", "0")
    case = case_of(3)
    tables, folder = case.read(), tmp_path / "panel"
    with exclusive_lock(folder), pytest.raises(BusyError, match="is being written"):
        extend_panel(tables, case.analysis, folder)
    assert not folder.exists()
    extend_panel(tables, case.analysis, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["panel"]
