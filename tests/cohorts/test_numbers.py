"""A number carries what its interval was made of: another level is asked for and not guessed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

import leadsignal as ls
from leadsignal.stats import ClusteredEstimate, Estimate


@pytest.mark.parametrize("clusters", [2, 3, 8, 200])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_another_level_is_what_would_have_been_made(clusters: int, level: float) -> None:
    value = ClusteredEstimate(-0.7, np.random.default_rng(clusters).normal(0, 0.2, clusters))
    assert value.estimate().at(level) == value.estimate(level)
    made, asked = value.ratio(level), value.ratio().at(level)
    assert (asked.estimate, asked.p) == (made.estimate, made.p)
    assert (asked.low, asked.high) == pytest.approx((made.low, made.high), rel=1e-12)
    reach = t.ppf(0.5 + level / 2, value.df) * value.std_err
    assert np.log(asked.high) == pytest.approx(-0.7 + reach)


def test_a_number_without_an_error_refuses_to_guess_one() -> None:
    with pytest.raises(ls.OptionError, match="no standard error"):
        Estimate(0.5, 0.3, 0.8, 0.01).at(0.99)
