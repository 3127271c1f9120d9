"""Build the documentation as a site of plain files, without a network.

    python docs/make/build_site.py site

The pages of docs/, the notebooks as text, CONTRIBUTING and CHANGELOG, and the API reference
(written anew) are put into a temporary folder and built there by zensical. What stands in the
menu, and in what order, is read from docs/index.md.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent))
from reference import chapters, slug, write_reference

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BESIDE = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages at the root of the project, and what they are called on the site."""
EXTENSIONS = (
    "tables",
    "attr_list",
    "pymdownx.highlight",
    "pymdownx.superfences",
    "pymdownx.inlinehilite",
)
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")


def notebook_text(file: Path) -> str:
    """Return a notebook as Markdown, without outputs."""
    parts: list[str] = []
    for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    text = "\n\n".join(parts) + "\n"
    return text.replace("](../docs/", "](../").replace(".ipynb)", ".md)")


def moved(target: str) -> str | None:
    """Return where a link of a docs page leads on the site; None if it leads out of the site."""
    path, _, part = target.partition("#")
    anchor = f"#{part}" if part else ""
    if path.startswith("../notebooks/"):
        return f"notebooks/{Path(path).stem}.md{anchor}"
    name = path.removeprefix("../")
    if path.startswith("../"):
        return f"{BESIDE[name]}{anchor}" if name in BESIDE else None
    return target


def with_links(text: str) -> str:
    """Return a page with its links as they are on the site; what is not on it is named instead."""

    def link(found: re.Match[str]) -> str:
        there = moved(found[2])
        return f"[{found[1]}]({there})" if there else f"{found[1]} (`{found[2].lstrip('./')}`)"

    return LINK.sub(link, text)


def assemble(folder: Path) -> Path:
    """Put the pages of the site into ``folder``."""
    pages = folder / "docs"
    (pages / "notebooks").mkdir(parents=True)
    for file in DOCS.glob("*.md"):
        text = with_links(file.read_text(encoding="utf-8"))
        (pages / file.name).write_text(text, encoding="utf-8")
    for file in (ROOT / "notebooks").glob("*.ipynb"):
        (pages / "notebooks" / f"{file.stem}.md").write_text(notebook_text(file), encoding="utf-8")
    for name, there in BESIDE.items():
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
        (pages / there).write_text(text, encoding="utf-8")
    for kept in ("pictures", "indicators"):
        shutil.copytree(DOCS / kept, pages / kept)
    shutil.copytree(Path(__file__).parent / "site", pages / "site")
    write_reference(pages / "reference", {file.name for file in DOCS.glob("*.md")})
    return pages


def menu() -> Iterator[str]:
    """Return the lines of the menu: the sections and links of docs/index.md, then the reference."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    yield '  { "Guide" = "index.md" },'
    seen = {"index.md"}
    for part in re.split(r"(?m)^## ", index)[1:]:
        title = part.splitlines()[0]
        links = re.findall(r"\[([^\]]+)\]\(([^)#:]+)\)", part)
        fresh = {there: text for text, to in links if (there := moved(to)) and there not in seen}
        seen |= fresh.keys()
        if fresh:
            yield f"  {{ {json.dumps(title)} = [{listed(fresh)}] }},"
    names = {"reference/index.md": "All names"}
    names |= {f"reference/{slug(title)}.md": title for title in chapters()}
    yield f'  {{ "Reference" = [{listed(names)}] }},'


def listed(pages: dict[str, str]) -> str:
    """Return titles of pages as entries of a menu."""
    return ", ".join(f"{{ {json.dumps(text)} = {json.dumps(to)} }}" for to, text in pages.items())


def settings() -> str:
    """Return the settings of zensical: no font, script or picture from elsewhere."""
    lines = [
        "[project]",
        'site_name = "leadsignal"',
        'site_description = "Predict customer churn from leading behavioural indicators"',
        "use_directory_urls = false",
        'extra_css = ["site/site.css"]',
        'extra = { polyfills = ["site/site.js"] }',
        "nav = [",
        *menu(),
        "]",
        "",
        "[project.theme]",
        'language = "en"',
        "font = false",
        'features = ["content.code.copy", "navigation.footer", "navigation.top"]',
        "",
        *palette("light", "default", "sun"),
        *palette("dark", "slate", "moon"),
        "",
        "[project.markdown_extensions]",
        *(f"{name} = {{}}" for name in EXTENSIONS),
        "toc = { permalink = true }",
    ]
    return "\n".join(lines) + "\n"


def palette(name: str, scheme: str, icon: str) -> list[str]:
    """Return the settings of one colour scheme; the button leads to the other."""
    other = "dark" if name == "light" else "light"
    return [
        "",
        "[[project.theme.palette]]",
        f'media = "(prefers-color-scheme: {name})"',
        f'scheme = "{scheme}"',
        f'toggle = {{ icon = "lucide/{icon}", name = "Show in {other} colours" }}',
    ]


def with_search(site: Path) -> Path:
    """Give the index of the search to pages that are opened as files; a script may be read there."""
    index = (site / "search.json").read_text(encoding="utf-8")
    (site / "search.js").write_text(f"var __index = {index}", encoding="utf-8")
    return site


def build(target: Path) -> Path:
    """Build the site into ``target``, which is replaced."""
    with TemporaryDirectory() as name:
        folder = Path(name).resolve()
        assemble(folder)
        (folder / "zensical.toml").write_text(settings(), encoding="utf-8")
        command = [sys.executable, "-m", "zensical", "build", "--strict"]
        plain = {**os.environ, "NO_COLOR": "1"}
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=plain)
        if done.returncode:
            raise SystemExit(f"zensical: {done.stdout}\n{done.stderr}")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(with_search(folder / "site"), target)
    return target


if __name__ == "__main__":
    build(Path(sys.argv[1]))
