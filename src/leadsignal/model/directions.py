"""On which side of the typical value accounts churned more often, by indicator.

A column can have the wrong sign in a model because a correlated column has the opposite one.
Readers take reasons literally: "2 reports, usually 9" says that accounts with fewer reports leave
more often. So a reason names a value only if the observed churn rates agree.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.model.features import Features

ABOVE, BELOW = "above", "below"
MAX_COMPARED = 20_000
"""Maximum number of rows that are compared, spaced evenly over all rows."""

NATURAL = (
    (ABOVE, r"usage_low(_.+)?|result_stalled_days|results_not_shown|flags_.+|plans_overdue"),
    (ABOVE, r"(customer|vendor)_commitments_(open|overdue)|contract_reductions_365d"),
    (ABOVE, r"(usage|survey|result|sponsor|handoff|diary)_days_since(_.+)?"),
    (ABOVE, r"contract_days_since_expansion"),
    (BELOW, r"contract_(days_since_reduction|expansions_365d|arr_change_365d)"),
    (BELOW, r"(customer|vendor)_commitments_kept_180d|(sponsor|handoff|diary)_events_90d"),
    (BELOW, r"usage_(amount|share_of_quarter|to_best)(_.+)?|activity_.+|survey_score|health_score"),
    (BELOW, r"results?_(90d|gap|gap_90d|gap_change|met_365d)"),
)
"""The unfavourable side of built-in indicators, by name."""

Floats = NDArray[np.float64]
Worse = dict[str, str | list[str]]
"""By indicator: "above" or "below" the typical value, or values of a category."""


def learn_worse(features: Features, rows: pd.DataFrame, churned: NDArray[np.bool_]) -> Worse:
    """Return on which side of each indicator the accounts in ``rows`` churned more often.

    ``churned`` (rows,) says whether an account churned within the horizon of its row. Rows are
    weighted so that each account counts once. An expected sign takes precedence; an indicator with
    neither a sign nor a difference is left out.
    """
    kept = slice(None, None, max(1, -(-len(rows) // MAX_COMPARED)))
    rows, churned = rows.iloc[kept], churned[kept]
    account = rows["account_id"].to_numpy(str)
    _, code, count = np.unique(account, return_inverse=True, return_counts=True)
    weight = 1.0 / count[code]
    matrix = features.matrix(rows)
    found: Worse = {}
    for place, name in enumerate(features.names):
        values = matrix[:, place]
        if name in features.levels:
            found[name] = _worse_levels(values, features.levels[name], churned, weight)
        elif side := _worse_side(values, churned, weight, features.expected_sign.get(name, 0)):
            found[name] = side
    return found


def side_named(name: str, worse: Worse) -> str | None:
    """Return the side on which a number may be named as raising the risk; None for either.

    An empty string means neither: more accounts churned on the favourable side.

    >>> side_named("survey_score", {"survey_score": "below"}), side_named("tickets_open", {})
    ('below', None)
    >>> side_named("survey_score", {"survey_score": "above"})
    ''
    """
    natural = next((side for side, names in NATURAL if re.fullmatch(names, name)), None)
    found = worse.get(name)
    if natural is None or found is None:
        return natural or (found if isinstance(found, str) else None)
    return natural if natural == found else ""


def _worse_side(values: Floats, churned: NDArray[np.bool_], weight: Floats, sign: int) -> str:
    """Return the side of a number on which more accounts churned; "" if there is none."""
    import pandas as pd

    if sign:
        return BELOW if sign > 0 else ABOVE
    known = ~np.isnan(values)
    left, stayed = known & churned, known & ~churned
    if not left.any() or not stayed.any():
        return ""
    rank = np.zeros(len(values))
    rank[known] = pd.Series(values[known]).rank()
    difference = _mean(rank, weight, left) - _mean(rank, weight, stayed)
    return "" if difference == 0 else ABOVE if difference > 0 else BELOW


def _worse_levels(
    codes: Floats, levels: tuple[str, ...], churned: NDArray[np.bool_], weight: Floats
) -> list[str]:
    """Return the values of a category with a higher churn rate than overall."""
    overall = _mean(churned.astype(float), weight, np.ones(len(codes), dtype=bool))
    return [
        level
        for code, level in enumerate(levels)
        if (codes == code).any() and _mean(churned.astype(float), weight, codes == code) > overall
    ]


def _mean(values: Any, weight: Floats, chosen: NDArray[np.bool_]) -> float:
    return float(np.average(values[chosen], weights=weight[chosen])) if chosen.any() else 0.0
