"""The exports of common systems that are recognised by their headers; the files are in exports/."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

ACCOUNT_KEYS = (
    "account_id", "company_id", "organization_id", "org_id", "workspace_id", "tenant_id",
    "team_id", "group_id", "customer_id",
)  # fmt: skip
"""What vendors call the account in the properties of their events: ``{account}`` in a header."""
_FOLDER = files("leadsignal.proposals").joinpath("exports")


def _content(name: str) -> dict[str, Any]:
    return tomllib.loads(_FOLDER.joinpath(f"{name}.toml").read_text(encoding="utf-8"))


QUESTIONS: Mapping[str, str] = _content("questions")
"""Questions by the name that exports call them."""


@dataclass(frozen=True)
class KnownExport:
    """What one export of a system looks like, and what its columns mean.

    Headers are compared after lower-casing, letters and digits only: ``Created at``, ``created_at``
    and ``createdAt`` are one. A file is this export if it has all of ``identified_by``; of several,
    the one with most of them.

    ``table`` is ours, ``"users"`` for a file that leads from their ids (of users, or of the
    organizations of a help desk) to accounts, or None: nothing is read, and ``note`` says why.
    ``columns`` maps our columns to their headers; the first that is there counts. A table whose
    account is only known by the user has ``user_id`` and no ``account_id``. Amounts in ``in_cents``
    are hundredths. ``options`` are those of ``[tables.X]`` that always hold: of ``where``, the
    values that may occur; ``{file}`` in a ``query`` is the path of the file. ``questions`` are what
    the file cannot answer, ``if_missing`` those that are asked only if a column is not found,
    ``if_above_one`` those that are asked only if a column has other values than 1: ``{query}`` in
    them multiplies ``{amount}`` by it.
    """

    system: str
    content: str
    identified_by: tuple[str, ...]
    table: str | None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    questions: tuple[str, ...] = ()
    note: str = ""
    if_missing: Mapping[str, str] = field(default_factory=dict)
    in_cents: tuple[str, ...] = ()
    if_above_one: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What people call the export."""
        return f"{self.system} {self.content}"


def _headers(names: list[str]) -> Iterator[str]:
    for name in names:
        keys = ACCOUNT_KEYS if "{account}" in name else ("",)
        yield from (name.replace("{account}", key) for key in keys)


def _export(table: str | None = None, **fields: Any) -> KnownExport:
    """Return an export from its block of TOML: lists as tuples, questions by their text."""
    for name in ("identified_by", "questions", "in_cents"):
        fields[name] = tuple(fields.get(name, ()))
    for name in ("if_missing", "if_above_one"):
        fields[name] = {key: QUESTIONS.get(q, q) for key, q in fields.get(name, {}).items()}
    columns = {key: tuple(_headers(names)) for key, names in fields.pop("columns", {}).items()}
    return KnownExport(table=table, columns=columns, **fields)


KNOWN_EXPORTS = tuple(
    _export(**block)
    for name in ("billing", "crm", "support", "product")
    for block in _content(name)["export"]
)
"""Billing, CRM and customer success, help desks, product analytics."""
