"""Columns of customers as numbers: one column a number, one a value of a category.

Missing is a state. Where numbers are missing in training, a column says where; a missing category
is a value of its own. A value that training did not have counts as missing, and `Coding.unseen`
counts it; where training had nothing missing, it counts as the most frequent value. A number beyond
those of training counts as the nearest of them, and `Coding.clipped` counts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.errors import ModelError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MISSING = "(missing)"


@dataclass(frozen=True)
class Coding:
    """What was learnt of the columns of training.

    ``medians`` and ``ranges`` of the numbers, ``gaps``: which of them had missing values;
    ``levels`` of the categories, the most frequent one first. Columns that say nothing (one value,
    or none) are in ``constant`` and are not read.
    """

    medians: Mapping[str, float]
    gaps: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]
    constant: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def learn(cls, columns: pd.DataFrame) -> Coding:
        """Learn from the columns of the customers that a model is fitted on.

        >>> import pandas as pd
        >>> seats = [1.0, 3.0, float("nan")]
        >>> Coding.learn(pd.DataFrame({"seats": seats, "plan": ["pro", "basic", "pro"]})).names
        ('seats', 'seats (missing)', 'plan=basic')
        """
        numbers = {str(k): v for k, v in columns.items() if v.dtype.kind == "f"}
        texts = {str(k): v.fillna(MISSING) for k, v in columns.items() if v.dtype.kind != "f"}
        constant = [name for name, values in numbers.items() if values.nunique(dropna=False) < 2]
        constant += [name for name, values in texts.items() if values.nunique() < 2]
        medians = {k: float(v.median()) for k, v in numbers.items() if k not in constant}
        gaps = tuple(name for name in medians if numbers[name].isna().any())
        levels = {k: _by_frequency(v) for k, v in texts.items() if k not in constant}
        ranges = {k: (float(numbers[k].min()), float(numbers[k].max())) for k in medians}
        return cls(medians, gaps, levels, tuple(constant), ranges)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of `matrix`."""
        gaps = [f"{name} {MISSING}" for name in self.gaps]
        coded = [f"{name}={level}" for name, levels in self.levels.items() for level in levels[1:]]
        return (*self.medians, *gaps, *coded)

    def matrix(self, columns: pd.DataFrame, *, fill: bool = True) -> Floats:
        """Return the columns as numbers (n × names); the most frequent values are all zeros.

        Missing numbers become the median of training, or stay NaN without ``fill``. Raises
        ModelError with every column that is missing or of another kind than in training.
        """
        self._check(columns)
        numbers = [
            np.clip(columns[name].to_numpy(dtype=float), *self.ranges[name])
            for name in self.medians
        ]
        if fill:
            medians = self.medians.values()
            numbers = [np.where(np.isnan(v), m, v) for v, m in zip(numbers, medians, strict=True)]
        gaps = [columns[name].isna().to_numpy(dtype=float) for name in self.gaps]
        coded = [
            (self._known(columns, name) == level).astype(float)
            for name, levels in self.levels.items()
            for level in levels[1:]
        ]
        parts = [*numbers, *gaps, *coded]
        return np.column_stack(parts) if parts else np.empty((len(columns), 0))

    def unseen(self, columns: pd.DataFrame) -> dict[str, int]:
        """Count, for each category, the customers whose value training did not have."""
        counts = {
            name: int((columns[name].notna() & ~columns[name].isin(levels)).sum())
            for name, levels in self.levels.items()
        }
        return {name: count for name, count in counts.items() if count}

    def clipped(self, columns: pd.DataFrame) -> dict[str, int]:
        """Count, for each number, the customers whose value lies beyond those of training."""
        counts = {
            name: int(((columns[name] < low) | (columns[name] > high)).sum())
            for name, (low, high) in self.ranges.items()
        }
        return {name: count for name, count in counts.items() if count}

    def _known(self, columns: pd.DataFrame, name: str) -> NDArray[np.object_]:
        values, levels = columns[name], self.levels[name]
        missing = values.isna() | ~values.isin(levels)
        known: NDArray[np.object_] = values.where(~missing, MISSING).to_numpy(dtype=object)
        return known

    def _check(self, columns: pd.DataFrame) -> None:
        wrong = [f"{n} is not there" for n in (*self.medians, *self.levels) if n not in columns]
        for name in columns.columns.intersection([*self.medians, *self.levels]):
            is_number = columns[name].dtype.kind == "f"
            # A column in which everything is missing is of no kind.
            if is_number != (name in self.medians) and columns[name].notna().any():
                wrong.append(f"{name} {'is' if is_number else 'is not'} a number here")
        if wrong:
            raise ModelError(
                f"the columns are not those of training: {'; '.join(wrong)}",
                "Give the same columns, or fit the model again",
            )


def _by_frequency(values: pd.Series[str]) -> tuple[str, ...]:
    counts = values.value_counts()
    return tuple(sorted(counts.index, key=lambda level: (-counts[level], level)))
