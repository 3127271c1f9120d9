"""File formats, by file extension."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

FileFormat = Literal["csv", "json", "workbook", "parquet"]
SUFFIXES: dict[str, FileFormat] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".xlsx": "workbook",
    ".parquet": "parquet",
}
"""Other extensions are read as CSV if the user names the file."""
PACKED = {".gz": "gzip", ".zst": "zstd"}
"""Extensions of compressed files that are unpacked for reading."""
COMPRESSED = (".bz2", ".xz", ".lz4", ".br", ".zip", ".7z", ".snappy", ".z")
"""Extensions of compressed files that are not read."""
OTHER_WORKBOOKS = (".xls", ".xlsm", ".xlsb", ".ods", ".numbers")
NAMES: dict[FileFormat, str] = {
    "csv": "CSV",
    "json": "JSON",
    "workbook": "workbooks",
    "parquet": "Parquet",
}


def ending(name: str) -> str:
    """Return the extension of a file that gives its format, in lower case.

    >>> ending("Events.2024.CSV.gz"), ending("usage.parquet"), ending("usage")
    ('.csv.gz', '.parquet', '')
    """
    path = PurePath(name)
    last = path.suffix.lower()
    return f"{path.with_suffix('').suffix.lower()}{last}" if last in PACKED else last


def stem(name: str) -> str:
    """Return a file's name without the extension that gives its format.

    >>> stem("events.csv.gz")
    'events'
    """
    return name[: len(name) - len(ending(name))]


def known_format(name: str) -> FileFormat | None:
    """Return the format of a file; None if its extension is unknown.

    >>> known_format("events.jsonl.zst"), known_format("events.gz"), known_format("notes")
    ('json', None, None)
    """
    plain = ending(name)
    inner = plain.removesuffix(packing_suffix(name))
    found = SUFFIXES.get(inner)
    return None if found == "parquet" and inner != plain else found


def packing_suffix(name: str) -> str:
    """Return the extension of a compressed file that can be unpacked, or an empty text."""
    last = PurePath(name).suffix.lower()
    return last if last in PACKED else ""


def is_compressed(name: str) -> bool:
    """Return whether a file is compressed in a format that is not supported."""
    return name.lower().endswith(COMPRESSED)


def endings() -> tuple[str, ...]:
    """Return all file extensions that are read."""
    packed = (
        f"{end}{pack}" for end, kind in SUFFIXES.items() if kind != "parquet" for pack in PACKED
    )
    return (*SUFFIXES, *packed)
