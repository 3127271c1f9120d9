from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from leadsignal.arguments import days_in
from leadsignal.errors import OptionError


@pytest.mark.parametrize(
    ("given", "days"),
    [
        ("28d", 28),
        ("4w", 28),
        ("1d", 1),
        (" 12 w ", 84),
        ("90 days", 90),
        ("1 month", 30),
        ("6 months", 183),
        ("1 year", 365),
        ("2 years", 730),
        (28, 28),
        (np.int64(28), 28),
        (timedelta(days=28), 28),
        (pd.Timedelta("28d"), 28),
    ],
)
def test_what_is_accepted(given: object, days: int) -> None:
    assert days_in(given) == days  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    ["", "28", "d", "0d", "-3d", "1.5d", "3m", "99999w", "200 years", 0, -3, 36_526, 1.5, True,
     None, timedelta(hours=5), pd.Timedelta("1.5d"), pd.NaT, ["28d"]],
)  # fmt: skip
def test_anything_else_says_what_is_allowed(given: object) -> None:
    with pytest.raises(OptionError, match=r"is not a duration.*28d") as caught:
        days_in(given)  # type: ignore[arg-type]
    assert repr(given) in str(caught.value)
