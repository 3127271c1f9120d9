"""Common names of columns and files, and the exports of common systems."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

_WORDS = tomllib.loads(
    files("leadsignal.proposals").joinpath("column_words.toml").read_text(encoding="utf-8")
)
ACCOUNT_ID = tuple(_WORDS["account_id"])
"""Names of the column with the account of a row."""
RECORDED = tuple(_WORDS["recorded_at"])
"""Names of the column with the time at which a version of a row was written."""
CHARGE_WORDS = tuple(_WORDS["charges"])
"""Parts of the names of files of charges, for which the schema has no table."""
FILE_WORDS: Mapping[str, tuple[str, ...]] = _WORDS["files"]
"""Parts of file names that suggest a table."""


def _columns(words: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    columns = {column: tuple(names) for column, names in words.items()}
    return columns | {"account_id": (*columns.get("account_id", ()), *ACCOUNT_ID)}


COLUMN_WORDS = {table: _columns(words) for table, words in _WORDS["columns"].items()}
"""Names of the columns of each table, the most specific first."""
USER_TABLE = _columns(_WORDS["users"])
"""Names of the two columns of a table that maps users to accounts."""


ACCOUNT_KEYS = (
    "account_id", "company_id", "organization_id", "org_id", "workspace_id", "tenant_id",
    "team_id", "group_id", "customer_id",
)  # fmt: skip
"""Names of the account in the event properties of vendors: ``{account}`` in a header."""
_FOLDER = files("leadsignal.proposals").joinpath("exports")


def _content(name: str) -> dict[str, Any]:
    return tomllib.loads(_FOLDER.joinpath(f"{name}.toml").read_text(encoding="utf-8"))


QUESTIONS: Mapping[str, str] = _content("questions")
"""Questions by the name that exports use."""


@dataclass(frozen=True)
class KnownExport:
    """The headers of one export of a system, and the meaning of its columns.

    Only the lower-cased letters and digits of headers are compared, so ``Created at``,
    ``created_at`` and ``createdAt`` are equal. A file is this export if it has all headers of
    ``identified_by``; if several exports match, the one with the most of them is chosen.

    ``table`` is the table of the schema, ``"users"`` for a file that maps ids (of users, or of the
    organizations of a help desk) to accounts, or None if nothing is read, for the reason in
    ``note``. ``columns`` maps columns of the schema to headers, of which the first one present is
    used. A table with ``user_id`` and no ``account_id`` finds its accounts through users. Amounts
    in ``in_cents`` are hundredths. ``options`` are fixed options of ``[tables.X]``: ``where`` lists
    the values that may occur; ``{file}`` in a ``query`` is the path of the file. ``questions`` are
    those that the file cannot answer; those of ``if_missing`` are asked only if a column is not
    found, and those of ``if_above_one`` only if a column has values other than 1: ``{query}`` in
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
        """The common name of the export."""
        return f"{self.system} {self.content}"


def _headers(names: list[str]) -> Iterator[str]:
    for name in names:
        keys = ACCOUNT_KEYS if "{account}" in name else ("",)
        yield from (name.replace("{account}", key) for key in keys)


def _export(table: str | None = None, **fields: Any) -> KnownExport:
    """Return an export from its TOML block, with lists as tuples and questions as text."""
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
"""Exports of billing, CRM and customer success, help desk and product analytics systems."""
