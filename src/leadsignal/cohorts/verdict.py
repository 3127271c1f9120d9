"""The verdict of a comparison in one sentence, and the lines printed below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite, log
from typing import NamedTuple

import pandas as pd

from leadsignal.cohorts.contrasts import (
    CORRECTED,
    MIN_ACCOUNTS,
    Contrast,
    best_of,
    cohorts_of,
    find_contrast,
    preferred,
)
from leadsignal.cohorts.curves import YEARS, SmallGroup, SmallGroups, curve_frame
from leadsignal.cohorts.dated import DatedCohorts
from leadsignal.cohorts.evidence import CLAIM_LAG, Evidence, Rung
from leadsignal.cohorts.wording import (
    aligned,
    bias_of_naive,
    how_compared,
    opposite_of,
    share_there,
)
from leadsignal.errors import ModelError
from leadsignal.formats import how_often, how_often_between, share_text
from leadsignal.stats import Estimate

MAX_ROWS = 4
"""Maximum number of contrasts shown with the verdict; the details list all of them."""
NO_LIMIT = 50.0
"""Ratio above which (and below whose inverse) a confidence limit is not informative."""
METHOD_WORDS = {
    "naive": "the usual chart",
    "at_renewals": f"the cohort {CLAIM_LAG} days before renewals",
    "time_dependent": "the cohort of each day",
    "landmark": "the cohort on day {day}",
    "target_trial": "in it by day {day}, or not",
}
"""Descriptions of the methods for customer success managers."""
SUPPORT = {
    Rung.NOT_PROVEN: ", which further checks do not confirm",
    Rung.ASSOCIATION: ", which may be no effect",
    Rung.LAGGED: f", also when measured {CLAIM_LAG} days earlier",
    Rung.CONTROLLED: f", also when measured {CLAIM_LAG} days earlier and beyond what control"
    " behaviours show",
    Rung.EXPERIMENT: ", as an experiment shows",
}
"""Clauses that qualify a significant difference by its evidence."""
BIAS = {
    "chance": "the usual chart ({naive}) differs from this by no more than chance",
    "hidden": "the usual chart ({naive}) hides it because of {cause}",
    "understated": "the usual chart ({naive}) understates it because of {cause}",
    "blurred": "the usual chart ({naive}) is distorted by {cause}",
    "nearer": "the usual chart ({naive}) is distorted by {cause}",
    "reversed": "the usual chart ({naive}) points the other way because of {cause}",
    "nothing": "the usual chart ({naive}) is an artefact of {cause}",
    "part": "{share} of the usual chart's difference ({naive}) is an artefact of {cause}",
}
"""Clauses on the usual chart, by kind of bias."""


def verdict_of(contrasts: Sequence[Contrast], evidence: Sequence[Evidence] = ()) -> str:
    """Return one sentence on what the contrasts show, worded as strongly as the evidence allows."""
    cohorts = cohorts_of(contrasts)
    if len(cohorts) == 1:
        return f"{_of_one(contrasts, cohorts[0], evidence, with_naive=True)}."
    proven, open_ = [], []
    for cohort in cohorts:
        found = best_of(contrasts, cohort)
        known = found is not None and found.hazard_ratio is not None
        shown = known and found.hazard_ratio.excludes(1.0)  # type: ignore[union-attr]
        if shown:
            proven.append(_of_one(contrasts, cohort, evidence))
        else:
            open_.append(cohort if known else f"{cohort} (too few accounts or churns)")
    against = contrasts[0].against
    if not proven:
        return f"Not proven: none of {', '.join(open_)} differs from {against} beyond chance."
    rest = f"; not proven: {', '.join(open_)}" if open_ else ""
    return f"{'; '.join(proven)}{rest}."


def verdict_of_groups(groups: Sequence[SmallGroup]) -> str:
    """Return one sentence on which of many groups differ from the average beyond chance."""
    apart = [g for g in groups if g.accounts >= MIN_ACCOUNTS and not g.low <= 1 <= g.high]
    if not apart:
        return f"Not proven: none of {len(groups)} groups differs from the average beyond chance."
    apart.sort(key=lambda group: group.rate, reverse=True)
    items = [f"{g.name} {how_often(g.rate)} ({how_often_between(g.low, g.high)})" for g in apart]
    return f"{len(apart)} of {len(groups)} groups leave unlike the average: {', '.join(items)}."


def _of_one(
    contrasts: Sequence[Contrast],
    cohort: str,
    evidence: Sequence[Evidence],
    *,
    with_naive: bool = False,
) -> str:
    """Return the finding for one cohort, without the full stop."""
    best = best_of(contrasts, cohort)
    if best is None or best.hazard_ratio is None:
        other = f" against {best.against}" if best else ""
        return f"Not proven: {cohort}{other}, too few accounts or churns to say anything"
    ratio, pair = best.hazard_ratio, f"{cohort} against {best.against}"
    checks = next((one for one in evidence if one.cohort == cohort), None)
    if reason := _disagreement(contrasts, best, ratio, checks):
        return f"No direction is claimed of {pair}: {reason}"
    how = how_compared(best)
    if ratio.excludes(1.0):
        text = f"{pair}{how}: accounts leave {often(ratio)}"
        text += "" if checks is None else SUPPORT[checks.rung]
    else:
        text = f"Not proven: {pair}{how}, accounts may leave anywhere from {between(ratio)}"
    return text + (_beside(contrasts, best) if with_naive else "")


def _disagreement(
    contrasts: Sequence[Contrast], best: Contrast, ratio: Estimate, checks: Evidence | None
) -> str:
    if opposite_of(contrasts, best, ratio) is not None:
        return "the corrected methods prove opposite directions"
    if checks is None or not checks.disagreement or checks.rung == Rung.EXPERIMENT:
        return ""
    return checks.disagreement


def _beside(contrasts: Sequence[Contrast], best: Contrast) -> str:
    """Return what is wrong with the usual chart, as the end of a sentence."""
    naive = find_contrast(contrasts, "naive", best.cohort)
    if naive is None or naive.hazard_ratio is None:
        return ""
    usual = how_often(naive.hazard_ratio.estimate)
    raw = find_contrast(contrasts, best.method, best.cohort)
    bias = None
    if raw is not None and raw.hazard_ratio is not None and raw.shrinkage_of == "hazard ratio":
        bias = bias_of_naive(naive.hazard_ratio, raw.hazard_ratio, raw.shrinkage)
    if bias is None:
        return f"; the usual chart says {usual}"
    return "; " + BIAS[bias.kind].format(
        naive=usual, cause=bias.cause, share=share_text(bias.share)
    )


def often(ratio: Estimate) -> str:
    """Return a hazard ratio in words, with its interval."""
    return f"{how_often(ratio.estimate)} ({between(ratio)})"


def in_digits(ratio: Estimate) -> str:
    """Return a hazard ratio with its interval, to two decimals."""
    return f"{ratio.estimate:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def between(ratio: Estimate) -> str:
    """Return the confidence limits of a hazard ratio in words."""
    if not 1 / NO_LIMIT < ratio.low <= ratio.high < NO_LIMIT:
        return "the data hardly limit it"
    return how_often_between(ratio.low, ratio.high)


def title_of(contrasts: Sequence[Contrast], by: str) -> str:
    """Return a short form of the finding, used as the title of a plot."""
    cohorts = cohorts_of(contrasts)
    best = best_of(contrasts, cohorts[0]) if len(cohorts) == 1 else None
    if best is None or best.hazard_ratio is None:
        return f"By {by.replace('_', ' ')}, corrected, beside the usual chart"
    ratio = best.hazard_ratio
    proof = "" if ratio.excludes(1.0) else ", not proven"
    return (
        f"{best.cohort} against {best.against}: accounts leave {how_often(ratio.estimate)}{proof}"
    )


def main_contrasts(contrasts: Sequence[Contrast]) -> tuple[Contrast, ...]:
    """Return the contrasts to show with the verdict, the usual chart first.

    For one cohort: every method, adjusted if available. For two: the naive and the quoted contrast
    of each. For more: the quoted contrasts with the lowest p-values.
    """
    cohorts = cohorts_of(contrasts)
    if len(cohorts) == 1:
        by_method = [find_contrast(contrasts, "naive", cohorts[0])]
        by_method += [preferred(contrasts, method, cohorts[0]) for method in CORRECTED]
        return tuple(one for one in by_method if one is not None)[:MAX_ROWS]
    if len(cohorts) == 2:
        return tuple(
            one
            for cohort in cohorts
            for one in (find_contrast(contrasts, "naive", cohort), best_of(contrasts, cohort))
            if one is not None
        )
    quoted = [best for cohort in cohorts if (best := best_of(contrasts, cohort)) is not None]
    first = sorted(quoted, key=lambda c: 1.0 if c.hazard_ratio is None else c.hazard_ratio.p)
    return tuple(one for one in quoted if one in first[:MAX_ROWS])


def method_words(contrast: Contrast, landmark: int) -> str:
    """Return a description of the method of a contrast, with its covariates."""
    words = METHOD_WORDS[contrast.method].format(day=landmark)
    adjusted = f", adjusted for {', '.join(contrast.adjusted_for)}"
    return words + (adjusted if contrast.adjusted_for else "")


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
