"""The report: one self-contained HTML page for customer success managers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from leadsignal.arguments import checked
from leadsignal.files.outputs import page_paths
from leadsignal.formats import days_text, interval_text, money, of_hundred, rate_text, share_text
from leadsignal.html_pages import (
    Html,
    account_cell,
    bullets,
    day,
    folded,
    header,
    join,
    number,
    packaged_script,
    page,
    page_path,
    remark,
    section,
    table,
    tag,
    write_page,
)
from leadsignal.model.reasons import name_text
from leadsignal.report.churn_section import churn_section, method_section, month_name
from leadsignal.report.evaluation_sections import audit_section, backtest_section, unlike_line
from leadsignal.report.overview_pages import cohort_section
from leadsignal.report.success_sections import reason_section, success_section
from leadsignal.report.summary import summarise
from leadsignal.report.summary_types import (
    WORDS,
    AccountRow,
    AccountsSummary,
    CatchSummary,
    EffectSummary,
    PanelSummary,
    Summary,
    as_of_text,
    listed,
    profile_words,
    span,
    step_words,
)

if TYPE_CHECKING:
    from leadsignal.evaluation.backtest import Backtest
    from leadsignal.panel import Panel
    from leadsignal.report.findings import Findings
    from leadsignal.scoring.scores import Scores

SECTIONS: Mapping[str, str] = WORDS["sections"]
MAX_DOUBTS = 5
"""Number of warnings about the data that are not folded."""


@checked
def write_report(
    file: str | Path,
    panel: Panel,
    backtest: Backtest | None = None,
    scores: Scores | None = None,
    findings: Findings | None = None,
    *,
    pages: str | Path | None = None,
    force: bool = False,
) -> None:
    """Write the report as one self-contained HTML file.

    Equal input gives identical bytes. The file is written atomically.

    Parameters
    ----------
    file : str or Path
        A name that ends in ``.html``.
    panel : Panel
        The panel.
    backtest : Backtest, optional
        Backtest of the alerts.
    scores : Scores, optional
        Scores on the panel's last day.
    findings : Findings, optional
        Results of `gather_findings`; a section whose result is missing says so in one line.
    pages : str or Path, optional
        Folder written by `write_account_pages`; accounts with a page in it are linked to it.
    force : bool, default False
        Replace a file that is not a page of leadsignal.

    Raises
    ------
    OptionError
        If the name does not end in ``.html``, there is no such folder, the file exists and is not a
        page of leadsignal, or ``pages`` is not a folder of account pages.

    Examples
    --------
    >>> import tempfile, leadsignal as ls
    >>> panel = ls.build_panel(ls.read_tables(ls.sample_folder()))
    >>> ls.write_report(tempfile.gettempdir() + "/churn.html", panel)
    """
    path = page_path(file, force=force)
    summary = summarise(panel, backtest, scores, findings)
    text = report_page(summary if pages is None else with_pages(summary, pages, path))
    write_page(path, text, force=force)


def with_pages(summary: Summary, folder: str | Path, beside: str | Path) -> Summary:
    """Return the summary with links from a report at ``beside`` to account pages in a folder."""
    listed = summary["accounts"]["rows"] if summary["accounts"] else []
    paths = page_paths(folder, beside, (row["account_id"] for row in listed))
    return {**summary, "pages": paths}


def report_page(summary: Summary) -> str:
    """Return the page of a summary as text."""
    main = tag(
        "main", _first_screen(summary), _contents(),
        *(draw(SECTIONS[name], summary) for name, draw in DRAWN.items()),
    )  # fmt: skip
    return page(
        f"Churn report, as of {as_of_text(summary)}",
        tag("a", "Skip to the sections", href="#churn-title", class_="skip"),
        _header(summary),
        main,
        _footer(summary),
        description=f"Churn report as of {summary['as_of']}",
        kind="report",
        script=packaged_script("account_list.js"),
    )


def _header(summary: Summary) -> Html:
    facts = [
        ("Active accounts", _active(summary)),
        ("Looks ahead", span(summary["horizon_days"])),
        ("Early means", f"{span(summary['warning_time_days'])} before"),
    ]
    if summary["accounts"]:
        facts.insert(1, ("Alerted now", number(summary["accounts"]["alerts"])))
    return header("Churn report", f"As of {as_of_text(summary)}", facts)


def _active(summary: Summary) -> str:
    text, on_notice = f"{summary['panel']['active']:,}", summary["panel"]["on_notice"]
    return f"{text} ({on_notice:,} more have given notice)" if on_notice else text


def _contents() -> Html:
    links = [tag("li", tag("a", name, href=f"#{key}-title")) for key, name in SECTIONS.items()]
    return tag("nav", tag("ul", *links), aria_label="Sections", class_="contents")


def _footer(summary: Summary) -> Html:
    model = f" Model {summary['model_version']}." if summary["model_version"] else ""
    return tag("footer", tag("p",
        f"What was known at midnight of {as_of_text(summary)}, and nothing later.{model} Made with"
        " leadsignal."),
        tag("p", "Of the folded parts, those are printed that are open on the screen.",
            class_="printed"))  # fmt: skip


# First screen -------------------------------------------------------------------------------------


def _first_screen(summary: Summary) -> Html:
    answers = tag(
        "dl", _kept(summary), _unexpected(summary), _caught(summary), _early(summary),
        class_="answers",
    )  # fmt: skip
    return join([_doubts(summary), section("glance", "At a glance", answers), _calls(summary)])


def _doubts(summary: Summary) -> Html | str:
    """Return the warnings about the data that affect the report, one line each."""
    found = summary["warnings"]
    if not found:
        return ""
    lines = [f"{one['table']}: {one['message']}" if one["table"] else one["message"]
             for one in found]  # fmt: skip
    title, rest = tag("span", "Check the data first", class_="warn"), lines[MAX_DOUBTS:]
    more = folded(f"{len(rest)} more", bullets(rest)) if rest else ""
    return section("doubts", title, bullets(lines[:MAX_DOUBTS]), more)


def _answer(question: str, answer: object, *items: object) -> Html:
    small = [tag("small", part) for part in items if part]
    return tag("div", tag("dt", question), tag("dd", tag("strong", answer), *small))


def _kept(summary: Summary) -> Html:
    """Return net revenue retention over a year, or retention of accounts if revenue is unknown."""
    rows = summary["trailing_retention"]
    if not rows:
        question = "How much revenue stays"
        return _answer(question, "Not known", summary["missing"].get("trailing_retention", ""))
    last = rows[-1]
    net, gross, until = last["net"], last["gross"], month_name(last["month"])
    there = f"{last['accounts']:,.0f} accounts that were there a year before"
    if net is None:
        return _answer(
            "How many customers stay", rate_text(last["logo"]),
            f"of the {there} were still customers at the end of {until}.",
        )  # fmt: skip
    return _answer(
        "How much revenue stays", rate_text(net),
        f"net revenue retention over the year to {until}, of the {there}. Without expansion"
        f" (gross) {rate_text(gross)} stays; of the accounts, {rate_text(last['logo'])}.",
    )  # fmt: skip


def _unexpected(summary: Summary) -> Html:
    question, churn = "How much churn was unexpected", summary["churn"]
    share = churn["unexpected"]
    if not share["of"]:
        why = (
            "No account has churned."
            if not churn["churned"]
            else "No usage, flag or health score says what could have been expected."
        )
        return _answer(question, "Not known", why)
    early = span(churn["warning_time_days"])
    others, first = churn["churned"] - share["of"], churn["first_known"]
    since = f" since {month_name(first)}" if first else ""
    arr = churn["unexpected_arr_share"]
    lost = f" That is {share_text(arr)} of the revenue lost with them." if arr is not None else ""
    return _answer(
        question,
        f"{share['count']:,} of {share['of']:,}",
        f"churned accounts{since} ({interval_text(share['low'], share['high'])}) were without a"
        " warning"
        f" {early} before they were known to leave: no {', no '.join(churn['warnings'])}.{lost}",
        f"{others:,} more were too young, or unknown." if others else "",
    )


def _caught(summary: Summary) -> Html:
    question, catch = "How much of it the alerts catch", summary["catch"]
    if catch is not None and catch["of"] == "all":
        question = "How much churn the alerts catch"
    if catch is None:
        return _answer(question, "Not known", f"Backtest: {summary['missing']['backtest']}.")
    what = "unexpected churns" if catch["of"] == "unexpected" else "churns"
    text = (
        f"of the {what} in the backtest, {catch['caught']:,} of {catch['churns']:,}"
        f" ({interval_text(catch['low'], catch['high'])}), were on the list"
        f" {span(catch['warning_time_days'])} before."
    )
    return _answer(
        question, share_text(catch["share"]), text, _against(catch, summary["panel"]),
        unlike_line(catch),
    )  # fmt: skip


def _against(catch: CatchSummary, panel: PanelSummary) -> Html | str:
    """Return whether the alerts beat a list without behaviours, and a link to all methods."""
    if catch["beats_context"] is None:
        return ""
    text = tag("b", f"Not proven to be more than {profile_words(panel)} alone catch",
               class_="warn")  # fmt: skip
    if catch["beats_context"]:
        text = Html(f"More than {profile_words(panel)} alone catch, beyond chance")
    others = tag("a", "other lists", href="#backtest-title")
    return join([text, " (", others, ")."])


def _early(summary: Summary) -> Html:
    question, catch = "How early", summary["catch"]
    if catch is None:
        return _answer(question, "Not known", "Only a backtest can say.")
    if catch["lead_days"] is None:
        return _answer(question, "Not known", "The alerts caught none that early.")
    start = catch["head_start_days"]
    before = (
        f"Until usage dropped, or until churn was known if it never did: {days_text(start)}."
        if start is not None and start > 0 and "low usage" in summary["churn"]["warnings"]
        else ""
    )
    missed = catch["churns"] - catch["caught"]
    return _answer(
        question,
        days_text(catch["lead_days"]),
        "is the median time that caught churns had been on the list when they were known to leave.",
        f"Longer than {span(catch['horizon_days'])}, as far as they look, is not counted."
        if catch["lead_days"] >= catch["horizon_days"]
        else "",
        before,
        f"The other {missed:,} were not alerted that early." if missed else "",
    )


# Whom to call -------------------------------------------------------------------------------------


def _calls(summary: Summary) -> Html:
    title = "Who to call this week, and about what"
    calls, accounts = summary["calls"], summary["accounts"]
    if calls is None or accounts is None:
        why = f"Not known: scores were {summary['missing']['scores']}."
        return section("calls", title, tag("p", why), class_="calls")
    horizon = span(summary["horizon_days"])
    has_revenue, pages = summary["panel"]["has_arr"], summary["pages"]
    otherwise = ADOPTED if summary["analysis"]["processes"] else NOT_WRITTEN
    rows = [
        _call(row, pages.get(row["account_id"]), otherwise)[: None if has_revenue else -1]
        for row in calls
    ]
    listed, held_out = accounts["on_call_list"], accounts["alerts"] - accounts["on_call_list"]
    head = ("Account", f"Of 100 like it, leave within {horizon}", "Call about", "Evidence",
            *(["Revenue at risk"] if has_revenue else []))  # fmt: skip
    caption = f"The {len(calls)} riskiest of {listed:,} alerted accounts"
    if held_out:
        caption += f", without {held_out:,} that are held out and must not be contacted"
    shown = table(head, rows, caption, class_="cards calls-table")
    late = _without(accounts["without"])
    return section("calls", title, late, shown, _proofs(calls, summary["effects"]), class_="calls")


ADOPTED = "All processes are adopted: ask for the latest result"
NOT_WRITTEN = "No process is written down yet: ask what they want to reach, and what is in the way"
"""What to call about if an account has no next step."""


def _without(feeds: list[str]) -> Html | str:
    """Return a warning about tables that were missing, empty or late in scoring."""
    if not feeds:
        return ""
    text = "; ".join(name_text(feed) for feed in feeds)
    return tag("p", tag("b", "Scored without all tables: ", class_="warn"), f"{text}.")


def _call(row: AccountRow, page: str | None, otherwise: str) -> tuple[object, ...]:
    return (
        join([account_cell(row["account_id"], row["name"], page), _whose(row)]),
        ("risk", of_hundred(row["risk"])),
        _next_step(row) or otherwise,
        bullets(row["reasons"][:2], class_="plain"),
        ("number", money(row["expected_arr_loss"], row["currency"])),
    )


def _whose(row: AccountRow) -> Html | str:
    """Return the owner and the renewal date of an account."""
    renewal = row["next_renewal"]
    when = join(["renews ", day(date.fromisoformat(renewal))]) if renewal else ""
    known = [part for part in (row["owner"], when) if part]
    return tag("span", join(known, ", "), class_="note") if known else ""


def _proofs(calls: list[AccountRow], effects: dict[str, EffectSummary]) -> Html | str:
    """Return the processes to call about that have a proven effect, with links to the effects."""
    open_now = [row["open_processes"][0]["process"] for row in calls if row["open_processes"]]
    proven = [name_text(name) for name in dict.fromkeys(open_now) if name in effects]
    if not proven:
        return ""
    return remark(
        f"Why {listed(proven)}: accounts that practise {'it' if len(proven) == 1 else 'them'}"
        " are proven to leave less often, ",
        tag("a", "by how much", href="#success-title"),
        ". This shows who leaves, not what adopting will do, which only an experiment shows.",
    )  # fmt: skip


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
    open_now = [f"{name_text(one['process'])} ({one['state']})" for one in row["open_processes"]]
    cells: dict[str, tuple[object, str | None]] = {
        RISK: (of_hundred(row["risk"]), f"{row['risk']:.5f}"),
        REVENUE: (money(loss, row["currency"]), f"{-1 if loss is None else loss:.0f}"),
        RENEWAL: (day(date.fromisoformat(renewal) if renewal else None), None),
        OWNER: (row["owner"] or "", None),
        "Alert": (_alert(row), None),
        "Open processes": (", ".join(open_now), None),
        "Next step": (_next_step(row), None),
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


def _next_step(row: AccountRow) -> str:
    """Return the next step of an account as a sentence; empty if there is none."""
    if (step := row["next_step"]) is None:
        return ""
    return step_words(step["text"], date.fromisoformat(step["day"]) if step["day"] else None)


DRAWN: dict[str, Callable[[str, Summary], Html]] = {
    "churn": churn_section,
    "success": success_section,
    "audit": audit_section,
    "backtest": backtest_section,
    "cohorts": cohort_section,
    "reasons": reason_section,
    "accounts": account_list,
    "method": method_section,
}
"""Function that draws each section, in order."""
