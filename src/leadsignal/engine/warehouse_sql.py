"""The steps of a panel as a script for a warehouse, translated by sqlglot.

The SQL is that of DuckDB, in which `Warehouse` writes functions that differ between engines as
placeholders (``LS_DAY``). sqlglot translates the rest: types, quotes, NULL, division. The running
maximum of a pair, which few warehouses can compute, becomes that of a row number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import reduce
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from leadsignal.engine.grid import Carried, CarriedColumn, Change, Step, Term, carried
from leadsignal.errors import OptionError, one_of
from leadsignal.ingestion.cells import sql_type
from leadsignal.ingestion.check_report import AttributeKind, Loaded
from leadsignal.ingestion.dialect import Dialect, DuckDB, Spark
from leadsignal.ingestion.rows_of_accounts import outside_life
from leadsignal.ingestion.table_reader import settled
from leadsignal.package_data import packaged_toml
from leadsignal.schema import Column
from leadsignal.sources.parts import quoted
from leadsignal.tables import cut_at

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.generator import Generator


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
    first: Sequence[str] = ()
    drops: bool = True
    longest: int = 0
    upper: bool = False


def _spellings() -> dict[str, Spelling]:
    entries = packaged_toml("leadsignal.engine", "warehouses.toml")
    # Databricks, which has no call of its own, reads numbers as Spark does.
    shared = {"LS_NUMBER": Spark().number("{0}"), **entries.pop("shared")}
    return {
        name: Spelling(**{"name": name, **entry, "calls": {**shared, **entry["calls"]}})
        for name, entry in entries.items()
    }


SPELLINGS = _spellings()


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


# Scripts ------------------------------------------------------------------------------------------


PREFIX = "leadsignal_"
"""Prefix of the script's own tables."""

RAW = f"{PREFIX}raw_"
"""Prefix of the tables of the warehouse until their names are filled in."""


@dataclass(frozen=True)
class Warehouse(DuckDB):
    """DuckDB's dialect, with placeholders for the functions in `Spelling.calls`."""

    def day(self, column: str) -> str:
        """Return a placeholder."""
        return f"LS_DAY({column})"

    def date(self, number: str) -> str:
        """Return a placeholder."""
        return f"LS_DATE({number})"

    def floor_divide(self, over: str, under: int | str) -> str:
        """Return a placeholder."""
        return f"LS_FLOOR({over}, {under})"

    def scaled(self, column: str, decimals: int) -> str:
        """Round after a cast to more digits, because ClickHouse truncates a double in a cast."""
        longer = f"CAST({column} AS DECIMAL(38,{decimals + 4}))"
        return f"CAST(ROUND({longer} * {10**decimals}) AS BIGINT)"

    def days_from_to(self, first: str, last: str, step: int) -> str:
        """Return a placeholder."""
        return f"LS_DAYS({first}, {last}, {step})"

    def among(self, column: str, texts: Iterable[str]) -> str:
        """Compare with standard SQL."""
        return Dialect.among(self, column, texts)

    def position(self, column: str, texts: Iterable[str]) -> str:
        """Compare with standard SQL."""
        return Dialect.position(self, column, texts)

    def add_months(self, day: str, months: str) -> str:
        """Return a placeholder."""
        return f"LS_MONTHS({day}, {months})"

    def pair(self, first: str, second: str) -> str:
        """Return a placeholder, which `without_pairs` removes."""
        return f"LS_PAIR({first}, {second})"

    def number(self, text: str) -> str:
        """Return a placeholder."""
        return f"LS_NUMBER({text})"


WAREHOUSE = Warehouse()


def identifier(name: str, dialect: str) -> str:
    """Return a name, quoted for the warehouse."""
    from sqlglot import exp

    return exp.to_identifier(name, quoted=True).sql(dialect=dialect)


def text_of(column: str) -> str:
    """Return SQL for a column as text, NULL if empty, sorted by its bytes."""
    return f"LS_TEXT({column})"


class Translator:
    """Translates steps for one warehouse.

    ``places`` maps the tables of the warehouse to their names there; ``own`` are the names of the
    tables that the script creates.
    """

    def __init__(
        self, spelling: Spelling, places: Mapping[str, str], own: Iterable[str] = ()
    ) -> None:
        self.spelling, self.own = spelling, frozenset(own)
        self.generator = _generator(spelling)
        self.places = {
            identifier(RAW + name, spelling.name): place for name, place in places.items()
        }

    def statement(self, sql: str) -> str:
        """Return a SELECT in the dialect of the warehouse."""
        tree = parsed(sql)
        self._rename(tree)
        if "LS_DAYS" not in self.spelling.calls:
            _read_series(tree)
        self._refuse_long_names(tree)
        text: str = self.generator.generate(tree)
        for name, place in self.places.items():
            text = text.replace(name, place)
        return text

    def _refuse_long_names(self, tree: exp.Expr) -> None:
        from sqlglot import exp

        longest = self.spelling.longest
        names = {one.name for one in tree.find_all(exp.Identifier)} if longest else set()
        if long := sorted(name for name in names if len(name.encode()) > longest):
            raise OptionError(
                f"{self.spelling.name} cuts names after {longest} bytes: {', '.join(long[:3])}",
                "Give the process, metric, behaviour or attribute a shorter name",
            )

    def _rename(self, tree: exp.Expr) -> None:
        """Prefix the script's tables, so that they hide no others; rewrite ``m1.a``."""
        from sqlglot import exp

        for table in tree.find_all(exp.Table):
            if table.name in self.own:
                if not table.alias:
                    table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
                table.set("this", exp.to_identifier(PREFIX + table.name))
        for column in tree.find_all(exp.Column):
            if re.fullmatch(r"m[0-9]+", column.table):
                column.set("this", exp.to_identifier(f"{column.table}_{column.name}"))
                column.set("table", None)
        # ClickHouse would otherwise name the column ``grid.t``.
        for select in tree.find_all(exp.Select):
            select.set("expressions", [_named(one) for one in select.expressions])


def _named(column: exp.Expr) -> exp.Expr:
    from sqlglot import exp

    if isinstance(column, exp.Column) and column.table and not column.is_star:
        return exp.alias_(column, column.name)
    return column


def parsed(sql: str) -> exp.Expr:
    """Parse DuckDB SQL into a tree."""
    from sqlglot import parse_one

    return parse_one(sql, read="duckdb")


def _generator(spelling: Spelling) -> Generator:
    """Return sqlglot's generator for a warehouse, which fills the templates of placeholders."""
    from sqlglot import ErrorLevel, exp
    from sqlglot.dialects.dialect import Dialect

    dialect = Dialect.get_or_raise(spelling.name)
    theirs: Any = type(dialect.generator())

    def call(generator: Any, node: exp.Expr) -> str:
        ours = node.name if isinstance(node, exp.Anonymous) else type(node).__name__.upper()
        if ours not in spelling.calls:
            return str(generator.anonymous_sql(node))
        first = [] if isinstance(node, exp.Anonymous) else [node.this]
        arguments = [str(generator.sql(one)) for one in [*first, *node.expressions]]
        if ours in ("LEAST", "GREATEST"):
            return reduce(lambda *two: filled(spelling.calls[ours], two), arguments)
        return filled(spelling.calls[ours], arguments)

    others = (exp.Lag, exp.Lead, exp.Least, exp.Greatest)
    spelt = [exp.Anonymous, *(one for one in others if one.__name__.upper() in spelling.calls)]
    kinds = {exp.DType[name]: text for name, text in spelling.types.items()}
    changed = {
        "TRANSFORMS": {**theirs.TRANSFORMS, **dict.fromkeys(spelt, call)},
        "TYPE_MAPPING": {**theirs.TYPE_MAPPING, **kinds},
    }
    spelling_generator: Generator = type(theirs.__name__, (theirs,), changed)(
        dialect=dialect, identify=True, pretty=True, unsupported_level=ErrorLevel.IGNORE
    )
    return spelling_generator


def filled(template: str, arguments: Sequence[str]) -> str:
    """Fill a template with arguments.

    >>> filled("f({1}, {0}) ~ 'x{1,2}'", ["a", "b"])
    "f(b, a) ~ 'x{1,2}'"
    """
    return re.sub(r"\{(\d)\}", lambda found: arguments[int(found[1])], template)


def _read_series(tree: exp.Expr) -> None:
    """Read sequences from a table instead of generating them in the SELECT list."""
    from sqlglot import exp

    for call in list(tree.find_all(exp.Anonymous)):
        if call.name != "LS_DAYS":
            continue
        select = call.find_ancestor(exp.Select)
        assert select is not None  # noqa: S101  # A call of ours is part of a SELECT.
        table = exp.Table(
            this=exp.Anonymous(this="LS_SERIES", expressions=call.expressions),
            alias=exp.TableAlias(this=exp.to_identifier("series", quoted=True)),
        )
        call.replace(
            exp.Anonymous(this="LS_NTH", expressions=[exp.to_identifier("series", quoted=True)])
        )
        if select.args.get("from_"):
            select.append("joins", exp.Join(this=table, kind="CROSS"))
        else:
            select.set("from_", exp.From(this=table))


def without_pairs(step: Carried) -> list[Step]:
    """Return steps that create the same table without comparing pairs.

    Rows with a pair are numbered by account in the order of their pairs. The largest number is
    carried forward and identifies the row with the value. If both parts are needed, as for an
    episode, column ``m1`` is that number, and ``m1_a`` and ``m1_b`` are the parts.
    """
    pairs = [column for column in step.columns if column.how == "largest pair"]
    if not pairs:
        return [step]
    others = [column for column in step.columns if column.how != "largest pair"]
    used = sorted({term.change for column in others for term in column.terms})
    changes = [_numbers_only(step.changes[number]) for number in used]
    columns = [
        replace(
            column,
            terms=tuple(replace(term, change=used.index(term.change)) for term in column.terms),
        )
        for column in others
    ]
    numbered, joins, values = [], [], [quoted(column.name) for column in others]
    for column in pairs:
        name = f"{step.name}_{column.name}"
        numbered.append(Step(name, _numbered(step, column)))
        changes.append(Change(f"SELECT account_no, first, day, n FROM {name}"))
        columns.append(CarriedColumn(column.name, (Term(len(changes) - 1, "n"),), "largest"))
        joins.append(
            f"LEFT JOIN {name} ON {name}.account_no = c.account_no AND {name}.n = c.{column.name}"
        )
        if column.part:
            values.append(f"{name}.b AS {column.name}")
        else:
            parts = [f"{name}.{part} AS {column.name}_{part}" for part in "ab"]
            values += [f"c.{column.name}", *parts]
    inner = carried(step.name, step.grid, changes, columns)
    sql = f"SELECT c.account_no, c.t, {', '.join(values)} FROM ({inner.sql}) AS c {' '.join(joins)}"
    return [*numbered, Step(step.name, sql)]


def _numbers_only(change: Change) -> Change:
    """Return a change without its pairs."""
    from sqlglot import exp

    tree = parsed(change.sql)
    assert isinstance(tree, exp.Select)  # noqa: S101  # A change is one SELECT.
    tree.set("expressions", [one for one in tree.expressions if _depth(one) == 1])
    return replace(change, sql=tree.sql(dialect="duckdb"))


def _numbered(step: Carried, column: CarriedColumn) -> str:
    """Return SQL for the rows of a change with a pair: its first and last part, and rank ``n``."""
    from sqlglot import exp

    (term,) = column.terms
    change = step.changes[term.change]
    tree = parsed(change.sql)
    assert isinstance(tree, exp.Select)  # noqa: S101  # A change is one SELECT.
    (whole,) = (one for one in tree.expressions if one.alias_or_name == term.value)
    parts = []
    for number in range(_depth(whole)):
        part = whole.copy()
        for pair in [one for one in part.find_all(exp.Anonymous) if one.name == "LS_PAIR"]:
            if pair.parent is None or not isinstance(pair.parent, exp.Anonymous):
                pair.replace(_parts(pair)[number])
        part.set("alias", exp.to_identifier(f"p{number}"))
        parts.append(part)
    kept = [one for one in tree.expressions if one.alias_or_name in KEPT]
    tree.set("expressions", [*kept, *parts])
    names = [f"p{number}" for number in range(len(parts))]
    member = "" if term.member is None else f" AND member = {term.member}"
    return (
        f"SELECT account_no, first, day + {change.later} AS day, p0 AS a, {names[-1]} AS b,"
        f" ROW_NUMBER() OVER (PARTITION BY account_no ORDER BY {', '.join(names)}) AS n"
        f" FROM ({tree.sql(dialect='duckdb')}) AS c WHERE p0 IS NOT NULL{member}"
        f" AND day + {change.later} <= {step.grid.as_of}"
    )


KEPT = ("account_no", "first", "day", "member")


def _parts(pair: exp.Expr) -> list[exp.Expr]:
    """Return the parts of nested pairs in the order of comparison."""
    from sqlglot import exp

    first, second = pair.expressions
    nested = isinstance(second, exp.Anonymous) and second.name == "LS_PAIR"
    return [first, *(_parts(second) if nested else [second])]


def _depth(tree: exp.Expr) -> int:
    from sqlglot import exp

    return 1 + sum(one.name == "LS_PAIR" for one in tree.find_all(exp.Anonymous))


def script(
    steps: Sequence[Step], select: str, into: str, spelling: Spelling, places: Mapping[str, str]
) -> list[str]:
    """Return the statements that create the panel with one temporary table per step."""
    portable = [
        one
        for step in steps
        for one in (without_pairs(step) if isinstance(step, Carried) else [step])
    ]
    translator = Translator(spelling, places, [step.name for step in portable])
    statements = list(spelling.first)
    drops = [
        f"DROP TABLE IF EXISTS {identifier(PREFIX + one.name, spelling.name)}" for one in portable
    ]
    for step, drop in zip(portable, drops, strict=True):
        name = identifier(PREFIX + step.name, spelling.name)
        statements += [drop] * ("OR REPLACE" not in spelling.create)
        statements.append(filled(spelling.create, [name, translator.statement(step.sql)]))
        statements += [filled(spelling.after, [name])] * bool(spelling.after)
    statements.append(filled(spelling.into, [into, translator.statement(select)]))
    return statements + drops[::-1] * spelling.drops


@dataclass(frozen=True)
class Place:
    """One table in a warehouse, with the names of our columns there."""

    loaded: Loaded
    theirs: Mapping[str, str]
    outside: str

    def cells(self) -> str:
        """Return SQL for the rows, with columns named and typed as in the schema."""
        listed = [
            f"{_cell(self.loaded.table.by_column.get(ours), quoted(theirs))} AS {quoted(ours)}"
            for ours, theirs in self.theirs.items()
        ]
        return f"SELECT {', '.join(listed)} FROM {RAW}{self.loaded.table.name} AS raw"


def _cell(column: Column | None, cell: str) -> str:
    if column is None or column.kind in ("id", "text"):
        return text_of(cell)
    if column.kind == "decimal":
        cell = f"ROUND(CAST({cell} AS DECIMAL(38,{column.decimals + 4})), {column.decimals})"
    return f"CAST({cell} AS {sql_type(column)})"


def newest_accounts(accounts: Place) -> str:
    """Return SQL for start and end of each account as last recorded."""
    columns = accounts.loaded.columns
    ended = "ended_on" if "ended_on" in columns else "CAST(NULL AS DATE) AS ended_on"
    latest = "recorded_at DESC NULLS LAST" if "recorded_at" in columns else "started_on"
    numbered = f"ROW_NUMBER() OVER (PARTITION BY account_id ORDER BY {latest}) AS nth"
    rows = f"SELECT account_id, started_on, {ended}, {numbered} FROM ({accounts.cells()}) AS c"
    return f"SELECT account_id, started_on, ended_on FROM ({rows}) AS n WHERE nth = 1"


def with_accounts(place: Place, accounts: Place) -> str:
    """Return SQL for a table as ``t``, joined to the account of each row as ``a``."""
    rows = f"({place.cells()}) AS t"
    if place.loaded.table.name == "accounts":
        return rows
    return f"{rows} LEFT JOIN ({newest_accounts(accounts)}) AS a ON t.account_id = a.account_id"


def rows_inside(place: Place, accounts: Place) -> str:
    """Return SQL for a table's typed rows, without those dropped as outside their lifetime."""
    if place.loaded.table.name == "accounts" or place.outside != "exclude":
        return place.cells()
    early, late = outside_life(place.loaded.table.time)
    listed = ", ".join(f"t.{quoted(name)}" for name in place.theirs)
    return (
        f"SELECT {listed} FROM {with_accounts(place, accounts)}"
        f" WHERE NOT COALESCE({early}, FALSE) AND NOT COALESCE({late}, FALSE)"
    )


def history(
    place: Place, accounts: Place, as_of: date, attributes: Mapping[str, AttributeKind]
) -> str:
    """Return SQL for a table's rows and versions, cut at a day as in `Tables.history`."""
    columns, known = cut_at(place.loaded, as_of, attributes, WAREHOUSE)
    rows = f"({rows_inside(place, accounts)}) AS r"
    rows = f"SELECT {', '.join(settled(place.loaded, WAREHOUSE))} FROM {rows}"
    return f"SELECT {', '.join(columns)} FROM ({rows}) AS s WHERE {known}"


def in_sql(place: str, spelling: Spelling) -> str:
    """Return a table's name as given; raises OptionError if it is anything else."""
    from sqlglot import ParseError, exp, parse_one

    try:
        table = parse_one(place, into=exp.Table, read=spelling.name)
    except (ParseError, TypeError, AttributeError):
        table = None
    parts = {"this", "db", "catalog"}
    if table is None or any(value and key not in parts for key, value in table.args.items()):
        problem = f"{place!r} is not the name of a table in {spelling.name}"
        raise OptionError(problem, "Write it as in the warehouse's SQL, for example crm.accounts")
    return place
