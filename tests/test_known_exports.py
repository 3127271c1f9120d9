"""The known exports are data: they are checked against the tables and against each other."""

from __future__ import annotations

import re

import pytest

from leadsignal.proposals.file_profile import KNOWN_EXPORTS, KnownExport
from leadsignal.schema import BY_NAME

SYSTEMS = {
    "Stripe",
    "Chargebee",
    "Recurly",
    "Salesforce",
    "HubSpot",
    "Zendesk",
    "Intercom",
    "Mixpanel",
    "Amplitude",
    "PostHog",
    "Segment",
    "Gainsight",
}
TABLES = {*BY_NAME, "contracts"}
OPTIONS = {"where", "query", "dates", "event_id", "decimal", "header_line"}

every = pytest.mark.parametrize(
    "export", KNOWN_EXPORTS, ids=[f"{export.system} {export.content}" for export in KNOWN_EXPORTS]
)


def plain(header: str) -> str:
    return re.sub(r"[^a-z0-9]", "", header.lower())


def marks(export: KnownExport) -> set[str]:
    return {plain(header) for header in export.identified_by}


def test_all_systems_are_known() -> None:
    assert {export.system for export in KNOWN_EXPORTS} == SYSTEMS


def test_no_two_exports_have_one_name() -> None:
    names = [(export.system, export.content) for export in KNOWN_EXPORTS]
    assert len(set(names)) == len(names)


@every
def test_the_headers_of_one_export_are_not_those_of_another(export: KnownExport) -> None:
    """Of exports that a file could be, one has more of its headers than all others."""
    same = [
        other.content
        for other in KNOWN_EXPORTS
        if other is not export and marks(other) == marks(export)
    ]
    assert same == []
    assert len(export.identified_by) >= 2


@every
def test_columns_are_those_of_the_table(export: KnownExport) -> None:
    if export.table is None:
        assert not export.columns
        assert export.note
        return
    assert export.table in {*TABLES, "users"}
    ours = {"user_id", "account_id"}
    if export.table in BY_NAME:
        ours = {column.name for column in BY_NAME[export.table].columns} | {"currency", "user_id"}
    if export.table != "contracts" or "contracts" in BY_NAME:
        assert set(export.columns) <= ours
    assert set(export.in_cents) <= {"arr", "mrr", "amount"} & set(export.columns)
    assert "account_id" in export.columns or "user_id" in export.columns


@every
def test_no_header_is_listed_twice_for_a_column(export: KnownExport) -> None:
    for headers in export.columns.values():
        assert headers
        assert len({plain(header) for header in headers}) == len(headers)


@every
def test_what_no_header_gives_is_asked_for(export: KnownExport) -> None:
    """Required columns are mapped; an account's start and end may come from contracts."""
    if export.table in (None, "users", "accounts") or export.table not in BY_NAME:
        return
    required = {*BY_NAME[str(export.table)].required} - {"account_id"}
    assert required <= set(export.columns)


@every
def test_options_are_known_and_sentences_complete(export: KnownExport) -> None:
    assert set(export.options) <= OPTIONS
    where = export.options.get("where", {})
    assert isinstance(where, dict)
    for values in where.values():
        assert all(isinstance(value, str) for value in values)
        assert len(set(values)) == len(values)
    for text in (*export.questions, *export.if_missing.values(), export.note):
        assert not text or text.endswith((".", "?"))


@every
def test_questions_about_columns_are_about_columns_of_the_table(export: KnownExport) -> None:
    assert not set(export.if_missing.values()) & set(export.questions)
    if export.table in BY_NAME:
        assert set(export.if_missing) <= {column.name for column in BY_NAME[export.table].columns}
    elif export.table == "users":
        assert set(export.if_missing) <= {"account_id", "user_id"}
