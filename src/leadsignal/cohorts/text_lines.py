"""The lines of a printed comparison: a table with intervals, and retention after a year."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from leadsignal.cohorts.contrasts import MIN_ACCOUNTS, Contrast
from leadsignal.cohorts.curves import YEARS, curve_frame
from leadsignal.cohorts.dated import DatedCohorts
from leadsignal.cohorts.small_groups import SmallGroups
from leadsignal.cohorts.text_chart import ratio_lines
from leadsignal.cohorts.verdict import MAX_ROWS, in_digits, main_contrasts, method_words
from leadsignal.cohorts.wording import aligned, share_there
from leadsignal.errors import ModelError
from leadsignal.phrases import how_often, share_text
from leadsignal.stats.estimates import Estimate

if TYPE_CHECKING:
    import pandas as pd


class Row(NamedTuple):
    """A line of the table below the verdict; ``usual`` marks the usual chart."""

    name: str
    ratio: Estimate | None
    usual: bool = False
    instead: str = "not known"

    @property
    def words(self) -> str:
        """How much less or more often accounts leave, or why that is not stated."""
        return self.instead if self.ratio is None else how_often(self.ratio.estimate)

    @property
    def digits(self) -> str:
        """The hazard ratio with its interval; empty if there is none."""
        return "" if self.ratio is None else in_digits(self.ratio)


def main_rows(
    contrasts: Sequence[Contrast], groups: SmallGroups | None, landmark: int
) -> tuple[str, list[Row]]:
    """Return the heading of the first column, and the rows of the table below the verdict."""
    if not contrasts:
        return "farthest from the average", [] if groups is None else _group_rows(groups)
    chosen = main_contrasts(contrasts)
    several = len({c.cohort for c in chosen}) > 1
    return "counted by", [
        Row(
            f"{c.cohort}: {method_words(c, landmark)}" if several else method_words(c, landmark),
            None if c.suppressed else c.hazard_ratio,
            c.method == "naive",
            f"fewer than {MIN_ACCOUNTS} accounts" if c.suppressed else "not known",
        )
        for c in chosen
    ]


def _group_rows(groups: SmallGroups) -> list[Row]:
    """Return the groups that differ most from the average."""
    public = [g for g in groups.groups if g.accounts >= MIN_ACCOUNTS]
    apart = sorted(public, key=lambda g: -max(g.rate, 1 / g.rate))[:MAX_ROWS]
    return [
        Row(
            f"{g.name} ({g.ended} of {g.accounts} left)",
            Estimate(g.rate, g.low, g.high, float("nan")),
        )
        for g in apart
    ]


def main_lines(head: str, rows: Sequence[Row]) -> list[str]:
    """Return the table printed below the verdict, with each row's interval drawn as a line."""
    if not rows:
        return []
    axis, *lines = ratio_lines([(row.ratio, row.usual) for row in rows])
    printed = [(head, "accounts leave", "hazard ratio", axis)]
    printed += [
        (row.name, row.words, row.digits, line) for row, line in zip(rows, lines, strict=True)
    ]
    return aligned(printed)


def main_frame(head: str, rows: Sequence[Row]) -> pd.DataFrame:
    """Return the same table for a notebook."""
    import pandas as pd

    columns = [head, "accounts leave", "hazard ratio"]
    return pd.DataFrame([(row.name, row.words, row.digits) for row in rows], columns=columns)


def retention_line(cohorts: DatedCohorts, contrasts: Sequence[Contrast]) -> list[str]:
    """Return the share still there after a year, corrected and by the usual chart."""
    try:
        found = share_there(curve_frame(cohorts, contrasts), YEARS[0])
    except ModelError:
        return []
    if not found:
        return []
    corrected = ", ".join(f"{name} {share_text(share)}" for name, share, _ in found)
    usual = ", ".join(share_text(share) for _, _, share in found)
    line = f"  still there after 12 months: {corrected} (the usual chart: {usual})"
    return ["", line]
