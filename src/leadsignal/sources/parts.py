"""A part of a table: one file or frame, its columns as they are called there, its rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from leadsignal.errors import Fault

MAX_COLUMNS = 2_000
"""A table with more columns is taken for something else."""


@dataclass(frozen=True)
class Footer:
    """Lines at the end of a file that are no rows: how many, and the first of them."""

    lines: int
    first_line: int

    def of(self, fault: Fault) -> Fault:
        """Return a fault of a line, put as one of the footer where the line is in it."""
        if fault.line is None or fault.line < self.first_line:
            return fault
        one = self.lines == 1
        what = "the last line" if one else f"the last {self.lines} lines"
        problem = f"is not a row: {what} of the file seem{'s' * one} to be a footer"
        setting = f"footer = {self.lines} under [tables.{fault.table}]"
        remedy = f"Leave {'it' if one else 'them'} out: {setting}."
        return Fault(fault.file, fault.table, fault.line, None, None, problem, remedy)


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
    of rows. For a Parquet file, ``path`` is the SQL of its name, and ``rows`` comes from its
    metadata; ``types`` are what parts must share to be read as one. ``footer`` is what seems to be
    no rows at the end of a file. If a part is read ``on_demand``, only the ``requested`` columns
    leave the database.
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
    footer: Footer | None = None


def refuse_too_wide(table: str, file: str, columns: int) -> None:
    """Raise UnreadableError for a file with more than 2,000 columns."""
    if columns > MAX_COLUMNS:
        problem = f"has {columns:,} columns; at most {MAX_COLUMNS:,} are read"
        fault = Fault(file, table, None, None, None, problem, "Export only the columns needed.")
        raise UnreadableError(fault)


def too_large(table: str, file: str | None, limit: int) -> UnreadableError:
    """Return the error of a file that takes more of the disk than is allowed."""
    problem = f"unpacks to more than {limit:,} bytes, with what was read before"
    remedy = "Check the file; if it is what it should be, set LEADSIGNAL_UNPACKED=50GB."
    return UnreadableError(Fault(file, table, None, None, None, problem, remedy))


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
