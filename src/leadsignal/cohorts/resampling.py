"""The bootstrap as a check: clusters drawn with replacement, everything computed anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.cohorts.comparison import Comparison, Contrast
from leadsignal.cohorts.dated import DatedCohorts
from leadsignal.cohorts.side_by_side import compare_dated
from leadsignal.errors import ModelError
from leadsignal.stats.estimates import Estimate
from leadsignal.survival.inputs import Floats

if TYPE_CHECKING:
    import pandas as pd


def bootstrapped(comparison: Comparison, times: int, seed: int) -> pd.DataFrame:
    """Return percentile intervals from ``times`` draws of clusters with replacement."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    drawn: dict[tuple[str, str, bool], list[tuple[float, float]]] = {}
    methods = tuple(dict.fromkeys(contrast.method for contrast in comparison.contrasts))
    for again in _resamples(comparison.dated, times, rng):
        try:
            once = compare_dated(
                again, methods=methods, adjust=comparison.adjusted_for,
                landmark=comparison.landmark, horizon=int(comparison.horizon),
            )  # fmt: skip
        except ModelError:  # a draw without one of the cohorts says nothing
            continue
        for c in once.contrasts:
            if c.hazard_ratio is not None:
                gap = np.nan if c.rmst_days is None else c.rmst_days.estimate
                key = (c.cohort, c.method, bool(c.adjusted_for))
                drawn.setdefault(key, []).append((c.hazard_ratio.estimate, gap))
    rows = []
    for c in comparison.contrasts:
        values = np.array(drawn.get((c.cohort, c.method, bool(c.adjusted_for)), [(np.nan, np.nan)]))
        for place, name in enumerate(("hazard_ratio", "rmst_days")):
            number = getattr(c, name)
            if number is not None:
                rows.append(_beside(c, name, number, values[:, place], comparison.level))
    return pd.DataFrame(rows)


def _beside(
    c: Contrast, name: str, number: Estimate, values: Floats, level: float
) -> dict[str, object]:
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
    return {
        "cohort": c.cohort, "method": c.method, "adjusted": bool(c.adjusted_for), "quantity": name,
        "estimate": number.estimate, "low": number.low, "high": number.high,
        "bootstrap_low": low, "bootstrap_high": high, "draws": len(values),
    }  # fmt: skip


def _resamples(
    cohorts: DatedCohorts, times: int, rng: np.random.Generator
) -> Iterator[DatedCohorts]:
    order = np.argsort(cohorts.cluster, kind="stable")
    first = np.searchsorted(cohorts.cluster[order], np.arange(cohorts.cluster.max() + 2))
    for _ in range(times):
        picked = rng.integers(0, len(first) - 1, len(first) - 1)
        sizes = (first[1:] - first[:-1])[picked]
        ahead = np.repeat(np.cumsum(sizes) - sizes, sizes)
        accounts = order[np.repeat(first[picked], sizes) + np.arange(sizes.sum()) - ahead]
        again = cohorts.chosen(accounts)
        yield replace(again, cluster=np.repeat(np.arange(len(picked)), sizes))
