"""Convert panel rows to numeric arrays, and project them over the steps ahead."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.errors import ModelError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from leadsignal.panel import Panel

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
        return cls.of(
            rows,
            names,
            categories,
            {i.name: i.expected_sign for i in indicators if i.expected_sign},
        )

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
        expected_sign = {
            name: sign for name, sign in (expected_sign or {}).items() if name in names
        }
        numbers = [name for name in names if name not in levels]
        ranges = {name: (float(rows[name].min()), float(rows[name].max())) for name in numbers}
        return cls(tuple(names), levels, expected_sign, ranges)

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

    def ahead(self, matrix: NDArray[np.float64], days: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rows as they will be ``days`` later, as far as that is known.

        Tenure grows, up to the maximum of its range; the days to renewal decrease and start again
        at each renewal; everything else stays the same.
        """
        moved = matrix.copy()
        self.move_ahead(moved, days)
        return moved

    def move_ahead(self, matrix: NDArray[np.float64], days: NDArray[np.float64]) -> None:
        """Do the same as `ahead`, in place."""
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
        return {
            "names": list(self.names),
            "levels": {name: list(levels) for name, levels in self.levels.items()},
            "expected_sign": dict(self.expected_sign),
            "ranges": {name: list(ends) for name, ends in self.ranges.items()},
        }

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
