"""Tables whose rows are already in Spark: checked and cut there, and never moved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from leadsignal.account_sample import (
    AccountSample,
    customer_columns,
    day_to_cut,
    refuse_share,
    sample_of,
)
from leadsignal.arguments import checked, refuse_name
from leadsignal.config.project import Project, with_options
from leadsignal.config.table_settings import TableSource
from leadsignal.engine.recipe import (
    account_rules,
    attribute_kinds,
    counted_faults,
    misnamed,
    most_of,
    options_of_files,
    repeat_rules,
    row_rules,
    summed_columns,
    total_faults,
    unknown_attributes,
)
from leadsignal.engine.spark import TablesInSpark, functions_of
from leadsignal.errors import Fault, OptionError, TablesError
from leadsignal.ingestion.cells import sql_type
from leadsignal.ingestion.check_report import AttributeKind, DataWarning, Loaded
from leadsignal.ingestion.column_matching import match_columns
from leadsignal.ingestion.dialect import Spark
from leadsignal.ingestion.rows_of_accounts import outside_life, outside_message
from leadsignal.ingestion.table_reader import day_after_the_latest, settled
from leadsignal.schema import BY_NAME, TABLES, Column
from leadsignal.sources.parts import Part
from leadsignal.tables import Tables, cut_at, read_tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SPARK = Spark()
NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")
TAKEN = {
    "day": ("date", "timestamp", "timestamp_ntz"),
    "moment": ("date", "timestamp", "timestamp_ntz"),
    "number": NUMBERS,
    "decimal": NUMBERS,
    "integer": NUMBERS[:4],
    "boolean": ("boolean",),
    "id": ("string", *NUMBERS[:4]),
    "text": ("string", *NUMBERS, "boolean", "date"),
}
"""Spark types accepted for each kind of column; text is never parsed as dates or numbers."""


@dataclass(frozen=True, repr=False, eq=False)
class SparkTables(TablesInSpark):
    """Checked tables in Spark as they were known at midnight of ``as_of_date``.

    Used by `build_panel`, `build_spark_panel` and `sample_panel`. ``sample`` is the weighted sample
    of customers in the tables, which ``collect()`` passes on; None for all customers.
    """

    project: Project
    as_of_date: date
    names: tuple[str, ...]
    attributes: Mapping[str, AttributeKind]
    warnings: tuple[DataWarning, ...]
    _loaded: Mapping[str, Loaded]
    _frames: Mapping[str, DataFrame]
    sample: AccountSample | None = None

    def as_of(self, t: date | str) -> SparkTables:
        """Return the tables as they were known at midnight of another day."""
        return replace(self, as_of_date=day_to_cut(t, self.sample))

    def sample_accounts(
        self, share: float, *, keep_churned: bool = False, seed: int = 0
    ) -> SparkTables:
        """Return the tables of a sample of customers, with all rows of all their accounts.

        Sampling depends only on a hash of the customer (or else the account) and the seed, as in
        `Tables.sample_accounts`. Set ``complete_from`` for tables that begin late, because the
        first row of the sample may be later.

        Parameters
        ----------
        share : float
            Probability of selecting a customer, above 0 and at most 1.
        keep_churned : bool, default False
            Keep all customers with an account whose churn is known, and sample the others. After
            ``collect()``, estimates use the weights. By default, all customers have the same
            probability, and results need no weights: they are those of a smaller business, with
            wider intervals.
        seed : int, default 0
            Random seed.

        Returns
        -------
        SparkTables

        Raises
        ------
        OptionError
            If the share is out of range, or the tables are already such a sample.
        """
        refuse_share(share)
        if self.sample is not None:
            raise OptionError("these tables are a sample already", "Draw from the whole tables")
        listed = customer_columns(share, seed, self.project.not_churn, SPARK)
        known = self.history("accounts").where("superseded_on IS NULL").selectExpr(*listed)
        kept, sample = known.where("drawn OR churned" if keep_churned else "drawn"), None
        if keep_churned:
            of = known.select("customer").distinct().count()
            sample = sample_of(kept.toPandas(), share, of, self.as_of_date)
        ids = kept.select("account_id")
        frames = {n: f.join(ids, "account_id", "left_semi") for n, f in self._frames.items()}
        return replace(self, _frames=frames, sample=sample)

    def collect(self) -> Tables:
        """Collect all rows on this machine and return them as ordinary tables, checked again."""
        fields = (
            "attributes", "attribute_kinds", "complete_from", "complete_through", "outside",
        )  # fmt: skip
        kept = {
            name: TableSource(**{field: getattr(source, field) for field in fields})
            for name, source in self.project.tables.items()
        }
        rows = {
            name: frame.select(*self.columns(name)).toArrow()
            for name, frame in self._frames.items()
        }
        project = replace(self.project, tables=kept, engine="duckdb")
        tables = read_tables(rows, project=project, as_of=self.as_of_date)
        return tables if self.sample is None else replace(tables, sample=self.sample)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            refuse_name(self, name, Tables)

    def accounts_with(self, table: str, column: str) -> Mapping[str, int]:
        """Return the number of accounts by text in a column, for rows known on ``as_of_date``."""
        rows = self.history(table).where(f"superseded_on IS NULL AND {column} IS NOT NULL")
        pairs = rows.select(column, "account_id").distinct().groupBy(column).count()
        return {str(text): int(number) for text, number in pairs.collect()}

    def history(self, name: str) -> DataFrame:
        """Return a table's rows and versions, cut at ``as_of_date`` as in `Tables.history`."""
        columns, known = cut_at(self._loaded[name], self.as_of_date, self.attributes, SPARK)
        return self._frames[name].where(known).selectExpr(*columns)

    def _table(self, name: str) -> Loaded:
        return self._loaded[name]

    def _texts(
        self, table: str, column: str, where: tuple[str, str] | None = None
    ) -> frozenset[str]:
        frame = self._frames[table]
        if where is not None:
            frame = frame.where(f"{SPARK.quoted(where[0])} = {SPARK.literal(where[1])}")
        found = frame.selectExpr(SPARK.quoted(column)).distinct().collect()
        return frozenset(str(text) for (text,) in found if text is not None)

    def _counted(self, name: str) -> tuple[int, date | None]:
        counted = ("count_if(superseded_on IS NULL)", "min(known_on)")
        rows, first = self.history(name).selectExpr(*counted).collect()[0]
        return rows, first


@checked
def read_spark_tables(
    frames: Mapping[str, DataFrame],
    *,
    as_of: date | str | None = None,
    timezone: str | None = None,
    not_churn: Iterable[str] | None = None,
    causes: Mapping[str, Iterable[str]] | None = None,
    attributes: Iterable[str] | Mapping[str, str] | None = None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    project: Project | None = None,
) -> SparkTables:
    """Check Spark DataFrames by table name, without moving them, and return them as tables.

    Spark counts the faulty rows; nothing is dropped, and text is never parsed as dates or numbers.
    Raises TablesError with every kind of fault and its number of rows.
    """
    options = {"as_of": as_of, "timezone": timezone, "not_churn": not_churn, "causes": causes}
    project = with_options((project or Project()).replace(**options), attributes, columns)
    if project.currency.base:
        problem = "[currency] is not applied to rows in Spark"
        raise OptionError(problem, "Convert the amounts in Spark, and take the section out")
    faults = misnamed(frames, "Spark")
    taken = {t.name: _taken(t.name, frames[t.name], project) for t in TABLES if t.name in frames}
    faults += [fault for _, _, found in taken.values() for fault in found]
    if "accounts" in taken:
        faults += unknown_attributes(taken["accounts"][0], "account_changes" in taken, project)
    if faults:
        raise TablesError(faults, {})
    loaded = {name: table for name, (table, _, _) in taken.items()}
    rows = {name: frame for name, (_, frame, _) in taken.items()}
    found = [fault for name in loaded for fault in _faults(project, loaded[name], rows)]
    if found:
        raise TablesError(found, {})
    warnings = [
        notice for name in loaded for notice in _leave_out_outside(project, loaded[name], rows)
    ]
    settled_rows = {name: rows[name].selectExpr(*settled(loaded[name], SPARK)) for name in rows}
    types = dict(frames["accounts"].dtypes)
    kinds = attribute_kinds(project, lambda name: types.get(name, "").split("(")[0] in NUMBERS)

    def latest(days: Mapping[str, list[str]]) -> Iterator[date | None]:
        for name, of in days.items():
            yield from rows[name].selectExpr(*[f"max({day})" for day in of]).collect()[0]

    day = project.as_of or day_after_the_latest(project, loaded, latest) or date.max
    return SparkTables(project, day, tuple(loaded), kinds, tuple(warnings), loaded, settled_rows)


def _taken(name: str, frame: DataFrame, project: Project) -> tuple[Loaded, DataFrame, list[Fault]]:
    """Return a table with columns named and typed as in the schema, and faults of columns."""
    table, types = BY_NAME[name], dict(frame.dtypes)
    part = Part(name, None, {column: column for column in types})
    source = project.tables.get(name, TableSource())
    match, faults, _ = match_columns(table, part, source)
    faults += options_of_files(name, source, "Spark")
    selected = {}
    for ours, theirs in match.items():
        column = table.by_column[ours]
        kind = types[theirs].split("(")[0]
        if kind in TAKEN[column.kind]:
            selected[ours] = _cell(column, theirs, kind, project.timezone)
        elif kind != "void":
            allowed = ", ".join(TAKEN[column.kind])
            remedy = f"Cast it in Spark to one of {allowed}."
            problem = f"a column of type {kind} is not read as {ours}"
            faults.append(Fault(None, name, None, theirs, None, problem, remedy))
    kept = [column.name for column in table.columns if column.name in selected]
    extras = sorted(a for a in source.attributes if a in types and a not in match.values())
    selected |= {name: f"CAST({SPARK.quoted(name)} AS STRING)" for name in extras}
    listed = [f"{cell} AS {SPARK.quoted(ours)}" for ours, cell in selected.items()]
    return Loaded(table, kept, extras), frame if faults else frame.selectExpr(*listed), faults


def _cell(column: Column, theirs: str, kind: str, zone: str) -> str:
    cell, kind_in_sql = SPARK.quoted(theirs), SPARK.typed(sql_type(column))
    if column.kind in ("day", "moment") and kind == "timestamp":
        local = f"CAST({cell} AS TIMESTAMP_NTZ)"
        cell = f"convert_timezone(current_timezone(), {SPARK.literal(zone)}, {local})"
    if column.kind in ("id", "text"):
        return f"NULLIF(CAST({cell} AS STRING), '')"
    if column.kind == "decimal":
        cell = f"ROUND(CAST({cell} AS DECIMAL(38,{column.decimals + 4})), {column.decimals})"
        # Values that are too large become the largest one, which the rules then refuse. LEAST and
        # GREATEST would turn empty cells into the largest value, because they ignore NULL.
        most = f"CAST({most_of(column)} AS DECIMAL(38,{column.decimals + 4}))"
        limited = f"WHEN {cell} > {most} THEN {most} WHEN {cell} < -{most} THEN -{most}"
        cell = f"CASE {limited} ELSE {cell} END"
    return f"CAST({cell} AS {kind_in_sql})"


def _faults(project: Project, loaded: Loaded, rows: Mapping[str, DataFrame]) -> Iterator[Fault]:
    """Yield the faults of a table's rows, with the number of rows."""
    name, frame, rules = loaded.table.name, rows[loaded.table.name], [*row_rules(loaded)]
    sums = [f"SUM(ABS(t.{column.name}))" for column in summed_columns(loaded)]
    counts = [f"count_if({rule.condition})" for rule in rules]
    found = frame.alias("t").selectExpr(*counts, *sums).collect()[0]
    yield from counted_faults(name, rules, found[: len(rules)])
    if name != "accounts":
        yield from _account_faults(loaded, _outside(project, name) == "fault", rows)
    # Columns whose values cannot be summed exactly.
    yield from total_faults(loaded, found[len(rules) :])
    for rule in repeat_rules(loaded):
        groups = frame.where(rule.condition).groupBy(*rule.by)
        counted = groups.agg(functions_of(frame).expr(f"count({rule.counted}) AS counted"))
        if count := counted.where("counted > 1").count():
            yield rule.fault(name, count)


def _account_faults(
    loaded: Loaded, outside_is_fault: bool, rows: Mapping[str, DataFrame]
) -> Iterator[Fault]:
    """Yield the faults of rows given their account.

    The first and the last row of each account show whether there are any; only then all rows are
    joined with the accounts, to count them.
    """
    name, time = loaded.table.name, loaded.table.time
    rules = [*account_rules(loaded, outside_is_fault)]
    counts = [f"count_if({rule.condition})" for rule in rules]
    frame = rows[name]
    both = functions_of(frame).expr(f"array(min({time}), max({time})) AS both")
    ends = (
        frame.groupBy("account_id").agg(both).selectExpr("account_id", f"explode(both) AS {time}")
    )
    if any(_with_accounts(ends, rows).selectExpr(*counts).collect()[0]):
        found = _with_accounts(frame, rows).selectExpr(*counts).collect()[0]
        yield from counted_faults(name, rules, found)


def _outside(project: Project, table: str) -> str:
    return project.tables.get(table, TableSource()).outside


def _with_accounts(frame: DataFrame, rows: Mapping[str, DataFrame]) -> DataFrame:
    """Return rows ``t`` joined to the account ``a`` of each row, if there is one."""
    accounts = _newest_accounts(rows["accounts"]).alias("a")
    col = functions_of(accounts).col
    same = col("t.account_id") == col("a.account_id")
    return frame.alias("t").join(accounts, same, "left")


def _leave_out_outside(
    project: Project, loaded: Loaded, rows: dict[str, DataFrame]
) -> Iterator[DataWarning]:
    """Remove rows outside their account's lifetime from ``rows``, and yield their number."""
    name = loaded.table.name
    if name == "accounts" or _outside(project, name) != "exclude":
        return
    early, late = outside_life(loaded.table.time)
    joined = _with_accounts(rows[name], rows)
    before, after = joined.selectExpr(f"count_if({early})", f"count_if({late})").collect()[0]
    if before or after:
        rows[name] = joined.where(f"NOT coalesce({early} OR {late}, false)").select("t.*")
        yield DataWarning("reading", name, outside_message(name, before, after))


def _newest_accounts(accounts: DataFrame) -> DataFrame:
    """Return start and end of each account as last recorded."""
    ended = "ended_on" if "ended_on" in accounts.columns else "CAST(NULL AS DATE) AS ended_on"
    columns = ["account_id", "started_on", ended]
    rows = accounts.selectExpr(*columns)
    if "recorded_at" in accounts.columns:
        newest = "PARTITION BY account_id ORDER BY recorded_at DESC NULLS LAST"
        nth = f"row_number() OVER ({newest}) AS nth"
        rows = accounts.selectExpr(*columns, nth).where("nth = 1")
    return rows.dropDuplicates(["account_id"])
