"""Cache checked tables beside the project, so that reading the same files again is fast.

An entry is used only if the contents of all files, the settings that affect reading, and the
software versions are unchanged. Otherwise the tables are read again and replace it. The folder
contains a database of the tables and a JSON file, each with its checksum.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from leadsignal.config.project import Project
from leadsignal.config.table_settings import TableSource
from leadsignal.errors import Fault, RefusalError
from leadsignal.files.outputs import CACHE
from leadsignal.files.writing import restore_folder, whole_folder
from leadsignal.ingestion.check_report import DataWarning, Loaded
from leadsignal.ingestion.opened_files import without_lifetimes
from leadsignal.ingestion.rows_of_accounts import ACCOUNTS_NOW
from leadsignal.ingestion.store import Store, memory_bytes, unpacked_limit
from leadsignal.ingestion.table_reader import TableReader
from leadsignal.schema import BY_NAME
from leadsignal.sources.locate import CACHE_FOLDER, not_read
from leadsignal.sources.project_files import files_read
from leadsignal.workers import cache_is_on

FORMAT = 1
"""Version of the entries; raise it whenever existing entries would be read differently."""
ENTRY, TABLES, IGNORE = "entry.json", "tables.duckdb", ".gitignore"
IGNORED = "# A leadsignal cache: a copy of the tables, which belongs in no repository.\n*\n"
MAX_ENTRY = 100_000_000
"""Maximum size in bytes of an entry without its tables; a larger file is not ours."""
ATTEMPTS = 3
"""Number of attempts to open an entry while another process replaces it."""
NOT_IN_READING = frozenset({
    "folder", "as_of", "every", "horizon", "capacity", "holdout", "holdout_seed", "warning_time",
    "analysis", "causes", "engine", "people", "sources", "url", "behaviors", "cache",
})  # fmt: skip
"""Settings that affect neither rows nor warnings if all rows come from files."""
OF_STORE = ("known_on", "superseded_on", "vanished_on")
"""Columns that a settled table has in addition to those of its source."""
OF_LOADED = ("columns", "extras", "unread", "rows", "currency", "derived", "vanishes", "selected")


class TableCache:
    """The cache entry of a project, used if files and settings are unchanged, else replaced.

    Without ``cache = true`` there is no entry, only the key by which a session identifies tables.
    ``settings`` is the file that the project was read from. ``notice`` says why the entry could not
    be used or written; reading does not fail because of it.
    """

    def __init__(self, project: Project, drop_bad_rows: bool, settings: Path | None) -> None:
        self.project, self.drop_bad_rows, self.settings = project, drop_bad_rows, settings
        self.folder = Path(os.path.abspath(project.folder or ".")) / CACHE_FOLDER
        self.key = self._key() if project.cache or cache_is_on() else None
        self.notice = ""
        self._warnings: tuple[str, list[Mapping[str, Any]]] | None = None

    def _key(self) -> str | None:
        """Return a digest of everything the tables depend on; None if not all of it is in files."""
        found = files_read(self.project)
        if found is None:
            return None
        try:
            files = [
                (one.table, one.format, os.path.abspath(file), _digest(file))
                for one in found
                for file in one.files
            ]
        except OSError:
            return None
        settings = [
            (field.name, repr(getattr(self.project, field.name)))
            for field in dataclasses.fields(self.project)
            if field.name not in NOT_IN_READING
        ]
        limits = (memory_bytes(), unpacked_limit())
        content = (FORMAT, _versions(), files, settings, self.drop_bad_rows, limits)
        return _digest_of(json.dumps(content))

    def of_session(self) -> str:
        """Return a text that differs whenever the tables may differ."""
        read = [file for one in files_read(self.project) or [] for file in one.files]
        read += [self.settings] if self.settings else []
        return f"{self.key} {self.project!r} {not_read(self.project, read)}"

    def restored(self) -> TableReader | None:
        """Return the cached reading, as if it had just been done; None if there is none."""
        if self.key is None or not self.project.cache:
            return None
        try:
            restore_folder(self.folder)
            for _ in range(ATTEMPTS):
                if not os.path.lexists(self.folder):
                    return None
                content = _content(self.folder / ENTRY)
                try:
                    return self._restored(content)
                except (OSError, ValueError):
                    if content == _content(self.folder / ENTRY):
                        raise
        except Exception:  # noqa: BLE001 (whatever is wrong with it, the files are there to be read)
            self.notice = f"{self.folder} is damaged or not ours: the tables were read anew"
        return None

    def _restored(self, content: bytes) -> TableReader | None:
        entry = json.loads(content)
        if entry["checksum"] != _checksum(entry):
            raise ValueError("the entry is not what was written")
        if entry["key"] != self.key:
            return None
        store = Store(lambda file: self._copy(file, entry["tables_checksum"]))
        if store.shape() != entry["shape"]:
            raise ValueError("the tables are not what was written")
        reader = TableReader(self.project, self.drop_bad_rows, store)
        _fill(reader, entry["reading"])
        for one in files_read(self.project) or []:
            reader.intake.read.update(one.files)
        reader.not_read = reader.intake.not_read(self.settings)
        self._warnings = (entry["as_of"], entry["warnings"])
        return reader

    def _copy(self, file: Path, checksum: str) -> None:
        kept = self.folder / TABLES
        if kept.is_symlink() or not kept.is_file():
            raise ValueError("the tables are no file")
        shutil.copyfile(kept, file)
        if _digest(file) != checksum:
            raise ValueError("the tables are not what was written")

    @property
    def is_restored(self) -> bool:
        """Whether the tables were restored from the cache."""
        return self._warnings is not None

    def warnings(self, as_of: date) -> tuple[DataWarning, ...] | None:
        """Return the warnings about the restored tables; None if they are of another day."""
        if self._warnings is None or self._warnings[0] != str(as_of):
            return None
        return tuple(DataWarning(**warning) for warning in self._warnings[1])

    def keep(self, reader: TableReader, as_of: date, warnings: Iterable[DataWarning]) -> None:
        """Cache a reading without faults in place of the previous entry."""
        import duckdb

        # A file that changed during the reading may have been read before or after the change.
        if self.key is None or not self.project.cache or self.key != self._key():
            return
        entry = {
            "key": self.key,
            "as_of": str(as_of),
            "warnings": [dataclasses.asdict(warning) for warning in warnings],
            "reading": _state(reader),
            "shape": [],
        }
        try:
            with whole_folder(self.folder, CACHE) as part:
                # The tables may contain personal data, and the folder may be readable by others.
                part.chmod(0o700)
                (part / IGNORE).write_text(IGNORED, encoding="utf-8")
                _write(part, reader, entry)
        except (RefusalError, OSError, duckdb.Error) as error:
            problem = error.problem if isinstance(error, RefusalError) else error
            self.notice = f"the tables are not kept: {problem}. Correct it, or set cache = false"


def _write(part: Path, reader: TableReader, entry: dict[str, Any]) -> None:
    tables = _columns(reader)
    reader.store.export(part / TABLES, tables)
    entry["shape"] = [row for row in reader.store.shape() if row[1] in tables.get(row[0], ())]
    entry["tables_checksum"] = _digest(part / TABLES)
    entry["checksum"] = _checksum(entry)
    (part / ENTRY).write_text(json.dumps(entry), encoding="utf-8")


def _columns(reader: TableReader) -> dict[str, list[str]]:
    """Return the columns of each table that are needed after the checks."""
    stored: dict[str, list[str]] = {}
    for table, column, _ in reader.store.shape():
        stored.setdefault(table, []).append(column)
    needed = {ACCOUNTS_NOW: stored[ACCOUNTS_NOW]} if ACCOUNTS_NOW in stored else {}
    for name, loaded in reader.intake.loaded.items():
        own = {*loaded.columns, *loaded.extras, *OF_STORE}
        needed[name] = [column for column in stored[name] if column in own]
    return needed


def _state(reader: TableReader) -> dict[str, Any]:
    """Return everything that a reading found, apart from the rows."""
    return {
        "loaded": {
            name: {field: getattr(loaded, field) for field in OF_LOADED}
            for name, loaded in reader.intake.loaded.items()
        },
        "notices": reader.intake.notices,
        "rows_read": reader.rows_read,
        "dropped": [fault.to_dict() for fault in reader.dropped],
        "dropped_rows": reader.dropped_rows,
        "attributes": reader.attributes,
        "complete": {
            name: [str(source.complete_from or ""), str(source.complete_through or "")]
            for name, source in reader.project.tables.items()
        },
    }


def _fill(reader: TableReader, state: Mapping[str, Any]) -> None:
    """Restore in a reader what `_state` returned for another."""
    derived = "contracts" in state["loaded"]
    for name, fields in state["loaded"].items():
        table = BY_NAME[name]
        if name == "accounts" and derived and not fields["derived"]:
            table = without_lifetimes(table)
        reader.intake.loaded[name] = Loaded(table, **fields)
    reader.intake.notices += [(table, text) for table, text in state["notices"]]
    reader.rows_read = dict(state["rows_read"])
    reader.dropped = [Fault(**fault) for fault in state["dropped"]]
    reader.dropped_rows = dict(state["dropped_rows"])
    reader.attributes = dict(state["attributes"])
    tables = {
        name: dataclasses.replace(
            reader.project.tables.get(name, TableSource()),
            complete_from=date.fromisoformat(first) if first else None,
            complete_through=date.fromisoformat(last) if last else None,
        )
        for name, (first, last) in state["complete"].items()
    }
    reader.project = dataclasses.replace(reader.project, tables=tables)


def _versions() -> dict[str, str]:
    from leadsignal import __version__

    packages = ("duckdb", "pyarrow", "python-calamine")
    return {"leadsignal": __version__, **{package: version(package) for package in packages}}


def _content(file: Path) -> bytes:
    """Return the bytes of a file; raises ValueError if it is not a file, or too large."""
    if file.is_symlink() or not file.is_file() or file.stat().st_size > MAX_ENTRY:
        raise ValueError("is no entry")
    return file.read_bytes()


def _checksum(entry: Mapping[str, Any]) -> str:
    content = {name: value for name, value in entry.items() if name != "checksum"}
    return _digest_of(json.dumps(content, sort_keys=True))


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
