"""Predict customer churn from leading behavioural indicators, before usage drops.

tables = ls.read_tables("data/sample")
analysis = ls.read_success_analysis("data/sample/success.toml")
panel = ls.build_panel(tables, analysis, every="28d")
ls.audit_indicators(panel)
backtest = ls.run_backtest(panel, horizon="180d")
model = ls.ChurnModel(horizon="180d").fit(panel)
scores = ls.score_accounts(model, tables)
ls.write_report("churn.html", panel, backtest, scores)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leadsignal.adopters import risk_if_adopted
    from leadsignal.adoption import Adoption, AdoptionCurves, adoption_curves, adoption_table
    from leadsignal.attention import RedAccounts, red_accounts
    from leadsignal.audit import Audit, audit_indicators
    from leadsignal.backtest import Backtest, run_backtest
    from leadsignal.bands import RiskBands, risk_bands
    from leadsignal.batch import read_scores, score_into
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
    from leadsignal.credentials import Source
    from leadsignal.datasets import Simulation, sample_folder, simulate
    from leadsignal.discovery import Discovery, discover_processes
    from leadsignal.drivers import (
        CumulativeIncidence,
        HazardRatios,
        cumulative_incidence,
        hazard_ratios,
    )
    from leadsignal.encoding import IndicatorEncoder
    from leadsignal.errors import (
        Fault,
        LeadsignalError,
        ModelError,
        OptionError,
        ProjectError,
        SourceError,
        SuccessAnalysisError,
        TablesError,
    )
    from leadsignal.explanation import Explanation, Importance, explain_account, subject_importance
    from leadsignal.fit import Fit, fit_by, reasons_to_buy
    from leadsignal.foresight import TotalsWarning
    from leadsignal.gaps import SuccessGaps, find_success_gaps
    from leadsignal.health import HealthAudit, audit_health
    from leadsignal.holdout import hold_out, read_contacts
    from leadsignal.interviews import (
        BullseyePage,
        Distilled,
        InterviewError,
        InterviewKit,
        Interviews,
        bullseye_page,
        distil,
        read_interviews,
        write_interview_kit,
    )
    from leadsignal.later import LaterRetention, later_retention
    from leadsignal.lifetimes import LifetimeForecast, LifetimeModel
    from leadsignal.measured import (
        ResultHistory,
        ResultsAroundAdoption,
        result_history,
        results_around_adoption,
    )
    from leadsignal.milestones import MilestoneCalendar, milestone_calendar
    from leadsignal.model import ChurnModel, Forecast
    from leadsignal.monitor import Finding, Monitoring, monitor_scores
    from leadsignal.order import OrderInTime, order_in_time
    from leadsignal.panel import Panel, adoption_episodes, build_panel, sample_panel, write_panel
    from leadsignal.project import Project, read_project
    from leadsignal.report import (
        Findings,
        gather_findings,
        report_page,
        review_page,
        summarise,
        write_report,
        write_review,
    )
    from leadsignal.rescues import Rescues, find_rescues
    from leadsignal.retention import Retention, retention_table
    from leadsignal.review import Review, review_account
    from leadsignal.saved import load_model, save_model
    from leadsignal.scores import Scores, score_accounts, score_panel
    from leadsignal.scores_table import ScoresWritten, write_scores_to
    from leadsignal.spark_panel import SparkPanel, build_spark_panel
    from leadsignal.spark_tables import SparkTables, read_spark_tables
    from leadsignal.success import SuccessAnalysis, read_success_analysis
    from leadsignal.successful import Successful, most_successful
    from leadsignal.tables import Tables, check_tables, read_tables
    from leadsignal.totals import CustomerTotals, read_totals
    from leadsignal.tuning import Tuning, tune_model

__version__ = "0.1.0"

_ROOMS = {
    "adopters": ("risk_if_adopted",),
    "adoption": (
        "Adoption",
        "AdoptionCurves",
        "adoption_curves",
        "adoption_table",
    ),
    "attention": (
        "RedAccounts",
        "red_accounts",
    ),
    "audit": (
        "Audit",
        "audit_indicators",
    ),
    "backtest": (
        "Backtest",
        "run_backtest",
    ),
    "bands": (
        "RiskBands",
        "risk_bands",
    ),
    "batch": (
        "read_scores",
        "score_into",
    ),
    "churn": (
        "Ends",
        "find_ends",
    ),
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
    "credentials": ("Source",),
    "datasets": (
        "Simulation",
        "sample_folder",
        "simulate",
    ),
    "discovery": (
        "Discovery",
        "discover_processes",
    ),
    "drivers": (
        "CumulativeIncidence",
        "HazardRatios",
        "cumulative_incidence",
        "hazard_ratios",
    ),
    "encoding": ("IndicatorEncoder",),
    "errors": (
        "Fault",
        "LeadsignalError",
        "ModelError",
        "OptionError",
        "ProjectError",
        "SourceError",
        "SuccessAnalysisError",
        "TablesError",
    ),
    "explanation": (
        "Explanation",
        "Importance",
        "explain_account",
        "subject_importance",
    ),
    "fit": (
        "Fit",
        "fit_by",
        "reasons_to_buy",
    ),
    "foresight": ("TotalsWarning",),
    "gaps": (
        "SuccessGaps",
        "find_success_gaps",
    ),
    "health": (
        "HealthAudit",
        "audit_health",
    ),
    "holdout": (
        "hold_out",
        "read_contacts",
    ),
    "interviews": (
        "BullseyePage",
        "Distilled",
        "InterviewError",
        "InterviewKit",
        "Interviews",
        "bullseye_page",
        "distil",
        "read_interviews",
        "write_interview_kit",
    ),
    "later": (
        "LaterRetention",
        "later_retention",
    ),
    "lifetimes": (
        "LifetimeForecast",
        "LifetimeModel",
    ),
    "measured": (
        "ResultHistory",
        "ResultsAroundAdoption",
        "result_history",
        "results_around_adoption",
    ),
    "milestones": (
        "MilestoneCalendar",
        "milestone_calendar",
    ),
    "model": (
        "ChurnModel",
        "Forecast",
    ),
    "monitor": (
        "Finding",
        "Monitoring",
        "monitor_scores",
    ),
    "order": (
        "OrderInTime",
        "order_in_time",
    ),
    "panel": (
        "Panel",
        "adoption_episodes",
        "build_panel",
        "sample_panel",
        "write_panel",
    ),
    "project": (
        "Project",
        "read_project",
    ),
    "report": (
        "Findings",
        "gather_findings",
        "report_page",
        "review_page",
        "summarise",
        "write_report",
        "write_review",
    ),
    "rescues": (
        "Rescues",
        "find_rescues",
    ),
    "retention": (
        "Retention",
        "retention_table",
    ),
    "review": (
        "Review",
        "review_account",
    ),
    "saved": (
        "load_model",
        "save_model",
    ),
    "scores": (
        "Scores",
        "score_accounts",
        "score_panel",
    ),
    "scores_table": (
        "ScoresWritten",
        "write_scores_to",
    ),
    "spark_panel": (
        "SparkPanel",
        "build_spark_panel",
    ),
    "spark_tables": (
        "SparkTables",
        "read_spark_tables",
    ),
    "success": (
        "SuccessAnalysis",
        "read_success_analysis",
    ),
    "successful": (
        "Successful",
        "most_successful",
    ),
    "tables": (
        "Tables",
        "check_tables",
        "read_tables",
    ),
    "totals": (
        "CustomerTotals",
        "read_totals",
    ),
    "tuning": (
        "Tuning",
        "tune_model",
    ),
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
    "Adoption",
    "AdoptionCurves",
    "Audit",
    "Backtest",
    "BullseyePage",
    "ChurnModel",
    "Comparison",
    "CumulativeIncidence",
    "CustomerTotals",
    "DatedCohorts",
    "Discovery",
    "Distilled",
    "Ends",
    "Explanation",
    "Fault",
    "Finding",
    "Findings",
    "Fit",
    "Forecast",
    "HazardRatios",
    "HealthAudit",
    "Importance",
    "IndicatorEncoder",
    "InterviewError",
    "InterviewKit",
    "Interviews",
    "LaterRetention",
    "LeadsignalError",
    "LifetimeForecast",
    "LifetimeModel",
    "MilestoneCalendar",
    "ModelError",
    "Monitoring",
    "OptionError",
    "OrderInTime",
    "Overview",
    "Panel",
    "Project",
    "ProjectError",
    "RedAccounts",
    "Rescues",
    "ResultHistory",
    "ResultsAroundAdoption",
    "Retention",
    "Review",
    "RiskBands",
    "Scores",
    "ScoresWritten",
    "Simulation",
    "Source",
    "SourceError",
    "SparkPanel",
    "SparkTables",
    "SuccessAnalysis",
    "SuccessAnalysisError",
    "SuccessGaps",
    "Successful",
    "Tables",
    "TablesError",
    "TotalsWarning",
    "Tuning",
    "adoption_curves",
    "adoption_episodes",
    "adoption_table",
    "audit_health",
    "audit_indicators",
    "build_panel",
    "build_spark_panel",
    "bullseye_page",
    "check_tables",
    "compare_all",
    "compare_cohorts",
    "compare_dated",
    "comparison_names",
    "cumulative_incidence",
    "dated_cohorts",
    "discover_processes",
    "distil",
    "explain_account",
    "find_ends",
    "find_rescues",
    "find_success_gaps",
    "fit_by",
    "gather_findings",
    "hazard_ratios",
    "hold_out",
    "later_retention",
    "load_model",
    "milestone_calendar",
    "monitor_scores",
    "most_successful",
    "order_in_time",
    "process_effect",
    "read_contacts",
    "read_interviews",
    "read_project",
    "read_scores",
    "read_spark_tables",
    "read_success_analysis",
    "read_tables",
    "read_totals",
    "reasons_to_buy",
    "red_accounts",
    "report_page",
    "result_history",
    "results_around_adoption",
    "retention_table",
    "review_account",
    "review_page",
    "risk_bands",
    "risk_if_adopted",
    "run_backtest",
    "sample_folder",
    "sample_panel",
    "save_model",
    "score_accounts",
    "score_into",
    "score_panel",
    "simulate",
    "subject_importance",
    "summarise",
    "tune_model",
    "write_interview_kit",
    "write_panel",
    "write_report",
    "write_review",
    "write_scores_to",
]
