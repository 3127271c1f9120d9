"""A page in a real Chromium: what it says, what it asks for, what axe finds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

WIDTHS = (375, 1280, 2560)
"""A phone, a laptop, a screen on a wall."""
SCHEMES = ("light", "dark")
READ_BY_AXE = ((375, "dark"), (1280, "light"))
"""Widths and schemes in which axe reads a page: each once, as it takes seconds."""
PATIENCE = 600_000
"""Milliseconds until a browser is given up: far more than a busy machine needs."""
OPEN_ALL = "document.querySelectorAll('details').forEach(held => held.open = true)"


@dataclass(frozen=True)
class Visit:
    """A page that is open: what it ``said`` (console, errors, dialogs) and ``asked`` for."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def look(self, width: int, scheme: str) -> None:
        """Change the width of the window and the colours without loading the page again."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme=scheme)

    def is_silent(self, width: int) -> None:
        """Fail where the page is wider than the window, speaks, or asks for anything outside."""
        assert self.page.evaluate("document.documentElement.scrollWidth") <= width
        assert self.said == []
        assert [url for url in self.asked if not url.startswith(("file:", "data:"))] == []


@contextmanager
def started_browser() -> Iterator[Any]:
    """Yield a Chromium, or skip with the reason why there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as started:
        try:
            opened = started.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"no Chromium to start: {str(error).splitlines()[0]}")
        yield opened
        opened.close()


def chromium() -> str | None:
    """Where a Chromium is: named by LEADSIGNAL_CHROMIUM, on the path, or playwright's own."""
    given = os.environ.get("LEADSIGNAL_CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome")
    return given or next((found for found in map(shutil.which, names) if found), None)


def open_page(of: Any, **options: Any) -> Any:
    """Open a page of a browser or a context, with patience."""
    page = of.new_page(**options)
    page.set_default_timeout(PATIENCE)
    return page


@contextmanager
def visit(browser: Any, file: Path, width: int, scheme: str) -> Iterator[Visit]:
    """Open a file, with every fold open, and listen from the start."""
    page = open_page(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
    visited = Visit(page)
    page.on("console", lambda message: visited.said.append(message.text))
    page.on("pageerror", lambda error: visited.said.append(str(error)))
    page.on("dialog", lambda dialog: visited.said.append(dialog.message))
    page.on("request", lambda request: visited.asked.append(request.url))
    page.goto(file.as_uri())
    page.evaluate(OPEN_ALL)
    yield visited
    page.close()


def axe_violations(browser: Any, file: Path, width: int, scheme: str) -> list[tuple[str, str]]:
    """Return the rules that axe sees broken, each with the first element that breaks it."""
    name = "axe_playwright_python.sync_playwright"
    axe = pytest.importorskip(name, reason="axe is not installed")
    # The page's own policy forbids every script but its own, axe's too.
    context = browser.new_context(
        bypass_csp=True, color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    page = open_page(context)
    page.goto(file.as_uri())
    page.evaluate(OPEN_ALL)
    violations = axe.Axe().run(page).response["violations"]
    context.close()
    return [(rule["id"], rule["nodes"][0]["html"][:120]) for rule in violations]
