"""The result of checking tables: rows read, faults, warnings, and time covered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from leadsignal.config.toml_files import MAX_NAMES
from leadsignal.errors import Fault, FaultKind, list_faults
from leadsignal.ingestion.loaded_table import DataWarning


@dataclass(frozen=True)
class Coverage:
    """Number of visible rows of a table, and the dates between which it is complete.

    If ``complete_from`` is None, the table is complete from the beginning; if ``complete_through``
    is None, up to as_of.
    """

    rows: int
    complete_from: date | None
    complete_through: date | None


@dataclass(frozen=True, repr=False)
class CheckReport:
    """The result of checking tables: rows read from each table, faults and warnings.

    ``not_read`` lists everything in the project's folder that was not read; folders end with "/".
    """

    tables: Mapping[str, int]
    faults: tuple[Fault, ...]
    more: Mapping[FaultKind, int]
    warnings: tuple[DataWarning, ...]
    dropped: tuple[Fault, ...] = ()
    dropped_rows: Mapping[str, int] = field(default_factory=dict)
    coverage: Mapping[str, Coverage] | None = None
    as_of_date: date | None = None
    not_read: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the tables can be used."""
        return not self.faults

    @property
    def count(self) -> int:
        """Number of faults, including those that are not listed."""
        return len(self.faults) + sum(self.more.values())

    @property
    def derived(self) -> dict[str, int]:
        """Number of rows in tables that were derived from others instead of read."""
        covered = self.coverage or {}
        return {name: known.rows for name, known in covered.items() if name not in self.tables}

    def derived_lines(self) -> list[str]:
        """Return one line on the rows of derived tables, or no line."""
        rows = ", ".join(f"{name} {count:,} rows" for name, count in self.derived.items())
        return [f"derived: {rows}"] if rows else []

    def __repr__(self) -> str:
        rows = ", ".join(f"{name} {count:,}" for name, count in self.tables.items())
        lines = [f"  {fault}" for fault in list_faults(self.faults, self.more)]
        lines += [
            f"  dropped {count:,} rows of {name}" for name, count in self.dropped_rows.items()
        ]
        lines += [f"  warning: {notice}" for notice in self.warnings]
        lines += [f"  {line}" for line in (*self.derived_lines(), *self.not_read_lines())]
        verdict = "no faults" if self.ok else f"{self.count:,} fault{'s' * (self.count > 1)}"
        return "\n".join([f"Checked rows: {rows or 'none'}; {verdict}", *lines])

    def not_read_lines(self) -> list[str]:
        """Return one line with the first names that were not read, or no line."""
        if not self.not_read:
            return []
        names = self.not_read[:MAX_NAMES]
        more = len(self.not_read) - len(names)
        return [f"not read: {', '.join(names)}{f' and {more:,} more' if more else ''}"]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain dictionaries, ready for JSON."""
        return {
            "ok": self.ok,
            "tables": dict(self.tables),
            "derived": self.derived,
            "faults": [fault.to_dict() for fault in self.faults],
            "fault_count": self.count,
            "fault_lines": list_faults(self.faults, self.more),
            "warnings": [notice.to_dict() for notice in self.warnings],
            "dropped": [fault.to_dict() for fault in self.dropped],
            "dropped_rows": dict(self.dropped_rows),
            "not_read": list(self.not_read),
        }
