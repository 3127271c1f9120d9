"""Queries over the files of a project's folder, without access to anything else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from leadsignal.config.credentials import Access
from leadsignal.errors import Fault, SourceError
from leadsignal.sources.database import RowRequest
from leadsignal.sources.duckdb_files import WITHOUT_EXTENSIONS, DuckdbDatabase
from leadsignal.sources.formats import known_format
from leadsignal.sources.locate import Located, at_path
from leadsignal.sources.parts import Part, UnreadableError, quoted
from leadsignal.threads import threads

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
        import duckdb

        self.folder = folder
        self.access = Access("files", "", None, {}, (), folder)
        self.file = None
        store.parent.mkdir(exist_ok=True)
        self.connection = duckdb.connect(
            str(store),
            config={
                **WITHOUT_EXTENSIONS,
                "memory_limit": memory,
                "threads": threads(),
                "temp_directory": str(store.parent / "spill"),
            },
        )
        self.connection.execute("SET TimeZone = 'UTC'")
        for setting in ("python_enable_replacements", "python_enable_replacement_scans"):
            with suppress(duckdb.CatalogException):
                self.connection.execute(f"SET {setting} = false")
        self.added: set[str] = set()

    def named_in(self, table: str, query: str) -> Iterator[str]:
        """Yield the files named in a query; raises UnreadableError if one does not exist."""
        if self.folder is None:
            remedy = "Give a folder or a .toml file, which paths can start from."
            raise _unreadable(table, None, "there is no folder of files to query", remedy)
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
            raise _unreadable(table, name, "is outside the project's folder", remedy)
        found = at_path(table, Path(home), name)
        if isinstance(found, Fault):
            raise UnreadableError(found)
        for file in found.files:
            if not os.path.realpath(file).startswith(home + os.sep):
                remedy = "Copy the file into the project's folder."
                raise _unreadable(table, name, "leads outside the project's folder", remedy)
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
        self.connection.execute("SET enable_external_access = false")
        self.connection.execute("SET lock_configuration = true")
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


def _unreadable(table: str, name: str | None, problem: str, remedy: str) -> UnreadableError:
    return UnreadableError(Fault(name, table, None, None, None, problem, remedy))
