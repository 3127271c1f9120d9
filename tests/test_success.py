from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsignal.config.success import (
    Bullseye,
    Process,
    SuccessAnalysis,
    Tracking,
    read_success_analysis,
)
from leadsignal.errors import SuccessAnalysisError

FULL = """
[bullseye]
objective = "Close the month in five days"
success_metric = "days_to_close"
traits = ["a controller owns the close"]

[tracking]
sponsor = ["sponsor_meeting"]
handoff = "owner_changed"

[[process]]
name = "weekly_reconciliation"
why = "accounts that reconcile weekly find errors while they are small"
behavior = "reconciliation_completed"
at_least = 4
by_users = 2
within = "30d"
sustained_for = 2
adopt_by = "90d"
applies_to = { segment = ["mid", "enterprise"] }

[[process]]
name = "close"
behavior = ["closed", "locked"]
at_least = 0.5
within = "4w"
"""


def test_everything_that_can_be_said() -> None:
    analysis = SuccessAnalysis.from_toml(FULL)
    first, second = analysis.processes
    assert first == Process(
        name="weekly_reconciliation",
        why="accounts that reconcile weekly find errors while they are small",
        behaviors=("reconciliation_completed",),
        at_least=4,
        by_users=2,
        within=30,
        sustained_for=2,
        adopt_by=90,
        applies_to={"segment": ("mid", "enterprise")},
    )
    assert second.behaviors == ("closed", "locked")
    assert (second.within, second.by_users, second.adopt_by) == (28, 1, None)
    assert analysis.bullseye.success_metric == "days_to_close"
    assert analysis.tracking == Tracking(("sponsor_meeting",), ("owner_changed",))


def test_it_can_be_shown_and_written() -> None:
    analysis = SuccessAnalysis.from_toml(FULL)
    assert "weekly_reconciliation: 4 reconciliation_completed by 2 users in 30 days" in repr(
        analysis
    )
    assert ">close</td>" in analysis._repr_html_()
    assert list(analysis.to_frame()["name"]) == ["weekly_reconciliation", "close"]
    assert analysis.to_dict()["processes"][1]["behaviors"] == ["closed", "locked"]
    assert SuccessAnalysis.from_toml(analysis.to_toml()) == analysis


def test_html_is_escaped() -> None:
    text = '[bullseye]\nobjective = "<script>"\n' + FULL.split("[tracking]")[1].join(
        ["[tracking]", ""]
    )
    assert "<script>" not in SuccessAnalysis.from_toml(text)._repr_html_()


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1).filter(
    str.strip
)
TEXTS = st.lists(TEXT, min_size=1, max_size=3, unique=True).map(tuple)


@settings(max_examples=60, deadline=None)
@given(TEXT, TEXTS, TEXTS, st.integers(2, 10**6), st.dictionaries(TEXT, TEXTS, max_size=2))
def test_what_is_written_reads_back(
    text: str,
    behaviors: tuple[str, ...],
    traits: tuple[str, ...],
    n: int,
    to: dict[str, tuple[str]],
) -> None:
    process = Process("p", behaviors, n, 30, text, 2, 3, 400, to)
    analysis = SuccessAnalysis((process,), Bullseye(text, text, traits), Tracking(diary=behaviors))
    assert SuccessAnalysis.from_toml(analysis.to_toml()) == analysis


PROCESS = '[[process]]\nname = "p"\nbehavior = "b"\nat_least = 1\nwithin = "30d"\n'


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", None, "names no process"),
        ("process = 3\n", 1, "must be a list of sections"),
        ("process = [3]\n", 1, "must be a section"),
        (PROCESS.replace('"b"', "[]"), 3, "names no behaviour"),
        (PROCESS.replace("= 1", "= 0"), 4, "must be a number above 0"),
        (PROCESS.replace("= 1", '= "1"'), 4, "must be a number above 0"),
        (PROCESS.replace('"p"', '"2p"'), 2, "cannot be used as a column name"),
        (PROCESS + "by_users = 2\n", 6, "is above at_least"),
        (PROCESS + "sustained_for = 0\n", 6, "must be a whole number"),
        (PROCESS + "applies_to = { a = 1 }\n", 6, "must be a list of texts"),
        (PROCESS + '[bulseye]\nobjective = "x"\n', 6, "is not a known key"),
        (PROCESS + "[tracking]\ndiary = 3\n", 7, "must be a list of texts"),
        (PROCESS + PROCESS, 7, "names two processes"),
        (PROCESS + "[[process]]\n", 6, "has no name"),
    ],
)
def test_what_is_refused(text: str, line: int | None, problem: str) -> None:
    with pytest.raises(SuccessAnalysisError, match=problem) as caught:
        SuccessAnalysis.from_toml(text, "success.toml")
    assert caught.value.faults[0].line == line


def test_it_is_found_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "success.toml").write_text(PROCESS, encoding="utf-8")
    assert read_success_analysis(tmp_path) == read_success_analysis(tmp_path / "success.toml")
    with pytest.raises(SuccessAnalysisError, match="no such file"):
        read_success_analysis(tmp_path / "nothing.toml")
    (tmp_path / "success.toml").write_bytes(b"\xff")
    with pytest.raises(SuccessAnalysisError, match="is not UTF-8"):
        read_success_analysis(tmp_path)


SEGMENTS = (
    '[bullseye]\nobjective = "Close fast"\nsuccess_metric = "days"\n'
    '[[segment]]\napplies_to = { segment = ["large"] }\nsuccess_metric = "entities"\n'
)


def _own(name: str, *segments: str) -> str:
    listed = ", ".join(f'"{segment}"' for segment in segments)
    return PROCESS.replace('"p"', f'"{name}"') + f"applies_to = {{ segment = [{listed}] }}\n"


def test_segments_may_have_their_own() -> None:
    text = SEGMENTS + PROCESS + _own("q", "large")
    analysis = SuccessAnalysis.from_toml(text)
    assert analysis.success_metrics == ("days", "entities")
    large = analysis.bullseye_of({"segment": "large"})
    assert large == Bullseye("Close fast", "entities")
    assert analysis.bullseye_of({"segment": "small"}) == analysis.bullseye
    assert [p.name for p in analysis.processes_of({"segment": "small"})] == ["p"]
    assert SuccessAnalysis.from_toml(analysis.to_toml()) == analysis
    assert analysis.to_dict()["segments"][0]["applies_to"] == {"segment": ["large"]}


def test_three_processes_an_account_and_more_across_segments() -> None:
    four = "".join(_own(f"p{k}", f"s{k % 2}") for k in range(4)) + PROCESS
    assert len(SuccessAnalysis.from_toml(four).processes) == 5
    with pytest.raises(SuccessAnalysisError, match="4 processes for the same accounts") as caught:
        SuccessAnalysis.from_toml(four + PROCESS.replace('"p"', '"q"'))
    assert len(caught.value.faults) == 1
    # a, b / b, c / a, c meet two by two, and nowhere all three.
    ring = _own("x", "a", "b") + _own("y", "b", "c") + _own("z", "a", "c") + PROCESS
    assert len(SuccessAnalysis.from_toml(ring).processes) == 4


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('[[segment]]\nobjective = "x"\n', 6, "does not say what it applies to"),
        ('[[segment]]\napplies_to = { a = ["b"] }\n', 6, "defines nothing of its own"),
        ('[[segment]]\nmetric = "x"\n', 7, "is not a known key"),
        ("segment = 3\n", None, "must be a list of sections"),
    ],
)
def test_segments_that_are_refused(text: str, line: int | None, problem: str) -> None:
    whole = text + PROCESS if line is None else PROCESS + text
    with pytest.raises(SuccessAnalysisError, match=problem) as caught:
        SuccessAnalysis.from_toml(whole)
    found = [fault for fault in caught.value.faults if problem in fault.problem]
    assert line in (None, found[0].line)
