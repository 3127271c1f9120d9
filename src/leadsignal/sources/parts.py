"""A part of a table: one file or frame, its columns as they are called there, its rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from leadsignal.errors import Fault

MAX_COLUMNS = 2_000
"""A table with more columns is taken for something else."""


class UnreadableError(Exception):
    """A part that cannot be read at all; ``fault`` says why."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(str(fault))


@dataclass
class Part:
    """One file or frame of a table.

    ``columns`` maps column names to the SQL that reads them from ``relation``; ``reader`` is the
    Arrow stream to register under that name, if there is one. Once all rows are read, ``faults()``
    returns the lines that could not be read, and the number of further ones; it raises
    UnreadableError if the whole file cannot be trusted. ``lines(rows)`` returns the line numbers
    of rows. For a Parquet file, ``path`` is the SQL of its name, ``rows`` and ``types`` come from
    its metadata. If a part is read ``on_demand``, only the ``requested`` columns leave the
    database.
    """

    table: str
    file: str | None
    columns: Mapping[str, str]
    relation: str = "incoming"
    reader: Any = None
    header_line: int | None = None
    bytes: int = 0
    faults: Callable[[], tuple[list[Fault], int]] = field(default=lambda: ([], 0))
    lines: Callable[[list[int]], list[int]] = field(default=lambda rows: [row + 1 for row in rows])
    notices: tuple[str, ...] = ()
    on_demand: bool = False
    path: str = ""
    rows: int | None = None
    types: tuple[str, ...] = ()
    requested: tuple[str, ...] = ()


def refuse_too_wide(table: str, file: str, columns: int) -> None:
    """Raise UnreadableError for a file with more than 2,000 columns."""
    if columns > MAX_COLUMNS:
        problem = f"has {columns:,} columns; at most {MAX_COLUMNS:,} are read"
        fault = Fault(file, table, None, None, None, problem, "Export only the columns needed.")
        raise UnreadableError(fault)


def quoted(name: str) -> str:
    """Return a name as SQL.

    >>> quoted("Go live")
    '"Go live"'
    """
    return '"' + name.replace('"', '""') + '"'


def exactly(path: str) -> str:
    """Return the SQL of a file's name with wildcards escaped.

    >>> exactly("usage[1].parquet")
    "'usage[[]1].parquet'"
    """
    return literal(re.sub(r"[*?[]", r"[\g<0>]", path))


def literal(text: str) -> str:
    """Return a text as SQL.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"
