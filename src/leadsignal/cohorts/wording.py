"""Comparisons in words: the verdict, and what ``print`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from leadsignal.cohorts.comparison import FEWEST, TITLES, Comparison, Contrast
from leadsignal.cohorts.numbers import Number

if TYPE_CHECKING:
    from leadsignal.cohorts.comparison import Cohort

CORRECTED = ("time_dependent", "target_trial", "landmark")


def verdict_of(comparison: Comparison) -> str:
    """Return what may be said of each cohort, and what may not."""
    said = []
    for cohort in dict.fromkeys(contrast.cohort for contrast in comparison.contrasts):
        corrected = best_of(comparison, cohort)
        if corrected is None or corrected.hazard_ratio is None:
            said.append(f"{cohort}: too few accounts or churns to say anything.")
        else:
            said.append(_said(comparison, cohort, corrected))
    if not said:
        return "Read the shrunken rates of the groups; no two of them are compared one by one."
    return "\n".join(said)


def best_of(comparison: Comparison, cohort: str) -> Contrast | None:
    """Return the corrected contrast to quote: day by day if there, adjusted if there."""
    for method in CORRECTED:
        for adjusted in (True, False):
            found = comparison.contrast(method, cohort, adjusted=adjusted)
            if found is not None:
                return found
    return None


def _said(comparison: Comparison, cohort: str, best: Contrast) -> str:
    ratio = best.hazard_ratio
    naive = comparison.contrast("naive", cohort)
    if ratio is None:
        return ""
    how = "" if not best.adjusted_for else f", adjusted for {', '.join(best.adjusted_for)}"
    told = f"{cohort} against {best.against}: churn at {ratio} times the rate{how}"
    told += _finding(ratio) + "."
    if naive is None or naive.hazard_ratio is None:
        return told
    told += f" The naive chart says {naive.hazard_ratio}."
    raw = comparison.contrast(best.method, cohort)
    return told + _artefact(naive.hazard_ratio, raw or best)


def _finding(ratio: Number) -> str:
    if not ratio.excludes(1.0):
        return ", which no difference would also give"
    return ", fewer leave" if ratio.estimate < 1 else ", more leave"


def _artefact(naive: Number, corrected: Contrast) -> str:
    shrinkage, ratio = corrected.shrinkage, corrected.hazard_ratio
    if shrinkage is None or ratio is None or corrected.shrinkage_of != "hazard ratio":
        return ""
    if not shrinkage.excludes(1.0):
        return " The two do not differ by more than chance."
    if not ratio.excludes(1.0):
        return (
            " The naive result is an artefact of immortal time: it is off by a factor of"
            f" {shrinkage}."
        )
    share = 1 - np.log(ratio.estimate) / np.log(naive.estimate)
    part = f"{share:.0%} of it" if 0 < share < 1 else "its direction"
    return (
        f" {part[0].upper() + part[1:]} is an artefact of immortal time: the naive result is off by"
        f" a factor of {shrinkage}."
    )


def printed(comparison: Comparison) -> str:
    """Return the whole comparison as text."""
    lines = [f"Cohorts by {comparison.by}"]
    if comparison.contrasts:
        lines[0] += (
            f": landmark day {comparison.landmark}, horizon {comparison.horizon:g} days since"
            f" {comparison.dated.since}"
        )
    lines += [_cohort_line(cohort) for cohort in comparison.cohorts[:12]]
    if comparison.contrasts:
        lines += ["", *_contrast_lines(comparison)]
    if comparison.groups is not None:
        lines += ["", repr(comparison.groups)]
    lines += ["", comparison.verdict, "", *(f"- {caution}" for caution in comparison.cautions)]
    return "\n".join(lines)


def _cohort_line(cohort: Cohort) -> str:
    if cohort.suppressed:
        return f"  {cohort.name}: fewer than {FEWEST} accounts"
    parts = [
        f"{cohort.accounts:,} accounts",
        f"{cohort.ended:,} churns in {cohort.account_days:,.0f} account-days",
        f"{cohort.rate:.1f} per 1,000 account-months",
    ]
    for months, number in (("12", cohort.retention_12m), ("24", cohort.retention_24m)):
        if number is not None:
            parts.append(f"{number.estimate:.0%} there at {months} months")
    return f"  {cohort.name}: {', '.join(parts)}"


def _contrast_lines(comparison: Comparison) -> list[str]:
    head = ("cohort", "method", "churn ratio", "mean days more", "times as long", "naive off by")
    rows: list[tuple[str, ...]] = [head]
    for c in comparison.contrasts:
        method = TITLES[c.method] + (", adjusted" if c.adjusted_for else "")
        numbers = (c.hazard_ratio, c.rmst_days, c.rmst_ratio, c.shrinkage)
        shown = [f"fewer than {FEWEST}"] * 4 if c.suppressed else [_shown(n) for n in numbers]
        rows.append((c.cohort, method, *shown))
    widths = [max(len(row[j]) for row in rows) for j in range(len(head))]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _shown(number: Number | None) -> str:
    return "" if number is None else str(number)
