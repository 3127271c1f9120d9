"""The pages of comparisons: what they say, what they escape, and that their bytes are equal."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from hostile_strings import HOSTILE, MARKUP
from leadsignal.cli import main
from leadsignal.cohorts import Comparison, DatedCohorts, compare_dated
from leadsignal.cohorts.overview import Overview
from leadsignal.errors import OptionError
from leadsignal.report.comparison_page import comparison_page
from leadsignal.report.overview_pages import explorer_page
from leadsignal.stats import Estimate
from small_business import write_small_business


class Elements(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def cohorts(levels: tuple[str, ...] = ("unmeasured", "measured"), **more: Any) -> DatedCohorts:
    rng = np.random.default_rng(7)
    n = 400
    event, end = rng.exponential(300, n).round(), np.ceil(rng.exponential(600, n))
    last = rng.integers(400, 1400, n)
    # Followed to the last day of 2023.
    return DatedCohorts.from_changes(
        "measured", levels, np.arange(n), np.minimum(end, last), (end <= last).astype(int),
        (np.arange(n), event, rng.integers(1, len(levels), n)), zero_days=19722.0 - last, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def measured() -> Comparison:
    return compare_dated(cohorts())


def plain(text: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", text)).replace("\xa0", " ")


def part(page: str, name: str) -> str:
    return re.split(r"</section>", page.split(f'id="{name}-title"')[1])[0]


def test_the_page_says_what_the_result_says(measured: Comparison) -> None:
    page = comparison_page(measured)
    assert measured.verdict in plain(part(page, "verdict"))
    assert part(page, "numbers").split("<tbody>")[1].count("<tr>") == 4
    items = re.findall("<li>(.*?)</li>", part(page, "cautions"))
    assert len(items) == 4 < len(measured.cautions)
    for caution, item in zip(measured.cautions, items, strict=False):
        assert plain(item).lower() == f"{caution}.".lower()
    folded = plain(page.split("<details>")[1])
    assert all(caution.lower() in folded.lower() for caution in measured.cautions[4:])
    assert all(line in folded for line in measured.explanation.splitlines())
    assert page.count("<figure>") == 2
    assert not re.search(r"\b(nan|inf|None)\b", plain(page.split("</style>")[1]))


def test_many_cohorts_and_many_groups_have_a_page_too() -> None:
    three = compare_dated(cohorts(("none", "one", "two")))
    assert part(comparison_page(three), "numbers").split("<tbody>")[1].count("<tr>") == 4
    five = compare_dated(cohorts(("none", "one", "two", "three", "four", "five")))
    assert part(comparison_page(five), "numbers").split("<tbody>")[1].count("<tr>") == 4
    rng = np.random.default_rng(0)
    n = 300
    many = compare_dated(
        DatedCohorts.from_changes(
            "rep", [f"rep {k}" for k in range(9)], np.arange(n), rng.integers(20, 900, n),
            rng.integers(0, 2, n), (np.arange(n), np.zeros(n), np.arange(n) % 9),
        )
    )  # fmt: skip
    page = comparison_page(many)
    assert many.verdict in plain(page)
    assert part(page, "numbers").split("<tbody>")[1].count("<tr>") == 4
    assert "Each group against the average" in page


def overview_of(*comparisons: Comparison) -> Overview:
    half = Estimate(0.5, 0.4, 0.6, 0.001)
    lines = tuple(
        ls.cohorts.overview.Line(one.by, c.cohort, c.against, None, half, "time_dependent", 0.01)
        for one in comparisons
        for c in one.contrasts
        if c.method == "time_dependent"
    )
    return Overview(lines, comparisons, {"shown": "every account is not shown"})


def test_equal_input_gives_equal_bytes(tmp_path: Path, measured: Comparison) -> None:
    again = compare_dated(cohorts())
    assert comparison_page(measured) == comparison_page(again)
    assert explorer_page(overview_of(measured)) == explorer_page(overview_of(again))
    written = ls.report.write_comparison(tmp_path / "page.html", measured)
    assert written.read_text(encoding="utf-8") == comparison_page(measured)
    ls.report.write_comparison(written, again)  # A page of ours is replaced.
    other = tmp_path / "other.html"
    other.write_text("<!doctype html><p>mine")
    with pytest.raises(OptionError, match="is there"):
        ls.report.write_comparison(other, measured)
    with pytest.raises(OptionError, match="is there"):
        ls.report.write_explorer(other, overview_of(measured))
    with pytest.raises(OptionError, match=r"Write to \.html"):
        ls.report.write_explorer(tmp_path / "page.md", overview_of(measured))
    with pytest.raises(OptionError, match="no comparison to show"):
        ls.report.write_explorer(tmp_path / "none.html", Overview((), (), {}))


def hostile(place: int) -> Comparison:
    rng = np.random.default_rng(place)
    names = tuple(dict.fromkeys(MARKUP[(place + step) % len(MARKUP)] for step in range(2)))
    return compare_dated(
        cohorts(
            names, covariates={MARKUP[place]: rng.choice(MARKUP[:3], 400).astype(object)},
            notes=(MARKUP[place], HOSTILE[place]),
        ),
        methods=["time_dependent"],
    )  # fmt: skip


def test_hostile_names_are_text() -> None:
    calm = cohorts(covariates={"segment": np.resize(np.array(["a", "b", "c"], dtype=object), 400)})
    quiet = compare_dated(calm, methods=["time_dependent"])
    allowed = set(Elements(explorer_page(overview_of(quiet))).tags)
    allowed |= set(Elements(comparison_page(quiet)).tags)
    for place in range(0, len(MARKUP), 5):
        compared = replace(hostile(place), by=MARKUP[place])
        pages = ((comparison_page(compared), 0), (explorer_page(overview_of(compared)), 1))
        for text, scripts in pages:
            found = Elements(text)
            assert set(found.tags) <= allowed | {"polygon"}
            assert not [name for name, _ in found.attributes if name.startswith("on")]
            assert found.tags.count("script") == scripts
            visible = MARKUP[place].replace("_", " ").replace("\x1b", "\ufffd")
            assert visible in plain(text)


def test_the_commands_write_the_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_small_business(tmp_path / "small", "accounts", "behaviors", "results")
    page, all_of_them = tmp_path / "measured.html", tmp_path / "explorer.html"
    arguments = ["compare", str(folder), "--method", "time_dependent", "--by"]
    assert main([*arguments, "measured", "--out", str(page)]) == 0
    printed = capsys.readouterr().out
    verdict = printed.splitlines()[2]
    assert verdict in plain(page.read_text(encoding="utf-8"))
    assert f"written to {page}" in printed
    assert sum(line.startswith("- ") for line in printed.splitlines()) <= 4
    assert main([*arguments, "measured", "--details"]) == 0
    assert "Evidence for measured against unmeasured" in capsys.readouterr().out
    assert main([*arguments, "all", "--out", str(all_of_them)]) == 0
    assert "data-segment" in all_of_them.read_text(encoding="utf-8")
    # Either is a page of ours, which the other may replace.
    assert main([*arguments, "measured", "--out", str(all_of_them)]) == 0


def test_the_grid_of_the_page_is_that_of_the_result(measured: Comparison) -> None:
    grid = measured.retention_grid()
    assert grid is not None
    body = part(comparison_page(measured), "grid").split("<tbody>")[1]
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in body.split("</tr>")[: len(grid)]]
    for row, expected in zip(cells, grid.to_dict("records"), strict=True):
        assert row[0] == f"{expected['accounts']:,}"
        shares = [expected[name] for name in grid if str(name).endswith("months")]
        assert row[1:] == ["" if pd.isna(s) else f"{s * 100:.0f}" for s in shares]
