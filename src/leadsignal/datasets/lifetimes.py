"""Simulate customers with known survival, for examples, tests and benchmarks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.model.one_row.customer_totals import CustomerTotals

Floats = NDArray[np.float64]


def simulated(customers: int, seed: int) -> CustomerTotals:
    """Return customers followed for 1 to 24 whole months, with the survival of `true_survival`.

    ``x`` is standard normal, ``plan`` is "trial" for four in ten, ``noise`` has no effect.

    >>> simulated(3, seed=0).columns.columns.tolist()
    ['x', 'plan', 'noise']
    """
    rng = np.random.default_rng(seed)
    x, trial = rng.normal(size=customers), rng.random(customers) < 0.4
    life = np.ceil(rng.exponential(1 / _hazard(x, trial)))
    followed = rng.integers(1, 25, size=customers).astype(float)
    plan = np.where(trial, "trial", "paid").astype(object)
    noise = rng.normal(size=customers)
    columns = pd.DataFrame({"x": x, "plan": plan, "noise": noise})
    ids = np.arange(1, customers + 1)
    return CustomerTotals(ids, np.minimum(life, followed), life <= followed, columns)


def true_survival(totals: CustomerTotals, months: int) -> Floats:
    """Return P(still active) of `simulated` customers after 1 to ``months`` months, (n, months)."""
    trial = (totals.columns["plan"] == "trial").to_numpy(dtype=bool)
    hazard = _hazard(totals.columns["x"].to_numpy(dtype=float), trial)
    survival: Floats = np.exp(-np.outer(hazard, np.arange(1, months + 1)))
    return survival


def _hazard(x: Floats, trial: NDArray[np.bool_]) -> Floats:
    """Return the constant monthly hazard: e^−2.5, times e^0.8 per unit of x, e^0.7 on trial."""
    hazard: Floats = np.exp(-2.5 + 0.8 * x + 0.7 * trial)
    return hazard
