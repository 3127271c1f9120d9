"""Comparisons as text, Markdown, CSV and XLSX: findings, and numbers with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leadsignal.cohorts.contrasts import (
    CORRECTED,
    MIN_ACCOUNTS,
    TITLES,
    Cohort,
    Contrast,
    best_of,
    cohorts_of,
    find_contrast,
)
from leadsignal.errors import OptionError
from leadsignal.files.outputs import COMPARISON
from leadsignal.files.writing import atomic_write, safe_text
from leadsignal.formats import share_text
from leadsignal.results import write_rows
from leadsignal.stats import Estimate

QUANTITIES = ("hazard ratio", "difference in mean days", "ratio of mean days", "immortal-time bias")
"""Headings of the numbers of a contrast."""


def explanation_of(contrasts: Sequence[Contrast]) -> str:
    """Return what the contrasts show as ratios, with one paragraph per cohort."""
    paragraphs = []
    for cohort in cohorts_of(contrasts):
        corrected = best_of(contrasts, cohort)
        if corrected is None or corrected.hazard_ratio is None:
            paragraphs.append(f"{cohort}: too few accounts or churns to say anything.")
        else:
            paragraphs.append(_paragraph(contrasts, corrected, corrected.hazard_ratio))
    if not paragraphs:
        return "Read the shrunken rates of the groups; no two of them are compared one by one."
    return "\n".join(paragraphs)


def _paragraph(contrasts: Sequence[Contrast], best: Contrast, ratio: Estimate) -> str:
    text = f"{best.cohort} against {best.against}: churn at {ratio} times the rate"
    text += how_compared(best)
    other = opposite_of(contrasts, best, ratio)
    text += f"{_finding(ratio, other)}."
    naive = find_contrast(contrasts, "naive", best.cohort)
    if naive is None or naive.hazard_ratio is None:
        return text
    raw = find_contrast(contrasts, best.method, best.cohort)
    if best.adjusted_for and raw is not None and raw.hazard_ratio is not None:
        text += f" Not adjusted it is {raw.hazard_ratio}."
    text += f" The naive chart says {naive.hazard_ratio}."
    if other or raw is None or raw.hazard_ratio is None or raw.shrinkage_of != "hazard ratio":
        return text
    return f"{text} {naive_beside(naive.hazard_ratio, raw.hazard_ratio, raw.shrinkage)}".rstrip()


def how_compared(contrast: Contrast) -> str:
    """Return how cohorts were compared, as a part of a sentence: at renewals, adjusted, or both."""
    how = ", compared at renewals" if contrast.method == "at_renewals" else ""
    adjusted = ", ".join(contrast.adjusted_for)
    return f"{how}, adjusted for {adjusted}" if adjusted else how


def opposite_of(contrasts: Sequence[Contrast], best: Contrast, ratio: Estimate) -> Contrast | None:
    """Return a corrected contrast that is significant in the opposite direction, or None."""
    if not ratio.excludes(1.0):
        return None
    for c in contrasts:
        same = (c.cohort, c.adjusted_for) == (best.cohort, best.adjusted_for)
        if not same or c.method not in CORRECTED or c.hazard_ratio is None:
            continue
        other_side = (c.hazard_ratio.estimate < 1) != (ratio.estimate < 1)
        if other_side and c.hazard_ratio.excludes(1.0):
            return c
    return None


def _finding(ratio: Estimate, other: Contrast | None) -> str:
    if not ratio.excludes(1.0):
        return ", not proven"
    if other is not None:
        opposite = f"by the {TITLES[other.method]} method it is {other.hazard_ratio}"
        return f", but {opposite}: the corrected methods disagree, and no direction is proven"
    return ", fewer leave" if ratio.estimate < 1 else ", more leave"


@dataclass(frozen=True)
class NaiveBias:
    """The bias of a naive hazard ratio: its kind, its cause, and the share that is an artefact.

    ``kind`` is one of "chance" (no significant bias), "hidden" and "blurred" (the naive ratio is
    not significant, the corrected one is or is not), "understated" and "nearer" (the corrected
    ratio is farther from 1, significantly or not), "reversed" and "nothing" (it is on the other
    side of 1, significantly or not), or "part" (it is nearer to 1). ``share`` is kept within 1 % to
    99 %, so that it is never rounded to nothing or to all.
    """

    kind: str
    cause: str
    share: float = 0.0


def bias_of_naive(naive: Estimate, corrected: Estimate, bias: Estimate | None) -> NaiveBias | None:
    """Return how the naive hazard ratio is biased; None if that is unknown.

    ``bias`` is the naive divided by the corrected ratio. Immortal time can only lower a ratio: days
    on which no account could leave count as days of the cohort. A higher ratio comes from days
    counted in a cohort that the account had left or had not yet joined.
    """
    if bias is None or not _are_ratios(naive, corrected, bias):
        return None
    cause = "immortal time" if bias.estimate < 1 else "days counted in the wrong cohort"
    proven, n, c = corrected.excludes(1.0), np.log(naive.estimate), np.log(corrected.estimate)
    if not bias.excludes(1.0):
        return NaiveBias("chance", cause)
    if not naive.excludes(1.0):
        return NaiveBias("hidden" if proven else "blurred", cause)
    if n * c > 0 and abs(c) >= abs(n):
        return NaiveBias("understated" if proven else "nearer", cause)
    if n * c <= 0:
        return NaiveBias("reversed" if proven else "nothing", cause)
    return NaiveBias("part", cause, min(max(float(1 - c / n), 0.01), 0.99))


BIAS_TEXT = {
    "chance": "The two do not differ by more than chance.",
    "hidden": "The naive chart hides it behind {cause}: {factor}.",
    "blurred": "Because of {cause} {factor}.",
    "understated": "The naive chart understates it, because of {cause}: {factor}.",
    "nearer": "The naive chart is nearer to no difference, because of {cause}: {factor}.",
    "reversed": "Its direction is an artefact of {cause}: {factor}.",
    "nothing": "The naive result is an artefact of {cause}: {factor}.",
    "part": "{share} of it is an artefact of {cause}: {factor}{left}.",
}
"""Sentences on the naive ratio, by kind of bias."""


def naive_beside(naive: Estimate, corrected: Estimate, bias: Estimate | None) -> str:
    """Return a sentence on how much of the naive hazard ratio is bias."""
    found = bias_of_naive(naive, corrected, bias)
    if found is None:
        return ""
    factor = f"the naive result is off by a factor of {bias}"
    left = "" if corrected.excludes(1.0) else "; what is left may be chance"
    return BIAS_TEXT[found.kind].format(
        cause=found.cause, share=share_text(found.share), factor=factor, left=left
    )


def _are_ratios(*numbers: Estimate) -> bool:
    """Whether all numbers are finite ratios with an interval."""
    return all(
        0 < n.estimate < np.inf and not np.isnan(n.low) and not np.isnan(n.high) for n in numbers
    )


def cohort_line(cohort: Cohort, first: str | None) -> str:
    """Return a cohort as text; ``first`` is the reference, None if there are no contrasts."""
    if cohort.suppressed:
        return f"  {cohort.name}: fewer than {MIN_ACCOUNTS} accounts"
    parts = [
        f"{cohort.accounts:,} accounts",
        f"{cohort.ended:,} churns in {cohort.account_days:,.0f} account-days",
    ]
    if cohort.rate is not None:
        parts.append(f"{cohort.rate:.1f} per 1,000 account-months{_at_tenure(cohort, first)}")
    read = [("12", cohort.retention_12m), ("24", cohort.retention_24m)]
    there = [
        f"{share_text(n.estimate)} there at {months} months" for months, n in read if n is not None
    ]
    if there:
        parts.append(f"{' and '.join(there)} ({TITLES[cohort.curve]})")
    return f"  {cohort.name}: {', '.join(parts)}"


def _at_tenure(cohort: Cohort, first: str | None) -> str:
    if first is None:
        return " at the tenure of all"
    return "" if cohort.name == first else f" at the tenure of {first}"


def contrast_lines(contrasts: Sequence[Contrast]) -> list[str]:
    """Return the contrasts as a text table."""
    rows: list[tuple[str, ...]] = [("cohort", "method", *QUANTITIES)]
    for c in contrasts:
        method = TITLES[c.method] + (", adjusted" if c.adjusted_for else "")
        small = [f"fewer than {MIN_ACCOUNTS}"] * len(QUANTITIES)
        rows.append((c.cohort, method, *(small if c.suppressed else numbers_of(c))))
    return aligned(rows)


def numbers_of(contrast: Contrast) -> list[str]:
    """Return the numbers of a contrast as text, in the order of `QUANTITIES`."""
    numbers = (
        contrast.hazard_ratio, contrast.rmst_days, contrast.rmst_ratio, contrast.shrinkage
    )  # fmt: skip
    return ["" if number is None else str(number) for number in numbers]


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows of cells as indented lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def share_there(curves: pd.DataFrame, day: float) -> list[tuple[str, float, float]]:
    """Return cohort, corrected retention and usual retention on a day of `curve_frame`."""
    rows = curves[curves["day"] == day]
    columns = (rows["cohort"], rows["retention"], rows["usual"])
    return [(str(name), float(a), float(b)) for name, a, b in zip(*columns, strict=True)]


ENDINGS = (".md", ".csv", ".xlsx")
HEAD = ("cohort", "against", "method", "adjusted for", "accounts", *QUANTITIES)


def frame_of(contrasts: Sequence[Contrast]) -> pd.DataFrame:
    """Return one row per contrast, with each confidence limit in a column of its own."""
    return pd.DataFrame([_row(contrast) for contrast in contrasts])


def _row(contrast: Contrast) -> dict[str, Any]:
    row: dict[str, Any] = {
        "cohort": contrast.cohort,
        "against": contrast.against,
        "method": contrast.method,
        "adjusted_for": ", ".join(contrast.adjusted_for),
        "suppressed": contrast.suppressed,
    }
    inside, outside = (None, None) if contrast.suppressed else contrast.accounts
    row |= {"accounts": inside, "accounts_against": outside}
    for name in ("hazard_ratio", "rmst_days", "rmst_ratio", "shrinkage"):
        number = getattr(contrast, name)
        row[name] = None if number is None else number.estimate
        row[f"{name}_low"] = None if number is None else number.low
        row[f"{name}_high"] = None if number is None else number.high
    row["p"] = None if contrast.hazard_ratio is None else contrast.hazard_ratio.p
    row["e_value"] = None if contrast.e_value is None else contrast.e_value[0]
    row["from_day"], row["horizon_days"] = contrast.origin, contrast.horizon
    return row


def markdown_of(
    contrasts: Sequence[Contrast], verdict: str, cautions: Sequence[str], above: Sequence[str] = ()
) -> str:
    """Return lines ``above``, the contrasts as a Markdown table, the verdict and the cautions."""
    lines = [part for line in above for part in (_escaped(line), "")]
    lines += [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    for c in contrasts:
        # Text pasted into a spreadsheet can run as a formula, just as text in a file can.
        names = map(safe_text, (c.cohort, c.against, TITLES[c.method], ", ".join(c.adjusted_for)))
        cells = [f"fewer than {MIN_ACCOUNTS}", *[""] * len(QUANTITIES)]
        if not c.suppressed:
            cells = [f"{c.accounts[0]:,} / {c.accounts[1]:,}", *numbers_of(c)]
        lines.append(f"| {' | '.join(map(_escaped, (*names, *cells)))} |")
    notes = [f"- {_escaped(caution)}" for caution in cautions]
    paragraphs = [_escaped(line) for line in verdict.splitlines()]
    return "\n".join([*lines, "", *paragraphs, "", *notes]) + "\n"


def _escaped(text: str) -> str:
    for mark in ("\\", "|", "<", "*", "`", "["):
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")


def write_table(
    frame: pd.DataFrame, markdown: str, path: str | Path, *, force: bool = False
) -> Path:
    """Write the frame, or its Markdown, in the format given by the file extension."""
    place, ending = Path(path), Path(path).suffix.lower()
    if ending not in ENDINGS:
        problem = f"{path} ends in {ending or 'nothing'}"
        page = " (leadsignal.report.write_comparison writes the page)" if ending == ".html" else ""
        raise OptionError(problem, f"Write to {', '.join(ENDINGS)}{page}")
    if ending == ".xlsx":
        _require_openpyxl()
    with atomic_write(place, COMPARISON, force=force) as part:
        if ending == ".md":
            part.write_text(markdown, encoding="utf-8")
        else:
            write_rows(frame, part, ending, "cohorts")
    return place


def _require_openpyxl() -> None:
    from importlib.util import find_spec

    if find_spec("openpyxl") is None:
        raise OptionError(
            "writing .xlsx needs openpyxl, which is not installed",
            "Install it (pip install openpyxl), or write to .csv",
        )
