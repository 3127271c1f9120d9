"""The panel in a warehouse: as a script, as a table there, or fetched to this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from leadsignal.arguments import Duration, checked, days_in
from leadsignal.config.success import SuccessAnalysis
from leadsignal.config.table_settings import TableSource
from leadsignal.engine.build import KEY_COLUMNS, Recipe, panel_steps
from leadsignal.engine.grid import Step
from leadsignal.engine.recipe import panel_recipe
from leadsignal.engine.warehouse_sql import (
    WAREHOUSE,
    Place,
    history,
    identifier,
    in_sql,
    script,
    spelling_of,
)
from leadsignal.engine.warehouse_tables import WarehouseTables
from leadsignal.errors import OptionError, one_of
from leadsignal.schema import BY_NAME
from leadsignal.sources.parts import quoted
from leadsignal.tables import Tables

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

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
