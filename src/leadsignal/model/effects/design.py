"""The design of one Cox model: columns, risk intervals, strata and penalty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leadsignal.model.effects.columns import Column
from leadsignal.model.effects.cox_design import CoxDesign
from leadsignal.model.effects.standard_errors import with_careful_errors
from leadsignal.survival.cox import CoxFit, fit_cox
from leadsignal.survival.inputs import Bools, Labels


@dataclass(frozen=True, eq=False)
class Design:
    """The columns of one Cox model with their risk intervals, ready to fit."""

    decisions: CoxDesign
    columns: tuple[Column, ...]
    strata: Labels | None
    ridge: float

    def fit(self, event: Bools | None = None) -> CoxFit:
        """Fit the columns to the churns that count, or to another ``event`` of the same rows."""
        fit = fit_cox(
            np.column_stack([column.coded for column in self.columns]),
            self.decisions.stop,
            self.decisions.event if event is None else event,
            start=self.decisions.start,
            strata=None if self.strata is None else self.strata.codes,
            cluster=self.decisions.customer,
            ridge=self.ridge,
            names=[column.name for column in self.columns],
        )
        return with_careful_errors(fit)
