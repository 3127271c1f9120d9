"""What a comparison gives back: cohorts, contrasts side by side, what to beware of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.cohorts.dated import DatedCohorts
from leadsignal.cohorts.small_groups import SmallGroups
from leadsignal.stats.estimates import Estimate

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FEWEST = 5
"""Cells of fewer accounts are suppressed."""
TITLES = {
    "naive": "naive",
    "time_dependent": "counted day by day",
    "landmark": "from a landmark",
    "target_trial": "target trial",
}


@dataclass(frozen=True)
class Cohort:
    """One cohort: ``accounts`` ever in it, ``account_days`` in it, those ``ended`` (churned) in it.

    ``rate`` is churns per 1,000 account-months at the tenure of the first cohort: its own rate, for
    the others times the hazard ratio that the verdict quotes; of many small groups, that of all
    accounts times ended over expected. None where there is no ratio. ``retention_12m``,
    ``retention_24m`` and ``median_days`` are read from the method named by ``curve``; None where it
    does not reach.
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
        """Whether it has too few accounts to be shown."""
        return self.accounts < FEWEST

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
    and of its limit. ``accounts`` and ``ended`` count the cohort and what it is held against, in a
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
        """Whether one of the two cells has too few accounts to be shown."""
        return min(self.accounts) < FEWEST

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
        plain["e_value"] = None if self.e_value is None else list(map(_finite, self.e_value))
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


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


CORRECTED = ("time_dependent", "target_trial", "landmark")


def best_of(contrasts: Sequence[Contrast], cohort: str) -> Contrast | None:
    """Return the corrected contrast to quote: day by day if there, adjusted if there."""
    for method in CORRECTED:
        for adjusted in (True, False):
            for found in contrasts:
                asked = (found.method, found.cohort) == (method, cohort)
                if asked and bool(found.adjusted_for) == adjusted:
                    return found
    return None


@dataclass(frozen=True, repr=False, eq=False)
class Comparison:
    """Cohorts compared: the naive number beside the corrected ones, with intervals.

    ``cohorts`` and ``contrasts`` hold the numbers, ``cautions`` what to beware of, ``groups`` the
    shrunken rates of small groups (reps, reasons) where the property has many values; ``dated``,
    the data they stand on; ``landmark`` and ``horizon`` in days since ``dated.since``.
    """

    by: str
    cohorts: tuple[Cohort, ...]
    contrasts: tuple[Contrast, ...]
    cautions: tuple[str, ...]
    landmark: int
    horizon: float
    level: float
    adjusted_for: tuple[str, ...]
    groups: SmallGroups | None
    dated: DatedCohorts = field(compare=False)

    def contrast(
        self, method: str, cohort: str | None = None, *, adjusted: bool = False
    ) -> Contrast | None:
        """Return the contrast of a method (of the first cohort, if none is named), or None."""
        for found in self.contrasts:
            asked = found.method == method and cohort in (None, found.cohort)
            if asked and bool(found.adjusted_for) == adjusted:
                return found
        return None

    @property
    def verdict(self) -> str:
        """What may be said, in a paragraph a cohort."""
        from leadsignal.cohorts.wording import verdict_of

        return verdict_of(self)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a contrast; suppressed ones without their numbers."""
        from leadsignal.cohorts.export import frame_of

        return frame_of(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain dictionaries, ready for JSON."""
        return {
            "by": self.by,
            "landmark_days": self.landmark,
            "horizon_days": self.horizon,
            "level": self.level,
            "time_zero": self.dated.since,
            "cohorts": [cohort.to_dict() for cohort in self.cohorts],
            "contrasts": [contrast.to_dict() for contrast in self.contrasts],
            "small_groups": [] if self.groups is None else self.groups.to_dict()["groups"],
            "cautions": list(self.cautions),
            "verdict": self.verdict,
        }

    def to_markdown(self) -> str:
        """Return the table of contrasts as Markdown, with the verdict."""
        from leadsignal.cohorts.export import markdown_of

        return markdown_of(self)

    def to_html(self) -> str:
        """Return the table of contrasts as HTML, with the verdict."""
        from leadsignal.cohorts.export import html_of

        return html_of(self)

    def write(self, path: str | Path, *, force: bool = False) -> None:
        """Write the table as ``.md``, ``.html``, ``.csv`` or ``.xlsx``, whole or not at all.

        Text that a spreadsheet would take for a formula is written as text. Raises OptionError
        for another ending, where openpyxl is missing for ``.xlsx``, and where a file is that is
        no comparison (``force`` replaces it).
        """
        from leadsignal.cohorts.export import write_table

        write_table(self, path, force=force)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the curves with intervals and the numbers at risk; return the Axes."""
        from leadsignal.cohorts.plots import curves_picture

        return curves_picture(self, ax)

    def plot_forest(self, ax: Axes | None = None) -> Axes:
        """Draw naive and corrected ratios of each cohort in one row; return the Axes."""
        from leadsignal.cohorts.plots import forest_picture

        return forest_picture(self, ax)

    def bootstrap(self, times: int = 200, *, seed: int = 0) -> pd.DataFrame:
        """Return percentile intervals from resampled clusters, beside the influence functions'."""
        from leadsignal.cohorts.resampling import bootstrapped

        return bootstrapped(self, times, seed)

    def __repr__(self) -> str:
        from leadsignal.cohorts.wording import printed

        return printed(self)

    def _repr_html_(self) -> str:
        return self.to_html()
