"""Temporal recalibration: adjust a model's hazards to the latest completed horizon.

If churn has risen or fallen, a model fitted on all years expects too few or too many churns. Its
hazards are multiplied by one factor, which does not change any ranking (Booth, Riley, Ensor,
Lambert and Rutherford 2020, International Journal of Epidemiology 49, 1316-1325).

The factor is shrunken towards 1 by a gamma prior (empirical Bayes). If O churns are observed and
the model expects E, then O is Poisson with mean f E, and f has a Gamma(a, a) prior with mean 1 and
variance 1 / a, so its posterior mean is (a + O) / (a + E). The variance is estimated from all
completed horizons by the method of moments: (sum of (O - E)² - d E) / (sum of E²), where d is the
mean number of churned accounts per churned customer; E and O are divided by d in the posterior.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.errors import ModelError
from leadsignal.model.person_period import stack
from leadsignal.results import Result

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from leadsignal.model.stacked_model import Hazards

    Floats = NDArray[np.float64]

MIN_HORIZONS = 3
"""Minimum number of completed horizons for estimating the prior's variance."""
USUAL_SPREAD = 0.25
"""Standard deviation of the prior if it is not estimated."""
MAX_OFFSET = 3.0
"""Maximum change of the log-odds, a factor of about 20."""


@dataclass(frozen=True)
class CompletedHorizon:
    """Expected and observed churns until ``ends_on``, among accounts active on ``begins_on``."""

    begins_on: date
    ends_on: date
    expected: float
    observed: int

    def to_dict(self) -> dict[str, Any]:
        """Return the horizon as a plain dictionary, ready for JSON."""
        days = {"begins_on": self.begins_on.isoformat(), "ends_on": self.ends_on.isoformat()}
        return {**days, "expected": self.expected, "observed": self.observed}


@dataclass(frozen=True, repr=False, eq=False)
class Recalibration(Result):
    """Result of a recalibration.

    Attributes
    ----------
    factor : float
        Average factor by which the hazards are multiplied.
    offset : float
        Number added to the log-odds of the hazards.
    prior_spread : float
        Standard deviation of the factor's prior; 0 if the completed horizons differ by no more than
        chance, in which case nothing is changed.
    horizons : tuple of CompletedHorizon
        Completed horizons, the latest first. The first determines the factor, all of them the
        prior.

    Examples
    --------
    >>> day, later = date(2024, 1, 1), date(2024, 6, 29)
    >>> Recalibration(1.2, 0.19, 0.25, (CompletedHorizon(day, later, 30.0, 42),))
    recalibrated on 2024-01-01 to 2024-06-29: 42 churns where 30.0 were expected; hazards times
    1.20, after which 36.0 are expected (prior: 1 ± 0.25)
    """

    factor: float
    offset: float
    prior_spread: float
    horizons: tuple[CompletedHorizon, ...]

    def _table(self) -> pd.DataFrame:
        """Return one row per completed horizon, the latest first."""
        import pandas as pd

        return pd.DataFrame([vars(one) for one in self.horizons])

    def __repr__(self) -> str:
        last = self.horizons[0]
        return (
            f"recalibrated on {last.begins_on} to {last.ends_on}: {last.observed:,} churns where"
            f" {last.expected:,.1f} were expected; hazards times {self.factor:.2f}, after which"
            f" {self.factor * last.expected:,.1f} are expected (prior: 1 ± {self.prior_spread:.2f})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the recalibration as plain dictionaries and lists, ready for JSON."""
        return {
            "factor": self.factor,
            "offset": self.offset,
            "prior_spread": self.prior_spread,
            "horizons": [one.to_dict() for one in self.horizons],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Recalibration:
        """Return the recalibration that `to_dict` wrote."""
        horizons = tuple(
            CompletedHorizon(
                date.fromisoformat(one["begins_on"]),
                date.fromisoformat(one["ends_on"]),
                one["expected"],
                one["observed"],
            )
            for one in content["horizons"]
        )
        return cls(content["factor"], content["offset"], content["prior_spread"], horizons)


def recalibrate(
    hazards: Hazards,
    matrix: Floats,
    outcome: Mapping[str, NDArray[Any]],
    customer: NDArray[np.int64],
    account: NDArray[np.int64],
    as_of: date,
    every: int,
) -> Recalibration:
    """Estimate the factor of the hazards from panel rows.

    Parameters
    ----------
    hazards : Hazards
    matrix : array of shape (rows, columns)
        Numeric panel rows of accounts that had not given notice.
    outcome : mapping
        Arguments of `stack` except ``ends``.
    customer, account : array of shape (rows,)
        Integer codes.
    as_of : date
        The day up to which outcomes are known.
    every : int
        Days between snapshots. The row used for a horizon is the account's latest within ``every``
        days before it begins.

    Raises
    ------
    ModelError
        If no horizon with expected churn has been completed.
    """
    horizon = int(hazards.ends[-1])
    observed = np.asarray(outcome["observed"], dtype=float)
    found: list[tuple[CompletedHorizon, _Exposure]] = []
    for number in range(1, int(observed.max(initial=0)) // horizon + 1):
        mine = _latest(observed, account, number * horizon, every)
        exposure = _Exposure.of(hazards, matrix, outcome, mine)
        if exposure.expected > 0:
            begins = as_of - timedelta(days=number * horizon)
            ends = begins + timedelta(days=horizon)
            one = CompletedHorizon(begins, ends, exposure.expected, len(exposure.churned))
            found.append((one, exposure))
    if not found:
        raise ModelError(
            f"no horizon of {horizon} days has been completed by {as_of}",
            "Give a panel with a longer history, or a model with a shorter horizon",
        )
    horizons = [one for one, _ in found]
    churned = np.concatenate([exposure.churned for _, exposure in found])
    overlap = max(len(churned) / max(len(np.unique(customer[churned])), 1), 1.0)
    spread = prior_spread(horizons, overlap)
    factor = shrunken_factor(horizons[0], spread, overlap)
    return Recalibration(factor, _offset(found[0][1].hazard, factor), spread, tuple(horizons))


@dataclass(frozen=True, eq=False)
class _Exposure:
    """Hazards of the steps at risk (steps,) of some rows, and the rows that churned."""

    hazard: Floats
    churned: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        hazards: Hazards,
        matrix: Floats,
        outcome: Mapping[str, NDArray[Any]],
        rows: NDArray[np.int64],
    ) -> _Exposure:
        mine = {name: np.asarray(values)[rows] for name, values in outcome.items()}
        steps = stack(**mine, ends=hazards.ends)
        hazard = hazards.step_hazards(matrix[rows])[0]
        return cls(hazard[steps.row, steps.step], rows[steps.row[steps.churned]])

    @property
    def expected(self) -> float:
        """Expected number of churns."""
        return float(self.hazard.sum())


def _latest(
    observed: Floats, account: NDArray[np.int64], days: int, every: int
) -> NDArray[np.int64]:
    """Return each account's latest row that was followed for ``days`` to ``days + every`` days."""
    rows = np.flatnonzero((observed >= days) & (observed < days + every))
    rows = rows[np.lexsort((observed[rows], account[rows]))]
    latest: NDArray[np.int64] = rows[np.unique(account[rows], return_index=True)[1]]
    return latest


def prior_spread(horizons: Sequence[CompletedHorizon], overlap: float = 1.0) -> float:
    """Return the standard deviation of the factor's prior.

    Counts of 40, 40 and 80 with 50 expected differ by more than chance:

    >>> day = date(2024, 1, 1)
    >>> past = [CompletedHorizon(day, day, 50.0, observed) for observed in (80, 40, 40)]
    >>> round(prior_spread(past), 3)
    0.356
    """
    if len(horizons) < MIN_HORIZONS:
        return USUAL_SPREAD
    expected, observed = (
        np.array([getattr(one, name) for one in horizons], dtype=float)
        for name in ("expected", "observed")
    )
    beyond_chance = ((observed - expected) ** 2 - overlap * expected).sum()
    return float(np.sqrt(max(beyond_chance, 0.0) / (expected**2).sum()))


def shrunken_factor(horizon: CompletedHorizon, spread: float, overlap: float = 1.0) -> float:
    """Return the posterior mean of the factor, given the standard deviation of its prior.

    >>> day = date(2024, 1, 1)
    >>> round(shrunken_factor(CompletedHorizon(day, day, 50.0, 80), 0.35), 3)
    1.516
    """
    if not spread:
        return 1.0
    shape = spread**-2
    return (shape + horizon.observed / overlap) / (shape + horizon.expected / overlap)


def _offset(hazard: Floats, factor: float) -> float:
    """Return the offset of the log-odds that multiplies the sum of the hazards by ``factor``."""
    from scipy.optimize import brentq
    from scipy.special import expit

    from leadsignal.model.stacked_model import log_odds

    odds, aim = log_odds(hazard), factor * hazard.sum()
    low, high = (expit(odds + sign * MAX_OFFSET).sum() for sign in (-1, 1))
    if not low < aim < high:
        return MAX_OFFSET if aim >= high else -MAX_OFFSET
    return float(brentq(lambda offset: expit(odds + offset).sum() - aim, -MAX_OFFSET, MAX_OFFSET))
