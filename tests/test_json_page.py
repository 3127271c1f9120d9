"""The page on JSON lists the keys that each command writes, and llms.txt is that of its script."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import leadsignal as ls
from leadsignal.cli import main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
KEYS = {
    command: re.findall(r"`(\w+)`", keys)
    for command, keys in re.findall(r"(?m)^\| `([^`]+)` \| (`.+) \|$", PAGE)
}

sys.path.insert(0, str(ROOT / "docs" / "make"))
import commands  # noqa: E402  # beside the pages, no part of the library
import llms  # noqa: E402


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, shared_session: None) -> Iterator[Path]:
    """A business with tables, a model and scores of its day."""
    folder = tmp_path_factory.mktemp("json")
    tables = ls.simulate(300, seed=3, days=900).write(folder / "tables")
    exports = ls.simulate(40, seed=3).write(folder / "exports")
    (exports / "leadsignal.toml").unlink()
    in_use = ls.read_tables(tables)  # While they are, all commands share their panel.
    fitted = ["fit", str(tables), "--estimator", "logistic", "--out", str(folder / "model")]
    assert main([*fitted, "--json", str(folder / "fit.json"), "--quiet"]) == 0
    scored = ["score", str(tables), "--model", str(folder / "model")]
    scored += ["--out", str(folder / "scores"), "--json", str(folder / "score.json"), "--quiet"]
    assert main(scored) == 0
    yield folder
    del in_use


WORDS = {
    "init": "init {0}/exports",
    "check": "check {0}/tables",
    "panel": "panel {0}/tables --out {0}/panel.parquet",
    "panel --extend": "panel {0}/tables --extend --out {0}/weekly",
    "compare": "compare {0}/tables --by measured",
    "compare --by all": "compare {0}/tables --by all --method time_dependent",
    "discover": "discover {0}/tables",
    "audit": "audit {0}/tables",
    "backtest": "backtest {0}/tables --estimator logistic --origins 1",
    "monitor": "monitor {0}/tables --scores {0}/scores",
    "report": "report {0}/tables --estimator logistic --origins 1 --out {0}/report.html",
    "review": "review {0}/tables --account {1} --out {0}/account.html",
}


def content(place: Path, command: str) -> dict[str, object]:
    """Return the JSON of a command, which the fixture or this writes."""
    file = place / f"{command.replace(' ', '_')}.json"
    if command in WORDS:
        accounts = ls.read_tables(place / "tables").frame("accounts")
        active = accounts.loc[accounts["ended_on"].isna(), "account_id"].iloc[0]
        words = WORDS[command].format(place, active).split()
        main([*words, "--json", str(file), "--quiet"])
    found: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("command", KEYS)
def test_a_command_writes_the_keys_that_are_listed(command: str, place: Path) -> None:
    found = content(place, command)
    assert found["ok"] is True, found
    assert sorted(found) == sorted({"ok", *KEYS[command]})


def test_every_command_is_listed() -> None:
    assert {name.split()[0] for name in KEYS} | {"demo"} == set(commands.commands())


def test_a_failed_command_says_why(tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_text("account_id,started_on,ended_on\na,2024-13-01,\n")
    out = tmp_path / "out.json"
    assert main(["audit", str(tmp_path), "--json", str(out)]) == 2
    found = json.loads(out.read_text())
    assert (found["ok"], sorted(found)) == (False, ["error", "faults", "ok"])
    assert {"file", "line", "column", "value", "problem"} <= set(found["faults"][0])


def test_warnings_have_the_keys_that_the_page_names(place: Path) -> None:
    warnings = content(place, "check")["warnings"]
    assert isinstance(warnings, list)
    assert all({"kind", "table", "column", "message"} == {*one} - {"affects"} for one in warnings)


def test_the_file_for_agents_is_that_of_its_script_and_leads_somewhere() -> None:
    text = (ROOT / "llms.txt").read_text(encoding="utf-8")
    assert text == llms.text(), "python docs/make/llms.py llms.txt"
    links = re.findall(r"\]\(([^)#]+)", text)
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert len(links) > 40
