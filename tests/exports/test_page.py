"""The page about exports shows first lines of files, and what `init` writes for them."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from exports.test_truth import WRITERS
from leadsignal.proposals import propose_project
from leadsignal.proposals.file_profile import KNOWN_EXPORTS

PAGE = (Path(__file__).parents[2] / "docs" / "bring-your-own.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"<!-- first lines: (\w+)/([^\n]+) -->\n```text\n(.*?)```", PAGE, re.DOTALL)
PROJECTS = dict(re.findall(r"<!-- toml: (\w+) -->\n```toml\n(.*?)```", PAGE, re.DOTALL))
SYSTEMS = sorted({export.system for export in KNOWN_EXPORTS})


def test_every_system_has_its_section_first_lines_and_project() -> None:
    assert {f"## {system}" for system in SYSTEMS} <= set(PAGE.splitlines())
    assert sorted(name for name, _, _ in SHOWN) == [system.lower() for system in SYSTEMS]
    assert sorted(PROJECTS) == [system.lower() for system in SYSTEMS]


@pytest.mark.parametrize(("system", "name", "lines"), SHOWN, ids=[one[0] for one in SHOWN])
def test_the_first_lines_are_those_of_the_file(
    system: str, name: str, lines: str, tmp_path: Path
) -> None:
    WRITERS[system](tmp_path, 0)
    content = (tmp_path / name).read_bytes()
    text = (gzip.decompress(content) if name.endswith(".gz") else content).decode("utf-8-sig")
    for shown, written in zip(lines.splitlines(), text.splitlines(), strict=False):
        assert written.startswith(shown.removesuffix("…").rstrip()), written


@pytest.mark.parametrize("system", PROJECTS)
def test_the_project_is_what_init_writes(system: str, tmp_path: Path) -> None:
    WRITERS[system](tmp_path, 0)
    assert propose_project(tmp_path).text == PROJECTS[system]
