"""A folder with the pages of many accounts and a list of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from leadsignal.arguments import checked
from leadsignal.as_of_context import AsOfContext
from leadsignal.errors import OptionError, quiet
from leadsignal.files.outputs import ACCOUNT_PAGES, page_name
from leadsignal.files.writing import whole_folder
from leadsignal.html_pages import account_cell, page, table, tag
from leadsignal.phrases import day_text
from leadsignal.report.account.reading import one_analysis, review_account
from leadsignal.report.account_page import review_page
from leadsignal.report.wording import of_hundred, span, step_words
from leadsignal.scoring.call_list import on_list

if TYPE_CHECKING:
    from leadsignal.config.success import SuccessAnalysis
    from leadsignal.report.account.review import Review
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
    subtitle = tag("p", f"As of {on}", class_="soft")
    return page(
        f"Account pages, as of {on}",
        tag("header", tag("div", tag("h1", "Account pages"), subtitle, class_="top")),
        tag("main", listed),
        description=f"Account pages as of {on}",
    )
