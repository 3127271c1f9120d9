"""The report: what its summary says, and that the page says no more and no less."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.churn.events import UNEXPECTED
from leadsignal.cli import main
from leadsignal.errors import OptionError
from leadsignal.formats import how_often, how_often_between, rate_text, share_text
from leadsignal.model.reasons import by_name, reason_text
from leadsignal.report import overview_pages
from leadsignal.report.churn_page import SECTIONS
from leadsignal.report.summary import MAX_CALLS, MAX_LISTED
from leadsignal.report.summary_types import RatioSummary, Summary, effect_words
from leadsignal.scoring.reasons import account_steps, reason_texts

ATTACK = '<script>alert("x")</script>'
Results = tuple[ls.Panel, ls.Backtest, ls.Scores, ls.report.Findings]


@pytest.fixture(scope="module")
def summary(business_results: Results) -> dict[str, Any]:
    return dict(ls.report.summarise(*business_results))


def page_of(summary: dict[str, Any]) -> str:
    """The page of a summary, which a test may have changed."""
    return ls.report.report_page(cast("Summary", summary))


@pytest.fixture(scope="module")
def page(summary: dict[str, Any]) -> str:
    return page_of(summary)


def words_of(page: str) -> str:
    """The text of a page, tags left out, white space as one blank."""
    body = page[page.index("<body") : page.index("<script>")]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


# Summary ------------------------------------------------------------------------------------------


def test_without_processes_nobody_is_said_to_have_adopted_them(summary: dict[str, Any]) -> None:
    calls = [{**row, "next_step": None} for row in summary["calls"]]
    asked = "No process is written down yet: ask what they want to reach"
    assert asked not in page_of({**summary, "calls": calls})
    bare = {**summary, "calls": calls, "analysis": {**summary["analysis"], "processes": []}}
    words = words_of(page_of(bare))
    assert asked in words
    assert "All processes are adopted" not in words


def test_the_summary_is_plain_json(summary: dict[str, Any]) -> None:
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def faults(value: Any, kind: Any, place: str) -> list[str]:
    """Return where a value is not of a declared type."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (rest,) = [one for one in inner if one is not type(None)]
        return [] if value is None else faults(value, rest, place)
    if origin is list:
        return [fault for one in value or () for fault in faults(one, inner[0], f"{place}[]")]
    if origin is dict:
        return [fault for one in value.values() for fault in faults(one, inner[1], f"{place}{{}}")]
    if is_typeddict(kind):
        if not isinstance(value, dict):
            return [f"{place} is {type(value)}"]
        hints = get_type_hints(kind)
        missing = [f"{place}.{name} is missing" for name in hints if name not in value]
        there = [(name, one) for name, one in hints.items() if name in value]
        return missing + [
            fault for name, one in there for fault in faults(value[name], one, f"{place}.{name}")
        ]
    allowed = (int, float) if kind is float else kind
    right = isinstance(value, allowed) and (kind is bool or not isinstance(value, bool))
    return [] if right else [f"{place} is {type(value)}, not {kind}"]


def test_the_summary_has_the_declared_types(
    summary: dict[str, Any], business_panel: ls.Panel
) -> None:
    assert sorted(set(faults(summary, Summary, ""))) == []
    assert set(faults(ls.report.summarise(business_panel), Summary, "")) == set()


def test_nothing_is_missing_where_all_is_given(summary: dict[str, Any]) -> None:
    assert summary["missing"] == {}


def test_unexpected_is_of_the_churns_that_can_be_told(
    summary: dict[str, Any], business_results: Results
) -> None:
    verdicts = ls.churn_events(business_results[0]).churned["verdict"]
    share = summary["churn"]["unexpected"]
    assert share["count"] == (verdicts == UNEXPECTED).sum() > 0
    assert share["of"] == verdicts.isin(["unexpected", "signalled"]).sum() <= len(verdicts)


def test_the_catch_and_its_lead_are_of_the_same_ends(
    summary: dict[str, Any], business_results: Results
) -> None:
    backtest, catch = business_results[1], summary["catch"]
    ends = backtest.churns
    mine = ends[(ends["method"] == "all") & (ends["verdict"] == UNEXPECTED)]
    caught = mine[mine["recall_ahead"].astype(bool)]
    assert catch["method"] == "all"
    assert (catch["caught"], catch["churns"]) == (len(caught), len(mine))
    assert catch["share"] == pytest.approx(len(caught) / len(mine))
    # Of those caught: over all ends it would be 0 wherever fewer than half are caught.
    assert catch["lead_days"] == caught["lead_days"].median() >= backtest.warning_time


def test_calls_are_the_riskiest_alerted(summary: dict[str, Any], business_results: Results) -> None:
    frame = business_results[2].frame
    expected = frame[frame["alert"]].nlargest(MAX_CALLS, "risk")["account_id"]
    assert [row["account_id"] for row in summary["calls"]] == list(expected)


def test_held_out_accounts_are_not_to_be_called(business_results: Results) -> None:
    panel, backtest, scores, found = business_results
    frame = scores.frame.copy()
    first = frame.loc[frame["alert"], "account_id"].iloc[0]
    frame["held_out"] = frame["account_id"] == first
    summary = ls.report.summarise(panel, backtest, replace(scores, frame=frame), found)
    calls, accounts = summary["calls"], summary["accounts"]
    assert calls is not None
    assert accounts is not None
    assert first not in [row["account_id"] for row in calls]
    assert accounts["on_call_list"] == accounts["alerts"] - 1
    page = ls.report.report_page(summary)
    assert "without 1 that are held out and must not be contacted" in page
    assert page.count("held out, do not contact") == 1


def test_every_cohort_has_its_naive_number_and_a_verdict(
    summary: dict[str, Any], business_results: Results
) -> None:
    overview = business_results[3].cohorts
    assert overview is not None
    lines = summary["cohorts"]["lines"]
    assert [line["cohort"] for line in lines] == [line.cohort for line in overview.lines]
    for line, of in zip(lines, overview.lines, strict=True):
        beyond = of.corrected.excludes(1.0)
        assert (line["verdict"] in ("holds", "may be chance")) == beyond
        if line["verdict"] == "holds":
            assert of.p_holm < 0.05


def test_gathering_says_what_cannot_be_made(business: ls.Tables) -> None:
    tables = ls.read_tables({"accounts": business.frame("accounts")[["account_id", "started_on",
                             "ended_on"]].astype("string")}, as_of="2024-01-01")  # fmt: skip
    panel = ls.build_panel(tables)
    found = ls.report.gather_findings(tables, panel)
    assert {"adoption", "milestones", "successful", "gaps", "red"} <= found.missing.keys()
    assert set(found.there) | set(found.missing) == set(ls.report.Findings.names())
    assert found.retention is not None
    with pytest.raises(TypeError, match="audits is no result of a report"):
        ls.report.gather_findings(tables, panel, audits=None)


def test_few_accounts_are_listed_of_many(business_results: Results, tmp_path: Path) -> None:
    panel, backtest, scores, found = business_results
    many = pd.concat([scores.frame] * 40, ignore_index=True).head(20_000)
    many["account_id"] = [f"N-{n:06d}" for n in range(len(many))]
    many = many.sort_values(["risk", "account_id"], ascending=[False, True], ignore_index=True)
    many["alert"] = np.arange(len(many)) < MAX_LISTED + 7
    big = replace(scores, frame=many)
    accounts = ls.report.summarise(panel, backtest, big, found)["accounts"]
    assert accounts is not None
    assert len(accounts["rows"]) == accounts["listed"] == MAX_LISTED
    assert accounts["alerts_not_listed"] == 7
    ls.write_report(tmp_path / "churn.html", panel, backtest, big, found)
    text = (tmp_path / "churn.html").read_text()
    assert len(text) < 5_000_000
    assert f"Listed are the {MAX_LISTED:,} riskiest" in text
    assert "7 alerted accounts are among those not listed" in text


# Page ---------------------------------------------------------------------------------------------


def test_equal_input_gives_equal_bytes(business_results: Results, page: str) -> None:
    again = ls.report.report_page(json.loads(json.dumps(ls.report.summarise(*business_results))))
    assert again == page


def test_the_first_screen_answers_the_four_questions(summary: dict[str, Any], page: str) -> None:
    words = words_of(page)
    share, catch = summary["churn"]["unexpected"], summary["catch"]
    assert f"How much churn was unexpected {share['count']} of {share['of']}" in words
    assert f"How much of it the alerts catch {share_text(catch['share'])}" in words
    last = summary["trailing_retention"][-1]
    assert f"How much revenue stays {rate_text(last['net'])}" in words
    assert f"(gross) {rate_text(last['gross'])}" in words
    assert f"{catch['caught']} of {catch['churns']}" in words
    assert f"How early {int(catch['lead_days'] + 0.5)} days" in words
    first = words[: words.index("Sections") if "Sections" in words else None]
    assert all(row["account_id"] in first for row in summary["calls"])
    assert words.index("Who to call this week") < words.index("Churn rate by quarter")


def test_a_feed_that_has_not_come_is_told_with_the_calls(summary: dict[str, Any]) -> None:
    changed = copy.deepcopy(summary)
    assert summary["accounts"]["without"] == []
    changed["accounts"]["without"] = ["tickets is missing: 4 indicators count as unknown"]
    words = words_of(page_of(changed))
    told = "Scored without all tables: tickets is missing: 4 indicators count as unknown."
    assert words.index("Who to call") < words.index(told) < words.index("The 8 riskiest")


def heads_of(page: str) -> dict[str, str]:
    """The headings of a page's sections, by name, each after the topic above it."""
    found = re.findall(r'<h2 id="(\w+)-title">(.*?)</h2>', page)
    return {name: " ".join(words_of(f"<body>{head}<script>").split()) for name, head in found}


def test_headings_are_findings(summary: dict[str, Any], page: str) -> None:
    heads = heads_of(page)
    for name, topic in SECTIONS.items():
        assert heads[name].startswith(topic)
        assert (len(heads[name]) > len(topic)) is (name != "method")
    proven = summary["catch"]["beats_context"]
    assert ("not proven" in heads["backtest"]) is not proven
    changed = copy.deepcopy(summary)
    measured = next(one for one in changed["cohorts"]["lines"] if one["by"] == "measured")
    for verdict, finding in (
        ("artefact", "Measured customers are not proven to stay longer, once corrected"),
        ("holds", "often than unmeasured ones, also once corrected"),
        ("methods disagree", "Measured against unmeasured customers: the methods disagree"),
    ):
        measured["verdict"] = verdict
        assert heads_of(page_of(changed))["cohorts"].endswith(finding)


def test_a_change_of_churn_is_claimed_beyond_chance_only(summary: dict[str, Any]) -> None:
    changed = copy.deepcopy(summary)
    row = {"month": "2024-03", "other_ended": 0, "logo": 0.9, "gross": None, "net": None}
    for churned, verb in ((100, "is about what it was"), (200, "has risen"), (40, "has fallen")):
        years = [{**row, "accounts": 1000, "churned": n} for n in (*[100] * 12, churned)]
        changed["trailing_retention"] = years
        assert f"Churn {verb}: {rate_text(churned / 1000)} of accounts" in words_of(
            page_of(changed)
        )


def test_cohorts_come_by_verdict_ten_drawn_and_the_rest_folded(summary: dict[str, Any]) -> None:
    changed = copy.deepcopy(summary)
    lines, verdicts = changed["cohorts"]["lines"], [*overview_pages.VERDICTS]
    for n, line in enumerate(lines):
        line["verdict"] = "holds" if n < 11 else verdicts[n % len(verdicts)]
    next(line for line in lines if line["by"] == "measured")["verdict"] = "artefact"
    page = page_of(changed)
    found = page[page.index('id="cohorts-title"') : page.index('id="reasons-title"')]
    drawn = found[found.index("<svg") : found.index("</svg>")]
    notes = re.findall(r'class="tick end">([a-z ]+)</text>', drawn)
    assert len(notes) == overview_pages.MAX_COHORTS == 10
    assert notes == ["holds"] * 9 + ["artefact"]
    assert "measured / unmeasured" in drawn
    folded = found[found.index("<details>") :]
    listed = re.findall(r'data-label="Verdict">([a-z ]+)</td>', folded)
    assert len(listed) == sum(line["hazard_ratio"]["estimate"] is not None for line in lines)
    assert listed == sorted(listed, key=verdicts.index)
    assert 'data-label="Verdict"' not in found[: found.index("<details>")]


def test_every_picture_says_how_and_when_it_was_worked_out(page: str) -> None:
    pictures = re.findall(r"<figure>.*?</figure>", page, flags=re.DOTALL)
    assert len(pictures) == 8
    for one in pictures:
        (source,) = re.findall(r'<p class="source">(.*?)</p>', one)
        assert re.search(r"\d{4}|whole (quarters|months)", source, flags=re.IGNORECASE)


def test_many_warnings_are_on_top_the_first_five_unfolded(summary: dict[str, Any]) -> None:
    changed = copy.deepcopy(summary)
    row = {"kind": "x", "table": "usage", "column": None}
    changed["warnings"] = [{**row, "message": f"odd thing {n}"} for n in range(7)]
    page = page_of(changed)
    top = page[page.index("<main>") : page.index('id="glance-title"')]
    assert top.index("odd thing 4") < top.index("<details><summary>2 more") < top.index("thing 5")


def test_churn_rates_are_of_the_accounts_that_were_there(
    summary: dict[str, Any], business: ls.Tables, business_results: Results
) -> None:
    accounts = business.frame("accounts")
    frame = ls.churn_events(business_results[0]).frame
    known = accounts["account_id"].map(frame.set_index("account_id")["known_on"])
    is_churn = accounts["account_id"].isin(frame.loc[frame["churn"], "account_id"])
    rows = summary["churn"]["quarters"]
    assert [row["whole"] for row in rows] == [True] * (len(rows) - 1) + [False]
    for row in rows:
        quarter = pd.Period(row["quarter"])
        there = (accounts["started_on"] < quarter.start_time) & ~(known < quarter.start_time)
        left = there & is_churn & (known <= quarter.end_time)
        churned = [row[f"{name}_accounts"] for name in
                   ("unexpected", "signalled", "too_young", "unknown")]  # fmt: skip
        assert (row["accounts"], sum(churned)) == (there.sum(), left.sum())
    page = page_of(summary)
    drawn = page[page.index("Churn rate by quarter") :]
    places = [drawn.index(f"{row['quarter'][:4]} {row['quarter'][4:]}: ") for row in rows[:-1]]
    assert places == sorted(places)
    assert f"{rows[-1]['quarter'][:4]} {rows[-1]['quarter'][4:]}: " not in drawn


@pytest.mark.parametrize("proven", [True, False])
def test_it_says_whether_alerts_beat_context(summary: dict[str, Any], proven: bool) -> None:
    changed = copy.deepcopy(summary)
    changed["catch"]["beats_context"] = proven
    assert ("Not proven to be more" in page_of(changed)) is not proven


def test_the_page_allows_its_own_style_and_script_and_nothing_else(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    told = unescape(policy.group(1))
    assert told.startswith("default-src 'none'; ")
    assert "unsafe" not in told
    for name in ("style", "script"):
        held = re.findall(rf"<{name}>(.*?)</{name}>", page, flags=re.DOTALL)
        assert len(held) == 1
        digest = base64.b64encode(hashlib.sha256(held[0].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in told
    assert re.findall(r"""(?:src|href)=["'](?!#|data:)""", page) == []
    assert " style=" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_links_lead_to_sections_and_ids_are_single(page: str) -> None:
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    assert {f"{name}-title" for name in SECTIONS} <= set(ids)


class Balance(HTMLParser):
    """Notes each tag that is closed out of turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "link", "br", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_every_tag_is_closed_in_turn(page: str) -> None:
    read = Balance()
    read.feed(page)
    assert (read.wrong, read.open) == ([], [])


def attacked(held: Any, key: str = "") -> Any:
    """Return a summary in which every text that comes from data is an attack."""
    ours = {"as_of", "first", "first_known", "verdict", "quarter", "month", "family", "due_on",
            "since", "off_since", "headline", "trend", "cutoffs", "of", "method", "day",
            "next_renewal"}  # fmt: skip
    if isinstance(held, dict):
        return {name: attacked(value, name) for name, value in held.items()}
    if isinstance(held, list):
        return [attacked(value, key) for value in held]
    return ATTACK + held if isinstance(held, str) and key not in ours else held


def test_names_stay_text_everywhere(summary: dict[str, Any]) -> None:
    page = ls.report.report_page(attacked(summary))
    assert page.count("<script>") == 1
    assert page.count("&lt;script&gt;") > 500
    read = Balance()
    read.feed(page)
    assert (read.wrong, read.open) == ([], [])


def test_sections_without_results_say_so_in_a_line(business_panel: ls.Panel) -> None:
    page = ls.report.report_page(ls.report.summarise(business_panel))
    words = words_of(page)
    for name in SECTIONS.values():
        assert name in words
    assert words.count("not in this report") + words.count("Not in this report") >= 9
    assert "How much of it the alerts catch Not known" in words
    assert len(page) < 60_000


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("catch", "lead_days"), None),
        (("catch", "head_start_days"), None),
        (("catch", "beats_context"), None),
        (("catch", "of"), "all"),
        (("churn", "churned"), 0),
        (("churn", "unexpected"), {"count": 0, "of": 0, "share": None, "low": 0, "high": 1}),
        (("churn", "unexpected_arr_share"), None),
        (("churn", "quarters"), []),
        (("retention",), []),
        (("trailing_retention",), []),
        (("adoption", "processes"), []),
        (("calls",), []),
        (("cohorts", "lines"), []),
        (("reasons", "rows"), []),
        (("audit", "indicators"), []),
        (("audit", "health"), None),
        (("ratios", "rows"), []),
        (("milestones", "next"), []),
        (("backtest", "calibration"), []),
        (("analysis", "processes"), []),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_what_has_nothing_to_show_makes_no_trouble(
    summary: dict[str, Any], path: tuple[str, ...], value: Any
) -> None:
    changed = copy.deepcopy(summary)
    held = changed
    for name in path[:-1]:
        held = held[name]
    held[path[-1]] = value
    words = words_of(page_of(changed))
    assert re.search(r"\bnan\b|\bNone\b", words) is None


def test_no_number_is_left_raw(page: str) -> None:
    words = words_of(page)
    assert re.search(r"\bnan\b|\bNone\b|\d\.\d{5}", words) is None


def test_a_report_goes_to_html_only(business_panel: ls.Panel, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"ends in .pdf"):
        ls.write_report(tmp_path / "churn.pdf", business_panel)
    with pytest.raises(OptionError, match="there is no folder"):
        ls.write_report(tmp_path / "none" / "churn.html", business_panel)


# Words and charts ---------------------------------------------------------------------------------


def test_each_indicator_is_told_in_words(business_panel: ls.Panel) -> None:
    indicators = by_name(business_panel.indicators)
    for name, indicator in indicators.items():
        value = {"state": "overdue", "as given": "North", "band": "red"}.get(indicator.unit, 1.0)
        words = reason_text(name, value, indicator)
        assert "_" not in words

    def words_of(name: str, value: Any, usual: Any = None) -> str:
        return reason_text(name, value, indicators[name], usual)

    assert words_of("tickets_open", 3.0) == "3 tickets open now"
    assert words_of("result_days_since", 34.0) == "34 days since the latest result"
    gap = words_of("result_gap", -0.141, 0.001)
    assert gap == "the latest result is 14 % short of its target, usually on target"
    assert words_of("result_gap", 0.2).endswith("20 % beyond its target")
    assert words_of("result_value", None) == "the latest result: none known"


def test_reasons_of_scores_are_told_in_words(business_results: Results) -> None:
    panel, _, scores, _ = business_results
    names = {i.name for i in panel.indicators if "_" in i.name}
    assert any(scores.reasons.values())
    for reasons in scores.reasons.values():
        for words in reason_texts(reasons):
            assert not any(name in words for name in names)


def test_columns_of_reasons_and_steps_are_their_text(business_results: Results) -> None:
    scores = business_results[2]
    for row in scores.frame.to_dict("records"):
        reasons = [row[f"reason_{rank}"] for rank in (1, 2, 3) if row[f"reason_{rank}"]]
        assert reasons == reason_texts(scores.reasons.get(row["account_id"]))
        steps = scores.steps.of(row["account_id"])
        assert row["next_step"] == (str(steps[0]) if steps else "")
        listed = "; ".join(f"{step.process} ({step.state})" for step in steps)
        assert row["open_processes"] == listed


def test_a_step_has_the_effect_that_its_text_tells(
    business_analysis: ls.SuccessAnalysis,
) -> None:
    from leadsignal.stats import Estimate

    process = business_analysis.processes[0]
    row: dict[str, Any] = {"account_id": "a", "snapshot_on": pd.Timestamp("2024-01-01")}
    for one in business_analysis.processes:
        row |= {f"{one.name}_state": "overdue", f"{one.name}_days_in_state": 5}
    effect = Estimate(0.41, 0.27, 0.61, 0.001)
    (step,) = account_steps(pd.DataFrame([row]), (process,), {process.name: effect}).of("a")
    assert (step.process, step.state, step.days, step.effect) == (
        process.name,
        "overdue",
        5,
        effect,
    )
    ratio: RatioSummary = {"estimate": 0.41, "low": 0.27, "high": 0.61}
    words = "accounts that practise it leave 59 % less often (39 to 73 %), 90 days later"
    assert effect_words(ratio, 90) == words
    (bare,) = account_steps(pd.DataFrame([row]), (process,), {}).of("a")
    assert str(bare) == step.advice == f"start {process.name}: it was due on 2023-12-27"


def test_a_process_has_one_effect_on_the_page_or_says_why_there_are_two(
    business_results: Results, business_analysis: ls.SuccessAnalysis
) -> None:
    from leadsignal.stats import Estimate

    panel, backtest, scores, found = business_results
    effects = {
        one.name: Estimate(0.4149, 0.2749, 0.6051, 1e-5) for one in business_analysis.processes
    }
    summary = ls.report.summarise(panel, backtest, replace(scores, effects=effects), found)
    words = words_of(ls.report.report_page(summary))
    effect = "Leave 59 % less often (39 to 73 %), 90 days later, among accounts with similar"
    assert summary["calls"] is not None
    assert summary["cohorts"] is not None
    called = {row["open_processes"][0]["process"] for row in summary["calls"] if row["next_step"]}
    assert called
    # Each effect is one number at one place, to which the calls lead.
    assert words.count(effect) == len(effects)
    assert words.count("59 % less often") == len(effects)
    assert "are proven to leave less often, by how much" in words
    assert "is another number, since it compares accounts with similar attributes, 90" in words
    ratios = {line["by"]: line["hazard_ratio"]["estimate"] for line in summary["cohorts"]["lines"]}
    by_day = {name: ratio for name, ratio in ratios.items() if ratio is not None}

    without = ls.report.summarise(panel, backtest, replace(scores, effects={}), found)
    assert without["effects"] == {}
    words = words_of(ls.report.report_page(without))
    assert "among accounts with similar attributes" not in words
    holds = [one for one in effects if f"Leave {how_often(by_day[one])} (" in words]
    assert len(holds) == words.count(", in the time-dependent comparison") > 0


def test_percent_and_ratio_are_of_one_rounding() -> None:
    for ratio in np.geomspace(0.02, 1.99, 400):
        shown = float(f"{ratio:.2f}")
        assert how_often(ratio) == how_often(shown)
        if shown < 1:
            assert how_often(ratio) == f"{round(100 - 100 * shown)} % less often"
    assert how_often_between(0.2749, 0.6051) == "39 to 73 %"
    assert how_often_between(0.5, None) == "no limit"


def test_active_means_one_thing(summary: dict[str, Any], page: str) -> None:
    panel, accounts = summary["panel"], summary["accounts"]
    assert panel["active"] == accounts["accounts"] == summary["red"]["active"]
    assert panel["on_notice"] == accounts["notice_given"] > 0
    words = words_of(page)
    assert f"Active accounts {panel['active']} ({panel['on_notice']} more have given" in words
    assert f"of {panel['active']} active accounts leave within" in words


def test_the_lead_is_of_those_caught_in_the_report_and_in_the_printout(
    summary: dict[str, Any], business_results: Results
) -> None:
    backtest = business_results[1]
    told = [line.split() for line in repr(backtest).splitlines() if "beat" not in line]
    lines = {words[0]: words for words in told}
    for one in summary["backtest"]["methods"]:
        lead = one["lead_days_of_caught"]
        assert lines[one["name"]][-2] == ("–" if lead is None else f"{lead:.0f}")


def test_ratios_are_never_told_the_wrong_way_round() -> None:
    for ratio in np.geomspace(0.02, 20, 80):
        told = how_often(ratio)
        assert ("less" in told) == (ratio < 0.995)


# Command ------------------------------------------------------------------------------------------


def test_the_command_writes_report_and_summary(
    business_folder: Path,
    business_results: tuple[ls.Panel, ls.Backtest, ls.Scores, ls.report.Findings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole, _, _, found = business_results

    def gathered(tables: ls.Tables, panel: ls.Panel, *, progress: object) -> ls.report.Findings:
        """The findings of the same tables and panel, which the fixture has gathered already."""
        assert tables.as_of_date == panel.as_of_date
        pd.testing.assert_frame_equal(panel.frame, whole.frame)
        return found

    monkeypatch.setattr("leadsignal.report.findings.gather_findings", gathered)
    out, told = tmp_path / "churn.html", tmp_path / "churn.json"
    pages = tmp_path / "pages"
    arguments = ["report", str(business_folder), "--out", str(out), "--origins", "1",
                 "--estimator", "logistic", "--accounts-dir", str(pages)]  # fmt: skip
    assert main([*arguments, "--json", str(told)]) == 0
    printed = capsys.readouterr().out
    assert f"written to {out}" in printed
    assert f"account pages written to {pages}" in printed
    summary = json.loads(told.read_text())
    assert summary["report"] == str(out)
    assert summary["missing"] == {}
    assert out.read_text() == ls.report.report_page(summary)
    alerted = {row["account_id"] for row in summary["accounts"]["rows"] if row["alert"]}
    assert set(summary["pages"]) == alerted
    assert {tmp_path / path for path in summary["pages"].values()} == {
        path for path in pages.iterdir() if path.name != "index.html"
    }


def test_what_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    assert main(["report", str(tmp_path / "none"), "--out", str(tmp_path / "churn.txt")]) == 2


def test_too_few_churns_give_a_report_in_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    rows = "account_id,started_on,ended_on\na,2023-01-01,\nb,2023-02-01,2023-09-01\nc,2023-01-05,\n"
    (folder / "accounts.csv").write_text(rows)
    out = tmp_path / "churn.html"
    code = main(["report", str(folder), "--out", str(out), "--as-of", "2024-03-01"])
    assert code == 4
    assert "not in the report: backtest:" in capsys.readouterr().out
    assert "Not known" in out.read_text()


def test_reasons_and_steps_are_tables(business_results: Results) -> None:
    scores = business_results[2]
    reasons = scores.reason_table()
    assert len(reasons) == sum(map(len, scores.reasons.values()))
    first = reasons.iloc[0]
    indicator = {i.name: i for i in business_results[0].indicators}[first["indicator"]]
    assert first["unit"] == indicator.unit
    numeric = reasons[reasons["direction"].isin(["above", "below"])]
    higher = numeric["value"].astype(float) > numeric["reference"].astype(float)
    assert len(numeric)
    assert (higher == (numeric["direction"] == "above")).all()
    assert (reasons["effect"] >= 0.05).all()
    steps = scores.step_table()
    named = scores.frame.set_index("account_id")["open_processes"]
    assert len(steps)
    assert (steps["rank"] >= 1).all()
    for account, mine in steps.groupby("account_id"):
        assert named[account] == "; ".join(mine["process"] + " (" + mine["state"] + ")")
