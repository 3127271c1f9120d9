"""The folder of account pages: names, what is in it, what it may replace, links to it."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any
from unicodedata import normalize
from urllib.parse import unquote

import openpyxl
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cli import _parser
from leadsignal.cli.shared import check_outputs
from leadsignal.files.outputs import ACCOUNT_PAGES, page_name, page_paths
from leadsignal.report import write_account_pages
from leadsignal.scoring import write_call_list

ODD = [
    "A-1", "a-1", "A 1", "A/1", "../A-1", "/etc/passwd", "..", ".", "", " ", "CON", "nul.html",
    "index", "a\\b", "a:b", "a?b#c%20", "=1+1", "-rf", "'quoted' \"twice\"", "<script>", "{}",
    "Müller & Söhne", normalize("NFD", "Müller & Söhne"), "株式会社", "🙂", "a\nb", "a\tb",
    "x" * 400, "x" * 401, "x" * 60 + "-", "\ud800",
]  # fmt: skip
UNLISTED = "not listed"
FOLDER = "our pages #1 100%"


def tables_of(*accounts: str) -> ls.Tables:
    listed = pd.DataFrame({"account_id": accounts, "started_on": "2024-01-01", "name": "Some Ltd"})
    return ls.read_tables({"accounts": listed}, as_of="2024-06-01")


def scores_of(tables: ls.Tables, **changed: Any) -> ls.Scores:
    """Return scores that alert every account but ``UNLISTED``."""
    accounts = tables.frame("accounts")["account_id"].tolist()
    count = len(accounts)
    frame = pd.DataFrame(
        {
            "account_id": accounts,
            "name": "Some Ltd",
            "snapshot_on": pd.Timestamp(tables.as_of_date),
            "risk": [0.9 - 0.01 * place for place in range(count)],
            "arr": 1000.0,
            "next_renewal": pd.NaT,
            "expected_arr_loss": 500.0,
            "alert": [account != UNLISTED for account in accounts],
            "reason_1": "export: 0 in 30 days, usually 9",
            "reason_2": "",
            "reason_3": "",
            "next_step": "talk",
            "model_version": "20240601-abc",
        }
    ).assign(**changed)
    return ls.Scores(frame, tables.as_of_date, 180, "20240601-abc", 0, {})


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# Names --------------------------------------------------------------------------------------------


def test_names_are_safe_and_of_one_account_each() -> None:
    names = [page_name(account) for account in ODD]
    assert len({name.lower() for name in names}) == len(ODD)
    for name in names:
        assert re.fullmatch(ACCOUNT_PAGES.names, name)
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*\.html", name)
        assert len(name) < 100
    assert page_name("A-1") == "a-1-bc4e7be982ab.html"


# The folder ---------------------------------------------------------------------------------------


def test_odd_ids_have_pages_and_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    odd = [account for account in ODD if account.strip() and "\ud800" not in account]
    tables = tables_of(*odd, UNLISTED)
    scores = scores_of(tables)
    pages = write_account_pages(tables, scores, tmp_path / FOLDER)
    assert set(pages) == set(odd)
    assert names_in(tmp_path / FOLDER) == {"index.html", *(page.name for page in pages.values())}
    assert "Some Ltd" in pages["A/1"].read_text("utf-8")
    assert "Of 100 accounts like this, " in pages["A/1"].read_text("utf-8")
    index = (tmp_path / FOLDER / "index.html").read_text("utf-8")
    assert set(re.findall(r'<a href="([^"]+)"', index)) == {p.name for p in pages.values()}
    again = write_account_pages(tables, scores, tmp_path / "again")
    assert {account: page.read_bytes() for account, page in again.items()} == {
        account: page.read_bytes() for account, page in pages.items()
    }


def test_pages_are_of_those_to_be_called_or_of_those_that_are_named(tmp_path: Path) -> None:
    tables = tables_of("a", "b", "c", UNLISTED)
    held_out = scores_of(tables, held_out=[True, False, False, False])
    assert list(write_account_pages(tables, held_out, tmp_path / "pages")) == ["b", "c"]
    named = write_account_pages(
        tables, held_out, tmp_path / "named", accounts=[UNLISTED, "a", UNLISTED]
    )
    assert list(named) == [UNLISTED, "a"]
    nobody = write_account_pages(tables, held_out, tmp_path / "nobody", accounts=[])
    assert nobody == {}
    assert "No account is listed" in (tmp_path / "nobody" / "index.html").read_text("utf-8")


def test_the_next_run_keeps_names_and_removes_who_is_listed_no_longer(tmp_path: Path) -> None:
    tables = tables_of("a", "b", "c")
    scores = scores_of(tables, alert=[True, True, False])
    first = write_account_pages(tables, scores, tmp_path / "pages")
    seen: list[tuple[int, int]] = []
    scores = scores_of(tables, alert=[False, True, True])
    second = write_account_pages(
        tables, scores, tmp_path / "pages", progress=lambda *done: seen.append(done)
    )
    assert (list(first), list(second), seen) == (["a", "b"], ["b", "c"], [(1, 2), (2, 2)])
    assert second["b"] == first["b"]
    assert names_in(tmp_path / "pages") == {"index.html", page_name("b"), page_name("c")}


def foreign(folder: Path) -> None:
    (folder / "mine.txt").write_text("mine")


def foreign_index(folder: Path) -> None:
    (folder / "index.html").write_text("<!doctype html><title>My site</title>")


def page_without_index(folder: Path) -> None:
    (folder / page_name("a")).write_text("<!doctype html>")


def pages_and_notes(folder: Path) -> None:
    tables = tables_of("a", "b")
    write_account_pages(tables, scores_of(tables), folder)
    (folder / "notes.md").write_text("mine")


def pages_and_a_folder(folder: Path) -> None:
    tables = tables_of("a", "b")
    write_account_pages(tables, scores_of(tables), folder, accounts=["a"])
    (folder / page_name("b")).mkdir()


@pytest.mark.parametrize(
    "lay_out", [foreign, foreign_index, page_without_index, pages_and_notes, pages_and_a_folder]
)
def test_a_folder_of_something_else_stays(lay_out: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    lay_out(folder)
    before = {path: path.is_file() and path.read_bytes() for path in folder.iterdir()}
    tables = tables_of("a", "b")
    with pytest.raises(ls.OptionError, match="folder of account pages"):
        write_account_pages(tables, scores_of(tables), folder)
    assert {path: path.is_file() and path.read_bytes() for path in folder.iterdir()} == before


def test_what_goes_wrong_leaves_the_pages_as_they_were(tmp_path: Path) -> None:
    tables = tables_of("a", "b")
    scores, folder = scores_of(tables), tmp_path / "pages"
    write_account_pages(tables, scores, folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ls.OptionError, match="there is no account 'x'"):
        write_account_pages(tables, scores, folder, accounts=["b", "x"])
    other = ls.AsOfContext(tables_of("a"), ls.SuccessAnalysis(()))
    with pytest.raises(ls.OptionError, match="computed from other tables"):
        write_account_pages(tables, scores, folder, context=other)
    with pytest.raises(ls.OptionError, match=r"accounts is a str \('a'\)"):
        write_account_pages(tables, scores, folder, accounts="a")
    with pytest.raises(ls.OptionError, match="the scores are of"):
        write_account_pages(tables.as_of("2024-05-01"), scores, folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert names_in(tmp_path) == {"pages"}


def test_nothing_else_is_written_among_the_pages(tmp_path: Path, monkeypatch: Any) -> None:
    """The next run would remove it."""
    monkeypatch.chdir(tmp_path)
    tables = tables_of("a", "b")
    scores = scores_of(tables)
    write_account_pages(tables, scores, "pages")
    with pytest.raises(ls.OptionError, match="is in a folder of account pages"):
        write_call_list(scores, "pages/calls.csv", pages="pages")
    (tmp_path / "empty").mkdir()
    (tmp_path / "accounts.csv").write_text("account_id,started_on\na,2024-01-01\n")
    for place in ("pages", "empty", "new"):
        given = ["report", ".", "--out", f"{place}/r.html", "--accounts-dir", place]
        with pytest.raises(ls.OptionError, match="is in"):
            check_outputs(_parser().parse_args(given))


# One context --------------------------------------------------------------------------------------


def test_reviews_share_what_is_known_of_all_accounts(
    business: ls.Tables,
    business_panel: ls.Panel,
    business_scores: ls.Scores,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores, analysis = business_scores, business_panel.analysis
    accounts = scores.frame["account_id"].head(3).tolist()
    alone = {
        account: ls.report.review_page(ls.review_account(business, account, scores=scores))
        for account in accounts
    }
    from leadsignal import as_of_context, panel

    built: list[str] = []
    for name in ("build_snapshot", "adoption_episodes"):

        def noted(*given: Any, called: str = name) -> Any:
            built.append(called)
            return getattr(panel, called)(*given)

        monkeypatch.setattr(as_of_context, name, noted)
    folder = tmp_path / "pages"
    pages = write_account_pages(business, scores, folder, accounts=accounts)
    assert built == ["build_snapshot", "adoption_episodes"]
    assert {account: page.read_text("utf-8") for account, page in pages.items()} == alone
    context = ls.AsOfContext(business, analysis, business_panel)
    write_account_pages(business, scores, folder, analysis, accounts=accounts, context=context)
    assert len(built) == 2
    assert {account: page.read_text("utf-8") for account, page in pages.items()} == alone


# Links --------------------------------------------------------------------------------------------


def test_links_lead_to_files_wherever_the_list_is(tmp_path: Path) -> None:
    tables = tables_of(*ODD[:6], UNLISTED)
    scores, folder = scores_of(tables), tmp_path / "there" / FOLDER
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    pages = write_account_pages(tables, scores, folder)
    for place in (tmp_path / "here", tmp_path / "there", tmp_path):
        paths = page_paths(folder, place / "calls.csv", scores.frame["account_id"])
        assert {account: (place / path).resolve() for account, path in paths.items()} == pages


@pytest.fixture
def listed(tmp_path: Path) -> tuple[ls.Scores, Path, dict[str, Path]]:
    """Scores, their pages, and that one of the accounts on the list has none."""
    tables = tables_of("A-1", "a-1", "b/2", "without", UNLISTED)
    scores, folder = scores_of(tables), tmp_path / FOLDER
    pages = write_account_pages(tables, scores, folder, accounts=["A-1", "a-1", "b/2"])
    return scores, folder, pages


def test_a_csv_has_the_pages_in_its_last_column(
    listed: tuple[ls.Scores, Path, dict[str, Path]], tmp_path: Path
) -> None:
    scores, folder, pages = listed
    write_call_list(scores, tmp_path / "calls.csv", pages=folder)
    with (tmp_path / "calls.csv").open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head[-1] == "Page"
    assert {row[0]: row[-1] for row in rows} == {
        "without": "",
        **{account: f"{FOLDER}/{page.name}" for account, page in pages.items()},
    }
    write_call_list(scores, tmp_path / "calls.csv")  # Known again, and without the column.
    assert "Page" not in (tmp_path / "calls.csv").read_text().partition("\n")[0]


def test_a_workbook_links_the_accounts(
    listed: tuple[ls.Scores, Path, dict[str, Path]], tmp_path: Path
) -> None:
    scores, folder, pages = listed
    earlier = scores.frame.assign(snapshot_on=pd.Timestamp("2024-05-01"), alert=True)
    write_call_list(scores, tmp_path / "calls.xlsx", earlier, pages=str(folder))
    sheet: Any = openpyxl.load_workbook(tmp_path / "calls.xlsx").active
    cells = {cell.value: cell for cell in sheet["A"][1:]}
    assert list(cells) == ["A-1", "a-1", "b/2", "without", UNLISTED]
    links = {value: cell.hyperlink.target for value, cell in cells.items() if cell.hyperlink}
    assert {account: tmp_path / unquote(link) for account, link in links.items()} == pages
    assert cells["A-1"].font.underline == "single"
    assert cells["without"].font.underline is None
    assert "Page" not in [cell.value for cell in sheet[1]]
    write_call_list(scores, tmp_path / "calls.xlsx", pages=folder)


def test_a_folder_without_pages_is_refused(
    listed: tuple[ls.Scores, Path, dict[str, Path]], tmp_path: Path
) -> None:
    scores, _, _ = listed
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(
            ls.OptionError, match=r"not a folder of account pages.*Write them first"
        ):
            write_call_list(scores, tmp_path / "calls.csv", pages=folder)
    assert not (tmp_path / "calls.csv").exists()


def test_the_report_links_accounts_that_have_a_page(
    business: ls.Tables,
    business_results: tuple[ls.Panel, ls.Backtest, ls.Scores, ls.report.Findings],
    tmp_path: Path,
) -> None:
    panel, backtest, scores, found = business_results
    pages = write_account_pages(business, scores, tmp_path / FOLDER)
    assert list(pages) == scores.frame.loc[scores.frame["alert"], "account_id"].tolist()
    (tmp_path / "reports").mkdir()
    file = tmp_path / "reports" / "churn.html"
    ls.write_report(file, panel, backtest, scores, found, pages=tmp_path / FOLDER)
    html = file.read_text("utf-8")
    links = re.findall(r'<a href="([^"#]+)">([^<]+)</a>', html)
    leads = {(file.parent / unquote(unescape(link))).resolve() for link, _ in links}
    assert leads == set(pages.values())
    calls = html.partition('id="calls-title"')[2].partition("</section>")[0]
    called = [unescape(name) for name in re.findall(r'<a href="[^"#]+">([^<]+)<', calls)]
    assert called == [*pages][:8]
    ls.write_report(file, panel, backtest, scores, found)
    assert re.findall(r'<a href="[^#]', file.read_text("utf-8")) == []
