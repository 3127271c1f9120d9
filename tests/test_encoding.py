"""The encoder of indicators: scikit-learn's own checks, and cases counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator

import leadsignal as ls

NAN = np.nan
NEEDS_ARRAY_API = {"check_array_api_input"}


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=getattr(check, "func", check).__name__)
        for _, check in estimator_checks_generator(ls.model.IndicatorEncoder())
        if getattr(check, "func", check).__name__ not in NEEDS_ARRAY_API
    ],
)
def test_scikit_learns_checks(check: object) -> None:
    check(ls.model.IndicatorEncoder())  # type: ignore[operator]


def test_numbers_gaps_and_codes_by_hand() -> None:
    # Column 0: mean 2, standard deviation 1 of 1, 3; its gap is flagged. Column 1 holds codes 0
    # and 2: a flag each; a code not seen in fitting has none.
    encoder = ls.model.IndicatorEncoder(categorical_features=[False, True])
    made = encoder.fit_transform(np.array([[1.0, 0.0], [3.0, 2.0], [NAN, 2.0]]))
    assert made.tolist() == [[-1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 0, 1]]
    assert encoder.transform(np.array([[2.0, 7.0]])).tolist() == [[0, 0, 0, 0]]
    assert encoder.get_feature_names_out(["gap", "state"]).tolist() == [
        "gap", "gap_missing", "state_is_0", "state_is_2",
    ]  # fmt: skip


def test_counts_enter_as_logarithms_and_far_values_are_held() -> None:
    column = np.array([[0.0], [0.0], [0.0], [np.e**4 - 1]])
    made = ls.model.IndicatorEncoder().fit_transform(column)
    # log(1 + x) is 0, 0, 0, 4: mean 1, standard deviation sqrt(3).
    assert np.allclose(made[:, 0], [-1 / np.sqrt(3)] * 3 + [3 / np.sqrt(3)])
    far = ls.model.IndicatorEncoder().fit(column).transform([[1e9]])
    assert far.tolist() == [[3.0]]


def test_frames_stay_frames_in_a_pipeline() -> None:
    frame = pd.DataFrame({"tickets": [0.0, 4.0, NAN, 9.0] * 10, "gap": [0.1, NAN, -0.2, 0.0] * 10})
    encoder = ls.model.IndicatorEncoder().set_output(transform="pandas")
    made = clone(encoder).set_output(transform="pandas").fit_transform(frame)
    assert list(made.columns) == ["tickets", "gap", "tickets_missing", "gap_missing"]
    pipeline = make_pipeline(encoder, HistGradientBoostingClassifier(max_iter=5))
    chance = pipeline.fit(frame, [0, 1, 0, 1] * 10).predict_proba(frame)
    assert chance.shape == (40, 2)
