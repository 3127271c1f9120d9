"""The numbers of a comparison: cohorts, and contrasts of one cohort with another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leadsignal.stats.estimates import Estimate

MIN_ACCOUNTS = 5
"""Numbers of cohorts with fewer accounts are suppressed."""
TITLES = {
    "naive": "naive",
    "time_dependent": "time-dependent",
    "landmark": "landmark",
    "target_trial": "target trial",
}


@dataclass(frozen=True)
class Cohort:
    """One cohort: ``accounts`` ever in it, ``account_days`` in it, those ``ended`` (churned) in it.

    ``rate`` is churns per 1,000 account-months at the tenure of the first cohort: its own rate, for
    the others times the hazard ratio that the verdict quotes; of many small groups, that of all
    accounts times ended over expected. None where there is no ratio. ``retention_12m``,
    ``retention_24m`` and ``median_days`` are read from the method named by ``curve``; None where it
    does not go that far.
    """

    name: str
    accounts: int
    account_days: float
    ended: int
    rate: float | None
    retention_12m: Estimate | None
    retention_24m: Estimate | None
    median_days: float | None
    curve: str
    days_before: float

    @property
    def suppressed(self) -> bool:
        """Whether the cohort has too few accounts for its numbers to be published."""
        return self.accounts < MIN_ACCOUNTS

    def to_dict(self) -> dict[str, Any]:
        """Return the cohort as a plain dictionary; a suppressed one without its numbers."""
        plain: dict[str, Any] = {
            "name": self.name,
            "accounts": self.accounts,
            "account_days": self.account_days,
            "ended": self.ended,
            "churn_per_1000_account_months": self.rate,
            "retention_12m": _value(self.retention_12m),
            "retention_24m": _value(self.retention_24m),
            "median_days": self.median_days,
            "read_from": self.curve,
            "days_before_event": self.days_before,
            "suppressed": self.suppressed,
        }
        if self.suppressed:
            plain |= {key: None for key in plain if key not in ("name", "suppressed", "read_from")}
        return plain


def _value(number: Estimate | None) -> float | None:
    return None if number is None else number.estimate


@dataclass(frozen=True)
class Contrast:
    """One cohort against another by one method; None where the data do not give the number.

    ``rmst_days`` and ``rmst_ratio`` are the difference and the ratio of mean days not lost to
    churn between ``origin`` and ``horizon`` (days since time zero). ``shrinkage`` is the naive
    ratio over this one's, on the quantity ``shrinkage_of``. ``e_value`` is that of the hazard ratio
    and of its limit. ``accounts`` and ``ended`` count the cohort and its reference, in a
    target trial after day L, where the clones have parted.
    """

    cohort: str
    against: str
    method: str
    adjusted_for: tuple[str, ...]
    accounts: tuple[int, int]
    ended: tuple[int, int]
    hazard_ratio: Estimate | None = None
    rmst_days: Estimate | None = None
    rmst_ratio: Estimate | None = None
    retention_12m: tuple[Estimate, Estimate] | None = None
    retention_24m: tuple[Estimate, Estimate] | None = None
    e_value: tuple[float, float] | None = None
    shrinkage: Estimate | None = None
    shrinkage_of: str = ""
    log_rank_p: float | None = None
    origin: float = 0.0
    horizon: float | None = None
    effective: tuple[float, float] | None = None
    highest_weight: tuple[float, float] | None = None

    @property
    def suppressed(self) -> bool:
        """Whether a cohort has too few accounts for its numbers to be published."""
        return min(self.accounts) < MIN_ACCOUNTS

    @property
    def artefact(self) -> bool:
        """Whether the naive chart shows more than this one, or the opposite, beyond chance."""
        corrected = self.hazard_ratio if self.shrinkage_of == "hazard ratio" else self.rmst_ratio
        if self.shrinkage is None or corrected is None or not self.shrinkage.excludes(1.0):
            return False
        c, n = np.log(corrected.estimate), np.log(corrected.estimate * self.shrinkage.estimate)
        return bool(n * c <= 0 or abs(c) < abs(n))

    def to_dict(self) -> dict[str, Any]:
        """Return the contrast as a plain dictionary, ready for JSON."""
        numbers = ("hazard_ratio", "rmst_days", "rmst_ratio", "shrinkage")
        plain: dict[str, Any] = {
            "cohort": self.cohort,
            "against": self.against,
            "method": self.method,
            "adjusted_for": list(self.adjusted_for),
            "accounts": None if self.suppressed else list(self.accounts),
            "ended": None if self.suppressed else list(self.ended),
            "suppressed": self.suppressed,
        }
        for name in numbers:
            number = getattr(self, name)
            plain[name] = None if number is None else number.to_dict()
        for name in ("retention_12m", "retention_24m"):
            pair = getattr(self, name)
            plain[name] = None if pair is None else [number.to_dict() for number in pair]
        ratio = self.hazard_ratio
        plain["p"] = None if ratio is None else ratio.p
        plain["e_value"] = None if self.e_value is None else list(map(finite_or_none, self.e_value))
        plain |= {
            "shrinkage_of": self.shrinkage_of or None,
            "artefact": self.artefact,
            "log_rank_p": self.log_rank_p,
            "from_day": self.origin,
            "horizon_days": self.horizon,
            "effective_accounts": self.effective and list(self.effective),
            "highest_weight": self.highest_weight and list(self.highest_weight),
        }
        return plain


def finite_or_none(value: float) -> float | None:
    """Return a number for JSON, None in place of an infinite or missing one."""
    return value if np.isfinite(value) else None


CORRECTED = ("time_dependent", "target_trial", "landmark")
"""The methods without immortal time, the one to quote first."""


def find_contrast(
    contrasts: Sequence[Contrast], method: str, cohort: str | None = None, *, adjusted: bool = False
) -> Contrast | None:
    """Return the contrast of a method (of the first cohort, if none is named), or None."""
    for contrast in contrasts:
        matches = contrast.method == method and cohort in (None, contrast.cohort)
        if matches and bool(contrast.adjusted_for) == adjusted:
            return contrast
    return None


def best_of(contrasts: Sequence[Contrast], cohort: str) -> Contrast | None:
    """Return the corrected contrast to quote: time-dependent and adjusted if there is one."""
    for method in CORRECTED:
        for adjusted in (True, False):
            if found := find_contrast(contrasts, method, cohort, adjusted=adjusted):
                return found
    return None


def cohorts_of(contrasts: Sequence[Contrast]) -> tuple[str, ...]:
    """Return the cohorts that are compared, in order."""
    return tuple(dict.fromkeys(contrast.cohort for contrast in contrasts))
