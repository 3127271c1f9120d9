"""The lines of a printed comparison: a table with its picture, and retention after a year."""

from __future__ import annotations

from collections.abc import Sequence

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


def main_lines(
    contrasts: Sequence[Contrast], groups: SmallGroups | None, landmark: int
) -> list[str]:
    """Return the table that is printed below the verdict, each row with its interval as a line."""
    if not contrasts:
        return [] if groups is None else _group_lines(groups)
    chosen = main_contrasts(contrasts)
    several = len({c.cohort for c in chosen}) > 1
    names = [f"{c.cohort}: " if several else "" for c in chosen]
    labels = [
        name + method_words(c, landmark) for name, c in zip(names, chosen, strict=True)
    ]  # fmt: skip
    usual = [c.method == "naive" for c in chosen]
    ratios = [None if c.suppressed else c.hazard_ratio for c in chosen]
    few = [f"fewer than {MIN_ACCOUNTS} accounts" if c.suppressed else "" for c in chosen]
    return _table("counted by", labels, ratios, usual, few)


def _group_lines(groups: SmallGroups) -> list[str]:
    """Return the groups that differ most from the average."""
    public = [g for g in groups.groups if g.accounts >= MIN_ACCOUNTS]
    apart = sorted(public, key=lambda g: -max(g.rate, 1 / g.rate))[:MAX_ROWS]
    ratios = [Estimate(g.rate, g.low, g.high, float("nan")) for g in apart]
    names = [f"{g.name} ({g.ended} of {g.accounts} left)" for g in apart]
    return _table(
        "farthest from the average", names, ratios, [False] * len(apart), [""] * len(apart)
    )


def _table(
    head: str,
    labels: Sequence[str],
    ratios: Sequence[Estimate | None],
    usual: Sequence[bool],
    instead: Sequence[str],
) -> list[str]:
    axis, *lines = ratio_lines(list(zip(ratios, usual, strict=True)))
    rows = [(head, "accounts leave", "hazard ratio", axis)]
    for label, ratio, line, few in zip(labels, ratios, lines, instead, strict=True):
        words = few or "not known" if ratio is None else how_often(ratio.estimate)
        rows.append((label, words, "" if ratio is None else in_digits(ratio), line))
    return aligned(rows)


def retention_line(cohorts: DatedCohorts, contrasts: Sequence[Contrast]) -> list[str]:
    """Return the share still there after a year, corrected and as the usual chart says."""
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
