"""Tables made for people: titles above the header, totals at the end, one column per month."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from leadsignal.config.table_settings import TableSource
from leadsignal.errors import Fault
from leadsignal.package_data import packaged_toml
from leadsignal.phrases import plain_name
from leadsignal.schema import BY_NAME, Table
from leadsignal.sources.parts import Footer, UnreadableError, literal, quoted, unreadable

SEARCHED = 50
"""Number of lines at each end of a file that are searched for titles and footers."""
_LAYOUTS = packaged_toml("leadsignal.sources", "layouts.toml")
_TOTAL = re.compile(
    rf"(?i)^\W*({'|'.join(_LAYOUTS['totals'])})\b|\b({'|'.join(_LAYOUTS['remarks'])})\b"
)
"""Pattern of the first cell of a line of totals, or of a remark."""

Row = tuple[int, list[str]]
"""A line number, counted from 1, and the cells of that line."""


def refuse_repeated(
    table: str, shown: str, header: Sequence[str], known: Collection[str], line: int
) -> None:
    """Raise UnreadableError if a header has a known name twice."""
    for name in header:
        if name in known and header.count(name) > 1:
            problem, remedy = "the header names a column twice", "Rename one of them."
            raise unreadable(table, shown, problem, remedy, line, name)


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


# One column per month -----------------------------------------------------------------------------


MIN_MONTHS = 2
MONTHS: tuple[tuple[str, str], ...] = tuple(
    (pattern.replace("<month>", _LAYOUTS["month"]).replace("<short>", _LAYOUTS["short"]), written)
    for pattern, written in _LAYOUTS["formats"]
)
"""Patterns of column names that are months, and their format in DuckDB."""


def named_after_months(names: Iterable[str]) -> tuple[str, list[str]]:
    """Return the month pattern that most names match, and these names; empty if only one matches.

    Two full dates may be the start and end of a row; three are months.

    >>> named_after_months(["account_id", "2023-01", "2023-02"])[1]
    ['2023-01', '2023-02']
    """
    names = list(names)
    by_pattern = {p: [name for name in names if re.fullmatch(p, name)] for p, _ in MONTHS}
    pattern = max(by_pattern, key=lambda one: len(by_pattern[one]))
    months = by_pattern[pattern]
    fewest = MIN_MONTHS + (pattern == MONTHS[0][0])
    return pattern, months if len(set(months)) >= fewest else []


def unpivoting_query(
    table: Table, file: str, account: str | None, columns: Iterable[str]
) -> str | None:
    """Return the query that gives one row per month; None if the columns are not months.

    ``account`` is the name of the account column, if known.
    """
    names = list(columns)
    values = [c.name for c in table.columns if c.required and c.kind in ("decimal", "number")]
    others = {c.name for c in table.columns if c.required} - {"account_id", table.time, *values}
    pattern, months = named_after_months(names)
    if len(values) != 1 or others or not months:
        return None
    ids = [name for name in names if name not in months]
    account = account or (ids[0] if ids else None)
    if account is None:
        return None
    renamed = account if account == "account_id" else f"{quoted(account)} AS account_id"
    day = f"CAST(strptime(month, {literal(dict(MONTHS)[pattern])}) AS DATE)"
    return (
        f"SELECT {renamed}, {day} AS {table.time}, {values[0]} FROM (UNPIVOT {literal(file)} "
        f"ON COLUMNS({literal(f'^{pattern}$')}) INTO NAME month VALUE {values[0]})"
    )
