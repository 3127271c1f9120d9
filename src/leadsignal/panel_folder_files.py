"""The files of a panel in a folder: what describes them, their rows, and reading all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from leadsignal.engine.frames import PanelRows, as_frame
from leadsignal.engine.grid import Grid, outcome_columns
from leadsignal.engine.past import day_of
from leadsignal.engine.resumed import State
from leadsignal.errors import OptionError
from leadsignal.files.outputs import shown
from leadsignal.files.writing import atomic_write
from leadsignal.ingestion.store import memory_limit
from leadsignal.sources.parts import literal, quoted
from leadsignal.threads import threads

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

MANIFEST = "panel.json"
BEFORE = ("account_id", "snapshot_on", "notice_given", "t")
"""Columns of the rows that come before the others, or are replaced."""
PLACES = ("snapshots", "state")


@dataclass(frozen=True)
class Kept:
    """The content of ``panel.json``. Days are numbers; ``day`` is that of the state.

    ``files`` are the files that tables were read from: size, time of the last change, and last day
    on which a row became known. ``digests`` are those of rows known by ``day``. ``first`` and
    ``through`` are the days between which tables are complete.
    """

    every: int
    as_of: int
    day: int
    snapshots: tuple[str, ...]
    tail: str
    accounts: str
    rows: Mapping[str, Mapping[str, str]]
    files: Mapping[str, Mapping[str, tuple[int, int, int]]]
    digests: Mapping[str, int]
    settings: Mapping[str, str]
    first: Mapping[str, int | None]
    through: Mapping[str, int | None]
    behaviors: Mapping[str, Any]
    values: tuple[str, ...]
    causes: Mapping[str, str]
    not_churn: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Kept | None:
        """Read it; None for a folder that is empty, not there, or of a run that was stopped."""
        try:
            content = json.loads((folder / MANIFEST).read_text())
        except FileNotFoundError:
            here = {one.name for one in folder.iterdir()} if folder.is_dir() else set()
            if folder.exists() and (not folder.is_dir() or here - set(PLACES)):
                raise no_panel(folder) from None
            return None
        except (OSError, ValueError):
            raise no_panel(folder) from None
        if not isinstance(content, dict) or set(content) != {one.name for one in fields(cls)}:
            raise no_panel(folder)
        return cls(**content)

    def state(self, folder: Path, in_part: frozenset[str]) -> State:
        """Return the state in the folder."""
        rows = {step: tuple(folder / one for one in of.values()) for step, of in self.rows.items()}
        return State(self.day, folder / state_folder(self.day), rows, in_part)


def no_panel(folder: Path) -> OptionError:
    """Return the error of a folder with other content."""
    return OptionError(
        f"{shown(folder)} is no panel of extend_panel, and is not empty", "Name another folder"
    )


def state_folder(day: int) -> str:
    """Return the place of the state of a day."""
    return f"state/{day_of(day)}"


class RowFiles:
    """Files to which rows are written by ``on_grid``, put in place at the end."""

    def __init__(self, folder: Path, names: Mapping[bool, str]) -> None:
        self.folder, self.names, self.rows = folder, names, 0
        self.written: dict[str, ParquetWriter] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def write(self, rows: pa.Table) -> None:
        """Append rows to their file."""
        import pyarrow.compute as pc

        for on_grid, name in self.names.items():
            part = rows.filter(pc.equal(rows["on_grid"], on_grid)).drop_columns(["on_grid"])
            if len(part):
                self._writer(name, part.schema).write_table(part)
                self.rows += len(part)

    def _writer(self, name: str, schema: pa.Schema) -> ParquetWriter:
        import pyarrow.parquet as pq

        if name not in self.written:
            part = self._stack.enter_context(atomic_write(self.folder / name))
            self.written[name] = self._stack.enter_context(pq.ParquetWriter(part, schema))
        return self.written[name]


def remove_unused(folder: Path, kept: Kept) -> None:
    """Remove the files of earlier runs that nothing refers to any more."""
    rows = {path for files in kept.rows.values() for path in files.values()}
    used = {*rows, *kept.snapshots, kept.tail, kept.accounts}
    for path in [*folder.glob("snapshots/*.parquet"), *folder.glob("state/**/*.parquet")]:
        name = path.relative_to(folder).as_posix()
        begun = any(part.startswith(".") for part in path.parts[len(folder.parts) :])
        if name not in used and not begun and path.parent != folder / state_folder(kept.day):
            path.unlink()
    for place in folder.glob("state/*"):
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()


def read_rows(folder: Path, kept: Kept, *, only_as_of: bool = False) -> pd.DataFrame:
    """Return the rows of a folder with what is known of their accounts now."""
    import duckdb

    grid = Grid(kept.as_of, kept.every)
    d, files = grid.dialect, [*kept.snapshots, *([kept.tail] if kept.tail else [])]
    read = ", ".join(literal(str(folder / name)) for name in files)
    accounts = f"read_parquet({literal(str(folder / kept.accounts))})"
    next_t = "LEAD(t) OVER (PARTITION BY account_id ORDER BY t) AS next_t"
    limits: Any = {"memory_limit": memory_limit(), "threads": threads()}
    with TemporaryDirectory() as spill, duckdb.connect(config=limits) as connection:
        connection.execute(f"SET temp_directory = {literal(spill)}")
        connection.execute(
            f"CREATE VIEW rows AS SELECT *, {d.day('snapshot_on')} AS t FROM read_parquet([{read}])"
        )
        names = connection.sql("FROM rows LIMIT 0").columns
        has_notice = "notice" in connection.sql(f"FROM {accounts} LIMIT 0").columns
        notice = "CAST(COALESCE(notice < t, FALSE) AS BOOLEAN)" if has_notice else "notice_given"
        own = [
            quoted(n) for n in names if n not in ("account_id", "snapshot_on", "notice_given", "t")
        ]
        outcome = outcome_columns(grid, kept.causes, kept.not_churn)
        where = f"WHERE t = {kept.as_of}" if only_as_of else ""
        rows = connection.sql(
            f"SELECT account_id, customer_id, snapshot_on, {outcome}, {notice} AS notice_given,"
            f" {', '.join(own)} FROM (SELECT *, {next_t} FROM rows JOIN {accounts} AS a"
            f" USING (account_id) WHERE COALESCE(ended > t, TRUE)) AS joined {where}"
            " ORDER BY account_id, t"
        ).to_arrow_table()
    return as_frame([PanelRows(rows)], len(rows))
