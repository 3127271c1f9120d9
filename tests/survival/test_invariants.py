"""A seeded slice of the random cases; `python benchmarks/invariants.py` runs all 2,000."""

import numpy as np
import pytest

from .invariants import INVARIANTS, check, cox
from .random_panels import random_panel

SLICE = 240


@pytest.mark.parametrize("invariant", range(len(INVARIANTS)), ids=lambda k: INVARIANTS[k].__name__)
def test_random_panels(invariant: int) -> None:
    for case in range(invariant, SLICE, len(INVARIANTS)):
        check(case)


def test_most_random_panels_can_be_fitted() -> None:
    # Otherwise the cases above would compare nothing with nothing.
    fitted = [cox(random_panel(case)) is not None for case in range(60)]
    assert np.mean(fitted) > 0.9
