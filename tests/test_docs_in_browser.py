"""The documentation's site in a real Chromium, opened as files: widths, schemes, search, axe."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from in_browser import READ_BY_AXE, SCHEMES, axe_violations, visit

PAGES = (
    "index.html",
    "start.html",
    "before-usage-drops.html",
    "reference/models-and-scores.html",
    "gallery-of-wrong-analyses.html",
    "commands.html",
    "indicators/results.html",
)
"""The start, guide pages with code and wide tables, the reference, the longest pages."""
SEEN_BY_AXE = [(page, *READ_BY_AXE[number % 2]) for number, page in enumerate(PAGES)]
SEEN_BY_AXE += [("start.html", *seen) for seen in product((375, 1280), SCHEMES)]
"""All have the same theme: axe reads one page in all ways, the others in one."""

pytestmark = pytest.mark.xdist_group("site")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_and_is_silent(browser: Any, site: Path, page: str) -> None:
    with visit(browser, site / page, 375, "light") as visited:
        for width, scheme in product((375, 1280), SCHEMES):
            visited.look(width, scheme)
            visited.is_silent(width)


@pytest.mark.parametrize(("page", "width", "scheme"), dict.fromkeys(SEEN_BY_AXE))
def test_axe_finds_nothing(browser: Any, site: Path, page: str, width: int, scheme: str) -> None:
    assert axe_violations(browser, site / page, width, scheme) == []


def test_the_search_works_in_pages_opened_as_files(browser: Any, site: Path) -> None:
    with visit(browser, site / "start.html", 1280, "light") as visited:
        page = visited.page
        page.locator(".md-search__button").first.click()
        page.get_by_role("combobox", name="Search").wait_for()
        page.keyboard.type("immortal", delay=60)
        page.get_by_text("Sort accounts by what they ever did").first.wait_for()
        visited.is_silent(1280)


def test_the_button_changes_the_colours(browser: Any, site: Path) -> None:
    with visit(browser, site / "start.html", 1280, "light") as visited:
        body = visited.page.locator("body")
        assert body.get_attribute("data-md-color-scheme") == "default"
        visited.page.locator("label[title='Show in dark colours']").click()
        assert body.get_attribute("data-md-color-scheme") == "slate"
        visited.is_silent(1280)
