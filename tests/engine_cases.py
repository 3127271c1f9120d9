"""The random cases on which Spark, Spark Connect, PostgreSQL and ClickHouse equal DuckDB."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from random import Random

import leadsignal as ls
from leadsignal.config.project import Behaviors
from leadsignal.schema import TABLES
from random_tables import BEHAVIORS, Case, random_case

CASES = range(52, 72)
"""Random cases with two tables beside accounts, and one process: each process has some ten steps
to be planned, and a plan of fifty steps takes Spark ten seconds."""
WIDE = 61
"""The random case of which all tables are read."""
OTHERS = [table.name for table in TABLES if table.name != "accounts"]


@cache
def case_of(seed: int, *, wide: bool = False) -> tuple[Case, ls.Tables, ls.Panel]:
    """A random case, its tables, and its panel as DuckDB makes it."""
    two = [OTHERS[(2 * seed + place) % len(OTHERS)] for place in (0, 1)]
    case = random_case(seed, () if wide else two)
    metrics = Random(seed).sample(case.analysis.metrics, min(3, len(case.analysis.metrics)))
    processes = sorted(case.analysis.processes, key=lambda process: -process.by_users)
    if not wide:
        del processes[1:]
    case = replace(
        case,
        analysis=replace(case.analysis, metrics=tuple(metrics), processes=tuple(processes)),
        project=replace(case.project, behaviors=Behaviors(BEHAVIORS[:1])),
    )
    tables = case.read()
    return case, tables, ls.build_panel(tables, case.analysis)
