"""Loading: open each source, match its columns with the schema, and store its rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from leadsignal.config.credentials import hide_secrets, is_url
from leadsignal.config.notation import AS_WE_WRITE
from leadsignal.config.project import FILES, Project, TableSource
from leadsignal.config.toml_files import near, one_of, texts
from leadsignal.errors import Fault, FaultKind, OptionError, SourceError
from leadsignal.ingestion.cells import as_attribute
from leadsignal.ingestion.opened_files import open_file, unpacking_in
from leadsignal.ingestion.selection import (
    markers,
    missing_markers,
    select_rows,
    users_table,
    without_account,
)
from leadsignal.ingestion.store import Store, memory_limit, reading_of
from leadsignal.schema import ALL_TABLES, BY_NAME, Column, Table
from leadsignal.sources.combined_parts import CombinedParts, in_groups, single_part
from leadsignal.sources.database import RowRequest
from leadsignal.sources.databases import Databases, fault_of, open_rows
from leadsignal.sources.frames import open_frame
from leadsignal.sources.locate import (
    Located,
    at_path,
    locate,
    located,
    not_read,
    unread_files,
)
from leadsignal.sources.object_stores import ObjectStores
from leadsignal.sources.parts import Part, UnreadableError
from leadsignal.sources.project_files import ProjectFiles
from leadsignal.sources.wide_tables import unpivoting_query

SYNONYMS = {
    "ended_on": (
        "cancel", "cancell", "cancelation", "cancellation", "churn", "termination", "terminat",
        "contractend", "subscriptionend", "subscriptionended", "endof", "expiration", "expiry",
        "expir", "expires", "validto", "validuntil", "until", "to", "lost", "left", "deactivat",
        "clos", "inactivesinc", "end", "enddatum", "ende", "vertragsende", "kundigung",
    ),
}  # fmt: skip
"""What else a column may be called, as `_stem` returns it; without it every account is active."""
MISSPELT, ALIKE = 0.85, 0.72
MAX_OFFERED = 8
"""From how much likeness on an unknown column is taken for a misspelling, or asked about."""
CURRENCIES = ("currency", "currencycode", "currencyisocode", "arrcurrency")
"""What a column is called that names the currency of a row, in small letters alone."""
LARGE = 500_000_000
"""Bytes of Parquet above which files are read in a way that saves disk space, not time."""


@dataclass
class Loaded:
    """One table in the store: which columns it has, and which part each row came from.

    ``extras`` are the declared attributes of accounts beyond the schema; of ``unread`` columns
    only the names were read. ``currency`` is a column that names the currency of each row's
    amounts; it is only checked. ``derived`` rows are made from contracts; where one ``vanishes``,
    a later correction took it away on its ``vanished_on``. Once rows are ``selected``,
    each keeps its place in the source.
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
        """Whether rows of one key are versions of each other."""
        return self.table.key in self.columns and "recorded_at" in self.columns

    @property
    def texts(self) -> list[str]:
        """Columns beyond the schema that are stored as texts."""
        taken = (*self.extras, *self.columns)
        own = [self.currency] if self.currency and self.currency not in taken else []
        return [*self.extras, *own]

    @property
    def known_on(self) -> str:
        """The SQL of the day a row was known on, once the table is settled."""
        return "known_on" if "recorded_at" in self.columns else self.table.time

    def placed(self, fault: Fault, row: int) -> Fault:
        """Return a fault of a row, put as one of the footer where the file ends with one."""
        part = next((part for part, end in self.parts if row < end), None)
        return part.footer.of(fault) if part and part.footer else fault

    def places(self, rows: list[int]) -> list[tuple[str | None, int]]:
        """Return the file and line of rows of the store."""
        found: dict[int, tuple[str | None, int]] = {}
        first = 0
        for part, end in self.parts:
            inside = [row - first for row in rows if first <= row < end]
            lines = part.lines(inside) if inside else []
            for row, line in zip(inside, lines, strict=True):
                found[row + first] = (part.file, line)
            first = end
        return [found[row] for row in rows]


@dataclass
class Intake:
    """Tables, faults by kind and remarks of what has been read so far."""

    project: Project
    store: Store
    loaded: dict[str, Loaded] = field(default_factory=dict)
    structural: list[Fault] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    more: dict[FaultKind, int] = field(default_factory=dict)
    notices: list[tuple[str, str]] = field(default_factory=list)
    read: set[Path] = field(default_factory=set)
    queried: list[ProjectFiles] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.databases = Databases(self.project.sources)
        self.object_stores = ObjectStores(self.project.sources, Path(self.store.folder) / "copies")
        self.unpacking = unpacking_in(self.store)

    def load_all(self, frames: Mapping[str, Any] | None) -> None:
        """Load every table of the project's folder, or of the frames and paths given."""
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
        """Tell that accounts are missing, and which files of the folder nothing is known of."""
        where = (
            hide_secrets(str(self.project.url or folder)) if self.project.url or folder else None
        )
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
        """Return what of the project's folder, or of its URL, no table was read from."""
        if self.project.url is not None:
            return tuple(self.object_stores.not_read)
        return not_read(self.project, [*self.read, *([settings] if settings else [])])

    def source(self, table: str) -> TableSource:
        """Return the settings of a table."""
        return self.project.tables.get(table, TableSource())

    def _located(self) -> Iterator[tuple[str, list[Part]]]:
        if self.project.url is not None:
            yield from self._in_folder(self.project.url)
            return
        located, faults = locate(self.project)
        self.structural += faults
        for found in located:
            yield found.table, self._open(found)

    def _in_folder(self, url: str) -> Iterator[tuple[str, list[Part]]]:
        """Open the tables of a folder in an object store."""
        try:
            for found in self.object_stores.fetch_folder(url):
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
        for file, shown in zip(found.files, found.shown(), strict=True):
            before = len(parts)
            parts += self._opened(lambda f=file, s=shown: self._open_file(found, f, s, source))
            for part in parts[before:]:
                self.structural += _in_folder_names(part, file)
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
        """Open the rows of a database; report a source that cannot be reached only once."""
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
        """Load the parts of a table into the store; what is wrong with them is kept."""
        name = table.name
        if name == "accounts" and "contracts" in self.loaded:
            table = _without_lifetimes(table)
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
        beyond = (
            _extras(parts, [set(m.values()) for m in matched if m], self.source(name).attributes)
            if name == "accounts"
            else []
        )
        declared = self.source(name).attributes
        extras = [extra for extra in beyond if extra in declared]
        loaded = Loaded(table, columns, extras, [extra for extra in beyond if extra not in extras])
        self.store.compress_texts(sum(part.bytes for part in parts) > LARGE)
        if any(table.by_column[name].is_money for name in columns):
            named = currency_column(name for p in parts for name in p.columns)
            loaded.currency = "currency" if "currency" in columns else named
        chosen_by = markers(table, source)
        self.store.create(table, columns, [*loaded.texts, *chosen_by])
        before, faults, more = len(self.structural), len(self.faults), dict(self.more)
        groups = in_groups(parts)
        self._append_all(loaded, groups, matches)
        if len(self.structural) > before and len(groups) < len(parts) and not self.store.is_full:
            # Read one by one, they say which of them it is, and what is wrong with it.
            del self.structural[before:], self.faults[faults:]
            loaded.rows, loaded.parts, self.more = 0, [], more
            self._append_all(loaded, [single_part(part) for part in parts], matches)
        if len(self.structural) == before and (chosen_by or "event_id" in columns):
            self._select(loaded)
        if len(self.structural) == before:
            self._keep(loaded)

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
        file = self._file(table.name)
        del self.loaded[table.name]
        if found is not None:
            problem, remedy = "this user has several accounts", "Keep one account a user."
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

    def _file(self, table: str) -> str | None:
        loaded = self.loaded.get(table)
        return loaded.parts[0][0].file if loaded and loaded.parts else None

    def _select(self, loaded: Loaded) -> None:
        """Leave rows out that the settings leave out, and say how many."""
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
        """Append groups of parts, all or, after a fault, not all: such a table is not kept."""
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
        """Return what `_match` does of each part; parts of the same columns are matched once."""
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
        """Return their name of each of our columns that the part has, or None after a fault."""
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
            chosen_by = markers(loaded.table, self.source(part.table))
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
                raise ValueError("a file holds another number of rows than it says")
        except UnreadableError as error:
            self.structural.append(error.fault)
            return
        except (duckdb.Error, OSError, ValueError, OverflowError) as error:
            if "could not write" in str(error).lower():
                raise
            # A damaged file makes the readers raise any of these.
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
        # What the reader says may quote a row; its kind says enough.
        said = type(error).__name__
        return Fault(
            part.file, part.table, None, None, said, "cannot be read", "Export the file again."
        )


def refuse_needless(found: Located, shown: str, source: TableSource) -> None:
    """Raise UnreadableError for a setting that files of another format have."""
    needless = {
        "sheet": source.sheet and found.format != "workbook",
        "header_line": source.header_line and found.format in ("json", "parquet"),
        "footer": source.footer and found.format in ("json", "parquet"),
    }
    for name, is_needless in needless.items():
        if is_needless:
            what = ".xlsx" if name == "sheet" else ".csv and .xlsx"
            problem = f"{name} is set, which only {what} files have"
            remedy = f"Take {name} out of [tables.{found.table}]."
            raise UnreadableError(Fault(shown, found.table, None, None, None, problem, remedy))


def _without_lifetimes(accounts: Table) -> Table:
    """Return the table of accounts as it may be where contracts say when accounts started."""
    columns = [replace(c, required=c.name == "account_id") for c in accounts.columns]
    return replace(accounts, columns=tuple(columns))


def _in_folder_names(part: Part, file: Path) -> Iterator[Fault]:
    """Yield faults of columns whose values are in folder names, as in series=api/."""
    for name in file.parts[:-1]:
        column, sign, _ = name.partition("=")
        if sign and column in BY_NAME[part.table].by_column and column not in part.columns:
            problem = "its values are in the names of folders, which are not read"
            remedy = "Write the column into the files too."
            yield Fault(part.file, part.table, None, column, name, problem, remedy)


def _extras(parts: list[Part], taken: list[set[str]], attributes: tuple[str, ...]) -> list[str]:
    """Return the columns of accounts that the schema does not name, in the order of their names.

    From a database only those come that are declared as attributes.
    """
    own = {*BY_NAME["accounts"].by_column, "known_on", "superseded_on"}
    extras: dict[str, str] = {}
    for part, theirs in zip(parts, taken, strict=True):
        for name in part.columns:
            needed = not part.on_demand or name in attributes
            if needed and name not in theirs and name and name.lower() not in own:
                extras.setdefault(name.lower(), name)
    return sorted(extras.values())


def match_columns(
    table: Table, part: Part, source: TableSource
) -> tuple[dict[str, str], list[Fault], list[str]]:
    """Return their name of each of our columns, faults of missing ones, and remarks."""
    theirs = list(part.columns)
    mapped = {ours: name for ours, name in source.columns.items() if ours in table.by_column}
    match = {name: name for name in table.by_column if name in theirs}
    match |= {ours: name for ours, name in mapped.items() if name in theirs}
    free = [name for name in theirs if name not in match.values() and name not in source.attributes]
    certain = {_near_column(column.name, free, 1.0) for column in table.columns}
    faults = [
        _not_there(table, part, ours, name, theirs)
        for ours, name in mapped.items()
        if name not in theirs
    ]
    notices: list[str] = []
    if wide := _wide(table, part, source, match):
        return match, [wide], notices
    for column in table.columns:
        if column.name in match or column.name in source.columns:
            continue
        own = _near_column(column.name, free, 1.0)
        others = [own] if own else [name for name in free if name not in certain]
        meant = _near_column(column.name, others, MISSPELT)
        if column.required:
            faults.append(_missing(table, part, column, others))
        elif meant:
            faults.append(_misspelt(table, part, column, meant))
        elif alike := _near_column(column.name, others, ALIKE) or _same_stem(column.name, others):
            notices.append(
                f"column {alike!r} is not read; if it is {column.name}, map it under "
                f'[tables.{table.name}]: columns = {{ {column.name} = "{alike}" }}'
            )
    return match, faults, notices


def _wide(table: Table, part: Part, source: TableSource, match: Mapping[str, str]) -> Fault | None:
    """Return the fault of a table with a column for each month, and the query that reads it."""
    if part.file is None or table.name not in BY_NAME or table.time in match:
        return None
    theirs = [name for name in part.columns if name not in match.values()]
    account = match.get("account_id") or _near_column("account_id", theirs, MISSPELT)
    query = unpivoting_query(table, source.path or part.file, account, theirs)
    if query is None or source.query:
        return None
    place = f"{'in place of path ' if source.path else ''}under [tables.{table.name}]"
    remedy = f'Make a row of each month, by this {place}: query = """{query}""".'
    problem = "has a column for each month, not a row"
    return Fault(part.file, table.name, part.header_line, None, None, problem, remedy)


def currency_column(names: Iterable[str]) -> str | None:
    """Return the column that names the currency of each row, if there is one.

    >>> currency_column(["Amount", "CurrencyIsoCode"])
    'CurrencyIsoCode'
    """
    plain = {re.sub(r"[^a-z]", "", name.lower()): name for name in names}
    return next((plain[name] for name in CURRENCIES if name in plain), None)


def _near_column(name: str, theirs: Iterable[str], cutoff: float) -> str | None:
    plain = {re.sub(r"[^a-z0-9]", "", other.lower()): other for other in theirs}
    bare = name.replace("_", "")
    found = bare if bare in plain else near(bare, plain, cutoff)
    return plain[found] if found else None


def _same_stem(name: str, theirs: Iterable[str]) -> str | None:
    """Return the name that differs only in how it says that it is a date: End for ended_on."""
    stems = {_stem(other): other for other in theirs}
    words = (_stem(name), *SYNONYMS.get(name, ()))
    return next((stems[word] for word in words if word in stems), None)


def _stem(name: str) -> str:
    """Return a name without what marks a date.

    >>> _stem("ended_on"), _stem("End"), _stem("EndDate"), _stem("close_date"), _stem("closed_at")
    ('end', 'end', 'end', 'clos', 'clos')
    """
    bare = re.sub(r"(on|at|date|day|time)$", "", re.sub(r"[^a-z0-9]", "", name.lower()))
    return re.sub(r"(ed|e)$", "", bare) or bare


def _not_there(table: Table, part: Part, ours: str, name: str, theirs: list[str]) -> Fault:
    remedy = f"{one_of(theirs, name)}."
    problem = f"there is no column {name!r}, which {ours} is mapped to"
    return Fault(part.file, table.name, part.header_line, ours, name, problem, remedy)


def _missing(table: Table, part: Part, column: Column, others: list[str]) -> Fault:
    meant = _same_stem(column.name, others) or _near_column(column.name, others, 0.6)
    mapping = f'columns = {{ {column.name} = "{meant or "their name"}" }}'
    remedy = f"Add it ({column.meaning}), or map it under [tables.{table.name}]: {mapping}."
    if not meant and others:
        listed = ", ".join(map(repr, others[:MAX_OFFERED]))
        remedy += f" Not read so far: {listed}{', …' if len(others) > MAX_OFFERED else ''}."
    problem = f"the column is missing{f'; is it {meant!r}?' if meant else ''}"
    return Fault(part.file, table.name, part.header_line, column.name, None, problem, remedy)


def _misspelt(table: Table, part: Part, column: Column, meant: str) -> Fault:
    mapping = f'columns = {{ {column.name} = "{meant}" }}'
    remedy = f"Rename it to {column.name}, or map it under [tables.{table.name}]: {mapping}."
    problem = f"is not a known column; is it {column.name}?"
    return Fault(part.file, table.name, part.header_line, meant, None, problem, remedy)


def with_options(
    project: Project,
    attributes: Iterable[str] | Mapping[str, str] | None,
    columns: Mapping[str, Mapping[str, str]] | None,
) -> Project:
    """Return the project with attributes and column names given as arguments.

    Raises OptionError for a table or a column that is none of ours.
    """
    tables = dict(project.tables)
    for name, mapping in (columns or {}).items():
        for known, option in [(BY_NAME, name), *((_columns_of(name), ours) for ours in mapping)]:
            if option not in known:
                raise OptionError(f"columns: {option!r} is not known", one_of(known, option))
        tables[name] = replace(tables.get(name, TableSource()), columns=dict(mapping))
    if attributes is not None:
        kinds = dict(attributes) if isinstance(attributes, Mapping) else {}
        names = texts(attributes if isinstance(attributes, str) else list(attributes))
        accounts = tables.get("accounts", TableSource())
        tables["accounts"] = replace(accounts, attributes=names, attribute_kinds=kinds)
    return replace(project, tables=tables)


def _columns_of(table: str) -> Mapping[str, Column]:
    return BY_NAME[table].by_column if table in BY_NAME else {}
