"""JSON files as tables: a row an object, a column a field, a dot in the names of nested ones."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.config.table_settings import TableSource
from leadsignal.errors import Fault
from leadsignal.sources.csv_files import HELD, encoding_of
from leadsignal.sources.json_objects import NotJsonError, objects_of, too_deep
from leadsignal.sources.parts import Part, UnreadableError, literal, refuse_too_wide

if TYPE_CHECKING:
    import duckdb

BATCH = 20_000
"""Objects that are handed on at once."""
NUMBERS = ("BIGINT", "UBIGINT", "DOUBLE")
"""Types of fields that are read as numbers: of all others the text is read."""


@dataclass
class JsonFile:
    """One JSON file: its objects in order, and the lines that hold something else."""

    table: str
    path: Path
    shown: str
    encoding: str
    wrong: dict[int, str] = field(default_factory=dict)
    lines_read: array[int] = field(default_factory=lambda: array("q"))

    def read(self) -> Any:
        """Return an Arrow stream of the objects as JSON text, c0, and their lines."""
        import pyarrow as pa

        schema = pa.schema([("c0", pa.string()), ("line", pa.int64())])
        del self.lines_read[:]

        def batches() -> Iterator[Any]:
            objects = self._objects()
            while some := list(islice(objects, BATCH)):
                lines, texts = zip(*some, strict=True)
                self.lines_read.extend(lines)
                columns = [pa.array(texts, pa.string()), pa.array(lines, pa.int64())]
                yield pa.record_batch(columns, schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches())

    def _objects(self) -> Iterator[tuple[int, str]]:
        for line, text in objects_of(self.path, self.encoding):
            if line in self.wrong:
                continue
            if too_deep(text):
                self.wrong[line] = "is nested too deep"
            else:
                yield line, text

    def faults(self) -> tuple[list[Fault], int]:
        """Return the lines that hold no object, and how many more there were."""
        remedy = "Write one object a line, or an array of objects."
        found = [
            Fault(self.shown, self.table, line, None, None, problem, remedy)
            for line, problem in islice(sorted(self.wrong.items()), HELD)
        ]
        return found, len(self.wrong) - len(found)

    def lines(self, rows: list[int]) -> list[int]:
        """Return the lines that rows begin on."""
        return [self.lines_read[row] for row in rows]

    def fields(self, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
        """Return the SQL of each field; a first look at all objects, which finds the wrong ones."""
        cursor = connection.cursor()
        cursor.register("objects", self.read())
        is_object = "CASE WHEN json_valid(c0) THEN json_type(c0) = 'OBJECT' ELSE false END"
        ((structure, valid, others),) = cursor.execute(
            "SELECT json_group_structure(CASE WHEN ok THEN CAST(c0 AS JSON) END), "
            "list(line) FILTER (WHERE NOT ok AND json_valid(c0)), "
            "list(line) FILTER (WHERE NOT json_valid(c0)) "
            f"FROM (SELECT c0, line, {is_object} AS ok FROM objects)"
        ).fetchall()
        self.wrong |= dict.fromkeys(valid or (), "is not an object")
        self.wrong |= dict.fromkeys(others or (), "is not valid JSON")
        return dict(_columns(json.loads(structure or "null")))


def open_json(
    table: str,
    path: Path,
    shown: str,
    source: TableSource,
    connection: duckdb.DuckDBPyConnection,
) -> Part:
    """Return a JSON file as a part; raises UnreadableError where it cannot be one."""
    file = JsonFile(table, path, shown, source.encoding or encoding_of(table, path, shown))
    try:
        # What is wrong with the text itself is found without a database in between.
        for _ in objects_of(path, file.encoding):
            break
        columns = file.fields(connection)
    except (NotJsonError, UnicodeError, LookupError) as error:
        raise UnreadableError(_refusal(file, error)) from None
    except Exception as error:  # noqa: BLE001
        raise UnreadableError(_broken(file, error)) from None
    refuse_too_wide(table, shown, len(columns))
    if not columns:
        found, _ = file.faults()
        empty = NotJsonError("holds no objects", "Write one object a line, or an array of objects.")
        raise UnreadableError(found[0] if found else _refusal(file, empty))
    return Part(
        table,
        shown,
        columns,
        reader=file.read,
        bytes=path.stat().st_size // 3,
        faults=file.faults,
        lines=file.lines,
        types=tuple(columns.values()),
    )


def _broken(file: JsonFile, error: Exception) -> Fault:
    """Return what ended the stream of objects: the database hides it."""
    try:
        for _ in objects_of(file.path, file.encoding):
            pass
    except (NotJsonError, UnicodeError, LookupError) as cause:
        return _refusal(file, cause)
    problem, remedy = f"cannot be read as JSON ({type(error).__name__})", "Export it again."
    return Fault(file.shown, file.table, None, None, None, problem, remedy)


def _refusal(file: JsonFile, error: Exception) -> Fault:
    if isinstance(error, NotJsonError):
        return Fault(file.shown, file.table, error.line, None, None, error.problem, error.remedy)
    remedy = "Save it as UTF-8, or correct the encoding."
    return Fault(file.shown, file.table, None, None, None, f"is not {file.encoding}", remedy)


def _columns(structure: Any) -> Iterator[tuple[str, str]]:
    named: dict[str, str] = {}
    for pointer, name, kind in _fields(structure, "", ""):
        text = f"nullif(trim(json_extract_string(c0, {literal(pointer)})), '')"
        named.setdefault(name, f"CAST({text} AS {kind})" if kind in NUMBERS else text)
    yield from named.items()


def _fields(structure: Any, pointer: str, name: str) -> Iterator[tuple[str, str, str]]:
    """Yield the JSON pointer, the name and the type of each field that is no object."""
    for key, inside in structure.items() if isinstance(structure, dict) else ():
        at = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
        full = f"{name}.{key}" if name else key
        if isinstance(inside, dict):
            yield from _fields(inside, at, full)
        else:
            yield at, full, inside if isinstance(inside, str) else "JSON"
