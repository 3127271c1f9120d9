"""A folder with the pages of many accounts and a list of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from leadsignal.arguments import checked
from leadsignal.as_of_context import AsOfContext
from leadsignal.errors import OptionError, quiet
from leadsignal.files.outputs import ACCOUNT_PAGES, page_name
from leadsignal.files.writing import whole_folder
from leadsignal.formats import day_text, money, of_hundred, share_text
from leadsignal.html_pages import Html, account_cell, day, header, join, page, section, table, tag
from leadsignal.model.reasons import name_text
from leadsignal.report.account_page import review_page
from leadsignal.report.review_reading import one_analysis, review_account
from leadsignal.report.summary_types import (
    AccountRow,
    AccountsSummary,
    OpenProcess,
    Summary,
    span,
    step_words,
)
from leadsignal.scoring.batch import on_list

if TYPE_CHECKING:
    from leadsignal.config.success import SuccessAnalysis
    from leadsignal.report.review import Review
    from leadsignal.scoring.scores import Scores
    from leadsignal.tables import Tables

Row = tuple[object, ...]


@checked
def write_account_pages(
    tables: Tables,
    scores: Scores,
    folder: str | Path,
    analysis: SuccessAnalysis | None = None,
    *,
    accounts: Iterable[str] | None = None,
    context: AsOfContext | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Path]:
    """Write the page of each account on the call list into a folder, with ``index.html``.

    The folder is written atomically. An account has the same file name in every run; pages of
    accounts that are no longer listed are removed. The pages are internal: they show the risk.

    Parameters
    ----------
    tables : Tables
        The tables.
    scores : Scores
        Scores of the same day.
    folder : str or Path
        A new or empty folder, or one that contains only account pages.
    analysis : SuccessAnalysis, optional
        Essential processes; by default those of the scores.
    accounts : iterable of str, optional
        Account ids; by default the alerted accounts that are not held out.
    context : AsOfContext, optional
        Data of all accounts on that day, if already computed.
    progress : callable, optional
        Called with the number of pages written and the total.

    Returns
    -------
    dict of str to Path
        The page of each account.

    Raises
    ------
    OptionError
        If the folder has other content, an account does not exist, the scores are of another day
        or analysis, or the context is of other tables.

    Examples
    --------
    >>> import leadsignal as ls, tempfile
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> panel = ls.build_panel(tables)
    >>> model = ls.ChurnModel(estimator="logistic").fit(panel)
    >>> scores = ls.score_accounts(model, tables, panel=panel)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pages = ls.report.write_account_pages(
    ...         tables, scores, folder + "/pages", accounts=["A-10001"]
    ...     )
    >>> pages["A-10001"].name
    'a-10001-f6e0bbc5994e.html'
    """
    if isinstance(accounts, str):
        raise OptionError(
            f"accounts is a str ({quiet(repr(accounts), 60)})", "Give a list of account ids"
        )
    analysis = one_analysis(analysis, None, scores)
    context = AsOfContext.of(tables, analysis, context)
    if accounts is None:
        accounts = scores.frame.loc[on_list(scores.frame), "account_id"]
    names = {account: page_name(account) for account in accounts}
    rows: list[Row] = []
    with whole_folder(folder, ACCOUNT_PAGES) as part:
        for account, name in names.items():
            review = review_account(tables, account, analysis, scores=scores, context=context)
            (part / name).write_text(review_page(review), encoding="utf-8")
            rows.append(_row(review, name))
            if progress:
                progress(len(rows), len(names))
        (part / ACCOUNT_PAGES.needed).write_text(_index(scores, rows), encoding="utf-8")
    return {account: Path(folder) / name for account, name in names.items()}


def _row(review: Review, name: str) -> Row:
    step = review.steps[0] if review.steps else None
    return (
        account_cell(review.account_id, review.facts["name"], name),
        of_hundred(review.risk.risk) if review.risk else "",
        step_words(step.text, step.day) if step else "",
    )


def _index(scores: Scores, rows: list[Row]) -> str:
    """Return the page that lists the account pages."""
    on = day_text(scores.as_of_date)
    head = ("Account", f"Of 100 like it, leave within {span(scores.horizon)}",
            "Next step to agree on")  # fmt: skip
    listed = table(head, rows, f"{len(rows):,} accounts", class_="cards") if rows else tag(
        "p", "No account is listed."
    )  # fmt: skip
    return page(
        f"Account pages, as of {on}",
        header("Account pages", f"As of {on}"),
        tag("main", listed),
        description=f"Account pages as of {on}",
    )


# The list of accounts -----------------------------------------------------------------------------


PRINTED = 60
"""Number of rows that are printed on paper."""


def account_list(topic: str, summary: Summary) -> Html:
    """Return the section that lists accounts, the highest risk first."""
    accounts = summary["accounts"]
    if accounts is None:
        why = f"Not in this report: scores were {summary['missing']['scores']}."
        return section("accounts", topic, tag("p", why))
    title = (
        f"About {accounts['expected_churns']:,.0f} of {accounts['accounts']:,} active accounts"
        f" leave within {span(summary['horizon_days'])}"
    )
    return section(
        "accounts", title, _counts(summary, accounts), _tools(summary, accounts),
        _account_table(summary, accounts),
        tag("p", tag("button", "Show more", type="button", id="account-more", hidden=True)),
        topic=topic,
    )  # fmt: skip


def _counts(summary: Summary, accounts: AccountsSummary) -> Html:
    text = (
        f"{accounts['alerts']:,} accounts are alerted, the {share_text(summary['capacity'])}"
        " riskiest."
    )
    if accounts["notice_given"]:
        text += f" {accounts['notice_given']:,} more have given notice and are not scored."
    if accounts["listed"] < accounts["accounts"]:
        text += (
            f" Listed are the {accounts['listed']:,} riskiest; the others are in the scores"
            " (leadsignal score)."
        )
    if accounts["alerts_not_listed"]:
        text += f" {accounts['alerts_not_listed']:,} alerted accounts are among those not listed."
    printed = tag("p", f"Printed are at most {PRINTED} of them.", class_="small printed")
    return join([tag("p", text), printed if accounts["listed"] > PRINTED else ""])


def _tools(summary: Summary, accounts: AccountsSummary) -> Html:
    """Return the controls of the script; they are hidden until it runs."""
    names = sorted({part["process"] for row in accounts["rows"] for part in row["open_processes"]})
    processes = [tag("option", name_text(name), value=name_text(name)) for name in names]
    order = [tag("option", name, value=place) for place, name in enumerate(_heads(summary))]
    return tag(
        "div",
        tag("label", "Find ", tag("input", type="search", id="account-words")),
        tag("label", "Open process ",
            tag("select", tag("option", "any", value=""), *processes, id="account-process")),
        tag("label", "Sort by ", tag("select", *order, id="account-order")),
        tag("label", tag("input", type="checkbox", id="account-alerted"), " Alerted only"),
        tag("p", id="account-count", role="status", class_="small soft"),
        id="account-tools", class_="tools", role="search", aria_label="Accounts", hidden=True,
    )  # fmt: skip


RISK, REVENUE, OWNER, RENEWAL = (
    "Leave, of 100 like it", "Revenue at risk", "Owner", "Next renewal",
)  # fmt: skip


def _heads(summary: Summary) -> tuple[str, ...]:
    accounts = summary["accounts"]
    rows = accounts["rows"] if accounts else []
    hidden = {
        REVENUE: not summary["panel"]["has_arr"],
        OWNER: not any(row["owner"] for row in rows),
        RENEWAL: not any(row["next_renewal"] for row in rows),
    }
    heads = ("Account", RISK, REVENUE, RENEWAL, OWNER, "Alert", "Open processes",
             "Next step", "Why")  # fmt: skip
    return tuple(head for head in heads if not hidden.get(head))


def _account_table(summary: Summary, accounts: AccountsSummary) -> Html:
    horizon = span(summary["horizon_days"])
    heads = _heads(summary)
    head = [tag("th", name, scope="col", data_number=name in (RISK, REVENUE)) for name in heads]
    pages = summary["pages"]
    rows = [_account_row(row, heads, pages.get(row["account_id"])) for row in accounts["rows"]]
    caption = f"Accounts, the riskiest first; risk is of churn within {horizon}"
    return tag(
        "table", tag("caption", caption), tag("thead", tag("tr", *head)), tag("tbody", *rows),
        id="account-list", class_="cards",
    )  # fmt: skip


def _account_row(row: AccountRow, heads: tuple[str, ...], page: str | None) -> Html:
    # data-value holds the exact risk, since many accounts share the text "about 18".
    loss, renewal = row["expected_arr_loss"], row["next_renewal"]
    cells: dict[str, tuple[object, str | None]] = {
        RISK: (of_hundred(row["risk"]), f"{row['risk']:.5f}"),
        REVENUE: (money(loss, row["currency"]), f"{-1 if loss is None else loss:.0f}"),
        RENEWAL: (day(date.fromisoformat(renewal) if renewal else None), None),
        OWNER: (row["owner"] or "", None),
        "Alert": (_alert(row), None),
        "Open processes": (", ".join(map(_state, row["open_processes"])), None),
        "Next step": (next_step_words(row), None),
        "Why": (row["reasons"][0] if row["reasons"] else "", None),
    }
    columns = [
        tag("td", words, data_value=value, data_label=head,
            data_open="1" if head == "Open processes" else None)
        for head in heads[1:] for words, value in [cells[head]]
    ]  # fmt: skip
    name = tag("th", account_cell(row["account_id"], row["name"], page), scope="row")
    return tag("tr", name, *columns, data_alert="1" if row["alert"] else None)


def _alert(row: AccountRow) -> str:
    if not row["alert"]:
        return ""
    return "held out, do not contact" if row["held_out"] else "alert"


def _state(part: OpenProcess) -> str:
    return f"{name_text(part['process'])} ({part['state']})"


def next_step_words(row: AccountRow) -> str:
    """Return the next step of an account as a sentence; empty if there is none."""
    step = row["next_step"]
    if step is None:
        return ""
    return step_words(step["text"], date.fromisoformat(step["day"]) if step["day"] else None)
