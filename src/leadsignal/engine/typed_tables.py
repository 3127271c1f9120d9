"""Rules for typed tables whose rows are in Spark or in a warehouse."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from leadsignal.config.project import Project
from leadsignal.config.table_settings import TableSource
from leadsignal.config.toml_files import one_of
from leadsignal.errors import Fault
from leadsignal.ingestion.cells import FIRST_DAY, LAST_DAY
from leadsignal.ingestion.loaded_table import Loaded
from leadsignal.ingestion.rows_of_accounts import outside_life
from leadsignal.schema import BY_NAME, Column
from leadsignal.sources.parts import literal

NOT_A_NUMBER = "is not a number"
LARGEST_DOUBLE = sys.float_info.max
"""The largest finite number: infinity is above it, and NaN is never below it."""


@dataclass(frozen=True)
class Rule:
    """A possible fault of rows: a condition on the table and its account."""

    column: str
    condition: str
    problem: str
    remedy: str

    def fault(self, table: str, count: int) -> Fault:
        """Return the fault of N rows of a table."""
        problem = f"{count:,} rows: {self.problem}"
        return Fault(None, table, None, self.column, None, problem, self.remedy)


@dataclass(frozen=True)
class RepeatRule:
    """Groups of rows in which only one value may occur: one row, or one account."""

    column: str
    by: tuple[str, ...]
    where: str
    counted: str
    problem: str
    remedy: str

    def fault(self, table: str, count: int) -> Fault:
        """Return the fault of N groups of a table."""
        problem = f"{count:,} {self.problem}"
        return Fault(None, table, None, self.column, None, problem, self.remedy)


def most_of(column: Column) -> str:
    """Return the largest value that a decimal column can hold."""
    return f"{10**12 - 1}.{'9' * column.decimals}"


def row_rules(loaded: Loaded) -> Iterator[Rule]:
    """Yield the rules for each row of a table, called ``t``."""
    for name in loaded.columns:
        column, cell = loaded.table.by_column[name], f"t.{name}"
        if column.required:
            yield Rule(name, f"{cell} IS NULL", "is empty", f"Give {column.meaning}.")
        if column.kind in ("day", "moment"):
            within = f"{cell} BETWEEN DATE '{FIRST_DAY}' AND DATE '{LAST_DAY}'"
            years = f"is outside {FIRST_DAY[:4]} to {LAST_DAY[:4]}"
            yield Rule(name, f"NOT {within}", years, "Correct it, or leave it empty.")
        if column.kind == "number":
            finite = f"{cell} BETWEEN -{LARGEST_DOUBLE!r} AND {LARGEST_DOUBLE!r}"
            yield Rule(name, f"NOT ({finite})", NOT_A_NUMBER, "Leave it empty where there is none.")
        if column.limit is not None:
            most = most_of(column) if column.kind == "decimal" else f"{column.limit}"
            remedy = f"It must be below {column.limit:,}: correct it, or count in a larger unit."
            yield Rule(name, f"abs({cell}) >= {most}", "is too large", remedy)
        if column.allowed:
            allowed = ", ".join(map(literal, column.allowed))
            remedy = f"Allowed: {', '.join(column.allowed)}."
            yield Rule(name, f"{cell} NOT IN ({allowed})", "is not allowed", remedy)
        if column.minimum is not None:
            least = f"{column.minimum:g}"
            yield Rule(name, f"{cell} < {least}", f"is below {least}", "Correct it.")
    for earlier, later in loaded.table.ordered:
        if {earlier, later} <= set(loaded.columns):
            before = f"t.{later} < t.{earlier}"
            yield Rule(later, before, f"is before {earlier}", "Correct one of the two dates.")


def account_rules(loaded: Loaded, outside_is_fault: bool) -> Iterator[Rule]:
    """Yield the rules for each row of a table, ``t``, given its account, ``a``."""
    unknown = "t.account_id IS NOT NULL AND a.account_id IS NULL"
    yield Rule("account_id", unknown, "no such account in accounts", "Add it, or correct the id.")
    if not outside_is_fault:
        return
    early, late = outside_life(loaded.table.time)
    remedy = "Correct the date, or the account's."
    yield Rule(loaded.table.time, early, "is before the account's start", remedy)
    yield Rule(loaded.table.time, late, "is after the account's end", remedy)


def summed_columns(loaded: Loaded) -> list[Column]:
    """Return the columns whose values must have an exact sum."""
    columns = [loaded.table.by_column[name] for name in loaded.columns]
    return [column for column in columns if column.total_limit is not None]


def total_faults(loaded: Loaded, sums: Sequence[Any]) -> Iterator[Fault]:
    """Yield faults of columns whose values cannot be summed exactly."""
    for column, total in zip(summed_columns(loaded), sums, strict=True):
        if total is not None and column.total_limit is not None and total >= column.total_limit:
            problem = f"adds up to {total:,.0f}; sums are exact below {column.total_limit:,}"
            remedy = "Correct it, or count in a larger unit."
            yield Fault(None, loaded.table.name, None, column.name, None, problem, remedy)


def repeat_rules(loaded: Loaded) -> Iterator[RepeatRule]:
    """Yield the rules on repetition: of keys, keys of two accounts, events, and rows."""
    table, recorded = loaded.table, "recorded_at" in loaded.columns
    key = table.key if table.key in loaded.columns else None
    if key and not recorded:
        remedy = "Give each its own; for versions of a row, add recorded_at to the table."
        problem = "keys appear in several rows"
        yield RepeatRule(key, (key,), f"{key} IS NOT NULL", "*", problem, remedy)
    if key and recorded and key != "account_id":
        problem, remedy = "keys belong to several accounts", "Give each its own key."
        counted = "DISTINCT account_id"
        yield RepeatRule(key, (key,), f"{key} IS NOT NULL", counted, problem, remedy)
    if "event_id" in loaded.columns:
        problem, remedy = "events appear in several rows", "Keep one row of each."
        yield RepeatRule("event_id", ("event_id",), "event_id IS NOT NULL", "*", problem, remedy)
    if (table.repeats == "fault" and not (key and not recorded)) or loaded.has_versions:
        problem, remedy = "rows are repeated", "Keep one of each."
        yield RepeatRule("account_id", tuple(loaded.columns), "TRUE", "*", problem, remedy)


def misnamed(names: Collection[str], place: str) -> list[Fault]:
    """Return faults for names that are not tables, or not tables of this kind."""
    wrong = [
        Fault(None, name, None, None, None, "is not a table", f"{one_of(BY_NAME, name)}.")
        for name in names
        if name not in BY_NAME
    ]
    wrong += [
        Fault(
            None, name, None, None, None, f"is not read from {place}",
            "Read it with read_tables and its engine DuckDB, write Tables.frame of accounts and "
            f"contract_changes, and put these into {place}.",
        )
        for name in names
        if name in ("contracts", "exchange_rates")
    ]  # fmt: skip
    if "accounts" not in names:
        problem, remedy = "is required", "Give accounts."
        wrong.append(Fault(None, "accounts", None, None, None, problem, remedy))
    return wrong


def options_of_files(name: str, source: TableSource, place: str) -> Iterator[Fault]:
    """Yield faults for options that filter rows or parse text, which must be done at the source."""
    options = {
        "where": source.where,
        "users": source.users is not None,
        "query": source.query,
        "dates": source.spelling.dates,
        "decimal": source.spelling.decimal,
        "empty": source.spelling.empty,
    }
    for option, is_set in options.items():
        if is_set:
            problem = f"{option} is set, which tables in {place} do not have"
            remedy = f"Do it in {place}, and take {option} out."
            yield Fault(None, name, None, None, None, problem, remedy)


def unknown_attributes(accounts: Loaded, has_changes: bool, project: Project) -> list[Fault]:
    """Return faults for declared attributes that do not exist."""
    if has_changes:
        return []
    problem = "is declared as an attribute but is no column of accounts"
    return [
        Fault(None, "accounts", None, name, None, problem, "Correct its name, or leave it out.")
        for name in project.tables.get("accounts", TableSource()).attributes
        if name not in (*accounts.columns, *accounts.extras)
    ]
