"""Groups of behaviours that rise and fall together and cannot be distinguished.

They all increase with the activity of an account. Which of them a model uses is then nearly
arbitrary, so a reason names the whole group rather than one of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from leadsignal.indicators.behaviors import FAMILY, PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from leadsignal.model.features import Features

MIN_CORRELATION = 0.7
"""Minimum mean absolute Spearman correlation at which two clusters are merged."""
RESAMPLES = 20
"""Number of bootstrap resamples of customers; a pair must be together in most of them."""
MAX_CUSTOMERS = 2_000
"""Maximum number of customers whose rows are compared."""
COLUMN = re.compile(rf"(?:behavior_)?(.+?)_(?:{'|'.join(PARTS)})")

Floats = NDArray[np.float64]
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
    names = [name for name in features.names if families[name] == FAMILY]
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
