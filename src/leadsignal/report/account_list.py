"""The list of accounts, complete without JavaScript; a script sorts and filters it."""

from __future__ import annotations

from datetime import date

from leadsignal.html_pages import Html, account_cell, day, join, section, tag
from leadsignal.report.summary_types import AccountRow, AccountsSummary, OpenProcess, Summary
from leadsignal.report.wording import money, name_text, of_hundred, share_text, span, step_words

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
        _table(summary, accounts),
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


def _table(summary: Summary, accounts: AccountsSummary) -> Html:
    horizon = span(summary["horizon_days"])
    heads = _heads(summary)
    head = [tag("th", name, scope="col", data_number=name in (RISK, REVENUE)) for name in heads]
    pages = summary["pages"]
    rows = [_row(row, heads, pages.get(row["account_id"])) for row in accounts["rows"]]
    caption = f"Accounts, the riskiest first; risk is of churn within {horizon}"
    return tag(
        "table", tag("caption", caption), tag("thead", tag("tr", *head)), tag("tbody", *rows),
        id="account-list", class_="cards",
    )  # fmt: skip


def _row(row: AccountRow, heads: tuple[str, ...], page: str | None) -> Html:
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
