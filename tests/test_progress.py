"""What is running and for how long: on a terminal, in a notebook, in a log."""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Callable
from contextlib import contextmanager

import pytest

from leadsignal import workers
from leadsignal.arguments import checked
from leadsignal.cli import shared


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


OPTIONS = argparse.Namespace(quiet=False, json=None, command="fit", details=False)


def test_a_terminal_shows_a_line_that_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with shared.progress_bar(OPTIONS, "panel") as report:
        report(1, 4)
    assert "\rpanel: 25 %, 0 s" in screen.getvalue()
    assert screen.getvalue().endswith("\r")
    assert screen.getvalue().split("\r")[-2].strip() == ""


def test_a_log_has_one_dated_line_for_each_part(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with shared.progress_bar(OPTIONS, "panel") as report:
        report(1, 4)
    dated = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d leadsignal fit: panel: done in \d+ s\n"
    assert re.fullmatch(dated, capsys.readouterr().err)


def test_a_quiet_run_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = argparse.Namespace(quiet=True, json=None, command="fit")
    with shared.progress_bar(quiet, "panel") as report:
        report(1, 4)
    assert capsys.readouterr().err == ""


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    text = "warning: odd\nno faults\nplain"
    assert shared.painted(text, io.StringIO()) == text
    painted = shared.painted(text, Terminal())
    assert painted == "\033[33mwarning: odd\033[0m\n\033[32mno faults\033[0m\nplain"
    monkeypatch.setenv("NO_COLOR", "1")
    assert shared.painted(text, Terminal()) == text


@checked
def long_work(count: int, *, progress: Callable[[int, int], None] | None = None) -> int:
    if progress:
        progress(count, count)
    return short_work(count)


@checked
def short_work(count: int, *, progress: Callable[[int, int], None] | None = None) -> int:
    assert progress is None, "a bar is shown within a bar"
    return count


def test_a_function_shows_one_bar_by_itself_in_a_notebook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[object] = []

    @contextmanager
    def bar(what: str):  # type: ignore[no-untyped-def]
        seen.append(what)
        yield lambda *done: seen.append(done)

    monkeypatch.setattr(workers, "in_notebook", bar)
    assert long_work(3) == 3
    assert seen == []
    monkeypatch.setattr(workers, "is_notebook", lambda: True)
    assert long_work(3) == 3
    assert seen == ["long work", (3, 3)]


def test_the_bar_of_a_notebook_is_html_with_its_time() -> None:
    page = workers._bar("<fit>", 1, 4, 75)
    assert '<progress value="1" max="4"' in page
    assert "&lt;fit&gt;: 25 %, 1 min 15 s" in page
    assert "value=" not in workers._bar("fit", 0, 0, 1)
