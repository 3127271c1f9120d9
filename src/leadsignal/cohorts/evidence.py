"""Evidence for an effect: lags, control behaviours, agreement of methods, and the level reached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd

from leadsignal.arguments import checked, reads_weights
from leadsignal.as_of_context import AsOfContext
from leadsignal.cohorts.contrasts import hazard_ratio
from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.from_tables import (
    cohorts_from_changes,
    control_names,
    lapsing_controls,
    lasting_controls,
)
from leadsignal.cohorts.named_comparisons import Changes, changes_of
from leadsignal.cohorts.risk_intervals import (
    RiskIntervals,
    columns_of,
    follow_in_time,
    within_quarters,
)
from leadsignal.cohorts.wording import aligned
from leadsignal.config.success import Process, SuccessAnalysis
from leadsignal.errors import ModelError, OptionError
from leadsignal.files.writing import json_fields
from leadsignal.results import Result
from leadsignal.stats import MIN_CONTROLS, ClusteredEstimate, Estimate, empirical_null
from leadsignal.survival.inputs import Floats, Ints
from leadsignal.tables import Tables

Names = tuple[str, ...]
LAGS = (0, 30, 60, 90, 120, 180)
"""Number of days by which the exposure is measured earlier."""
CLAIM_LAG = 90
"""Lag, in days, at which an effect is claimed."""
MIN_CHURNS = 10
"""Minimum number of churns on each side of an estimate of an early or late effect."""


class Rung(IntEnum):
    """Strength of the evidence for an effect; each rung requires the ones below it."""

    NOT_PROVEN = 0
    ASSOCIATION = 1
    LAGGED = 2
    CONTROLLED = 3
    EXPERIMENT = 4


RUNG_TEXT = {
    Rung.NOT_PROVEN: "not proven",
    Rung.ASSOCIATION: "a corrected association",
    Rung.LAGGED: f"also {CLAIM_LAG} days earlier; too few controls to say more",
    Rung.CONTROLLED: f"also {CLAIM_LAG} days earlier, and more than the control behaviours",
    Rung.EXPERIMENT: "shown by an experiment",
}


@dataclass(frozen=True, repr=False, eq=False)
class Evidence(Result):
    """Evidence for an effect of a cohort on churn, check by check.

    Parameters
    ----------
    by : str
        Name of the comparison.
    cohort, against : str
        Names of the cohort and of its reference.
    lags : mapping of int to Estimate
        Hazard ratio for each number of days by which the exposure is measured earlier. Lags at
        which it cannot be estimated are absent.
    early, late : Estimate or None
        Hazard ratios before and after the median tenure at churn.
    change_p : float
        P-value of the difference between ``early`` and ``late``; NaN if unknown.
    controls : mapping of str to Estimate
        Hazard ratios of the control behaviours, at the lag of the claim.
    calibrated : Estimate or None
        Hazard ratio at the lag of the claim, corrected for the bias seen in the controls. None if
        there are too few controls.
    methods : mapping of str to Estimate
        Hazard ratios by the other corrected methods that were computed.
    in_quarters : Estimate or None
        Hazard ratio at the lag of the claim among accounts of the same tenure in the same calendar
        quarter. None if it cannot be estimated.
    adjusted_for : tuple of str
        Names of the covariates adjusted for in all hazard ratios except ``methods``.
    experiment : Estimate or None
        Hazard ratio of treated against control accounts in an experiment. None without one.
    """

    by: str
    cohort: str
    against: str
    lags: Mapping[int, Estimate]
    early: Estimate | None
    late: Estimate | None
    change_p: float
    controls: Mapping[str, Estimate]
    calibrated: Estimate | None
    methods: Mapping[str, Estimate]
    in_quarters: Estimate | None = None
    adjusted_for: tuple[str, ...] = ()
    experiment: Estimate | None = None

    @property
    def disagreement(self) -> str:
        """Which corrected estimates contradict each other; empty if none do."""
        proven = {name: one for name, one in self.methods.items() if one.excludes(1.0)}
        sides = {one.estimate < 1 for one in proven.values()}
        if len(sides) > 1:
            named = (f"{name.replace('_', ' ')} {one}" for name, one in proven.items())
            return f"the methods disagree: {', '.join(named)}"
        if self.early is None or self.late is None or not self.change_p < 0.05:
            return ""
        if (self.early.estimate < 1) == (self.late.estimate < 1):
            return ""
        return f"early and late effects differ: {self.early} and {self.late}"

    @property
    def rung(self) -> Rung:
        """The highest rung whose checks, and those of all rungs below, agree on one direction.

        If the control behaviours show the same effect, they contradict a lagged one: with enough
        controls, the second rung is only reached together with the third. An experiment needs no
        other check.
        """
        if self.experiment is not None and self.experiment.excludes(1.0):
            return Rung.EXPERIMENT
        first = self.lags.get(0)
        if self.disagreement or first is None or not first.excludes(1.0):
            return Rung.NOT_PROVEN
        lower = first.estimate < 1
        required = [self.lags.get(lag) for lag in LAGS if lag <= CLAIM_LAG]
        if not all(_shows(one, lower) for one in (*required, self.in_quarters)):
            return Rung.ASSOCIATION
        if self.calibrated is None:
            return Rung.LAGGED
        return Rung.CONTROLLED if _shows(self.calibrated, lower) else Rung.ASSOCIATION

    @property
    def wording(self) -> str:
        """The strength of the evidence, in words."""
        contradicted = self.disagreement and self.rung != Rung.EXPERIMENT
        return "the methods disagree" if contradicted else RUNG_TEXT[self.rung]

    @property
    def sentence(self) -> str:
        """The finding in one sentence, worded as strongly as its rung allows."""
        name = "" if self.by == self.cohort else f"{self.by.replace('_', ' ')}, "
        who = f"Evidence for {name}{self.cohort} against {self.against}"
        if self.experiment is not None and self.rung == Rung.EXPERIMENT:
            way = "less" if self.experiment.estimate < 1 else "more"
            shown = f"acting on it makes them leave {way} often ({self.experiment})"
            return f"{who}: an experiment shows that {shown}."
        if self.disagreement:
            return f"{who}: no direction is claimed, because {self.disagreement}."
        first, claimed = self.lags.get(0), self.lags.get(CLAIM_LAG)
        if self.rung == Rung.NOT_PROVEN or first is None:
            return f"{who}: not proven."
        text = f"{who}: they leave {'less' if first.estimate < 1 else 'more'} often ({first})"
        if self.rung == Rung.ASSOCIATION:
            return f"{text}, but this may be no effect: {self._why_not_more}."
        text += f", also when measured {CLAIM_LAG} days earlier ({claimed})"
        if self.rung == Rung.LAGGED:
            return f"{text}; too few control behaviours to rule out that they are a marker."
        return (
            f"{text}, and more than the control behaviours ({self.calibrated} without their bias)."
        )

    @property
    def _why_not_more(self) -> str:
        claimed = self.lags.get(CLAIM_LAG)
        if claimed is None or not claimed.excludes(1.0):
            return f"measured {CLAIM_LAG} days earlier it is {claimed or 'not determined'}"
        if self.in_quarters is None or not self.in_quarters.excludes(1.0):
            return f"within calendar quarters it is {self.in_quarters or 'not determined'}"
        if self.calibrated is not None and not self.calibrated.excludes(1.0):
            return f"without the bias of the control behaviours it is {self.calibrated}"
        return "it is not proven at every lag"

    @property
    def effect(self) -> Estimate | None:
        """The hazard ratio to quote: calibrated if there are enough controls."""
        return self.calibrated or self.lags.get(CLAIM_LAG) or self.lags.get(0)

    def _table(self) -> pd.DataFrame:
        rows = [(f"{lag} days earlier", one) for lag, one in self.lags.items()]
        rows += [(name.replace("_", " "), one) for name, one in self.methods.items()]
        checks = {
            "early tenure": self.early,
            "late tenure": self.late,
            "within calendar quarters": self.in_quarters,
            "less the bias of the controls": self.calibrated,
            "experiment": self.experiment,
        }
        rows += [(name, one) for name, one in checks.items() if one is not None]
        rows += [(f"control: {name}", one) for name, one in self.controls.items()]
        found = [(name, one.estimate, one.low, one.high) for name, one in rows]
        return pd.DataFrame(found, columns=["check", "hazard_ratio", "low", "high"])

    def to_dict(self) -> dict[str, Any]:
        """Return all checks as plain dictionaries, ready for JSON."""
        checks = ("lags", "methods", "early", "late", "in_quarters", "change_p", "controls")
        return {
            **json_fields(self, "by", "cohort", "against"),
            "rung": int(self.rung),
            **json_fields(self, "wording", "disagreement", "adjusted_for", *checks),
            **json_fields(self, "calibrated", "experiment"),
        }

    def __repr__(self) -> str:
        rows = [("check", "hazard ratio")]
        rows += [
            (check, f"{value:.2f} ({low:.2f} to {high:.2f})")
            for check, value, low, high in self._table().itertuples(index=False)
            if not check.startswith("control: ")
        ]
        lines = [self.sentence, *aligned(rows)]
        if self.adjusted_for:
            lines.append(f"Adjusted for {', '.join(self.adjusted_for)}.")
        if self.rung < Rung.LAGGED and not self.controls:
            lines.append("No control behaviours were compared, as a check before them fails.")
        elif self.calibrated is None:
            lines.append(
                f"{len(self.controls)} control behaviours are too few to calibrate by;"
                f" {MIN_CONTROLS} are needed."
            )
        else:
            logs = [np.log(one.estimate) for one in self.controls.values()]
            lines.append(
                f"{len(self.controls)} control behaviours, measured in the same way, have a hazard"
                f" ratio of {np.exp(np.mean(logs)):.2f} on average."
            )
        return "\n".join(lines)


def _shows(estimate: Estimate | None, lower: bool) -> bool:
    """Whether an interval lies entirely below 1 (``lower``) or above 1."""
    if estimate is None:
        return False
    return estimate.high < 1 if lower else estimate.low > 1


@checked
@reads_weights
def weigh_evidence(
    tables: Tables,
    by: str,
    analysis: SuccessAnalysis | None = None,
    *,
    cohort: str | None = None,
    adjust: tuple[str, ...] | None = None,
    lags: tuple[int, ...] = LAGS,
    methods: Mapping[str, Estimate] | None = None,
    experiment: Estimate | None = None,
    context: AsOfContext | None = None,
) -> Evidence:
    """Weigh the evidence that a cohort churns less, or more, often than its reference.

    All hazard ratios are time-dependent, and date a churn to the day on which it became known.

    Parameters
    ----------
    tables : Tables
        The tables.
    by : str
        Name of a ready comparison with dates, see `comparison_names`.
    analysis : SuccessAnalysis, optional
        The success analysis; each of its processes is a comparison.
    cohort : str, optional
        Name of the cohort. Default: the first after the reference.
    adjust : tuple of str, optional
        Attributes, or columns of accounts, to adjust for. Default: all attributes without dated
        changes.
    lags : tuple of int, default (0, 30, 60, 90, 120, 180)
        Number of days by which the exposure is measured earlier.
    methods : mapping of str to Estimate, optional
        Hazard ratios by other corrected methods, which must not contradict each other.
    experiment : Estimate, optional
        Hazard ratio of an experiment on the exposure, from
        ``analyse_experiment(...).hazard_ratio``. Without one, the highest rung cannot be reached.
    context : AsOfContext, optional
        Intermediate results to reuse.

    Returns
    -------
    Evidence

    Raises
    ------
    OptionError
        If ``by`` is not a comparison with dates, or has no such cohort.
    ModelError
        If a hazard ratio cannot be estimated.

    References
    ----------
    Lipsitch, Tchetgen Tchetgen & Cohen (2010), Epidemiology 21: 383-388 (negative controls);
    Schuemie et al. (2018), PNAS 115: 2571-2577 (empirical calibration).

    Examples
    --------
    >>> import leadsignal as ls
    >>> evidence = weigh_evidence(ls.read_tables(ls.sample_folder()), "measured")
    >>> evidence.rung >= 0, 0 in evidence.lags
    (True, True)
    """
    context = AsOfContext.of(tables, analysis, context)
    adjust = _fixed_attributes(context) if adjust is None else adjust
    found = _with_controls(context, _by_time_alone(context, by, cohort, adjust, lags), lags)
    return replace(found, methods=dict(methods or {}), experiment=experiment)


def evidence_for_claim(
    context: AsOfContext,
    by: str,
    cohort: str | None = None,
    methods: Mapping[str, Estimate] | None = None,
) -> Evidence:
    """Weigh the evidence as `weigh_evidence` does, but skip checks that cannot change the rung.

    Control behaviours are the most expensive check, and are compared only if all other checks are
    passed.
    """
    alone = _by_time_alone(context, by, cohort, _fixed_attributes(context), LAGS)
    found = replace(alone, methods=dict(methods or {}))
    if found.rung < Rung.LAGGED:
        return found
    return replace(_with_controls(context, alone, LAGS), methods=found.methods)


def controlled_effect(context: AsOfContext, by: str) -> Estimate | None:
    """Return the hazard ratio of the first cohort if it reaches the third rung, else None.

    Raises ModelError if a hazard ratio cannot be estimated.
    """
    found = evidence_for_claim(context, by)
    return found.calibrated if found.rung >= Rung.CONTROLLED else None


def _by_time_alone(
    context: AsOfContext, by: str, cohort: str | None, adjust: Names, lags: tuple[int, ...]
) -> Evidence:
    """Return the evidence without control behaviours."""
    key = ("evidence without controls", by, cohort, adjust, lags)
    return context.once(key, lambda: _weighed(context, by, cohort, adjust, lags))


def _with_controls(context: AsOfContext, found: Evidence, lags: tuple[int, ...]) -> Evidence:
    """Add the control behaviours, and the effect corrected for the bias that they show."""

    def completed() -> Evidence:
        changes = changes_of(context, found.by)
        k, adjust = _level(changes, found.by, found.cohort), found.adjusted_for
        base = cohorts_from_changes(context, found.by, changes)
        controls = dict(_controls(context, found.by, changes, base, k, adjust))
        claimed = dict(_by_lag(context, found.by, changes, k, adjust, {CLAIM_LAG} & {*lags}))
        return replace(
            found,
            controls={name: one.ratio() for name, one in controls.items()},
            calibrated=_calibrated(claimed.get(CLAIM_LAG), [*controls.values()]),
        )

    key = ("evidence", found.by, found.cohort, found.adjusted_for, lags)
    return context.once(key, completed)


def _weighed(
    context: AsOfContext, by: str, cohort: str | None, adjust: Names, lags: Iterable[int]
) -> Evidence:
    changes = changes_of(context, by)
    if changes.table is None:
        raise OptionError(
            f"{by} is a property since the start, whose effect cannot be measured earlier",
            "Choose a comparison with dates, such as measured or a process",
        )
    k = _level(changes, by, cohort)
    by_lag = dict(_by_lag(context, by, changes, k, adjust, lags))
    if not by_lag:
        raise ModelError(
            f"{by}: the data do not determine the hazard ratio of {changes.levels[k]}",
            "Give a longer history",
        )
    base = cohorts_from_changes(context, by, changes)
    early, late, change_p = _early_and_late(base, k, adjust)
    lagged = {lag: one.ratio() for lag, one in by_lag.items()}
    quarters = _in_quarters(context, by, changes, k, adjust)
    return Evidence(
        by, changes.levels[k], changes.levels[0], lagged, early, late, change_p, {}, None, {},
        quarters, adjust,
    )  # fmt: skip


def _fixed_attributes(context: AsOfContext) -> tuple[str, ...]:
    """Return the attributes without dated changes, which the exposure cannot have changed."""
    dated = set()
    if "account_changes" in context.tables.names:
        dated = set(context.tables.frame("account_changes")["attribute"])
    return tuple(name for name in context.tables.attributes if name not in dated)


def _calibrated(
    claimed: ClusteredEstimate | None, controls: Sequence[ClusteredEstimate]
) -> Estimate | None:
    """Return the hazard ratio corrected for the bias of the controls, None if they are too few."""
    if claimed is None or len(controls) < MIN_CONTROLS:
        return None
    null = empirical_null([one.value for one in controls], [one.std_err for one in controls])
    return null.calibrate(claimed.value, claimed.std_err)


def _in_quarters(
    context: AsOfContext, by: str, changes: Changes, k: int, adjust: Names
) -> Estimate | None:
    """Return the hazard ratio at the lag of the claim, within calendar quarters."""
    try:
        cohorts = cohorts_from_changes(context, by, changes.later(CLAIM_LAG))
        rows, quarter = within_quarters(follow_in_time(cohorts).of((0, k)), cohorts)
        return _fitted(rows, cohorts, k, adjust, quarter).ratio()
    except ModelError:
        return None


def _level(changes: Changes, by: str, cohort: str | None) -> int:
    if cohort is None:
        return 1
    if cohort not in changes.levels[1:]:
        raise OptionError(
            f"{cohort!r} is not a cohort of {by}", f"Choose from {', '.join(changes.levels[1:])}"
        )
    return changes.levels.index(cohort)


def _by_lag(
    context: AsOfContext, by: str, changes: Changes, k: int, adjust: Names, lags: Iterable[int]
) -> Iterable[tuple[int, ClusteredEstimate]]:
    for lag in lags:
        try:
            cohorts = cohorts_from_changes(context, by, changes.later(lag))
            yield lag, _log_ratio(cohorts, k, adjust)
        except ModelError:
            continue


def _controls(
    context: AsOfContext, by: str, changes: Changes, base: DatedCohorts, k: int, adjust: Names
) -> Iterable[tuple[str, ClusteredEstimate]]:
    """Yield the log hazard ratios of the control behaviours, at the lag of the claim."""
    names = control_names(context, _not_controls(context, by))
    if len(names) < MIN_CONTROLS:
        return
    share = _exposed(base, k)
    if changes.for_good:
        controls = lasting_controls(context, names, share)
    else:
        rule = _rule(context, by)
        any_rule = Process("control", (), 1, changes.window or 90)
        matched = (rule, None) if rule else (any_rule, share)
        controls = lapsing_controls(context, names, *matched)
    for name, control in controls:
        try:
            cohorts = cohorts_from_changes(context, f"control: {name}", control.later(CLAIM_LAG))
            yield name, _log_ratio(cohorts, 1, adjust)
        except ModelError:
            continue


def _not_controls(context: AsOfContext, by: str) -> frozenset[str]:
    """Return the behaviours that are no controls: those of all processes and of the comparison."""
    own = {by.removeprefix("behavior:")} if by.startswith("behavior:") else set()
    return frozenset(
        own | {name for process in context.analysis.processes for name in process.behaviors}
    )


def _rule(context: AsOfContext, by: str) -> Process | None:
    """Return the compared process; the first one if all processes are compared together."""
    name = by.removeprefix("process:")
    chosen = [p for p in context.analysis.processes if by == "adopted" or p.name == name]
    return chosen[0] if chosen else None


def _exposed(cohorts: DatedCohorts, k: int) -> float:
    """Return the share of days at risk that accounts spend in cohort ``k``."""
    days = cohorts.row_stop - cohorts.row_start
    return float(days[cohorts.row_state == k].sum() / max(days.sum(), 1.0))


def _log_ratio(cohorts: DatedCohorts, k: int, adjust: Names) -> ClusteredEstimate:
    return _fitted(follow_in_time(cohorts).of((0, k)), cohorts, k, adjust)


def _fitted(
    rows: RiskIntervals, cohorts: DatedCohorts, k: int, adjust: Names, strata: Ints | None = None
) -> ClusteredEstimate:
    if len(np.unique(rows.group)) < 2:
        raise ModelError("one of the two cohorts has no accounts here")
    return hazard_ratio(rows, cohorts, k, _columns(cohorts, adjust, rows), strata)[0]


def _columns(cohorts: DatedCohorts, adjust: Names, rows: RiskIntervals) -> Floats | None:
    missing = [name for name in adjust if name not in cohorts.covariates]
    if missing:
        raise OptionError(
            f"{', '.join(map(repr, missing))} is no covariate",
            f"Choose from {', '.join(cohorts.covariates) or 'none'}",
        )
    values = {name: cohorts.covariates[name] for name in adjust}
    return columns_of(values, cohorts.weight)[rows.account] if values else None


def _early_and_late(
    cohorts: DatedCohorts, k: int, adjust: Names
) -> tuple[Estimate | None, Estimate | None, float]:
    """Return the hazard ratios before and after the median tenure at churn, and a p-value.

    The p-value is that of the difference between the two.
    """
    rows = follow_in_time(cohorts).of((0, k))
    churned = rows.cause == CHURN
    if churned.sum() < 2 * MIN_CHURNS:
        return None, None, float("nan")
    middle = float(np.median(rows.stop[churned]))
    try:
        early = _fitted(_until(rows, middle), cohorts, k, adjust)
        late = _fitted(rows.since(middle), cohorts, k, adjust)
    except ModelError:
        return None, None, float("nan")
    return early.ratio(), late.ratio(), (late - early).estimate().p


def _until(rows: RiskIntervals, day: float) -> RiskIntervals:
    """Return the rows censored at a day."""
    inside = rows.where(rows.start < day)
    cause = np.where(inside.stop > day, 0, inside.cause)
    return replace(inside, stop=np.minimum(inside.stop, day), cause=cause)
