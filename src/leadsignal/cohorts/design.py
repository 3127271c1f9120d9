"""The design of a comparison: data, methods, covariates and days, and what it may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from leadsignal.cohorts.dated import DatedCohorts
from leadsignal.cohorts.risk_intervals import METHODS, follow_in_time, with_states_of
from leadsignal.errors import OptionError
from leadsignal.survival.inputs import Floats


@dataclass(frozen=True, eq=False)
class Design:
    """The design of a comparison.

    Parameters
    ----------
    cohorts : DatedCohorts
        The data.
    methods : tuple of str
        Names of the methods.
    adjust : tuple of str
        Names of the covariates to adjust for.
    X : ndarray of shape (accounts, columns), optional
        Baseline covariates.
    mediators : tuple of str
        Names of the dated covariates.
    landmark : int
        Day of the landmark, also used by the target trial.
    horizon : float
        Last day of the restricted means.
    level : float
        Confidence level.
    """

    cohorts: DatedCohorts
    methods: tuple[str, ...]
    adjust: tuple[str, ...]
    X: Floats | None
    mediators: tuple[str, ...]
    landmark: int
    horizon: float
    level: float


def chosen_methods(cohorts: DatedCohorts, methods: Sequence[str] | None) -> tuple[str, ...]:
    """Return the applicable methods, in the order in which they are shown."""
    unknown = [method for method in methods or () if method not in METHODS]
    if unknown:
        raise OptionError(
            f"{', '.join(map(repr, unknown))} is not a method", f"Choose from {', '.join(METHODS)}"
        )
    if cohorts.since_the_start:
        # There is no time before time zero, so all methods agree.
        return ("time_dependent",)
    if "at_renewals" in (methods or ()) and cohorts.terms is None:
        raise OptionError(
            f"at_renewals is a method of the comparison contract, not of {cohorts.name}",
            "Leave it out, or give contract_changes and the terms of contracts",
        )
    always = {"naive"} if cohorts.terms is None else {"naive", "at_renewals"}
    requested = set(METHODS if methods is None else methods) - {"at_renewals"} | always
    return tuple(m for m in METHODS if m in requested)


def chosen_covariates(
    cohorts: DatedCohorts,
    adjust: tuple[str, ...],
    mediators: tuple[str, ...],
    methods: tuple[str, ...],
) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Return the baseline covariates, and the later ones that are named as mediators.

    Raises an error for covariates that the exposure may have changed, unless the target trial is
    the only method: it uses only values recorded before the exposure.
    """
    before_only = set(methods) <= {"naive", "target_trial"}
    values: dict[str, NDArray[Any]] = {}
    later = []
    for name in adjust:
        if name == cohorts.name:
            raise OptionError(
                f"{name} is the cohort itself, so it cannot be adjusted for",
                "Leave it out of adjust=",
            )
        if name in cohorts.covariates:
            values[name] = cohorts.covariates[name]
        elif name in cohorts.dated_covariates and (before_only or name in mediators):
            _refuse_unknown_states(cohorts, name)
            later.append(name)
        elif name in cohorts.dated_covariates:
            raise OptionError(
                f"{name} comes after the start, so {cohorts.name} may have changed it",
                f'Leave it out, name it (mediators=["{name}"]), or take methods=["target_trial"],'
                " which uses only what is known before the event",
            )
        else:
            known = ", ".join(cohorts.covariates) or "none"
            raise OptionError(
                f"{name!r} is not a covariate",
                f"Choose from {known}; declare columns of accounts as attributes",
            )
    return values, tuple(later)


def _refuse_unknown_states(cohorts: DatedCohorts, name: str) -> None:
    """Raise an error if a dated covariate has no state on some days at risk."""
    if len(cohorts.dated_covariates[name]) != len(cohorts):
        raise OptionError(
            f"{name} has other accounts than the cohorts", "Provide its state for each account"
        )
    rows = follow_in_time(cohorts)
    known, _ = with_states_of(rows, cohorts.dated_covariates[name])
    lost = (rows.stop - rows.start).sum() - (known.stop - known.start).sum()
    if lost > 1e-6:
        raise OptionError(
            f"{name} has no state on {lost:,.0f} account-days at risk",
            "Give its state for all of each account's time, or leave it out",
        )
