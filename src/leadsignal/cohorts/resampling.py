"""Cluster bootstrap of a comparison: clusters are resampled, and everything is recomputed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.cohorts.contrasts import Contrast
from leadsignal.cohorts.dated import DatedCohorts
from leadsignal.cohorts.state_intervals import rows_of
from leadsignal.errors import ModelError
from leadsignal.stats.estimates import Estimate
from leadsignal.survival.inputs import Floats

if TYPE_CHECKING:
    import pandas as pd


def bootstrapped(
    cohorts: DatedCohorts,
    contrasts: Sequence[Contrast],
    recompute: Callable[[DatedCohorts], tuple[Contrast, ...]],
    times: int,
    seed: int,
    level: float,
) -> pd.DataFrame:
    """Return percentile intervals of the contrasts from ``times`` cluster resamples."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    resampled: dict[tuple[str, str, bool], list[tuple[float, float]]] = {}
    for sample in _resamples(cohorts, times, rng):
        try:
            again = recompute(sample)
        except ModelError:  # a sample without one of the cohorts has no contrast
            continue
        for c in again:
            if c.hazard_ratio is not None:
                days = np.nan if c.rmst_days is None else c.rmst_days.estimate
                resampled.setdefault(_key(c), []).append((c.hazard_ratio.estimate, days))
    rows = []
    for c in contrasts:
        values = np.array(resampled.get(_key(c), [(np.nan, np.nan)]))
        for place, name in enumerate(("hazard_ratio", "rmst_days")):
            number = getattr(c, name)
            if number is not None:
                rows.append(_beside(c, name, number, values[:, place], level))
    return pd.DataFrame(rows)


def _key(contrast: Contrast) -> tuple[str, str, bool]:
    return contrast.cohort, contrast.method, bool(contrast.adjusted_for)


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
    clusters = int(cohorts.cluster.max()) + 1
    for _ in range(times):
        picked = rng.integers(0, clusters, clusters)
        accounts, sizes = rows_of(cohorts.cluster, clusters, picked)
        yield replace(cohorts.chosen(accounts), cluster=np.repeat(np.arange(clusters), sizes))
