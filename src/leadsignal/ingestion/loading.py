"""Open each source and load its rows into the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from leadsignal.config.credentials import hide_secrets, is_url
from leadsignal.config.project import Project
from leadsignal.config.table_settings import AS_WE_WRITE, FILES, TableSource
from leadsignal.errors import Fault, FaultKind, SourceError, one_of
from leadsignal.ingestion.cells import as_attribute, has_plain_cells
from leadsignal.ingestion.check_report import Loaded
from leadsignal.ingestion.column_matching import (
    MAX_OFFERED,
    currency_column,
    extra_columns,
    match_columns,
)
from leadsignal.ingestion.opened_files import (
    columns_in_folder_names,
    markers,
    missing_markers,
    open_file,
    refuse_needless,
    select_rows,
    unpacking_in,
    users_table,
    without_account,
    without_lifetimes,
)
from leadsignal.ingestion.store import ORIGINAL, Store, memory_limit, reading_of
from leadsignal.schema import ALL_TABLES, BY_NAME, Column, Table
from leadsignal.sources.database import RowRequest
from leadsignal.sources.databases import Databases, ObjectStores, fault_of, open_rows
from leadsignal.sources.locate import Located, at_path, locate, located, not_read, unread_files
from leadsignal.sources.parts import (
    CombinedParts,
    Part,
    UnreadableError,
    in_groups,
    open_frame,
    quoted,
    single_part,
)
from leadsignal.sources.project_files import ProjectFiles

LARGE = 500_000_000
"""Size in bytes of Parquet files above which disk space is saved at the expense of time."""


@dataclass
class Intake:
    """The tables, faults and notices of what has been read so far."""

    project: Project
    store: Store
    loaded: dict[str, Loaded] = field(default_factory=dict)
    structural: list[Fault] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    more: dict[FaultKind, int] = field(default_factory=dict)
    notices: list[tuple[str, str]] = field(default_factory=list)
    read: set[Path] = field(default_factory=set)
    queried: list[ProjectFiles] = field(default_factory=list)
    skipped: frozenset[Path] = frozenset()
    """Files whose rows are not needed; of a table with nothing else, the last one is read."""

    def __post_init__(self) -> None:
        self.databases = Databases(self.project.sources)
        self.object_stores = ObjectStores(self.project.sources, Path(self.store.folder) / "copies")
        self.unpacking = unpacking_in(self.store)

    def load_all(self, frames: Mapping[str, Any] | None) -> None:
        """Load every table of the project's folder, or the given frames and paths."""
        sources = self._located() if frames is None else self._frame_parts(frames)
        found = set()
        try:
            for table, opened in sources:
                found.add(table)
                self.load(BY_NAME[table], opened)
                if self.store.is_full:
                    break
        finally:
            self.databases.close()
            for files in self.queried:
                files.close()
        if not {"accounts", "contracts", None} & (
            found | {fault.table for fault in self.structural}
        ):
            self._refuse_no_accounts(self.project.folder if frames is None else None)

    def _refuse_no_accounts(self, folder: Path | None) -> None:
        """Report that accounts are missing, and which files of the folder are not read."""
        place = self.project.url or folder
        where = hide_secrets(str(place)) if place else None
        remedy = "Add accounts.csv or contracts.csv (or .parquet): one of the two is needed."
        if folder and (unread := unread_files(self.project)):
            remedy += (
                f" No table is read from {', '.join(unread[:MAX_OFFERED])}: if one of them holds "
                "the accounts, say so under [tables.accounts] of leadsignal.toml, as in "
                f'path = "{unread[0]}".'
            )
        self.structural.append(
            Fault(where, "accounts", None, None, None, "there is no table accounts", remedy)
        )

    def not_read(self, settings: Path | None) -> tuple[str, ...]:
        """Return the files of the project's folder, or URL, that no table was read from."""
        if self.project.url is not None:
            return tuple(self.object_stores.not_read)
        return not_read(self.project, [*self.read, *([settings] if settings else [])])

    def source(self, table: str) -> TableSource:
        """Return the settings of a table."""
        return self.project.tables.get(table, TableSource())

    def _located(self) -> Iterator[tuple[str, list[Part]]]:
        located: Iterable[Located]
        if self.project.url is not None:
            located = self.object_stores.fetch_folder(self.project.url)
        else:
            located, faults = locate(self.project)
            self.structural += faults
        try:
            for found in located:
                yield found.table, self._open(found)
        except UnreadableError as error:
            self.structural.append(error.fault)

    def _frame_parts(self, frames: Mapping[str, Any]) -> Iterator[tuple[str, list[Part]]]:
        for name in frames:
            if name not in BY_NAME:
                remedy = one_of(BY_NAME, str(name))
                fault = Fault(None, str(name), None, None, None, "is not a table", remedy + ".")
                self.structural.append(fault)
        for name in (table.name for table in ALL_TABLES if table.name in frames):
            frame = frames[name]
            if is_url(frame):
                yield name, self._fetched(name, TableSource(path=frame))
            elif isinstance(frame, str | Path):
                found = at_path(name, Path(), frame)
                if isinstance(found, Fault):
                    self.structural.append(found)
                else:
                    yield name, self._open(found)
            else:
                yield name, list(self._opened(lambda n=name, f=frame: open_frame(n, f)))

    def _open(self, found: Located) -> list[Part]:
        parts: list[Part] = []
        source = self.source(found.table)
        if found.format == "rows":
            return self._rows(found.table, source)
        if found.format == "remote":
            return self._fetched(found.table, source)
        if not found.names:
            self.read.update(found.files)
        last = found.files[-1:] if self.skipped.issuperset(found.files) else ()
        for file, shown in zip(found.files, found.shown(), strict=True):
            if file in self.skipped and file not in last:
                continue
            before = len(parts)
            parts += self._opened(lambda f=file, s=shown: self._open_file(found, f, s, source))
            for part in parts[before:]:
                self.structural += columns_in_folder_names(part, file)
        return parts

    def _open_file(self, found: Located, file: Path, shown: str, source: TableSource) -> Part:
        refuse_needless(found, shown, source)
        return open_file(found.format, found.table, file, shown, source, self.store, self.unpacking)

    def _fetched(self, table: str, source: TableSource) -> list[Part]:
        """Copy the files of a table from an object store, and open the copies."""
        try:
            return self._open(self.object_stores.fetch(table, source))
        except UnreadableError as error:
            self.structural.append(error.fault)
            return []

    def _rows(self, table: str, source: TableSource) -> list[Part]:
        """Open the rows of a database; an unreachable source is reported only once."""
        if source.source == FILES and FILES not in self.project.sources:
            return list(self._opened(lambda: self._of_files(table, str(source.query))))
        try:
            database = self.databases.get(str(source.source))
        except SourceError as error:
            self.structural.append(fault_of(table, error))
            return []
        if database is None:
            return []
        if database.file is not None:
            self.read.add(database.file)
        request = RowRequest(source.table, source.query)
        return list(self._opened(lambda: open_rows(table, request, database)))

    def _of_files(self, table: str, query: str) -> Part:
        """Open the rows of a query over the files of the project's folder."""
        store = self.unpacking.folder / f"{table}.duckdb"
        files = ProjectFiles(self.project.folder, store, memory_limit())
        self.queried.append(files)
        try:
            for name in files.named_in(table, query):
                found = files.located(table, name)
                self.read.update(found.files)
                for file, shown in zip(found.files, found.shown(), strict=True):
                    plain = replace(found, table="query")
                    files.add(name, self._open_file(plain, file, shown, TableSource()))
            ready = files.ready(query)
        except UnreadableError as error:
            raise UnreadableError(replace(error.fault, table=table)) from None
        except SourceError as error:
            raise UnreadableError(fault_of(table, error)) from None
        return open_rows(table, RowRequest(query=ready), files)

    def _opened(self, opening: Any) -> Iterator[Part]:
        try:
            part: Part = opening()
        except UnreadableError as error:
            self.structural.append(error.fault)
        else:
            self.notices += [(part.table, notice) for notice in part.notices]
            yield part

    def load(self, table: Table, parts: list[Part]) -> None:
        """Load the parts of a table into the store, and record their faults."""
        name = table.name
        if name == "accounts" and "contracts" in self.loaded:
            table = without_lifetimes(table)
        matched = self._match_all(table, parts)
        if not parts or any(match is None for match in matched):
            return
        matches = {id(part): match or {} for part, match in zip(parts, matched, strict=True)}
        source = self.source(name)
        if self._load_users(name, source):
            return
        columns = [c.name for c in table.columns if any(c.name in m for m in matched if m)]
        if source.users is not None and "account_id" not in columns:
            columns.insert(0, "account_id")
        used, declared = [set(m.values()) for m in matched if m], source.attributes
        beyond = extra_columns(parts, used, declared) if name == "accounts" else []
        extras = [extra for extra in beyond if extra in declared]
        loaded = Loaded(table, columns, extras, [extra for extra in beyond if extra not in extras])
        self.store.compress_texts(sum(part.bytes for part in parts) > LARGE)
        if any(table.by_column[name].is_money for name in columns):
            named = currency_column(name for p in parts for name in p.columns)
            loaded.currency = "currency" if "currency" in columns else named
        chosen_by = markers(source)
        self.store.create(table, columns, [*loaded.texts, *chosen_by])
        before, faults, more = len(self.structural), len(self.faults), dict(self.more)
        groups = in_groups(parts)
        self._append_all(loaded, groups, matches)
        if len(self.structural) > before and len(groups) < len(parts) and not self.store.is_full:
            # Reading the parts one by one shows which of them is at fault.
            del self.structural[before:], self.faults[faults:]
            loaded.rows, loaded.parts, self.more = 0, [], more
            self._append_all(loaded, [single_part(part) for part in parts], matches)
        if len(self.structural) == before:
            self._read_again(loaded)
        if len(self.structural) == before and (chosen_by or "event_id" in columns):
            self._select(loaded)
        if len(self.structural) == before:
            self._keep(loaded)

    def _read_again(self, loaded: Loaded) -> None:
        """Read columns again, in every other notation, if some of their cells are unread."""
        spelling, table = self.source(loaded.table.name).spelling, loaded.table
        columns = [table.by_column[name] for name in loaded.columns]
        columns = [column for column in columns if has_plain_cells(column, spelling)]
        counted = ", ".join(f"count({quoted(ORIGINAL + column.name)})" for column in columns)
        if not columns:
            return
        (counts,) = self.store.query(f"SELECT {counted} FROM {table.name}")
        for column, unread in zip(columns, counts, strict=True):
            if unread:
                self.store.read_again(table.name, column, self.project.timezone, spelling)

    def _load_users(self, name: str, source: TableSource) -> bool:
        """Load the table that maps users to accounts, if any; return whether that failed."""
        if source.users is None:
            return False
        before, table = len(self.structural), users_table(name)
        self.load(table, self._users_parts(table.name, source.users))
        if len(self.structural) > before:
            return True
        query, twice = self.store.query, "GROUP BY user_id HAVING count(DISTINCT account_id) > 1"
        found = query(f"SELECT min(user_id) FROM (SELECT user_id FROM {table.name} {twice})")[0][0]
        parts = self.loaded.pop(table.name).parts
        if found is not None:
            problem, remedy = "this user has several accounts", "Keep one account per user."
            file = parts[0][0].file if parts else None
            self.structural.append(Fault(file, table.name, None, "user_id", found, problem, remedy))
            return True
        listed = (
            f"SELECT DISTINCT user_id, account_id FROM {table.name} WHERE account_id IS NOT NULL"
        )
        self.store.run(f"CREATE OR REPLACE TABLE {table.name} AS {listed}")
        return False

    def _users_parts(self, name: str, users: Any) -> list[Part]:
        if not isinstance(users, TableSource):
            return list(self._opened(lambda: open_frame(name, users)))
        self.project = replace(self.project, tables={**self.project.tables, name: users})
        found = located(name, users, self.project.folder or Path())
        if isinstance(found, Fault):
            self.structural.append(found)
            return []
        return self._open(found)

    def _select(self, loaded: Loaded) -> None:
        """Drop the rows that the settings exclude, and note how many."""
        name = loaded.table.name
        file = loaded.parts[0][0].file if len(loaded.parts) == 1 else None
        faults, remarks = select_rows(
            self.store, loaded.table, self.source(name), loaded.columns, file
        )
        self.structural += faults
        self.notices += [(name, remark) for remark in remarks]
        loaded.selected = True

    def _append_all(
        self, loaded: Loaded, groups: list[CombinedParts], matches: Mapping[int, dict[str, str]]
    ) -> None:
        """Append groups of parts; after a fault some are missing, and the table is not kept."""
        with self.store.loading() as start_again:
            for group in groups:
                before = len(self.structural)
                self._append(loaded, group, matches[id(group.parts[0])])
                if self.store.is_full:
                    return
                if len(self.structural) > before:
                    start_again()

    def _keep(self, loaded: Loaded) -> None:
        if loaded.rows or loaded.table.name != "accounts":
            self.loaded[loaded.table.name] = loaded
            return
        file = loaded.parts[0][0].file
        remedy = "Export the accounts again."
        self.structural.append(Fault(file, "accounts", None, None, None, "has no rows", remedy))

    def _match_all(self, table: Table, parts: list[Part]) -> list[dict[str, str] | None]:
        """Return `_match` of each part; parts with the same columns are matched once."""
        found: dict[tuple[str, ...], dict[str, str]] = {}
        matched: list[dict[str, str] | None] = []
        for part in parts:
            columns = tuple(part.columns)
            match = found.get(columns) or self._match(table, part)
            matched.append(match)
            if match:
                found[columns] = match
        return matched

    def _match(self, table: Table, part: Part) -> dict[str, str] | None:
        """Return the part's name of each schema column that it has; None after a fault."""
        source = self.source(table.name)
        match, faults, notices = match_columns(without_account(table, source), part, source)
        faults += missing_markers(part, source, table)
        self.structural += faults
        self.notices += [(table.name, notice) for notice in notices]
        return None if faults else match

    def _append(self, loaded: Loaded, group: CombinedParts, match: dict[str, str]) -> None:
        import duckdb

        part = group.whole
        try:
            extras = [name for name in loaded.texts if name in part.columns]
            chosen_by = markers(self.source(part.table))
            part.requested = (*match.values(), *extras, *chosen_by.values())
            types = self.store.types_of(part)
            readings, spelling = {}, self.source(part.table).spelling
            for ours, theirs in match.items():
                column = loaded.table.by_column[ours]
                reading = reading_of(
                    column, part, theirs, types[theirs], self.project.timezone, spelling
                )
                if isinstance(reading, Fault):
                    self.structural.append(reading)
                else:
                    readings[ours] = reading
            for name in extras:
                text = Column(name, "text", "an attribute")
                attribute = reading_of(text, part, name, types[name], "UTC", spelling)
                if not isinstance(attribute, Fault):
                    readings[name] = as_attribute(attribute, spelling)
                elif name in self.source("accounts").attributes:
                    self.structural.append(attribute)
            if not readings:
                return
            for ours, theirs in chosen_by.items():
                text = Column(ours, "text", "what rows are chosen by")
                marker = reading_of(text, part, theirs, types[theirs], "UTC", AS_WE_WRITE)
                if not isinstance(marker, Fault):
                    readings[ours] = marker
            count = self.store.load(part, readings)
            rows = group.rows or [count]
            if sum(rows) != count:
                raise ValueError("the number of rows differs from the one a file states")
        except UnreadableError as error:
            self.structural.append(error.fault)
            return
        except (duckdb.Error, OSError, ValueError, OverflowError) as error:
            if "could not write" in str(error).lower():
                raise
            # Readers raise any of these for a damaged file.
            self.structural.append(self._broken(part, error))
            return
        for one, its_rows in zip(group.parts, rows, strict=True):
            loaded.rows += its_rows
            loaded.parts.append((one, loaded.rows))
            self._note_unread_rows(one)

    def _note_unread_rows(self, part: Part) -> None:
        try:
            faults, more = part.faults()
        except UnreadableError as error:
            self.structural.append(error.fault)
            return
        self.faults += [part.footer.of(fault) for fault in faults] if part.footer else faults
        if more:
            self.more[faults[0].kind] = self.more.get(faults[0].kind, 0) + more

    def _broken(self, part: Part, error: Exception) -> Fault:
        try:
            part.faults()
        except UnreadableError as unreadable:
            return unreadable.fault
        # The message may quote a row, so only the type of the error is shown.
        said = type(error).__name__
        return Fault(
            part.file, part.table, None, None, said, "cannot be read", "Export the file again."
        )
