"""The list of accounts: complete without a script; with it, it sorts and filters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leadsignal.report.account_page import name_text, sentence
from leadsignal.report.html import Html, join, section, tag
from leadsignal.report.wording import of_hundred, share_text, span

PRINTED = 60
"""The style prints so many rows."""


def account_list(title: str, summary: Mapping[str, Any]) -> Html:
    """Return the section of all accounts, or of as many as are listed."""
    accounts = summary["accounts"]
    if accounts is None:
        why = f"Not in this report: scores were {summary['missing']['scores']}."
        return section("accounts", title, tag("p", why))
    return section(
        "accounts", title, _told(summary), _tools(summary), _table(summary),
        tag("p", tag("button", "Show more", type="button", id="account-more", hidden=True)),
    )  # fmt: skip


def _told(summary: Mapping[str, Any]) -> Html:
    accounts = summary["accounts"]
    told = (
        f"{accounts['accounts']:,} active accounts, of which about"
        f" {accounts['expected_churns']:,.0f} leave within {span(summary['horizon_days'])};"
        f" {accounts['alerts']:,} are alerted, the {share_text(summary['capacity'])} riskiest."
    )
    if accounts["notice_given"]:
        told += f" {accounts['notice_given']:,} more have given notice and are not scored."
    if accounts["listed"] < accounts["accounts"]:
        told += (
            f" Listed are the {accounts['listed']:,} riskiest; the others are in the scores"
            " (leadsignal score)."
        )
    if accounts["alerts_not_listed"]:
        told += f" {accounts['alerts_not_listed']:,} alerted accounts are among those not listed."
    printed = tag("p", f"Printed are at most {PRINTED} of them.", class_="small printed")
    return join([tag("p", told), printed if accounts["listed"] > PRINTED else ""])


def _tools(summary: Mapping[str, Any]) -> Html:
    """Return what the script works with; hidden until it runs."""
    rows = summary["accounts"]["rows"]
    names = sorted({part.partition(" (")[0] for row in rows for part in _open(row)})
    processes = [tag("option", name_text(name), value=name_text(name)) for name in names]
    order = [tag("option", name, value=place) for place, name in enumerate(_heads(summary))]
    return tag(
        "div",
        tag("label", "Find ", tag("input", type="search", id="account-words")),
        tag("label", "Open process ",
            tag("select", tag("option", "any", value=""), *processes, id="account-process")),
        tag("label", "Sort by ", tag("select", *order, id="account-order")),
        tag("label", tag("input", type="checkbox", id="account-alerted"), " Alerted only"),
        tag("p", id="account-told", role="status", class_="small soft"),
        id="account-tools", class_="tools", role="search", aria_label="Accounts", hidden=True,
    )  # fmt: skip


REVENUE = "Revenue at risk"


def _heads(summary: Mapping[str, Any]) -> tuple[str, ...]:
    heads = ("Account", "Leave, of 100 like it", REVENUE, "Alert", "Open processes",
             "Next step", "What raises it most")  # fmt: skip
    return tuple(head for head in heads if head != REVENUE or summary["panel"]["has_arr"])


def _table(summary: Mapping[str, Any]) -> Html:
    horizon = span(summary["horizon_days"])
    heads = _heads(summary)
    head = [tag("th", name, scope="col", data_number=name in (heads[1], REVENUE)) for name in heads]
    rows = [_row(row, heads) for row in summary["accounts"]["rows"]]
    caption = f"Accounts, the riskiest first; risk is of churn within {horizon}"
    return tag(
        "table", tag("caption", caption), tag("thead", tag("tr", *head)), tag("tbody", *rows),
        id="account-list", class_="cards",
    )  # fmt: skip


def _row(row: Mapping[str, Any], heads: tuple[str, ...]) -> Html:
    loss = row["expected_arr_loss"]
    step = sentence(row["next_step"].partition("; ")[0]) if row["next_step"] else ""
    # Sorted by the risk itself: "about 18" stands for many.
    cells = [
        (of_hundred(row["risk"]), f"{row['risk']:.5f}"),
        ("" if loss is None else f"{loss:,.0f}", f"{-1 if loss is None else loss:.0f}"),
        ("alert" if row["alert"] else "", None),
        (", ".join(name_text(part) for part in _open(row)), None),
        (step, None),
        (row["reasons"][0] if row["reasons"] else "", None),
    ]
    if REVENUE not in heads:
        cells.pop(1)
    told = [
        tag("td", words, data_value=value, data_label=head,
            data_open="1" if head == "Open processes" else None)
        for head, (words, value) in zip(heads[1:], cells, strict=True)
    ]  # fmt: skip
    name = tag("th", row["account_id"], scope="row")
    return tag("tr", name, *told, data_alert="1" if row["alert"] else None)


def _open(row: Mapping[str, Any]) -> list[str]:
    return [part for part in row["open_processes"].split("; ") if part]
