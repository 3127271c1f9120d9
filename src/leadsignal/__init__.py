"""Predict customer churn from leading behavioural indicators, before usage drops.

tables = ls.read_tables("data/sample")
analysis = ls.read_success_analysis("data/sample/success.toml")
panel = ls.build_panel(tables, analysis, every="28d")
model = ls.ChurnModel(horizon="180d").fit(panel)
scores = ls.score_accounts(model, tables)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from leadsignal.errors import (
        Fault,
        LeadsignalError,
        ModelError,
        OptionError,
        ProjectError,
        SuccessAnalysisError,
        TablesError,
    )
    from leadsignal.model import ChurnModel, Forecast
    from leadsignal.panel import Panel, adoption_episodes, build_panel
    from leadsignal.project import Project, read_project
    from leadsignal.saved import load_model, save_model
    from leadsignal.scores import Scores, score_accounts
    from leadsignal.success import SuccessAnalysis, read_success_analysis
    from leadsignal.tables import Tables, check_tables, read_tables

__version__ = "0.1.0"

_ROOMS = {
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
    "errors": (
        "Fault",
        "LeadsignalError",
        "ModelError",
        "OptionError",
        "ProjectError",
        "SuccessAnalysisError",
        "TablesError",
    ),
    "model": ("ChurnModel", "Forecast"),
    "panel": ("Panel", "adoption_episodes", "build_panel"),
    "project": ("Project", "read_project"),
    "saved": ("load_model", "save_model"),
    "scores": ("Scores", "score_accounts"),
    "success": ("SuccessAnalysis", "read_success_analysis"),
    "tables": ("Tables", "check_tables", "read_tables"),
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
    "ChurnModel",
    "Comparison",
    "DatedCohorts",
    "Fault",
    "Forecast",
    "LeadsignalError",
    "ModelError",
    "OptionError",
    "Overview",
    "Panel",
    "Project",
    "ProjectError",
    "Scores",
    "Simulation",
    "SuccessAnalysis",
    "SuccessAnalysisError",
    "Tables",
    "TablesError",
    "adoption_episodes",
    "build_panel",
    "check_tables",
    "compare_all",
    "compare_cohorts",
    "compare_dated",
    "comparison_names",
    "dated_cohorts",
    "load_model",
    "process_effect",
    "read_project",
    "read_success_analysis",
    "read_tables",
    "sample_folder",
    "save_model",
    "score_accounts",
    "simulate",
]
