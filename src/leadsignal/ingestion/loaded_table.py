"""One table in the store, where its rows came from, and what may be wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field

from leadsignal.errors import Fault
from leadsignal.schema import Table
from leadsignal.sources.parts import Part


@dataclass(frozen=True)
class Check:
    """One thing that may be wrong with a row: a condition in SQL, and the message.

    In the condition ``t`` is the table and ``a`` the account as it was last recorded. ``value``
    is the SQL of the value to show, if that is not the column; ``detail`` is the SQL of a text
    that is added to the remedy.
    """

    column: str
    condition: str
    problem: str
    remedy: str
    value: str | None = None
    detail: str | None = None


@dataclass
class Loaded:
    """One table in the store: which columns it has, and which part each row came from.

    ``extras`` are the declared attributes of accounts beyond the schema; of ``unread`` columns
    only the names were read. ``currency`` is a column that names the currency of each row's
    amounts; it is only checked. ``derived`` rows are made from contracts; where one ``vanishes``,
    a later correction took it away on its ``vanished_on``. Once rows are ``selected``,
    each keeps its place in the source.
    """

    table: Table
    columns: list[str]
    extras: list[str]
    unread: list[str] = field(default_factory=list)
    parts: list[tuple[Part, int]] = field(default_factory=list)
    rows: int = 0
    currency: str | None = None
    derived: bool = False
    vanishes: bool = False
    selected: bool = False

    @property
    def has_versions(self) -> bool:
        """Whether rows of one key are versions of each other."""
        return self.table.key in self.columns and "recorded_at" in self.columns

    @property
    def texts(self) -> list[str]:
        """Columns beyond the schema that are stored as texts."""
        taken = (*self.extras, *self.columns)
        own = [self.currency] if self.currency and self.currency not in taken else []
        return [*self.extras, *own]

    @property
    def known_on(self) -> str:
        """The SQL of the day a row was known on, once the table is settled."""
        return "known_on" if "recorded_at" in self.columns else self.table.time

    def placed(self, fault: Fault, row: int) -> Fault:
        """Return a fault of a row, put as one of the footer where the file ends with one."""
        part = next((part for part, end in self.parts if row < end), None)
        return part.footer.of(fault) if part and part.footer else fault

    def places(self, rows: list[int]) -> list[tuple[str | None, int]]:
        """Return the file and line of rows of the store."""
        found: dict[int, tuple[str | None, int]] = {}
        first = 0
        for part, end in self.parts:
            inside = [row - first for row in rows if first <= row < end]
            lines = part.lines(inside) if inside else []
            for row, line in zip(inside, lines, strict=True):
                found[row + first] = (part.file, line)
            first = end
        return [found[row] for row in rows]
