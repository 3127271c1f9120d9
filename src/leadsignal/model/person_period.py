"""Panel rows stacked by step: who is at risk in each step, and with what outcome.

The horizon is divided into steps. Each panel row and step gives one person-period row: what was
known at the snapshot, the step, tenure and days to renewal as they will be then, and whether the
account ended in the step. Rows are only used if the complete step has been observed, whatever
happened in it, so that ends are not over-represented. (Prentice and Gloeckler 1978; Singer and
Willett 1993; stacking over snapshots is the landmark supermodel of van Houwelingen, 2007.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leadsignal.model.features import Features

TINY = 1e-9
"""Tolerance for tenures that are whole steps."""


def step_ends(horizon: int, step: int) -> NDArray[np.int64]:
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
