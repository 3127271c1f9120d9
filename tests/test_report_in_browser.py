"""The report in a real Chromium: widths, schemes, print, messages, requests, keyboard, axe."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import leadsignal as ls
from in_browser import READ_BY_AXE, SCHEMES, WIDTHS, axe_violations, open_page, visit

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


def test_it_fits_and_is_silent(browser: Any, report: Path) -> None:
    with visit(browser, report, 375, "light") as visited:
        for width, scheme in product(WIDTHS, SCHEMES):
            visited.look(width, scheme)
            visited.is_silent(width)
            page = visited.page
            drawn = page.locator("svg.chart").count()
            assert page.locator("svg.chart:visible").count() * 2 == drawn > 8
            assert page.locator("#calls-title + table th", has_text=ATTACK).count() == 1


@pytest.mark.parametrize(("width", "scheme"), READ_BY_AXE)
def test_axe_finds_nothing(browser: Any, report: Path, width: int, scheme: str) -> None:
    assert axe_violations(browser, report, width, scheme) == []


CROSSED = """
() => {
  const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
  const cross = (a, b) => b.left > a.left + 1 && b.right < a.right - 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
  const found = [];
  for (const chart of document.querySelectorAll('svg.chart')) {
    const box = one => one.getBoundingClientRect();
    const texts = [...chart.querySelectorAll('text')].filter(one => box(one).width);
    const upright = [...chart.querySelectorAll('line.grid, line.reference')]
      .filter(one => one.getAttribute('x1') === one.getAttribute('x2'));
    texts.forEach((one, at) => {
      if (box(one).left < -1 || box(one).right > innerWidth + 1) { found.push(one.textContent); }
      for (const line of upright) {
        if (cross(box(one), box(line))) { found.push(one.textContent + ' has a line through it'); }
      }
      for (const other of texts.slice(at + 1)) {
        if (meet(box(one), box(other))) { found.push(one.textContent + ' / ' + other.textContent); }
      }
    });
  }
  return found;
}
"""
"""Texts of the charts that leave the window, run into one another, or have a line through them."""


def test_labels_stand_free(browser: Any, report: Path) -> None:
    with visit(browser, report, 390, "light") as visited:
        for width in (390, 1280, 1920):
            visited.look(width, "light")
            assert visited.page.locator("svg.chart:visible text").count() > 100
            assert visited.page.evaluate(CROSSED) == []


def test_no_list_is_long_on_a_phone_until_it_is_opened(browser: Any, report: Path) -> None:
    page = open_page(browser, viewport={"width": 390, "height": 900})
    page.goto(report.as_uri())
    lists = page.locator("main ul, main ol, main tbody")
    longest = max(one.locator(":scope > *:visible").count() for one in lists.all())
    assert 0 < longest <= 12
    assert page.locator("details:visible").count() > 5
    assert page.locator("details[open]").count() == 0
    page.close()


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


def test_print_keeps_pictures_whole_and_repeats_headings(browser: Any, report: Path) -> None:
    page = open_page(browser)
    page.goto(report.as_uri())
    page.locator("#cohorts-title ~ details summary").click()
    page.emulate_media(media="print")

    def styles(selector: str, name: str) -> set[str]:
        script = "(all, name) => all.map(one => getComputedStyle(one)[name])"
        return set(page.locator(selector).evaluate_all(script, name))

    assert styles("figure, h2", "breakInside") == {"avoid"}
    assert styles("table:not(#account-list)", "breakInside") == {"avoid"}
    assert styles("thead", "display") == {"table-header-group"}
    # A button is not painted again on the next sheet, its text is.
    assert styles("thead button", "display") == {"contents"}
    # What is folded on the screen stays out, what is open is printed.
    assert page.locator("#cohorts-title ~ details table").is_visible()
    assert page.locator("details:visible").count() == 1
    assert page.locator("footer", has_text="that are open on the screen").is_visible()
    page.close()
