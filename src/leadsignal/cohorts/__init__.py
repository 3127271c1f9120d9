"""Cohort comparisons that stay true: the naive number, the corrected ones, and the difference."""

from leadsignal.cohorts.comparison import Cohort, Comparison, Contrast
from leadsignal.cohorts.dated import DatedCohorts
from leadsignal.cohorts.from_tables import dated_cohorts
from leadsignal.cohorts.overview import (
    Overview,
    compare_all,
    compare_cohorts,
    comparison_names,
    process_effect,
)
from leadsignal.cohorts.side_by_side import compare_dated
from leadsignal.cohorts.small_groups import SmallGroups, shrink

__all__ = [
    "Cohort",
    "Comparison",
    "Contrast",
    "DatedCohorts",
    "Overview",
    "SmallGroups",
    "compare_all",
    "compare_cohorts",
    "compare_dated",
    "comparison_names",
    "dated_cohorts",
    "process_effect",
    "shrink",
]
