"""The files of a folder, opened for a look; those of one name but for digits are parts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from leadsignal.config.table_settings import TableSource
from leadsignal.ingestion.opened_files import open_file, unpacking_in
from leadsignal.ingestion.store import Store, memory_bytes
from leadsignal.proposals.column_words import COLUMN_WORDS
from leadsignal.proposals.file_profile import FileProfile, profile_of
from leadsignal.proposals.known_exports import KNOWN_EXPORTS
from leadsignal.sources.formats import FileFormat, known_format
from leadsignal.sources.parts import Part, UnreadableError
from leadsignal.sources.title_lines import HeaderElsewhereError
from leadsignal.sources.workbooks import sheet_names

ANY = "file"
"""What a file is called before it is known which table it is."""
MAX_FILES = 200
"""Maximum number of files that are looked at."""
LARGE = 50_000_000
"""Bytes above which a file is no report for people, and no footer is looked for."""
HIDDEN = (".", "_", "~")


@dataclass(frozen=True)
class Files:
    """The files of a folder that may be tables, and where they are opened."""

    folder: Path
    store: Store

    def profiles(self) -> tuple[list[FileProfile], dict[str, str]]:
        """Return the profiles of the files, and why others could not be read."""
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
        """Return how many lines at the end of a file are no rows of a table."""
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
        """Yield each file, or a pattern of several with its first: one name but for digits."""
        groups: dict[object, list[Path]] = {}
        for file in [*self._files()][:MAX_FILES]:
            name = re.sub(r"\d+", "0", os.path.relpath(file, self.folder))
            with file.open("rb") as opened:
                first = opened.readline(100_000) if known_format(file.name) == "csv" else b""
            groups.setdefault((name, first), []).append(file)
        patterns = [self._pattern(files) for files in groups.values()]
        for pattern, files in zip(patterns, groups.values(), strict=True):
            alone = len(files) == 1 or patterns.count(pattern) > 1
            for file in files if alone else files[:1]:
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
    """Return names of columns by which a header is distinguished from titles above it."""
    words = {word for names in COLUMN_WORDS.values() for ours in names.values() for word in ours}
    words |= {name for one in KNOWN_EXPORTS for name in one.identified_by}
    return {word: word for word in sorted(words)}
