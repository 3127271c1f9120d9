"""Residuals of a Cox fit: martingale, Schoenfeld, score, and the influence of each row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from leadsignal.survival.array_results import ArrayResult
from leadsignal.survival.cox_estimate import CoxEstimate
from leadsignal.survival.inputs import Floats, Ints


@dataclass(frozen=True, eq=False, repr=False)
class Residuals(ArrayResult):
    """Residuals of a Cox fit.

    Attributes: ``names`` (p); ``martingale`` (n), events minus expected events of each row;
    ``score`` (n × p), each row's contribution to the score, times its weight; ``influence`` (n ×
    p), score @ cov, approximately the change in the coefficients when a row is left out;
    ``schoenfeld`` (d × p), covariates of each event minus their mean over those at risk, with
    ``event_row``, ``event_time`` and ``event_weight`` (d), ordered by stratum and time;
    ``scaled_schoenfeld`` (d × p), coef + d · cov @ schoenfeld, whose trend over time is that of the
    coefficient.

    Therneau & Grambsch (2000), chapters 4 and 6; ties as in their §4.6.
    """

    names: tuple[str, ...]
    martingale: Floats
    score: Floats
    influence: Floats
    schoenfeld: Floats
    scaled_schoenfeld: Floats
    event_row: Ints
    event_time: Floats
    event_weight: Floats

    def _table(self) -> pd.DataFrame:
        """Return one row per event: time and scaled Schoenfeld residuals by column."""
        frame = pd.DataFrame(self.scaled_schoenfeld, columns=list(self.names))
        frame.insert(0, "row", self.event_row)
        frame.insert(1, "time", self.event_time)
        return frame

    def __repr__(self) -> str:
        return (
            f"Cox residuals: {len(self.martingale):,} rows, {len(self.event_row):,} events, "
            f"columns {', '.join(self.names)}"
        )


def residuals_of(fit: CoxEstimate) -> Residuals:
    """Return the residuals of a fit."""
    likelihood, terms = fit.rows.likelihood, fit.terms
    sets = likelihood.sets
    weights = fit.rows.weights
    expected = likelihood.hazards(terms)
    martingale: Floats = fit.rows.event - np.divide(
        expected, weights, out=np.zeros_like(expected), where=weights > 0
    )
    score = np.empty((fit.n_rows, len(fit.coef)))
    for block, part in likelihood.score_residuals(terms):
        score[block] = part
    schoenfeld = likelihood.event_X - terms.mean_covariate[sets.group]
    return Residuals(
        names=fit.names,
        martingale=martingale,
        score=score,
        influence=score @ fit.cov,
        schoenfeld=schoenfeld,
        scaled_schoenfeld=fit.coef + len(sets.events) * schoenfeld @ fit.cov,
        event_row=sets.events,
        event_time=sets.time[sets.group],
        event_weight=weights[sets.events],
    )
