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
    from leadsignal.as_of_context import AsOfContext as AsOfContext
    from leadsignal.churn.events import ChurnEvents as ChurnEvents
    from leadsignal.churn.events import churn_events as churn_events
    from leadsignal.churn.rescues import Rescues as Rescues
    from leadsignal.churn.rescues import find_rescues as find_rescues
    from leadsignal.churn.retention import Retention as Retention
    from leadsignal.churn.retention import retention_table as retention_table
    from leadsignal.cohorts import Comparison as Comparison
    from leadsignal.cohorts import DatedCohorts as DatedCohorts
    from leadsignal.cohorts import Overview as Overview
    from leadsignal.cohorts import compare_all as compare_all
    from leadsignal.cohorts import compare_cohorts as compare_cohorts
    from leadsignal.cohorts import compare_dated as compare_dated
    from leadsignal.cohorts import comparison_names as comparison_names
    from leadsignal.cohorts import dated_cohorts as dated_cohorts
    from leadsignal.cohorts import process_effect as process_effect
    from leadsignal.config.credentials import Source as Source
    from leadsignal.config.project import Project as Project
    from leadsignal.config.project import read_project as read_project
    from leadsignal.config.success import SuccessAnalysis as SuccessAnalysis
    from leadsignal.config.success import read_success_analysis as read_success_analysis
    from leadsignal.datasets import Simulation as Simulation
    from leadsignal.datasets import sample_folder as sample_folder
    from leadsignal.datasets import simulate as simulate
    from leadsignal.engine.spark_tables import SparkTables as SparkTables
    from leadsignal.engine.spark_tables import read_spark_tables as read_spark_tables
    from leadsignal.errors import Fault as Fault
    from leadsignal.errors import LeadsignalError as LeadsignalError
    from leadsignal.errors import ModelError as ModelError
    from leadsignal.errors import OptionError as OptionError
    from leadsignal.errors import ProjectError as ProjectError
    from leadsignal.errors import SourceError as SourceError
    from leadsignal.errors import SuccessAnalysisError as SuccessAnalysisError
    from leadsignal.errors import TablesError as TablesError
    from leadsignal.evaluation.audit import Audit as Audit
    from leadsignal.evaluation.audit import audit_indicators as audit_indicators
    from leadsignal.evaluation.backtest import Backtest as Backtest
    from leadsignal.evaluation.backtest import run_backtest as run_backtest
    from leadsignal.evaluation.event_order import OrderInTime as OrderInTime
    from leadsignal.evaluation.event_order import order_in_time as order_in_time
    from leadsignal.evaluation.health_score import HealthAudit as HealthAudit
    from leadsignal.evaluation.health_score import audit_health as audit_health
    from leadsignal.evaluation.tuning import Tuning as Tuning
    from leadsignal.evaluation.tuning import tune_model as tune_model
    from leadsignal.model.adoption_risk import risk_if_adopted as risk_if_adopted
    from leadsignal.model.bands import RiskBands as RiskBands
    from leadsignal.model.bands import risk_bands as risk_bands
    from leadsignal.model.churn_model import ChurnModel as ChurnModel
    from leadsignal.model.churn_model import Forecast as Forecast
    from leadsignal.model.effects import CumulativeIncidence as CumulativeIncidence
    from leadsignal.model.effects import HazardRatios as HazardRatios
    from leadsignal.model.effects import cumulative_incidence as cumulative_incidence
    from leadsignal.model.effects import hazard_ratios as hazard_ratios
    from leadsignal.model.encoding import IndicatorEncoder as IndicatorEncoder
    from leadsignal.model.explanation import Explanation as Explanation
    from leadsignal.model.explanation import Importance as Importance
    from leadsignal.model.explanation import explain_account as explain_account
    from leadsignal.model.explanation import subject_importance as subject_importance
    from leadsignal.model.one_row.customer_totals import CustomerTotals as CustomerTotals
    from leadsignal.model.one_row.customer_totals import read_totals as read_totals
    from leadsignal.model.one_row.lifetime_model import LifetimeForecast as LifetimeForecast
    from leadsignal.model.one_row.lifetime_model import LifetimeModel as LifetimeModel
    from leadsignal.model.one_row.totals_warning import TotalsWarning as TotalsWarning
    from leadsignal.model.persistence.saved_models import load_model as load_model
    from leadsignal.model.persistence.saved_models import save_model as save_model
    from leadsignal.monitoring.monitor import Finding as Finding
    from leadsignal.monitoring.monitor import Monitoring as Monitoring
    from leadsignal.monitoring.monitor import monitor_scores as monitor_scores
    from leadsignal.panel import Panel as Panel
    from leadsignal.panel import PanelWritten as PanelWritten
    from leadsignal.panel import adoption_episodes as adoption_episodes
    from leadsignal.panel import build_panel as build_panel
    from leadsignal.panel import sample_panel as sample_panel
    from leadsignal.panel import write_panel as write_panel
    from leadsignal.report import Findings as Findings
    from leadsignal.report import gather_findings as gather_findings
    from leadsignal.report import report_page as report_page
    from leadsignal.report import review_page as review_page
    from leadsignal.report import summarise as summarise
    from leadsignal.report import write_report as write_report
    from leadsignal.report import write_review as write_review
    from leadsignal.report.account import Review as Review
    from leadsignal.report.account import review_account as review_account
    from leadsignal.scoring.batch import read_scores as read_scores
    from leadsignal.scoring.batch import score_into as score_into
    from leadsignal.scoring.holdout import hold_out as hold_out
    from leadsignal.scoring.holdout import read_contacts as read_contacts
    from leadsignal.scoring.scores import Scores as Scores
    from leadsignal.scoring.scores import score_accounts as score_accounts
    from leadsignal.scoring.scores import score_panel as score_panel
    from leadsignal.scoring.scores_table import ScoresWritten as ScoresWritten
    from leadsignal.scoring.scores_table import write_scores_to as write_scores_to
    from leadsignal.scoring.spark_panel import SparkPanel as SparkPanel
    from leadsignal.scoring.spark_panel import build_spark_panel as build_spark_panel
    from leadsignal.success_analysis.customer_fit import CustomerFit as CustomerFit
    from leadsignal.success_analysis.customer_fit import fit_by as fit_by
    from leadsignal.success_analysis.customer_fit import reasons_to_buy as reasons_to_buy
    from leadsignal.success_analysis.discovery import Discovery as Discovery
    from leadsignal.success_analysis.discovery import discover_processes as discover_processes
    from leadsignal.success_analysis.gaps import SuccessGaps as SuccessGaps
    from leadsignal.success_analysis.gaps import find_success_gaps as find_success_gaps
    from leadsignal.success_analysis.interviews import BullseyePage as BullseyePage
    from leadsignal.success_analysis.interviews import Distilled as Distilled
    from leadsignal.success_analysis.interviews import InterviewError as InterviewError
    from leadsignal.success_analysis.interviews import InterviewKit as InterviewKit
    from leadsignal.success_analysis.interviews import Interviews as Interviews
    from leadsignal.success_analysis.interviews import bullseye_page as bullseye_page
    from leadsignal.success_analysis.interviews import distil as distil
    from leadsignal.success_analysis.interviews import read_interviews as read_interviews
    from leadsignal.success_analysis.interviews import write_interview_kit as write_interview_kit
    from leadsignal.success_analysis.later_outcomes import LaterRetention as LaterRetention
    from leadsignal.success_analysis.later_outcomes import later_retention as later_retention
    from leadsignal.success_analysis.successful import SuccessfulAccounts as SuccessfulAccounts
    from leadsignal.success_analysis.successful import most_successful as most_successful
    from leadsignal.success_analysis.tracking.adoption import Adoption as Adoption
    from leadsignal.success_analysis.tracking.adoption import AdoptionCurves as AdoptionCurves
    from leadsignal.success_analysis.tracking.adoption import adoption_curves as adoption_curves
    from leadsignal.success_analysis.tracking.adoption import adoption_table as adoption_table
    from leadsignal.success_analysis.tracking.milestones import (
        MilestoneCalendar as MilestoneCalendar,
    )
    from leadsignal.success_analysis.tracking.milestones import (
        milestone_calendar as milestone_calendar,
    )
    from leadsignal.success_analysis.tracking.results_over_time import (
        ResultHistory as ResultHistory,
    )
    from leadsignal.success_analysis.tracking.results_over_time import (
        ResultsAroundAdoption as ResultsAroundAdoption,
    )
    from leadsignal.success_analysis.tracking.results_over_time import (
        result_history as result_history,
    )
    from leadsignal.success_analysis.tracking.results_over_time import (
        results_around_adoption as results_around_adoption,
    )
    from leadsignal.success_analysis.tracking.unattended import (
        UnattendedAccounts as UnattendedAccounts,
    )
    from leadsignal.success_analysis.tracking.unattended import (
        unattended_accounts as unattended_accounts,
    )
    from leadsignal.tables import Tables as Tables
    from leadsignal.tables import check_tables as check_tables
    from leadsignal.tables import read_tables as read_tables

__version__ = "0.1.0"

_HOMES = {
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
    "success_analysis.discovery": ("Discovery", "discover_processes"),
    "model.effects": (
        "CumulativeIncidence",
        "HazardRatios",
        "cumulative_incidence",
        "hazard_ratios",
    ),
    "churn.events": ("ChurnEvents", "churn_events"),
    "churn.rescues": ("Rescues", "find_rescues"),
    "churn.retention": ("Retention", "retention_table"),
    "engine.spark_tables": ("SparkTables", "read_spark_tables"),
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
    "model.encoding": ("IndicatorEncoder",),
    "success_analysis.interviews": (
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
    "model.one_row.totals_warning": ("TotalsWarning",),
    "model.one_row.lifetime_model": ("LifetimeForecast", "LifetimeModel"),
    "model.one_row.customer_totals": ("CustomerTotals", "read_totals"),
    "model.adoption_risk": ("risk_if_adopted",),
    "model.bands": ("RiskBands", "risk_bands"),
    "model.churn_model": ("ChurnModel", "Forecast"),
    "model.explanation": ("Explanation", "Importance", "explain_account", "subject_importance"),
    "model.persistence.saved_models": ("load_model", "save_model"),
    "monitoring.monitor": ("Finding", "Monitoring", "monitor_scores"),
    "panel": (
        "Panel",
        "PanelWritten",
        "adoption_episodes",
        "build_panel",
        "sample_panel",
        "write_panel",
    ),
    "config.project": ("Project", "read_project"),
    "evaluation.audit": ("Audit", "audit_indicators"),
    "evaluation.backtest": ("Backtest", "run_backtest"),
    "evaluation.health_score": ("HealthAudit", "audit_health"),
    "evaluation.event_order": ("OrderInTime", "order_in_time"),
    "evaluation.tuning": ("Tuning", "tune_model"),
    "report": (
        "Findings",
        "gather_findings",
        "report_page",
        "review_page",
        "summarise",
        "write_report",
        "write_review",
    ),
    "report.account": ("Review", "review_account"),
    "scoring.batch": ("read_scores", "score_into"),
    "scoring.holdout": ("hold_out", "read_contacts"),
    "scoring.scores": ("Scores", "score_accounts", "score_panel"),
    "scoring.scores_table": ("ScoresWritten", "write_scores_to"),
    "scoring.spark_panel": ("SparkPanel", "build_spark_panel"),
    "config.credentials": ("Source",),
    "success_analysis.customer_fit": ("CustomerFit", "fit_by", "reasons_to_buy"),
    "success_analysis.gaps": ("SuccessGaps", "find_success_gaps"),
    "success_analysis.later_outcomes": ("LaterRetention", "later_retention"),
    "success_analysis.successful": ("SuccessfulAccounts", "most_successful"),
    "config.success": ("SuccessAnalysis", "read_success_analysis"),
    "tables": ("Tables", "check_tables", "read_tables"),
    "as_of_context": ("AsOfContext",),
    "success_analysis.tracking.adoption": (
        "Adoption",
        "AdoptionCurves",
        "adoption_curves",
        "adoption_table",
    ),
    "success_analysis.tracking.unattended": ("UnattendedAccounts", "unattended_accounts"),
    "success_analysis.tracking.results_over_time": (
        "ResultHistory",
        "ResultsAroundAdoption",
        "result_history",
        "results_around_adoption",
    ),
    "success_analysis.tracking.milestones": ("MilestoneCalendar", "milestone_calendar"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        # Late, so that `leadsignal --help` does not wait for pandas and scikit-learn.
        if name not in _HOME_OF:
            raise AttributeError(f"module 'leadsignal' has no attribute {name!r}")
        return getattr(import_module(f"leadsignal.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])


__all__ = sorted(_HOME_OF)  # type checkers read the imports above
