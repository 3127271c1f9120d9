"""The backtest: alerts as they would have been raised on past dates, compared with baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal import plots
from leadsignal.account_sample import AccountSample
from leadsignal.accounts import known_ends
from leadsignal.arguments import Duration, checked, days_in, reads_weights
from leadsignal.churn.events import UNEXPECTED, ChurnEvents, churn_events
from leadsignal.errors import ModelError, OptionError, one_of
from leadsignal.evaluation.evaluation_rows import (
    BASELINE,
    MethodEvaluation,
    MethodResult,
    alerts_by_method,
    by_group,
    calibrate,
    churns_by_method,
    counts_of,
    differences_from_context,
    measure,
    measure_random,
    methods_by_quarter,
)
from leadsignal.evaluation.methods import (
    METHODS,
    Ranked,
    can_read,
    cut_offs,
    extra_methods,
    fitted,
    models_to_fit,
    rules,
)
from leadsignal.evaluation.past_rows import (
    EvaluableChurns,
    EvaluationRows,
    churns_to_evaluate,
    on_grid,
    rows_to_evaluate,
)
from leadsignal.files.writing import json_fields
from leadsignal.formats import count_of, interval_text, share_text
from leadsignal.ingestion.check_report import DataWarning, affecting, warning_lines
from leadsignal.ingestion.plausibility import poisson_tail
from leadsignal.model.churn_model import ChurnModel, churned_within
from leadsignal.model.learners import Classifier, estimator_name, estimator_problem
from leadsignal.model.provenance import Recipe, refuse_other_analysis, refuse_other_settings
from leadsignal.model.stacked_model import Estimator
from leadsignal.panel import Panel
from leadsignal.results import Result, or_dash, to_html
from leadsignal.tables import Tables
from leadsignal.workers import Progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes


MAX_AUC = 0.95
"""Maximum AUC of a backtest without a warning."""
TIMES = 2.0
"""Ratio to the churns of the last completed horizon, up or down, that calls for a warning."""
CHANCE = 0.01
"""A warning is given only if the probability of such a difference by chance is below this."""

Counts = tuple[int, int]
"""Number of accounts that churned within a horizon, and of accounts active at its start."""


def doubt_of_auc(aucs: Mapping[str, float]) -> tuple[DataWarning, ...]:
    """Return a warning if methods have an implausibly high AUC.

    >>> doubt_of_auc({"usage": 0.7})
    ()
    """
    high = [f"{name} {auc:.3f}" for name, auc in aucs.items() if auc > MAX_AUC]
    if not high:
        return ()
    message = (
        f"the AUC is above {MAX_AUC} ({', '.join(high)}), which is rare for churn: look for what "
        "was recorded after the churn, or because of it, before you trust any figure below"
    )
    return (DataWarning("high_auc", "", message),)


def doubt_of_expected(
    expected: float, accounts: int, last: Counts | None, horizon: int
) -> tuple[DataWarning, ...]:
    """Return a warning if the expected churns are far from those of the last horizon.

    Parameters
    ----------
    expected : float
        Sum of the risks.
    accounts : int
        Number of accounts that have these risks.
    last : tuple of int or None
        Number of accounts that churned in the last completed horizon, and of those active at its
        start. None if unknown.
    horizon : int
        Horizon in days.

    Returns
    -------
    tuple of DataWarning
        At most one warning. Proportions of accounts are compared, and there is no warning if chance
        explains the difference.

    Examples
    --------
    >>> doubt_of_expected(3.0, 400, (50, 400), 180)[0].kind
    'expected_churns'
    >>> doubt_of_expected(3.0, 400, (2, 400), 180)
    ()
    """
    if last is None or not accounts or not last[1]:
        return ()
    churned, active = last
    mean, usual = expected * active / accounts, churned * accounts / active
    low, high = expected * TIMES < usual, expected > TIMES * usual
    chance = poisson_tail(churned, mean) if low else 1 - poisson_tail(churned + 1, mean)
    if not (low or high) or chance > CHANCE:
        return ()
    message = (
        f"{expected:,.1f} churns are expected within {horizon} days of {accounts:,} accounts, but "
        f"{count_of(churned, 'account')} of {active:,} churned in the last {horizon} days that "
        f"are complete ({usual:,.1f} of {accounts:,}): look for what only churned accounts have, "
        "or for what changed since"
    )
    return (DataWarning("expected_churns", "", message),)


def last_horizon(tables: Tables, horizon: int) -> Counts | None:
    """Return the churns of the last completed horizon; None if no account was active before it."""
    accounts = tables.frame("accounts")
    begin = tables.as_of_date - timedelta(days=horizon)
    complete_from = tables.coverage["accounts"].complete_from
    if complete_from is not None and complete_from > begin:
        return None
    ends, since = known_ends(tables, accounts), pd.Timestamp(begin)
    active = (accounts["started_on"] < since) & ~(ends["known_on"] < since)
    churned = active & ends["is_churn"] & accounts["ended_on"].notna()
    return (int(churned.sum()), int(active.sum())) if active.any() else None


def last_horizon_of_panel(panel: Panel, horizon: int) -> Counts | None:
    """Return the churns after the last snapshot followed for a whole horizon; None if none was."""
    rows = on_grid(panel)
    rows = rows[rows["snapshot_on"] <= pd.Timestamp(panel.as_of_date) - pd.Timedelta(days=horizon)]
    if not len(rows):
        return None
    rows = rows[rows["snapshot_on"] == rows["snapshot_on"].max()]
    return int(churned_within(panel, rows, horizon).sum()), len(rows)


DATES = (("usage_drop_on", "usage drops", "--"), ("known_on", "churn known", ":"),
         ("ended_on", "end", "-"))  # fmt: skip
HEAD = """\
             {} caught            AUC          alerts  days before  days before
             in time (95 %)                            right   the end      usage drop
                                                                  (medians of those caught)"""


@dataclass(frozen=True, repr=False, eq=False)
class Backtest(Result):
    """Performance of methods with the same number of alerts, on accounts active on past dates.

    ``methods`` holds a ``MethodResult`` by name. ``differences`` compares each method with context,
    with paired intervals by customer. ``by_group`` has the same measures by segment, and for
    accounts with and without a renewal within the horizon. ``churns`` has one row per evaluated
    churn and method. ``alerts`` has one row per evaluated account and snapshot, with each method's
    risk and alert. ``calibration_by_quarter`` has one row per quarter of the snapshots and method
    that gives probabilities: expected and observed churn within the horizon.

    ``left_out`` says why a method could not be run. Durations are in days. ``alerting`` is the
    method whose alerts a team would get: that of the given model, or else the one with the most
    indicators. ``recipe`` holds the settings of its model, ``model_version`` the version of a given
    model. ``warnings`` are about implausible data or figures: an AUC above 0.95, or far more or
    fewer churns expected than observed. ``sample`` is the sample of customers that was evaluated;
    None for all customers. With a sample, counts are those of the sample, while numbers of alerts
    and all proportions are estimates for all customers.
    """

    horizon: int
    warning_time: int
    capacity: float
    cutoffs: tuple[date, ...]
    methods: Mapping[str, MethodResult]
    differences: pd.DataFrame
    by_group: pd.DataFrame
    churns: pd.DataFrame
    alerts: pd.DataFrame
    calibrations: Mapping[str, Any]
    calibration_by_quarter: pd.DataFrame
    left_out: Mapping[str, str]
    counts: Mapping[str, int] = field(default_factory=dict)
    alerting: str = ""
    recipe: Recipe | None = None
    model_version: str = ""
    warnings: tuple[DataWarning, ...] = ()
    sample: AccountSample | None = None

    def _table(self) -> pd.DataFrame:
        """Return one row per method and one column per measure."""
        return pd.DataFrame(
            {name: asdict(one) for name, one in self.methods.items()}
        ).T.rename_axis("method")

    @property
    def headline(self) -> str:
        """The headline measure: recall of unexpected churns, or of all if all were expected."""
        return "unexpected_recall_ahead" if self.counts["unexpected"] else "recall_ahead"

    def beats_context(self, method: str) -> bool:
        """Whether the method catches significantly more than context by the headline measure."""
        rows = self.differences
        mine = rows[(rows["method"] == method) & (rows["measure"] == self.headline)]
        return bool(len(mine)) and bool(mine["low"].iloc[0] > 0)

    def caught(self, method: str) -> pd.DataFrame:
        """Return the alerted churns of the headline measure, with their lead times."""
        churns = self.churns
        mine = (churns["method"] == method) & churns["recall_ahead"].astype(bool)
        if self.headline.startswith("unexpected"):
            mine &= churns["verdict"] == UNEXPECTED
        return churns[mine]

    def to_dict(self) -> dict[str, Any]:
        """Return everything except the rows, ready for JSON; undefined values are None."""
        names = (
            "horizon_days", "warning_time_days", "capacity", "cutoffs", "counts", "models",
            "differences", "groups", "calibration_by_quarter", "left_out", "alerting", "recipe",
            "model_version", "warnings", "sample",
        )  # fmt: skip
        renamed = {"horizon_days": "horizon", "warning_time_days": "warning_time",
                   "models": "methods", "groups": "by_group"}  # fmt: skip
        plain = json_fields(self, *names, **renamed)
        return plain | {"model_version": self.model_version or None}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the recall of unexpected churns by method, at the warning time."""
        recall = self._table()[[f"{self.headline}{part}" for part in ("", "_low", "_high")]]
        recall = recall.set_axis(["share", "low", "high"], axis=1).rename_axis(None)
        whom = "unexpected churners" if self.counts["unexpected"] else "churners"
        shares = recall["share"].astype(float).fillna(0)
        best = str(shares.idxmax())
        title = (
            f"{best[:1].upper()}{best[1:]} alerts {share_text(float(shares.max()))} of {whom}"
            f" {self.warning_time} days before churn was known"
        )
        label = (
            f"{whom} alerted {self.warning_time} days before, {share_text(self.capacity)} of"
            " accounts alerted\n(blue: more than context alone, beyond chance)"
        )
        return plots.share_bars(recall, [*map(self.beats_context, self.methods)], title, label, ax)

    def plot_head_start(self, ax: Axes | None = None) -> Axes:
        """Plot the share of churners alerted at least N days before usage dropped, by method."""
        axes = plots.axes_of(ax, (7.2, 4.4))
        days = np.arange(self.horizon + 1)
        by_method = self.churns.dropna(subset="head_start_days").groupby("method")
        ahead = dict(iter(by_method["head_start_days"]))
        for place, name in enumerate(self.methods):
            if name in ahead:
                share = [(ahead[name] >= day).mean() for day in np.maximum(days, 1)]
                axes.plot(days, share, label=name, linewidth=1.8, **plots.line_style(place))
        axes.set(
            xlim=(0, self.horizon),
            xlabel="days alerted before usage dropped (before churn was known, if it did not)",
            ylabel="share of churners",
        )
        axes.set_ylim(bottom=0)
        plots.percent_axis(axes.yaxis)
        axes.legend(frameon=False, ncols=2)
        plots.write_title(axes, "How long before the usage drop churners were alerted")
        return axes

    def plot_account(
        self, account_id: str, method: str = "leading", ax: Axes | None = None
    ) -> Axes:
        """Plot an account's rank by snapshot, with its alerts, usage drop and churn."""
        if method not in self.methods:
            raise OptionError(f"{method!r} was not run", one_of(self.methods, method))
        ranks = self.alerts.groupby("snapshot_on")[f"{method}_risk"].rank(pct=True)
        mine = self.alerts["account_id"] == account_id
        if not mine.any():
            raise OptionError(
                f"account {account_id!r} was not evaluated", "Choose one of backtest.alerts"
            )
        axes = plots.axes_of(ax, (9.2, 2.6))
        days, rank = self.alerts.loc[mine, "snapshot_on"], ranks[mine]
        alerted = self.alerts.loc[mine, f"{method}_alert"].to_numpy(dtype=bool)
        axes.plot(days, rank, color=plots.GREY, linewidth=1.3, zorder=1)
        axes.scatter(days, rank, s=16, color=plots.GREY, zorder=2)
        axes.scatter(
            days[alerted], rank[alerted], s=44, color=plots.COLOURS[1], zorder=3, label="alerted"
        )
        churn = self.churns[self.churns["account_id"] == account_id]
        churn = churn[churn["method"] == method]
        for column, label, style in DATES:
            if churn[column].notna().any():
                axes.axvline(churn[column].iloc[0], color="black", linestyle=style, label=label)
        axes.set_ylim(0, 1.05)
        axes.set_ylabel("rank in the list\n(1: the highest risk)")
        plots.write_title(axes, account_id)
        axes.legend(
            frameon=False, fontsize=plots.SMALL, loc="center left", bbox_to_anchor=(1.0, 0.5)
        )
        return axes

    def __repr__(self) -> str:
        counts = self.counts
        lines = [
            *warning_lines(self.warnings),
            f"Backtest over {len(self.cutoffs)} cut-offs from {self.cutoffs[0]} to"
            f" {self.cutoffs[-1]}: {counts['accounts']:,} accounts, {counts['churns']:,} churned,"
            f" {counts['unexpected']:,} of them unexpectedly",
            f"alerted are the {share_text(self.capacity)} riskiest at each snapshot;"
            f" in time is {self.warning_time} days before the end was known",
            *([self.sample.line] if self.sample else []),
            *self._whose(),
            HEAD.format("unexpected" if self.counts["unexpected"] else "churners  "),
        ]
        lines += [_line(name, one, self) for name, one in self.methods.items()]
        lines += [
            f"{name} does not beat {BASELINE}"
            for name in self.methods
            if name not in ("random", BASELINE) and not self.beats_context(name)
        ]
        lines += [f"{name} left out: {why}" for name, why in self.left_out.items()]
        return "\n".join(lines)

    def _whose(self) -> list[str]:
        """Return which model the figures belong to."""
        if self.recipe is None:
            return []
        text = f"models: {self.recipe.estimator}, {self.horizon} days ahead"
        if self.model_version:
            text += f", as model {self.model_version}; its own alerts are those of {self.alerting}"
        return [text]

    def _repr_html_(self) -> str:
        summary = "\n".join(repr(self).splitlines()[: 2 + len(self.warnings)])
        measures = [self.headline, "alert_precision", "auc"]
        lead = [self.caught(name)["lead_days"].median() for name in self.methods]
        frame = self._table()[measures].assign(median_lead_days_of_caught=lead)
        return to_html(summary, frame.reset_index(), max_rows=None)


@checked
@reads_weights
def run_backtest(
    panel: Panel,
    *,
    horizon: Duration | None = None,
    warning_time: Duration | None = None,
    capacity: float | None = None,
    origins: int = 6,
    methods: Sequence[str] = METHODS,
    estimator: Estimator | Classifier | None = None,
    model: ChurnModel | None = None,
    segment: str | None = None,
    extra: Mapping[str, pd.DataFrame] | None = None,
    progress: Progress | None = None,
) -> Backtest:
    """Replay the past: fit at ``origins`` cut-off dates, alert at later snapshots, evaluate.

    At each cut-off, a model is fitted on ``panel.as_of(cut)`` and ranks the accounts at the
    snapshots up to the next cut-off. Every evaluated row has been followed for the whole
    ``horizon``. All methods alert the same number of accounts: the share ``capacity`` of those
    active.

    With a fitted ``model``, all models have its settings (estimator, horizon, step, random state),
    and one method uses its indicators: ``alerting`` says which. Without, ``estimator`` is
    "ensemble". ``segment`` names a context indicator by which results are broken down (default:
    ``segment`` if there is one). ``extra`` adds rankings as frames of account_id, snapshot_on and
    risk (the highest are alerted first). Horizon, warning time and capacity default to the
    project's. Raises OptionError for invalid arguments, for arguments that contradict the model,
    and for a panel that is too short, and ModelError if too few accounts have churned.

    >>> import leadsignal as ls
    >>> panel = ls.build_panel(ls.read_tables(ls.sample_folder()))
    >>> ls.run_backtest(panel, methods=["random", "usage"], origins=2).horizon
    180
    """
    panel.refuse_sample("a backtest", of_rows=True)
    project = panel.project
    like = _settings(panel, model, horizon, estimator)
    days = days_in(like.horizon)
    share = project.capacity if capacity is None else capacity
    _check(panel, methods, origins, share, segment)
    left_out = {name: why for name in methods if (why := can_read(panel, name))}
    names = [name for name in methods if name not in left_out]
    to_fit = models_to_fit(panel, names, like, model)
    cuts = cut_offs(panel, days, origins)
    evaluation = rows_to_evaluate(panel, cuts[0], days)
    found = churn_events(panel, warning_time=warning_time)
    churns = churns_to_evaluate(evaluation, panel, found)
    if not len(churns.frame):
        raise ModelError(
            f"no account churned whose alert could be evaluated from {cuts[0]} on",
            "Give a longer history or a shorter horizon, and check not_churn in leadsignal.toml",
        )
    recalibrated = to_fit.recipe is not None and to_fit.recipe.recalibrated
    ranked = [
        *rules(evaluation, names, seed=0),
        *fitted(evaluation, cuts, to_fit.models, progress, recalibrated=recalibrated),
        *extra_methods(evaluation, extra or {}),
    ]
    evaluated = {one.name: MethodEvaluation.of(one, evaluation, churns, share) for one in ranked}
    result = _result(panel, evaluation, churns, evaluated, found, share, cuts, left_out, segment)
    version = "" if model is None else model.version_
    alerting = to_fit.alerting or next(iter(evaluated))
    warnings = _doubts(panel, evaluation, evaluated[alerting], result)
    return replace(
        result, alerting=alerting, recipe=to_fit.recipe, model_version=version, warnings=warnings,
        sample=panel.sample,
    )  # fmt: skip


def _doubts(
    panel: Panel, evaluation: EvaluationRows, alerting: MethodEvaluation, result: Backtest
) -> tuple[DataWarning, ...]:
    """Return warnings on the data, on high AUCs, and on expected churns at the last snapshot."""
    found = affecting(panel.warnings, "backtest")
    found += doubt_of_auc({name: one.auc for name, one in result.methods.items()})
    if not alerting.ranked.is_probability:
        return found
    last = evaluation.day == evaluation.day.max()
    weight = evaluation.weight[last]
    accounts, churned = round(weight.sum()), round(weight @ evaluation.churned[last])
    expected = float(np.nansum(weight * alerting.ranked.risk[last]))
    return found + doubt_of_expected(expected, accounts, (churned, accounts), evaluation.horizon)


def _settings(
    panel: Panel, model: ChurnModel | None, horizon: Duration | None,
    estimator: Estimator | Classifier | None,
) -> ChurnModel:  # fmt: skip
    """Return a model with the common settings; raises OptionError for contradictory settings."""
    if estimator is not None and (problem := estimator_problem(estimator)):
        raise OptionError(problem, "Correct the estimator")
    if model is None:
        days = panel.project.horizon if horizon is None else days_in(horizon)
        return ChurnModel(f"{days}d", estimator=estimator or "ensemble")
    refuse_other_analysis(model.analysis_, panel.analysis, "the panel")
    named = None if estimator is None else estimator_name(estimator)
    refuse_other_settings(model.recipe, horizon, named)
    return model


def _check(
    panel: Panel, methods: Sequence[str], origins: int, share: float, segment: str | None
) -> None:
    problems = [f"{name!r} is not a method" for name in methods if name not in METHODS]
    if problems:
        raise OptionError("; ".join(problems), one_of(METHODS, str(methods[0])))
    if origins < 1:
        raise OptionError(f"origins is {origins}", "Give 1 or more cut-offs")
    if not 0 < share < 1:
        raise OptionError(f"capacity is {share}", "Give a share above 0 and below 1")
    context = panel.names(role="context")
    if segment is not None and segment not in context:
        raise OptionError(f"{segment!r} is not a context indicator", one_of(context, segment))


def _result(
    panel: Panel, evaluation: EvaluationRows, churns: EvaluableChurns,
    evaluated: Mapping[str, MethodEvaluation], found: ChurnEvents, capacity: float,
    cuts: Sequence[date], left_out: Mapping[str, str], segment: str | None,
) -> Backtest:  # fmt: skip
    calibrations = {
        name: calibrate(one, evaluation)
        for name, one in evaluated.items()
        if one.ranked.is_probability and evaluation.churned.any()
    }

    def draw(seed: int) -> Ranked:
        return next(rules(evaluation, ["random"], seed))

    results = {
        name: measure_random(draw, evaluation, churns, capacity)
        if name == "random"
        else measure(one, evaluation, churns, calibrations.get(name))
        for name, one in evaluated.items()
    }
    return Backtest(
        evaluation.horizon, found.warning_time, capacity, tuple(cuts), results,
        differences_from_context(evaluated, evaluation, churns),
        by_group(panel, evaluation, churns, evaluated, segment),
        churns_by_method(churns, evaluated), alerts_by_method(evaluation, evaluated),
        calibrations, methods_by_quarter(evaluated, evaluation), left_out,
        counts_of(evaluation, churns, found),
    )  # fmt: skip


def _line(name: str, one: MethodResult, backtest: Backtest) -> str:
    share, low, high = (getattr(one, backtest.headline + part) for part in ("", "_low", "_high"))
    medians = backtest.caught(name)[["lead_days", "head_start_days"]].median()
    lead, head_start = (or_dash(days, ".0f") for days in medians)
    recall = f"{share_text(share):>4} ({interval_text(low, high)})"
    limits = f"{or_dash(one.auc_low, '.3f')} to {or_dash(one.auc_high, '.3f')}"
    return (
        f"{name:12s} {recall}".ljust(37) + f"{or_dash(one.auc, '6.3f')} ({limits})"
        f" {share_text(one.alert_precision):>6} {lead:>10} {head_start:>12}"
    )
