"""Queries over the files of a project's folder, without access to anything else."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.config.credentials import Access, Source, is_url
from leadsignal.config.project import ANALYSIS_FILE, PROJECT_FILE, Project
from leadsignal.config.table_settings import FILES, TableSource
from leadsignal.errors import Fault, SourceError
from leadsignal.files.outputs import Inputs, note_inputs
from leadsignal.schema import ALL_TABLES
from leadsignal.sources.database import (
    BATCH_ROWS,
    ONE_SELECT,
    REFUSED,
    Database,
    RowRequest,
    refusal,
)
from leadsignal.sources.locate import Located, at_path, endings, known_format, locate, located
from leadsignal.sources.parts import Part, UnreadableError, literal, quoted, unreadable
from leadsignal.workers import threads

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

WITHOUT_EXTENSIONS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    # Do not write rows of a query to the current folder.
    "temp_directory": "",
}
OWN_NAMES = ("memory", "temp", "system", "main", "")
"""Names of DuckDB's own databases; a file with such a name is attached under another."""
_ACTS = re.compile(
    r"\b(arrow_scan\w*|pandas_scan|python_\w+|\w+_external_resource\w*|write_log|\w+_logging|"
    r"\w+_profiling|truncate_duckdb_logs|json_execute_serialized_sql|query|getenv)\b\"?\s*\(",
    re.IGNORECASE,
)
"""Functions that read this process's memory, store something, or run another query."""
MAX_FILES = 10_000
"""Maximum number of files in a project's folder for queries that may read files in it."""


class DuckdbDatabase(Database):
    """A DuckDB file, read as Arrow; queries may read but not write."""

    def __init__(self, access: Access) -> None:
        self.access = access
        path = duckdb_path(access)
        if not path.is_file():
            problem = f"there is no file {path} for source {access.name!r}"
            raise SourceError(problem, "Correct the path in its url: duckdb:///file.duckdb")
        refuse_others(access, path)
        self.file = path
        # Attach it to a database of our own, so that these settings affect no other connection.
        self.connection = _isolated(":memory:")
        name = quoted(path.stem if path.stem.lower() not in OWN_NAMES else "source")
        self.connection.execute(f"ATTACH {literal(str(path))} AS {name} (READ_ONLY, TYPE duckdb)")
        self.connection.execute(f"USE {name}")
        if access.folder is not None and _holds_plain_files(access.folder):
            folder = literal(os.path.abspath(access.folder))
            self.connection.execute(f"SET allowed_directories = [{folder}]")
        self._lock()
        self.connection.execute("BEGIN TRANSACTION READ ONLY")

    def _lock(self) -> None:
        """Refuse access to anything else, for good."""
        self.connection.execute("SET enable_external_access = false")
        self.connection.execute("SET lock_configuration = true")

    def refuse_writing(self, query: str) -> None:
        """Refuse a query unless DuckDB itself parses it as a single SELECT."""
        import duckdb

        try:
            statements = duckdb.extract_statements(query)
        except duckdb.Error as error:
            raise refusal(self.access, error, RowRequest(query=query)) from None
        if len(statements) != 1:
            raise SourceError("the query is not one statement", ONE_SELECT)
        if statements[0].type != duckdb.StatementType.SELECT:
            raise SourceError("the query is not a SELECT", ONE_SELECT)
        acts = _ACTS.search(query)
        if acts:
            raise SourceError(f"the query calls {acts[1]}", ONE_SELECT)

    def columns(self, request: RowRequest) -> list[str]:
        """Return the names of the columns."""
        cursor = self.connection.execute(f"SELECT * FROM {request.relation()} WHERE 1 = 0")
        return [str(column[0]) for column in cursor.description]

    def rows(
        self, request: RowRequest, names: list[str]
    ) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Return the schema of the named columns, and their rows in batches."""
        listed = ", ".join(quoted(name) for name in names)
        found: Any = self.connection.sql(f"SELECT {listed} FROM {request.relation()}")
        # DuckDB 2 renamed this method.
        stream = getattr(found, "to_arrow_reader", None) or found.fetch_arrow_reader
        reader = stream(BATCH_ROWS)
        return reader.schema, iter(reader)

    def tables(self) -> list[str]:
        """Return the names of tables and views, with the schema unless it is main."""
        found = self.connection.execute(
            "SELECT CASE WHEN table_schema = 'main' THEN table_name "
            "ELSE table_schema || '.' || table_name END FROM information_schema.tables ORDER BY 1"
        )
        return [str(row[0]) for row in found.fetchall()]

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


def _isolated(place: str, **config: Any) -> duckdb.DuckDBPyConnection:
    """Return a connection without extensions, and without Python's variables as tables."""
    import duckdb

    config = {**WITHOUT_EXTENSIONS, "threads": threads(), **config}
    connection = duckdb.connect(place, config=config)
    connection.execute("SET TimeZone = 'UTC'")
    # An unknown table name must not be resolved to a Python variable.
    for setting in ("python_enable_replacements", "python_enable_replacement_scans"):
        with suppress(duckdb.CatalogException):
            connection.execute(f"SET {setting} = false")
    return connection


def _holds_plain_files(folder: Path) -> bool:
    """Return whether a folder contains only regular files and folders, and not too many of them.

    A link may lead out of the folder, and reading a pipe may block forever.
    """
    seen = 0
    for where, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            seen += 1
            mode = os.lstat(os.path.join(where, name)).st_mode
            if seen > MAX_FILES or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                return False
    return True


def refuse_others(access: Access, path: Path) -> None:
    """Refuse files of other kinds, for some of which DuckDB would download an extension."""
    with path.open("rb") as file:
        if file.read(12)[8:] != b"DUCK":
            problem = f"{path}, of source {access.name!r}, is not a DuckDB file"
            raise SourceError(problem, "Correct the path in its url, or the word before its colon")


def duckdb_path(access: Access) -> Path:
    """Return the file that duckdb:///file.duckdb names, relative to the project's folder."""
    path = access.url.partition(":")[2].partition("?")[0]
    return access.file(path.removeprefix("///") if path.startswith("///") else path)


# Files of a project -------------------------------------------------------------------------------


_READ = re.compile(r"(?i)\bread_\w+\s*\(\s*('(?:[^']|'')*')\s*\)")
_NAME = re.compile(r"'((?:[^']|'')*)'|\"((?:[^\"]|\"\")*)\"")
_FROM = re.compile(r"(?i)\b(from|join|unpivot|pivot)\s*\(?\s*$")
_PLAIN = (
    (r"-?(0|[1-9]\d{0,17})", "BIGINT"),
    (r"-?(0|[1-9]\d{0,14})([.]\d+)?", "DOUBLE"),
    (r"\d{4}-\d{2}-\d{2}", "DATE"),
    (r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}([.]\d+)?)?", "TIMESTAMP"),
)
"""Patterns of texts that are converted if all texts of a column match; no zero is lost."""


class ProjectFiles(DuckdbDatabase):
    """The files named in a query, as tables of a database without access to anything else."""

    def __init__(self, folder: Path | None, store: Path, memory: str) -> None:
        self.folder = folder
        self.access = Access("files", "", None, {}, (), folder)
        self.file = None
        store.parent.mkdir(exist_ok=True)
        spill = str(store.parent / "spill")
        self.connection = _isolated(str(store), memory_limit=memory, temp_directory=spill)
        self.added: set[str] = set()

    def named_in(self, table: str, query: str) -> Iterator[str]:
        """Yield the files named in a query; raises UnreadableError if one does not exist."""
        if self.folder is None:
            remedy = "Give a folder or a .toml file, which paths can start from."
            raise unreadable(table, None, "there is no folder of files to query", remedy)
        seen: set[str] = set()
        for name, is_table in names_in(query):
            if name in seen:
                continue
            if is_table or isinstance(at_path(table, self.folder, name), Located):
                seen.add(name)
                yield name

    def located(self, table: str, name: str) -> Located:
        """Return the files with a name, all of them inside the folder."""
        home = os.path.realpath(self.folder or Path())
        path = os.path.realpath(os.path.join(home, name))
        if os.path.isabs(name) or not path.startswith(home + os.sep):
            remedy = "Write a path that starts from the project's folder and stays in it."
            raise unreadable(table, name, "is outside the project's folder", remedy)
        found = at_path(table, Path(home), name)
        if isinstance(found, Fault):
            raise UnreadableError(found)
        for file in found.files:
            if not os.path.realpath(file).startswith(home + os.sep):
                remedy = "Copy the file into the project's folder."
                raise unreadable(table, name, "leads outside the project's folder", remedy)
        return found

    def add(self, name: str, part: Part) -> None:
        """Append a file to the table with a name; raises UnreadableError if rows are damaged."""
        store = quoted(f"rows of {name}")
        if part.reader is not None:
            self.connection.register("incoming", part.reader())
        listed = ", ".join(f"{sql} AS {quoted(column)}" for column, sql in part.columns.items())
        rows = f"SELECT {listed} FROM {part.relation}"
        if name in self.added:
            self.connection.execute(f"INSERT INTO {store} BY NAME {rows}")
        else:
            self.connection.execute(f"CREATE TABLE {store} AS {rows}")
        self.added.add(name)
        if part.reader is not None:
            self.connection.unregister("incoming")
        found, _ = part.faults()
        if found:
            raise UnreadableError(found[0])

    def ready(self, query: str) -> str:
        """Restrict the database to the files added, and return the query to run."""
        self.refuse_writing(query)
        query = _READ.sub(r"\1", query)
        left = re.search(r"(?i)\bread_\w+\s*\(", query)
        if left:
            remedy = "Name the file alone, as in FROM 'event.csv': it is read as a table is"
            raise SourceError(f"the query calls {left[0].strip('( ')}", remedy)
        self._lock()
        self._create_views(typed=True)
        if not self._runs(query):
            # The query may combine columns, which fails for different types but not for texts.
            self._create_views(typed=False)
            if not self._runs(query):
                self._create_views(typed=True)
        return query

    def _runs(self, query: str) -> bool:
        import duckdb

        try:
            self.columns(RowRequest(query=query))
        except duckdb.Error:
            return False
        return True

    def _create_views(self, typed: bool) -> None:
        for name in sorted(self.added):
            rows = quoted(f"rows of {name}")
            described = self.connection.execute(f"DESCRIBE {rows}").fetchall()
            kinds = self._plain_kinds(rows, [row[0] for row in described if row[1] == "VARCHAR"])
            listed = ", ".join(
                f"CAST({quoted(row[0])} AS {kinds[row[0]]}) AS {quoted(row[0])}"
                if typed and row[0] in kinds
                else quoted(row[0])
                for row in described
            )
            view = f"CREATE OR REPLACE VIEW {quoted(name)} AS SELECT {listed} FROM {rows}"
            self.connection.execute(view)

    def _plain_kinds(self, rows: str, texts: list[str]) -> dict[str, str]:
        """Return the types of text columns in which all values are in plain notation."""
        checks = [
            f"bool_and(regexp_full_match({quoted(name)}, '{pattern}') "
            f"AND TRY_CAST({quoted(name)} AS {kind}) IS NOT NULL)"
            for name in texts
            for pattern, kind in _PLAIN
        ]
        if not checks:
            return {}
        found: Any = self.connection.execute(f"SELECT {', '.join(checks)} FROM {rows}").fetchone()
        kinds: dict[str, str] = {}
        for place, name in enumerate(texts):
            verdicts = found[place * len(_PLAIN) : (place + 1) * len(_PLAIN)]
            plain = [kind for (_, kind), yes in zip(_PLAIN, verdicts, strict=True) if yes]
            kinds |= {name: plain[0]} if plain else {}
        return kinds


def names_in(query: str) -> Iterator[tuple[str, bool]]:
    """Yield possible file names in a query, and whether each is in the position of a table.

    >>> list(names_in("SELECT 'x' FROM read_csv('a.csv') WHERE file = 'b.csv'"))
    [('a.csv', True), ('b.csv', False)]
    """
    query = _READ.sub(r"\1", query)
    for found in _NAME.finditer(query):
        name = (found[1] or found[2] or "").replace("''", "'").replace('""', '"')
        if known_format(name) is not None or "*" in name or "/" in name:
            yield name, bool(_FROM.search(query[: found.start()]))


# Inputs -------------------------------------------------------------------------------------------


def note_project(project: Project, origin: object = None) -> None:
    """Record the inputs of a project; ``origin`` is the user's folder, file or tables."""
    key: object = project.folder or tuple(sorted(map(str, _paths_in(origin))))
    if isinstance(origin, str | Path):
        key = os.path.abspath(origin)
    note_inputs(inputs_of(project, origin), key=key)


def inputs_of(project: Project, origin: object = None) -> Inputs:
    """Return the files and folders that a project reads, whether they exist or not."""
    here = project.folder or Path()
    home = project.folder and Path(os.path.realpath(project.folder))
    paths = [*_named(project, here), *(path.absolute() for path in _paths_in(origin))]
    if project.folder is not None:
        paths += [here / name for name in _conventional() if (here / name).exists()]
    patterns = [str(path) for path in paths if any(sign in str(path) for sign in "*?[")]
    plain = [
        Path(os.path.realpath(path.expanduser())) for path in paths if str(path) not in patterns
    ]
    folders = frozenset(path for path in plain if path.is_dir() and path != home)
    return Inputs(
        home,
        frozenset(path for path in plain if not path.is_dir()),
        folders,
        frozenset(_conventional()) if home else frozenset(),
        tuple(os.path.join(os.path.realpath(Path(p).parent), Path(p).name) for p in patterns),
    )


def _conventional() -> Iterator[str]:
    """Yield the names of files that are read from a project's folder by default."""
    yield from (PROJECT_FILE, ANALYSIS_FILE)
    for table in ALL_TABLES:
        yield from (table.name, *(f"{table.name}{end}" for end in endings()))


def _named(project: Project, here: Path) -> Iterator[Path]:
    """Yield the paths named in the project; relative ones start from its folder."""
    if project.analysis:
        yield Path(project.analysis)
    for source in project.tables.values():
        if source.path and not is_url(source.path):
            yield here / Path(source.path).expanduser()
        yield from (here / name for name, _ in names_in(source.query or ""))
        if isinstance(source.users, TableSource) and source.users.path:
            yield here / Path(source.users.path).expanduser()
    for named in project.sources.values():
        yield from _of_source(named)


def _of_source(source: Source) -> Iterator[Path]:
    if source.credentials:
        yield (source.folder or Path()) / source.credentials.expanduser()
    scheme, found, rest = (source.url or "").partition(":///")
    if found and scheme and rest:
        yield (source.folder or Path()) / Path(rest.partition("?")[0]).expanduser()


def _paths_in(origin: object) -> list[Path]:
    """Return the paths among the user's tables, or that of the folder or file."""
    if isinstance(origin, Mapping):
        content: Mapping[Any, Any] = origin
        return [
            Path(one) for one in content.values() if isinstance(one, str | Path) and not is_url(one)
        ]
    if isinstance(origin, str | Path) and Path(origin).suffix == ".toml":
        return [Path(origin)]
    return []


# Files read ---------------------------------------------------------------------------------------


_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
_CALLED = re.compile(r"([\w\"']+)\s*\(")
_CHANGING = re.compile(r"(?i)--|/\*|\$|\b(sample|tablesample|current_\w+|localtime\w*)\b")
"""Comments, parameters, samples, and keywords for the current date and time."""


def files_read(project: Project) -> list[Located] | None:
    """Return the files that all rows of a project come from; None if some come from elsewhere.

    Other sources are databases, object stores, frames, and queries whose result may change with
    time. Also return None if files are missing.
    """
    if project.url is not None:
        return None
    found, faults = locate(project)
    requested: list[tuple[TableSource, Located | Fault]] = [
        (project.tables.get(one.table, TableSource()), one) for one in found
    ]
    for name, source in project.tables.items():
        if isinstance(source.users, TableSource):
            requested.append((source.users, located(name, source.users, project.folder or Path())))
        elif source.users is not None:
            return None
    files = [_files_of(project, *one) for one in requested]
    if faults or None in files:
        return None
    return [one for some in files for one in some or ()]


def _files_of(
    project: Project, source: TableSource, found: Located | Fault
) -> list[Located] | None:
    if isinstance(found, Fault) or found.format == "remote":
        return None
    if found.format != "rows":
        return [found]
    query = source.query or ""
    of_files = source.source == FILES and FILES not in project.sources
    if not of_files or not is_repeatable(query):
        return None
    folder = project.folder or Path()
    named = [(at_path(found.table, folder, name), is_table) for name, is_table in names_in(query)]
    if any(is_table and isinstance(one, Fault) for one, is_table in named):
        return None
    return [one for one, _ in named if isinstance(one, Located)]


def is_repeatable(query: str) -> bool:
    """Return whether a query is certain to give the same result for the same rows at any time.

    >>> is_repeatable("SELECT * FROM 'a.csv' WHERE coalesce(x, '') <> ''")
    True
    >>> is_repeatable("SELECT * FROM 'a.csv' WHERE day < today()")
    False
    """
    plain = _QUOTED.sub(lambda text: text[0][0] * 2, query)
    called = {name.lower() for name in _CALLED.findall(plain)}
    return called <= {*REFUSED["repeatable"]} and not _CHANGING.search(plain)
