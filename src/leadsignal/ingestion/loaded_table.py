"""A table in the store with the checks of its rows, and warnings about valid data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from leadsignal.errors import Fault, TablesError, is_name
from leadsignal.package_data import packaged_toml
from leadsignal.schema import Table
from leadsignal.sources.parts import Part

if TYPE_CHECKING:
    from datetime import date

    from leadsignal.config.project import Project
    from leadsignal.ingestion.store import Store


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


# Warnings -----------------------------------------------------------------------------------------


_WARNINGS = packaged_toml("leadsignal.ingestion", "warnings.toml")
RESULTS: Sequence[str] = _WARNINGS["results"]
AFFECTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        kind: tuple(RESULTS if results == "all" else results)
        for kind, results in _WARNINGS["affects"].items()
    }
)
"""Results that each kind of warning affects; a kind without any is only listed by `check`."""


@dataclass(frozen=True)
class DataWarning:
    """A warning about a table, or about a result.

    Parameters
    ----------
    kind : str
        One of ``AFFECTS``.
    table : str
        Name of the table; empty for a warning about a result.
    message : str
        What was found, and what to do.
    column : str or None
        Name of the column; None if the warning is not about a single column.
    """

    kind: str
    table: str
    message: str
    column: str | None = None

    @property
    def affects(self) -> tuple[str, ...]:
        """The results that the warning affects."""
        return AFFECTS[self.kind]

    def __str__(self) -> str:
        return f"{self.table}: {self.message}" if self.table else self.message

    def to_dict(self) -> dict[str, Any]:
        """Return the warning as a plain dictionary, ready for JSON."""
        return {**asdict(self), "affects": list(self.affects)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> DataWarning:
        """Read what `to_dict` wrote; raises ValueError for anything else."""
        texts = [content.get(name) for name in ("kind", "table", "message", "column")]
        kind, table, message, column = texts
        if kind not in AFFECTS or table is None or not is_name(message, 2_000):
            raise ValueError("not a warning")
        if (table and not is_name(table)) or (column is not None and not is_name(column)):
            raise ValueError("not a name")
        return cls(str(kind), table, str(message), column)


def message(name: str, /, **values: object) -> str:
    """Return a message of ``warnings.toml`` with its placeholders filled in."""
    return str(_WARNINGS["messages"][name]).format(**values)


@dataclass(frozen=True)
class CheckedRows:
    """Rows in a store that have passed all checks, judged as of midnight of ``as_of_date``."""

    project: Project
    store: Store
    loaded: Mapping[str, Loaded]
    attributes: Mapping[str, str]
    found_in_reading: tuple[DataWarning, ...]
    as_of_date: date

    def before(self, day: str) -> str:
        """Return SQL for whether a day (SQL) is before the as-of date, NULL if it is missing."""
        return f"{day} < DATE '{self.as_of_date}'"


def affecting(warnings: Iterable[DataWarning], result: str) -> tuple[DataWarning, ...]:
    """Return the warnings that affect a result, each once.

    >>> affecting([DataWarning("repeated_rows", "usage", "…")], "fit")
    ()
    """
    return tuple(dict.fromkeys(one for one in warnings if result in one.affects))


def warning_lines(warnings: Iterable[DataWarning]) -> list[str]:
    """Return one line per warning, as printed above a result."""
    return [f"warning: {one}" for one in warnings]


def faults_of(warnings: Iterable[DataWarning]) -> list[Fault]:
    """Return the warnings as faults."""
    remedy = "Correct the data, or omit --strict."
    return [
        Fault(None, one.table or None, None, one.column, None, one.message, remedy)
        for one in warnings
    ]


def refuse_warnings(warnings: Iterable[DataWarning]) -> None:
    """Raise TablesError if there are warnings, each listed as a fault."""
    if faults := faults_of(warnings):
        raise TablesError(faults)
