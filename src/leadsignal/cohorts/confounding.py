"""Sensitivity to unmeasured confounding: E-values of hazard ratios."""

from __future__ import annotations

import numpy as np

from leadsignal.stats.estimates import Estimate


def e_value(hazard_ratio: Estimate) -> tuple[float, float]:
    """Return the E-values of a hazard ratio and of its confidence limit nearer to 1.

    The E-value is the risk ratio that a confounder must have with both exposure and churn to
    explain the association (VanderWeele & Ding 2017). A hazard ratio of a common outcome is first
    converted to a risk ratio by (1 − ½^√HR)/(1 − ½^√(1/HR)). The E-value of the limit is 1 if the
    interval contains 1.

    Examples
    --------
    >>> tuple(round(e, 2) for e in e_value(Estimate(0.5, 0.3, 0.8, 0.01)))
    (2.61, 1.61)
    """
    nearer = hazard_ratio.low if hazard_ratio.estimate > 1 else hazard_ratio.high
    limit = _e_value(nearer) if hazard_ratio.excludes(1.0) else 1.0
    return _e_value(hazard_ratio.estimate), limit


def _e_value(ratio: float) -> float:
    if not 0 < ratio < np.inf:
        return float("inf")
    risk = (1 - 0.5 ** np.sqrt(ratio)) / (1 - 0.5 ** np.sqrt(1 / ratio))
    risk = max(risk, 1 / risk)
    return float(risk + np.sqrt(risk * (risk - 1)))
