"""What a panel needs to know of tables, wherever their rows are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal, Protocol

from leadsignal.check_report import Coverage
from leadsignal.config.project import Project


class CheckedTables(Protocol):
    """What a panel needs to know of tables, wherever their rows are stored."""

    @property
    def project(self) -> Project:
        """The options they were read with."""

    @property
    def as_of_date(self) -> date:
        """The day at whose midnight they are known."""

    @property
    def names(self) -> tuple[str, ...]:
        """The tables there are."""

    @property
    def attributes(self) -> Mapping[str, Literal["text", "number"]]:
        """The declared attributes of accounts."""

    @property
    def coverage(self) -> Mapping[str, Coverage]:
        """Rows, and the days between which each table is complete."""

    def columns(self, name: str) -> tuple[str, ...]:
        """Return the columns that a table's source holds."""

    def values(self, table: str, column: str) -> frozenset[str]:
        """Return the texts in a column of all rows that were read, whenever known."""

    def accounts_with(self, table: str, column: str) -> Mapping[str, int]:
        """Return how many accounts have each text of a column, of rows known on as_of."""

    def attribute_values(self, attribute: str) -> frozenset[str]:
        """Return the values of an attribute of accounts, at the start or later."""
