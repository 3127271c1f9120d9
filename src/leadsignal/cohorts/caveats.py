"""What to beware of, in plain words: each caution is a sentence that stands on a number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.cohorts.balance import gap_at_equal_tenure
from leadsignal.cohorts.comparison import FEWEST, Contrast
from leadsignal.cohorts.covariates import columns_of
from leadsignal.cohorts.dated import CHURN
from leadsignal.cohorts.measures import hazard_ratio
from leadsignal.cohorts.risk_intervals import follow_in_time
from leadsignal.errors import ModelError
from leadsignal.stats.multiple_testing import holm

if TYPE_CHECKING:
    from leadsignal.cohorts.side_by_side import Question

FEW_ENDS = 10
FEW_ACCOUNTS = 20
HEAVY = 10.0
"""A weight so many times the mean says that the groups hardly overlap."""
APART, BY_CHANCE = 0.1, 0.05
"""A covariate differs between cohorts by a larger standardised difference and a smaller p."""
Held = Mapping[Any, Any]


def cautions_of(question: Question, contrasts: Sequence[Contrast], groups: Held) -> tuple[str, ...]:
    """Return every caution that the cohorts, the contrasts and their curves give cause for."""
    found = [
        *_days_before(question),
        *_small(contrasts),
        *_artefacts(contrasts),
        *_unreached(question, contrasts),
        *_dropped(question),
        *_overlap(contrasts),
        *_crossing(question, groups),
        *_moved(question, contrasts),
        *_unadjusted(question),
    ]
    return tuple(dict.fromkeys(found))


def _days_before(question: Question) -> Iterator[str]:
    cohorts = question.cohorts
    if "naive" not in question.methods:
        return
    for k in range(1, len(cohorts.levels)):
        if (before := cohorts.share_before(k)) > 0:
            yield (
                f"{before:.0%} of the days of accounts ever {cohorts.levels[k]} were lived"
                f" before they were: the naive chart counts these as {cohorts.levels[k]}, though"
                " nobody can leave in them and still become so"
            )


def _small(contrasts: Sequence[Contrast]) -> Iterator[str]:
    for c in contrasts:
        if c.suppressed:
            yield f"{c.cohort}, {c.method}: a cell holds fewer than {FEWEST} accounts; suppressed"
        elif min(c.accounts) < FEW_ACCOUNTS or min(c.ended) < FEW_ENDS:
            yield (
                f"{c.cohort}, {c.method}: {c.accounts[0]:,} accounts with {c.ended[0]:,} churns"
                f" against {c.accounts[1]:,} with {c.ended[1]:,}; too few to lean on"
            )


def _artefacts(contrasts: Sequence[Contrast]) -> Iterator[str]:
    for c in contrasts:
        if c.shrinkage is None or c.adjusted_for or c.method == "naive":
            continue
        told = (
            f"{c.cohort}: against {c.method.replace('_', ' ')} the naive ratio of {c.shrinkage_of}"
            f" is off by a factor of {c.shrinkage}"
        )
        yield told + ("" if c.shrinkage.excludes(1.0) else "; chance alone could do that")


def _unreached(question: Question, contrasts: Sequence[Contrast]) -> Iterator[str]:
    for c in contrasts:
        counted = c.method != "time_dependent" or question.cohorts.since_the_start
        if counted and c.hazard_ratio is not None and c.rmst_days is None:
            yield (
                f"{c.cohort}, {c.method}: not followed until day {question.horizon:g}, so that no"
                " mean days are told; choose an earlier horizon"
            )


def _dropped(question: Question) -> Iterator[str]:
    cohorts, day = question.cohorts, question.landmark
    if "landmark" in question.methods:
        ended = int(((cohorts.stop <= day) & (cohorts.cause > 0)).sum())
        recent = int(((cohorts.stop <= day) & (cohorts.cause == 0)).sum())
        late = int(((cohorts.entry > day) & (cohorts.stop > day)).sum())
        out = int((cohorts.state_at(day) < 0).sum())
        if out:
            away = out - ended - recent - late
            yield (
                f"the landmark of day {day} leaves out {out:,} accounts:"
                f" {ended:,} had ended by then, {recent:,} were not followed so far,"
                f" {late:,} are seen from later on only"
                + (f", {away:,} were away on that day" if away else "")
            )
    if "target_trial" not in question.methods:
        return
    if late := int((cohorts.entry > 0).sum()):
        yield f"the target trial leaves out {late:,} accounts that are not seen from day 0"
    if away := int((cohorts.until_away().stop < cohorts.stop).sum()):
        yield f"the target trial follows {away:,} accounts only until they were first away"


def _overlap(contrasts: Sequence[Contrast]) -> Iterator[str]:
    for c in contrasts:
        if c.highest_weight is None or c.effective is None:
            continue
        if max(c.highest_weight) > HEAVY:
            yield (
                f"{c.cohort}, {c.method}: the heaviest account weighs {max(c.highest_weight):.0f}"
                " times the mean: for some accounts there is hardly anyone alike in the other group"
            )
        if min(c.effective) < FEW_ACCOUNTS:
            yield (
                f"{c.cohort}, {c.method}: after weighting, the groups are worth"
                f" {c.effective[1]:.0f} and {c.effective[0]:.0f} accounts"
            )


def _crossing(question: Question, groups: Held) -> Iterator[str]:
    """Say where curves cross: apart by more than a standard error in both directions."""
    for (method, k, adjusted), (held, _) in groups.items():
        if adjusted or method != "landmark" or not held.churned:
            continue
        last = min(held.until, held.seen_until, question.horizon)
        gaps = []
        for day in np.linspace(held.followed.origin, last, 9)[1:]:
            both = held.retention(float(day))
            gap = both[k] - both[0]
            gaps.append(gap.value / gap.std_err if gap.std_err > 0 else 0.0)
        if gaps and min(gaps) < -1 and max(gaps) > 1:
            yield (
                f"{question.cohorts.levels[k]}, {method}: the curves cross; one ratio does not"
                " describe them, read the picture"
            )


def _moved(question: Question, contrasts: Sequence[Contrast]) -> Iterator[str]:
    """Say which covariate moved the hazard ratio, each taken alone."""
    cohorts = question.cohorts
    if question.X is None or "time_dependent" not in question.methods:
        return
    raw = {c.cohort: c for c in contrasts if c.method == "time_dependent" and not c.adjusted_for}
    for k in range(1, len(cohorts.levels)):
        before = raw.get(cohorts.levels[k])
        if before is None or before.hazard_ratio is None:
            continue
        moves = dict(_moves(question, k, before.hazard_ratio.estimate))
        if moves:
            name = max(moves, key=lambda n: abs(np.log(moves[n])))
            yield (
                f"{cohorts.levels[k]}: of what was adjusted for, {name} moved the hazard ratio"
                f" most, from {before.hazard_ratio.estimate:.2f} by a factor of {moves[name]:.2f}"
            )


def _moves(question: Question, k: int, raw: float) -> Iterator[tuple[str, float]]:
    rows = follow_in_time(question.cohorts).of((0, k))
    for name in question.adjust:
        if name not in question.cohorts.covariates:
            continue
        X = columns_of({name: question.cohorts.covariates[name]})[0][rows.account]
        try:
            ratio, _ = hazard_ratio(rows, question.cohorts, k, X)
        except ModelError:
            continue
        yield name, float(np.exp(ratio.value) / raw)


def _unadjusted(question: Question) -> Iterator[str]:
    cohorts = question.cohorts
    if (cohorts.cause == CHURN).sum() == 0:
        yield "nobody churned: there is nothing to compare"
    if apart := _apart(question):
        yield f"cohorts differ at the start in {', '.join(apart)}, which is not adjusted for"
    yield (
        "what nobody wrote down is not adjusted for: the E-value says how strong it would have to"
        " be"
    )


def _apart(question: Question) -> list[str]:
    """Return the covariates not adjusted for in which states differ by more than chance."""
    cohorts = question.cohorts
    left = [name for name in cohorts.covariates if name not in question.adjust]
    gaps = []
    for k in range(1, len(cohorts.levels)):
        rows = follow_in_time(cohorts).of((0, k))
        gaps += [
            (name, gap_at_equal_tenure(rows, cohorts, k, cohorts.covariates[name])) for name in left
        ]
    p = holm(np.array([gap.p for _, gap in gaps])).tolist()
    apart = {
        name for (name, gap), q in zip(gaps, p, strict=True) if q < BY_CHANCE and gap.size > APART
    }
    return [name for name in left if name in apart]
