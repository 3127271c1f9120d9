"""Churn rates made comparable by standardising them to the same tenure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leadsignal.cohorts.contrasts import Contrast, best_of, finite_or_none
from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.measures import rate
from leadsignal.cohorts.small_groups import SmallGroups


def rates_at_equal_tenure(
    cohorts: DatedCohorts, contrasts: Sequence[Contrast], small: SmallGroups | None
) -> list[float | None]:
    """Return the churns per 1,000 account-months of each cohort; None if unknown.

    Churns divided by days would be misleading: accounts have their event at a later tenure, at
    which the churn rate differs. The first cohort's rate times a hazard ratio is the rate that the
    other cohort would have at the tenure of the first, so that rates and verdict always agree.
    Small groups that are not compared one by one are standardised indirectly, by observed over
    expected.
    """
    if not contrasts:
        whole = _rate(cohorts, np.ones(len(cohorts.row_state), dtype=bool))
        raw = [np.nan] * len(cohorts.levels) if small is None else [g.raw for g in small]
        return [finite_or_none(whole * ratio) for ratio in raw]
    first = _rate(cohorts, cohorts.row_state == 0)
    ratios = [_ratio(contrasts, name) for name in cohorts.levels[1:]]
    known = first > 0 and any(np.isfinite(ratio) for ratio in ratios)
    return [finite_or_none(first * ratio) if known else None for ratio in (1.0, *ratios)]


def _rate(cohorts: DatedCohorts, mine: np.ndarray) -> float:
    weight = cohorts.weights[cohorts.row_account[mine]]
    days = float(weight @ (cohorts.row_stop - cohorts.row_start)[mine])
    return rate(days, float(weight @ (cohorts.row_cause[mine] == CHURN)))


def _ratio(contrasts: Sequence[Contrast], cohort: str) -> float:
    best = best_of(contrasts, cohort)
    return np.nan if best is None or best.hazard_ratio is None else best.hazard_ratio.estimate
