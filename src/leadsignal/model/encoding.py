"""Encode indicators for linear models, as a scikit-learn transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from leadsignal.model.features import IndicatorColumns


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
        self.columns_ = IndicatorColumns.of(rows, coded)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return numbers, flags of missing values, and flags of codes, in this order."""
        check_is_fitted(self)
        return self.columns_.encode(self._checked(X, reset=False))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the name of each output column."""
        from sklearn.utils.validation import _check_feature_names_in

        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        coded = [f"{names[int(column)]}_is_{code:g}" for column, code in self.columns_.flags]
        gaps = [f"{names[column]}_missing" for column in self.columns_.with_gaps]
        return np.array([*names[self.columns_.numbers], *gaps, *coded], dtype=object)

    def _checked(self, X: ArrayLike, *, reset: bool) -> NDArray[np.float64]:
        rows: NDArray[np.float64] = validate_data(
            self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan"
        )
        return rows

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
