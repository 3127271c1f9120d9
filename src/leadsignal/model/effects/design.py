"""The design of one Cox model: columns, risk intervals, strata and penalty."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from leadsignal.model.effects.columns import Column
from leadsignal.model.effects.cox_design import CoxDesign
from leadsignal.survival.cox import CoxFit, fit_cox
from leadsignal.survival.inputs import Bools, Labels


def with_careful_errors(fit: CoxFit) -> CoxFit:
    """Return the fit with the larger of robust and model-based standard errors by column.

    The robust (sandwich) error by customer is right with many churns but too small with few. With
    43 churns and a state of 8 % of accounts, its 95 % intervals covered the truth 83 % of the time,
    and those of the larger error 95 %. Correlations are those of the sandwich.
    """
    if fit.robust_cov is None:
        return fit
    robust = np.sqrt(np.diag(fit.robust_cov))
    larger = np.maximum(robust, fit.se)
    scale = np.divide(larger, robust, out=np.ones_like(robust), where=robust > 0)
    cov = fit.robust_cov * scale[:, None] * scale
    np.fill_diagonal(cov, larger**2)
    return replace(fit, robust_cov=cov)


@dataclass(frozen=True, eq=False)
class Design:
    """The columns of one Cox model with their risk intervals, ready to fit."""

    decisions: CoxDesign
    columns: tuple[Column, ...]
    strata: Labels | None
    ridge: float

    def fit(self, event: Bools | None = None) -> CoxFit:
        """Fit the columns to the requested churns, or to another ``event`` in the same rows."""
        fit = fit_cox(
            np.column_stack([column.coded for column in self.columns]),
            self.decisions.stop,
            self.decisions.event if event is None else event,
            start=self.decisions.start,
            strata=None if self.strata is None else self.strata.codes,
            weights=self.decisions.weight,
            cluster=self.decisions.customer,
            ridge=self.ridge,
            names=[column.name for column in self.columns],
        )
        return with_careful_errors(fit)
