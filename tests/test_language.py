"""Plain words: terms that analysts stumble over are replaced, and do not come back."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TERMS = tomllib.loads((ROOT / "tests" / "plain_language.toml").read_text(encoding="utf-8"))["term"]


def texts() -> Iterator[tuple[str, str]]:
    for place, pattern in (
        (ROOT / "src", "*.py"),
        (ROOT / "src", "*.toml"),
        (ROOT / "docs", "*.md"),
    ):
        for file in sorted(place.rglob(pattern)):
            yield str(file.relative_to(ROOT)), file.read_text(encoding="utf-8")
    # Of notebooks what is written, not what they show: that names behaviours of the data.
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]).splitlines() for cell in cells]
        yield file.name, json.dumps(sources, indent=1, ensure_ascii=False)
    for name in ("README.md", "CONTRIBUTING.md"):
        yield name, (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term["pattern"])
def test_a_term_that_was_replaced_does_not_come_back(term: dict[str, str | int]) -> None:
    """``left`` counts the places still to be rewritten; it may only be lowered."""
    pattern = re.compile(str(term["pattern"]))
    found = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}"
        for name, text in texts()
        for match in pattern.finditer(text)
    ]
    assert len(found) <= int(term["left"]), (
        f"write {term['instead']} instead of {term['pattern']}: {', '.join(found[:20])}"
    )
