"""Kits written, filled in, read back, distilled; hostile text stays text; faults name nobody."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import leadsignal as ls
from leadsignal.success_analysis.interview_kit import (
    PROCESS_FIELDS,
    QUESTIONS,
    header,
    markdown,
    read_header,
)

LABELS = {f.key: f.label for q in QUESTIONS for f in q.fields} | {
    f.key: f.label for f in PROCESS_FIELDS
}
RECONCILE = {
    "name": "Weekly reconciliation",
    "why": "errors are found while they are small",
    "behaviors": "reconciliation_completed",
    "at_least": "4",
    "by_users": "2",
    "within": "30d",
    "sustained_for": "2",
    "adopt_by": "120d",
}
REVIEW = {"behaviors": "close_review_held", "at_least": "2", "by_users": "2", "within": "45d"}


def filled(text: str, said: dict[str, str], *processes: dict[str, str]) -> str:
    """Return a brief with its fields filled in, as somebody would in an editor."""
    parts = re.split(r"(?m)^(?=#{2,3} )", text)
    for key, answer in said.items():
        question = next(q for q in QUESTIONS if key in [f.key for f in q.fields])
        n = next(n for n, part in enumerate(parts) if part.startswith(f"## {question.title}\n"))
        parts[n] = _put(parts[n], LABELS[key], answer)
    for number, process in enumerate(processes, 1):
        n = next(n for n, part in enumerate(parts) if part.startswith(f"### Process {number}\n"))
        for key, answer in process.items():
            parts[n] = _put(parts[n], LABELS[key], answer)
    return "".join(parts)


def _put(part: str, label: str, answer: str) -> str:
    assert f"- {label}:" in part
    return re.sub(rf"(?m)^- {label}:.*$", lambda _: f"- {label}: {answer}", part, count=1)


@pytest.fixture(scope="module")
def successful(
    business: ls.Tables, business_analysis: ls.SuccessAnalysis
) -> ls.success_analysis.SuccessfulAccounts:
    return ls.success_analysis.most_successful(business, business_analysis)


@pytest.fixture(scope="module")
def written(
    successful: ls.success_analysis.SuccessfulAccounts,
    business: ls.Tables,
    business_analysis: ls.SuccessAnalysis,
    tmp_path_factory: pytest.TempPathFactory,
) -> ls.success_analysis.InterviewKit:
    folder = tmp_path_factory.mktemp("interviews") / "kit"
    return ls.success_analysis.write_interview_kit(successful, business, folder, business_analysis)


@pytest.fixture
def kit(
    written: ls.success_analysis.InterviewKit, tmp_path: Path
) -> ls.success_analysis.InterviewKit:
    """A copy of the kit, for a test to write in."""
    folder = Path(shutil.copytree(written.folder, tmp_path / "kit"))
    files = {account: folder / path.name for account, path in written.files.items()}
    return replace(written, folder=folder, files=files)


def fill(
    kit: ls.success_analysis.InterviewKit, n: int, said: dict[str, str], *processes: dict[str, str]
) -> Path:
    path = list(kit.files.values())[n]
    path.write_text(filled(path.read_text("utf-8"), said, *processes), encoding="utf-8")
    return path


WORDS = {
    "objective": "Close the month in five days",
    "success_metric": "days_to_close",
    "traits": "a controller owns the close; bought to change",
    "reason": "the auditor had asked Jane Doe",
}


def test_a_brief_tells_the_history(
    kit: ls.success_analysis.InterviewKit,
    successful: ls.success_analysis.SuccessfulAccounts,
    business: ls.Tables,
) -> None:
    assert len(kit) == min(12, len(successful)) >= 10
    assert set(kit.to_frame()["account_id"]) == set(successful.accounts[: len(kit)])
    account, path = next(iter(kit.files.items()))
    text = path.read_text("utf-8")
    row = successful.frame.iloc[0]
    assert read_header(text.splitlines()[0])["account_id"] == account  # type: ignore[index]
    assert f"on target since {row['since']:%Y-%m-%d}" in text
    assert all(f"- {name}: adopted" in text for name in row["processes"])
    tickets = business.frame("tickets")
    assert f"{(tickets['account_id'] == account).sum()} in all" in text
    for question in ("Why did they buy?", "How successful has it been?", "What did they do"):
        assert question in text


def test_filled_kit_in_toml_out(
    kit: ls.success_analysis.InterviewKit, business_analysis: ls.SuccessAnalysis, tmp_path: Path
) -> None:
    for n in range(8):
        fill(kit, n, WORDS, RECONCILE, *([REVIEW] if n < 5 else []))
    fill(kit, 8, {"objective": "Save money"}, REVIEW | {"at_least": "4", "within": "90d"})
    interviews = ls.success_analysis.read_interviews(kit.folder)
    assert (len(interviews), len(interviews.unfilled)) == (9, len(kit) - 9)
    found = ls.success_analysis.distil(interviews)
    assert [(a.text, len(a.accounts)) for a in found.processes] == [
        ("weekly_reconciliation", 8),
        ("close_review_held", 6),
    ]
    written = found.write(tmp_path / "success.toml")
    read = ls.read_success_analysis(tmp_path / "success.toml")
    assert read == written
    assert read.bullseye.objective == "Close the month in five days"
    assert read.bullseye.traits == ("a controller owns the close", "bought to change")
    first, second = read.processes
    planted = business_analysis.processes[0]
    assert (first.name, first.behaviors, first.at_least, first.by_users, first.within) == (
        planted.name, planted.behaviors, planted.at_least, planted.by_users, planted.within,
    )  # fmt: skip
    assert (first.sustained_for, first.adopt_by) == (planted.sustained_for, planted.adopt_by)
    # Four in 90 days is two in 45: the middle of all six.
    assert (second.at_least, second.within, second.sustained_for) == (2, 45, 1)
    assert "# 8 of 9 accounts" in found.candidates()
    assert len(found.to_frame()) == len(found.answers)


def test_a_list_is_not_an_answer(kit: ls.success_analysis.InterviewKit) -> None:
    more = [RECONCILE, REVIEW] + [
        {"behaviors": f"thing_{k}", "at_least": "1", "within": "30d"} for k in range(2)
    ]
    for n in range(4):
        said = WORDS | {"traits": f"trait of all; own {n}; tall" if n < 3 else "big; old; new"}
        objective = "Grow the company" if n % 2 else "Close the month in five days"
        fill(kit, n, said | {"objective": objective}, *(more[:3] if n < 2 else more[1:]))
    found = ls.success_analysis.distil(ls.success_analysis.read_interviews(kit.folder))
    with pytest.raises(ls.OptionError, match="too many answers") as caught:
        found.to_analysis()
    assert "2 objectives are left, 1 may be" in str(caught.value)
    assert "4 processes are left, 3 may be" in str(caught.value)
    chosen = found.to_analysis(
        objective="Close the month", processes=["weekly_reconciliation", "close_review_held"]
    )
    assert [process.name for process in chosen.processes] == [
        "weekly_reconciliation", "close_review_held",
    ]  # fmt: skip
    with pytest.raises(ls.OptionError, match="1 of the processes named are not among the 4"):
        found.to_analysis(objective="x", processes=["nothing"])


SECRET = "Jane Doe of Acme"


@pytest.mark.parametrize(
    ("said", "process", "problem"),
    [
        ({}, RECONCILE | {"within": SECRET}, "Within: must be a duration"),
        ({}, RECONCILE | {"at_least": SECRET}, "At least: must be a number above 0"),
        ({}, RECONCILE | {"at_least": "nan"}, "At least: must be a number above 0"),
        ({}, RECONCILE | {"at_least": "0"}, "At least: must be a number above 0"),
        ({}, RECONCILE | {"by_users": "two"}, "By users: must be a whole number"),
        ({}, RECONCILE | {"by_users": "9"}, "By users: is above At least"),
        ({}, {"why": SECRET}, "Behaviour: is empty, and the process is not"),
        ({}, RECONCILE | {"within": ""}, "Within: is empty"),
        ({}, RECONCILE | {"adopt_by": SECRET}, "Adopted by: must be a duration"),
        ({"traits": f"{SECRET}; b; c; d"}, {}, "Traits: more than 3 are named"),
        ({"spoke_on": SECRET}, {}, "On: must be a date"),
    ],
)
def test_faults_tell_where_and_never_what(
    kit: ls.success_analysis.InterviewKit,
    said: dict[str, str],
    process: dict[str, str],
    problem: str,
) -> None:
    path = fill(kit, 0, {"reason": SECRET, "spoke_with": SECRET} | said, process)
    with pytest.raises(ls.success_analysis.InterviewError, match=re.escape(problem)) as caught:
        ls.success_analysis.read_interviews(kit.folder)
    assert SECRET not in str(caught.value) + repr([f.to_dict() for f in caught.value.faults])
    fault = caught.value.faults[0]
    assert fault.file == path.name
    assert fault.line is not None
    label = problem.split(":")[0]
    line = path.read_text("utf-8").split("\n")[fault.line - 1]
    assert line.startswith((f"- {label}:", "### Process 1"))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("- Within:", "- Withn: 30d\n- Within:", "is similar to a label of the form"),
        ("- Within:", "- Within: 4w\n- Within: 5w", "appears twice"),
        ("### Process 3", "### Process 4", "is not one of Process 1 to 3"),
        ("### Process 3", "### Process 2", "is not one of Process 1 to 3"),
        ("## 1. Why did they buy?", f"## {SECRET}", "is not a heading of the form"),
        ("- At least:", f"{SECRET}\n- At least:", "belongs to no field"),
        ("<!-- leadsignal", "<!-- something", "does not begin as a brief does"),
        ("<!-- answers:", "<!-- ", "does not say where the answers begin"),
        ('"version": 1', '"version": 2', "does not begin as a brief does"),
    ],
)
def test_a_damaged_form_is_a_fault(
    kit: ls.success_analysis.InterviewKit, old: str, new: str, problem: str
) -> None:
    path = next(iter(kit.files.values()))
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ls.success_analysis.InterviewError, match=problem) as caught:
        ls.success_analysis.read_interviews(kit.folder)
    assert SECRET not in str(caught.value)


def test_all_faults_of_all_files_at_once(kit: ls.success_analysis.InterviewKit) -> None:
    fill(kit, 0, {}, RECONCILE | {"within": "soon", "at_least": "many"})
    fill(kit, 1, {}, {"why": "because"})
    paths = list(kit.files.values())
    paths[2].write_bytes(paths[3].read_bytes())
    paths[4].write_bytes(b"\xff\xfe")
    with pytest.raises(ls.success_analysis.InterviewError) as caught:
        ls.success_analysis.read_interviews(kit.folder)
    told = {(fault.file, fault.problem) for fault in caught.value.faults}
    assert len([f for f, _ in told if f == paths[0].name]) == 2
    assert (paths[3].name, f"is of the same account as {paths[2].name}") in told
    assert (paths[4].name, "cannot be read as UTF-8") in told
    assert len(caught.value.faults) == 2 + 3 + 1 + 1


def test_answers_as_people_write_them(kit: ls.success_analysis.InterviewKit) -> None:
    path = fill(kit, 0, {"reason": 'The auditor.\n  And the CFO: "now".\n- then: more'}, RECONCILE)
    text = path.read_text("utf-8").replace("- Within:", "* **within**:").replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    one = next(iter(ls.success_analysis.read_interviews(kit.folder)))
    assert one.reason == 'The auditor. And the CFO: "now". - then: more'
    assert one.processes[0].within == 30
    assert "auditor" not in repr(one) + repr(one.processes) + repr(
        ls.success_analysis.read_interviews(kit.folder)
    )
    assert not hasattr(one, "spoke_with")


HOSTILE = '</b><script>alert(1)</script>--> | [x](javascript:1) `_*# \n## 1. Why\n"""\n[[process]]'


def hostile_tables() -> ls.Tables:
    days = pd.date_range("2023-01-10", periods=12, freq="30D")
    results = pd.DataFrame(
        {"account_id": HOSTILE, "measured_on": days, "value": 5.0, "target": 4.0, "metric": HOSTILE}
    )
    accounts = pd.DataFrame(
        {"account_id": [HOSTILE], "started_on": ["2023-01-01"], "town": [HOSTILE]}
    )
    behaviors = pd.DataFrame(
        {"account_id": [HOSTILE], "occurred_at": ["2023-12-01"], "behavior": [HOSTILE]}
    )
    changes = pd.DataFrame(
        {"account_id": [HOSTILE], "changed_at": ["2023-12-01"], "kind": [HOSTILE]}
    )
    return ls.read_tables(
        {"accounts": accounts, "results": results, "behaviors": behaviors,
         "contract_changes": changes},
        attributes=["town"], as_of="2024-01-01",
    )  # fmt: skip


def test_hostile_tables_stay_text(tmp_path: Path) -> None:
    tables = hostile_tables()
    found = ls.success_analysis.most_successful(tables, at_least=1)
    kit = ls.success_analysis.write_interview_kit(found, tables, tmp_path / "kit")
    (path,) = kit.files.values()
    assert path.parent == kit.folder
    assert re.fullmatch(r"01-[A-Za-z0-9-]+\.md", path.name)
    text = path.read_text("utf-8")
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    tags = set(re.findall(r"<(/?[a-z0-9]+)", rendered))
    assert tags <= {"h1", "/h1", "h2", "/h2", "h3", "/h3", "p", "/p", "strong", "/strong", "ul",
                    "/ul", "li", "/li", "table", "/table", "thead", "/thead", "tbody", "/tbody",
                    "tr", "/tr", "th", "/th", "td", "/td"}  # fmt: skip
    assert rendered.count("<h2>") == len(QUESTIONS)
    fill(kit, 0, {"objective": HOSTILE.replace("\n", " ")}, RECONCILE | {"why": '""" [x] = 1'})
    (one,) = ls.success_analysis.read_interviews(kit.folder)
    assert one.account_id == HOSTILE
    analysis = ls.success_analysis.distil(ls.success_analysis.read_interviews(kit.folder)).write(
        tmp_path / "success.toml"
    )
    assert ls.read_success_analysis(tmp_path / "success.toml") == analysis
    assert [process.name for process in analysis.processes] == ["weekly_reconciliation"]


@settings(max_examples=80, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"])))
def test_any_text_is_shown_and_nothing_else(text: str) -> None:
    rendered = MarkdownIt("commonmark", {"html": True}).renderInline(f"x {markdown(text)} x")
    assert re.findall(r"<[^>]*>", rendered) == []
    line = header(text, "2024-01-01")
    assert "\n" not in line
    assert line.count("-->") == 1
    assert read_header(line)["account_id"] == text  # type: ignore[index]


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]))


@settings(max_examples=60, deadline=None)
@given(TEXT, TEXT, st.integers(1, 10**6), st.integers(1, 999))
def test_any_answer_reads_back_from_toml(
    tmp_path_factory: pytest.TempPathFactory, objective: str, why: str, at_least: int, days: int
) -> None:
    place = tmp_path_factory.mktemp("any")
    from leadsignal.success_analysis.interview_kit import blank_form

    process = RECONCILE | {"at_least": str(at_least), "within": f"{days}d", "why": why}
    process |= {"by_users": "1"}
    text = filled(
        header("a", "2024-01-01") + "\n" + blank_form(), {"objective": objective}, process
    )
    (place / "a.md").write_text(text, encoding="utf-8", newline="\n")
    analysis = ls.success_analysis.distil(ls.success_analysis.read_interviews(place)).write(
        place / "success.toml"
    )
    assert ls.read_success_analysis(place / "success.toml") == analysis
    assert (analysis.processes[0].at_least, analysis.processes[0].within) == (at_least, days)


def test_segments_get_their_own(kit: ls.success_analysis.InterviewKit, business: ls.Tables) -> None:
    segment = business.frame("accounts").set_index("account_id")["segment"]
    for n, account in enumerate(kit.files):
        small = segment[account] == "small"
        said = WORDS if small else WORDS | {"objective": "One calendar for every entity"}
        fill(kit, n, said, RECONCILE, *([] if small else [REVIEW]))
    counts = segment[list(kit.files)].value_counts()
    found = ls.success_analysis.distil(
        ls.success_analysis.read_interviews(kit.folder), business, by="segment"
    )
    assert set(found.groups) == set(counts[counts >= 3].index)
    assert {"small"} < set(found.groups)
    analysis = found.to_analysis()
    both, own = analysis.processes
    assert (both.name, dict(both.applies_to)) == ("weekly_reconciliation", {})
    assert set(own.applies_to["segment"]) == set(found.groups) - {"small"}
    assert analysis.bullseye_of({"segment": "small"}).objective == WORDS["objective"]
    assert ls.SuccessAnalysis.from_toml(analysis.to_toml()) == analysis
    pages = ls.success_analysis.bullseye_page(analysis)
    assert {len(ring.processes) for ring in pages.rings} == {1, 2}
    assert len(ls.build_panel(business, analysis).frame)


def test_behaviours_that_do_not_occur_are_noted(
    kit: ls.success_analysis.InterviewKit, business: ls.Tables
) -> None:
    fill(kit, 0, {}, RECONCILE, {"behaviors": SECRET, "at_least": "1", "within": "30d"})
    found = ls.success_analysis.distil(ls.success_analysis.read_interviews(kit.folder), business)
    (note,) = [n for n in found.notes if "does not hold" in n]
    assert SECRET not in note
    assert note.startswith(next(iter(kit.files.values())).name + ":")


def test_nothing_is_overwritten(
    kit: ls.success_analysis.InterviewKit,
    successful: ls.success_analysis.SuccessfulAccounts,
    business: ls.Tables,
    tmp_path: Path,
) -> None:
    with pytest.raises(ls.OptionError, match="may hold answers"):
        ls.success_analysis.write_interview_kit(successful, business, kit.folder)
    with pytest.raises(ls.OptionError, match="as of"):
        ls.success_analysis.write_interview_kit(
            successful, business.as_of("2023-01-01"), tmp_path / "other"
        )
    with pytest.raises(ls.OptionError, match="no interview has answers"):
        ls.success_analysis.distil(ls.success_analysis.read_interviews(kit.folder))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ls.OptionError, match="there is no brief"):
        ls.success_analysis.read_interviews(tmp_path / "empty")


BULLSEYE = '[bullseye]\nobjective = "{o}"\nsuccess_metric = "days"\ntraits = {t}\n'
PROCESS = '[[process]]\nname = "p"\nbehavior = "b"\nat_least = 1\nwithin = "30d"\n'


def page_of(objective: str = "Close fast", traits: Any = ("a",)) -> ls.SuccessAnalysis:
    head = BULLSEYE.format(o=objective, t=list(traits)).replace("'", '"')
    return ls.SuccessAnalysis.from_toml(head + PROCESS)


def test_the_page_refuses_a_list_and_what_is_missing() -> None:
    with pytest.raises(ls.OptionError, match="4 traits, where at most 3 are allowed"):
        ls.success_analysis.bullseye_page(page_of(traits=["a", "b", "c", "d"]))
    with pytest.raises(ls.OptionError, match="no objective; there is no measure of success"):
        ls.success_analysis.bullseye_page(ls.SuccessAnalysis.from_toml(PROCESS))


def test_the_page_is_written_and_drawn(tmp_path: Path) -> None:
    import matplotlib.pyplot as plt

    page = ls.success_analysis.bullseye_page(page_of("<script> & *more* $x^2$"))
    page.write(tmp_path / "page.html")
    page.write(tmp_path / "page.md")
    assert "<script>" not in (tmp_path / "page.html").read_text("utf-8")
    assert "&lt;script&gt;" in page.to_html()
    assert "\\*more\\*" in (tmp_path / "page.md").read_text("utf-8")
    assert list(page.to_frame()["element"]) == [
        "objective", "measure of success", "trait", "essential process",
    ]  # fmt: skip
    figure = page.plot().figure
    figure.canvas.draw()
    plt.close("all")
    with pytest.raises(ls.OptionError, match="does not end in"):
        page.write(tmp_path / "page.pdf")


def test_agreement_is_drawn(kit: ls.success_analysis.InterviewKit) -> None:
    import matplotlib.pyplot as plt

    fill(kit, 0, WORDS | {"objective": "$broken_{"}, RECONCILE)
    axes = ls.success_analysis.distil(ls.success_analysis.read_interviews(kit.folder)).plot()
    axes.figure.canvas.draw()
    assert len(axes.patches) == 5
    plt.close("all")
