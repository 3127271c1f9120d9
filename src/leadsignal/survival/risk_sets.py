"""Risk sets: which rows are at risk at each distinct event time of a stratum.

An event group is one distinct event time in one stratum. Row i is at risk in the groups ``lower[i]
<= g < upper[i]``, the ones with ``start < time <= stop`` in its stratum. Sums over risk sets then
cost two entries per row and one cumulative sum over groups, from the last group backwards, so that
the small risk sets of late times are summed first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from leadsignal.survival.inputs import Bools, Floats, Ints, Labels, sums_by_code


@dataclass(frozen=True, eq=False)
class RiskSets:
    """Event groups and the range of groups in which each row is at risk.

    Attributes: ``time`` and ``stratum`` (G) of each group; ``first`` (strata + 1), where each
    stratum's groups begin; ``lower`` and ``upper`` (n); ``ended``, the rows with an event;
    ``deaths`` (G), the number of events in each group.
    """

    time: Floats
    stratum: Ints
    first: Ints
    lower: Ints
    upper: Ints
    ended: Ints
    deaths: Ints

    @classmethod
    def of(
        cls, stop: Floats, event: Bools, start: Floats | None = None, strata: Labels | None = None
    ) -> RiskSets:
        """Return the event groups and the range of groups of every row."""
        if strata is None or len(strata) == 1:
            time, lower, upper = _times_and_ranks(stop, event, start)
            stratum = np.zeros(len(time), dtype=np.intp)
            first = np.array([0, len(time)], dtype=np.intp)
        else:
            time, stratum, lower, upper = _ranks_by_stratum(stop, event, start, strata)
            first = np.searchsorted(stratum, np.arange(len(strata) + 1)).astype(np.intp)
        ended = np.flatnonzero(event)
        deaths = np.bincount(upper[ended] - 1, minlength=len(time)).astype(np.intp)
        return cls(time, stratum, first, lower, upper, ended, deaths)

    def __len__(self) -> int:
        return len(self.time)

    @cached_property
    def events(self) -> Ints:
        """The rows with an event in the order of their groups."""
        group = self.upper[self.ended] - 1
        # For short integers numpy's stable sort is a radix sort, which is fast in any order.
        short = group.astype(np.uint16) if len(self) < 2**16 else group
        return self.ended[np.argsort(short, kind="stable")]

    @cached_property
    def group(self) -> Ints:
        """Group of each row in ``events``."""
        return np.repeat(np.arange(len(self)), self.deaths)

    @cached_property
    def offsets(self) -> Ints:
        """Where each group's rows begin in ``events`` (G + 1)."""
        return np.concatenate(([0], np.cumsum(self.deaths))).astype(np.intp)

    def at_risk(self, values: Floats) -> Floats:
        """Return, for each group, the sum of ``values`` (n) over the rows at risk."""
        size = len(self) + 1
        change = sums_by_code(self.upper, values, size)
        if self.lower.strides != (0,):  # else all are at risk from the first group on
            change -= sums_by_code(self.lower, values, size)
        return from_the_last(change[1:])

    def at_events(self, values: Floats) -> Floats:
        """Return, for each group, the sum of ``values`` (n) over its event rows."""
        return sums_by_code(self.upper[self.ended] - 1, values[self.ended], len(self))

    def over_rows(self, values: Floats) -> Floats:
        """Return, for each row, the sum of ``values`` (G or G × k) over the row's groups."""
        running = from_the_first(values)
        return running[self.upper] - running[self.lower]


def from_the_last(values: Floats) -> Floats:
    """Return the sums of ``values`` from each position to the end (along the first axis)."""
    return np.cumsum(values[::-1], axis=0)[::-1]


def from_the_first(values: Floats) -> Floats:
    """Return the sums of ``values`` before each position; one element longer than ``values``."""
    running = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, out=running[1:])
    return running


def _times_and_ranks(stop: Floats, event: Bools, start: Floats | None) -> tuple[Floats, Ints, Ints]:
    """Return the distinct times of events, and the ranks of all rows among them.

    Of whole numbers of a short range (days, months) a table of the range answers, without sorting.
    """
    whole = _whole_from_the_lowest(stop) if start is None else None
    if whole is None:
        time = np.unique(stop[event])
        return time, *_ranks(time, stop, start)
    seen = np.bincount(whole[event], minlength=int(whole.max()) + 1) > 0
    time = np.flatnonzero(seen) + stop.min()
    upper: Ints = np.cumsum(seen, dtype=np.intp)[whole]
    return time, _from_the_beginning(len(stop)), upper


def _from_the_beginning(rows: int) -> Ints:
    """Return the rank 0 for each row, as one number that is not copied."""
    return np.broadcast_to(np.intp(0), rows)


def _ranks(time: Floats, stop: Floats, start: Floats | None) -> tuple[Ints, Ints]:
    upper = _times_through(time, stop)
    if start is None:
        return _from_the_beginning(len(stop)), upper
    # In a panel most rows begin where the previous row ended, so the rank is already known.
    lower = np.empty_like(upper)
    lower[1:] = upper[:-1]
    fresh = np.concatenate(([True], start[1:] != stop[:-1]))
    lower[fresh] = _times_through(time, start[fresh])
    return lower, upper


def _times_through(time: Floats, moments: Floats) -> Ints:
    """Return the number of ``time`` values at or before each moment.

    For integers in a short range (days, months), a lookup table is used; it is ten times faster
    than a binary search per row.
    """
    whole = _whole_from_the_lowest(moments) if len(time) else None
    if whole is None:
        return np.searchsorted(time, moments, side="right")
    low, high = moments.min(), moments.max()
    table = np.searchsorted(time, np.arange(low, high + 1), side="right")
    return table[whole]


def _whole_from_the_lowest(moments: Floats) -> Ints | None:
    """Return whole numbers less the lowest of them; None for others, few, or a wide range."""
    if len(moments) < 10_000:
        return None
    low = moments.min()
    if moments.max() - low >= len(moments):
        return None
    whole = moments.astype(np.intp)
    if not bool((whole == moments).all()):
        return None
    whole -= int(low)
    return whole


def _ranks_by_stratum(
    stop: Floats, event: Bools, start: Floats | None, strata: Labels
) -> tuple[Floats, Ints, Ints, Ints]:
    time = np.unique(stop[event])
    lower, upper = _ranks(time, stop, start)
    width = len(time) + 1
    base = strata.codes * width
    groups = np.unique((base + upper - 1)[event])
    return (
        time[groups % width],
        groups // width,
        np.searchsorted(groups, base + lower),
        np.searchsorted(groups, base + upper),
    )
