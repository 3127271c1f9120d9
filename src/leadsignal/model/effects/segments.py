"""Hazard ratios by segment, shrunken towards their mean."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.errors import ModelError
from leadsignal.model.effects.columns import NO_VALUE
from leadsignal.model.effects.design import Design, with_careful_errors
from leadsignal.stats.normal import normal_quantile
from leadsignal.stats.shrinkage import shrunken_means
from leadsignal.survival.cox import fit_cox
from leadsignal.survival.inputs import Bools, Floats

MIN_CHURNS = 5
"""A segment with fewer churns takes no part: its error would itself be a guess."""
RIDGE = 0.1
"""Of a segment's own coefficients: it only keeps them finite; the shrinking comes after."""


def by_segment(design: Design, by: str, level: float) -> pd.DataFrame:
    """Return one row per covariate and segment: its own ratio, and the shrunk one with interval.

    One model an indicator: each segment has its baseline hazard and its coefficients of that
    indicator, the rest is shared. Raises ModelError where fewer than two segments have 5 churns.
    """
    segment_of_row = design.decisions.frame[by].fillna(NO_VALUE).astype(str).to_numpy(dtype=str)
    names, codes = np.unique(segment_of_row, return_inverse=True)
    churns = np.bincount(codes[design.decisions.event], minlength=len(names))
    segments = [str(name) for name in names[churns >= MIN_CHURNS]]
    if len(segments) < 2:
        raise ModelError(
            f"{len(segments)} segment of {by} has {MIN_CHURNS} churns; comparing takes two",
            "Choose by= with larger segments",
        )
    counts = {str(name): int(count) for name, count in zip(names, churns, strict=True)}
    shown = dict.fromkeys(c.indicator.name for c in design.columns if c.shown)
    frames = [
        _of_indicator(design, indicator, segment_of_row, segments, counts, level)
        for indicator in shown
        if indicator != by
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _of_indicator(
    design: Design,
    indicator: str,
    segment_of_row: NDArray[np.str_],
    segments: list[str],
    counts: dict[str, int],
    level: float,
) -> pd.DataFrame:
    own = [c for c in design.columns if c.indicator.name == indicator]
    theta, error = _own_ratios(design, indicator, segment_of_row, segments)
    frames = []
    for j, column in enumerate(own):
        if not column.shown or np.isfinite(theta[j]).sum() < 2:
            continue
        shrunken = shrunken_means(theta[j], error[j])
        margin = normal_quantile(level) * shrunken.std_err
        label = f"{100 * level:g}%"
        frames.append(
            pd.DataFrame(
                {
                    "covariate": column.name,
                    "segment": segments,
                    "churns": [counts[segment] for segment in segments],
                    "exp(coef) own": np.exp(theta[j]),
                    "se(coef) own": error[j],
                    "exp(coef)": np.exp(shrunken.estimate),
                    f"exp(coef) lower {label}": np.exp(shrunken.estimate - margin),
                    f"exp(coef) upper {label}": np.exp(shrunken.estimate + margin),
                    "mean of segments": np.exp(shrunken.mean),
                    "spread": shrunken.spread,
                }
            )
        )
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _own_ratios(
    design: Design, indicator: str, segment_of_row: NDArray[np.str_], segments: list[str]
) -> tuple[Floats, Floats]:
    """Return log hazard ratios and errors (columns × segments), NaN where the data say nothing."""
    rows = np.isin(segment_of_row, segments)
    own = [c.coded[rows] for c in design.columns if c.indicator.name == indicator]
    rest = [c.coded[rows] for c in design.columns if c.indicator.name != indicator]
    members: list[Bools] = [segment_of_row[rows] == segment for segment in segments]
    split = [np.where(member, values, 0.0) for values in own for member in members]
    ridges = np.repeat([RIDGE, max(design.ridge, 1e-6)], [len(split), len(rest)])
    strata = segment_of_row[rows]
    if design.strata is not None:
        strata = np.char.add(design.strata.codes[rows].astype(str), strata)
    data = design.decisions
    fit = fit_cox(
        np.column_stack([*split, *rest]), data.stop[rows], data.event[rows],
        start=data.start[rows], strata=strata, cluster=data.customer[rows], ridge=ridges,
    )  # fmt: skip
    careful = with_careful_errors(fit).robust_se
    error = (fit.se if careful is None else careful)[: len(split)]
    told_little = fit.se[: len(split)] ** -2 < 2 * RIDGE
    theta = np.where(told_little, np.nan, fit.coef[: len(split)])
    shape = (len(own), len(segments))
    return theta.reshape(shape), np.where(told_little, np.nan, error).reshape(shape)
