"""Warnings about data that are valid but may make a result misleading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from leadsignal.errors import Fault, TablesError, is_name

if TYPE_CHECKING:
    from datetime import date

    from leadsignal.config.project import Project
    from leadsignal.ingestion.loaded_table import Loaded
    from leadsignal.ingestion.store import Store

RESULTS = (
    "fit", "score", "backtest", "audit", "compare", "report", "discover", "monitor",
    "hazard_ratios",
)  # fmt: skip
"""The results that repeat the warnings at their top."""
AFFECTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "reading": (),
        "hidden_rows": (),
        "no_rows": (),
        "repeated_rows": (),
        "usage_series": (),
        "no_ends": RESULTS,
        "zero_days": ("backtest", "audit", "report"),
        "ends_on_one_day": RESULTS,
        "no_active_account": RESULTS,
        "survivors": RESULTS,
        "arr_partly_known": ("score", "report"),
        "column_reveals_churn": RESULTS,
        "only_churned_accounts": RESULTS,
        "closed_at_end": RESULTS,
        "recorded_by_survivors": ("compare", "report"),
        # Models leave out a feed that has stopped; `fit` and `score` report it themselves.
        "feed_stopped": ("backtest", "audit", "compare", "report", "discover", "hazard_ratios"),
        "high_auc": ("backtest", "report"),
        "expected_churns": ("score", "backtest", "report"),
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
