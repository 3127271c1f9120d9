"""Comparisons in words: the verdict, and what ``print`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from leadsignal.cohorts.comparison import CORRECTED, FEWEST, TITLES, Comparison, Contrast, best_of
from leadsignal.stats.estimates import Estimate

if TYPE_CHECKING:
    from leadsignal.cohorts.comparison import Cohort


def verdict_of(comparison: Comparison) -> str:
    """Return what may be said of each cohort, and what may not."""
    said = []
    for cohort in dict.fromkeys(contrast.cohort for contrast in comparison.contrasts):
        corrected = best_of(comparison.contrasts, cohort)
        if corrected is None or corrected.hazard_ratio is None:
            said.append(f"{cohort}: too few accounts or churns to say anything.")
        else:
            said.append(_said(comparison, corrected, corrected.hazard_ratio))
    if not said:
        return "Read the shrunken rates of the groups; no two of them are compared one by one."
    return "\n".join(said)


def _said(comparison: Comparison, best: Contrast, ratio: Estimate) -> str:
    how = "" if not best.adjusted_for else f", adjusted for {', '.join(best.adjusted_for)}"
    told = f"{best.cohort} against {best.against}: churn at {ratio} times the rate{how}"
    other = _opposite(comparison, best, ratio)
    told += f"{_finding(ratio, other)}."
    naive = comparison.contrast("naive", best.cohort)
    if naive is None or naive.hazard_ratio is None:
        return told
    raw = comparison.contrast(best.method, best.cohort)
    if best.adjusted_for and raw is not None and raw.hazard_ratio is not None:
        told += f" Not adjusted it is {raw.hazard_ratio}."
    told += f" The naive chart says {naive.hazard_ratio}."
    if other or raw is None or raw.hazard_ratio is None or raw.shrinkage_of != "hazard ratio":
        return told
    return f"{told} {naive_beside(naive.hazard_ratio, raw.hazard_ratio, raw.shrinkage)}".rstrip()


def _opposite(comparison: Comparison, best: Contrast, ratio: Estimate) -> Contrast | None:
    """Return a corrected contrast that proves the other direction, or None."""
    proven = [
        (c, c.hazard_ratio.estimate < 1)
        for c in comparison.contrasts
        if (c.cohort, c.adjusted_for) == (best.cohort, best.adjusted_for)
        and c.method in CORRECTED
        and c.hazard_ratio
        and c.hazard_ratio.excludes(1.0)
    ]
    fewer = ratio.estimate < 1
    return next((c for c, other in proven if ratio.excludes(1.0) and other != fewer), None)


def _finding(ratio: Estimate, other: Contrast | None) -> str:
    if not ratio.excludes(1.0):
        return ", which no difference would also give"
    if other is not None:
        said = f"{TITLES[other.method]} it is {other.hazard_ratio}"
        return f", but {said}: the corrected methods disagree, and no direction is proven"
    return ", fewer leave" if ratio.estimate < 1 else ", more leave"


def naive_beside(naive: Estimate, corrected: Estimate, off_by: Estimate | None) -> str:
    """Return what the naive hazard ratio owes to the way of counting, from the numbers alone.

    ``off_by`` is naive over corrected. Immortal time can only make a ratio smaller: days in which
    nobody could leave are counted as days of the cohort. A larger one comes of days that are
    counted in a cohort which was left before or entered later.
    """
    if off_by is None or not _are_ratios(naive, corrected, off_by):
        return ""
    if not off_by.excludes(1.0):
        return "The two do not differ by more than chance."
    cause = "immortal time" if off_by.estimate < 1 else "days counted in the wrong cohort"
    factor = f"the naive result is off by a factor of {off_by}"
    proven, n, c = corrected.excludes(1.0), np.log(naive.estimate), np.log(corrected.estimate)
    if not naive.excludes(1.0):
        hides = f"The naive chart hides it behind {cause}" if proven else f"Because of {cause}"
        return f"{hides}{':' if proven else ''} {factor}."
    if n * c > 0 and abs(c) >= abs(n):
        nearer = "understates it" if proven else "is nearer to no difference"
        return f"The naive chart {nearer}, because of {cause}: {factor}."
    if n * c <= 0:
        what = "Its direction" if proven else "The naive result"
        return f"{what} is an artefact of {cause}: {factor}."
    left = "" if proven else "; what is left may be chance"
    return f"{_percent(1 - c / n)} of it is an artefact of {cause}: {factor}{left}."


def _are_ratios(*numbers: Estimate) -> bool:
    """Whether there is a finite ratio with an interval in each."""
    return all(
        0 < n.estimate < np.inf and not np.isnan(n.low) and not np.isnan(n.high) for n in numbers
    )


def _percent(share: float) -> str:
    """Return a share as a percentage, never rounded to all or to nothing."""
    return f"{min(max(share, 0.01), 0.99):.0%}"


def printed(comparison: Comparison) -> str:
    """Return the whole comparison as text."""
    lines = [f"Cohorts by {comparison.by}, until the end was known"]
    if comparison.contrasts:
        lines[0] += (
            f": landmark day {comparison.landmark}, horizon {comparison.horizon:g} days since"
            f" {comparison.dated.since}"
        )
    lines += [_cohort_line(cohort, comparison) for cohort in comparison.cohorts[:12]]
    if comparison.contrasts:
        lines += ["", *_contrast_lines(comparison)]
    if comparison.groups is not None:
        lines += ["", repr(comparison.groups)]
    lines += ["", comparison.verdict, "", *(f"- {caution}" for caution in comparison.cautions)]
    return "\n".join(lines)


def _cohort_line(cohort: Cohort, comparison: Comparison) -> str:
    if cohort.suppressed:
        return f"  {cohort.name}: fewer than {FEWEST} accounts"
    parts = [
        f"{cohort.accounts:,} accounts",
        f"{cohort.ended:,} churns in {cohort.account_days:,.0f} account-days",
    ]
    if cohort.rate is not None:
        parts.append(f"{cohort.rate:.1f} per 1,000 account-months{_at_tenure(cohort, comparison)}")
    read = [("12", cohort.retention_12m), ("24", cohort.retention_24m)]
    there = [f"{n.estimate:.0%} there at {months} months" for months, n in read if n is not None]
    if there:
        parts.append(f"{' and '.join(there)} ({TITLES[cohort.curve]})")
    return f"  {cohort.name}: {', '.join(parts)}"


def _at_tenure(cohort: Cohort, comparison: Comparison) -> str:
    if not comparison.contrasts:
        return " at the tenure of all"
    first = comparison.cohorts[0].name
    return "" if cohort.name == first else f" at the tenure of {first}"


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


def _shown(number: Estimate | None) -> str:
    return "" if number is None else str(number)
