"""The other behaviours as negative controls of a candidate, compared in the same way.

An unseen quality of accounts that shows in everything they do makes every behaviour look as if it
kept them. What the other behaviours show on average is such a bias, and their spread its error.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from leadsignal.stats.estimates import Estimate
from leadsignal.stats.negative_controls import MIN_CONTROLS, EmpiricalNull, empirical_null
from leadsignal.stats.normal import normal_quantile
from leadsignal.success_analysis.discovery.estimates import Ratio
from leadsignal.success_analysis.discovery.evidence import Exposures
from leadsignal.success_analysis.discovery.matched import MIN_INFORMATION, Chances


def null_of(
    exposures: Exposures, chances: Chances, place: int, excluded: Collection[str]
) -> EmpiricalNull | None:
    """Return what the other behaviours show, each under the definition most alike in its share.

    Outcomes play no part in the choice. ``excluded`` behaviours are no controls; None with fewer
    than five.
    """
    row, share = exposures.at_risk.row, exposures.share
    own = exposures.candidates[place].behavior
    chosen = [
        exposures.of(behavior)[np.abs(share[exposures.of(behavior)] - share[place]).argmin()]
        for behavior in exposures.behaviors
        if behavior != own and behavior not in excluded
    ]
    if len(chosen) < MIN_CONTROLS:
        return None
    places = np.array(chosen, dtype=np.int64)
    score, information = chances.scores(exposures.states[row[:, None], places]).totals()
    known = information > MIN_INFORMATION
    if known.sum() < MIN_CONTROLS:
        return None
    return empirical_null(score[known] / information[known], 1 / np.sqrt(information[known]))


def calibrated(ratio: Ratio, null: EmpiricalNull | None) -> Estimate | None:
    """Return a hazard ratio less the bias of the controls."""
    if null is None:
        return None
    std_err = np.log(ratio.high / ratio.low) / (2 * normal_quantile(0.95))
    return null.calibrate(float(np.log(ratio.estimate)), float(std_err))
