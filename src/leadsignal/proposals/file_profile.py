"""Profile the files of a folder, and recognise the exports of common systems.

Files whose names differ only in digits are read as parts of one file.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from leadsignal.config.table_settings import Notation, TableSource
from leadsignal.formats import plain_name
from leadsignal.ingestion.cells import Reading, read_cell
from leadsignal.ingestion.opened_files import open_file, unpacking_in
from leadsignal.ingestion.store import Store, memory_bytes, with_steps
from leadsignal.schema import Column, Kind
from leadsignal.sources.locate import FileFormat, known_format
from leadsignal.sources.parts import HeaderElsewhereError, Part, UnreadableError, quoted
from leadsignal.sources.workbooks import sheet_names

_WORDS = tomllib.loads(
    files("leadsignal.proposals").joinpath("column_words.toml").read_text(encoding="utf-8")
)
ACCOUNT_ID = tuple(_WORDS["account_id"])
"""Names of the column with the account of a row."""
RECORDED = tuple(_WORDS["recorded_at"])
"""Names of the column with the time at which a version of a row was written."""
CHARGE_WORDS = tuple(_WORDS["charges"])
"""Parts of the names of files of charges, for which the schema has no table."""
FILE_WORDS: Mapping[str, tuple[str, ...]] = _WORDS["files"]
"""Parts of file names that suggest a table."""


def _words_of(words: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    columns = {column: tuple(names) for column, names in words.items()}
    return columns | {"account_id": (*columns.get("account_id", ()), *ACCOUNT_ID)}


COLUMN_WORDS = {table: _words_of(words) for table, words in _WORDS["columns"].items()}
"""Names of the columns of each table, the most specific first."""
USER_TABLE = _words_of(_WORDS["users"])
"""Names of the two columns of a table that maps users to accounts."""


ACCOUNT_KEYS = (
    "account_id", "company_id", "organization_id", "org_id", "workspace_id", "tenant_id",
    "team_id", "group_id", "customer_id",
)  # fmt: skip
"""Names of the account in the event properties of vendors: ``{account}`` in a header."""
_FOLDER = files("leadsignal.proposals").joinpath("exports")


def _content(name: str) -> dict[str, Any]:
    return tomllib.loads(_FOLDER.joinpath(f"{name}.toml").read_text(encoding="utf-8"))


QUESTIONS: Mapping[str, str] = _content("questions")
"""Questions by the name that exports use."""


@dataclass(frozen=True)
class KnownExport:
    """The headers of one export of a system, and the meaning of its columns.

    Only the lower-cased letters and digits of headers are compared, so ``Created at``,
    ``created_at`` and ``createdAt`` are equal. A file is this export if it has all headers of
    ``identified_by``; if several exports match, the one with the most of them is chosen.

    ``table`` is the table of the schema, ``"users"`` for a file that maps ids (of users, or of the
    organizations of a help desk) to accounts, or None if nothing is read, for the reason in
    ``note``. ``columns`` maps columns of the schema to headers, of which the first one present is
    used. A table with ``user_id`` and no ``account_id`` finds its accounts through users. Amounts
    in ``in_cents`` are hundredths. ``options`` are fixed options of ``[tables.X]``: ``where`` lists
    the values that may occur; ``{file}`` in a ``query`` is the path of the file. ``questions`` are
    those that the file cannot answer; those of ``if_missing`` are asked only if a column is not
    found, and those of ``if_above_one`` only if a column has values other than 1: ``{query}`` in
    them multiplies ``{amount}`` by it.
    """

    system: str
    content: str
    identified_by: tuple[str, ...]
    table: str | None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    questions: tuple[str, ...] = ()
    note: str = ""
    if_missing: Mapping[str, str] = field(default_factory=dict)
    in_cents: tuple[str, ...] = ()
    if_above_one: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The common name of the export."""
        return f"{self.system} {self.content}"


def _headers(names: list[str]) -> Iterator[str]:
    for name in names:
        keys = ACCOUNT_KEYS if "{account}" in name else ("",)
        yield from (name.replace("{account}", key) for key in keys)


def _export(table: str | None = None, **fields: Any) -> KnownExport:
    """Return an export from its TOML block, with lists as tuples and questions as text."""
    for name in ("identified_by", "questions", "in_cents"):
        fields[name] = tuple(fields.get(name, ()))
    for name in ("if_missing", "if_above_one"):
        fields[name] = {key: QUESTIONS.get(q, q) for key, q in fields.get(name, {}).items()}
    columns = {key: tuple(_headers(names)) for key, names in fields.pop("columns", {}).items()}
    return KnownExport(table=table, columns=columns, **fields)


KNOWN_EXPORTS = tuple(
    _export(**block)
    for name in ("billing", "crm", "support", "product")
    for block in _content(name)["export"]
)
"""Exports of billing, CRM and customer success, help desk and product analytics systems."""


SAMPLED = 200_000
"""Maximum number of rows of a file that are profiled."""
PROBED, TRIED = 2_000, 300
"""Number of rows, and of distinct values in them, on which notations are tried."""
PROBE = "probed_rows"
DATES = (
    None, "YYYYMMDD", "epoch", "epoch ms", "DD.MM.YYYY", "DD/MM/YYYY", "MM/DD/YYYY", "DD-MM-YYYY",
    "MM-DD-YYYY", "DD.MM.YY", "DD/MM/YY", "MM/DD/YY", "YYYY-MM", "MM/YYYY", "MMM YYYY", "MMM-YY",
    "DD-MMM-YY", "excel",
)  # fmt: skip
"""Date notations to try; None means dates that need no setting."""
DECIMALS = (None, ".", ",")
"""Decimal separators to try; None means plain numbers."""
FIRST_DAY, LAST_DAY = "1990-01-01", "2100-01-01"
"""Dates outside this range are numbers mistaken for dates."""
_DATE = re.compile(r"\d{4}|\d[./ -]\d|\d[./ -]?[A-Za-z]{3}|[A-Za-z]{3}[./ -]\d")
_NUMBER = re.compile(r"^\W*[A-Za-z]{0,3}\W*\d[\d.,' \u00a0\u202f\u2019)%-]*\W*[A-Za-z]{0,3}$")
DIGITS = set("0123456789.")


@dataclass(frozen=True)
class ColumnProfile:
    """A column of a file; shares refer to its non-empty cells.

    Parameters
    ----------
    name : str
        Name in the file.
    filled : float
        Share of the rows that have a value.
    distinct : int
        Number of distinct values in the profiled rows.
    repeats : float
        Mean number of rows per value.
    values : tuple of str
        Distinct values in row order, up to 300.
    dates, numbers : mapping
        Share of the cells that can be read, by date notation or decimal separator.
    """

    name: str
    filled: float
    distinct: int
    repeats: float
    values: tuple[str, ...]
    dates: Mapping[str | None, float]
    numbers: Mapping[str | None, float]

    @property
    def plain(self) -> str:
        """The name in lower-case letters and digits only."""
        return plain_name(self.name)

    @property
    def samples(self) -> tuple[str, ...]:
        """Up to two values."""
        return self.values[:2]

    @property
    def is_dated(self) -> bool:
        """Whether nearly all cells are dates in one notation."""
        return max(self.dates.values(), default=0.0) >= 0.9

    @property
    def is_numeric(self) -> bool:
        """Whether nearly all cells are numbers in one notation."""
        return max(self.numbers.values(), default=0.0) >= 0.9

    @property
    def is_unique(self) -> bool:
        """Whether the column identifies its rows."""
        return self.filled == 1.0 and self.repeats == 1.0


@dataclass(frozen=True)
class FileProfile:
    """One file, or several with the same columns that are read as one.

    ``path`` is relative to the folder and may be a pattern; ``source`` says how it is opened;
    ``relation`` contains the profiled rows, with all cells as text.
    """

    path: str
    source: TableSource
    columns: tuple[ColumnProfile, ...]
    rows: int
    relation: str

    @property
    def stem(self) -> str:
        """The name of the file in lower-case letters only."""
        name = re.split(r"\.(?:csv|tsv|txt|json|jsonl|ndjson|xlsx|parquet)\b", self.path.lower())[0]
        return re.sub(r"[^a-z]", "", f"{name.rpartition('/')[2]}{self.source.sheet or ''}".lower())

    @property
    def place(self) -> str:
        """The path, with the sheet if it is a workbook."""
        return f"{self.path} ({self.source.sheet})" if self.source.sheet else self.path

    @property
    def options(self) -> dict[str, object]:
        """The options of ``[tables.NAME]`` with which the file is opened."""
        names = ("sheet", "header_line", "footer", "delimiter", "encoding")
        return {name: value for name in names if (value := getattr(self.source, name, None))}

    def column(self, name: str) -> ColumnProfile:
        """Return a column by name."""
        return next(column for column in self.columns if column.name == name)

    def called(self, name: str) -> ColumnProfile | None:
        """Return the first column of a name, ignoring case and punctuation; None without one."""
        spelt = plain_name(name)
        return next((column for column in self.columns if column.plain == spelt), None)


def profile_of(
    store: Store, part: Part, path: str, source: TableSource, number: int
) -> FileProfile | None:
    """Return the profile of an opened file; None if it has no rows."""
    relation = f"file_{number}"
    types = store.types_of(part)
    listed = ", ".join(
        f"CAST({sql} AS VARCHAR) AS {quoted(name)}"
        for name, sql in part.columns.items() if name and name in types
    )  # fmt: skip
    looked_at = f"SELECT {listed} FROM {part.relation} LIMIT {SAMPLED}"
    store.run(f"CREATE OR REPLACE TABLE {relation} AS {looked_at}")
    names = [name for name in part.columns if name and name in types]
    rows = store.query(f"SELECT count(*) FROM {relation}")[0][0]
    if not rows or not names:
        return None
    columns = tuple(_columns(store, relation, names, rows))
    return FileProfile(path, source, columns, rows, relation)


def _columns(
    store: Store, relation: str, names: Sequence[str], rows: int
) -> Iterator[ColumnProfile]:
    counted = ", ".join(f"count({quoted(name)}), count(DISTINCT {quoted(name)})" for name in names)
    counts = store.query(f"SELECT {counted} FROM {relation}")[0]
    step = max(1, rows // PROBED)
    store.run(
        f"CREATE OR REPLACE TABLE {PROBE} AS SELECT * FROM {relation} WHERE rowid % {step} = 0"
    )
    for at, name in enumerate(names):
        filled, distinct = counts[2 * at], counts[2 * at + 1]
        values = _values(store, name)
        yield ColumnProfile(
            name, filled / rows, distinct, filled / max(distinct, 1), tuple(values),
            _shares(store, values, "day", _likely_dates(values)),
            _shares(store, values, "number", DECIMALS if _mostly(values, _NUMBER) else ()),
        )  # fmt: skip


def _values(store: Store, name: str) -> list[str]:
    """Return the distinct values of a column in row order."""
    cell = quoted(name)
    found = store.query(
        f"SELECT {cell} FROM {PROBE} WHERE {cell} IS NOT NULL GROUP BY 1 ORDER BY min(rowid)"
        f" LIMIT {TRIED}"
    )
    return [value for (value,) in found]


def _likely_dates(values: Sequence[str]) -> list[str | None]:
    """Return the date notations whose separators occur in the values."""
    if not _mostly(values, _DATE):
        return []
    signs = {sign for value in values for sign in value[:12]}
    return [one for one in DATES if _can_spell(one, signs)]


def _can_spell(spelling: str | None, signs: set[str]) -> bool:
    between = set(spelling or "") & set("./- ")
    counted = spelling is not None and not set(spelling) & set("./-") and "MMM" not in spelling
    return signs <= DIGITS if counted else between <= signs


def _mostly(values: Sequence[str], pattern: re.Pattern[str]) -> bool:
    """Return whether most values match a pattern: a quick test before they are read."""
    return 2 * sum(bool(pattern.search(value)) for value in values) > len(values)


def _shares(
    store: Store, values: Sequence[str], kind: Kind, spellings: Sequence[str | None]
) -> dict[str | None, float]:
    """Return the share of the values that each notation reads, without those that read none."""
    if not spellings:
        return {}
    readings = [_reading(at, kind, spelling) for at, spelling in enumerate(spellings)]
    counted = ", ".join(f"count(*) FILTER (WHERE {_fits(one, kind)})" for one in readings)
    rows = with_steps("(SELECT unnest(?) AS v)", readings)
    cursor = store.connection.cursor()
    counts = cursor.execute(f"SELECT {counted} FROM {rows}", [list(values)]).fetchall()[0]
    shares = zip(spellings, counts, strict=True)
    return {spelling: count / len(values) for spelling, count in shares if count}


def _reading(number: int, kind: Kind, spelling: str | None) -> Reading:
    """Return how to read a notation, with the same rules as for tables."""
    stated = (spelling,) if spelling else ()
    notation = Notation(dates=stated) if kind == "day" else Notation(decimal=spelling)
    reading = read_cell(Column(f"try{number}", kind, ""), "v", "VARCHAR", "UTC", notation)
    return reading or Reading("NULL")


def _fits(reading: Reading, kind: Kind) -> str:
    if kind == "day":
        return f"({reading.value}) BETWEEN DATE '{FIRST_DAY}' AND DATE '{LAST_DAY}'"
    return f"({reading.value}) IS NOT NULL"


ANY = "file"
"""Name of the table of a file before it is known."""
MAX_FILES = 200
"""Maximum number of files that are profiled."""
LARGE = 50_000_000
"""Size in bytes above which a file is not a report for people and has no footer."""
HIDDEN = (".", "_", "~")


@dataclass(frozen=True)
class Files:
    """The files of a folder that may be tables, and the store that opens them."""

    folder: Path
    store: Store

    def profiles(self) -> tuple[list[FileProfile], dict[str, str]]:
        """Return the profiles of the files, and the reasons why others could not be read."""
        profiles: list[FileProfile] = []
        unread: dict[str, str] = {}
        for path, file, file_format in self._groups():
            for sheet in self._sheets(file, file_format):
                source = TableSource(path=path, sheet=sheet, columns=_words())
                try:
                    found = self._profile(path, file, file_format, source, len(profiles))
                except UnreadableError as error:
                    unread[path] = error.fault.problem
                    continue
                if found is None:
                    unread[path] = "it has no rows"
                else:
                    profiles.append(found)
        return profiles, unread

    def footer(self, profile: FileProfile, table: str, columns: dict[str, str]) -> int | None:
        """Return the number of lines at the end of a file that are not rows; None without any."""
        file = self.folder / profile.path
        file_format = known_format(file.name)
        if file_format not in ("csv", "workbook") or not file.exists():
            return None
        if file.stat().st_size > LARGE:
            return None
        source = replace(profile.source, columns=columns)
        try:
            part = self._opened(table, file, file_format, profile.path, source)
        except UnreadableError:
            return None
        return part.footer.lines if part.footer else None

    def _opened(
        self, table: str, file: Path, file_format: FileFormat, path: str, source: TableSource
    ) -> Part:
        unpacking = unpacking_in(self.store)
        return open_file(file_format, table, file, path, source, self.store, unpacking)

    def _profile(
        self, path: str, file: Path, file_format: FileFormat, source: TableSource, number: int
    ) -> FileProfile | None:
        try:
            part = self._opened(ANY, file, file_format, path, source)
        except HeaderElsewhereError as error:
            source = replace(source, header_line=error.line)
            part = self._opened(ANY, file, file_format, path, source)
        return profile_of(self.store, part, path, replace(source, columns={}), number)

    def _groups(self) -> Iterator[tuple[str, Path, FileFormat]]:
        """Yield each file, or the pattern and first of files whose names differ only in digits."""
        groups: dict[object, list[Path]] = {}
        for file in [*self._files()][:MAX_FILES]:
            name = re.sub(r"\d+", "0", os.path.relpath(file, self.folder))
            with file.open("rb") as opened:
                first = opened.readline(100_000) if known_format(file.name) == "csv" else b""
            groups.setdefault((name, first), []).append(file)
        patterns = [self._pattern(files) for files in groups.values()]
        for pattern, group in zip(patterns, groups.values(), strict=True):
            alone = len(group) == 1 or patterns.count(pattern) > 1
            for file in group if alone else group[:1]:
                path = os.path.relpath(file, self.folder) if alone else pattern
                yield path, file, known_format(file.name) or "csv"

    def _pattern(self, files: list[Path]) -> str:
        return re.sub(r"\d+", "*", os.path.relpath(files[0], self.folder))

    def _files(self) -> Iterator[Path]:
        for where, folders, names in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if not name.startswith(HIDDEN))
            for name in sorted(names):
                path = Path(where, name)
                if not name.startswith(HIDDEN) and path.is_file() and known_format(name):
                    yield path

    def _sheets(self, file: Path, file_format: FileFormat) -> list[str | None]:
        if file_format != "workbook":
            return [None]
        return [*sheet_names(file, memory_bytes())] or [None]


def _words() -> dict[str, str]:
    """Return the column names that distinguish a header from titles above it."""
    words = {word for names in COLUMN_WORDS.values() for ours in names.values() for word in ours}
    words |= {name for one in KNOWN_EXPORTS for name in one.identified_by}
    return {word: word for word in sorted(words)}
