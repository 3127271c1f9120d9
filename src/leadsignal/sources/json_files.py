"""Read JSON files as tables: one row per object, one column per field, nested names dotted."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from leadsignal.config.table_settings import TableSource
from leadsignal.errors import Fault
from leadsignal.sources.csv_files import HELD, encoding_of
from leadsignal.sources.parts import Part, UnreadableError, literal, refuse_too_wide

if TYPE_CHECKING:
    import duckdb

BATCH = 20_000
"""Number of objects per batch."""
NUMBERS = ("BIGINT", "UBIGINT", "DOUBLE")
"""Types of fields that are read as numbers; all others are read as text."""


@dataclass
class JsonFile:
    """A JSON file: its objects in order, and the lines that contain something else."""

    table: str
    path: Path
    shown: str
    encoding: str
    wrong: dict[int, str] = field(default_factory=dict)
    lines_read: array[int] = field(default_factory=lambda: array("q"))

    def read(self) -> Any:
        """Return an Arrow stream of the objects as JSON text, in column c0, and their lines."""
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
        """Return faults for lines without an object, and the number of further ones."""
        remedy = "Write one object on each line, or an array of objects."
        found = [
            Fault(self.shown, self.table, line, None, None, problem, remedy)
            for line, problem in islice(sorted(self.wrong.items()), HELD)
        ]
        return found, len(self.wrong) - len(found)

    def lines(self, rows: list[int]) -> list[int]:
        """Return the lines on which rows begin."""
        return [self.lines_read[row] for row in rows]

    def fields(self, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
        """Return SQL for each field, after a first pass that finds invalid objects."""
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
    table: str, path: Path, shown: str, source: TableSource, connection: duckdb.DuckDBPyConnection
) -> Part:
    """Return a JSON file as a part; raises UnreadableError if it is not readable."""
    file = JsonFile(table, path, shown, source.encoding or encoding_of(table, path, shown))
    try:
        # Find faults in the text itself before the database reads it.
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
        empty = NotJsonError(
            "holds no objects", "Write one object on each line, or an array of objects."
        )
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
    """Return the fault that ended the stream of objects, which the database hides."""
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
    """Yield the JSON pointer, the name and the type of each field that is not an object."""
    for key, inside in structure.items() if isinstance(structure, dict) else ():
        at = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
        full = f"{name}.{key}" if name else key
        if isinstance(inside, dict):
            yield from _fields(inside, at, full)
        else:
            yield at, full, inside if isinstance(inside, str) else "JSON"


CHUNK = 1 << 20
MAX_OBJECT = 1 << 26
"""Maximum number of characters of an object in an array."""
MAX_DOCUMENT = 1 << 28
"""Maximum number of characters of a file that is a single object."""
MAX_DEPTH = 100
CORRECT = "Correct it, or export it again."
BLANK = "\ufeff \t\r\n"
_BLANKS = re.compile(r"[ \t\r\n]*")
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)

Objects = Iterator[tuple[int, str]]
"""JSON texts, each with the line on which it begins (in a document, with its number)."""


class NotJsonError(ValueError):
    """A fault of a file: the problem, the remedy and the line."""

    def __init__(self, problem: str, remedy: str, line: int | None = None) -> None:
        self.problem, self.remedy, self.line = problem, remedy, line
        super().__init__(problem)


def objects_of(path: Path, encoding: str) -> Objects:
    """Yield the texts that should be the objects of a file; raises NotJsonError or UnicodeError."""
    with path.open(encoding=encoding, errors="strict", newline="") as file:
        first = file.read(CHUNK).lstrip(BLANK)[:1]
        file.seek(0)
        if not first:
            raise NotJsonError("is empty", "Export it again, or remove it.")
        if first == "[" and not _is_lines(file):
            yield from _Array(file).elements()
        elif first == "{" and not _is_lines(file):
            yield from _of_document(file)
        else:
            lines = ((n, line.strip(BLANK)) for n, line in enumerate(file, 1))
            yield from ((n, line) for n, line in lines if line)


def too_deep(text: str) -> bool:
    """Return whether brackets are nested more than 100 deep.

    >>> too_deep('{"a": [1]}'), too_deep("[" * 200)
    (False, True)
    """
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    depth = 0
    for found in _BRACKETS.finditer(text):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found[0], 0)
        if depth > MAX_DEPTH:
            return True
    return False


def _is_lines(file: TextIO) -> bool:
    """Return whether a file has one value per line: its first line is one, and others follow."""
    filled = (line for line in iter(lambda: file.readline(MAX_OBJECT), "") if line.strip(BLANK))
    first, second = next(filled, "").strip(BLANK), next(filled, "").strip(BLANK)
    file.seek(0)
    closed = {"{": "}", "[": "]"}[first[0]] == first[-1]
    return closed and second[:1] in ("{", "[") and not too_deep(first)


def _of_document(file: TextIO) -> Objects:
    """Yield the objects of the only array of objects in a document, or else the document."""
    text = file.read(MAX_DOCUMENT + 1).strip(BLANK)
    if len(text) > MAX_DOCUMENT:
        problem = f"is one object of more than {MAX_DOCUMENT:,} characters"
        raise NotJsonError(problem, "Export one object on each line, ending in .jsonl.")
    if too_deep(text):
        raise NotJsonError("is nested too deep", "Export one object on each line.")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise _not_json(error, error.lineno) from None
    arrays = list(_arrays(document))
    if len(arrays) > 1:
        names = ", ".join(repr(name) for name, _ in arrays)
        problem = f"holds {len(arrays)} arrays of objects: {names}"
        raise NotJsonError(problem, "Keep the one that holds the rows in the file.")
    rows = arrays[0][1] if arrays else [document]
    yield from ((n, json.dumps(row, ensure_ascii=False)) for n, row in enumerate(rows, 1))


def _arrays(value: Any, name: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Yield the arrays of objects inside objects, with their dotted names."""
    for key, inside in value.items() if isinstance(value, dict) else ():
        if isinstance(inside, list) and inside and isinstance(inside[0], dict):
            yield f"{name}{key}", inside
        else:
            yield from _arrays(inside, f"{name}{key}.")


class _Array:
    """An array of any length, read in chunks."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.text, self.at, self.line, self.ended = file, "", 0, 1, False

    def elements(self) -> Objects:
        """Yield the text of each element, and the line on which it begins."""
        self._sign("\ufeff[")
        sign = "]" if self._sign("]", needed=False) else ","
        while sign == ",":
            self._skip_blanks()
            if self.at == len(self.text):
                raise _cut_off("ends within its array", self.line)
            line, end = self.line, self._end_of_value()
            text = self.text[self.at : end]
            self.line += text.count("\n")
            self.at = end
            yield line, text
            sign = self._sign(",]")
        self._skip_blanks()
        if self.at < len(self.text):
            raise NotJsonError("holds more behind its array", "Export it again.", self.line)

    def _more(self) -> bool:
        """Read another chunk, discarding processed text; return whether there was more."""
        found = self.file.read(max(CHUNK, len(self.text) - self.at))
        self.text, self.at = self.text[self.at :] + found, 0
        self.ended = not found
        return bool(found)

    def _skip_blanks(self) -> None:
        while True:
            found = _BLANKS.match(self.text, self.at)
            end = found.end() if found else self.at
            self.line += self.text.count("\n", self.at, end)
            self.at = end
            if self.at < len(self.text) or not self._more():
                return

    def _sign(self, signs: str, needed: bool = True) -> str:
        self._skip_blanks()
        sign = self.text[self.at : self.at + 1]
        if sign and sign in signs:
            self.at += 1
            return self._sign("[") if sign == "\ufeff" else sign
        if needed:
            if not sign:
                raise _cut_off("ends within its array", self.line)
            raise NotJsonError("is not valid JSON", CORRECT, self.line)
        return ""

    def _end_of_value(self) -> int:
        """Return the position at which the current value ends, reading on as far as needed."""
        while True:
            try:
                _, end = json.JSONDecoder().raw_decode(self.text, self.at)
            except RecursionError:
                raise NotJsonError("is nested too deep", "Export it as lines.", self.line) from None
            except json.JSONDecodeError as error:
                size = len(self.text) - self.at
                cut = error.pos > len(self.text) - 20 or error.msg.startswith("Unterminated")
                line = self.line + self.text.count("\n", self.at, error.pos)
                if not cut or size > MAX_OBJECT or not self._more():
                    raise _not_json(error, line) from None
                continue
            if end < len(self.text) or not self._more():
                return end


def _not_json(error: json.JSONDecodeError, line: int) -> NotJsonError:
    if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated"):
        return _cut_off("ends within an object", line)
    return NotJsonError("is not valid JSON", CORRECT, line)


def _cut_off(problem: str, line: int) -> NotJsonError:
    return NotJsonError(problem, "It is cut off: export it again.", line)
