"""Detect lines that are not rows: titles above a header, and totals or remarks at the end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from leadsignal.config.table_settings import TableSource
from leadsignal.errors import Fault
from leadsignal.phrases import plain_name
from leadsignal.schema import BY_NAME
from leadsignal.sources.parts import Footer, UnreadableError

SEARCHED = 50
"""Number of lines at each end of a file that are searched for titles and footers."""
_TOTAL = re.compile(
    r"(?i)^\W*((grand |sub)?-?totals?|sums?|average|count|row count|records?|gesamt\w*|summen?|"
    r"totaux|somme|totale?s?)\b|\b(records|rows|copyright|confidential|all rights reserved|"
    r"generated|exported)\b"
)
"""Pattern of the first cell of a line of totals, or of a remark."""

Row = tuple[int, list[str]]
"""A line number, counted from 1, and the cells of that line."""


@dataclass(frozen=True)
class Names:
    """The known column names of a source: all of them, and the required ones."""

    known: frozenset[str]
    required: tuple[str, ...]

    @classmethod
    def of(cls, table: str, source: TableSource) -> Names:
        """Return the names given by the schema and the settings of a table."""
        ours = BY_NAME[table].by_column if table in BY_NAME else {}
        known = {*ours, *source.columns.values(), *source.attributes}
        required = BY_NAME[table].required if table in BY_NAME else tuple(source.columns)
        return cls(frozenset(known), tuple(source.columns.get(name, name) for name in required))

    def hits(self, cells: Iterable[str]) -> int:
        """Return the number of cells that are known names, ignoring case and spaces."""
        return len({plain_name(cell) for cell in cells} & self._plain_names)

    @cached_property
    def _plain_names(self) -> set[str]:
        return {plain_name(name) for name in self.known}


class HeaderElsewhereError(UnreadableError):
    """The header seems to be on a later line, given by ``line``."""

    def __init__(self, fault: Fault, line: int) -> None:
        self.line = line
        super().__init__(fault)


def refuse_titles(
    table: str, shown: str, header: Sequence[str], rows: Iterable[Row], names: Names
) -> None:
    """Raise UnreadableError if a later line seems to be the header."""
    if set(names.required) <= set(header):
        return
    found = _seems_header(header, list(rows), names)
    if found is not None:
        problem = f"the header seems to be in line {found}"
        remedy = f"Say so under [tables.{table}]: header_line = {found}."
        raise HeaderElsewhereError(Fault(shown, table, 1, None, None, problem, remedy), found)


def _seems_header(header: Sequence[str], rows: list[Row], names: Names) -> int | None:
    best, most = None, max(names.hits(header), 1)
    for line, cells in rows:
        if (hits := names.hits(cells)) > most:
            best, most = line, hits
    if best is not None or names.hits(header) or len(filled(header)) > 1:
        return best
    for (line, cells), (_, after) in pairwise(rows):
        words = filled(cells)
        if len(words) > 1 and len(after) == len(cells) and is_header(words):
            return line
    return None


def is_header(cells: Sequence[str]) -> bool:
    """Return whether cells may be column names: texts without duplicates.

    >>> is_header(["Account", "Start"]), is_header(["A-1", "2024-01-05"])
    (True, False)
    """
    return len(set(cells)) == len(cells) and not any(map(is_value, cells))


def is_value(cell: str) -> bool:
    """Return whether a cell is a number or a date rather than a name.

    >>> is_value("2024-01-05"), is_value("MRR")
    (True, False)
    """
    return cell.replace(".", "").replace("-", "").replace("/", "").isdigit()


def filled(cells: Iterable[str]) -> list[str]:
    """Return the cells that are not blank."""
    return [cell for cell in cells if cell.strip()]


def find_footer(rows: Sequence[Row], header: Sequence[str], names: Names) -> Footer | None:
    """Return the footer among the last lines of a file, the first of which may be valid rows."""
    needed = [at for at, name in enumerate(header) if name in names.required]
    first = None
    for line, cells in reversed(rows):
        words = filled(cells)
        if words and not _is_remark(cells, words, len(header), needed):
            break
        first = line if words else first
    if first is None or first == rows[0][0]:
        return None
    last = max(line for line, cells in rows if filled(cells))
    return Footer(last - first + 1, first)


def _is_remark(cells: list[str], words: list[str], width: int, needed: list[int]) -> bool:
    """Return whether cells are a line of totals or a remark, and cannot be a row."""
    lacking = len(cells) != width or any(not cells[at].strip() for at in needed)
    if not lacking:
        return False
    return bool(_TOTAL.search(words[0])) or (len(words) == 1 and " " in words[0].strip())
