"""Convert panel rows to numeric arrays, stacked over the steps ahead.

Arrays in, arrays out, without scikit-learn, which takes a second to import. The same as a
scikit-learn transformer is `leadsignal.model.IndicatorEncoder`.

The horizon is divided into steps. Each panel row and step gives one person-period row: what was
known at the snapshot, the step, tenure and days to renewal as they will be then, and whether the
account ended in the step. Rows are only used if the complete step has been observed, whatever
happened in it, so that ends are not over-represented. (Prentice and Gloeckler 1978; Singer and
Willett 1993; stacking over snapshots is the landmark supermodel of van Houwelingen, 2007.)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.errors import ModelError
from leadsignal.files.writing import json_fields

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.panel import Panel

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


SKEWED = 3.0
"""Non-negative columns with a maximum above this are log-transformed, as counts or times."""
FURTHEST = 3.0
"""Number of standard deviations from the mean at which values are clipped."""
RARELY = 0.005
"""Minimum share of missing values in a column for a flag of their own."""


@dataclass(frozen=True, eq=False)
class IndicatorColumns:
    """The scales, codes and missing values learnt from rows, to encode rows of the same columns.

    Attributes
    ----------
    numbers : array of shape (k,)
        Columns that enter as numbers.
    logged : array of shape (k,)
        Whether each enters as log(1 + x).
    mean, scale : arrays of shape (k,)
        Mean and standard deviation of each.
    with_gaps : array of shape (m,)
        Columns with a flag for missing values.
    flags : array of shape (f, 2)
        Column and code of each flag for a category.
    """

    numbers: Ints
    logged: Bools
    mean: Floats
    scale: Floats
    with_gaps: Ints
    flags: Floats

    @classmethod
    def of(cls, rows: Floats, is_category: Bools) -> IndicatorColumns:
        """Learn from rows (n, columns), with NaN for missing; ``is_category`` marks codes."""
        gaps = np.isnan(rows)
        at = np.flatnonzero(~is_category & ~gaps.all(axis=0))
        numbers = rows[:, at]
        logged = (np.nanmin(numbers, 0, initial=np.inf) >= 0) & (
            np.nanmax(numbers, 0, initial=-np.inf) > SKEWED
        )
        numbers = _logged(numbers, logged)
        spread = np.nanstd(numbers, axis=0) if numbers.size else np.zeros(0)
        flags = [
            (column, code)
            for column in np.flatnonzero(is_category)
            for code in np.unique(rows[~gaps[:, column], column])
        ]
        return cls(
            at,
            logged,
            np.nanmean(numbers, axis=0) if numbers.size else np.zeros(0),
            np.where(spread > 0, spread, 1.0),
            _different(gaps, np.flatnonzero(gaps.mean(axis=0) > RARELY)),
            np.array(flags, dtype=float).reshape(-1, 2),
        )

    def encode(self, rows: Floats) -> Floats:
        """Return numbers, flags of missing values, and flags of codes, in this order."""
        numbers = (_logged(rows[:, self.numbers], self.logged) - self.mean) / self.scale
        numbers = np.clip(np.nan_to_num(numbers, nan=0.0), -FURTHEST, FURTHEST)
        gaps = np.isnan(rows[:, self.with_gaps])
        columns, codes = self.flags[:, 0].astype(int), self.flags[:, 1]
        return np.hstack([numbers, gaps, rows[:, columns] == codes]).astype(float)


def _logged(numbers: Floats, logged: Bools) -> Floats:
    found = numbers.copy()
    found[:, logged] = np.log1p(np.maximum(numbers[:, logged], 0))
    return found


def _different(gaps: Bools, columns: Ints) -> Ints:
    """Return the columns whose missing values are not in the same rows as in an earlier column."""
    patterns = np.packbits(gaps[:, columns], axis=0).T
    _, first = np.unique(patterns, axis=0, return_index=True)
    return columns[np.sort(first)]


MAX_LEVELS = 100
"""Maximum number of values of a category; rarer ones count as missing. Boosting allows 255."""

DAYS_PER_MONTH = 365.25 / 12
EVERYTHING = (-np.inf, np.inf)


@dataclass(frozen=True)
class Features:
    """The columns that a model reads, in order, and their values in the training data.

    A category value that is not in the training data counts as missing; `unseen` counts these. A
    number outside the ``ranges`` of the training data is clipped to them, because the model must
    not extrapolate; `clipped` marks these.
    """

    names: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    expected_sign: Mapping[str, int] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def learn(cls, panel: Panel, rows: pd.DataFrame, names: Sequence[str]) -> Features:
        """Learn the columns from the panel rows of a fit; indicators with no value are left out."""
        indicators = [i for i in panel.indicators if i.name in names]
        categories = {i.name for i in indicators if i.kind == "category"}
        signs = {i.name: i.expected_sign for i in indicators if i.expected_sign}
        return cls.of(rows, names, categories, signs)

    @classmethod
    def of(
        cls,
        rows: pd.DataFrame,
        names: Sequence[str],
        categories: Collection[str],
        expected_sign: Mapping[str, int] | None = None,
    ) -> Features:
        """Learn the values of categories and the ranges of numbers in ``rows``."""
        names = [name for name in names if rows[name].notna().any()]
        levels = {
            name: tuple(sorted(rows[name].value_counts().index[:MAX_LEVELS]))
            for name in names
            if name in categories
        }
        signs = {name: sign for name, sign in (expected_sign or {}).items() if name in names}
        numbers = [name for name in names if name not in levels]
        ranges = {name: (float(rows[name].min()), float(rows[name].max())) for name in numbers}
        return cls(tuple(names), levels, signs, ranges)

    @property
    def signs(self) -> NDArray[np.int64]:
        """Monotonic constraint of each column: -1 decreasing risk, 1 increasing, 0 none."""
        return np.array([-self.expected_sign.get(name, 0) for name in self.names])

    @property
    def is_category(self) -> NDArray[np.bool_]:
        """Mask of the columns with category codes."""
        return np.array([name in self.levels for name in self.names])

    def matrix(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """Return the rows as an array (rows, columns): codes for categories, NaN for missing.

        Numbers are clipped to the range of the training data. Raises ModelError, which names every
        missing column.
        """
        self.refuse_missing(rows.columns)
        columns = [self._column(rows, name) for name in self.names]
        return np.column_stack(columns) if columns else np.empty((len(rows), 0))

    def refuse_missing(self, columns: Collection[str]) -> None:
        """Raise ModelError naming every column of the model that is not in ``columns``."""
        missing = [name for name in self.names if name not in columns]
        if missing:
            raise ModelError(
                f"the model needs indicators that the panel does not have: {', '.join(missing)}",
                "Give the tables and the success analysis that the model was fitted with, or fit "
                "the model again",
            )

    def _column(self, rows: pd.DataFrame, name: str) -> NDArray[np.float64]:
        import pandas as pd

        if name not in self.levels:
            return np.clip(_numbers(rows, name), *self.ranges.get(name, EVERYTHING))
        codes = pd.Index(self.levels[name]).get_indexer(pd.Index(rows[name]))
        return np.where(codes < 0, np.nan, codes)

    def unseen(self, rows: pd.DataFrame) -> dict[str, int]:
        """Count, for each category, the rows whose value was not seen in fitting."""
        counts = {
            name: int((rows[name].notna() & ~rows[name].isin(levels)).sum())
            for name, levels in self.levels.items()
        }
        return {name: count for name, count in counts.items() if count}

    def clipped(self, rows: pd.DataFrame) -> NDArray[np.bool_]:
        """Return a mask (rows, columns) of numbers outside the range of the training data."""
        beyond = np.zeros((len(rows), len(self.names)), dtype=bool)
        for place, name in enumerate(self.names):
            if name in self.ranges:
                low, high = self.ranges[name]
                numbers = _numbers(rows, name)
                beyond[:, place] = (numbers < low) | (numbers > high)
        return beyond

    def clipped_counts(self, rows: pd.DataFrame) -> dict[str, int]:
        """Count, for each number, the rows outside the range of the training data."""
        counts = zip(self.names, self.clipped(rows).sum(axis=0).tolist(), strict=True)
        return {name: count for name, count in counts if count}

    def move_ahead(self, matrix: NDArray[np.float64], days: NDArray[np.float64]) -> None:
        """Change the rows to what they will be ``days`` later, as far as that is known.

        Tenure grows, up to the maximum of its range; the days to renewal decrease and start again
        at each renewal; everything else stays the same.
        """
        if "tenure_days" in self.names:
            tenure = matrix[:, self.names.index("tenure_days")]
            tenure += days
            np.minimum(tenure, self.ranges.get("tenure_days", EVERYTHING)[1], out=tenure)
        if "days_to_renewal" in self.names:
            at = self.names.index("days_to_renewal")
            left = matrix[:, at] - days
            if "term_months" in self.names:
                term = matrix[:, self.names.index("term_months")] * DAYS_PER_MONTH
                left = np.where(left < 0, np.mod(left, term), left)
            matrix[:, at] = left

    def to_dict(self) -> dict[str, Any]:
        """Return columns, levels, signs and ranges, ready for JSON."""
        return json_fields(self, "names", "levels", "expected_sign", "ranges")

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Features:
        """Return the features that `to_dict` wrote."""
        levels = {name: tuple(values) for name, values in content["levels"].items()}
        ranges = {
            name: (float(low), float(high)) for name, (low, high) in content["ranges"].items()
        }
        return cls(tuple(content["names"]), levels, content["expected_sign"], ranges)


def _numbers(rows: pd.DataFrame, name: str) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = rows[name].to_numpy(dtype=float, na_value=np.nan)
    return numbers


TINY = 1e-9
"""Tolerance for tenures that are whole steps."""


def step_ends(horizon: float, step: float) -> NDArray[Any]:
    """Return the last day of each step: multiples of ``step``, and the horizon as the last one.

    >>> step_ends(100, 30)
    array([ 30,  60,  90, 100])
    """
    return np.append(np.arange(step, horizon, step), horizon)


def step_begins(ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the day before the first day of each step.

    >>> step_begins(np.array([30, 60]))
    array([ 0, 30])
    """
    return np.concatenate([[0], ends[:-1]])


@dataclass(frozen=True)
class Stacked:
    """Person-period rows: ``row`` and ``step`` index them; ``churned`` and ``left`` are outcomes.

    ``weight`` is the number of rows that each represents: 1, unless they are a sample.
    """

    row: NDArray[np.int64]
    step: NDArray[np.int64]
    churned: NDArray[np.bool_]
    left: NDArray[np.bool_]
    weight: NDArray[np.float64]

    def sampled(self, most: int, rng: np.random.Generator) -> Stacked:
        """Return at most ``most`` rows: those with an end, and a weighted sample of the others."""
        kept, weight = self.drawn(most, rng)
        return Stacked(self.row[kept], self.step[kept], self.churned[kept], self.left[kept], weight)

    def drawn(
        self, most: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the positions of at most ``most`` sampled rows, and their weights.

        The sample contains all rows with an end, and a random sample of the others. If rows with an
        end are more than half of ``most``, they are sampled too.
        """
        if len(self.row) <= most:
            return np.arange(len(self.row)), self.weight
        ended = self.churned | self.left
        kept_ends, weight_ends = _draw(np.flatnonzero(ended), most // 2, rng)
        kept_others, weight_others = _draw(np.flatnonzero(~ended), most - len(kept_ends), rng)
        kept = np.concatenate([kept_ends, kept_others])
        weight = np.repeat([weight_ends, weight_others], [len(kept_ends), len(kept_others)])
        order = np.argsort(kept, kind="stable")
        kept = kept[order]
        return kept, self.weight[kept] * weight[order]


def _draw(
    rows: NDArray[np.int64], most: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], float]:
    """Return up to ``most`` of the rows, and the number of rows that each represents."""
    if len(rows) <= most:
        return rows, 1.0
    return rng.choice(rows, most, replace=False, shuffle=False), len(rows) / most


def stack(
    ended_within: NDArray[np.float64],
    observed: NDArray[np.float64],
    churns: NDArray[np.bool_],
    ends: NDArray[np.int64],
) -> Stacked:
    """Return the person-period rows for steps that were observed completely.

    ``ended_within``: days from the snapshot to the end, NaN if censored; ``observed``:
    days from the snapshot to as_of; ``churns``: whether the end is churn. All have shape (rows,).
    """
    begins = step_begins(ends)
    end = np.where(np.isnan(ended_within), np.inf, ended_within)
    at_risk = (end[:, None] > begins) & (observed[:, None] >= ends)
    row, step = np.nonzero(at_risk)
    ended = end[row] <= ends[step]
    return Stacked(row, step, ended & churns[row], ended & ~churns[row], np.ones(len(row)))


def customer_steps(tenure: NDArray[np.float64], churned: NDArray[np.bool_]) -> Stacked:
    """Return the steps in which each customer was at risk; ``tenure`` (n,) is in steps.

    Churned customers count as at risk for the whole step of the churn (the first, for tenure 0),
    others for the observed part of a step. Integer tenures then give the Kaplan-Meier estimate,
    others the actuarial estimate.

    >>> rows = customer_steps(np.array([2.0, 1.25]), np.array([True, False]))
    >>> rows.row.tolist(), rows.step.tolist(), rows.churned.tolist(), rows.weight.tolist()
    ([0, 0, 1, 1], [0, 1, 0, 1], [False, True, False, False], [1.0, 1.0, 1.0, 0.25])
    """
    begun = np.maximum(np.ceil(tenure - TINY).astype(np.int64), churned)
    row = np.repeat(np.arange(len(tenure)), begun)
    step = np.arange(len(row)) - np.repeat(np.cumsum(begun) - begun, begun)
    churns = churned[row] & (step == begun[row] - 1)
    weight = np.where(churned[row], 1.0, np.minimum(tenure[row] - step, 1.0))
    return Stacked(row, step, churns, np.zeros_like(churns), weight)


@dataclass(frozen=True)
class Layout:
    """Layout of a stacked design: the feature columns, then the step, then the renewal.

    ``names`` of all columns, which of them hold category codes, the monotonicity constraint of each
    (−1 only down, 1 only up, 0 none), and the last day of each step.
    """

    names: tuple[str, ...]
    is_category: NDArray[np.bool_]
    signs: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, features: Features, ends: NDArray[np.int64]) -> Layout:
        """Return the layout of a design with these features."""
        extra = ["step_begin"]
        if "days_to_renewal" in features.names:
            extra += ["renews", "days_to_renewal_now"]
        return cls(
            (*features.names, *extra),
            np.append(features.is_category, np.zeros(len(extra), dtype=bool)),
            np.append(features.signs, np.zeros(len(extra), dtype=np.int64)),
            ends,
        )

    @property
    def begins(self) -> NDArray[np.int64]:
        """The day before the first day of each step."""
        return step_begins(self.ends)


def design(
    features: Features,
    matrix: NDArray[np.float64],
    ends: NDArray[np.int64],
    row: NDArray[np.int64],
    step: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the rows of a hazard model: the features moved ahead, the step, its renewals."""
    begins = step_begins(ends)
    count = matrix.shape[1]
    renews = "days_to_renewal" in features.names
    stacked = np.empty((len(row), count + (3 if renews else 1)))
    moved = stacked[:, :count]
    moved[:] = matrix[row]
    features.move_ahead(moved, begins[step].astype(float))
    stacked[:, count] = begins[step]
    if renews:
        at = features.names.index("days_to_renewal")
        stacked[:, count + 1] = moved[:, at] < (ends - begins)[step]
        # At the snapshot: most accounts leaving at a renewal soon after have already given notice.
        stacked[:, count + 2] = matrix[row, at]
    return stacked
