"""The README and the notebooks run as they stand."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "make"))
import run_notebooks as make

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_the_readmes_example_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    names: dict[str, object] = {}
    exec(blocks[0], names)
    assert len(names["scores"].to_frame()) > 100  # type: ignore[attr-defined]


def test_the_readmes_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.usefixtures("shared_session")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the notebook client itself
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(notebook: Path) -> None:
    kept = make.shown(nbformat.read(notebook, as_version=4))  # type: ignore[no-untyped-call]
    now = make.shown(make.executed(notebook))
    assert [kind for kind, _ in now] == [kind for kind, _ in kept], make.__doc__
    differ = [(a, b) for (_, a), (_, b) in zip(kept, now, strict=True) if not make.is_same(a, b)]
    assert differ == [], "run python docs/make/run_notebooks.py notebooks"
    assert make.PICTURE in [kind for kind, _ in now]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_outputs_of_a_notebook_are_small_and_the_same_each_time(notebook: Path) -> None:
    read = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    assert notebook.stat().st_size < make.MAX_BYTES
    code = [cell for cell in read.cells if cell.cell_type == "code"]
    assert all(cell.execution_count is None and not cell.metadata for cell in code)
    text = "".join(content for _, content in make.shown(read))
    assert "<progress" not in text
    assert re.findall(r" at 0x|\bnan\b|/home/|/root/|/work/|/tmp\w", text) == []


def test_other_words_and_numbers_are_noticed() -> None:
    assert make.is_same("risk 0.35 of 12", "risk 0.35 of 12")
    assert not make.is_same("risk 0.35", "risks 0.35")
    assert not make.is_same("risk 0.35", "risk 0.38")
    assert not make.is_same("12 accounts", "19 accounts")
