"""The pages of comparisons in a real Chromium: widths, schemes, print, keyboard, no script, axe."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

import leadsignal as ls
from in_browser import READ_BY_AXE, SCHEMES, WIDTHS, axe_violations, open_page, visit


@pytest.fixture(scope="module")
def pages(
    business: ls.Tables,
    business_analysis: ls.SuccessAnalysis,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("comparisons")
    overview = ls.compare_all(business, business_analysis, methods=["time_dependent"])
    measured = ls.compare_cohorts(business, "measured", business_analysis)
    return {
        "comparison": ls.report.write_comparison(folder / "measured.html", measured),
        "explorer": ls.report.write_explorer(folder / "explorer.html", overview),
    }


@pytest.mark.parametrize("name", ["comparison", "explorer"])
def test_it_fits_and_is_silent(browser: Any, pages: dict[str, Path], name: str) -> None:
    with visit(browser, pages[name], 375, "light") as visited:
        for width, scheme in product(WIDTHS, SCHEMES):
            visited.look(width, scheme)
            visited.is_silent(width)
            page = visited.page
            assert page.locator("svg.chart:visible").count() >= 2
            assert page.locator("table.heat td:visible").count() > 8


@pytest.mark.parametrize(("width", "scheme"), READ_BY_AXE)
@pytest.mark.parametrize("name", ["comparison", "explorer"])
def test_axe_finds_nothing(
    browser: Any, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    assert axe_violations(browser, pages[name], width, scheme) == []


def shown(page: Any) -> list[str]:
    return [text.strip() for text in page.locator("article:visible > h2").all_inner_texts()]


def test_a_cohort_and_a_segment_are_chosen_by_keyboard(
    browser: Any, pages: dict[str, Path]
) -> None:
    page = open_page(browser)
    page.goto(pages["explorer"].as_uri())
    assert shown(page) == ["measured"]
    page.locator("#explorer-cohort").focus()
    page.keyboard.press("ArrowDown")
    first = page.locator("#explorer-cohort option:checked").inner_text()
    assert shown(page) == [first] != ["measured"]
    assert page.locator("#explorer-state").inner_text() == f"Shown: {first}, all accounts."

    page.locator("#explorer-segment").focus()
    page.keyboard.press("ArrowDown")
    segment = page.locator("#explorer-segment option:checked").inner_text()
    assert segment != "all accounts"
    titles = page.locator("article:visible [data-segment]:visible h3").all_inner_texts()
    assert [title.splitlines()[0].strip() for title in titles] == [segment]
    assert page.locator("article:visible [data-whole]:visible").count() == 0
    assert segment in page.locator("#explorer-state").inner_text()
    page.close()


def test_a_link_of_the_table_leads_to_its_comparison(browser: Any, pages: dict[str, Path]) -> None:
    page = open_page(browser)
    page.goto(pages["explorer"].as_uri())
    page.locator("details", has_text="cohorts").first.locator("summary").click()
    link = page.locator("details a", has_text="complained").first
    link.click()
    assert shown(page) == ["complained"]
    page.close()


def test_all_comparisons_are_there_without_a_script(browser: Any, pages: dict[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = open_page(context)
    page.goto(pages["explorer"].as_uri())
    assert page.locator("article:visible").count() == page.locator("article").count() > 5
    assert not page.locator("#explorer-tools").is_visible()
    assert page.locator("article p.first:visible").count() == page.locator("article").count()
    context.close()


@pytest.mark.parametrize("name", ["comparison", "explorer"])
def test_it_prints_on_few_sheets(browser: Any, pages: dict[str, Path], name: str) -> None:
    page = open_page(browser)
    page.goto(pages[name].as_uri())
    printed = page.pdf(prefer_css_page_size=True)
    sheets = printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ")
    assert 1 <= sheets <= 3
    page.emulate_media(media="print")
    assert not page.locator("details").first.is_visible()
    page.close()
