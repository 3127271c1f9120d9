"""The docs are whole: links lead somewhere, examples run, every name and command is there."""

from __future__ import annotations

import inspect
import re
import shlex
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import leadsignal as ls
from leadsignal.cli import main

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
LINK = re.compile(r"\]\(([^)\s]+)\)")

sys.path.insert(0, str(DOCS / "make"))
import commands as commands_page  # noqa: E402  # beside the pages, no part of the library
import gallery  # noqa: E402
import pictures  # noqa: E402
import reference  # noqa: E402

PUBLIC = reference.public_names()


def text_of(page: Path) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    heads = re.findall(r"(?m)^#+ (.+)$", text_of(page))
    plain = [re.sub(r"[^\w\s-]", "", head.lower()).strip() for head in heads]
    return {re.sub(r"[\s-]+", "-", head) for head in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for link in LINK.findall(text_of(page)):
        path, _, anchor = link.partition("#")
        if ":" in path:
            continue
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(link)
    assert lost == []


def test_the_guide_reaches_every_page() -> None:
    linked = {link.partition("#")[0] for link in LINK.findall(text_of(DOCS / "index.md"))}
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.glob("**/*.md")}
    assert pages - linked - {"index.md"} == set()
    notebooks = {f"../notebooks/{file.name}" for file in (ROOT / "notebooks").glob("*.ipynb")}
    assert notebooks - linked == set()


def test_no_table_has_a_column_without_a_name() -> None:
    empty = re.compile(r"(?m)^\|(?:[^|\n]*\|)*? +\|.*\n\|[-|]+\|$")
    assert [page.name for page in PAGES if empty.search(page.read_text(encoding="utf-8"))] == []


def test_every_picture_is_drawn_by_the_script_and_shown() -> None:
    drawn = {f"{name}.png" for name in pictures.PICTURES}
    kept = {file.name for file in (DOCS / "pictures").iterdir()}
    shown = {Path(link).name for page in PAGES for link in re.findall(r"!\[.*?\]\((.+?)\)",
             page.read_text(encoding="utf-8"))}  # fmt: skip
    assert drawn == kept == shown


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    (file,) = pictures.draw(tmp_path, ["censoring"])
    assert file.read_bytes()[:4] == b"\x89PNG"


def test_the_gallery_says_what_the_script_works_out() -> None:
    page = (DOCS / "gallery-of-wrong-analyses.md").read_text(encoding="utf-8")
    assert page.count("\n## ") == len(gallery.ENTRIES)
    for make in (gallery.alerted_at_some_time, gallery.the_leavers_only, gallery.the_survivors):
        assert str(make()) in page


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_documented(name: str) -> None:
    told = inspect.getdoc(PUBLIC[name]) or ""
    assert len(told.splitlines()[0]) > 15
    assert not told.startswith(f"{name}(")  # what dataclasses write by themselves


def hand_written() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))


def test_the_guide_names_every_public_function_and_the_errors() -> None:
    guide = hand_written()
    wanted = [
        name
        for name, value in PUBLIC.items()
        if inspect.isfunction(value) or name.endswith("Error")
    ]
    assert [name for name in wanted if not re.search(rf"\b{name}\b", guide)] == []


def test_every_public_class_is_named_or_given_back_by_a_public_function() -> None:
    functions = [value for value in PUBLIC.values() if inspect.isfunction(value)]
    classes = [value for value in PUBLIC.values() if inspect.isclass(value)]
    members = [m for one in classes for m in vars(one).values() if inspect.isfunction(m)]
    mentioned = " ".join(str(inspect.signature(one)) for one in [*functions, *members])
    mentioned += " ".join(str(one.__annotations__) for one in classes) + hand_written()
    names = [one.__name__ for one in classes]
    assert [name for name in names if not re.search(rf"\b{name}\b", mentioned)] == []


def test_the_reference_holds_every_name_once(tmp_path: Path) -> None:
    files = reference.write_reference(tmp_path, {page.name for page in DOCS.glob("*.md")})
    heads = [h for f in files for h in re.findall(r"(?m)^## (\w+)$", f.read_text("utf-8"))]
    assert sorted(heads) == sorted(PUBLIC)


def test_commands_stand_on_their_page_as_the_parser_has_them() -> None:
    file = DOCS / "commands.md"
    kept = file.read_text(encoding="utf-8")
    assert kept == commands_page.page(commands_page.outputs_of(kept)), (
        "python docs/make/commands.py docs/commands.md"
    )
    for name, parser in commands_page.commands().items():
        assert f"\n## {name}\n" in kept
        for action in commands_page.options(parser):
            assert commands_page.named(action) in kept


def test_every_command_shows_an_example_and_what_it_printed() -> None:
    told = commands_page.outputs_of((DOCS / "commands.md").read_text(encoding="utf-8"))
    for name in commands_page.commands():
        for example in commands_page.EXAMPLES[name]:
            assert told[example.replace("{out}/", "")].strip(), f"{name}: run it with --run"


@pytest.mark.parametrize("name", ["check", "panel", "compare", "review"])
def test_the_example_of_a_command_still_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    told = commands_page.outputs_of((DOCS / "commands.md").read_text(encoding="utf-8"))
    for example in commands_page.EXAMPLES[name]:
        assert main(shlex.split(example.format(out=tmp_path))[1:]) == 0
        first = told[example.replace("{out}/", "")].splitlines()[0]
        assert first.rstrip("…") in capsys.readouterr().out


def answers() -> list[str]:
    """Return the lines that answer the twelve questions."""
    page = (DOCS / "twelve-questions.md").read_text(encoding="utf-8")
    return re.findall(r"(?m)^\| \d+ \|.*\| `(.+)` \|$", page)


def test_there_are_twelve_questions_and_their_commands_exist() -> None:
    assert len(answers()) == 12
    for line in answers():
        if line.startswith("leadsignal "):
            command, *words = shlex.split(line)[1:]
            commands_page.commands()[command].parse_args(words)


@pytest.mark.parametrize("line", [one for one in answers() if not one.startswith("leadsignal ")])
def test_a_question_is_answered_by_its_line(line: str, names: dict[str, object]) -> None:
    assert eval(line, dict(names)) is not None


BLOCK = re.compile(r"(?m)^(<!-- not run: [^\n]+ -->\n)?```python\n(.*?)^```", re.DOTALL)


SOONER = {
    "ls.run_backtest(panel)": 'ls.run_backtest(panel, estimator="logistic", origins=1)',
    "ls.ChurnModel()": 'ls.ChurnModel(estimator="logistic")',
}
"""Calls that pages show with defaults, and that are run with arguments which take less long."""


def to_run(page: Path) -> str:
    """Return the Python of a page, but for the blocks that say why they are not run."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    code = "\n".join(block for marked, block in blocks if not marked)
    for shown, run in SOONER.items():
        code = code.replace(shown, run)
    return code


RUN = {page: code for page in sorted(DOCS.glob("*.md")) if (code := to_run(page))}


@pytest.fixture(scope="module")
def names(small_sample: Path, shared_session: None) -> dict[str, object]:
    """What the examples take as given: a small sample, read, built, fitted and scored."""
    names: dict[str, object] = {}
    start = BLOCK.findall((DOCS / "start.md").read_text(encoding="utf-8"))[0][1]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ls, "sample_folder", lambda: small_sample)
        exec(start, names)
    return names


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_examples_run(
    page: Path,
    names: dict[str, object],
    small_sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import matplotlib.pyplot as plt

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sample").symlink_to(small_sample)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.setattr(ls, "sample_folder", lambda: small_sample)
    monkeypatch.chdir(tmp_path)
    if page.stem != "start":  # the names themselves are its example
        exec(RUN[page], dict(names))
    plt.close("all")


def tutorial() -> list[list[str]]:
    """Return the commands of the tutorial, in their order."""
    page = (DOCS / "start.md").read_text(encoding="utf-8")
    lines = "".join(re.findall(r"(?ms)^```sh\n(.*?)^```", page)).splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines]


def exports_of_a_stranger(sample: Path, folder: Path) -> None:
    """Write three exports of a small business, with headers and dates of its own."""
    folder.mkdir()
    tables = ls.read_tables(sample)
    accounts, events, tickets = map(tables.frame, ("accounts", "behaviors", "tickets"))
    days = {
        header: accounts[column].dt.strftime("%d.%m.%Y")
        for header, column in (("Active since", "started_on"), ("Contract end", "ended_on"))
    }
    contracts = accounts[["account_id", "name", "owner"]].assign(**days)
    contracts.insert(0, "Subscription", [f"S{number}" for number in range(len(contracts))])
    contracts = contracts.rename(
        columns={"account_id": "Client No", "name": "Client", "owner": "Account manager"}
    )
    contracts.to_csv(folder / "subscriptions.csv", sep=";", index=False)
    events = events[["account_id", "occurred_at", "behavior", "user_id"]]
    events.set_axis(["client_ref", "timestamp", "action", "user"], axis=1).to_csv(
        folder / "events.csv", index=False
    )
    opened = tickets.rename(
        columns={"account_id": "Client No", "opened_at": "Opened", "closed_at": "Solved"}
    )
    opened[["Client No", "Opened", "Solved"]].to_csv(folder / "tickets.csv", index=False)


def test_the_tutorial_runs_on_the_sample_and_on_exports_of_a_stranger(
    shared_session: None,
    small_sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sample").symlink_to(small_sample)
    exports_of_a_stranger(small_sample, tmp_path / "my_tables")
    monkeypatch.chdir(tmp_path)
    in_use = [ls.read_tables("data/sample")]  # While they are, all commands share their panel.
    commands = tutorial()
    assert [words[0] for words in commands[:2]] == ["demo", "check"]  # tests/test_demo.py runs it
    for words in commands[1:]:
        if words[0] == "review":
            scored = ls.read_scores(Path("scores.csv"))["account_id"]
            words[words.index("--account") + 1] = str(scored.iloc[0])
        assert main(words) == 0, words
        printed = capsys.readouterr()
        if words[0] == "init":
            assert "question" not in printed.out + printed.err
            in_use.append(ls.read_tables("my_tables"))
    for name in ("calls.csv", "my_calls.csv"):
        listed = (tmp_path / name).read_text(encoding="utf-8")
        assert '"Account","Name","Owner"' in listed, name
    del in_use


def test_python_on_the_pages_is_python_and_calls_what_there_is() -> None:
    for page in PAGES:
        for block in re.findall(
            r"(?m)^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL
        ):
            compile(block, page.name, "exec")
            called = set(re.findall(r"\bls\.(\w+)", block))
            assert called - set(dir(ls)) == set(), page.name


class Sources(HTMLParser):
    """What a page of the site links to, and what it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "a" and told.get("href"):
            self.links.append(str(told["href"]))
        if tag in ("script", "img", "link") and told.get("rel") != "canonical":
            self.loads += [str(told[key]) for key in ("src", "href") if told.get(key)]


@pytest.mark.xdist_group("site")
def test_the_site_is_built_and_its_links_lead_somewhere(site: Path) -> None:
    files = [file for file in site.rglob("*.html") if file.name != "404.html"]
    assert len(files) > 40
    lost = []
    for file in files:
        found = Sources()
        found.feed(file.read_text(encoding="utf-8"))
        for link in [*found.links, *found.loads]:
            path = link.partition("#")[0]
            if path and ":" not in path and not (file.parent / path).exists():
                lost.append(f"{file.relative_to(site)}: {link}")
    assert lost == []


@pytest.mark.xdist_group("site")
def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    for file in site.rglob("*.html"):
        found = Sources()
        found.feed(file.read_text(encoding="utf-8"))
        assert [load for load in found.loads if load.startswith(("http:", "https:", "//"))] == []
