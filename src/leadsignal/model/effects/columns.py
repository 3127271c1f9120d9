"""Indicators as columns of a Cox model, each with its unit and its reference level."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from leadsignal.indicators import Indicator
from leadsignal.model.effects.cox_design import CoxDesign
from leadsignal.survival.inputs import Bools, Floats

MIN_EXPECTED = 5.0
"""A state is rare below this many churns expected of its days at risk; the churns it had do not
count, for a choice by outcome would bias what is left."""
MIN_SHARE = 0.01
SKEWED = 1.0
NO_VALUE = "no value"
RARE = "rarer states"
SPREADS = ((25, 75), (10, 90), (5, 95), (1, 99), (0, 100))
"""Percentiles that one step of a number spans: the first pair that differs."""


@dataclass(frozen=True, eq=False)
class Column:
    """One column: ``coded`` (n), the ``indicator`` behind it, what its ratio compares.

    ``step`` says what one unit is and ``reference`` against what; ``state`` is the category or
    "no value", empty for a number. A column that is not ``shown`` is only adjusted for.
    """

    indicator: Indicator
    state: str
    step: str
    reference: str
    coded: Floats
    shown: bool = True

    @property
    def name(self) -> str:
        """The indicator, with its state if it is one."""
        return f"{self.indicator.name}: {self.state}" if self.state else self.indicator.name


@dataclass(frozen=True)
class LeftOut:
    """A column, state or cause that has no ratio of its own, and why."""

    name: str
    reason: str


Coded = Column | LeftOut


class DesignEncoder:
    """Codes the indicators of the rows of ``decisions``."""

    def __init__(self, decisions: CoxDesign) -> None:
        self.frame = decisions.frame
        self.days = decisions.days
        self.churns = decisions.churns

    def code(self, indicator: Indicator) -> Iterator[Coded]:
        """Yield the columns of one indicator, and what of it is left out."""
        values = self.frame[indicator.name]
        if values.isna().all():
            yield LeftOut(indicator.name, "it has no value in any row")
        elif indicator.kind == "category":
            yield from self._states(indicator, values)
        else:
            yield from self._number(indicator, values.to_numpy(dtype=float, na_value=np.nan))

    def expected(self, rows: Bools) -> float:
        """Return how many of all churns fall on ``rows`` by their days at risk."""
        return self.churns * float(self.days[rows].sum() / self.days.sum())

    def _why_rare(self, rows: Bools) -> str | None:
        share, expected = float(rows.mean()), self.expected(rows)
        if share >= MIN_SHARE and expected >= MIN_EXPECTED:
            return None
        return f"{share:.1%} of rows, {expected:.1f} churns expected there"

    def _number(self, indicator: Indicator, values: Floats) -> Iterator[Coded]:
        known = ~np.isnan(values)
        # Sorted once: what follows asks for many quantiles.
        ordered = np.sort(values[known])
        distinct, counts = np.unique(ordered, return_counts=True)
        usual = distinct[counts.argmax()]
        rare = self._why_rare(known & (values != usual))
        if rare is not None:
            why = f"it is {usual:g} or {NO_VALUE} nearly everywhere (otherwise: {rare})"
            yield LeftOut(
                indicator.name, "it is the same everywhere" if len(distinct) == 1 else why
            )
        else:
            yield scaled(indicator, values, known, ordered)
        yield from self._no_value(indicator, ~known, _middle(ordered))

    def _no_value(self, indicator: Indicator, missing: Bools, middle: float) -> Iterator[Coded]:
        if missing.any():
            against = f"the median, {number(middle)} {indicator.unit}"
            yield from self._state(indicator, NO_VALUE, missing, against)

    def _state(
        self, indicator: Indicator, state: str, rows: Bools, against: str
    ) -> Iterator[Coded]:
        rare = self._why_rare(rows)
        column = Column(indicator, state, state, against, rows.astype(float), rare is None)
        yield column
        if rare is not None:
            yield LeftOut(column.name, f"rare: {rare}; adjusted for, not shown")

    def _states(self, indicator: Indicator, values: pd.Series[Any]) -> Iterator[Coded]:
        codes, states = pd.factorize(values.astype("object").fillna(NO_VALUE), sort=True)
        rows = {str(state): codes == code for code, state in enumerate(states)}
        common = [state for state in rows if self._why_rare(rows[state]) is None]
        if len(rows) == 1:
            yield LeftOut(indicator.name, f"it is {str(states[0])!r} everywhere")
            return
        if not common:
            yield LeftOut(indicator.name, f"each of its {len(rows)} states is rare")
            return
        reference = self._reference(indicator, {state: rows[state] for state in common})
        for state in common:
            if state != reference:
                yield from self._state(indicator, state, rows[state], reference)
        yield from self._rarer(indicator, {s: rows[s] for s in rows if s not in common}, reference)

    def _rarer(
        self, indicator: Indicator, rows: dict[str, Bools], reference: str
    ) -> Iterator[Coded]:
        """Yield the rare states as one column, so that they do not swell the reference."""
        if len(rows) == 1:
            for state, where in rows.items():
                yield from self._state(indicator, state, where, reference)
            return
        for state, where in rows.items():
            reason = f"rare: {self._why_rare(where)}; counted under {RARE}"
            yield LeftOut(f"{indicator.name}: {state}", reason)
        if rows:
            together = np.logical_or.reduce(list(rows.values()))
            yield from self._state(indicator, RARE, together, reference)

    def _reference(self, indicator: Indicator, rows: dict[str, Bools]) -> str:
        if indicator.family == "processes" and "adopted" in rows:
            return "adopted"
        # NO_VALUE is the reference only where nothing else is common.
        return max(rows, key=lambda state: (state != NO_VALUE, float(self.days[rows[state]].sum())))


def _middle(ordered: Floats) -> float:
    """Return the median of sorted values."""
    return float(ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1].mean())


def scaled(indicator: Indicator, values: Floats, known: Bools, ordered: Floats) -> Column:
    """Return a number in steps of its interquartile range, counted from the lower quartile.

    If it is skewed and never negative, the step is one on log(1 + x/m), with m the median of the
    values above zero: the same in any currency. Missing values are replaced by the median.
    ``ordered`` are the known values, sorted.
    """
    low, high = next(
        (low, high)
        for low, high in (np.percentile(ordered, pair) for pair in SPREADS)
        if high > low
    )
    filled = np.where(known, values, _middle(ordered))
    log = ordered[0] >= 0 and skewness(ordered) > SKEWED and len(np.unique(ordered)) > 2
    middle = _middle(ordered[ordered > 0]) if log else 1.0
    at = [np.log1p(part / middle) if log else part for part in (filled, low, high)]
    step = f"{number(low)} to {number(high)} {indicator.unit}" + (", log scale" if log else "")
    start = f"{number(low)} {indicator.unit}"
    return Column(indicator, "", step, start, (at[0] - at[1]) / (at[2] - at[1]))


def skewness(values: Floats) -> float:
    """Return the third standardised moment; 0 for a constant."""
    spread = values.std()
    if not spread > 0:
        return 0.0
    away = (values - values.mean()) / spread
    return float((away * away * away).mean())  # ** 3 is ten times slower


def number(value: float) -> str:
    """Return a number as a reader would write it.

    >>> number(34864.2), number(0.125), number(12.0)
    ('34,864', '0.125', '12')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
