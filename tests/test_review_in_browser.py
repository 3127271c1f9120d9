"""The account page in a real Chromium: width, print, messages, requests, accessibility."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from in_browser import SCHEMES, WIDTHS, axe_violations, open_page, visit

A4_POINTS = (595, 842)


def crowded() -> ls.Review:
    """An account with as much of everything as a page must hold, in long words."""
    days = pd.date_range("2021-01-01", "2023-12-01", freq="17D")
    long = "Name an owner for each balance sheet account of all subsidiaries abroad"
    owners = ["customer" if n % 2 else "vendor" for n in range(len(days))]

    def rows(**columns: Any) -> pd.DataFrame:
        return pd.DataFrame({"account_id": "a", **columns})

    behaviors = rows(occurred_at=days.append(days), behavior="x", user_id="u")
    behaviors.loc[: len(days) - 1, "behavior"] = "closed"
    frames = {
        "accounts": pd.DataFrame(
            {"account_id": ["a"], "started_on": ["2021-01-01"], "arr": ["120000"],
             "term_months": ["12"], "segment": ["enterprise and public sector"]}
        ),
        "behaviors": behaviors,
        "results": rows(measured_on=days, value=range(len(days)), target=30, metric="days to close",
                        higher_is_better="false"),
        "plans": rows(agreed_on=days[::15], objective=long, sponsor="<b>Ines</b>", target=3,
                      metric="days to close", target_on=days[::15] + pd.Timedelta(days=90),
                      next_phase=long),
        "commitments": rows(agreed_on=days, due_on=days + pd.Timedelta(days=30), owner=owners,
                            action=[f"{long} {n}" for n in range(len(days))],
                            completed_on=[day if n % 3 else None for n, day in enumerate(days)]),
        "tickets": rows(opened_at=days, severity="high"),
        "contract_changes": rows(changed_at=days[::9], kind="expansion", arr_delta="1000"),
    }  # fmt: skip
    process = """
[[process]]
name = "a_process_with_quite_a_long_name_{n}"
why = "it matters"
behavior = ["closed", "another_behaviour_with_a_long_name"]
at_least = {n}
within = "30d"
adopt_by = "90d"
"""
    analysis = ls.SuccessAnalysis.from_toml("".join(process.format(n=n) for n in (1, 2, 9)))
    tables = ls.read_tables(frames, as_of="2024-01-01", attributes=["segment"])
    made = ls.review_account(tables, "a", analysis)
    from dataclasses import replace

    from leadsignal.report.review import Risk

    return replace(made, risk=Risk(0.31, 0.06, 180, 3, 412, (f"tickets: {long}",) * 3, "m1"))


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "review.html"
    ls.write_review(crowded(), file)
    return file


def test_it_fits_and_is_silent(browser: Any, page_file: Path) -> None:
    with visit(browser, page_file, 375, "light") as visited:
        for width, scheme in product(WIDTHS, SCHEMES):
            visited.look(width, scheme)
            visited.is_silent(width)
            assert visited.page.locator("svg.chart:visible").count() == 1
        assert visited.page.evaluate("document.body.textContent").count("<b>Ines</b>") >= 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing(browser: Any, page_file: Path, scheme: str) -> None:
    assert axe_violations(browser, page_file, 1280, scheme) == []


def test_a_crowded_account_prints_on_one_sheet(browser: Any, page_file: Path) -> None:
    page = open_page(browser)
    page.goto(page_file.as_uri())
    printed = page.pdf(prefer_css_page_size=True)
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") == 1
    box = printed.split(b"/MediaBox [")[1].split(b"]")[0].split()
    assert tuple(round(float(side)) for side in box[2:]) == A4_POINTS
    page.close()


def test_everything_folded_can_be_opened_by_keyboard(browser: Any, page_file: Path) -> None:
    page = open_page(browser)
    page.goto(page_file.as_uri())
    opened = page.locator("details").first
    opened.locator("summary").focus()
    page.keyboard.press("Enter")
    assert opened.evaluate("held => held.open")
    page.close()
