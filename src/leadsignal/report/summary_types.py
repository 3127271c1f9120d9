"""Types of the report's summary, with which mypy checks the pages, and their wording.

A summary is plain data, ready for JSON: days are ISO strings, missing numbers None. It may contain
more than is declared here, for readers of the JSON; the pages use only what is declared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal, TypedDict

from leadsignal.formats import day_text, how_often, how_often_between
from leadsignal.model.reasons import name_text
from leadsignal.package_data import packaged_toml

QuarterCount = Literal[
    "unexpected_accounts", "signalled_accounts", "too_young_accounts", "unknown_accounts"
]
"""Columns of churned accounts by whether a warning came before."""
Outcome = Literal["by_milestone", "later", "overdue", "left", "open"]
"""Columns of accounts by the outcome of their adoption of a process."""
RetentionShare = Literal["logo", "gross", "net"]
"""Columns of retention shares."""


class ShareSummary(TypedDict):
    """A count, what it is a share of, and the share with its 95 % interval."""

    count: int
    of: int
    share: float | None
    low: float
    high: float


class RatioSummary(TypedDict):
    """A hazard ratio with its 95 % interval; None where it is not finite."""

    estimate: float | None
    low: float | None
    high: float | None


class PanelSummary(TypedDict):
    """Size of the panel, and the data it includes."""

    accounts: int
    events: int
    every_days: int
    active: int
    on_notice: int
    first: str | None
    indicators: int
    has_arr: bool
    has_contract: bool
    lagging: list[str]


# Churn --------------------------------------------------------------------------------------------


class CauseRow(TypedDict):
    """Accounts and revenue that ended for one cause."""

    cause: str
    accounts: int
    arr: float
    churn: bool


class QuarterRow(TypedDict):
    """Accounts at the start of a quarter, and those of them that churned in it.

    ``whole`` says whether the quarter was over.
    """

    quarter: str
    accounts: int
    whole: bool
    unexpected_accounts: float
    signalled_accounts: float
    too_young_accounts: float
    unknown_accounts: float


class ChurnSummary(TypedDict):
    """Churned accounts, and how many of them were unexpected."""

    churned: int
    with_usage_drop: int
    warnings: list[str]
    warning_time_days: int
    unexpected: ShareSummary
    unexpected_arr_share: float | None
    first_known: str | None
    causes: list[CauseRow]
    quarters: list[QuarterRow]


class RetentionRow(TypedDict):
    """Retention of the accounts active at the start of a month, or of the year up to it."""

    month: str
    accounts: float
    churned: float
    logo: float | None
    gross: float | None
    net: float | None


# Alerts -------------------------------------------------------------------------------------------


class RecipeSummary(TypedDict):
    """How the models of a backtest are fitted."""

    estimator: str


class CatchSummary(TypedDict):
    """Churned accounts that the alerts of the backtest caught, and how early."""

    method: str
    horizon_days: int
    warning_time_days: int
    unlike_scores: list[str]
    of: str
    churns: int
    caught: int
    share: float | None
    low: float | None
    high: float | None
    lead_days: float | None
    head_start_days: float | None
    beats_context: bool | None


class MethodRow(TypedDict):
    """Measures of one method of the backtest."""

    name: str
    share: float | None
    low: float | None
    high: float | None
    lead_days_of_caught: float | None
    beats_context: bool | None
    alert_precision: float | None
    new_alerts_a_month: float | None
    auc: float | None


class CalibrationRow(TypedDict):
    """Predicted and observed share of one group of risks."""

    risk: float
    rows: int
    observed: float
    lower: float
    upper: float


class BacktestSummary(TypedDict):
    """Methods of the backtest, with the same number of alerts."""

    horizon_days: int
    warning_time_days: int
    capacity: float
    cutoffs: list[str]
    counts: dict[str, int]
    left_out: dict[str, str]
    headline: str
    alerting: str
    recipe: RecipeSummary | None
    methods: list[MethodRow]
    calibration: list[CalibrationRow]


# Accounts -----------------------------------------------------------------------------------------


class OpenProcess(TypedDict):
    """A process that is not adopted, and its state."""

    process: str
    state: str


class StepSummary(TypedDict):
    """The next step; ``day`` is written after the text if there is one."""

    text: str
    day: str | None


class AccountRow(TypedDict):
    """Risk of one account, with reasons and the next step."""

    account_id: str
    name: str | None
    owner: str | None
    currency: str | None
    risk: float
    arr: float | None
    next_renewal: str | None
    expected_arr_loss: float | None
    alert: bool
    held_out: bool
    open_processes: list[OpenProcess]
    next_step: StepSummary | None
    reasons: list[str]


class AccountsSummary(TypedDict):
    """Scored accounts; ``rows`` are those of the highest risk."""

    accounts: int
    expected_churns: float
    alerts: int
    on_call_list: int
    notice_given: int
    listed: int
    without: list[str]
    alerts_not_listed: int
    rows: list[AccountRow]


class EffectSummary(RatioSummary):
    """Proven effect of a process, measured ``lag_days`` after adoption."""

    lag_days: int


# Success analysis ---------------------------------------------------------------------------------


class BullseyeSummary(TypedDict):
    """Objective, measure of success and traits of successful customers."""

    objective: str
    success_metric: str
    traits: list[str]


class ProcessSummary(TypedDict):
    """Definition of one essential process."""

    name: str
    behaviors: list[str]
    at_least: float
    by_users: int
    within: int
    sustained_for: int
    adopt_by: int | None
    why: str


class AnalysisSummary(TypedDict):
    """The success analysis."""

    bullseye: BullseyeSummary
    processes: list[ProcessSummary]


class AdoptionRow(TypedDict):
    """Accounts by the outcome of their adoption of one process."""

    process: str
    by_milestone: int
    later: int
    overdue: int
    left: int
    open: int
    share_by_milestone: float | None


class AdoptionSummary(TypedDict):
    """Adoption by process."""

    left_out: int
    processes: list[AdoptionRow]


class MilestoneRow(TypedDict):
    """One milestone that falls due."""

    account_id: str
    process: str
    due_on: str
    can_be_met: bool
    chance: float | None


class MilestonesSummary(TypedDict):
    """Milestones that fall due within ``ahead_days``."""

    ahead_days: int
    due: int
    will_miss: int
    out_of_reach: int
    overdue: int
    next: list[MilestoneRow]


class UnattendedSummary(TypedDict):
    """Unattended accounts by reason."""

    red: int
    active: int
    reasons: dict[str, int]


class SuccessfulRow(TypedDict):
    """One of the most successful accounts."""

    account_id: str
    value: float
    target: float
    since: str
    trend: str


class CriterionSummary(TypedDict):
    """Comparison of another selection criterion with the one by results."""

    name: str
    by: str
    size: int
    overlap: int
    overlap_by_chance: float


class SuccessfulSummary(TypedDict):
    """The most successful accounts."""

    accounts: int
    rows: list[SuccessfulRow]
    criteria: list[CriterionSummary]


class GapRow(TypedDict):
    """One account with a success gap."""

    account_id: str
    value: float
    target: float
    trend: str
    off_since: str | None


class DifferenceRow(TypedDict):
    """A value that is more or less frequent among accounts with a success gap."""

    what: str
    value: str
    gap_share: float
    reached_share: float


class GapsSummary(TypedDict):
    """Accounts that adopted every process and miss their target."""

    accounts: int
    eligible: int
    steps: dict[str, int]
    rows: list[GapRow]
    apart: list[DifferenceRow]


# Indicators ---------------------------------------------------------------------------------------


class IndicatorRow(TypedDict):
    """Verdict of the audit on one indicator."""

    name: str
    words: str
    family: str
    verdict: str
    auc: float | None
    low: float | None
    high: float | None
    auc_last: float | None
    ends_to_decide: float | None


class HealthSummary(TypedDict):
    """Audit of the health score."""

    churned: int
    green_at_warning_time: int
    green_at_last: int
    red_episodes: int
    false_alarms: float | None


class AuditSummary(TypedDict):
    """Audit of the indicators."""

    warning_time_days: int
    ends: int
    usage_declines: bool | None
    counts: dict[str, int]
    indicators: list[IndicatorRow]
    health: HealthSummary | None


class HazardRatioRow(TypedDict):
    """Hazard ratio of one step of an indicator."""

    words: str
    step: str
    reference: str
    ratio: float
    low: float
    high: float


class HazardRatiosSummary(TypedDict):
    """Hazard ratios of the indicators."""

    notes: list[str]
    rows: list[HazardRatioRow]


# Cohorts and reasons to buy -----------------------------------------------------------------------


class CohortLine(TypedDict):
    """Churn of one cohort compared with another."""

    by: str
    cohort: str
    against: str
    naive: RatioSummary | None
    hazard_ratio: RatioSummary
    p_holm: float
    rung: int | None
    evidence: str
    verdict: str


class CohortsSummary(TypedDict):
    """All cohort comparisons."""

    lines: list[CohortLine]
    many_values: list[str]
    left_out: dict[str, str]


class ReasonRow(TypedDict):
    """Churn by reason to buy."""

    value: str
    accounts: float | None
    churned: float | None
    churn: float | None
    churn_low: float | None
    churn_high: float | None
    verdict: str


class ReasonsSummary(TypedDict):
    """Reasons to buy."""

    rows: list[ReasonRow]


class WarningRow(TypedDict):
    """A warning about a table, or about a result if ``table`` is empty."""

    kind: str
    table: str
    message: str


class Summary(TypedDict):
    """Everything that a report shows; a section is None if its result is missing.

    ``missing`` gives the reason by section; ``names`` gives the names of accounts by id.
    """

    as_of: str
    horizon_days: int
    warning_time_days: int
    capacity: float
    currency: str | None
    model_version: str | None
    panel: PanelSummary
    churn: ChurnSummary
    catch: CatchSummary | None
    backtest: BacktestSummary | None
    calls: list[AccountRow] | None
    accounts: AccountsSummary | None
    effects: dict[str, EffectSummary]
    analysis: AnalysisSummary
    retention: list[RetentionRow] | None
    trailing_retention: list[RetentionRow] | None
    adoption: AdoptionSummary | None
    milestones: MilestonesSummary | None
    red: UnattendedSummary | None
    successful: SuccessfulSummary | None
    gaps: GapsSummary | None
    audit: AuditSummary | None
    cohorts: CohortsSummary | None
    reasons: ReasonsSummary | None
    ratios: HazardRatiosSummary | None
    warnings: list[WarningRow]
    missing: dict[str, str]
    names: dict[str, str]
    pages: dict[str, str]


WORDS = packaged_toml("leadsignal.report", "words.toml")
LAGGING: Mapping[str, str] = WORDS["lagging"]


def profile_words(panel: PanelSummary) -> str:
    """Return the name of an account's context, which depends on whether there are contracts.

    >>> profile_words({"has_contract": False})
    'tenure and profile'
    """
    return "contract and firm" if panel["has_contract"] else "tenure and profile"


def method_words(name: str, panel: PanelSummary) -> str:
    """Return the name of a method of a backtest; ``panel`` is the part of a summary."""
    if name == "context":
        return f"{profile_words(panel)} only"
    if name == "lagging":
        families = [family for family in panel["lagging"] if family in LAGGING]
        # Usage includes activity if both are recorded.
        without = "activity" if "usage" in families else ""
        return listed([LAGGING[family] for family in families if family != without] or ["the past"])
    return str(WORDS["methods"].get(name, name))


def estimator_words(name: str) -> str:
    """Return the name of an estimator."""
    return str(WORDS["estimators"].get(name, name))


def listed(names: Sequence[str]) -> str:
    """Return names joined as in a sentence.

    >>> listed(["usage", "surveys", "flags"])
    'usage, surveys and flags'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def span(days: int) -> str:
    """Return a number of days in words, if there is a common expression for it.

    >>> span(180), span(200)
    ('six months', '200 days')
    """
    return str(WORDS["spans"].get(str(days), f"{days} days"))


def effect_words(effect: RatioSummary, lag_days: int) -> str:
    """Return the proven effect of a process in words.

    >>> effect_words({"estimate": 0.41, "low": 0.27, "high": 0.61}, 90)
    'accounts that practise it leave 59 % less often (39 to 73 %), 90 days later'
    """
    often = how_often(effect["estimate"] or 1.0)
    between = how_often_between(effect["low"], effect["high"])
    return f"accounts that practise it leave {often} ({between}), {lag_days} days later"


def as_of_text(summary: Summary) -> str:
    """Return the day of a report as plain text."""
    return day_text(date.fromisoformat(summary["as_of"]))


def sentence(text: str) -> str:
    """Return the text with underscores in names replaced by spaces, beginning with a capital.

    >>> sentence("start weekly_close")
    'Start weekly close'
    """
    words = name_text(text)
    return words[:1].upper() + words[1:]


def step_words(text: str, day: date | None) -> str:
    """Return a next step as a sentence that ends with its day.

    >>> step_words("start weekly_close: it was due on", date(2023, 8, 2))
    'Start weekly close: it was due on 2 Aug 2023'
    """
    return sentence(text) if day is None else f"{sentence(text)} {day_text(day)}"
