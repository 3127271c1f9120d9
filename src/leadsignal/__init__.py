"""Predict customer churn from leading behavioural indicators, before usage drops.

tables = ls.read_tables("data/sample")
analysis = ls.read_success_analysis("data/sample/success.toml")
panel = ls.build_panel(tables, analysis, every="28d")
ls.audit_indicators(panel)
ls.run_backtest(panel, horizon="180d")
model = ls.ChurnModel(horizon="180d").fit(panel)
scores = ls.score_accounts(model, tables)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leadsignal.audit import Audit, audit_indicators
    from leadsignal.backtest import Backtest, run_backtest
    from leadsignal.churn import Ends, find_ends
    from leadsignal.cohorts import (
        Comparison,
        DatedCohorts,
        Overview,
        compare_all,
        compare_cohorts,
        compare_dated,
        comparison_names,
        dated_cohorts,
        process_effect,
    )
    from leadsignal.datasets import Simulation, sample_folder, simulate
    from leadsignal.discovery import Discovery, discover_processes
    from leadsignal.drivers import (
        CumulativeIncidence,
        HazardRatios,
        cumulative_incidence,
        hazard_ratios,
    )
    from leadsignal.errors import (
        Fault,
        LeadsignalError,
        ModelError,
        OptionError,
        ProjectError,
        SuccessAnalysisError,
        TablesError,
    )
    from leadsignal.foresight import TotalsWarning
    from leadsignal.health import HealthAudit, audit_health
    from leadsignal.lifetimes import LifetimeForecast, LifetimeModel
    from leadsignal.model import ChurnModel, Forecast
    from leadsignal.order import OrderInTime, order_in_time
    from leadsignal.panel import Panel, adoption_episodes, build_panel
    from leadsignal.project import Project, read_project
    from leadsignal.rescues import Rescues, find_rescues
    from leadsignal.retention import Retention, retention_table
    from leadsignal.saved import load_model, save_model
    from leadsignal.scores import Scores, score_accounts
    from leadsignal.success import SuccessAnalysis, read_success_analysis
    from leadsignal.tables import Tables, check_tables, read_tables
    from leadsignal.totals import CustomerTotals, read_totals

__version__ = "0.1.0"

_ROOMS = {
    "audit": ("Audit", "audit_indicators"),
    "backtest": ("Backtest", "run_backtest"),
    "churn": ("Ends", "find_ends"),
    "cohorts": (
        "Comparison",
        "DatedCohorts",
        "Overview",
        "compare_all",
        "compare_cohorts",
        "compare_dated",
        "comparison_names",
        "dated_cohorts",
        "process_effect",
    ),
    "datasets": ("Simulation", "sample_folder", "simulate"),
    "discovery": ("Discovery", "discover_processes"),
    "drivers": (
        "CumulativeIncidence",
        "HazardRatios",
        "cumulative_incidence",
        "hazard_ratios",
    ),
    "errors": (
        "Fault",
        "LeadsignalError",
        "ModelError",
        "OptionError",
        "ProjectError",
        "SuccessAnalysisError",
        "TablesError",
    ),
    "foresight": ("TotalsWarning",),
    "lifetimes": ("LifetimeForecast", "LifetimeModel"),
    "health": ("HealthAudit", "audit_health"),
    "model": ("ChurnModel", "Forecast"),
    "panel": ("Panel", "adoption_episodes", "build_panel"),
    "project": ("Project", "read_project"),
    "rescues": ("Rescues", "find_rescues"),
    "retention": ("Retention", "retention_table"),
    "saved": ("load_model", "save_model"),
    "scores": ("Scores", "score_accounts"),
    "order": ("OrderInTime", "order_in_time"),
    "success": ("SuccessAnalysis", "read_success_analysis"),
    "tables": ("Tables", "check_tables", "read_tables"),
    "totals": ("CustomerTotals", "read_totals"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    # Late, so that `leadsignal --help` does not wait for pandas and scikit-learn.
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'leadsignal' has no attribute {name!r}")
    return getattr(import_module(f"leadsignal.{_ROOM_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOM_OF])


__all__ = [
    "Audit",
    "Backtest",
    "ChurnModel",
    "Comparison",
    "CumulativeIncidence",
    "CustomerTotals",
    "DatedCohorts",
    "Discovery",
    "Ends",
    "Fault",
    "Forecast",
    "HazardRatios",
    "HealthAudit",
    "LeadsignalError",
    "LifetimeForecast",
    "LifetimeModel",
    "ModelError",
    "OptionError",
    "OrderInTime",
    "Overview",
    "Panel",
    "Project",
    "ProjectError",
    "Rescues",
    "Retention",
    "Scores",
    "Simulation",
    "SuccessAnalysis",
    "SuccessAnalysisError",
    "Tables",
    "TablesError",
    "TotalsWarning",
    "adoption_episodes",
    "audit_health",
    "audit_indicators",
    "build_panel",
    "check_tables",
    "compare_all",
    "compare_cohorts",
    "compare_dated",
    "comparison_names",
    "cumulative_incidence",
    "dated_cohorts",
    "discover_processes",
    "find_ends",
    "find_rescues",
    "hazard_ratios",
    "load_model",
    "order_in_time",
    "process_effect",
    "read_project",
    "read_success_analysis",
    "read_tables",
    "read_totals",
    "retention_table",
    "run_backtest",
    "sample_folder",
    "save_model",
    "score_accounts",
    "simulate",
]
