"""Results in a notebook: each says in a few lines what it is, and shows its first rows."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, is_dataclass
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.model.lifetime_model import TotalsWarning
from leadsignal.panel import build_snapshot
from leadsignal.results import MAX_COLUMNS, MAX_ROWS, to_html
from leadsignal.scoring.batch import DateScored

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "make"))
import reference

PUBLIC = reference.public_names()
Results = tuple[ls.Panel, ls.Backtest, ls.Scores, ls.report.Findings]
ATTACK = "<script>alert(1)</script>"

NOT_RESULTS = {
    "Fault": "a line of a list, told by the error or the report that holds it",
    "Finding": "a line of Monitoring, which shows them as a table",
    "Law": "the parameters of a simulation",
    "Truth": "arrays that only the simulator knows",
    "Project": "settings; its repr names each of them as it is written",
    "Source": "settings; its repr names each of them as it is written",
    "ChurnModel": "an estimator, which names the parameters that were changed; see summary()",
    "LifetimeModel": "an estimator, which names the parameters that were changed",
}


def public_results() -> list[str]:
    return [name for name in PUBLIC if is_dataclass(PUBLIC[name]) and name not in NOT_RESULTS]


def is_generated(kind: type) -> bool:
    """Whether a dataclass has the repr that dataclasses make: every field, however long."""
    return hasattr(kind.__repr__, "__wrapped__")


def test_the_check_knows_a_generated_repr() -> None:
    @dataclass(frozen=True)
    class Bare:
        held: int

    assert is_generated(Bare)
    assert not is_generated(ls.Panel)
    assert is_generated(ls.Fault)


@pytest.mark.parametrize("name", public_results())
def test_every_public_result_is_shown_as_people_read_it(name: str) -> None:
    kind = PUBLIC[name]
    assert not is_generated(kind), f"{name}: write a __repr__ of a few lines"
    assert hasattr(kind, "_repr_html_"), f"{name}: write a _repr_html_ (files/notebook.py)"


def test_what_is_left_out_is_there() -> None:
    assert set(NOT_RESULTS) <= set(PUBLIC)


class Words(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Words:
    words = Words()
    words.feed(page)
    return words


def test_the_first_rows_are_shown_and_names_stay_text() -> None:
    rows = pd.DataFrame({"account_id": [ATTACK] * 30, "risk": 0.25})
    words = read(to_html(f"30 accounts\n  the first: {ATTACK}", rows))
    assert "script" not in words.tags
    assert words.text.count(ATTACK) == MAX_ROWS + 1
    assert words.tags.count("br") == 1


def made(business_results: Results, business: ls.Tables) -> dict[str, Any]:
    """Results of which none had a readable look before, made from a small business."""
    panel, backtest, scores, found = business_results
    model = ls.ChurnModel("180d", estimator="logistic").fit(panel)
    totals = ls.model.read_totals(
        pd.DataFrame({"tenure": np.arange(60) % 24 + 1, "churned": np.arange(60) % 2,
                      "logins": np.arange(60) * 3})
    )  # fmt: skip
    return {
        "panel": panel,
        "backtest": backtest,
        "scores": scores,
        "findings": found,
        "overview": found.cohorts,
        "health": found.audit.health if found.audit else None,
        "forecast": model.predict(panel.current()),
        "cohorts": ls.cohorts.dated_cohorts(business, "measured"),
        "context": ls.AsOfContext(business, panel.analysis),
        "totals": totals,
        "warning": totals.warning,
        "day": DateScored(date(2024, 1, 1), "scored", Path("x"), scores),
        "audit": found.audit,
        "ratios": found.ratios,
    }


def test_each_is_short_and_shows_no_object_or_array(
    business_results: Results, business: ls.Tables
) -> None:
    for name, result in made(business_results, business).items():
        assert result is not None, name
        told, page = repr(result), read(result._repr_html_())
        assert len(told) < 6_000, name
        assert " object at 0x" not in told + page.text, name
        assert "array(" not in told + page.text, name
        assert told.splitlines()[0].split()[0] in page.text, name
        for table in re.findall(r"<table.*?</table>", result._repr_html_(), re.DOTALL):
            assert len(re.findall(r"<th[ >]", table)) <= MAX_COLUMNS, name
            assert table.count("<tr") <= MAX_ROWS + 1, name
            cells = re.findall(r"<td[^>]*>(.*?)</td>", table)
            assert {"nan", "inf", "None", "NaT"} & set(cells) == set(), name
            assert [one for one in cells if re.search(r"\.\d{5}", one)] == [], name


def test_a_date_and_a_warning_read_as_a_sentence(business_results: Results) -> None:
    scores = business_results[2]
    day = DateScored(date(2024, 1, 1), "scored", Path("x"), scores)
    assert repr([day]) == f"[2024-01-01: scored, {len(scores.frame):,} accounts]"
    failed = DateScored(date(2024, 1, 1), "not scored", Path("x"), problem="no <accounts>")
    assert repr(failed) == "2024-01-01: not scored; no <accounts>"
    assert "&lt;accounts&gt;" in failed._repr_html_()
    suspect = {"column": "logins", "correlation": 0.9, "customers": 40, "equals": "tenure"}
    warning = TotalsWarning(pd.DataFrame([suspect]), ())
    assert repr(warning) == str(warning)
    assert "logins: rank correlation with tenure +0.90" in read(warning._repr_html_()).text


def test_what_is_shared_gives_the_same_results(
    business: ls.Tables, business_panel: ls.Panel, business_model: ls.ChurnModel
) -> None:
    analysis = business_panel.analysis
    context = ls.AsOfContext(business, analysis, business_panel)
    pd.testing.assert_frame_equal(context.episodes, ls.panel.adoption_episodes(business, analysis))
    # A snapshot knows the episodes of the accounts that are there, and would pass them for all.
    assert build_snapshot(business, analysis).episodes is None
    assert business_panel.as_of("2023-01-02").episodes is None
    alone = build_snapshot(business, analysis).frame
    pd.testing.assert_frame_equal(context.snapshot.frame, alone, check_dtype=False)
    for make in (
        ls.success_analysis.unattended_accounts,
        ls.success_analysis.milestone_calendar,
        ls.success_analysis.adoption_table,
        ls.success_analysis.most_successful,
        ls.success_analysis.find_success_gaps,
        ls.success_analysis.reasons_to_buy,
    ):
        assert (
            make(business, analysis, context=context).to_dict()
            == make(business, analysis).to_dict()
        )
    scored = [ls.score_accounts(business_model, business, context=one) for one in (context, None)]
    pd.testing.assert_frame_equal(scored[0].frame, scored[1].frame)


def test_today_is_made_once_and_is_of_one_day(business: ls.Tables) -> None:
    analysis = ls.SuccessAnalysis(())
    context = ls.AsOfContext(business, analysis)
    assert repr(context).endswith("computed so far: nothing yet")
    assert context.snapshot is context.snapshot
    assert repr(context).endswith("computed so far: snapshot")
    earlier = business.as_of("2022-01-01")
    with pytest.raises(ls.OptionError, match="from other tables"):
        ls.success_analysis.unattended_accounts(earlier, analysis, context=context)
    with pytest.raises(ls.OptionError, match="the panel ends at"):
        ls.AsOfContext(earlier, analysis, context.snapshot)
