"""On which side of the typical value accounts churned, and indicators that move together.

A column can have the wrong sign in a model because a correlated column has the opposite one.
Readers take reasons literally: "2 reports, usually 9" says that accounts with fewer reports leave
more often. So a reason names a value only if the observed churn rates agree.

They all increase with the activity of an account. Which of them a model uses is then nearly
arbitrary, so a reason names the whole group rather than one of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.indicators.behaviors import BEHAVIOR_PARTS, BEHAVIORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from leadsignal.model.features import Features

Floats = NDArray[np.float64]


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


MIN_CORRELATION = 0.7
"""Minimum mean absolute Spearman correlation at which two clusters are merged."""
RESAMPLES = 20
"""Number of bootstrap resamples of customers; a pair must be together in most of them."""
MAX_CUSTOMERS = 2_000
"""Maximum number of customers whose rows are compared."""
COLUMN = re.compile(rf"(?:behavior_)?(.+?)_(?:{'|'.join(BEHAVIOR_PARTS)})")

Groups = tuple[tuple[str, ...], ...]


def learn_groups(
    features: Features,
    rows: pd.DataFrame,
    families: Mapping[str, str],
    customer: NDArray[np.int64],
    seed: int,
) -> Groups:
    """Return groups of two or more behaviour indicators that are correlated in the training rows.

    One row per customer is used. In each of 20 resamples of customers, average linkage on 1 -
    |Spearman correlation| merges clusters that correlate by 0.7 or more. Any two indicators of a
    group are together in more than half of the resamples (Monti et al. 2003).
    """
    names = [name for name in features.names if families[name] == BEHAVIORS]
    names = [name for name in names if name not in features.levels]
    if len(names) < 2:
        return ()
    rng = np.random.default_rng(seed)
    chosen = _one_row_each(customer, rng)
    places = [features.names.index(name) for name in names]
    ranks = _ranks(features.matrix(rows.iloc[chosen])[:, places])
    together = np.zeros((len(names), len(names)))
    for _ in range(RESAMPLES):
        cluster = _clusters(ranks[rng.integers(len(ranks), size=len(ranks))])
        together += cluster[:, None] == cluster
    label = _linked(1 - together / RESAMPLES, "complete", 0.5 - 1e-9)
    members = [tuple(np.array(names)[label == one].tolist()) for one in np.unique(label)]
    return tuple(sorted((one for one in members if len(one) > 1), key=lambda one: one[0]))


def behavior_of(column: str) -> str:
    """Return the behaviour in the name of an indicator, as words.

    >>> behavior_of("behavior_report_exported_events_30d")
    'report exported'
    """
    found = COLUMN.fullmatch(column)
    return (found[1] if found else column).replace("_", " ")


def _one_row_each(customer: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return one random row for each of at most `MAX_CUSTOMERS` customers."""
    shuffled = rng.permutation(len(customer))
    _, first = np.unique(customer[shuffled], return_index=True)
    rows = shuffled[first]
    few = rng.permutation(len(rows))[:MAX_CUSTOMERS]
    return np.asarray(np.sort(rows[few]))


def _ranks(matrix: Floats) -> Floats:
    """Return the ranks of each column; missing values get the middle rank."""
    import pandas as pd

    ranks = pd.DataFrame(matrix).rank().to_numpy()
    middle = (1 + np.sum(~np.isnan(ranks), axis=0)) / 2
    return np.asarray(np.where(np.isnan(ranks), middle, ranks))


def _clusters(ranks: Floats) -> NDArray[np.int64]:
    """Return the cluster of each column in one resample."""
    centred = ranks - ranks.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    unit = centred / np.where(size > 0, size, 1.0)
    return _linked(1 - np.abs(unit.T @ unit), "average", 1 - MIN_CORRELATION)


def _linked(distance: Floats, method: str, most: float) -> NDArray[np.int64]:
    """Return the cluster of each item, with clusters merged up to the distance ``most``."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distance = np.clip((distance + distance.T) / 2, 0.0, 1.0)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method)
    return np.asarray(fcluster(tree, most, "distance"), dtype=np.int64)
