"""Tables that are in a warehouse, and their panel: as a script, as a table there, or fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from leadsignal.arguments import Duration, checked, days_in, refuse_name
from leadsignal.config.project import Project, with_options
from leadsignal.config.success import SuccessAnalysis
from leadsignal.config.table_settings import TableSource
from leadsignal.config.toml_files import a_day
from leadsignal.engine.build import KEY_COLUMNS, Recipe, panel_steps
from leadsignal.engine.grid import Step
from leadsignal.engine.recipe import (
    NOT_A_NUMBER,
    Rule,
    account_rules,
    attribute_kinds,
    counted_faults,
    misnamed,
    options_of_files,
    panel_recipe,
    repeat_rules,
    row_rules,
    summed_columns,
    total_faults,
    unknown_attributes,
)
from leadsignal.engine.warehouse_sql import (
    WAREHOUSE,
    Place,
    Translator,
    history,
    identifier,
    in_sql,
    rows_inside,
    script,
    spelling_of,
    with_accounts,
)
from leadsignal.errors import Fault, OptionError, SourceError, TablesError, one_of
from leadsignal.ingestion.check_report import AttributeKind, CheckedTables, DataWarning, Loaded
from leadsignal.ingestion.column_matching import match_columns
from leadsignal.ingestion.rows_of_accounts import outside_life, outside_message
from leadsignal.ingestion.table_reader import day_after_the_latest
from leadsignal.schema import BY_NAME, LARGEST_NUMBER, TABLES
from leadsignal.sources.parts import Part, literal, quoted
from leadsignal.tables import Tables

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class Cursor(Protocol):
    """The methods required of a cursor of the Python DB-API 2.0 (PEP 249)."""

    @property
    def description(self) -> Sequence[Sequence[Any]] | None:
        """The columns of the last query, each with its name first."""

    def execute(self, query: str) -> object:
        """Run one statement."""

    def fetchall(self) -> Sequence[Sequence[Any]]:
        """Return all rows of the last query."""

    def close(self) -> object:
        """Close the cursor."""


class Connection(Protocol):
    """The methods required of a connection of the Python DB-API 2.0 (PEP 249)."""

    def cursor(self) -> Cursor:
        """Return a new cursor."""


@dataclass(frozen=True, repr=False, eq=False)
class WarehouseTables(CheckedTables):
    """Checked tables in a warehouse as they were known at midnight of ``as_of_date``.

    Used by `build_panel`, `panel_sql` and `create_panel`. ``dialect`` is that of the warehouse.
    ``names`` are the tables, ``in_warehouse`` their names there, and ``places`` their columns.
    """

    project: Project
    as_of_date: date
    names: tuple[str, ...]
    attributes: Mapping[str, AttributeKind]
    warnings: tuple[DataWarning, ...]
    dialect: str
    places: Mapping[str, Place]
    in_warehouse: Mapping[str, str]
    _connection: Connection

    def as_of(self, t: date | str) -> WarehouseTables:
        """Return the tables as they were known at midnight of another day."""
        return replace(self, as_of_date=a_day(t))

    def accounts_with(self, table: str, column: str) -> Mapping[str, int]:
        """Return the number of accounts by text in a column, for rows known on ``as_of_date``."""
        counted = f"SELECT {column}, COUNT(DISTINCT account_id) FROM ({self.history(table)}) AS h"
        where = f"WHERE superseded_on IS NULL AND {column} IS NOT NULL"
        return {str(text): int(n) for text, n in self.query(f"{counted} {where} GROUP BY {column}")}

    def history(self, name: str) -> str:
        """Return SQL for a table's rows and versions, cut at a day as in `Tables.history`."""
        places = self.places
        return history(places[name], places["accounts"], self.as_of_date, self.attributes)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT from the warehouse's tables."""
        translator = Translator(spelling_of(self.dialect), self.in_warehouse)
        return run(self._connection, [*translator.spelling.first, translator.statement(sql)])

    def run(self, statements: Iterable[str]) -> list[tuple[Any, ...]]:
        """Run statements in the dialect of the warehouse, and return the rows of the last one."""
        return run(self._connection, statements)

    def count_rows(self, name: str, conditions: Iterable[str]) -> list[int]:
        """Return the number of rows for each condition on a row ``t`` and its account ``a``."""
        sums = ", ".join(f"SUM(CASE WHEN {one} THEN 1 ELSE 0 END)" for one in conditions)
        rows = with_accounts(self.places[name], self.places["accounts"])
        return [int(count or 0) for count in self.query(f"SELECT {sums} FROM {rows}")[0]]

    def latest(self, days: Mapping[str, list[str]]) -> Iterator[date | None]:
        """Yield the largest value of SQL columns, given by table."""
        for name, of in days.items():
            listed = ", ".join(f"MAX({day})" for day in of)
            yield from self.query(f"SELECT {listed} FROM ({self._rows(name)}) AS t")[0]

    def commit(self) -> None:
        """Commit the transaction, so that others see the tables."""
        if hasattr(self._connection, "commit"):
            self._connection.commit()

    def _table(self, name: str) -> Loaded:
        return self.places[name].loaded

    def _counted(self, name: str) -> tuple[int, date | None]:
        counted = "SUM(CASE WHEN superseded_on IS NULL THEN 1 ELSE 0 END)"
        ((rows, first),) = self.query(
            f"SELECT {counted}, MIN(known_on) FROM ({self.history(name)}) AS h"
        )
        return int(rows or 0), first

    def _rows(self, name: str) -> str:
        return rows_inside(self.places[name], self.places["accounts"])

    def _texts(
        self, table: str, column: str, where: tuple[str, str] | None = None
    ) -> frozenset[str]:
        rows = f"SELECT DISTINCT {quoted(column)} FROM ({self._rows(table)}) AS c"
        only = f"{quoted(where[0])} = {literal(where[1])}" if where else "TRUE"
        found = self.query(f"{rows} WHERE {only}")
        return frozenset(str(text) for (text,) in found if text is not None)

    def __repr__(self) -> str:
        return f"WarehouseTables in {self.dialect} as of {self.as_of_date}: {', '.join(self.names)}"

    def __getattr__(self, name: str) -> Any:
        refuse_name(self, name, Tables)


def run(connection: Connection, statements: Iterable[str]) -> list[tuple[Any, ...]]:
    """Run statements one by one; return the rows of the last one, if any.

    Raises SourceError with the message of the warehouse, after a rollback.
    """
    with _cursor(connection, "the warehouse refuses") as cursor:
        for statement in statements:
            cursor.execute(statement)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []


@contextmanager
def _cursor(connection: Connection, problem: str) -> Iterator[Cursor]:
    cursor = connection.cursor()
    try:
        yield cursor
    except Exception as error:
        if hasattr(connection, "rollback"):
            connection.rollback()
        said = " ".join(str(error).split())[:500]
        remedy = "Correct the table or its name, or ask for the right to read it"
        raise SourceError(f"{problem}: {said}", remedy) from error
    finally:
        cursor.close()


@checked
def read_warehouse_tables(
    connection: Any,
    tables: Mapping[str, str],
    *,
    dialect: str,
    as_of: date | str | None = None,
    not_churn: Iterable[str] | None = None,
    causes: Mapping[str, Iterable[str]] | None = None,
    attributes: Iterable[str] | Mapping[str, str] | None = None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    project: Project | None = None,
) -> WarehouseTables:
    """Check tables in a warehouse, without moving them, and return them as tables.

    The warehouse counts the faulty rows. Only rows outside their account's lifetime are dropped.
    Cells are cast to the types of the schema; one that cannot be cast is an error of the warehouse.

    Parameters
    ----------
    connection : DB-API 2.0 connection
        A connection of the warehouse's own driver. It is used for queries and commits.
    tables : mapping of str to str
        Name of each table in the warehouse, as written in its SQL, by our name for it, such as
        ``{"accounts": "crm.accounts"}``.
    dialect : str
        "postgres", "clickhouse", "snowflake", "bigquery" or "databricks".
    as_of : date or str, optional
        Date as of which the tables are known, at midnight. Default: the day after the latest fact.
    not_churn, causes, attributes, columns, project : optional
        As in `read_tables`.

    Returns
    -------
    WarehouseTables

    Raises
    ------
    TablesError
        If rows are faulty; every kind of fault is listed with its number of rows.
    OptionError
        If the dialect or an option is unknown, or sqlglot is not installed.
    SourceError
        If the warehouse rejects a query.
    """
    spelling = spelling_of(dialect)
    project = (project or Project()).replace(as_of=as_of, not_churn=not_churn, causes=causes)
    project = with_options(project, attributes, columns)
    if not hasattr(connection, "cursor"):
        problem = f"connection is a {type(connection).__name__}, which has no cursor()"
        raise OptionError(problem, "Give a connection of the warehouse's driver (DB-API 2.0)")
    if not isinstance(tables, Mapping):
        problem = f"tables is a {type(tables).__name__}, not names in the warehouse by our names"
        raise OptionError(problem, 'Write {"accounts": "crm.accounts"}')
    if project.currency.base:
        problem = "[currency] is not applied to rows in a warehouse"
        raise OptionError(problem, "Convert the amounts there, and take the section out")
    if faults := misnamed(tables, "a warehouse"):
        raise TablesError(faults, {})
    in_warehouse = {name: in_sql(place, spelling) for name, place in tables.items()}
    places, faults = _places(connection, in_warehouse, project)
    if faults:
        raise TablesError(faults, {})
    names = tuple(places)
    read = WarehouseTables(
        project, date.max, names, {}, (), dialect, places, in_warehouse, connection
    )
    extras = places["accounts"].loaded.extras
    kinds = attribute_kinds(project, lambda name: name in extras and _all_numbers(read, name))
    read = replace(read, attributes=kinds)
    if found := [fault for name in names for fault in _faults(read, places[name])]:
        raise TablesError(found, {})
    warnings = [notice for name in names for notice in _left_out(read, places[name])]
    loaded = {name: place.loaded for name, place in places.items()}
    day = project.as_of or day_after_the_latest(project, loaded, read.latest) or date.max
    return replace(read, warnings=tuple(warnings), as_of_date=day)


def _places(
    connection: Connection, in_warehouse: Mapping[str, str], project: Project
) -> tuple[dict[str, Place], list[Fault]]:
    """Return the columns found for each table, and faults of columns."""
    places: dict[str, Place] = {}
    faults: list[Fault] = []
    for name in (table.name for table in TABLES if table.name in in_warehouse):
        with _cursor(connection, f"{in_warehouse[name]} cannot be read") as cursor:
            cursor.execute(f"SELECT * FROM {in_warehouse[name]} WHERE 1 = 0")
            theirs = [str(column[0]) for column in cursor.description or ()]
        source = project.tables.get(name, TableSource())
        part = Part(name, None, {one.lower() if one.isupper() else one: one for one in theirs})
        match, found, _ = match_columns(BY_NAME[name], part, source)
        faults += [*found, *options_of_files(name, source, "a warehouse")]
        kept = [one.name for one in BY_NAME[name].columns if one.name in match]
        extras = [a for a in source.attributes if a in part.columns and a not in match.values()]
        found_as = {**{one: match[one] for one in kept}, **{one: one for one in extras}}
        places[name] = Place(
            Loaded(BY_NAME[name], kept, sorted(extras)),
            {ours: part.columns[its] for ours, its in found_as.items()},
            source.outside,
        )
    faults += unknown_attributes(places["accounts"].loaded, "account_changes" in places, project)
    return places, faults


def _faults(tables: WarehouseTables, place: Place) -> Iterator[Fault]:
    """Yield the faults of a table's rows, with the number of rows."""
    loaded, name = place.loaded, place.loaded.table.name
    numbers = [a for a in loaded.extras if tables.attributes.get(a) == "number"]
    rules = [*row_rules(loaded), *map(_number_rule, numbers)]
    if name != "accounts":
        rules += account_rules(loaded, place.outside == "fault")
    counts = tables.count_rows(name, [rule.condition for rule in rules])
    yield from counted_faults(name, rules, counts)
    rows = f"({place.cells()}) AS t"
    if summed := summed_columns(loaded):
        sums = ", ".join(f"CAST(SUM(ABS({one.name})) AS DOUBLE)" for one in summed)
        yield from total_faults(loaded, tables.query(f"SELECT {sums} FROM {rows}")[0])
    for repeat in repeat_rules(loaded):
        by = ", ".join(map(quoted, repeat.by))
        groups = f"SELECT {by} FROM {rows} WHERE {repeat.condition} GROUP BY {by}"
        having = f"HAVING COUNT({repeat.counted}) > 1"
        if count := tables.query(f"SELECT COUNT(*) FROM ({groups} {having}) AS g")[0][0]:
            yield repeat.fault(name, count)


def _number_rule(attribute: str) -> Rule:
    cell = f"t.{quoted(attribute)}"
    unreadable = f"{cell} IS NOT NULL AND {WAREHOUSE.number(cell)} IS NULL"
    return Rule(
        attribute, unreadable, NOT_A_NUMBER, 'Correct it, or declare the attribute as "text".'
    )


def _left_out(tables: WarehouseTables, place: Place) -> Iterator[DataWarning]:
    """Yield the number of rows dropped because they are outside their account's lifetime."""
    name = place.loaded.table.name
    if name == "accounts" or place.outside != "exclude":
        return
    before, after = tables.count_rows(name, outside_life(place.loaded.table.time))
    if before or after:
        yield DataWarning("reading", name, outside_message(name, before, after))


def _all_numbers(tables: WarehouseTables, attribute: str) -> bool:
    cell = f"t.{quoted(attribute)}"
    number = f"ABS({WAREHOUSE.number(cell)}) < {LARGEST_NUMBER}"
    values, numbers = tables.count_rows("accounts", [f"{cell} IS NOT NULL", number])
    return 0 < values == numbers


INTO = "leadsignal_panel"
WHOLE = ("start", "stop", "event", "days_observed", "ended_within", "known_within")


@checked
def panel_sql(
    tables: Tables | WarehouseTables,
    analysis: SuccessAnalysis | None = None,
    *,
    into: str = INTO,
    every: Duration | None = None,
    dialect: str | None = None,
    names: Mapping[str, str] | None = None,
) -> str:
    """Return the SQL script that creates the panel as a table in a warehouse.

    The rows are those of `build_panel`. The script is for one day: it contains
    ``tables.as_of_date`` and the day from which each table is complete. It creates tables with
    names that begin with ``leadsignal_`` (temporary tables if the warehouse has them), and drops
    them at the end.

    Parameters
    ----------
    tables : Tables or WarehouseTables
        The result of `read_warehouse_tables`; or tables of the same rows read here, for a script
        that somebody else will run.
    analysis : SuccessAnalysis, optional
        As in `build_panel`.
    into : str, default "leadsignal_panel"
        The table to create, as written in the warehouse's SQL. It must not exist.
    every : duration, optional
        Time between snapshots. Default: the project's.
    dialect : {"postgres", "clickhouse", "snowflake", "bigquery", "databricks"}
        Required for tables read here; otherwise it is that of the tables.
    names : mapping of str to str, optional
        For tables read here, the name of each table in the warehouse (default: our own). The tables
        there have the columns of the schema.

    Returns
    -------
    str
        SQL statements, each followed by a semicolon and an empty line.

    Raises
    ------
    OptionError
        If the dialect or a table is unknown, or a name is too long for the warehouse.

    Examples
    --------
    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> sql = ls.warehouse.panel_sql(tables, dialect="postgres", names={"accounts": "crm.accounts"})
    >>> print(sql[:72])
    DROP TABLE IF EXISTS "leadsignal_source_accounts";
    <BLANKLINE>
    CREATE TEMPORARY TAB
    """
    if isinstance(tables, WarehouseTables):
        if names or dialect not in (None, tables.dialect):
            problem = "names and dialect are those of the tables, which are in a warehouse already"
            raise OptionError(problem, "Leave both out")
        places, sources, dialect = tables.in_warehouse, tables.places, tables.dialect
    else:
        dialect = dialect or ""
        places, sources = _places_of(tables, dialect, names or {})
    statements, _ = _statements(tables, sources, places, analysis, every, into, dialect)
    return "".join(f"{statement};\n\n" for statement in statements)


@checked
def create_panel(
    tables: WarehouseTables,
    analysis: SuccessAnalysis | None = None,
    *,
    into: str = INTO,
    every: Duration | None = None,
) -> int:
    """Create the panel as a table in the warehouse, and return its number of rows.

    Runs the statements of `panel_sql` one at a time, and commits.

    Parameters
    ----------
    tables : WarehouseTables
        The result of `read_warehouse_tables`.
    analysis, into, every
        As in `panel_sql`.

    Returns
    -------
    int
        Number of rows of the panel.

    Raises
    ------
    SourceError
        If the warehouse rejects a statement, for example because ``into`` already exists.
    OptionError
        As in `panel_sql`.
    """
    statements, _ = _panel_script(tables, analysis, every, into)
    tables.run(statements)
    ((rows,),) = tables.run([f"SELECT COUNT(*) FROM {into}"])
    tables.commit()
    return int(rows)


def warehouse_rows(
    tables: WarehouseTables, analysis: SuccessAnalysis, every: int
) -> tuple[Recipe, pd.DataFrame]:
    """Return the recipe of a panel, and its rows on this machine, unordered."""
    into = f"leadsignal_panel_{uuid4().hex[:12]}"
    statements, recipe = _panel_script(tables, analysis, every, into)
    names = [*KEY_COLUMNS, *(one.name for one in recipe.indicators)]
    try:
        tables.run(statements)
        listed = ", ".join(identifier(name, tables.dialect) for name in names)
        rows = tables.run([f"SELECT {listed} FROM {into}"])
    finally:
        tables.run([f"DROP TABLE IF EXISTS {into}"])
        tables.commit()
    return recipe, _frame(rows, recipe)


def _panel_script(
    tables: WarehouseTables, analysis: SuccessAnalysis | None, every: Duration | None, into: str
) -> tuple[list[str], Recipe]:
    places, sources = tables.in_warehouse, tables.places
    return _statements(tables, sources, places, analysis, every, into, tables.dialect)


def _places_of(
    tables: Tables, dialect: str, names: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, Place]]:
    """Return the place of each table read here in a warehouse, with the columns of the schema."""
    spelling = spelling_of(dialect)
    if not isinstance(names, Mapping):
        problem = f"names is a {type(names).__name__}, not names in the warehouse by our names"
        raise OptionError(problem, 'Write {"accounts": "crm.accounts"}')
    for name in names:
        if name not in tables.names:
            raise OptionError(f"names: {name!r} is not a table", one_of(tables.names, name))
    if tables.project.currency.base or any(table.derived for table in tables.loaded.values()):
        raise OptionError(
            "the tables were converted from other currencies, or derived from contracts",
            "Put the rows that they became into the warehouse, and read these",
        )
    places = {name: in_sql(names.get(name, name), spelling) for name in tables.names}
    sources = {}
    for name, loaded in tables.loaded.items():
        listed = {one: one.upper() if spelling.upper else one for one in tables.columns(name)}
        outside = tables.project.tables.get(name, TableSource()).outside
        sources[name] = Place(loaded, listed, outside)
    return places, sources


def _statements(
    tables: Tables | WarehouseTables,
    sources: Mapping[str, Place],
    places: Mapping[str, str],
    analysis: SuccessAnalysis | None,
    every: Duration | None,
    into: str,
    dialect: str,
) -> tuple[list[str], Recipe]:
    spelling = spelling_of(dialect)
    recipe = panel_recipe(
        tables,
        analysis or SuccessAnalysis(()),
        tables.project.every if every is None else days_in(every),
        lambda table: f"SELECT * FROM source_{table}",
        dialect=WAREHOUSE,
    )
    plan = panel_steps(recipe)
    read = [
        Step(
            f"source_{name}",
            history(source, sources["accounts"], tables.as_of_date, tables.attributes),
        )
        for name, source in sources.items()
    ]
    steps = [*read, *plan.steps]
    return script(steps, plan.select, in_sql(into, spelling), spelling, places), recipe


def _frame(rows: list[tuple[Any, ...]], recipe: Recipe) -> pd.DataFrame:
    """Return the panel's rows with the column types of a panel."""
    import pyarrow as pa

    kinds = {name: _kind_of_key(name) for name in KEY_COLUMNS}
    for one in recipe.indicators:
        kinds[one.name] = (pa.float64(), float) if one.kind == "number" else (pa.string(), str)
    cells = list(zip(*rows, strict=True)) or [()] * len(kinds)
    arrays = [
        pa.array([None if cell is None else convert(cell) for cell in column], kind)
        for column, (kind, convert) in zip(cells, kinds.values(), strict=True)
    ]
    frame: pd.DataFrame = pa.table(arrays, names=list(kinds)).to_pandas(
        date_as_object=False, coerce_temporal_nanoseconds=True
    )
    return frame


def _kind_of_key(name: str) -> tuple[pa.DataType, Callable[[Any], Any]]:
    import pyarrow as pa

    if name in WHOLE:
        return (pa.int32() if name == "event" else pa.int64()), int
    others: dict[str, tuple[pa.DataType, Callable[[Any], Any]]] = {
        "snapshot_on": (pa.date32(), lambda day: day),
        "notice_given": (pa.bool_(), bool),
        "arr": (pa.float64(), float),
    }
    return others.get(name, (pa.string(), str))


def ended_accounts(tables: WarehouseTables) -> pd.DataFrame:
    """Return the accounts whose end is known, on this machine, as in `Tables.frame`."""
    import pandas as pd

    extras = [a for a in tables.attributes if a not in BY_NAME["accounts"].by_column]
    names = [*(column.name for column in BY_NAME["accounts"].columns), *extras]
    listed = ", ".join(map(quoted, names))
    gone = "superseded_on IS NULL AND ended_on IS NOT NULL"
    rows = tables.query(f"SELECT {listed} FROM ({tables.history('accounts')}) AS h WHERE {gone}")
    frame = pd.DataFrame(rows, columns=pd.Index(names))
    days = [
        column.name for column in BY_NAME["accounts"].columns if column.kind in ("day", "moment")
    ]
    return frame.assign(**{day: pd.to_datetime(frame[day]) for day in days})
