"""The interface of checked tables that a panel needs, wherever their rows are stored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal, Protocol

from leadsignal.check_report import Coverage
from leadsignal.config.project import Project


class CheckedTables(Protocol):
    """Checked tables as a panel needs them, wherever their rows are stored."""

    @property
    def project(self) -> Project:
        """The options with which the tables were read."""

    @property
    def as_of_date(self) -> date:
        """The date as of which they are known, at midnight."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tables."""

    @property
    def attributes(self) -> Mapping[str, Literal["text", "number"]]:
        """The declared attributes of accounts."""

    @property
    def coverage(self) -> Mapping[str, Coverage]:
        """For each table, the number of rows and the dates between which it is complete."""

    def columns(self, name: str) -> tuple[str, ...]:
        """Return the columns of a table's source."""

    def values(self, table: str, column: str) -> frozenset[str]:
        """Return the distinct texts in a column over all rows, whenever they became known."""

    def accounts_with(self, table: str, column: str) -> Mapping[str, int]:
        """Return the number of accounts with each text in a column, among rows known on as_of."""

    def attribute_values(self, attribute: str) -> frozenset[str]:
        """Return the values of an account attribute, at the start or later."""
