"""The API reference, written from signatures and docstrings: a page a chapter of the flow.

    python docs/make/reference.py FOLDER

`docs/make/build_site.py` calls it; the pages are not committed.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import leadsignal as ls

CHAPTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Tables and projects": (
        "tables.md",
        (
            "tables",
            "config.project",
            "config.credentials",
            "model.lifetime_model",
            "engine.spark_tables",
            "engine.warehouse",
        ),
    ),
    "Why customers stay": ("success-study.md", ("success_analysis", "config.success")),
    "Discovery": ("discovery.md", ("success_analysis.discovery",)),
    "The panel": (
        "internals.md",
        ("panel", "scoring.spark_panel", "model.encoding"),
    ),
    "Tracking": (
        "tracking.md",
        (
            "as_of_context",
            "success_analysis.adoption",
            "success_analysis.milestones",
            "success_analysis.results_over_time",
        ),
    ),
    "Before usage drops": ("before-usage-drops.md", ("churn", "evaluation")),
    "Why they leave": ("why.md", ("model.hazard_ratios", "model.incidence")),
    "Cohorts": ("cohorts.md", ("cohorts",)),
    "Models and scores": (
        "model.md",
        ("model", "evaluation.methods", "scoring.scores", "scoring.scores_table"),
    ),
    "Scheduled scoring and monitoring": ("scheduled-scoring.md", ("scoring", "monitoring")),
    "Pages and reports": ("account-page.md", ("report",)),
    "Simulated data": ("simulator.md", ("datasets",)),
    "Errors": ("faq.md", ("errors",)),
}
"""Chapter: its page of the guide, and the modules or packages whose public names it holds."""
OTHERS = "Further names"


def public_names() -> dict[str, Any]:
    """Return each public class and function, of the top level and of the public submodules."""
    found: dict[str, Any] = {}
    for name in dir(ls):
        value = getattr(ls, name)
        if not inspect.ismodule(value):
            found[name] = value
        elif name != "survival":
            found |= {inner: getattr(value, inner) for inner in value.__all__}
    return {name: v for name, v in found.items() if inspect.isclass(v) or inspect.isfunction(v)}


def chapters() -> dict[str, list[str]]:
    """Return the public names by chapter: that of their module, or else of its package."""
    chapter_of = {module: title for title, (_, modules) in CHAPTERS.items() for module in modules}
    found: dict[str, list[str]] = {title: [] for title in [*CHAPTERS, OTHERS]}
    for name, value in public_names().items():
        module = value.__module__.removeprefix("leadsignal.")
        while module not in chapter_of and "." in module:
            module = module.rpartition(".")[0]
        found[chapter_of.get(module, OTHERS)].append(name)
    return {title: sorted(names, key=str.lower) for title, names in found.items() if names}


def slug(title: str) -> str:
    """Return the name of a chapter's file."""
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def markdown(docstring: str) -> Iterator[str]:
    """Turn a docstring into Markdown: ``code`` to `code`, doctests fenced."""
    inside = False
    for line in re.sub(r"``(.+?)``", r"`\1`", docstring).splitlines():
        if line.startswith(">>>") and not inside:
            inside = True
            yield from ("", "```pycon")
        elif inside and not line.strip():
            inside = False
            yield "```"
        yield line
    if inside:
        yield "```"


def signature(thing: Any, name: str) -> str:
    """Return a signature as it would be written, one argument a line where it is long."""
    told = str(inspect.signature(thing)).replace("'", "")
    if inspect.isclass(thing):
        told = told.removesuffix(" -> None")
    if len(name) + len(told) <= 90:
        return name + told
    inside, _, after = told[1:].rpartition(")")
    parts = re.split(r", (?![^\[\(]*[\]\)])", inside)
    return "\n".join([f"{name}(", *(f"    {part}," for part in parts), f"){after}"])


def own_members(thing: type) -> Iterator[tuple[str, Any]]:
    """Return the public methods and properties that a class itself documents."""
    for name, member in vars(thing).items():
        if name.startswith("_"):
            continue
        if isinstance(member, classmethod | staticmethod):
            member = member.__func__
        if isinstance(member, property) or inspect.isfunction(member):
            yield name, member


def first_sentence(docstring: str | None) -> str:
    """Return the first paragraph of a docstring on one line."""
    told = (docstring or "").split("\n\n")[0]
    return re.sub(r"``(.+?)``", r"`\1`", " ".join(told.split()))


def section(name: str) -> Iterator[str]:
    """Return the lines that document a public name."""
    thing = public_names()[name]
    yield from (f"## {name}", "", "```python")
    is_error = inspect.isclass(thing) and issubclass(thing, Exception)
    yield f"class {name}(Exception)" if is_error else signature(thing, name)
    yield from ("```", "")
    yield from markdown(inspect.getdoc(thing) or "")
    if inspect.isclass(thing) and (members := list(own_members(thing))):
        yield from ("", "| member | what it is |", "|---|---|")
        for member, value in members:
            call = "" if isinstance(value, property) else "()"
            told = first_sentence(inspect.getdoc(value)).replace("|", "\\|")
            yield f"| `{member}{call}` | {told} |"
    yield ""


def page(title: str, names: list[str], guide: str | None) -> str:
    """Return the page of a chapter; ``guide`` is the page that teaches it."""
    lines = [f"# {title}", ""]
    if guide:
        taught = guide.removesuffix(".md").replace("-", " ")
        lines += [f"What these mean, and what they rest on: [{taught}](../{guide}).", ""]
    for name in names:
        lines += section(name)
    return "\n".join(lines).rstrip() + "\n"


def write_reference(folder: Path, pages: set[str]) -> list[Path]:
    """Write the reference into ``folder``, linked to those of the guide's ``pages`` that exist."""
    folder.mkdir(parents=True, exist_ok=True)
    files, index = [], ["# Reference", "", "Every public name, from its docstring."]
    for title, names in chapters().items():
        guide = CHAPTERS.get(title, ("",))[0]
        files.append(folder / f"{slug(title)}.md")
        files[-1].write_text(page(title, names, guide if guide in pages else None), "utf-8")
        index += ["", f"**[{title}]({files[-1].name})**", ""]
        index += [f"[`{name}`]({files[-1].name}#{name.lower()})" for name in names]
    (folder / "index.md").write_text("\n".join(index) + "\n", encoding="utf-8")
    return files


if __name__ == "__main__":
    write_reference(
        Path(sys.argv[1]), {file.name for file in Path(__file__).parents[1].glob("*.md")}
    )
