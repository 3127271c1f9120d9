"""The report in a real Chromium: widths, schemes, print, messages, requests, keyboard, axe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import leadsignal as ls
from in_browser import WIDTHS, axe_violations, open_page, visit

ATTACK = '<script>alert("x")</script>'
Results = tuple[ls.Panel, ls.Backtest, ls.Scores, ls.report.Findings]


@pytest.fixture(scope="module")
def report(
    business: ls.Tables, business_results: Results, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    panel, backtest, scores, found = business_results
    frame = scores.frame.copy()
    # The riskiest have names that try to run, and that do not break.
    frame.loc[0, "account_id"] = ATTACK
    frame.loc[1, "account_id"] = "Vereinigte-Abrechnungsgesellschaft" * 3
    file = tmp_path_factory.mktemp("page") / "churn.html"
    pages = file.parent / "our pages"
    ls.report.write_account_pages(business, scores, pages)
    ls.write_report(file, panel, backtest, replace(scores, frame=frame), found, pages=pages)
    return file


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
def test_it_fits_and_is_silent(browser: Any, report: Path, width: int, scheme: str) -> None:
    with visit(browser, report, width, scheme) as visited:
        visited.is_silent(width)
        page = visited.page
        drawn = page.locator("svg.chart").count()
        assert page.locator("svg.chart:visible").count() * 2 == drawn > 8
        assert page.locator("#calls-title + table th", has_text=ATTACK).count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_axe_finds_nothing(browser: Any, report: Path, width: int, scheme: str) -> None:
    assert axe_violations(browser, report, width, scheme) == []


@pytest.mark.parametrize("width", [390, 1280])
def test_an_account_leads_to_its_page(browser: Any, report: Path, width: int) -> None:
    index = report.parent / "our pages" / "index.html"
    for begin, links in ((report, ".calls tbody th a"), (index, "tbody th a")):
        with visit(browser, begin, width, "light") as visited:
            link = visited.page.locator(links).first
            name = link.inner_text()
            link.click()
            visited.page.wait_for_url("**/our%20pages/*-*.html")
            assert name in visited.page.locator("h1").inner_text()
            visited.is_silent(width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_list_of_pages(browser: Any, report: Path, scheme: str) -> None:
    index = report.parent / "our pages" / "index.html"
    assert axe_violations(browser, index, 390, scheme) == []


def rows(page: Any) -> list[str]:
    return [
        text.strip() for text in page.locator("#account-list tbody th:visible").all_inner_texts()
    ]


def test_all_accounts_are_there_without_a_script(
    browser: Any, report: Path, business_results: Results
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = open_page(context)
    page.goto(report.as_uri())
    assert page.locator("#account-list tbody tr:visible").count() == len(business_results[2].frame)
    assert not page.locator("#account-tools").is_visible()
    assert not page.locator("#account-more").is_visible()
    context.close()


def test_the_list_filters_and_sorts_by_keyboard(
    browser: Any, report: Path, business_results: Results
) -> None:
    frame = business_results[2].frame
    page = open_page(browser)
    page.goto(report.as_uri())
    everyone = rows(page)
    assert len(everyone) == min(50, len(frame))
    assert page.locator("#account-list th[aria-sort]").get_attribute("aria-sort") == "descending"

    page.locator("#account-list thead button").first.focus()
    page.keyboard.press("Enter")
    by_name = rows(page)
    assert by_name == sorted(by_name, key=str.lower)
    assert page.locator("#account-list th[aria-sort]").get_attribute("aria-sort") == "ascending"

    page.locator("#account-alerted").focus()
    page.keyboard.press("Space")
    assert len(rows(page)) == int(frame["alert"].sum())

    page.locator("#account-words").focus()
    page.keyboard.type("alert(")
    assert rows(page) == [ATTACK]
    assert page.locator("#account-count").inner_text().startswith("1 of 1 accounts shown")
    page.keyboard.type("no such account")
    assert rows(page) == []
    page.close()


def test_sorting_by_revenue_sorts_numbers(browser: Any, report: Path) -> None:
    page = open_page(browser)
    page.goto(report.as_uri())
    page.locator("#account-order").select_option(label="Revenue at risk")
    cells = page.locator("#account-list tbody tr:visible td:nth-child(3)").all()
    values = [float(cell.get_attribute("data-value")) for cell in cells]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]
    page.close()


def test_more_are_shown_when_asked(browser: Any, report: Path, business_results: Results) -> None:
    page = open_page(browser)
    page.goto(report.as_uri())
    before = len(rows(page))
    page.locator("#account-more").click()
    assert before < len(rows(page)) == min(250, len(business_results[2].frame))
    page.close()


def test_it_prints_on_a_few_sheets_and_the_first_screen_on_one(browser: Any, report: Path) -> None:
    page = open_page(browser)
    page.goto(report.as_uri())
    printed = page.pdf(prefer_css_page_size=True)
    sheets = printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ")
    assert 4 <= sheets <= 12
    page.emulate_media(media="print")
    assert not page.locator("nav.contents").is_visible()
    assert not page.locator("#account-tools").is_visible()
    page.set_viewport_size({"width": 710, "height": 1000})
    # A4 less its margins holds some 1,050 px of height.
    assert page.locator("#churn-title").bounding_box()["y"] < 1050
    page.close()
