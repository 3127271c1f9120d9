"""Run the steps on Apache Spark, as temporary views that are computed lazily.

Sessions are classic (``pyspark.sql.SparkSession``) or Spark Connect sessions, which have neither
Java objects nor a local SparkContext. Views have unique names, so that none of the caller's views
is replaced.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sys
import tempfile
import uuid
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.config.success import SuccessAnalysis
from leadsignal.engine.build import Recipe, panel_steps
from leadsignal.engine.grid import Step
from leadsignal.engine.recipe import panel_recipe
from leadsignal.errors import OptionError
from leadsignal.ingestion.check_report import CheckedTables
from leadsignal.ingestion.dialect import Spark
from leadsignal.sources.parts import literal
from leadsignal.tables import Tables

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame, SparkSession

    from leadsignal.account_sample import AccountSample
    from leadsignal.ingestion.check_report import DataWarning

PAGE = "2m"
"""Page size of Spark: a panel task sorts and joins dozens of tables, each with at least a page."""

HERE = ("localhost", "127.0.0.1", "::1", "[::1]")
"""Hosts of a Spark Connect server that can read local files."""

INSTALL = "Install it with: pip install 'leadsignal[spark]'; it also needs a Java runtime, 17 or 21"


def spark_session(existing: Any = None) -> SparkSession:
    """Return the given session, else the active one, else a new local one.

    If ``SPARK_REMOTE`` names a Spark Connect server, a new session is created there. Raises
    OptionError if pyspark is not installed, or the argument is not a session.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise OptionError(
            "the engine spark needs pyspark, which is not installed", INSTALL
        ) from None
    session = existing or SparkSession.getActiveSession()
    if session is None and "SPARK_REMOTE" in os.environ:
        return SparkSession.builder.getOrCreate()
    if session is None:
        _refuse_without_java()
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.appName("leadsignal")
        session = builder.config("spark.buffer.pageSize", PAGE).getOrCreate()
    if not isinstance(session, SparkSession) and not is_connect(session):
        raise OptionError(
            f"a {type(session).__module__}.{type(session).__name__} is not a session that can run"
            " the panel",
            "Give a pyspark.sql.SparkSession, classic or of Spark Connect",
        )
    return session


def is_connect(thing: object) -> bool:
    """Whether a session or frame is from Spark Connect, by its type."""
    return any(one.__module__.startswith("pyspark.sql.connect.") for one in type(thing).__mro__)


def functions_of(frame: DataFrame) -> Any:
    """Return the module with the functions that match a frame's columns."""
    from importlib import import_module

    kind = "connect." if is_connect(frame) else ""
    return import_module(f"pyspark.sql.{kind}functions")


def _refuse_without_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java") is None and not (home and (Path(home) / "bin" / "java").exists()):
        raise OptionError("Spark needs a Java runtime, and there is none", INSTALL)


@dataclass(frozen=True, repr=False, eq=False)
class Rows:
    """Rows that Spark computes on demand: ``frame`` in the caller's session.

    ``persisted`` are the intermediate frames kept in memory or on disk until `close`; ``read`` are
    the source frames of all others, by the name of their view.
    """

    frame: DataFrame
    persisted: tuple[DataFrame, ...]
    views: tuple[str, ...]
    read: Mapping[str, DataFrame] = field(default_factory=dict)

    def close(self) -> None:
        """Free memory and disk space; ``frame`` cannot be read afterwards."""
        for frame in self.persisted:
            frame.unpersist()
        catalog = self.frame.sparkSession.catalog
        drop = catalog.dropTempView if is_connect(self.frame) else catalog.dropGlobalTempView
        for view in self.views:
            drop(view)

    def to_pandas(self, *order: str) -> pd.DataFrame:
        """Compute the rows and return them locally, sorted by some columns."""
        return in_memory(self.frame, *order)


def in_memory(frame: DataFrame, *order: str) -> pd.DataFrame:
    """Compute the rows of a frame and return them locally, sorted by some columns."""
    rows: pd.DataFrame = (
        frame.orderBy(*order)
        .toArrow()
        .to_pandas(date_as_object=False, coerce_temporal_nanoseconds=True)
    )
    return rows


class TablesInSpark(CheckedTables):
    """Checked tables whose rows are already in Spark, of all customers or of a ``sample``."""

    warnings: tuple[DataWarning, ...]
    sample: AccountSample | None

    @abstractmethod
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
    """Return the recipe of a panel, and its rows, which have not been computed yet.

    ``staging`` is the folder through which checked tables reach Spark; ``draw`` converts the SELECT
    of all rows to that of a sample.
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
    """Return the rows of a SELECT from the steps; ``read`` are the source frames.

    Steps that are used several times are persisted (in memory, then on disk) when first computed.
    """
    name, persisted = f"leadsignal_{uuid.uuid4().hex}", []
    views = _Views(session, name) if is_connect(session) else _ViewsBeside(session, name)
    for view, frame in read.items():
        views.share(view, frame)
    for step in steps:
        frame = views.sql(step.sql)
        if _readers(step.name, steps, select) > 1:
            persisted.append(frame.persist())
        views.keep(step.name, frame)
    return Rows(views.result(select), tuple(persisted), tuple(views.to_drop), read)


class _Views:
    """Views with unique names in the caller's session, which SQL reads by their short names."""

    def __init__(self, session: SparkSession, name: str) -> None:
        self.session, self.name = session, name
        self.places: dict[str, str] = {}
        self.to_drop: list[str] = []

    def share(self, view: str, frame: DataFrame) -> None:
        """Make a frame of the caller's session available as a view."""
        self.keep(view, frame)

    def keep(self, view: str, frame: DataFrame) -> None:
        """Make a frame available to the next steps as a view."""
        self.places[view] = f"{self.name}_{view}"
        frame.createOrReplaceTempView(self.places[view])
        self.to_drop.append(self.places[view])

    def sql(self, query: str) -> DataFrame:
        """Return the rows of a SELECT that uses the short names of views."""
        return self.session.sql(renamed(query, self.places))

    def result(self, select: str) -> DataFrame:
        """Return the rows of the final SELECT, in the caller's session."""
        return self.sql(select)


class _ViewsBeside(_Views):
    """Views in a separate session with its own settings, beside the caller's."""

    def __init__(self, session: SparkSession, name: str) -> None:
        super().__init__(session, name)
        self.space = session.conf.get("spark.sql.globalTempDatabase", "global_temp")
        self.own = session.newSession()
        # Rows stay partitioned by account, so that joins by account and day need no new shuffle.
        self.own.conf.set("spark.sql.requireAllClusterKeysForCoPartition", "false")
        # Sorting all events to join them with their accounts costs more than a hash table of these.
        self.own.conf.set("spark.sql.join.preferSortMergeJoin", "false")

    def share(self, view: str, frame: DataFrame) -> None:
        """Make a frame of the caller's session available in the separate session."""
        self.keep(view, self._shown(f"{self.name}_{view}", frame, self.own))

    def keep(self, view: str, frame: DataFrame) -> None:
        """Name a frame in the separate session; the view disappears with it."""
        frame.createOrReplaceTempView(view)

    def sql(self, query: str) -> DataFrame:
        """Return the rows of a SELECT."""
        return self.own.sql(query)

    def result(self, select: str) -> DataFrame:
        """Make the rows of the final SELECT available in the caller's session."""
        return self._shown(self.name, self.sql(select), self.session)

    def _shown(self, name: str, frame: DataFrame, session: SparkSession) -> DataFrame:
        frame.createOrReplaceGlobalTempView(name)
        self.to_drop.append(name)
        return session.table(f"{self.space}.{name}")


_READ = re.compile(
    r"'(?:\\.|[^'\\])*'"
    r"|\b(?P<word>FROM|JOIN) (?P<quote>`?)(?P<view>\w+)(?P=quote)(?![.\w`])(?P<alias> AS\b)?"
    r"|`[^`]*`"
)
"""Pattern for a string, a view that is read, and any other name in backticks, in Spark SQL."""


def renamed(query: str, places: Mapping[str, str]) -> str:
    """Return SQL that reads other views, under aliases that keep their names.

    >>> renamed("SELECT grid.t, 'FROM grid' FROM grid JOIN spine AS s", {"grid": "x", "spine": "y"})
    "SELECT grid.t, 'FROM grid' FROM x AS grid JOIN y AS s"
    """

    def one(found: re.Match[str]) -> str:
        view = found["view"]
        if view not in places:
            return found[0]
        return f"{found['word']} {places[view]}{found['alias'] or f' AS {view}'}"

    return _READ.sub(one, query)


def _readers(name: str, steps: Sequence[Step], select: str) -> int:
    """Count the places that read a step; the same text elsewhere in the SQL may add one."""
    pattern = re.compile(rf"\b{re.escape(name)}\b")
    return sum(len(pattern.findall(sql)) for sql in (*(step.sql for step in steps), select))


def source_view(table: str) -> str:
    """Return the name of the view from which a table's rows are read.

    >>> source_view("tickets")
    'source_tickets'
    """
    return f"source_{table}"


def read_source(table: str) -> str:
    """Return the SELECT of a table's rows from its view."""
    return f"SELECT * FROM {Spark().quoted(source_view(table))}"


def exported(tables: Tables, session: SparkSession, folder: str | Path) -> dict[str, DataFrame]:
    """Write the rows that a panel needs as Parquet below ``folder``, and return Spark frames.

    The rows are checked and cut at ``as_of_date``, and include all versions.
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
    """Return a new folder that Spark can read: in ``parent``, or a temporary one.

    A temporary one is removed when the process ends. Raises OptionError if Spark runs on other
    machines and no folder is given.
    """
    where = elsewhere(session) if parent is None else ""
    if where:
        raise OptionError(
            f"Spark runs on {where} and reads the rows from files",
            "Give staging, a folder that this machine and Spark's machines can read",
        )
    folder = Path(tempfile.mkdtemp(prefix="leadsignal-spark-", dir=parent))
    if parent is None:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def elsewhere(session: Any) -> str:
    """Return where Spark runs; empty if it runs on this machine."""
    if is_connect(session) and session.client.host not in HERE:
        return str(session.client.host)
    master = str(session.conf.get("spark.master", "a cluster"))
    return "" if master.startswith("local") else master
