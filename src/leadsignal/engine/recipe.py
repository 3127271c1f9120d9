"""From checked tables and a Success Analysis to the recipe of a panel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date

from leadsignal.config.project import Behaviors
from leadsignal.config.success import SuccessAnalysis
from leadsignal.config.toml_files import meant
from leadsignal.engine.build import Recipe
from leadsignal.engine.checked_tables import CheckedTables
from leadsignal.engine.grid import Grid, Source
from leadsignal.engine.unmatched_names import refuse_unknown_names
from leadsignal.errors import OptionError
from leadsignal.indicators import ROW_COLUMNS, AvailableData, behaviors, declare_indicators
from leadsignal.ingestion.dialect import Dialect, DuckDB, day_number
from leadsignal.schema import BY_NAME
from leadsignal.targets import names_metrics


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
    available = AvailableData(
        {table: frozenset(tables.columns(table)) for table in tables.names},
        tables.attributes,
        analysis,
        project.usage_low,
        kept,
    )
    covered = {name for process in analysis.processes for name in process.behaviors}
    added = {**ROW_COLUMNS, "behaviors": behaviors.row_columns(kept, covered, dialect.among)}
    sources = {t: _source(tables, t, read, dialect, added.get(t, {})) for t in tables.names}
    if "behaviors" in sources:
        sources["behaviors"] = replace(sources["behaviors"], members=behaviors.members(kept))
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
    return behaviors.most_common(tables.accounts_with("behaviors", "behavior"))


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


def _number(day: date | None) -> int | None:
    return None if day is None else day_number(day)


def check_fits(tables: CheckedTables, analysis: SuccessAnalysis) -> None:
    """Raise OptionError or SuccessAnalysisError if the analysis and the tables do not match."""
    _check_fits(tables, analysis)
    refuse_unknown_names(tables, analysis)


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


def _check_fits(tables: CheckedTables, analysis: SuccessAnalysis) -> None:
    """Raise an error with everything that the analysis needs but the tables do not have."""
    problems = []
    users = [p.name for p in analysis.processes if p.by_users > 1]
    behaviors = tables.columns("behaviors") if "behaviors" in tables.names else ()
    if users and behaviors and "user_id" not in behaviors:
        problems.append(f"{', '.join(users)} counts users (by_users), but behaviors has no user_id")
    if analysis.processes and not behaviors:
        problems.append("the analysis names essential processes, but there is no behaviors table")
    problems += _metric_problems(tables, analysis)
    texts = {name for name, kind in tables.attributes.items() if kind == "text"}
    for process in analysis.processes:
        missing = sorted(set(process.applies_to) - texts)
        if missing:
            problems.append(
                f"{process.name} applies to accounts by {', '.join(missing)}, which is not a "
                "declared text attribute of accounts"
            )
    for segment in analysis.segments:
        if missing := sorted(set(segment.applies_to) - texts):
            problems.append(
                f"a segment applies to accounts by {', '.join(missing)}, which is not a declared "
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
