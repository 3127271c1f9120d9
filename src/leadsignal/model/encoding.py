"""Encode indicators for linear models: scaled numbers, flags for categories and missing values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

SKEWED = 3.0
"""Non-negative columns with a maximum above this are log-transformed, as counts or times."""
FURTHEST = 3.0
"""Number of standard deviations from the mean at which values are clipped."""
RARELY = 0.005
"""Minimum share of missing values in a column for a flag of their own."""


def _different(gaps: NDArray[np.bool_], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the columns whose missing values are not in the same rows as in an earlier column."""
    patterns = np.packbits(gaps[:, columns], axis=0).T
    _, first = np.unique(patterns, axis=0, return_index=True)
    return columns[np.sort(first)]


class IndicatorEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # no types there
    """Encode numeric rows (n, columns), with NaN for missing; a scikit-learn transformer.

    Counts and times enter as log(1 + x). Each number is centred, scaled and clipped to three
    standard deviations. Missing numbers become the mean, with a flag that is shared by columns with
    the same missing rows. ``categorical_features`` is a mask (columns,) of columns of category
    codes, which get one flag per code seen in ``fit``.

    >>> IndicatorEncoder().fit_transform([[1.0], [3.0], [np.nan]])
    array([[-1.,  0.],
           [ 1.,  0.],
           [ 0.,  1.]])
    """

    def __init__(self, categorical_features: ArrayLike | None = None) -> None:
        self.categorical_features = categorical_features

    def fit(self, X: ArrayLike, y: object = None) -> IndicatorEncoder:
        """Learn scales, codes, and which columns have missing values."""
        rows = self._checked(X, reset=True)
        coded = np.zeros(rows.shape[1], dtype=bool)
        if self.categorical_features is not None:
            coded = np.asarray(self.categorical_features, dtype=bool)
        gaps = np.isnan(rows)
        self.numbers_ = np.flatnonzero(~coded & ~gaps.all(axis=0))
        numbers = rows[:, self.numbers_]
        self.logged_ = (np.nanmin(numbers, 0, initial=np.inf) >= 0) & (
            np.nanmax(numbers, 0, initial=-np.inf) > SKEWED
        )
        numbers = self._logged(numbers)
        self.mean_ = np.nanmean(numbers, axis=0) if numbers.size else np.zeros(0)
        spread = np.nanstd(numbers, axis=0) if numbers.size else np.zeros(0)
        self.scale_ = np.where(spread > 0, spread, 1.0)
        self.with_gaps_ = _different(gaps, np.flatnonzero(gaps.mean(axis=0) > RARELY))
        self.flags_ = np.array(
            [
                (column, code)
                for column in np.flatnonzero(coded)
                for code in np.unique(rows[~gaps[:, column], column])
            ],
            dtype=float,
        ).reshape(-1, 2)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return numbers, flags of missing values, and flags of codes, in this order."""
        check_is_fitted(self)
        rows = self._checked(X, reset=False)
        numbers = (self._logged(rows[:, self.numbers_]) - self.mean_) / self.scale_
        numbers = np.clip(np.nan_to_num(numbers, nan=0.0), -FURTHEST, FURTHEST)
        gaps = np.isnan(rows[:, self.with_gaps_])
        columns, codes = self.flags_[:, 0].astype(int), self.flags_[:, 1]
        return np.hstack([numbers, gaps, rows[:, columns] == codes]).astype(float)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the name of each output column."""
        from sklearn.utils.validation import _check_feature_names_in

        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        coded = [f"{names[int(column)]}_is_{code:g}" for column, code in self.flags_]
        gaps = [f"{names[column]}_missing" for column in self.with_gaps_]
        return np.array([*names[self.numbers_], *gaps, *coded], dtype=object)

    def _checked(self, X: ArrayLike, *, reset: bool) -> NDArray[np.float64]:
        rows: NDArray[np.float64] = validate_data(
            self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan"
        )
        return rows

    def _logged(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        found = numbers.copy()
        found[:, self.logged_] = np.log1p(np.maximum(numbers[:, self.logged_], 0))
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
