"""Read tables in order: load them, check their rows, drop bad rows, settle versions.

A data frame can also be read and checked against tables that are already in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from leadsignal.config.project import Project
from leadsignal.config.table_settings import TableSource
from leadsignal.errors import Fault, FaultKind, TablesError, one_of
from leadsignal.ingestion.check_report import AttributeKind, Loaded
from leadsignal.ingestion.checks import check_rows
from leadsignal.ingestion.contracts import (
    derive_from_contracts,
    to_accounts_of_their_day,
    with_coverage_of_contracts,
)
from leadsignal.ingestion.dialect import Dialect, DuckDB
from leadsignal.ingestion.loading import Intake
from leadsignal.ingestion.opened_files import requiring
from leadsignal.ingestion.rows_of_accounts import (
    convert_amounts,
    leave_out_outside,
    leave_out_unknown,
    settle_rates,
)
from leadsignal.ingestion.store import Store
from leadsignal.schema import ALL_TABLES, LARGEST_NUMBER, TABLES, Table
from leadsignal.sources.parts import Part, UnreadableError, literal, open_frame, quoted

if TYPE_CHECKING:
    import pandas as pd

DEPENDENT = frozenset(table.name for table in TABLES if table.name != "accounts")
"""The tables whose rows belong to accounts."""


class TableReader:
    """A reading of all tables: after ``read``, either ``faults`` or a store without any."""

    def __init__(
        self,
        project: Project,
        drop_bad_rows: bool = False,
        store: Store | None = None,
        skipped: frozenset[Path] = frozenset(),
    ) -> None:
        self.project = project
        self.drop_bad_rows = drop_bad_rows
        self.store = store or Store()
        self.intake = Intake(project, self.store, skipped=skipped)
        self.rows_read: dict[str, int] = {}
        self.faults: list[Fault] = []
        self.more: dict[FaultKind, int] = {}
        self.dropped: list[Fault] = []
        self.dropped_rows: dict[str, int] = {}
        self.not_read: tuple[str, ...] = ()
        self.attributes: dict[str, AttributeKind] = {}

    @property
    def loaded(self) -> dict[str, Loaded]:
        """The tables in the store, in the order of the schema."""
        present = self.intake.loaded
        return {table.name: present[table.name] for table in TABLES if table.name in present}

    def read(self, frames: Mapping[str, Any] | None, settings: Path | None = None) -> None:
        """Load and check everything; structural faults stop it even if bad rows are dropped.

        ``settings`` is the file that the project was read from, if any.
        """
        self.intake.load_all(frames)
        if frames is None:
            self.not_read = self.intake.not_read(settings)
        found = self.intake.loaded
        read = [found[table.name] for table in ALL_TABLES if table.name in found]
        self.rows_read = {loaded.table.name: loaded.rows for loaded in read}
        self.faults += self.intake.structural
        self._sort_out(self.intake.faults, self.intake.more)
        if "contracts" not in found:
            self._find_attributes()
            self._refuse_no_accounts()
        dropping = self.drop_bad_rows and not self.faults
        lost: set[str] = set()
        self._read_first(lost, dropping)
        self._refuse_no_accounts()
        for name, loaded in self.loaded.items():
            if name not in DEPENDENT:
                continue
            if not loaded.derived:
                to_accounts_of_their_day(self.intake, loaded)
                leave_out_unknown(self.intake, loaded)
                self._check(loaded, lost, dropping)
                self._do(partial(convert_amounts, self.intake, loaded))
            if not self.faults and not (loaded.derived and found["accounts"].derived):
                leave_out_outside(self.intake, loaded)
        self.intake.object_stores.forget()
        if not self.faults:
            for loaded in self.loaded.values():
                self._settle(loaded)

    def _read_first(self, lost: set[str], dropping: bool) -> None:
        """Check rates, contracts and accounts, and derive tables from contracts."""
        found = self.intake.loaded
        for name in ("exchange_rates", "contracts", "accounts"):
            if name in found:
                self._check(found[name], lost, dropping)
            if name == "exchange_rates":
                self._do(partial(settle_rates, self.intake))
            elif name in found:
                self._do(partial(convert_amounts, self.intake, found[name]))
        if "contracts" in found:
            self._do(self._derive)

    def _do(self, step: Callable[[], None]) -> None:
        """Run a step, unless there are faults, and record the faults that it finds."""
        if not self.faults:
            before = len(self.intake.faults)
            step()
            self.faults += self.intake.faults[before:]

    def _derive(self) -> None:
        self._settle(self.intake.loaded["contracts"])
        derive_from_contracts(self.intake)
        accounts = self.intake.loaded.get("accounts")
        if accounts is None:
            return
        self.project = with_coverage_of_contracts(self.project, self.intake)
        self._find_attributes()
        if accounts.derived:
            # Derived columns hold values at the start, so they need not be declared as attributes.
            columns = [*accounts.extras, *accounts.columns]
            dated: dict[str, AttributeKind] = {"plan": "text", "arr": "number"}
            self.attributes = {k: v for k, v in dated.items() if k in columns} | self.attributes

    def _sort_out(self, faults: list[Fault], more: Mapping[FaultKind, int]) -> None:
        if self.drop_bad_rows:
            self.dropped += faults
            for fault in faults:
                self._count_dropped(str(fault.table), 1)
            for kind, count in more.items():
                self._count_dropped(str(kind[0]), count)
            return
        self.faults += faults
        for kind, count in more.items():
            self.more[kind] = self.more.get(kind, 0) + count

    def _count_dropped(self, table: str, rows: int) -> None:
        self.dropped_rows[table] = self.dropped_rows.get(table, 0) + rows

    def _check(self, loaded: Loaded, lost: set[str], dropping: bool) -> None:
        bad: set[int] = set()
        name = loaded.table.name
        for rows, faults, more in check_rows(
            self.intake, loaded, frozenset(lost), self.drop_bad_rows
        ):
            if self.drop_bad_rows:
                self.dropped += faults
                bad.update(rows)
            else:
                self.faults += faults
                if more:
                    kind = faults[0].kind
                    self.more[kind] = self.more.get(kind, 0) + more
        if bad and dropping:
            self._count_dropped(name, len(bad))
            lost |= self._drop(name, sorted(bad))

    def _drop(self, name: str, rows: list[int]) -> set[str]:
        """Delete rows and return the accounts that are then missing from accounts."""
        before = self._account_ids(name)
        self.store.delete(name, rows)
        return before - self._account_ids(name)

    def _account_ids(self, name: str) -> set[str]:
        if name not in ("accounts", "contracts"):
            return set()
        found = self.store.query(f"SELECT account_id FROM {name} WHERE account_id IS NOT NULL")
        return {account for (account,) in found}

    def _refuse_no_accounts(self) -> None:
        loaded = self.intake.loaded.get("accounts")
        if loaded is None or self.faults:
            return
        if not self.store.query("SELECT count(*) FROM accounts")[0][0]:
            file = loaded.parts[0][0].file if loaded.parts else None
            problem = "no row is left" if loaded.rows else "has no rows"
            self.faults.append(
                Fault(file, "accounts", None, None, None, problem, "Export the accounts again.")
            )

    def _settle(self, loaded: Loaded) -> None:
        """Add the day on which each row became known, and on which each version was replaced."""
        if "recorded_at" not in loaded.columns:
            return
        table, columns = loaded.table, ", ".join(settled(loaded, DuckDB()))
        self.store.run(f"CREATE TABLE settled AS SELECT {columns} FROM {table.name}")
        self.store.run(f"DROP TABLE {table.name}")
        self.store.run(f"ALTER TABLE settled RENAME TO {table.name}")

    def _find_attributes(self) -> None:
        accounts = self.intake.loaded.get("accounts")
        source = self.intake.source("accounts")
        if accounts is None:
            return
        for name in source.attributes:
            stated = source.attribute_kinds.get(name)
            if name in accounts.extras:
                number = stated == "number" if stated else self._is_numeric(name)
            elif name in accounts.columns:
                number = accounts.table.by_column[name].kind in ("number", "decimal", "integer")
            elif self._dated(name):
                number = stated == "number"
            else:
                part = accounts.parts[0][0] if accounts.parts else Part("accounts", None, {})
                offered = part.columns if part.on_demand else ()
                choices = [*accounts.unread, *accounts.extras, *accounts.columns, *offered]
                problem = "is declared as an attribute but is no column of accounts"
                place = (part.file, "accounts", part.header_line, name, None)
                self.faults.append(Fault(*place, problem, f"{one_of(choices, name)}."))
                continue
            self.attributes[name] = "number" if number else "text"

    def _is_numeric(self, name: str) -> bool:
        cell = quoted(name)
        ((values, numbers),) = self.store.query(
            f"SELECT count({cell}), count(*) FILTER "
            f"(WHERE abs(TRY_CAST({cell} AS DOUBLE)) < {LARGEST_NUMBER}) FROM accounts"
        )
        return bool(values and values == numbers)

    def _dated(self, attribute: str) -> bool:
        if "account_changes" not in self.intake.loaded:
            return False
        found = self.store.query(
            f"SELECT 1 FROM account_changes WHERE attribute = {literal(attribute)} LIMIT 1"
        )
        return bool(found)

    def latest(self) -> date | None:
        """Return the day after the latest fact of any table; future dates are plans, not facts."""
        from_files = {
            name: loaded
            for name, loaded in self.intake.loaded.items()
            if not loaded.derived and name != "exchange_rates"
        }

        def latest(days: Mapping[str, list[str]]) -> Iterable[date | None]:
            listed = [
                f"SELECT max({day}) AS day FROM {name}" for name, of in days.items() for day in of
            ]
            return self.store.query(f"SELECT max(day) FROM ({' UNION ALL '.join(listed)})")[0]

        return day_after_the_latest(self.project, from_files, latest)


def day_after_the_latest(
    project: Project,
    loaded: Mapping[str, Loaded],
    latest: Callable[[Mapping[str, list[str]]], Iterable[date | None]],
) -> date | None:
    """Return the day after the latest fact of any table; None without one.

    ``latest`` returns the largest values of SQL columns, given by table.
    """
    for until in (day_of_the_run(project), date.max):
        days = {name: fact_days(one, until) for name, one in loaded.items()}
        if found := [day for day in latest(days) if day is not None]:
            return max(found) + timedelta(days=1)
    return None


def day_of_the_run(project: Project) -> date:
    """Return today's date in the project's time zone."""
    return datetime.now(ZoneInfo(project.timezone)).date()


def fact_days(loaded: Loaded, today: date) -> list[str]:
    """Return SQL, for any engine, of the days on which rows of a table became facts.

    An account's dates after ``today`` are plans; its end is a fact on the day it became known.
    """
    columns = loaded.columns
    recorded = ["CAST(recorded_at AS DATE)"] if "recorded_at" in columns else []
    if loaded.table.name == "contracts":
        paid = ("started_on", "ended_on", "cancelled_on")
        return [_until(day, today) for day in paid if day in columns] + recorded
    if loaded.table.name != "accounts":
        return [loaded.table.time, *recorded]
    dates = [name for name in ("end_known_on", "ended_on") if name in columns]
    dated = ["started_on", *([f"coalesce({', '.join(dates)})"] if dates else [])]
    return [_until(day, today) for day in dated] + recorded


def _until(day: str, today: date) -> str:
    return f"CASE WHEN {day} <= DATE '{today}' THEN {day} END"


def settled(loaded: Loaded, d: Dialect) -> list[str]:
    """Return SQL for a table's columns, the day each row became known, and the day it was replaced.

    Only tables with recorded_at need it.
    """
    names, table = [*loaded.columns, *loaded.extras], loaded.table
    if "recorded_at" not in names:
        return [d.quoted(name) for name in names]
    known = f"greatest({table.time}, CAST(recorded_at AS DATE))"
    settling = [*(d.quoted(name) for name in names), f"{known} AS known_on"]
    if not loaded.has_versions:
        return settling
    # The order of versions recorded at the same time must not depend on values still hidden.
    hidden = {c for second in table.second_dates for c in (second.column, *second.also)}
    by_cells = ", ".join(
        f"{d.quoted(name)} NULLS LAST" for name in sorted(names, key=lambda name: name in hidden)
    )
    settling.append(
        f"CASE WHEN {table.key} IS NOT NULL THEN min({known}) OVER (PARTITION BY {table.key} "
        f"ORDER BY coalesce(recorded_at, {d.moment(table.time)}), {by_cells} "
        "ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) END"
    )
    if loaded.vanishes:
        settling[-1] = f"least({settling[-1]}, vanished_on)"
    settling[-1] += " AS superseded_on"
    return [*settling, *(["vanished_on"] if loaded.vanishes else [])]


def read_beside(
    project: Project, store: Store, accounts: Loaded, table: Table, frame: Any
) -> pd.DataFrame:
    """Return the columns of ``table`` that a frame has, after checking its rows.

    Columns of the frame must have no missing values. Raises TablesError with every fault.
    """
    try:
        part = open_frame(table.name, frame)
    except UnreadableError as error:
        raise TablesError([error.fault]) from None
    strict = {**project.tables, table.name: TableSource(outside="fault")}
    intake = Intake(replace(project, tables=strict), store, {"accounts": accounts})
    without_gaps = requiring(table, lambda c: c.required or c.name in part.columns)
    try:
        return _read(intake, without_gaps, part)
    finally:
        store.run(f"DROP TABLE IF EXISTS {table.name}")


def _read(intake: Intake, table: Table, part: Part) -> pd.DataFrame:
    intake.load(table, [part])
    faults, more = [*intake.structural, *intake.faults], dict(intake.more)
    if not faults:
        for _, found, others in check_rows(intake, intake.loaded[table.name], frozenset(), False):
            faults += found
            more[found[0].kind] = others
    if faults:
        raise TablesError(faults, more)
    listed = ", ".join(map(quoted, intake.loaded[table.name].columns))
    read = f"SELECT {listed} FROM {table.name} ORDER BY rowid"
    rows: pd.DataFrame = intake.store.connection.cursor().execute(read).df()
    return rows
