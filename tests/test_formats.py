"""Numbers, dates, colours and sizes of letters have one place each; a search finds no second."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "leadsignal"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACES = {
    "a percentage": (
        "formats.py",
        r"""\.\d%[}'"]|\* ?100:\.|100 ?\*[^}]*:[.\dg+]*\} ?%|\} %|PercentFormatter""",
    ),
    "the no-break space of a percentage": (
        "formats.py",
        r"\\N\{NO-BREAK SPACE\}%|&nbsp;%|\\u00a0%|\\xa0%",
    ),
    "a p-value": ("formats.py", r"< 0\.001\"|\bp = ?\{|\.p:\.|p_holm'\]:|q_value'\]:"),
    "an amount of money": ("formats.py", r":[+]?,\.0f\} \{[^}]*currency"),
    "a month in words": ("formats.py", r"%[bB] |%[bB]\}|\"Jan\", ?\"Feb\""),
    "a plural": ("formats.py", r"""else ['"]s['"]\}"""),
    "the title of a picture": ("plots.py", r"\.set_title\("),
    "the size of letters": ("plots.py", r"fontsize=[\d.]|font_size|rcParams"),
    "a colour": ("plots.py", r"#[0-9A-Fa-f]{6}\b|#[0-9A-Fa-f]{3}['\";]"),
    "a family of letters": ("page_style.css", r"font-family: (?!inherit)|font: "),
}
"""By format, the file that has it, and a pattern of what would be a second place."""
OTHER_COLOURS = {"page_style.css"}
"""Pages have colours of their own, by name, for light, dark and print."""
READ = {"ingestion/cells.py"}
"""What reads numbers and dates that others wrote, and formats none."""


def files() -> list[Path]:
    return [f for f in sorted(SOURCE.rglob("*")) if f.suffix in {".py", ".css", ".js", ".html"}]


def places(pattern: str) -> set[str]:
    found = re.compile(pattern)
    return {
        str(file.relative_to(SOURCE))
        for file in files()
        if any(map(found.search, file.read_text(encoding="utf-8").splitlines()))
    }


@pytest.mark.parametrize("what", PLACES)
def test_a_format_has_one_place(what: str) -> None:
    place, pattern = PLACES[what]
    colours = OTHER_COLOURS if what == "a colour" else set()
    assert places(pattern) - {place} - colours - READ == set(), f"{what} belongs to {place}"


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a percentage", 'f"{share:.0%} of them"'),
        ("a percentage", "or_dash(share, '6.1%')"),
        ("a percentage", 'f"{100 * share:.1f} %"'),
        ("a p-value", "f\"p = {row['p']:.2g}\""),
        ("an amount of money", "f\"{arr:,.0f} {row['currency']}\""),
        ("a month in words", 'f"{day:%d %b}"'),
        ("a plural", "f\"row{'' if n == 1 else 's'}\""),
        ("the title of a picture", 'axes.set_title("a", loc="left")'),
        ("the size of letters", 'axes.annotate("a", (0, 0), fontsize=9)'),
        ("a colour", 'axes.plot(x, y, color="#DDDDDD")'),
        ("a family of letters", "body { font: 16px/1.5 system-ui; }"),
    ],
)
def test_the_search_would_find_a_second_place(what: str, line: str) -> None:
    assert re.search(PLACES[what][1], line)


def test_the_pages_of_the_docs_write_percentages_as_the_library_does() -> None:
    made = [*(ROOT / "docs" / "make").glob("*.py"), ROOT / "benchmarks" / "worlds.py"]
    assert [f.name for f in made if re.search(r":[+]?\.\d%\}", f.read_text("utf-8"))] == []
    tight = re.compile(r"(?<![\w%])\d+(?:\.\d+)?%(?![0-9A-Za-z])")
    found = [
        f"{page.name}: {hit[0]}"
        for page in PAGES
        for hit in tight.finditer(page.read_text("utf-8"))
    ]
    assert found == []
