"""Evaluation of one method, and the tables of a backtest that cover all methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.churn.events import ChurnEvents
from leadsignal.errors import ModelError
from leadsignal.evaluation.methods import Ranked
from leadsignal.evaluation.past_rows import (
    Catches,
    Episodes,
    EvaluableChurns,
    EvaluationRows,
    catch,
    churned_after,
    find_episodes,
    raise_alerts,
)
from leadsignal.panel import Panel
from leadsignal.stats import RowEstimate, auc_of, mean_of
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
        **named_interval("calibration_slope", slope),
        "calibration_intercept": calibrated.intercept[0] if calibrated else NAN,
        **_at_capacity(one.alerted.astype(np.float64), evaluation),
        **_caught(one, evaluation, churns),
        **_episodes(one, evaluation),
    }
    return MethodResult(**found)


def named_interval(name: str, values: tuple[float, float, float]) -> dict[str, float]:
    """Return an estimate with its interval as three named numbers."""
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
        **named_interval("auc", (auc.auc[0], auc.lower[0], auc.upper[0])),
        **named_interval("concordance", (pairs.estimate, pairs.lower, pairs.upper)),
        **named_interval("brier", score),
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
    return named_interval(name, (share.estimate, *share.interval(evaluation.customer)))


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


COLUMNS = ("quarter", "rows", "expected", "observed", "low", "high", "expected_over_observed")


def by_quarter(
    day: Any, risk: Any, churned: Any, customer: Any, weight: Any = None
) -> pd.DataFrame:
    """Return the expected and observed churn within the horizon, by quarter of the snapshot.

    Parameters
    ----------
    day, risk, churned, customer : array-like of shape (rows,)
        The day of the snapshot, the risk of churn within the horizon, whether it happened, and the
        customer. Rows are account-snapshots, so that an account can be in a quarter several times.
    weight : array-like of shape (rows,), optional
        Number of rows that each represents, in a sample of customers. Default: 1.

    Returns
    -------
    DataFrame
        One row per quarter: ``quarter`` ("2024Q1"), ``rows``, ``expected``, ``observed`` with a
        95 % interval clustered by customer (``low``, ``high``), and ``expected_over_observed``,
        missing if no churn was observed.

    Examples
    --------
    >>> days = np.array(["2024-01-01", "2024-02-05", "2024-04-01"], dtype="datetime64[D]")
    >>> table = by_quarter(days, [0.2, 0.4, 0.1], [True, False, False], ["a", "b", "b"])
    >>> table[["quarter", "rows", "expected", "observed"]].values.tolist()
    [['2024Q1', 2, 0.6000000000000001, 1], ['2024Q2', 1, 0.1, 0]]
    """
    frame = pd.DataFrame(
        {
            "quarter": pd.PeriodIndex(pd.to_datetime(np.asarray(day)), freq="Q").astype(str),
            "risk": np.asarray(risk, dtype=float),
            "churned": np.asarray(churned, dtype=float),
            "weight": 1.0 if weight is None else np.asarray(weight, dtype=float),
            "customer": pd.factorize(np.asarray(customer))[0].astype(np.int64),
        }
    )
    rows = [_quarter(str(name), mine) for name, mine in frame.groupby("quarter")]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _quarter(name: str, rows: pd.DataFrame) -> tuple[Any, ...]:
    churned, weight = rows["churned"].to_numpy(), rows["weight"].to_numpy()
    size = float(weight.sum())
    expected = float((rows["weight"] * rows["risk"]).sum())
    observed = float(weight @ churned)
    low, high = mean_of(churned, weight).interval(rows["customer"].to_numpy())
    ratio = expected / observed if observed else float("nan")
    limits = max(0.0, size * low), min(size, size * high)
    return name, len(rows), expected, round(observed), *limits, ratio


def methods_by_quarter(
    evaluated: Mapping[str, MethodEvaluation], evaluation: EvaluationRows
) -> pd.DataFrame:
    """Return `by_quarter` for each method that gives probabilities, with a column ``method``."""
    day, customer = evaluation.rows["snapshot_on"], evaluation.customer
    churned, weight = evaluation.churned, evaluation.weight
    tables = [
        by_quarter(day, one.ranked.risk, churned, customer, weight).assign(method=name)
        for name, one in evaluated.items()
        if one.ranked.is_probability
    ]
    if not tables:
        return pd.DataFrame(columns=["method", *COLUMNS])
    return pd.concat(tables, ignore_index=True)[["method", *COLUMNS]]


BASELINE = "context"
"""The method with which all others are compared."""


def counts_of(
    evaluation: EvaluationRows, churns: EvaluableChurns, found: ChurnEvents
) -> dict[str, int]:
    """Return the numbers of rows, accounts and churns that a backtest evaluates."""
    return {
        "rows": len(evaluation.rows),
        "snapshots": len(np.unique(evaluation.day)),
        "accounts": len(np.unique(evaluation.account)),
        "churns": len(churns.frame),
        "unexpected": int(churns.unexpected.sum()),
        "with_usage_drop": int(churns.frame["usage_drop_on"].notna().sum()),
        "churns_not_evaluated": len(found.churned) - len(churns.frame),
    }


def differences_from_context(
    evaluated: Mapping[str, MethodEvaluation], evaluation: EvaluationRows, churns: EvaluableChurns
) -> pd.DataFrame:
    """Return the difference of each method from context, with paired 95 % intervals."""
    columns = ["method", "against", "measure", "difference", "low", "high"]
    if BASELINE not in evaluated:
        return pd.DataFrame(columns=columns)
    rows = []
    base = evaluated[BASELINE]
    for name, one in evaluated.items():
        if name == BASELINE:
            continue
        unexpected = one.unexpected_recall(evaluation, churns)
        for what, difference in (
            ("auc", one.auc(evaluation) - base.auc(evaluation)),
            ("recall_ahead", one.caught(evaluation, churns) - base.caught(evaluation, churns)),
            ("unexpected_recall_ahead", unexpected - base.unexpected_recall(evaluation, churns)),
        ):
            low, high = difference.interval(evaluation.customer)
            rows.append((name, BASELINE, what, difference.estimate, low, high))
    return pd.DataFrame(rows, columns=columns)


def churns_by_method(
    churns: EvaluableChurns, evaluated: Mapping[str, MethodEvaluation]
) -> pd.DataFrame:
    """Return one row per churn and method: whether it was caught, and how long before."""
    parts = [
        churns.frame.assign(
            method=name,
            recall_ahead=one.catches.in_time,
            recall_before_drop=one.catches.before_drop,
            lead_days=one.catches.lead,
            head_start_days=one.catches.head_start,
        )
        for name, one in evaluated.items()
    ]
    return pd.concat(parts, ignore_index=True)


def alerts_by_method(
    evaluation: EvaluationRows, evaluated: Mapping[str, MethodEvaluation]
) -> pd.DataFrame:
    """Return one row per account and snapshot, with the risk and alert by each method."""
    frame = evaluation.rows[["account_id", "snapshot_on"]].copy()
    for name, one in evaluated.items():
        frame[f"{name}_risk"] = one.ranked.risk
        frame[f"{name}_alert"] = one.alerted
    return frame


SEGMENT = "segment"


def by_group(
    panel: Panel,
    evaluation: EvaluationRows,
    churns: EvaluableChurns,
    evaluated: Mapping[str, MethodEvaluation],
    segment: str | None,
) -> pd.DataFrame:
    """Return the measures by method and group: rows, churned, AUC, recall at capacity and ahead.

    A churn belongs to the group of its account at the last snapshot at which it could be caught.
    """
    rows = [
        {"method": name, "group": group, "value": value, **_of(one, evaluation, churns, mine)}
        for group, value, mine in _groups(panel, evaluation, segment)
        for name, one in evaluated.items()
    ]
    return pd.DataFrame(rows)


def _groups(
    panel: Panel, evaluation: EvaluationRows, segment: str | None
) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    context = panel.names(role="context")
    chosen = segment or (SEGMENT if SEGMENT in context else None)
    if chosen is not None:
        values = evaluation.rows[chosen].astype("string").fillna("unknown").to_numpy(dtype=object)
        for value in sorted(set(values)):
            yield chosen, str(value), np.asarray(values == value)
    if "days_to_renewal" in context:
        left = evaluation.rows["days_to_renewal"].to_numpy(dtype=float, na_value=np.nan)
        for value, mine in (("yes", left <= evaluation.horizon), ("no", left > evaluation.horizon)):
            yield "renewal_within_horizon", value, mine


def _of(
    one: MethodEvaluation,
    evaluation: EvaluationRows,
    churns: EvaluableChurns,
    mine: NDArray[np.bool_],
) -> dict[str, Any]:
    risk, churned = one.ranked.risk[mine], evaluation.churned[mine]
    known = np.where(np.isnan(risk), -np.inf, risk)
    weight = evaluation.weight[mine]
    auc = auc_of(churned, known, weight)
    low, high = auc.interval(evaluation.customer[mine]) if mine.any() else (np.nan, np.nan)
    of_churns = mine[churns.chance] & churns.unexpected
    alerted = one.alerted[mine]
    return {
        "rows": int(mine.sum()),
        "churned": int(churned.sum()),
        "auc": auc.estimate,
        "auc_low": low,
        "auc_high": high,
        "precision_at_capacity": mean_of(churned[alerted].astype(float), weight[alerted]).estimate,
        "recall_at_capacity": mean_of(alerted[churned].astype(float), weight[churned]).estimate,
        "unexpected": int(of_churns.sum()),
        "unexpected_recall_ahead": mean_of(one.catches.in_time[of_churns].astype(float)).estimate,
    }
