"""Outputs never destroy what they did not create: every command, option and kind of thing."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import leadsignal as ls
from leadsignal.cli import _parser, main
from leadsignal.cli.shared import check_outputs
from leadsignal.files import outputs
from leadsignal.files.outputs import (
    OUTCOME,
    is_ours,
)
from leadsignal.scoring.scores import write_scores

COMMANDS: dict[str, list[str]] = {
    "check": ["t"],
    "discover": ["t"],
    "panel": ["t"],
    "audit": ["t"],
    "backtest": ["t"],
    "fit": ["t"],
    "score": ["t", "--model", "m"],
    "monitor": ["t", "--scores", "s.csv"],
    "compare": ["t", "--by", "measured"],
    "report": ["t"],
    "review": ["t", "--account", "A"],
    "demo": [],
    "init": ["n"],
}
NEEDED = {
    "panel": "p.parquet",
    "fit": "m2",
    "score": "o.csv",
    "report": "r.html",
    "review": "r.html",
}
OPTIONS: dict[str, dict[str, str]] = {
    "discover": {"--out": ".toml", "--picture": ".png"},
    "panel": {"--out": ".parquet"},
    "fit": {"--out": "", "--metrics": ".prom"},
    "score": {
        "--out": ".csv",
        "--call-list": ".csv",
        "--accounts-dir": "",
        "--record": ".run.json",
        "--metrics": ".prom",
    },
    "monitor": {"--metrics": ".prom"},
    "compare": {"--out": ".csv"},
    "report": {"--out": ".html", "--accounts-dir": ""},
    "review": {"--out": ".html"},
    "demo": {"--out": ""},
}
"""The options of each command that name an output, and how it ends; all have --json besides."""

CASES = [
    (command, option, ending)
    for command in COMMANDS
    for option, ending in {**OPTIONS.get(command, {}), "--json": ".json"}.items()
]


def test_every_output_option_is_here() -> None:
    """What writes is found in the parser by its name."""
    words = ("out", "json", "call-list", "accounts-dir", "picture", "record", "metrics")
    (choices,) = [a.choices for a in _parser()._actions if isinstance(a.choices, dict)]
    found = {
        (name, option)
        for name, parser in choices.items()
        for action in parser._actions
        for option in action.option_strings
        if option[2:] in words
    }
    assert found == {(command, option) for command, option, _ in CASES}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a project, a model, scores, and what is nobody's business."""
    here = tmp_path / "work"
    (here / "t" / "usage").mkdir(parents=True)
    (here / "t" / "more").mkdir()
    (here / "t" / "accounts.csv").write_text("account_id,started_on\nA,2024-01-01\n")
    (here / "t" / "usage" / "part.csv").write_text("account_id,occurred_at\n")
    (here / "t" / "named.csv").write_text("account_id,occurred_at\n")
    (here / "t" / "notes.txt").write_text("mine")
    (here / "t" / "leadsignal.toml").write_text('[tables.tickets]\npath = "named.csv"\n')
    (here / "n").mkdir()
    (here / "n" / "accounts.csv").write_text("account_id,started_on\nA,2024-01-01\n")
    (here / "m").mkdir()
    (here / "m" / "model.json").write_text('{"trained_through": ""}')
    (here / "m" / "SHA256SUMS").write_text("")
    (here / "s.csv").write_text("account_id,snapshot_on,risk\n")
    (here / "full").mkdir()
    (here / "full" / "mine.txt").write_text("mine")
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(outputs, "_READ", {})
    return here


def bytes_of(folder: Path) -> dict[str, str]:
    """Everything below a folder: digests of files, what else there is by its kind."""
    told = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            told[name] = f"link to {os.readlink(path)}"
        elif path.is_file():
            told[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            told[name] = f"{path.lstat().st_mode:o}"
    return told


def unrelated(ending: str) -> str:
    Path(f"mine{ending}").write_text("what somebody wrote\n")
    return f"mine{ending}"


def link(ending: str) -> str:
    Path(f"link{ending}").symlink_to(unrelated(ending))
    return f"link{ending}"


def link_to_input(ending: str) -> str:
    Path(f"link{ending}").symlink_to("t/accounts.csv")
    return f"link{ending}"


def link_in_a_circle(ending: str) -> str:
    Path(f"one{ending}").symlink_to(f"two{ending}")
    Path(f"two{ending}").symlink_to(f"one{ending}")
    return f"one{ending}"


def link_into_nowhere(ending: str) -> str:
    Path(f"lost{ending}").symlink_to(f"nowhere/at/all{ending}")
    return f"lost{ending}"


def fifo(ending: str) -> str:
    os.mkfifo(f"pipe{ending}")
    return f"pipe{ending}"


def a_socket(ending: str) -> str:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"socket{ending}")
    return f"socket{ending}"


def folder(ending: str) -> str:
    Path(f"folder{ending}").mkdir()
    (Path(f"folder{ending}") / "mine.txt").write_text("mine")
    return f"folder{ending}"


TARGETS: dict[str, Callable[[str], str]] = {
    "input file": lambda ending: "t/accounts.csv",
    "named input": lambda ending: "t/named.csv",
    "part of an input": lambda ending: "t/usage/part.csv",
    "new part of an input": lambda ending: f"t/usage/new{ending}",
    "settings": lambda ending: "t/leadsignal.toml",
    "analysis": lambda ending: "t/success.toml",
    "table to be": lambda ending: "t/behaviors.csv",
    "folder of a table to be": lambda ending: "t/behaviors",
    "input folder": lambda ending: "t/usage",
    "project": lambda ending: "t",
    "parent": lambda ending: "..",
    "here": lambda ending: ".",
    "nothing": lambda ending: "",
    "root": lambda ending: "/",
    "in a model": lambda ending: f"m/more{ending}",
    "unrelated file": unrelated,
    "link": link,
    "link to an input": link_to_input,
    "link in a circle": link_in_a_circle,
    "link into nowhere": link_into_nowhere,
    "fifo": fifo,
    "socket": a_socket,
    "device": lambda ending: "/dev/null",
    "stdout": lambda ending: "/dev/stdout",
    "folder": folder,
    "name that is too long": lambda ending: "n" * 300 + ending,
    "no such folder": lambda ending: f"nowhere/new{ending}",
}
NEVER_BY_FORCE = set(TARGETS) - {"unrelated file", "link"}
FINE = {("discover", "--out", "analysis"), ("demo", "--out", "no such folder")}
"""A new success.toml is what `discover` writes; `demo` makes the folders that it needs."""


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("command", "option", "ending"), CASES)
def test_nothing_but_the_output_changes(
    command: str,
    option: str,
    ending: str,
    target: str,
    place: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if (command, option, target) in FINE:
        return
    given = TARGETS[target](ending)
    before = bytes_of(place.parent)
    for force in ([], ["--force"]) if target in NEVER_BY_FORCE else ([],):
        arguments = [command, *COMMANDS[command], option, given, *force]
        if option == "--record":
            arguments += ["--to-table", "scores"]
        elif option != "--out" and command in NEEDED:
            arguments += ["--out", NEEDED[command]]
        assert main(arguments) == 2
        assert bytes_of(place.parent) == before
        said = capsys.readouterr()
        assert re.match(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d leadsignal {command}: ", said.err)
        assert said.err.count("\n") == 1
        assert (said.out, "Traceback" in said.err) == ("", False)


@pytest.mark.parametrize("command", ["fit", "score", "report", "compare"])
def test_outputs_of_one_run_are_apart(
    command: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = {"fit": "o", "score": "o.csv", "report": "o.html", "compare": "o.md"}[command]
    Path("alias").symlink_to(out)
    before = bytes_of(place)
    for other in (out, f"./{out}", "alias"):
        assert main([command, *COMMANDS[command], "--out", out, "--json", other]) == 2
        assert "two outputs are one" in capsys.readouterr().err
    if command == "fit":
        assert main(["fit", "t", "--out", "o", "--json", "o/told.json"]) == 2
    assert bytes_of(place) == before


def accepted(*arguments: str) -> bool:
    try:
        check_outputs(_parser().parse_args(arguments))
    except ls.OptionError:
        return False
    return True


def test_what_is_ours_new_or_empty_may_be_replaced(place: Path) -> None:
    score = ("score", "t", "--model", "m", "--out")
    assert accepted(*score, "s.csv")
    assert accepted(*score, "new.csv", "--json", "new.json")
    assert accepted(*score, "t/scores.csv")
    Path("empty.csv").touch()
    assert accepted(*score, "empty.csv")
    assert accepted("fit", "t", "--out", "m")
    Path("void").mkdir()
    assert accepted("fit", "t", "--out", "void")
    Path("current").symlink_to("m")
    assert accepted("fit", "t", "--out", "current")
    (place / "m" / "mine.txt").write_text("mine")
    assert not accepted("fit", "t", "--out", "m")
    assert not accepted("fit", "t", "--out", "m", "--force")
    assert not accepted(*score, "mine.csv", "--json", "m/told.json")
    (place / "scores" / "snapshot_on=2024-01-01").mkdir(parents=True)
    (place / "scores" / "README").write_text("mine")
    assert accepted(*score, "scores")
    assert not accepted(*score, "full")
    assert not accepted(*score, "scores/snapshot_on=2024-01-01/o.csv")
    unrelated(".csv")
    assert not accepted(*score, "mine.csv")
    assert accepted(*score, "mine.csv", "--force")
    Path("through.csv").symlink_to("later.csv")
    assert accepted(*score, "through.csv")
    (place / "new.csv.run.json").write_text("mine")
    assert not accepted(*score, "new.csv")


def test_a_pattern_keeps_what_it_would_read(place: Path) -> None:
    (place / "t" / "leadsignal.toml").write_text('[tables.tickets]\npath = "more/*.csv"\n')
    score = ("score", "t", "--model", "m", "--force", "--out")
    assert not accepted(*score, "t/more/new.csv")
    assert accepted(*score, "t/more/new.parquet")


def test_a_project_that_cannot_be_read_is_not_written_into(place: Path) -> None:
    (place / "t" / "leadsignal.toml").write_text("[tables.tickets]\npath = 7\n")
    before = bytes_of(place)
    for name in ("t/named.csv", "t/leadsignal.toml", "t/new.json"):
        assert main(["check", "t", "--json", name, "--force"]) == 2
    assert bytes_of(place) == before


def test_links_and_hard_links_stay(business_folder: Path, place: Path) -> None:
    small = str(business_folder)
    Path("through.json").symlink_to("told.json")
    assert main(["check", small, "--json", "through.json", "--quiet"]) == 0
    assert Path("through.json").is_symlink()
    assert is_ours(Path("told.json"), OUTCOME)
    os.link("told.json", "other.json")
    old = Path("other.json").read_bytes()
    Path("told.json").write_text('{\n  "ok": true}')
    old = Path("other.json").read_bytes()
    assert main(["check", small, "--json", "told.json", "--quiet"]) == 0
    assert Path("other.json").read_bytes() == old
    assert Path("told.json").read_bytes() != old


def test_the_rules_hold_in_python(
    business: ls.Tables,
    business_folder: Path,
    business_panel: ls.Panel,
    business_model: ls.ChurnModel,
    place: Path,
) -> None:
    ls.read_tables(business_folder)
    inside, before = business_folder / "usage.csv", bytes_of(business_folder)
    analysis = business_panel.analysis
    scores = ls.score_accounts(business_model, business, effects={})
    writes: list[Callable[[Path], object]] = [
        lambda path: ls.write_panel(business, analysis, path, force=True),
        lambda path: write_scores(scores, path, force=True),
        lambda path: ls.write_report(path.with_suffix(".html"), business_panel),
        lambda path: ls.save_model(business_model, path),
    ]
    for write in (writes[0], writes[1], writes[3]):
        with pytest.raises(ls.OptionError, match="is an input of this run"):
            write(inside)
    for target in (business_folder, business_folder.parent, place / "full", Path(), Path("/")):
        with pytest.raises(ls.OptionError):
            ls.save_model(business_model, target)
    Path("mine.csv").write_text("mine")
    Path("mine.html").write_text("mine")
    Path("mine.parquet").write_text("mine")
    with pytest.raises(ls.OptionError, match="force=True"):
        write_scores(scores, "mine.csv")
    with pytest.raises(ls.OptionError, match="force=True"):
        ls.write_report("mine.html", business_panel)
    with pytest.raises(ls.OptionError, match="force=True"):
        ls.write_panel(business, analysis, "mine.parquet")
    assert {Path(f"mine{e}").read_text() for e in (".csv", ".html", ".parquet")} == {"mine"}
    write_scores(scores, "mine.csv", force=True)
    write_scores(scores, "mine.csv")
    assert len(ls.read_scores("mine.csv")) == len(scores.frame)
    assert bytes_of(business_folder) == before


def test_a_simulation_replaces_nothing_but_by_force(place: Path) -> None:
    made, other = (ls.simulate(5, days=60, seed=seed) for seed in (1, 2))
    (place / "t" / "usage.csv").write_text("account_id,occurred_at\nmine,2024-01-01\n")
    before = bytes_of(place)
    with pytest.raises(ls.OptionError, match=r"accounts\.csv' is there.*force=True"):
        made.write("t")
    assert bytes_of(place) == before
    made.write("new")
    first = bytes_of(Path("new"))
    made.write("new")
    assert bytes_of(Path("new")) == first
    with pytest.raises(ls.OptionError, match="is not that of this simulation"):
        other.write("new")
    assert bytes_of(Path("new")) == first
    Path("usage.csv").write_text("mine")
    Path("new/usage.csv").unlink()
    Path("new/usage.csv").symlink_to("../usage.csv")
    other.write("new", force=True)
    assert Path("new/usage.csv").is_symlink()
    assert Path("usage.csv").read_text() == other.tables["usage"].to_csv(index=False)
    ls.read_tables("new")
    with pytest.raises(ls.OptionError, match="is an input of this run"):
        made.write("new", force=True)


def test_what_failed_is_written_over_an_unrelated_file_by_force(place: Path) -> None:
    unrelated(".json")
    arguments = ["score", "t", "--model", "nowhere", "--out", "o.csv", "--json", "mine.json"]
    assert main(arguments) == 2
    assert Path("mine.json").read_text() == "what somebody wrote\n"
    assert main([*arguments, "--force"]) == 2
    assert '"ok": false' in Path("mine.json").read_text()
