"""Hazard ratios with their intervals, plotted in ASCII characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite, log

from leadsignal.stats.estimates import Estimate

WIDTH = 30
"""Width of a line, in characters."""
LIMITS = (0.05, 20.0)
"""Hazard ratios at which the axis ends."""
TICKS = ((0.05, "1/20"), (0.1, "1/10"), (0.25, "1/4"), (0.5, "1/2"), (1.0, "same"), (2.0, "x2"),
         (4.0, "x4"), (10.0, "x10"), (20.0, "x20"))  # fmt: skip


def ratio_lines(ratios: Sequence[tuple[Estimate | None, bool]]) -> list[str]:
    """Return the axis, then a line per ratio; the flag marks those of the usual chart.

    >>> lines = ratio_lines([(Estimate(0.5, 0.25, 1.0, 0.05), False), (None, True)])
    >>> lines[1].strip(" "), lines[2].strip(" ")
    ('--------------*-------------|', '|')
    """
    values = [
        min(max(value, LIMITS[0]), LIMITS[1])
        for ratio, _ in ratios
        if ratio is not None
        for value in (ratio.estimate, ratio.low, ratio.high)
        if isfinite(value)
    ]
    low, high = log(min([*values, 0.5])), log(max([*values, 1.0])) + 0.05

    def at(value: float) -> int:
        inside = min(max(log(min(max(value, LIMITS[0]), LIMITS[1])), low), high)
        return round((inside - low) / (high - low) * (WIDTH - 1))

    return [_axis(at, low, high), *(_line(ratio, usual, at) for ratio, usual in ratios)]


def _axis(at: Callable[[float], int], low: float, high: float) -> str:
    signs = [" "] * (WIDTH + 4)
    first = sorted(TICKS, key=lambda tick: tick[0] != 1.0)
    for value, words in first:
        begin = max(0, at(value) - len(words) // 2)
        taken = signs[max(0, begin - 2) : begin + len(words) + 2]
        if low <= log(value) <= high and not "".join(taken).strip():
            signs[begin : begin + len(words)] = words
    return "".join(signs).rstrip()


def _line(ratio: Estimate | None, usual: bool, at: Callable[[float], int]) -> str:
    signs = [" "] * WIDTH
    if ratio is not None and isfinite(ratio.estimate):
        for place in range(at(ratio.low), at(ratio.high) + 1):
            signs[place] = "-"
    signs[at(1.0)] = "|"
    if ratio is not None and isfinite(ratio.estimate):
        signs[at(ratio.estimate)] = "o" if usual else "*"
    return "".join(signs).rstrip()
