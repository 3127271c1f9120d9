"""Databases and object stores of a project.

Each database is opened once, and its rows are read in batches. Files from object stores (or
anything else that fsspec opens) are copied to disk; a copy is checked like any other file, with
line numbers.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from leadsignal.config.credentials import (
    Access,
    Source,
    hide_secrets,
    installed_only,
    named_source,
    open_source,
    refuse_unknown,
    secrets_of,
)
from leadsignal.config.table_settings import TableSource
from leadsignal.errors import Fault, OptionError, SourceError, quiet
from leadsignal.schema import ALL_TABLES
from leadsignal.sources.database import ADBC_DRIVERS, INSTALL, Database, RowRequest, refusal
from leadsignal.sources.locate import (
    HIDDEN,
    Located,
    conventional_names,
    ending,
    is_data,
    known_format,
    of_one_ending,
    stem,
    why_unusable,
)
from leadsignal.sources.parts import Part, UnreadableError, unreadable
from leadsignal.sources.project_files import DuckdbDatabase
from leadsignal.sources.sqlalchemy_rows import AdbcDatabase, SqlalchemyDatabase

if TYPE_CHECKING:
    import pyarrow as pa


def open_database(access: Access) -> Database:
    """Connect to a source; raises SourceError, without secrets."""
    try:
        with installed_only():
            return _opened(access)
    except SourceError:
        raise
    # Drivers may raise any exception, and its message may contain the URL with the password.
    except Exception as error:  # noqa: BLE001
        raise refusal(access, error) from None


def _opened(access: Access) -> Database:
    if access.driver or access.scheme in ADBC_DRIVERS:
        return AdbcDatabase(access, access.driver or ADBC_DRIVERS[access.scheme])
    if access.scheme == "duckdb":
        return DuckdbDatabase(access)
    return SqlalchemyDatabase(access)


class Databases:
    """The connections of one reading; each source is opened once, so that its tables agree."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources = sources
        self.opened: dict[str, Database | None] = {}

    def get(self, name: str) -> Database | None:
        """Return the connection to a source, or None if connecting failed before.

        Raises SourceError only the first time, so that it is reported once and not per table.
        """
        if name not in self.opened:
            self.opened[name] = None
            self.opened[name] = open_database(open_source(named_source(self.sources, name)))
        return self.opened[name]

    def close(self) -> None:
        """Close all connections."""
        for database in self.opened.values():
            if database is not None:
                database.close()
        self.opened = {}


def open_rows(table: str, request: RowRequest, database: Database) -> Part:
    """Return a table or a query of a database as a part; raises UnreadableError."""
    try:
        if request.query is not None:
            database.refuse_writing(request.query)
        names = database.columns(request)
    except Exception as error:  # noqa: BLE001
        raise UnreadableError(_fault(table, database, error, request)) from None
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        problem, remedy = "the query has this column twice", "Give one of them another name."
        raise unreadable(table, None, problem, remedy, column=twice[0])
    columns = {name: f"c{index}" for index, name in enumerate(names)}
    part = Part(table, None, columns, on_demand=True)
    failed: list[Fault] = []

    def read() -> pa.RecordBatchReader:
        import pyarrow as pa

        needed = [name for name in names if name in part.requested]
        try:
            schema, batches = database.rows(request, needed)
        except Exception as error:  # noqa: BLE001
            raise UnreadableError(_fault(table, database, error, request)) from None
        schema = pa.schema(
            [pa.field(columns[name], schema.field(i).type) for i, name in enumerate(needed)]
        )
        rows = _telling(batches, schema, failed, lambda e: _fault(table, database, e, request))
        return pa.RecordBatchReader.from_batches(schema, rows)

    def faults() -> tuple[list[Fault], int]:
        if failed:
            raise UnreadableError(failed[0])
        return [], 0

    part.reader, part.faults = read, faults
    return part


def _telling(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, failed: list[Fault], to_fault: Any
) -> Iterator[pa.RecordBatch]:
    """Pass batches on, and record an error that ends the stream as a fault."""
    import pyarrow as pa

    try:
        for batch in batches:
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
    except Exception as error:  # noqa: BLE001
        failed.append(to_fault(error))
        raise pa.ArrowInvalid("the rows of a database ended early") from None


def _fault(table: str, database: Database, error: BaseException, request: RowRequest) -> Fault:
    refused = error if isinstance(error, SourceError) else None
    refused = refused or refusal(database.access, error, request, database)
    return fault_of(table, refused)


def fault_of(table: str, refused: SourceError) -> Fault:
    """Convert a SourceError to a fault of a table."""
    remedy = refused.remedy if refused.remedy.endswith("?") else f"{refused.remedy}."
    return Fault(None, table, None, None, refused.said, refused.problem, remedy)


# Object stores ------------------------------------------------------------------------------------


class ObjectStores:
    """The object stores of one reading, and the folder to which files are copied."""

    def __init__(self, sources: Mapping[str, Source], folder: Path) -> None:
        self.sources = sources
        self.folder = folder
        self.copied = 0
        self.not_read: list[str] = []

    def fetch(self, table: str, source: TableSource) -> Located:
        """Copy the files of a table; raises UnreadableError, without secrets."""
        path = str(source.path)
        access = Access("", path, None, {}, secrets_of(path))
        try:
            if source.source is not None:
                access = open_source(named_source(self.sources, source.source))
        except SourceError as error:
            raise UnreadableError(fault_of(table, error)) from None
        found: Located = self._guarded(table, access, lambda: self._copy(table, access, path))
        return found

    def fetch_folder(self, url: str) -> Iterator[Located]:
        """Copy the files of a folder that are named after tables, one table at a time."""
        access = Access("", url, None, {}, secrets_of(url))
        if access.scheme.partition("+")[0] in {*ADBC_DRIVERS, "duckdb", "sqlite", "mysql"}:
            problem = "is a database, not a folder of tables"
            remedy = "Name it in a leadsignal.toml, as url of a section [sources.NAME]."
            raise unreadable(None, access.hide(url), problem, remedy)
        names = self._guarded(None, access, lambda: self._names(access))
        for table in (table.name for table in ALL_TABLES):
            found = [name for name in names if stem(name) == table]
            if len(found) > 1:
                problem = "two sources for one table"
                shown = " and ".join(sorted(found))
                raise unreadable(table, shown, problem, "Keep one of them.")
            if found:
                yield self.fetch(table, TableSource(path=f"{url.rstrip('/')}/{found[0]}"))

    def forget(self) -> None:
        """Remove the copies, whose rows are in the store by now."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _names(self, access: Access) -> list[str]:
        """Return the names of files, and of folders of parts, that belong to tables."""
        files, root = _opened_store(access, access.url)
        names = [PurePosixPath(str(path).rstrip("/")).name for path in files.ls(root, detail=False)]
        expected = {*conventional_names(), *(table.name for table in ALL_TABLES)}
        self.not_read = sorted(quiet(name) for name in names if name and name not in expected)
        return [name for name in names if name in expected]

    def _copy(self, table: str, access: Access, address: str) -> Located:
        url = address
        if access.name:
            url = f"{access.url.rstrip('/')}/{address.lstrip('/')}"
        files, path = _opened_store(access, url)
        paths, shown = _listed(files, path), access.hide(address)
        if not paths:
            problem, remedy = "no file matches", "Correct the path."
            raise unreadable(table, shown, problem, remedy)
        found = of_one_ending(table, [Path(path) for path in paths], shown)
        if isinstance(found, Fault):
            raise UnreadableError(found)
        copies = []
        for path in paths:
            why = why_unusable(Path(path)) if "file" in files.protocol else None
            if why:
                raise unreadable(table, shown, *why)
            self.copied += 1
            # Choose the name ourselves: that of an object could lead out of the folder.
            name = PurePosixPath(path).name
            end = ending(name) if known_format(name) else f".{found.format}"
            copies.append(self.folder / f"{self.copied:05}{end}")
            self.folder.mkdir(exist_ok=True)
            files.get_file(path, str(copies[-1]))
        several = len(paths) > 1
        names = tuple(
            "/".join(PurePosixPath(path).parts[-2 if several else -1 :]) for path in paths
        )
        return Located(table, tuple(copies), found.format, names)

    def _guarded(self, table: str | None, access: Access, doing: Any) -> Any:
        """Run an operation on a store; its exceptions become faults without secrets."""
        try:
            return doing()
        except UnreadableError:
            raise
        # Stores raise OSError, their own classes, or those of their HTTP client.
        except Exception as error:  # noqa: BLE001
            problem, remedy = _in_words(error)
            if isinstance(error, OptionError):
                raise unreadable(table, access.hide(access.url), problem, remedy) from None
            said = access.hide(" ".join(str(error).split()))[:200] or type(error).__name__
            shown = None if isinstance(error, FileNotFoundError) else said
            address = hide_secrets(access.url, access.secrets)
            refused = unreadable(table, address, problem, remedy, value=shown)
        raise refused


def _opened_store(access: Access, url: str) -> tuple[Any, str]:
    refuse_unknown(url, None, access.options)
    with installed_only():
        from fsspec.core import url_to_fs

        files, path = url_to_fs(url, **access.options)
    return files, path


def _listed(files: Any, path: str) -> list[str]:
    """Return the files at a path: the file itself, parts of a folder, or matches of a pattern."""
    if any(sign in path for sign in "*?["):
        found = files.glob(path)
        return sorted(name for name in found if not files.isdir(name))
    if files.isdir(path):
        return sorted(str(name) for name in files.find(path) if _is_part(str(name), path))
    if not files.exists(path):
        raise FileNotFoundError("no such file")
    return [path]


def _is_part(name: str, folder: str) -> bool:
    """Return whether an object is a part: no component of its path in the folder is a marker."""
    inside = PurePosixPath(name.removeprefix(folder).lstrip("/"))
    return is_data(inside.name) and not any(part.startswith(HIDDEN) for part in inside.parts)


def _in_words(error: Exception) -> tuple[str, str]:
    if isinstance(error, OptionError):
        return error.problem, f"{error.remedy}."
    if isinstance(error, FileNotFoundError):
        return "no such file", "Correct the path."
    if isinstance(error, PermissionError):
        return "may not be read", "Check the credentials of the store in the environment."
    if isinstance(error, ImportError):
        return "needs a package that is not installed", f"{INSTALL}, and the package of the store."
    if "Protocol not known" in str(error):
        return (
            "is not a supported kind of store",
            "Write s3://, gs://, az://, https:// or file://.",
        )
    return "cannot be read", "Check the path, and the credentials of the store in the environment."
