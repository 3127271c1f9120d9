"""Evaluation of one method: its alerts, the churns they catch, and measures of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.errors import ModelError
from leadsignal.evaluation.alerts import (
    Catches,
    Episodes,
    EvaluableChurns,
    EvaluationRows,
    catch,
    churned_after,
    find_episodes,
    raise_alerts,
)
from leadsignal.evaluation.methods import Ranked
from leadsignal.stats.proportions import RowEstimate, auc_of, mean_of
from leadsignal.survival.horizon_risks import Calibration, brier, calibration, dynamic_auc
from leadsignal.survival.ranking import concordance

NAN = float("nan")

DRAWS = 20
"""Number of random rankings drawn; measures are means over the draws."""


@dataclass(frozen=True)
class MethodResult:
    """Performance of one method. Proportions are in [0, 1], times in days; NaN if undefined.

    ``precision_at_capacity`` and ``recall_at_capacity`` count account-snapshots, all other recalls
    count churned accounts. ``alert_precision`` is the share of alert episodes with churn within the
    horizon of their first snapshot, ``alert_precision_standing`` within that of any of their
    snapshots. Brier score and calibration are only available for methods that give probabilities.
    """

    auc: float
    auc_low: float
    auc_high: float
    concordance: float
    concordance_low: float
    concordance_high: float
    brier: float
    brier_low: float
    brier_high: float
    calibration_slope: float
    calibration_slope_low: float
    calibration_slope_high: float
    calibration_intercept: float
    precision_at_capacity: float
    recall_at_capacity: float
    arr_recall_at_capacity: float
    recall_ahead: float
    recall_ahead_low: float
    recall_ahead_high: float
    recall_before_drop: float
    unexpected_recall_ahead: float
    unexpected_recall_ahead_low: float
    unexpected_recall_ahead_high: float
    arr_unexpected_recall_ahead: float
    alert_precision: float
    alert_precision_standing: float
    distinct_alerted: float
    alert_episodes: float
    new_alerts_a_month: float
    median_lead_days: float
    median_head_start_days: float


@dataclass(frozen=True, eq=False)
class MethodEvaluation:
    """The evaluation of one method: its ranking, alerts, episodes and caught churns."""

    ranked: Ranked
    alerted: NDArray[np.bool_]
    episodes: Episodes
    catches: Catches

    @classmethod
    def of(
        cls, ranked: Ranked, evaluation: EvaluationRows, churns: EvaluableChurns, capacity: float
    ) -> MethodEvaluation:
        """Compute the alerts of a ranking, and the churns that they catch."""
        alerted = raise_alerts(evaluation, ranked.risk, capacity)
        episodes = find_episodes(evaluation, alerted)
        return cls(ranked, alerted, episodes, catch(evaluation, episodes, churns))

    def auc(self, evaluation: EvaluationRows) -> RowEstimate:
        """Return the AUC of the ranking, with missing risks as the lowest."""
        return auc_of(evaluation.churned, _known(self.ranked.risk), evaluation.weight)

    def caught(self, evaluation: EvaluationRows, churns: EvaluableChurns) -> RowEstimate:
        """Return the recall of all churns at the warning time, expected or not."""
        return self._recall(evaluation, churns, np.ones(len(churns.chance), dtype=bool))

    def unexpected_recall(self, evaluation: EvaluationRows, churns: EvaluableChurns) -> RowEstimate:
        """Return the recall of unexpected churns at the warning time."""
        return self._recall(evaluation, churns, churns.unexpected)

    def _recall(
        self, evaluation: EvaluationRows, churns: EvaluableChurns, mine: NDArray[np.bool_]
    ) -> RowEstimate:
        """Return the recall of some churns, with the influence of each evaluated row."""
        share = mean_of(np.where(mine, self.catches.in_time, np.nan))
        influence = np.zeros(len(evaluation.rows))
        influence[churns.chance] = share.influence
        if share.counted is None:
            return RowEstimate(share.estimate, influence, share.bounds)
        counted = np.zeros(len(influence), dtype=bool)
        counted[churns.chance] = mine
        if 0 < share.estimate < 1:
            influence += self._through_capacity(evaluation, counted)
        return RowEstimate(share.estimate, influence, share.bounds, counted)

    def _through_capacity(
        self, evaluation: EvaluationRows, counted: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Return the influence of each row on a recall through the alert threshold.

        The threshold is a quantile of the risks of the rows of a day, so that other customers would
        have another one. A row that is alerted displaces others at the margin. The frequency of
        ``counted`` churns there is that between half the capacity and one and a half times it.
        """
        weight, day = evaluation.weight, np.unique(evaluation.day, return_inverse=True)[1]
        whole = np.bincount(day, weight)
        share = (np.bincount(day, weight * self.alerted) / whole)[day]
        order = np.lexsort((-np.nan_to_num(self.ranked.risk, nan=-np.inf), day))
        running = np.cumsum(weight[order])
        before = np.append(0.0, np.cumsum(whole)[:-1])
        place = np.empty(len(weight))
        place[order] = (running - before[day[order]] - weight[order] / 2) / whole[day[order]]
        margin = np.abs(place - share) <= share / 2
        frequency = counted[margin].sum() / max(weight[margin].sum(), 1.0)
        moved: NDArray[np.float64] = -frequency / counted.sum() * weight * (self.alerted - share)
        return moved


def calibrate(one: MethodEvaluation, evaluation: EvaluationRows) -> Calibration | None:
    """Return the calibration of the risks; None if it cannot be estimated."""
    try:
        return calibration(
            evaluation.stop, evaluation.outcome, one.ranked.risk, evaluation.horizon,
            cluster=evaluation.customer, weights=evaluation.weight,
        )  # fmt: skip
    except ModelError:
        return None


def measure(
    one: MethodEvaluation, evaluation: EvaluationRows, churns: EvaluableChurns,
    calibrated: Calibration | None,
) -> MethodResult:  # fmt: skip
    """Return all measures of a method for the evaluated rows and churns."""
    slope = calibrated.slope if calibrated else (NAN, NAN, NAN)
    found = {
        **_ranking(one, evaluation),
        **_named("calibration_slope", slope),
        "calibration_intercept": calibrated.intercept[0] if calibrated else NAN,
        **_at_capacity(one.alerted.astype(np.float64), evaluation),
        **_caught(one, evaluation, churns),
        **_episodes(one, evaluation),
    }
    return MethodResult(**found)


def _named(name: str, values: tuple[float, float, float]) -> dict[str, float]:
    estimate, low, high = (float(value) for value in values)
    return {name: estimate, f"{name}_low": low, f"{name}_high": high}


def _ranking(one: MethodEvaluation, evaluation: EvaluationRows) -> dict[str, float]:
    risk, within = _known(one.ranked.risk), float(evaluation.horizon)
    of: dict[str, Any] = {"cluster": evaluation.customer, "weights": evaluation.weight}
    auc = dynamic_auc(evaluation.stop, evaluation.outcome, risk, [within], **of)
    pairs = concordance(evaluation.stop, evaluation.churned, risk, horizon=within, **of)
    score = (NAN, NAN, NAN)
    if one.ranked.is_probability:
        found = brier(evaluation.stop, evaluation.outcome, risk, [within], **of)
        score = (found.score[0], found.lower[0], found.upper[0])
    return {
        **_named("auc", (auc.auc[0], auc.lower[0], auc.upper[0])),
        **_named("concordance", (pairs.estimate, pairs.lower, pairs.upper)),
        **_named("brier", score),
    }


def _caught(
    one: MethodEvaluation, evaluation: EvaluationRows, churns: EvaluableChurns
) -> dict[str, float]:
    catches, mine = one.catches, churns.unexpected
    arr = mean_of(catches.in_time[mine].astype(np.float64), churns.arr[mine])
    head_start = catches.head_start[~np.isnan(catches.head_start)]
    return {
        **_share("recall_ahead", one.caught(evaluation, churns), evaluation),
        "recall_before_drop": mean_of(catches.before_drop).estimate,
        **_share("unexpected_recall_ahead", one.unexpected_recall(evaluation, churns), evaluation),
        "arr_unexpected_recall_ahead": arr.estimate,
        "median_lead_days": float(np.median(catches.lead)),
        "median_head_start_days": float(np.median(head_start)) if len(head_start) else NAN,
    }


def _share(name: str, share: RowEstimate, evaluation: EvaluationRows) -> dict[str, float]:
    return _named(name, (share.estimate, *share.interval(evaluation.customer)))


def _at_capacity(alerted: NDArray[np.float64], evaluation: EvaluationRows) -> dict[str, float]:
    churned, weight = evaluation.churned, evaluation.weight
    precise, arr = alerted == 1, evaluation.arr * weight
    return {
        "precision_at_capacity": mean_of(
            churned[precise].astype(np.float64), weight[precise]
        ).estimate,
        "recall_at_capacity": mean_of(alerted[churned], weight[churned]).estimate,
        "arr_recall_at_capacity": mean_of(alerted[churned], arr[churned]).estimate,
    }


def _episodes(one: MethodEvaluation, evaluation: EvaluationRows) -> dict[str, float]:
    right, standing = churned_after(evaluation, one.episodes)
    weight = evaluation.weight[one.episodes.first]
    began = evaluation.day[one.episodes.first] > evaluation.day.min()
    first = np.unique(evaluation.account[one.alerted], return_index=True)[1]
    return {
        "alert_precision": float(np.average(right, weights=weight)),
        "alert_precision_standing": float(np.average(standing, weights=weight)),
        "distinct_alerted": float(evaluation.weight[one.alerted][first].sum()),
        "alert_episodes": float(weight.sum()),
        "new_alerts_a_month": float(weight[began].sum() / evaluation.months),
    }


def measure_random(
    draw: Callable[[int], Ranked],
    evaluation: EvaluationRows,
    churns: EvaluableChurns,
    capacity: float,
) -> MethodResult:
    """Return the means over many random rankings; ``draw`` takes a seed."""
    results = []
    for seed in range(DRAWS):
        one = MethodEvaluation.of(draw(seed), evaluation, churns, capacity)
        results.append(asdict(measure(one, evaluation, churns, None)))
    means = {key: float(np.mean([one[key] for one in results])) for key in results[0]}
    return MethodResult(**means)


def _known(risk: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return risks with missing ones replaced by a value below all others."""
    if not np.isnan(risk).any():
        return risk
    lowest = np.nanmin(risk) if not np.isnan(risk).all() else 0.0
    return np.where(np.isnan(risk), lowest - 1, risk)
