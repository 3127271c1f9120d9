"""The result of checking tables, and a table in the store with the checks of its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self

from leadsignal.config.table_settings import TableSource
from leadsignal.errors import MAX_NAMES, Fault, FaultKind, TablesError, is_name, list_faults
from leadsignal.package_data import packaged_toml
from leadsignal.results import to_html
from leadsignal.schema import Table
from leadsignal.sources.parts import Part

if TYPE_CHECKING:
    from leadsignal.config.project import Behaviors, Project
    from leadsignal.ingestion.store import Store


AttributeKind = Literal["text", "number"]


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


class CheckedTables(ABC):
    """Checked tables as they were known at midnight of ``as_of_date``, wherever their rows are."""

    project: Project
    as_of_date: date
    names: tuple[str, ...]
    attributes: Mapping[str, AttributeKind]

    @abstractmethod
    def _table(self, name: str) -> Loaded:
        """Return how a table is stored."""

    @abstractmethod
    def _texts(
        self, table: str, column: str, where: tuple[str, str] | None = None
    ) -> frozenset[str]:
        """Return the distinct texts of a column, optionally of rows with one value."""

    @abstractmethod
    def _counted(self, name: str) -> tuple[int, date | None]:
        """Return the number of visible rows, and the first day on which a row became known."""

    @abstractmethod
    def accounts_with(self, table: str, column: str) -> Mapping[str, int]:
        """Return the number of accounts by text in a column, for rows known on ``as_of_date``."""

    def columns(self, name: str) -> tuple[str, ...]:
        """Return the columns of a table that its source has and that were read."""
        loaded = self._table(name)
        return (*loaded.columns, *loaded.extras)

    def values(self, table: str, column: str) -> frozenset[str]:
        """Return the distinct texts in a column over all rows, whenever they became known."""
        return self._texts(table, column) if column in self.columns(table) else frozenset()

    def attribute_values(self, attribute: str) -> frozenset[str]:
        """Return the values of an account attribute, at the start or later."""
        values = self.values("accounts", attribute)
        if "account_changes" not in self.names or "value" not in self.columns("account_changes"):
            return values
        return values | self._texts("account_changes", "value", ("attribute", attribute))

    def with_behaviors(self, behaviors: Behaviors | None) -> Self:
        """Return the tables with indicators of their own for these behaviours."""
        changed: Any = {"project": replace(self.project, behaviors=behaviors)}
        return replace(self, **changed)  # type: ignore[type-var]

    @cached_property
    def coverage(self) -> Mapping[str, Coverage]:
        """For each table, the number of visible rows and the dates between which it is complete."""
        return {name: self._coverage(name) for name in self.names}

    def _coverage(self, name: str) -> Coverage:
        rows, first = self._counted(name)
        source = self.project.tables.get(name, TableSource())
        since = source.complete_from or (None if name == "accounts" else first)
        return Coverage(rows, since, source.complete_through)

    def __repr__(self) -> str:
        return f"{type(self).__name__} as of {self.as_of_date}: {', '.join(self.names)}"

    def _repr_html_(self) -> str:
        return to_html(repr(self))


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


def warning(kind: str, table: str, column: str | None = None, **values: object) -> DataWarning:
    """Return a warning of a kind, with its message filled in."""
    return DataWarning(kind, table, message(kind, **values), column)


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
