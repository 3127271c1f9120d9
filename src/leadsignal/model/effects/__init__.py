"""Why accounts leave: hazard ratios of the indicators, and how likely each cause is.

What the numbers mean, and what they do not, stands in ``docs/why.md``.
"""

from leadsignal.model.effects.incidence import CumulativeIncidence, cumulative_incidence
from leadsignal.model.effects.ratios import hazard_ratios
from leadsignal.model.effects.results import HazardRatios

__all__ = ["CumulativeIncidence", "HazardRatios", "cumulative_incidence", "hazard_ratios"]
