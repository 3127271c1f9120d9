"""Read a sheet of a workbook (.xlsx) as a table, with dates, numbers and texts as stored."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.config.table_settings import TableSource
from leadsignal.errors import one_of
from leadsignal.sources.parts import (
    SEARCHED,
    Names,
    Part,
    Row,
    UnreadableError,
    find_footer,
    refuse_repeated,
    refuse_titles,
    refuse_too_wide,
    unreadable,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from python_calamine import CalamineWorkbook

BLOCK = 1 << 20


def open_workbook(table: str, path: Path, shown: str, source: TableSource, limit: int) -> Part:
    """Return a sheet of a workbook as a part; raises UnreadableError if it is not readable.

    ``limit`` is the maximum unpacked size in bytes, since it is read into memory.
    """
    problem = _why_unreadable(path, limit)
    if problem:
        raise unreadable(table, shown, problem, "Export it again.")
    try:
        part = _part(table, shown, source, _sheet(table, path, shown, source))
    except UnreadableError:
        raise
    # For a damaged file, the reader raises its own errors, and panics that are not an Exception.
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
            raise
        raise unreadable(table, shown, *_in_words(error)) from None
    part.bytes = path.stat().st_size
    return part


def _why_unreadable(path: Path, limit: int) -> str | None:
    """Return what is wrong with the archive of a workbook; None if nothing is."""
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        return "is empty"
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        return "is protected by a password, or of the old kind .xls"
    if not start.startswith(b"PK"):
        return "is not a workbook"
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    while block := member.read(BLOCK):
                        limit -= len(block)
                        if limit < 0:
                            return "unpacks to more than the memory that may be used"
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, RuntimeError, NotImplementedError):
        return "is damaged: the workbook is incomplete"
    # The decompressors raise their own errors.
    except Exception:  # noqa: BLE001
        return "is damaged: it cannot be unpacked"
    return None


def sheet_names(path: Path, limit: int) -> list[str]:
    """Return the names of the visible sheets; empty for a file that cannot be read."""
    from python_calamine import CalamineWorkbook

    if _why_unreadable(path, limit):
        return []
    try:
        with CalamineWorkbook.from_path(str(path)) as book:
            return _visible(book)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
            raise
        return []


def _visible(book: CalamineWorkbook) -> list[str]:
    from python_calamine import SheetVisibleEnum

    sheets = book.sheets_metadata
    return [sheet.name for sheet in sheets if sheet.visible == SheetVisibleEnum.Visible]


def _sheet(table: str, path: Path, shown: str, source: TableSource) -> list[list[Any]]:
    """Return the cells of the sheet that contains the table."""
    from python_calamine import CalamineWorkbook

    with CalamineWorkbook.from_path(str(path)) as book:
        visible = _visible(book)
        named = [one for one in visible if one.strip().lower() == table]
        chosen = [source.sheet] if source.sheet else named or visible
        if len(chosen) != 1:
            listed = ", ".join(map(repr, visible))
            remedy = f'Say which under [tables.{table}]: sheet = "{visible[0] if visible else ""}".'
            raise unreadable(table, shown, f"holds {len(visible)} sheets: {listed}", remedy)
        (name,) = chosen
        if name not in book.sheet_names:
            remedy = f"{one_of(book.sheet_names, name)}."
            raise unreadable(table, shown, f"has no sheet {name!r}", remedy)
        return book.get_sheet_by_name(name).to_python(skip_empty_area=False)


def _in_words(error: BaseException) -> tuple[str, str]:
    if type(error).__name__ == "PasswordError":
        return "is protected by a password", "Save it without one."
    return f"cannot be read as a workbook ({type(error).__name__})", "Save it again as .xlsx."


def _part(table: str, shown: str, source: TableSource, rows: list[list[Any]]) -> Part:
    names = Names.of(table, source)
    first, header = _header(table, shown, source, rows, names)
    body, footer = rows[first:], None
    while body and not any(map(_text, body[-1])):
        body.pop()
    if source.footer:
        body = body[: -source.footer]
    else:
        last = first + len(body)
        footer = find_footer(_some(rows, max(first, last - SEARCHED), last), header, names)
    lines = [n for n, row in enumerate(body, first + 1) if any(map(_text, row))]
    sign = source.spelling.decimal or "."
    cells = [_column([body[n - first - 1][at] for n in lines], sign) for at in range(len(header))]
    columns: dict[str, str] = {}
    for at, name in enumerate(header):
        if name:
            text = f"nullif(trim(c{at}), '')"
            columns.setdefault(name, text if str(cells[at].type) == "string" else f"c{at}")
    return Part(
        table,
        shown,
        columns,
        reader=lambda: _stream(cells),
        header_line=first,
        lines=lambda found: [lines[row] for row in found],
        types=tuple(str(column.type) for column in cells),
        footer=footer,
    )


def _header(
    table: str, shown: str, source: TableSource, rows: list[list[Any]], names: Names
) -> tuple[int, list[str]]:
    """Return the line of the header, counted from 1, and its column names."""
    filled = (n for n, row in enumerate(rows, 1) if any(map(_text, row)))
    first = source.header_line or next(filled, 0)
    if not first:
        raise unreadable(table, shown, "is empty", "Export it again, or remove it.")
    if first > len(rows):
        raise unreadable(table, shown, f"has no line {first}", "Correct header_line.")
    header = [_text(cell) for cell in rows[first - 1]]
    refuse_too_wide(table, shown, len(header))
    if source.header_line is None:
        refuse_titles(table, shown, header, _some(rows, first, first + SEARCHED), names)
    refuse_repeated(table, shown, header, names.known, first)
    return first, header


def _some(rows: Sequence[Sequence[Any]], after: int, last: int) -> list[Row]:
    """Return the rows after a line, up to a last one, as text."""
    return [(n, [_text(cell) for cell in row]) for n, row in enumerate(rows[after:last], after + 1)]


def _column(cells: Sequence[Any], sign: str) -> pa.Array:
    """Return cells of one type unchanged, mixed ones as text with the given decimal separator."""
    import pyarrow as pa

    filled = [None if isinstance(cell, str) and not cell.strip() else cell for cell in cells]
    kinds = {type(cell) for cell in filled if cell is not None}
    if kinds and kinds <= {float, int}:
        return pa.array(filled, pa.float64())
    if kinds and kinds <= {datetime.date, datetime.datetime}:
        midnight = datetime.time()
        moments = [
            datetime.datetime.combine(cell, midnight) if type(cell) is datetime.date else cell
            for cell in filled
        ]
        return pa.array(moments, pa.timestamp("us"))
    if kinds == {bool}:
        return pa.array(filled, pa.bool_())
    return pa.array([None if cell is None else _text(cell, sign) for cell in filled], pa.string())


def _text(cell: Any, sign: str = ".") -> str:
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return (
            f"{cell:.0f}"
            if cell.is_integer() and abs(cell) < 1e15
            else repr(cell).replace(".", sign)
        )
    return str(cell)


def _stream(cells: Sequence[pa.Array]) -> pa.RecordBatchReader:
    import pyarrow as pa

    names = [f"c{at}" for at in range(len(cells))]
    return pa.Table.from_arrays(list(cells), names=names).to_reader(max_chunksize=50_000)
