"""The same comparison within segments of accounts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.cohorts.side_by_side import MAX_LEVELS, compare_dated
from leadsignal.errors import ModelError

if TYPE_CHECKING:
    from leadsignal.cohorts.comparison import Comparison

MIN_SEGMENT = 30
"""Minimum number of accounts in a segment that is compared."""
METHODS = ("naive", "time_dependent")
"""Methods that are computed within segments."""


@dataclass(frozen=True)
class Segment:
    """Accounts with one value of an attribute at their start, and their comparison."""

    attribute: str
    value: str
    comparison: Comparison

    @property
    def title(self) -> str:
        """The attribute and its value."""
        return f"{self.attribute.replace('_', ' ')}: {self.value}"


def compare_segments(comparison: Comparison) -> Iterator[Segment]:
    """Yield a comparison within each value of every attribute with two to six values.

    Values with fewer than 30 accounts, or with nothing to compare, are skipped. So are numeric
    attributes and the compared attribute itself.
    """
    dated = comparison.dated
    if not comparison.contrasts:
        return
    for attribute, values in dated.covariates.items():
        if values.dtype.kind not in "OUST" or attribute in (comparison.by, dated.name):
            continue
        texts = values.astype(str)
        found = np.unique(texts[[value == value and value is not None for value in values]])
        if not 2 <= len(found) <= MAX_LEVELS:
            continue
        for value in found.tolist():
            inside = texts == value
            if inside.sum() < MIN_SEGMENT:
                continue
            try:
                yield Segment(
                    attribute,
                    value,
                    compare_dated(dated.chosen(inside).with_levels_present(), methods=METHODS),
                )
            except ModelError:
                continue
