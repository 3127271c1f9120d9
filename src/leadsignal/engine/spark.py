"""Run the steps on Apache Spark, as temporary views that are computed when rows are asked for.

The views live in a session of their own beside the caller's, so that no view of his is touched.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from leadsignal.config.success import SuccessAnalysis
from leadsignal.engine.build import Recipe, panel_steps
from leadsignal.engine.checked_tables import CheckedTables
from leadsignal.engine.grid import Step
from leadsignal.engine.recipe import panel_recipe
from leadsignal.errors import OptionError
from leadsignal.ingestion.dialect import Spark
from leadsignal.sources.parts import literal
from leadsignal.tables import Tables

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame, SparkSession

    from leadsignal.ingestion.data_warnings import DataWarning

PAGE = "2m"
"""A task of the panel sorts and joins some dozen tables at once; each takes a page at least."""

INSTALL = "Install it with: pip install 'leadsignal[spark]'; it also needs a Java runtime, 17 or 21"


def spark_session(existing: Any = None) -> SparkSession:
    """Return the given session, else the active one, else a new one on this machine.

    Raises OptionError where pyspark is not installed, or the session is of Spark Connect.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise OptionError(
            "the engine spark needs pyspark, which is not installed", INSTALL
        ) from None
    session = existing or SparkSession.getActiveSession()
    if session is None:
        _refuse_without_java()
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.appName("leadsignal")
        session = builder.config("spark.buffer.pageSize", PAGE).getOrCreate()
    if not isinstance(session, SparkSession):
        raise OptionError(
            f"a {type(session).__module__}.{type(session).__name__} is not a session that can run"
            " the panel",
            "Give a pyspark.sql.SparkSession; Spark Connect is not supported",
        )
    return session


def _refuse_without_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java") is None and not (home and (Path(home) / "bin" / "java").exists()):
        raise OptionError("Spark needs a Java runtime, and there is none", INSTALL)


@dataclass(frozen=True, repr=False, eq=False)
class Rows:
    """Rows that Spark computes on demand: ``frame`` in the caller's session.

    ``persisted`` are the intermediate frames kept in memory or on disk until `close`.
    """

    frame: DataFrame
    persisted: tuple[DataFrame, ...]
    views: tuple[str, ...]

    def close(self) -> None:
        """Free memory and disk; ``frame`` cannot be read afterwards."""
        for frame in self.persisted:
            frame.unpersist()
        for view in self.views:
            self.frame.sparkSession.catalog.dropGlobalTempView(view)

    def to_pandas(self, *order: str) -> pd.DataFrame:
        """Compute the rows and return them on this machine, sorted by some columns."""
        rows: pd.DataFrame = (
            self.frame.orderBy(*order)
            .toArrow()
            .to_pandas(date_as_object=False, coerce_temporal_nanoseconds=True)
        )
        return rows


class TablesInSpark(CheckedTables, Protocol):
    """Checked tables whose rows are in Spark already."""

    @property
    def warnings(self) -> tuple[DataWarning, ...]:
        """What is odd in the tables."""

    def history(self, name: str) -> DataFrame:
        """Return a table's rows and versions, cut at ``as_of_date``."""


def panel_rows(
    tables: Tables | TablesInSpark,
    analysis: SuccessAnalysis,
    every: int,
    session: SparkSession,
    staging: Path | None,
    *,
    only_as_of: bool = False,
    draw: Callable[[str], str] | None = None,
) -> tuple[Recipe, Rows]:
    """Return what a panel is made from, and its rows, which nothing has computed yet.

    ``staging`` is the folder through which checked tables reach Spark; ``draw`` makes the SELECT of
    all rows that of a sample.
    """
    recipe = panel_recipe(
        tables, analysis, every, read_source, only_as_of=only_as_of, dialect=Spark()
    )
    plan = panel_steps(recipe)
    if isinstance(tables, Tables):
        frames = exported(tables, session, staging_folder(session, staging))
    else:
        frames = {source_view(name): tables.history(name) for name in tables.names}
    return recipe, rows_of(session, frames, plan.steps, draw(plan.select) if draw else plan.select)


def rows_of(
    session: SparkSession, read: Mapping[str, DataFrame], steps: Sequence[Step], select: str
) -> Rows:
    """Return the rows of a SELECT over the steps; ``read`` are the frames that these read.

    Steps that are read more than once are persisted (memory, then disk) when first computed.
    """
    space = session.conf.get("spark.sql.globalTempDatabase", "global_temp")
    name = f"leadsignal_{uuid.uuid4().hex}"
    own = session.newSession()
    # Rows stay where their account is: the joins need not move them by account and day again.
    own.conf.set("spark.sql.requireAllClusterKeysForCoPartition", "false")
    for view, frame in read.items():
        frame.createOrReplaceGlobalTempView(f"{name}_{view}")
        own.table(f"{space}.{name}_{view}").createOrReplaceTempView(view)
    persisted = []
    for step in steps:
        frame = own.sql(step.sql)
        if _readers(step.name, steps, select) > 1:
            persisted.append(frame.persist())
        frame.createOrReplaceTempView(step.name)
    own.sql(select).createOrReplaceGlobalTempView(name)
    views = (name, *(f"{name}_{view}" for view in read))
    return Rows(session.table(f"{space}.{name}"), tuple(persisted), views)


def _readers(name: str, steps: Sequence[Step], select: str) -> int:
    """Count the places that read a step; equal text elsewhere in the SQL may add one."""
    pattern = re.compile(rf"\b{re.escape(name)}\b")
    return sum(len(pattern.findall(sql)) for sql in (*(step.sql for step in steps), select))


def source_view(table: str) -> str:
    """Return the name of the view that a table's rows are read from.

    >>> source_view("tickets")
    'source_tickets'
    """
    return f"source_{table}"


def read_source(table: str) -> str:
    """Return the SELECT of a table's rows where these are a view."""
    return f"SELECT * FROM {Spark().quoted(source_view(table))}"


def exported(tables: Tables, session: SparkSession, folder: str | Path) -> dict[str, DataFrame]:
    """Write the rows that a panel reads as Parquet below ``folder``, and return Spark's frames.

    The rows have been checked and are cut at ``as_of_date``, versions and all.
    """
    frames = {}
    for table in tables.names:
        path = Path(folder) / table
        path.mkdir(parents=True)
        tables.connection.cursor().execute(
            f"COPY ({tables.history(table)}) TO {literal(str(path / 'rows.parquet'))}"
            " (FORMAT parquet, COMPRESSION zstd)"
        ).fetchall()
        frames[source_view(table)] = session.read.parquet(str(path))
    return frames


def staging_folder(session: SparkSession, parent: Path | None) -> Path:
    """Return a fresh folder that Spark can read: in ``parent``, or a temporary one.

    A temporary one is removed when the process ends. Raises OptionError where Spark runs on other
    machines and no folder is given.
    """
    if parent is None and not str(session.sparkContext.master).startswith("local"):
        raise OptionError(
            f"Spark runs on {session.sparkContext.master} and reads the rows from files",
            "Give staging, a folder that this machine and Spark's machines can read",
        )
    folder = Path(tempfile.mkdtemp(prefix="leadsignal-spark-", dir=parent))
    if parent is None:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
