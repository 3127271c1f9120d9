"""Find names in a Success Analysis that match nothing in the tables; most are misspelt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from leadsignal.config.success import SuccessAnalysis
from leadsignal.config.toml_files import near
from leadsignal.engine.checked_tables import CheckedTables
from leadsignal.errors import Fault, SuccessAnalysisError

ALIKE = 0.85
"""Similarity above which an unknown name counts as misspelt, if other names in its group occur."""
MAX_SHOWN = 8

Found = Iterator[tuple[str, str, str, frozenset[str]]]
"""Place of a name, the name, the column it should occur in, and the values of that column."""


def refuse_unknown_names(tables: CheckedTables, analysis: SuccessAnalysis) -> None:
    """Raise SuccessAnalysisError if the analysis contains names that occur in no row.

    All rows are searched, including those not known yet on the as-of date.
    """
    found = [
        *_behaviors(tables, analysis),
        *_success_metrics(tables, analysis),
        *_applies_to(tables, analysis),
    ]
    faults = [
        Fault(
            analysis.file or "the success analysis",
            None,
            None,
            where,
            name,
            f"occurs in no row of {column}",
            _remedy(name, known),
        )
        for where, name, column, known in found
    ]
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
        named += [(f"metric {metric.name}", metric.behaviors)]
        named += [(f"metric {metric.name}", metric.per_behavior)]
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
    values: Callable[[str], frozenset[str]] = tables.attribute_values
    for where, applies_to in conditions:
        for attribute, names in applies_to.items():
            known = values(attribute)
            for name in _unmatched(names, known):
                yield f"{where}: applies_to {attribute}", name, f"accounts.{attribute}", known
