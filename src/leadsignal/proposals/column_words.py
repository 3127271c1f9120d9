"""Common names of columns and files, in letters and digits only, from ``column_words.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files

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
