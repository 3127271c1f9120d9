"""Hazard ratios that vary: by segment, shrunken towards their mean, and over tenure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.errors import ModelError
from leadsignal.formats import level_in_name
from leadsignal.model.cox_design import NO_VALUE, Column, Design, with_careful_errors
from leadsignal.stats import holm, normal_quantile, shrunken_means, two_sided_p
from leadsignal.survival.cox import CoxFit, fit_cox
from leadsignal.survival.inputs import Bools, Floats

MIN_CHURNS = 5
"""Minimum number of churns in a segment; with fewer, its standard error is unreliable."""
RIDGE = 0.1
"""Ridge penalty on a segment's own coefficients; only keeps them finite before shrinkage."""


def by_segment(design: Design, by: str, level: float) -> pd.DataFrame:
    """Return one row per covariate and segment: its own ratio, and the shrunken one with interval.

    One model per indicator is fitted, in which each segment has its own baseline hazard and
    coefficients of that indicator, and the rest is shared. Raises ModelError if fewer than two
    segments have 5 churns.
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
        label = level_in_name(level)
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
    """Return log hazard ratios and errors (columns × segments); NaN where not identified."""
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
        weights=data.weight[rows],
    )  # fmt: skip
    careful = with_careful_errors(fit).robust_se
    error = (fit.se if careful is None else careful)[: len(split)]
    told_little = fit.se[: len(split)] ** -2 < 2 * RIDGE
    theta = np.where(told_little, np.nan, fit.coef[: len(split)])
    shape = (len(own), len(segments))
    return theta.reshape(shape), np.where(told_little, np.nan, error).reshape(shape)


SIGNIFICANT = 0.05


def proportionality_table(
    fit: CoxFit, columns: Sequence[Column], *, tested: bool = True
) -> pd.DataFrame:
    """Return one row per indicator: chisq, df, p, Holm's (1979) p, whether its ratio changes.

    The test does not allow for sampling of customers; without it, everything is NaN.
    """
    terms = [column.indicator.name for column in columns]
    table = fit.test_proportionality(terms=terms).to_frame().drop(index="GLOBAL")
    shown = list(dict.fromkeys(c.indicator.name for c in columns if c.shown))
    frame = table.loc[shown].rename_axis("indicator")
    if not tested:
        frame = frame.assign(chisq=np.nan, p=np.nan)
    frame["p (Holm)"] = holm(frame["p"].to_numpy())
    frame["changes"] = frame["p (Holm)"] < SIGNIFICANT
    return frame


def by_thirds(design: Design, changing: Sequence[str], level: float) -> pd.DataFrame:
    """Return the ratios of the ``changing`` indicators in each third of churns by tenure.

    They are fitted in one model with one coefficient per third; rows that span a cut are split.
    """
    rows = design.decisions
    ends = rows.stop[rows.event]
    cuts = np.unique(np.floor(np.quantile(ends, (1 / 3, 2 / 3))))
    row, start, stop = split_at(rows.start, rows.stop, cuts)
    last = stop == rows.stop[row]
    third = np.searchsorted(cuts, start, side="right")
    varying = [c.indicator.name in changing for c in design.columns]
    blocks, names = [], []
    for column, varies in zip(design.columns, varying, strict=True):
        for part in range(len(cuts) + 1) if varies else [-1]:
            values = column.coded[row]
            blocks.append(np.where(third == part, values, 0.0) if varies else values)
            names.append(f"{column.name} #{part}" if varies else column.name)
    fit = fit_cox(
        np.column_stack(blocks), stop, rows.event[row] & last, start=start,
        strata=None if design.strata is None else design.strata.codes[row],
        cluster=rows.customer[row], weights=rows.weight[row], ridge=max(design.ridge, 1e-6),
        names=names,
    )  # fmt: skip
    return _by_third(design, with_careful_errors(fit), changing, cuts, level)


def split_at(start: Floats, stop: Floats, cuts: Floats) -> tuple[np.ndarray, Floats, Floats]:
    """Split the rows (start, stop] at the cuts and return (row, start, stop).

    >>> split_at(np.array([0.0]), np.array([30.0]), np.array([10.0]))
    (array([0, 0]), array([ 0., 10.]), array([10., 30.]))
    """
    edges = np.concatenate(([-np.inf], cuts, [np.inf]))
    low = np.maximum(start[:, None], edges[None, :-1])
    high = np.minimum(stop[:, None], edges[None, 1:])
    row, part = np.nonzero(high > low)
    return row, low[row, part], high[row, part]


def _by_third(
    design: Design, fit: CoxFit, changing: Sequence[str], cuts: Floats, level: float
) -> pd.DataFrame:
    ends = design.decisions.stop[design.decisions.event]
    edges = np.concatenate(([0.0], cuts, [design.decisions.stop.max()]))
    churns = np.bincount(np.searchsorted(cuts, ends, side="left"), minlength=len(cuts) + 1)
    columns = [c for c in design.columns if c.shown and c.indicator.name in changing]
    places = [(column, part) for column in columns for part in range(len(cuts) + 1)]
    chosen = [fit.names.index(f"{column.name} #{part}") for column, part in places]
    coef, error = fit.coef[chosen], _errors(fit)[chosen]
    margin, label = normal_quantile(level) * error, level_in_name(level)
    return pd.DataFrame(
        {
            "covariate": [column.name for column, _ in places],
            "from_day": [int(edges[part]) for _, part in places],
            "to_day": [int(edges[part + 1]) for _, part in places],
            "churns": [int(churns[part]) for _, part in places],
            "exp(coef)": np.exp(np.where(np.isnan(error), np.nan, coef)),
            f"exp(coef) lower {label}": np.exp(coef - margin),
            f"exp(coef) upper {label}": np.exp(coef + margin),
            "p": two_sided_p(coef / error),
        }
    )


def _errors(fit: CoxFit) -> Floats:
    """Return the standard errors; NaN where only the ridge identifies a coefficient."""
    robust = fit.se if fit.robust_se is None else fit.robust_se
    silent = fit.se**-2 <= fit.ridge * (1 + 1e-6)
    errors: Floats = np.where(silent, np.nan, robust)
    return errors
