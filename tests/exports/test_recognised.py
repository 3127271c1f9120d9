"""Each file of the folders is the export that it should be taken for, by its headers alone."""

from __future__ import annotations

import csv
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from exports.test_truth import WRITERS
from leadsignal.proposals.file_profile import KNOWN_EXPORTS, KnownExport

EXPECTED: dict[str, dict[str, str | None]] = {
    "amplitude": {"accounts.csv": None, "events.json.gz": "Amplitude events"},
    "chargebee": {
        "Customers.csv": "Chargebee customers",
        "Subscriptions.csv": "Chargebee subscriptions",
    },
    "gainsight": {
        "CTA.csv": "Gainsight calls to action",
        "Company.xlsx": "Gainsight companies (report)",
        "Scorecard History.csv": "Gainsight scorecard history",
        "Success Plans.csv": "Gainsight success plans",
    },
    "hubspot": {
        "companies.csv": "HubSpot customers",
        "deals.csv": "HubSpot deals",
        "tickets.csv": "HubSpot tickets",
    },
    "intercom": {
        "companies.json": "Intercom companies",
        "contacts.csv": "Intercom contacts of companies",
        "conversations.jsonl": "Intercom conversations",
    },
    "mixpanel": {"accounts.csv": None, "events.jsonl": "Mixpanel events"},
    "posthog": {"customers.csv": None, "events.jsonl": "PostHog events"},
    "recurly": {"accounts.csv": "Recurly accounts", "subscriptions.csv": "Recurly subscriptions"},
    "salesforce": {
        "Account.csv": "Salesforce accounts",
        "Contract.csv": "Salesforce contracts",
        "Opportunity.csv": "Salesforce opportunities",
        "cases_report.csv": "Salesforce cases (report)",
    },
    "segment": {
        "accounts.csv": None,
        "groups.csv": "Segment groups",
        "tracks.csv": "Segment tracks",
    },
    "stripe": {
        "customers.csv": "Stripe customers",
        "invoices.csv": "Stripe invoices",
        "subscriptions.csv": "Stripe subscriptions",
    },
    "stripe_api": {
        "customers.json": "Stripe customers (API)",
        "subscriptions.json": "Stripe subscriptions (API)",
    },
    "zendesk": {"accounts.csv": None, "tickets.csv": "Zendesk tickets"},
    "zendesk_api": {
        "accounts.csv": None,
        "organizations.jsonl": "Zendesk organizations",
        "tickets.jsonl": "Zendesk tickets (API)",
    },
}


def plain(header: str) -> str:
    return re.sub(r"[^a-z0-9]", "", header.lower())


def headers_of(file: Path) -> set[str]:
    if file.suffix == ".xlsx":
        return {str(name) for name in pd.read_excel(file).columns}
    if file.suffix == ".csv":
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return set(next(csv.reader(lines)))
    text = gzip.decompress(file.read_bytes()).decode() if file.suffix == ".gz" else file.read_text()
    first = text.splitlines()[0]
    rows: Any = [json.loads(line) for line in text.splitlines()]
    if "data" in json.loads(first):
        rows = json.loads(first)["data"]
    return set(pd.json_normalize(rows).columns)


def recognised(headers: set[str]) -> KnownExport | None:
    there = {plain(header) for header in headers}
    found = [one for one in KNOWN_EXPORTS if {plain(name) for name in one.identified_by} <= there]
    return max(found, key=lambda one: len(one.identified_by), default=None)


@pytest.mark.parametrize("system", WRITERS)
def test_files_are_recognised_by_their_headers(system: str, tmp_path: Path) -> None:
    WRITERS[system](tmp_path, 0)
    found = {file.name: recognised(headers_of(file)) for file in sorted(tmp_path.iterdir())}
    names = {name: one and f"{one.system} {one.content}" for name, one in found.items()}
    assert names == EXPECTED[system]
    for name, export in found.items():
        if export is None or export.table is None:
            continue
        there = {plain(header) for header in headers_of(tmp_path / name)}
        mapped = {
            column
            for column, headers in export.columns.items()
            if {plain(header) for header in headers} & there
        }
        assert {"account_id", "user_id"} & mapped, name
