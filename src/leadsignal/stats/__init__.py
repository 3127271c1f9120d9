"""Statistics that several packages share: estimates with intervals, proportions, shrinkage."""

from leadsignal.stats.estimates import ClusteredEstimate, Estimate
from leadsignal.stats.multiple_testing import holm
from leadsignal.stats.proportions import Share, wilson_limits
from leadsignal.stats.row_estimates import RowEstimate, auc_of, mean_of
from leadsignal.stats.shrinkage import shrunken_means, shrunken_rates

__all__ = [
    "ClusteredEstimate",
    "Estimate",
    "RowEstimate",
    "Share",
    "auc_of",
    "holm",
    "mean_of",
    "shrunken_means",
    "shrunken_rates",
    "wilson_limits",
]
