"""One account's review: what it reads, what it knows, and the page it becomes."""

from __future__ import annotations

import json
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cli import main
from leadsignal.errors import OptionError
from leadsignal.html_pages import tag, text
from leadsignal.report.review import Risk

ATTACK = '<script>alert("x")</script>'
ANALYSIS = ls.SuccessAnalysis.from_toml("""
[bullseye]
objective = "Close in five days"
success_metric = "days"
[tracking]
sponsor = ["met"]
[[process]]
name = "weekly_close"
behavior = "closed"
at_least = 2
within = "30d"
adopt_by = "60d"
[[process]]
name = "monthly_review"
behavior = "reviewed"
at_least = 1
within = "30d"
adopt_by = "90d"
""")


def small_tables(as_of: str = "2024-06-01", name: str = "a & b") -> ls.Tables:
    """Two accounts, one of them with an unpleasant name."""
    accounts = [name, ATTACK]

    def rows(columns: str, *cells: tuple[object, ...]) -> pd.DataFrame:
        return pd.DataFrame(cells, columns=columns.split(), dtype=str)

    frames = {
        "accounts": pd.DataFrame(
            {
                "account_id": accounts,
                "started_on": ["2024-01-01", "2024-01-01"],
                "ended_on": [None, "2024-05-01"],
                "term_months": ["12", "12"],
                "arr": ["12000", "500"],
            }
        ),
        "behaviors": rows(
            "account_id occurred_at behavior",
            (ATTACK, "2024-01-01", "opened"),
            (name, "2024-02-01", "closed"),
            (name, "2024-02-10", "closed"),
            (name, "2024-05-20", "met"),
            (ATTACK, "2024-04-20", "closed"),
            (name, "2024-08-01", "reviewed"),  # after as_of: nobody had by then
        ),
        "results": pd.DataFrame(
            {
                "account_id": [name] * 3,
                "measured_on": ["2024-01-20", "2024-03-01", "2024-04-01"],
                "value": ["9", "5", "7"],
                "metric": ["days"] * 3,
                "target": ["6"] * 3,
                "higher_is_better": ["false"] * 3,
                "shown_on": [None, "2024-03-05", None],
            }
        ),
        "plans": pd.DataFrame(
            {
                "account_id": accounts,
                "agreed_on": ["2024-01-10", "2024-01-10"],
                "objective": ["Close faster", ATTACK],
                "target_on": ["2024-05-01", "2024-05-01"],
                "sponsor": ["Ines", ATTACK],
                "closed_on": [None, None],
            }
        ),
        "commitments": pd.DataFrame(
            {
                "account_id": [name] * 4 + [ATTACK],
                "agreed_on": ["2024-01-10"] * 5,
                "due_on": ["2024-02-01", "2024-02-01", "2024-03-01", "2024-07-01", "2024-05-15"],
                "action": ["in time", "too late", "never", "to come", "after the end"],
                "owner": ["customer", "vendor", "customer", "vendor", "customer"],
                "completed_on": ["2024-02-01", "2024-02-20", None, None, None],
            }
        ),
    }
    return ls.read_tables(frames, as_of=as_of)


@pytest.fixture(scope="module")
def made() -> ls.Review:
    return ls.review_account(small_tables(), "a & b", ANALYSIS)


def test_results_are_held_against_the_target(made: ls.Review) -> None:
    standing = made.status
    assert standing is not None
    assert (standing.first, standing.best, standing.latest) == (9, 5, 7)
    assert (standing.best_on, standing.days_since_best) == (date(2024, 3, 1), 92)
    assert standing.met is False
    assert standing.met_share == pytest.approx(1 / 3)
    assert (standing.not_shown, standing.shown_on) == (2, date(2024, 3, 5))


def test_a_commitment_is_done_late_open_or_late(made: ls.Review) -> None:
    states = dict(zip(made.commitments["action"], made.commitments["state"], strict=True))
    assert states == {
        "in time": "done",
        "too late": "done late",
        "never": "late",
        "to come": "open",
    }


def test_processes_have_their_milestones_and_the_results_around_them(made: ls.Review) -> None:
    weekly, monthly = made.processes
    # Two closes lie in [12 Jan, 11 Feb), so it is adopted on 11 February, day 41.
    assert (weekly.adopted_on, weekly.due_on) == (date(2024, 2, 11), date(2024, 3, 1))
    assert weekly.state == "lapsed"
    assert weekly.milestone_met is True
    assert (weekly.before, weekly.after) == (9, 6)
    assert (monthly.state, monthly.milestone_met) == ("overdue", False)


def test_what_was_missed_needs_a_new_date(made: ls.Review) -> None:
    assert [(missed.what, missed.owner, missed.days) for missed in made.missed] == [
        ("plan: Close faster", "both", 31),
        ("adopt monthly_review", "customer", 62),
        ("never", "customer", 92),
    ]


def test_the_next_step_is_the_overdue_process(made: ls.Review) -> None:
    assert made.next_steps[0] == "start monthly_review: it was due on 2024-03-31"
    assert "agree new dates for 3 missed items" in made.next_steps
    assert "show the latest days to the customer" in made.next_steps


def test_a_review_of_the_past_knows_only_the_past() -> None:
    before = ls.review_account(small_tables(), "a & b", ANALYSIS, as_of="2024-02-10")
    assert len(before.results) == 1
    states = dict(zip(before.commitments["action"], before.commitments["state"], strict=True))
    assert states["too late"] == "late"
    assert before.processes[0].state == "pending"
    assert before.missed[0].what == "too late"
    same = ls.review_account(small_tables("2024-02-10"), "a & b", ANALYSIS)
    assert ls.report.review_page(before) == ls.report.review_page(same)


def test_an_ended_account_is_shown_as_it_stood(made: ls.Review) -> None:
    ended = ls.review_account(small_tables(), ATTACK, ANALYSIS)
    assert ended.facts["ended_on"] == date(2024, 5, 1)
    assert [process.state for process in ended.processes] == ["overdue", "overdue"]
    assert ended.next_steps == ()
    assert ended.missed == ()
    assert list(ended.commitments["state"]) == ["open"]
    assert "The account has ended." in ls.report.review_page(ended)


def test_an_unknown_account_is_refused_with_near_names() -> None:
    with pytest.raises(OptionError, match=r"no account 'a \+ b'.*Did you mean a & b"):
        ls.review_account(small_tables(), "a + b", ANALYSIS)


def test_it_prints_and_goes_to_json(made: ls.Review) -> None:
    told = json.loads(json.dumps(made.to_dict()))
    assert told["status"]["latest"] == 7
    assert told["commitments"][0]["state"] == "done"
    assert told["missed"][0]["due_on"] == "2024-05-01"
    assert "next step: start monthly_review" in repr(made)
    assert "a &amp; b" in made._repr_html_()
    assert list(made.to_frame()["day"]) == sorted(made.to_frame()["day"])


def test_a_picture_of_it(made: ls.Review) -> None:
    axes = made.plot()
    assert axes.get_title("left") == "a & b: days (lower is better), and what happened"
    assert {text.get_text() for text in axes.texts} >= {
        "success plan",
        "weekly close",
        "customer commitments",
    }


def test_accounts_alone_make_a_page() -> None:
    accounts = pd.DataFrame({"account_id": ["only"], "started_on": ["2024-01-01"]})
    bare = ls.review_account(ls.read_tables({"accounts": accounts}, as_of="2024-03-01"), "only")
    assert bare.status is None
    page = ls.report.review_page(bare)
    assert "Nothing has been measured yet" in page
    assert "No plan has been agreed" in page
    bare.plot()


# The page -----------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Collects elements, attributes and text, and that every element is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_is_well_formed_and_asks_for_nothing(made: ls.Review) -> None:
    reader = Reader(ls.report.review_page(made))
    assert reader.open == []
    names = {name for name, _ in reader.elements}
    assert not names & {"script", "img", "iframe", "object", "embed", "form"}
    links = [value for _, held in reader.elements for key in ("href", "src") for value in
             [held.get(key)] if value]  # fmt: skip
    assert links == ["data:,"]
    assert not [held for _, held in reader.elements if "style" in held]
    assert not re.search(r"@import|url\(", ls.report.review_page(made))


def test_the_policy_allows_the_style_and_nothing_else(made: ls.Review) -> None:
    import base64
    import hashlib

    page = ls.report.review_page(made)
    style = page.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(
        held["content"]
        for name, held in Reader(page).elements
        if name == "meta" and held.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_names_stay_text() -> None:
    page = ls.report.review_page(ls.review_account(small_tables(), ATTACK, ANALYSIS))
    assert "<script" not in page
    assert ATTACK in "".join(Reader(page).texts)


def test_equal_reviews_give_equal_bytes(tmp_path: Path, made: ls.Review) -> None:
    ls.write_review(made, tmp_path / "one.html")
    again = ls.review_account(small_tables(), "a & b", ANALYSIS)
    ls.write_review(again, tmp_path / "two.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_ids_are_unique_and_headings_in_order(made: ls.Review) -> None:
    reader = Reader(ls.report.review_page(made))
    ids = [held["id"] for _, held in reader.elements if "id" in held]
    assert len(ids) == len(set(ids))
    labels = [held["aria-labelledby"] for _, held in reader.elements if "aria-labelledby" in held]
    assert set(labels) <= set(ids)
    heads = [name for name, _ in reader.elements if re.fullmatch("h[1-6]", name)]
    assert heads[0] == "h1"
    assert set(heads[1:]) == {"h2"}


def test_what_is_not_for_the_customer_is_left_out(made: ls.Review) -> None:
    from dataclasses import replace

    from leadsignal.scoring.reasons import NextStep
    from leadsignal.stats import Estimate

    risk = Risk(0.184, 0.06, 180, 3, 50, ("results: late",), "m1")
    effect = Estimate(0.41, 0.27, 0.61, 0.001)
    told = replace(made, risk=risk, steps=(NextStep("start x", process="x", effect=effect),))
    inside, outside = ls.report.review_page(told), ls.report.review_page(told, for_customer=True)
    assert "Of 100 accounts like this, about 18 leave within 180 days" in inside
    assert "Accounts that practise it leave 59\xa0% less often" in inside
    assert not re.search("leave|Risk", outside)


def test_another_ending_is_refused(tmp_path: Path, made: ls.Review) -> None:
    with pytest.raises(OptionError, match=r"Write to \.html"):
        ls.write_review(made, tmp_path / "review.pdf")


def test_what_html_forbids_is_replaced() -> None:
    assert text("a\x00b") == "a\ufffdb"
    assert tag("p", "x", title='"<') == '<p title="&quot;&lt;">x</p>'
    assert tag("br", hidden=True, class_=None) == "<br hidden>"


def test_the_command_writes_the_page(
    business_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = ls.read_tables(business_folder)
    name = tables.frame("accounts")["account_id"].iloc[0]
    arguments = ["review", str(business_folder), "--out", str(tmp_path / "page.html")]
    assert main([*arguments, "--account", name, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["account_id"] == name
    assert name in (tmp_path / "page.html").read_text(encoding="utf-8")
    (tmp_path / "page.html").unlink()
    assert main([*arguments, "--account", name[:-1]]) == 2
    assert f"there is no account {name[:-1]!r}" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_a_model_adds_its_risk(
    business: ls.Tables, business_model: ls.ChurnModel, business_scores: ls.Scores
) -> None:
    scores = business_scores
    top = scores.frame.iloc[0]
    found = ls.review_account(business, top["account_id"], model=business_model, scores=scores)
    assert found.risk is not None
    assert (found.risk.rank, found.risk.of) == (1, len(scores.frame))
    assert found.risk.risk == top["risk"]
    assert str(found.risk).startswith("Of 100 accounts like this, ")
    assert len(found.risk.reasons) >= 1
    with pytest.raises(OptionError, match="the scores are of"):
        ls.review_account(business, top["account_id"], scores=scores, as_of="2023-06-01")
