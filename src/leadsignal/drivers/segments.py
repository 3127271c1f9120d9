"""Ratios by segment, shrunk towards their mean as far as chance explains their differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.drivers.coding import NO_VALUE
from leadsignal.errors import ModelError
from leadsignal.survival import fit_cox
from leadsignal.survival.estimates import normal_quantile
from leadsignal.survival.inputs import Bools, Floats

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from leadsignal.drivers.ratios import Design

LEAST_CHURNS = 5
"""A segment with fewer churns takes no part: its error would itself be a guess."""
RIDGE = 0.1
"""Of a segment's own coefficients: it only keeps them finite; the shrinking comes after."""


@dataclass(frozen=True, eq=False)
class Shrunk:
    """Estimates (k) drawn towards their mean: ``estimate``, ``std_err``, and ``spread``.

    ``spread`` is the standard deviation of the true values between groups.
    """

    estimate: Floats
    std_err: Floats
    mean: float
    spread: float


def shrunk(estimate: Floats, std_err: Floats) -> Shrunk:
    """Return empirical-Bayes estimates of k true values, normal around a common mean.

    The variance between groups makes Σ (θ − mean)² / (s² + τ²) equal to k − 1 (Paule & Mandel
    1982). The errors carry that of the mean and, as τ² is estimated from few groups, Morris's
    (1983) term for it. NaN (nothing known) goes to the mean.

    >>> shrunk(np.array([0.0, 1.0]), np.array([1.0, 1.0])).estimate
    array([0.5, 0.5])
    """
    known = np.isfinite(estimate)
    theta, variance = estimate[known], std_err[known] ** 2
    between = paule_mandel(theta, variance)
    weight = 1 / (variance + between)
    mean, mean_variance = float(weight @ theta / weight.sum()), 1 / weight.sum()
    away = np.where(known, estimate - mean, 0.0)
    noise = np.where(known, std_err**2, np.inf)
    total = noise + between
    keep = between / total
    own = np.where(known, keep * np.where(known, noise, 0.0), between)
    unsure = np.zeros(len(estimate))
    if known.sum() > 3:
        unsure = np.where(known, (1 - keep) ** 2 * away**2 * 2 / (known.sum() - 3), 0.0)
    error = np.sqrt(own + (1 - keep) ** 2 * mean_variance + unsure)
    return Shrunk(mean + keep * away, error, mean, float(np.sqrt(between)))


def paule_mandel(estimate: Floats, variance: Floats) -> float:
    """Return the variance between groups, 0 where chance explains all (Paule & Mandel 1982).

    >>> round(paule_mandel(np.array([-1.0, 1.0]), np.array([0.5, 0.5])), 9)
    1.5
    """
    from scipy.optimize import brentq

    def excess(between: float) -> float:
        weight = 1 / (variance + between)
        mean = weight @ estimate / weight.sum()
        return float(weight @ (estimate - mean) ** 2) - (len(estimate) - 1)

    if len(estimate) < 2 or excess(0.0) <= 0:
        return 0.0
    high = float(np.ptp(estimate) ** 2) * len(estimate)
    return float(brentq(excess, 0.0, high, xtol=1e-12))


def by_segment(design: Design, by: str, level: float) -> pd.DataFrame:
    """Return one row a covariate and segment: its own ratio, and the shrunk one with interval.

    One model an indicator: each segment has its baseline hazard and its coefficients of that
    indicator, the rest is shared. Raises ModelError where fewer than two segments have 5 churns.
    """
    import pandas as pd

    told = design.decisions.frame[by].fillna(NO_VALUE).astype(str).to_numpy(dtype=str)
    names, codes = np.unique(told, return_inverse=True)
    churns = np.bincount(codes[design.decisions.event], minlength=len(names))
    segments = [str(name) for name in names[churns >= LEAST_CHURNS]]
    if len(segments) < 2:
        raise ModelError(
            f"{len(segments)} segment of {by} has {LEAST_CHURNS} churns; comparing takes two",
            "Choose by= with larger segments",
        )
    counts = {str(name): int(count) for name, count in zip(names, churns, strict=True)}
    shown = dict.fromkeys(c.indicator.name for c in design.columns if c.shown)
    frames = [
        _of_indicator(design, indicator, told, segments, counts, level)
        for indicator in shown
        if indicator != by
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _of_indicator(
    design: Design,
    indicator: str,
    told: NDArray[np.str_],
    segments: list[str],
    counts: dict[str, int],
    level: float,
) -> pd.DataFrame:
    import pandas as pd

    own = [c for c in design.columns if c.indicator.name == indicator]
    theta, error = _own_ratios(design, indicator, told, segments)
    frames = []
    for j, column in enumerate(own):
        if not column.shown or np.isfinite(theta[j]).sum() < 2:
            continue
        drawn = shrunk(theta[j], error[j])
        reach = normal_quantile(level) * drawn.std_err
        label = f"{100 * level:g}%"
        frames.append(
            pd.DataFrame(
                {
                    "covariate": column.name,
                    "segment": segments,
                    "churns": [counts[segment] for segment in segments],
                    "exp(coef) own": np.exp(theta[j]),
                    "se(coef) own": error[j],
                    "exp(coef)": np.exp(drawn.estimate),
                    f"exp(coef) lower {label}": np.exp(drawn.estimate - reach),
                    f"exp(coef) upper {label}": np.exp(drawn.estimate + reach),
                    "mean of segments": np.exp(drawn.mean),
                    "spread": drawn.spread,
                }
            )
        )
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _own_ratios(
    design: Design, indicator: str, told: NDArray[np.str_], segments: list[str]
) -> tuple[Floats, Floats]:
    """Return log hazard ratios and errors (columns × segments), NaN where the data say nothing."""
    rows = np.isin(told, segments)
    own = [c.coded[rows] for c in design.columns if c.indicator.name == indicator]
    rest = [c.coded[rows] for c in design.columns if c.indicator.name != indicator]
    members: list[Bools] = [told[rows] == segment for segment in segments]
    split = [np.where(member, values, 0.0) for values in own for member in members]
    ridges = np.repeat([RIDGE, max(design.ridge, 1e-6)], [len(split), len(rest)])
    strata = told[rows]
    if design.strata is not None:
        strata = np.char.add(design.strata.codes[rows].astype(str), strata)
    data = design.decisions
    fit = fit_cox(
        np.column_stack([*split, *rest]), data.stop[rows], data.event[rows],
        start=data.start[rows], strata=strata, cluster=data.customer[rows], ridge=ridges,
    )  # fmt: skip
    robust = fit.se if fit.robust_se is None else fit.robust_se
    # The sandwich of a handful of churns is too small, the information's error seldom.
    error = np.maximum(fit.se, robust)[: len(split)]
    told_little = fit.se[: len(split)] ** -2 < 2 * RIDGE
    theta = np.where(told_little, np.nan, fit.coef[: len(split)])
    shape = (len(own), len(segments))
    return theta.reshape(shape), np.where(told_little, np.nan, error).reshape(shape)
