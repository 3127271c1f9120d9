"""Behaviours that are (almost) always done together: the data cannot tell which one matters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leadsignal.success_analysis.discovery.evidence import Exposures
from leadsignal.survival.inputs import Bools, Floats

MIN_CORRELATION = 0.95
"""Correlation of two states from which on they cannot be distinguished.

One then explains 90 % of the other: given it, the standard error is more than three times as large.
"""


@dataclass(frozen=True)
class Twin:
    """A behaviour whose adoption cannot be distinguished from that of another.

    Parameters
    ----------
    behavior : str
        Name of the behaviour.
    together : float
        Share of the account-days at risk with either of the two that have both.
    """

    behavior: str
    together: float


def twins_of(exposures: Exposures, place: int) -> tuple[Twin, ...]:
    """Return the other behaviours that a candidate cannot be distinguished from.

    A behaviour is one if the state under any of its definitions has a correlation of at least
    ``MIN_CORRELATION`` with the candidate's, over the rows at risk.
    """
    row, own = exposures.at_risk.row, exposures.candidates[place].behavior
    mine = exposures.states[row, place]
    possible = _highest_correlations(exposures.share, place) >= MIN_CORRELATION
    found = []
    for behavior in exposures.behaviors:
        places = exposures.of(behavior)
        places = places[possible[places]]
        if behavior == own or not len(places):
            continue
        theirs = exposures.states[row[:, None], places]
        correlations = _correlations(mine, theirs)
        best = int(correlations.argmax())
        if correlations[best] >= MIN_CORRELATION:
            other = theirs[:, best]
            found.append(Twin(behavior, float((mine & other).sum() / (mine | other).sum())))
    return tuple(found)


def _highest_correlations(share: Floats, place: int) -> Floats:
    """Return the highest correlation that states of these shares can have with one of them."""
    low, high = np.minimum(share, share[place]), np.maximum(share, share[place])
    found: Floats = np.sqrt(low * (1 - high) / (high * (1 - low)))
    return found


def _correlations(state: Bools, others: Bools) -> Floats:
    """Return the correlation of a state (n) with each of the others (n × k)."""
    n, a, b = len(state), float(state.sum()), others.sum(axis=0).astype(np.float64)
    both = others[state].sum(axis=0)
    found: Floats = (n * both - a * b) / np.sqrt(a * (n - a) * b * (n - b))
    return found
