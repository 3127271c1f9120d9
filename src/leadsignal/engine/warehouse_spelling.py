"""SQL of each warehouse that sqlglot does not translate, as one data entry per warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

from leadsignal.config.toml_files import one_of
from leadsignal.errors import OptionError
from leadsignal.ingestion.dialect import Spark

_NUMBER = "'^[[:space:]]*[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)(e[+-]?[0-9]{1,2})?[[:space:]]*$'"


@dataclass(frozen=True)
class Spelling:
    """SQL of a warehouse that sqlglot does not translate; ``{0}`` is the first argument.

    ``calls`` are templates for the placeholder functions of `Warehouse`, and for functions that
    treat NULL differently. If sequences can only be generated in FROM, they have ``LS_SERIES`` and
    ``LS_NTH`` instead of ``LS_DAYS``. ``create`` creates the table of a step, ``into`` that of the
    panel; ``after`` follows each step. ``first`` starts the script. ``drops`` says that the tables
    of the steps must be dropped, because they are not temporary. ``LEAST`` and ``GREATEST`` have
    two arguments. ``types`` replaces type names. ``longest`` is the maximum length of a name in
    bytes (0 for no limit), and ``upper`` says that unquoted names are in upper case.
    """

    name: str
    calls: Mapping[str, str]
    create: str
    into: str = "CREATE TABLE {0} AS\n{1}"
    types: Mapping[str, str] = field(default_factory=dict)
    after: str = ""
    first: tuple[str, ...] = ()
    drops: bool = True
    longest: int = 0
    upper: bool = False


_TEXT = "NULLIF(CAST({0} AS STRING), '')"
_ANY_NAMES = "TBLPROPERTIES ('delta.columnMapping.mode' = 'name')"
"""Table property without which column names must not contain spaces."""
_FLOOR = "CAST(FLOOR(({0}) / {1}) AS INT)"

SPELLINGS = {
    one.name: one
    for one in (
        Spelling(
            "postgres",
            {
                "LS_DAY": "({0} - CAST('1970-01-01' AS DATE))",
                "LS_DATE": "(CAST('1970-01-01' AS DATE) + CAST({0} AS INT))",
                "LS_MONTHS": "CAST({0} + MAKE_INTERVAL(months => CAST({1} AS INT)) AS DATE)",
                "LS_DAYS": "GENERATE_SERIES({0}, {1}, {2})",
                "LS_FLOOR": "CAST(FLOOR(({0}) / CAST({1} AS DOUBLE PRECISION)) AS INT)",
                "LS_NUMBER": f"CASE WHEN {{0}} ~* {_NUMBER}"
                " THEN CAST({0} AS DOUBLE PRECISION) END",
                # All other warehouses sort text by its bytes.
                "LS_TEXT": "NULLIF(CAST({0} AS TEXT), '') COLLATE \"C\"",
            },
            "CREATE TEMPORARY TABLE {0} AS\n{1}",
            after="ANALYZE {0}",
            longest=63,
        ),
        Spelling(
            "clickhouse",
            {
                "LS_DAY": "toInt32({0})",
                "LS_DATE": "addDays(toDate32('1970-01-01'), {0})",
                "LS_MONTHS": "addMonths({0}, {1})",
                "LS_DAYS": "arrayJoin(range(CAST({0} AS Int32), CAST({1} + 1 AS Int32), {2}))",
                # ClickHouse divides by zero where the divisor is missing.
                "LS_FLOOR": "accurateCastOrNull(floor(({0}) / {1}), 'Int32')",
                "LS_NUMBER": "toFloat64OrNull(trim({0}))",
                "LS_TEXT": "NULLIF(CAST({0} AS Nullable(String)), '')",
                "LAG": "lag(toNullable({0}))",
                "LEAD": "lead(toNullable({0}))",
            },
            "CREATE TEMPORARY TABLE {0} AS\n{1}",
            into="CREATE TABLE {0} ENGINE = MergeTree ORDER BY tuple() AS\n{1}",
            types={"DATE": "Date32", "TIMESTAMP": "DateTime64(6)"},
            first=(
                "SET join_use_nulls = 1",
                "SET prefer_column_name_to_alias = 1",
                "SET least_greatest_legacy_null_behavior = 0",
            ),
        ),
        Spelling(
            "snowflake",
            {
                "LS_DAY": "DATEDIFF(DAY, CAST('1970-01-01' AS DATE), {0})",
                "LS_DATE": "DATEADD(DAY, {0}, CAST('1970-01-01' AS DATE))",
                "LS_MONTHS": "DATEADD(MONTH, {1}, {0})",
                "LS_SERIES": "TABLE(FLATTEN(INPUT => ARRAY_GENERATE_RANGE({0}, {1} + 1, {2})))",
                "LS_NTH": "CAST({0}.VALUE AS INT)",
                "LS_NUMBER": "TRY_TO_DOUBLE(TRIM({0}))",
                "LS_FLOOR": _FLOOR,
                "LS_TEXT": _TEXT,
            },
            "CREATE OR REPLACE TEMPORARY TABLE {0} AS\n{1}",
            upper=True,
        ),
        Spelling(
            "bigquery",
            {
                "LS_DAY": "UNIX_DATE({0})",
                "LS_DATE": "DATE_FROM_UNIX_DATE({0})",
                "LS_MONTHS": "DATE_ADD({0}, INTERVAL {1} MONTH)",
                "LS_SERIES": "UNNEST(GENERATE_ARRAY({0}, {1}, {2}))",
                "LS_NTH": "{0}",
                "LS_NUMBER": "SAFE_CAST(TRIM({0}) AS FLOAT64)",
                "LS_FLOOR": _FLOOR,
                "LS_TEXT": _TEXT,
                "LEAST": "COALESCE(LEAST({0}, {1}), {0}, {1})",
                "GREATEST": "COALESCE(GREATEST({0}, {1}), {0}, {1})",
            },
            "CREATE OR REPLACE TEMP TABLE {0} AS\n{1}",
            drops=False,
        ),
        Spelling(
            "databricks",
            {
                "LS_DAY": "UNIX_DATE({0})",
                "LS_DATE": "DATE_FROM_UNIX_DATE({0})",
                "LS_MONTHS": "ADD_MONTHS({0}, {1})",
                "LS_DAYS": "EXPLODE(CASE WHEN {0} <= {1} THEN SEQUENCE({0}, {1}, {2}) END)",
                "LS_NUMBER": Spark().number("{0}"),
                "LS_FLOOR": _FLOOR,
                "LS_TEXT": _TEXT,
            },
            f"CREATE OR REPLACE TABLE {{0}} {_ANY_NAMES} AS\n{{1}}",
            into=f"CREATE TABLE {{0}} {_ANY_NAMES} AS\n{{1}}",
        ),
    )
}


def spelling_of(dialect: str) -> Spelling:
    """Return the spelling of a warehouse.

    Raises OptionError if the warehouse is unknown, or sqlglot is not installed.
    """
    if find_spec("sqlglot") is None:
        remedy = "Install it with: pip install 'leadsignal[warehouse]'"
        raise OptionError("SQL for a warehouse needs sqlglot, which is not installed", remedy)
    if dialect not in SPELLINGS:
        raise OptionError(f"dialect = {dialect!r} is not known", one_of(SPELLINGS, str(dialect)))
    return SPELLINGS[dialect]
