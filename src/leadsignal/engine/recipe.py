"""Checked tables of any engine, and the recipe of a panel that is built from them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from leadsignal.config.project import Behaviors, Project
from leadsignal.config.success import SuccessAnalysis
from leadsignal.config.table_settings import TableSource
from leadsignal.engine.build import Recipe
from leadsignal.engine.grid import Grid, Source
from leadsignal.errors import Fault, OptionError, SuccessAnalysisError, meant, near, one_of
from leadsignal.indicators import ROW_COLUMNS, AvailableData, declare_indicators
from leadsignal.indicators.behaviors import members, most_common, row_columns
from leadsignal.ingestion.cells import FIRST_DAY, LAST_DAY
from leadsignal.ingestion.check_report import AttributeKind, CheckedTables, Loaded
from leadsignal.ingestion.dialect import Dialect, DuckDB, day_number
from leadsignal.ingestion.rows_of_accounts import outside_life
from leadsignal.schema import BY_NAME, Column
from leadsignal.sources.parts import literal
from leadsignal.targets import names_metrics

NOT_A_NUMBER = "is not a number"
LARGEST_DOUBLE = sys.float_info.max
"""The largest finite number: infinity is above it, and NaN is never below it."""


@dataclass(frozen=True)
class Rule:
    """A possible fault of rows: a condition on the table and its account.

    With ``by``, of groups of rows with the same values, in which there may be one of ``counted``.
    """

    column: str
    condition: str
    problem: str
    remedy: str
    by: tuple[str, ...] = ()
    counted: str = "*"

    def fault(self, table: str, count: int) -> Fault:
        """Return the fault of N rows or groups of a table."""
        problem = f"{count:,} {'' if self.by else 'rows: '}{self.problem}"
        return Fault(None, table, None, self.column, None, problem, self.remedy)


def most_of(column: Column) -> str:
    """Return the largest value that a decimal column can hold."""
    return f"{10**12 - 1}.{'9' * column.decimals}"


def row_rules(loaded: Loaded) -> Iterator[Rule]:
    """Yield the rules for each row of a table, called ``t``."""
    for name in loaded.columns:
        column, cell = loaded.table.by_column[name], f"t.{name}"
        if column.required:
            yield Rule(name, f"{cell} IS NULL", "is empty", f"Give {column.meaning}.")
        if column.kind in ("day", "moment"):
            within = f"{cell} BETWEEN DATE '{FIRST_DAY}' AND DATE '{LAST_DAY}'"
            years = f"is outside {FIRST_DAY[:4]} to {LAST_DAY[:4]}"
            yield Rule(name, f"NOT {within}", years, "Correct it, or leave it empty.")
        if column.kind == "number":
            finite = f"{cell} BETWEEN -{LARGEST_DOUBLE!r} AND {LARGEST_DOUBLE!r}"
            yield Rule(name, f"NOT ({finite})", NOT_A_NUMBER, "Leave it empty where there is none.")
        if column.limit is not None:
            most = most_of(column) if column.kind == "decimal" else f"{column.limit}"
            remedy = f"It must be below {column.limit:,}: correct it, or count in a larger unit."
            yield Rule(name, f"abs({cell}) >= {most}", "is too large", remedy)
        if column.allowed:
            allowed = ", ".join(map(literal, column.allowed))
            remedy = f"Allowed: {', '.join(column.allowed)}."
            yield Rule(name, f"{cell} NOT IN ({allowed})", "is not allowed", remedy)
        if column.minimum is not None:
            least = f"{column.minimum:g}"
            yield Rule(name, f"{cell} < {least}", f"is below {least}", "Correct it.")
    for earlier, later in loaded.table.ordered:
        if {earlier, later} <= set(loaded.columns):
            before = f"t.{later} < t.{earlier}"
            yield Rule(later, before, f"is before {earlier}", "Correct one of the two dates.")


def account_rules(loaded: Loaded, outside_is_fault: bool) -> Iterator[Rule]:
    """Yield the rules for each row of a table, ``t``, given its account, ``a``."""
    unknown = "t.account_id IS NOT NULL AND a.account_id IS NULL"
    yield Rule("account_id", unknown, "no such account in accounts", "Add it, or correct the id.")
    if not outside_is_fault:
        return
    early, late = outside_life(loaded.table.time)
    remedy = "Correct the date, or the account's."
    yield Rule(loaded.table.time, early, "is before the account's start", remedy)
    yield Rule(loaded.table.time, late, "is after the account's end", remedy)


def summed_columns(loaded: Loaded) -> list[Column]:
    """Return the columns whose values must have an exact sum."""
    columns = [loaded.table.by_column[name] for name in loaded.columns]
    return [column for column in columns if column.total_limit is not None]


def total_faults(loaded: Loaded, sums: Sequence[Any]) -> Iterator[Fault]:
    """Yield faults of columns whose values cannot be summed exactly."""
    for column, total in zip(summed_columns(loaded), sums, strict=True):
        if total is not None and column.total_limit is not None and total >= column.total_limit:
            problem = f"adds up to {total:,.0f}; sums are exact below {column.total_limit:,}"
            remedy = "Correct it, or count in a larger unit."
            yield Fault(None, loaded.table.name, None, column.name, None, problem, remedy)


def repeat_rules(loaded: Loaded) -> Iterator[Rule]:
    """Yield the rules on repetition: of keys, keys of two accounts, events, and rows."""
    table, recorded = loaded.table, "recorded_at" in loaded.columns
    key = table.key if table.key in loaded.columns else None
    present = f"{key} IS NOT NULL"
    if key and not recorded:
        remedy = "Give each its own; for versions of a row, add recorded_at to the table."
        yield Rule(key, present, "keys appear in several rows", remedy, (key,))
    if key and recorded and key != "account_id":
        problem, remedy = "keys belong to several accounts", "Give each its own key."
        yield Rule(key, present, problem, remedy, (key,), "DISTINCT account_id")
    if "event_id" in loaded.columns:
        problem, remedy = "events appear in several rows", "Keep one row of each."
        yield Rule("event_id", "event_id IS NOT NULL", problem, remedy, ("event_id",))
    if (table.repeats == "fault" and not (key and not recorded)) or loaded.has_versions:
        every = tuple(loaded.columns)
        yield Rule("account_id", "TRUE", "rows are repeated", "Keep one of each.", every)


def counted_faults(table: str, rules: Iterable[Rule], counts: Iterable[int]) -> Iterator[Fault]:
    """Yield the faults of the rules that some rows break."""
    for rule, count in zip(rules, counts, strict=True):
        if count:
            yield rule.fault(table, count)


def attribute_kinds(
    project: Project, is_numeric: Callable[[str], bool]
) -> dict[str, AttributeKind]:
    """Return the kind of each attribute: from the schema, as declared, or by its values."""
    source, ours = project.tables.get("accounts", TableSource()), BY_NAME["accounts"].by_column
    kinds: dict[str, AttributeKind] = {}
    for name in source.attributes:
        stated = source.attribute_kinds.get(name)
        if name in ours:
            number = ours[name].kind in ("number", "decimal", "integer")
        else:
            number = stated == "number" if stated else is_numeric(name)
        kinds[name] = "number" if number else "text"
    return kinds


def misnamed(names: Collection[str], place: str) -> list[Fault]:
    """Return faults for names that are not tables, or not tables of this kind."""
    elsewhere = (
        "Read it with read_tables and its engine DuckDB, write Tables.frame of accounts and "
        f"contract_changes, and put these into {place}."
    )
    wrong = [
        (name, "is not a table", f"{one_of(BY_NAME, name)}.")
        for name in names
        if name not in BY_NAME
    ]
    derived = [name for name in names if name in ("contracts", "exchange_rates")]
    wrong += [(name, f"is not read from {place}", elsewhere) for name in derived]
    if "accounts" not in names:
        wrong.append(("accounts", "is required", "Give accounts."))
    return [Fault(None, name, None, None, None, problem, to_do) for name, problem, to_do in wrong]


def options_of_files(name: str, source: TableSource, place: str) -> Iterator[Fault]:
    """Yield faults for options that filter rows or parse text, which must be done at the source."""
    options = {
        "where": source.where,
        "users": source.users is not None,
        "query": source.query,
        "dates": source.spelling.dates,
        "decimal": source.spelling.decimal,
        "empty": source.spelling.empty,
    }
    for option, is_set in options.items():
        if is_set:
            problem = f"{option} is set, which tables in {place} do not have"
            remedy = f"Do it in {place}, and take {option} out."
            yield Fault(None, name, None, None, None, problem, remedy)


def unknown_attributes(accounts: Loaded, has_changes: bool, project: Project) -> list[Fault]:
    """Return faults for declared attributes that do not exist."""
    if has_changes:
        return []
    problem = "is declared as an attribute but is no column of accounts"
    return [
        Fault(None, "accounts", None, name, None, problem, "Correct its name, or leave it out.")
        for name in project.tables.get("accounts", TableSource()).attributes
        if name not in (*accounts.columns, *accounts.extras)
    ]


ALIKE = 0.85
"""Similarity above which an unknown name counts as misspelt, if other names in its group occur."""
MAX_SHOWN = 8

Found = Iterator[tuple[str, str, str, frozenset[str]]]
"""Place of a name, the name, the column it should occur in, and the values of that column."""


def refuse_unknown_names(tables: CheckedTables, analysis: SuccessAnalysis) -> None:
    """Raise SuccessAnalysisError if the analysis contains names that occur in no row.

    All rows are searched, including those not known yet on the as-of date.
    """
    file, faults = analysis.file or "the success analysis", []
    for names in (_behaviors, _success_metrics, _applies_to):
        for where, name, column, known in names(tables, analysis):
            problem = f"occurs in no row of {column}"
            faults.append(Fault(file, None, None, where, name, problem, _remedy(name, known)))
    if faults:
        raise SuccessAnalysisError(faults)


def _remedy(name: str, known: frozenset[str]) -> str:
    meant = near(name, sorted(known))
    listed = ", ".join(sorted(known)[:MAX_SHOWN])
    more = f" and {len(known) - MAX_SHOWN} more" if len(known) > MAX_SHOWN else ""
    hint = f"Did you mean {meant!r}? " if meant else ""
    return f"{hint}There are {listed}{more}." if known else "Correct it, or leave it out."


def _unmatched(names: Iterable[str], known: frozenset[str], optional: bool = False) -> list[str]:
    """Return the wrong names in a group: all if none occurs, else those that look misspelt."""
    missing = [name for name in names if name not in known]
    if len(missing) == len(tuple(names)) and not optional:
        return missing
    return [name for name in missing if near(name, sorted(known), ALIKE)]


def _behaviors(tables: CheckedTables, analysis: SuccessAnalysis) -> Found:
    if "behaviors" not in tables.names:
        return
    tracking = {f"[tracking] {key}": names for key, names in vars(analysis.tracking).items()}
    named = [(f"process {process.name}", process.behaviors) for process in analysis.processes]
    for metric in analysis.metrics:
        of = f"metric {metric.name}"
        named += [(of, metric.behaviors), (of, metric.per_behavior)]
    if not named and not any(tracking.values()):
        return
    known = tables.values("behaviors", "behavior")
    for where, names in named:
        for name in _unmatched(names, known):
            yield where, name, "behaviors.behavior", known
    for where, names in tracking.items():
        for name in _unmatched(names, known, optional=True):
            yield where, name, "behaviors.behavior", known


def _success_metrics(tables: CheckedTables, analysis: SuccessAnalysis) -> Found:
    if not analysis.success_metrics or "results" not in tables.names:
        return
    if "metric" not in tables.columns("results"):
        return
    known = tables.values("results", "metric")
    for name in analysis.success_metrics if known else ():
        if name not in known:
            yield "success_metric", name, "results.metric", known


def _applies_to(tables: CheckedTables, analysis: SuccessAnalysis) -> Found:
    conditions = [(f"process {process.name}", process.applies_to) for process in analysis.processes]
    conditions += [("segment", segment.applies_to) for segment in analysis.segments]
    for where, applies_to in conditions:
        for attribute, names in applies_to.items():
            known = tables.attribute_values(attribute)
            for name in _unmatched(names, known):
                yield f"{where}: applies_to {attribute}", name, f"accounts.{attribute}", known


def panel_recipe(
    tables: CheckedTables,
    analysis: SuccessAnalysis,
    every: int,
    read: Callable[[str], str],
    *,
    only_as_of: bool = False,
    dialect: Dialect | None = None,
) -> Recipe:
    """Return the recipe of a panel.

    ``read`` returns the SELECT of a table's rows and versions, cut at as_of, in ``dialect``
    (default: DuckDB). Raises OptionError if the analysis needs data that the tables do not have,
    and SuccessAnalysisError for names in it that occur in no row.
    """
    dialect = dialect or DuckDB()
    check_fits(tables, analysis)
    project, kept = tables.project, kept_behaviors(tables)
    columns = {table: frozenset(tables.columns(table)) for table in tables.names}
    available = AvailableData(columns, tables.attributes, analysis, project.usage_low, kept)
    covered = {name for process in analysis.processes for name in process.behaviors}
    added = {**ROW_COLUMNS, "behaviors": row_columns(kept, covered, dialect.among)}
    sources = {t: _source(tables, t, read, dialect, added.get(t, {})) for t in tables.names}
    if "behaviors" in sources:
        sources["behaviors"] = replace(sources["behaviors"], members=members(kept))
    as_of = day_number(tables.as_of_date)
    return Recipe(
        Grid(as_of, every, str(as_of) if only_as_of else "entry", dialect),
        sources.pop("accounts"),
        sources,
        declare_indicators(available),
        analysis.processes,
        tables.attributes,
        {reason: cause for cause, reasons in project.causes.items() for reason in reasons},
        project.not_churn,
        _of_results(tables, analysis),
        kept,
    )


def kept_behaviors(tables: CheckedTables) -> Behaviors:
    """Return the behaviours with indicators of their own: the project's, or the most common."""
    if "behaviors" not in tables.names:
        return Behaviors(others=False)
    if tables.project.behaviors is not None:
        return tables.project.behaviors
    return most_common(tables.accounts_with("behaviors", "behavior"))


def _of_results(tables: CheckedTables, analysis: SuccessAnalysis) -> SuccessAnalysis:
    """Return the analysis with only the metrics of results."""
    named = "results" in tables.names and names_metrics(tables.columns("results"), analysis)
    return replace(analysis, processes=(), metrics=()) if named else SuccessAnalysis(())


def _source(
    tables: CheckedTables,
    table: str,
    read: Callable[[str], str],
    dialect: Dialect,
    added: Mapping[str, str],
) -> Source:
    declared, coverage = BY_NAME[table], tables.coverage[table]
    sql = read(table)
    if added:
        columns = ", ".join(f"{rule} AS {dialect.quoted(column)}" for column, rule in added.items())
        sql = f"SELECT *, {columns} FROM ({sql}) AS history"
    recorded, source = "recorded_at" in tables.columns(table), tables.project.tables.get(table)
    decimals = {column.name: column.decimals for column in declared.columns}
    return Source(
        table,
        sql,
        _number(coverage.complete_from),
        _number(coverage.complete_through),
        assumed=source is None or source.complete_from is None,
        late=recorded,
        versioned=recorded and declared.key is not None,
        decimals={**decimals, **dict.fromkeys(added, 6)},
    )


def _metric_problems(tables: CheckedTables, analysis: SuccessAnalysis) -> Iterator[str]:
    """Yield what metrics of behaviours need but the tables do not have."""
    has_behaviors = "behaviors" in tables.names
    if analysis.metrics and not has_behaviors:
        yield "the analysis names metrics of behaviours, but there is no behaviors table"
    numbers = [name for name, kind in tables.attributes.items() if kind == "number"]
    for metric in analysis.metrics:
        if metric.per == "user":
            if has_behaviors and "user_id" not in tables.columns("behaviors"):
                yield f"metric {metric.name} is per user, but behaviors has no user_id"
        elif metric.per == "arr":
            if "arr" not in tables.columns("accounts"):
                yield f"metric {metric.name} is per ARR, but accounts has no arr"
        elif metric.per and metric.per not in numbers:
            yield (
                f"metric {metric.name} is per {metric.per}, which is not a declared number"
                f" attribute of accounts{meant(metric.per, numbers)}"
            )


def _number(day: date | None) -> int | None:
    return None if day is None else day_number(day)


def check_fits(tables: CheckedTables, analysis: SuccessAnalysis) -> None:
    """Raise OptionError or SuccessAnalysisError if the analysis and the tables do not match."""
    problems = []
    users = [p.name for p in analysis.processes if p.by_users > 1]
    behaviors = tables.columns("behaviors") if "behaviors" in tables.names else ()
    if users and behaviors and "user_id" not in behaviors:
        problems.append(f"{', '.join(users)} counts users (by_users), but behaviors has no user_id")
    if analysis.processes and not behaviors:
        problems.append("the analysis names essential processes, but there is no behaviors table")
    problems += _metric_problems(tables, analysis)
    texts = {name for name, kind in tables.attributes.items() if kind == "text"}
    conditions = [(process.name, process.applies_to) for process in analysis.processes]
    conditions += [("a segment", segment.applies_to) for segment in analysis.segments]
    for name, applies_to in conditions:
        if missing := sorted(set(applies_to) - texts):
            problems.append(
                f"{name} applies to accounts by {', '.join(missing)}, which is not a declared "
                "text attribute of accounts"
            )
    usage = tables.columns("usage") if "usage" in tables.names else ("series",)
    if tables.project.usage_low.series and "series" not in usage:
        problems.append("[usage_low] names series, but usage has no column series")
    if problems:
        raise OptionError(
            "the success analysis does not match the tables: " + "; ".join(problems),
            "Correct success.toml, or declare the attributes and tables in leadsignal.toml",
        )
    refuse_unknown_names(tables, analysis)
