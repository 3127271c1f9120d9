"""A table in the store, the sources of its rows, and the checks on them."""

from __future__ import annotations

from dataclasses import dataclass, field

from leadsignal.errors import Fault
from leadsignal.schema import Table
from leadsignal.sources.parts import Part


@dataclass(frozen=True)
class Check:
    """A check of rows: the SQL condition of a fault, and its message.

    In the condition, ``t`` is the table and ``a`` the latest version of the account. ``value`` is
    the SQL of the value to show, by default the column; ``detail`` is the SQL of a text that is
    appended to the remedy.
    """

    column: str
    condition: str
    problem: str
    remedy: str
    value: str | None = None
    detail: str | None = None


@dataclass
class Loaded:
    """A table in the store: its columns, and the part that each row came from.

    ``extras`` are declared attributes of accounts beyond the schema; of ``unread`` columns only the
    names were read. ``currency`` is the column with the currency of each row, which is only
    checked. ``derived`` rows are made from contracts; if the table ``vanishes`` some of them, later
    corrections removed these on their ``vanished_on``. With ``selected``, each row stores its
    position in the source.
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
        """Whether rows with the same key are versions of each other."""
        return self.table.key in self.columns and "recorded_at" in self.columns

    @property
    def texts(self) -> list[str]:
        """Columns beyond the schema, which are stored as text."""
        taken = (*self.extras, *self.columns)
        own = [self.currency] if self.currency and self.currency not in taken else []
        return [*self.extras, *own]

    @property
    def known_on(self) -> str:
        """SQL of the day on which a row became known, once the table is settled."""
        return "known_on" if "recorded_at" in self.columns else self.table.time

    def placed(self, fault: Fault, row: int) -> Fault:
        """Return a fault of a row, as a fault of the footer if the row is part of one."""
        part = next((part for part, end in self.parts if row < end), None)
        return part.footer.of(fault) if part and part.footer else fault

    def places(self, rows: list[int]) -> list[tuple[str | None, int]]:
        """Return the file and line of each row of the store."""
        found: dict[int, tuple[str | None, int]] = {}
        first = 0
        for part, end in self.parts:
            inside = [row - first for row in rows if first <= row < end]
            lines = part.lines(inside) if inside else []
            for row, line in zip(inside, lines, strict=True):
                found[row + first] = (part.file, line)
            first = end
        return [found[row] for row in rows]
