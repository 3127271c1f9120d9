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

if TYPE_CHECKING:  # `as` says that a name is handed on
    from leadsignal.adopters import risk_if_adopted as risk_if_adopted
    from leadsignal.adoption import Adoption as Adoption
    from leadsignal.adoption import AdoptionCurves as AdoptionCurves
    from leadsignal.adoption import adoption_curves as adoption_curves
    from leadsignal.adoption import adoption_table as adoption_table
    from leadsignal.attention import RedAccounts as RedAccounts
    from leadsignal.attention import red_accounts as red_accounts
    from leadsignal.audit import Audit as Audit
    from leadsignal.audit import audit_indicators as audit_indicators
    from leadsignal.backtest import Backtest as Backtest
    from leadsignal.backtest import run_backtest as run_backtest
    from leadsignal.bands import RiskBands as RiskBands
    from leadsignal.bands import risk_bands as risk_bands
    from leadsignal.batch import read_scores as read_scores
    from leadsignal.batch import score_into as score_into
    from leadsignal.churn import Ends as Ends
    from leadsignal.churn import find_ends as find_ends
    from leadsignal.cohorts import Comparison as Comparison
    from leadsignal.cohorts import DatedCohorts as DatedCohorts
    from leadsignal.cohorts import Overview as Overview
    from leadsignal.cohorts import compare_all as compare_all
    from leadsignal.cohorts import compare_cohorts as compare_cohorts
    from leadsignal.cohorts import compare_dated as compare_dated
    from leadsignal.cohorts import comparison_names as comparison_names
    from leadsignal.cohorts import dated_cohorts as dated_cohorts
    from leadsignal.cohorts import process_effect as process_effect
    from leadsignal.credentials import Source as Source
    from leadsignal.datasets import Simulation as Simulation
    from leadsignal.datasets import sample_folder as sample_folder
    from leadsignal.datasets import simulate as simulate
    from leadsignal.discovery import Discovery as Discovery
    from leadsignal.discovery import discover_processes as discover_processes
    from leadsignal.drivers import CumulativeIncidence as CumulativeIncidence
    from leadsignal.drivers import HazardRatios as HazardRatios
    from leadsignal.drivers import cumulative_incidence as cumulative_incidence
    from leadsignal.drivers import hazard_ratios as hazard_ratios
    from leadsignal.encoding import IndicatorEncoder as IndicatorEncoder
    from leadsignal.errors import Fault as Fault
    from leadsignal.errors import LeadsignalError as LeadsignalError
    from leadsignal.errors import ModelError as ModelError
    from leadsignal.errors import OptionError as OptionError
    from leadsignal.errors import ProjectError as ProjectError
    from leadsignal.errors import SourceError as SourceError
    from leadsignal.errors import SuccessAnalysisError as SuccessAnalysisError
    from leadsignal.errors import TablesError as TablesError
    from leadsignal.explanation import Explanation as Explanation
    from leadsignal.explanation import Importance as Importance
    from leadsignal.explanation import explain_account as explain_account
    from leadsignal.explanation import subject_importance as subject_importance
    from leadsignal.fit import Fit as Fit
    from leadsignal.fit import fit_by as fit_by
    from leadsignal.fit import reasons_to_buy as reasons_to_buy
    from leadsignal.foresight import TotalsWarning as TotalsWarning
    from leadsignal.gaps import SuccessGaps as SuccessGaps
    from leadsignal.gaps import find_success_gaps as find_success_gaps
    from leadsignal.health import HealthAudit as HealthAudit
    from leadsignal.health import audit_health as audit_health
    from leadsignal.holdout import hold_out as hold_out
    from leadsignal.holdout import read_contacts as read_contacts
    from leadsignal.interviews import BullseyePage as BullseyePage
    from leadsignal.interviews import Distilled as Distilled
    from leadsignal.interviews import InterviewError as InterviewError
    from leadsignal.interviews import InterviewKit as InterviewKit
    from leadsignal.interviews import Interviews as Interviews
    from leadsignal.interviews import bullseye_page as bullseye_page
    from leadsignal.interviews import distil as distil
    from leadsignal.interviews import read_interviews as read_interviews
    from leadsignal.interviews import write_interview_kit as write_interview_kit
    from leadsignal.later import LaterRetention as LaterRetention
    from leadsignal.later import later_retention as later_retention
    from leadsignal.lifetimes import LifetimeForecast as LifetimeForecast
    from leadsignal.lifetimes import LifetimeModel as LifetimeModel
    from leadsignal.measured import ResultHistory as ResultHistory
    from leadsignal.measured import ResultsAroundAdoption as ResultsAroundAdoption
    from leadsignal.measured import result_history as result_history
    from leadsignal.measured import results_around_adoption as results_around_adoption
    from leadsignal.milestones import MilestoneCalendar as MilestoneCalendar
    from leadsignal.milestones import milestone_calendar as milestone_calendar
    from leadsignal.model import ChurnModel as ChurnModel
    from leadsignal.model import Forecast as Forecast
    from leadsignal.monitor import Finding as Finding
    from leadsignal.monitor import Monitoring as Monitoring
    from leadsignal.monitor import monitor_scores as monitor_scores
    from leadsignal.order import OrderInTime as OrderInTime
    from leadsignal.order import order_in_time as order_in_time
    from leadsignal.panel import Panel as Panel
    from leadsignal.panel import PanelWritten as PanelWritten
    from leadsignal.panel import adoption_episodes as adoption_episodes
    from leadsignal.panel import build_panel as build_panel
    from leadsignal.panel import sample_panel as sample_panel
    from leadsignal.panel import write_panel as write_panel
    from leadsignal.project import Project as Project
    from leadsignal.project import read_project as read_project
    from leadsignal.report import Findings as Findings
    from leadsignal.report import gather_findings as gather_findings
    from leadsignal.report import report_page as report_page
    from leadsignal.report import review_page as review_page
    from leadsignal.report import summarise as summarise
    from leadsignal.report import write_report as write_report
    from leadsignal.report import write_review as write_review
    from leadsignal.rescues import Rescues as Rescues
    from leadsignal.rescues import find_rescues as find_rescues
    from leadsignal.retention import Retention as Retention
    from leadsignal.retention import retention_table as retention_table
    from leadsignal.review import Review as Review
    from leadsignal.review import review_account as review_account
    from leadsignal.saved import load_model as load_model
    from leadsignal.saved import save_model as save_model
    from leadsignal.scores import Scores as Scores
    from leadsignal.scores import score_accounts as score_accounts
    from leadsignal.scores import score_panel as score_panel
    from leadsignal.scores_table import ScoresWritten as ScoresWritten
    from leadsignal.scores_table import write_scores_to as write_scores_to
    from leadsignal.spark_panel import SparkPanel as SparkPanel
    from leadsignal.spark_panel import build_spark_panel as build_spark_panel
    from leadsignal.spark_tables import SparkTables as SparkTables
    from leadsignal.spark_tables import read_spark_tables as read_spark_tables
    from leadsignal.success import SuccessAnalysis as SuccessAnalysis
    from leadsignal.success import read_success_analysis as read_success_analysis
    from leadsignal.successful import Successful as Successful
    from leadsignal.successful import most_successful as most_successful
    from leadsignal.tables import Tables as Tables
    from leadsignal.tables import check_tables as check_tables
    from leadsignal.tables import read_tables as read_tables
    from leadsignal.today import Today as Today
    from leadsignal.totals import CustomerTotals as CustomerTotals
    from leadsignal.totals import read_totals as read_totals
    from leadsignal.tuning import Tuning as Tuning
    from leadsignal.tuning import tune_model as tune_model

__version__ = "0.1.0"

_ROOMS = {
    "adopters": ("risk_if_adopted",),
    "adoption": ("Adoption", "AdoptionCurves", "adoption_curves", "adoption_table"),
    "attention": ("RedAccounts", "red_accounts"),
    "audit": ("Audit", "audit_indicators"),
    "backtest": ("Backtest", "run_backtest"),
    "bands": ("RiskBands", "risk_bands"),
    "batch": ("read_scores", "score_into"),
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
    "credentials": ("Source",),
    "datasets": ("Simulation", "sample_folder", "simulate"),
    "discovery": ("Discovery", "discover_processes"),
    "drivers": ("CumulativeIncidence", "HazardRatios", "cumulative_incidence", "hazard_ratios"),
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
    "explanation": ("Explanation", "Importance", "explain_account", "subject_importance"),
    "fit": ("Fit", "fit_by", "reasons_to_buy"),
    "foresight": ("TotalsWarning",),
    "gaps": ("SuccessGaps", "find_success_gaps"),
    "health": ("HealthAudit", "audit_health"),
    "holdout": ("hold_out", "read_contacts"),
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
    "later": ("LaterRetention", "later_retention"),
    "lifetimes": ("LifetimeForecast", "LifetimeModel"),
    "measured": (
        "ResultHistory",
        "ResultsAroundAdoption",
        "result_history",
        "results_around_adoption",
    ),
    "milestones": ("MilestoneCalendar", "milestone_calendar"),
    "model": ("ChurnModel", "Forecast"),
    "monitor": ("Finding", "Monitoring", "monitor_scores"),
    "order": ("OrderInTime", "order_in_time"),
    "panel": (
        "Panel",
        "PanelWritten",
        "adoption_episodes",
        "build_panel",
        "sample_panel",
        "write_panel",
    ),
    "project": ("Project", "read_project"),
    "report": (
        "Findings",
        "gather_findings",
        "report_page",
        "review_page",
        "summarise",
        "write_report",
        "write_review",
    ),
    "rescues": ("Rescues", "find_rescues"),
    "retention": ("Retention", "retention_table"),
    "review": ("Review", "review_account"),
    "saved": ("load_model", "save_model"),
    "scores": ("Scores", "score_accounts", "score_panel"),
    "scores_table": ("ScoresWritten", "write_scores_to"),
    "spark_panel": ("SparkPanel", "build_spark_panel"),
    "spark_tables": ("SparkTables", "read_spark_tables"),
    "success": ("SuccessAnalysis", "read_success_analysis"),
    "successful": ("Successful", "most_successful"),
    "tables": ("Tables", "check_tables", "read_tables"),
    "today": ("Today",),
    "totals": ("CustomerTotals", "read_totals"),
    "tuning": ("Tuning", "tune_model"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        # Late, so that `leadsignal --help` does not wait for pandas and scikit-learn.
        if name not in _ROOM_OF:
            raise AttributeError(f"module 'leadsignal' has no attribute {name!r}")
        return getattr(import_module(f"leadsignal.{_ROOM_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOM_OF])


__all__ = sorted(_ROOM_OF)  # type checkers read the imports above
