"""Results that several modules of ``survival`` return, and plots of arrays and frames."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from leadsignal.errors import OptionError
from leadsignal.formats import level_text, p_phrase
from leadsignal.results import Result
from leadsignal.stats.estimates import Estimate, normal_quantile, p_value, without_rounding
from leadsignal.survival.inputs import Floats


class ArrayResult(Result):
    """Base class of dataclasses whose arrays, all of one length, are the columns of a table.

    A subclass names these columns in ``COLUMNS``, or overrides `_table`.
    """

    COLUMNS: ClassVar[tuple[str, ...]] = ()

    def _table(self) -> pd.DataFrame:
        return pd.DataFrame({name: getattr(self, name) for name in self.COLUMNS})

    def to_dict(self) -> dict[str, object]:
        """Return the fields as a plain dictionary, ready for JSON."""
        return fields_of(self, *self.__dict__)


def fields_of(result: object, *names: str) -> dict[str, object]:
    """Return attributes of a result by name, with arrays and tuples as lists."""
    values = {name: getattr(result, name) for name in names}
    return {name: _listed(value) for name, value in values.items()}


def _listed(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class ChiSquare:
    """A chi-square test: its ``statistic``, degrees of freedom ``df`` and ``p``-value."""

    name: str
    statistic: float
    df: int
    p: float

    @classmethod
    def of(cls, name: str, statistic: float, df: int) -> ChiSquare:
        """Return the test with its p-value, which is 1 for zero degrees of freedom."""
        return cls(name, float(statistic), int(df), float(chdtrc(df, statistic)) if df else 1.0)

    def __repr__(self) -> str:
        return f"{self.name}: chi-square {self.statistic:.4g} on {self.df} df, {p_phrase(self.p)}"

    def to_dict(self) -> dict[str, object]:
        """Return the test as a plain dictionary, ready for JSON."""
        return {"name": self.name, "statistic": self.statistic, "df": self.df, "p": self.p}


@dataclass(frozen=True, kw_only=True, repr=False)
class Contrast(Estimate):
    """The difference or ratio of two groups.

    Parameters
    ----------
    what : str
        Name of the difference or ratio.
    group, against : object
        The two groups; the second is the reference.
    level : float
        Confidence level of the interval.
    """

    what: str
    group: object
    against: object
    level: float

    def __repr__(self) -> str:
        return (
            f"{self.what}, {self.group} against {self.against}: {self.estimate:.4g} "
            f"({level_text(self.level)} {self.low:.4g} to {self.high:.4g}), {p_phrase(self.p)}"
        )

    def at(self, level: float) -> Self:
        """Return the contrast with its interval at another confidence level."""
        return replace(super().at(level), level=level)

    def to_dict(self) -> dict[str, object]:
        """Return the contrast as a plain dictionary, ready for JSON."""
        names = ("what", "group", "against", "estimate", "std_err", "low", "high", "p", "level")
        return fields_of(self, *names)


NUMBERS = ("estimate", "std_err", "lower", "upper")


@dataclass(frozen=True, eq=False)
class Estimates(Result):
    """One estimate per group, with their joint covariance for contrasts between groups.

    Attributes: ``what``, the name of the quantity; ``groups`` (k); ``estimate`` (k); ``cov`` (k ×
    k), cluster-robust if clusters were given; ``level`` of the intervals; ``bounds``, the possible
    range of the quantity; ``influence`` (clusters × k), the influence of each cluster in the order
    of the sorted labels (None without clusters); ``note``, why limits are missing (NaN), if any
    are.
    """

    what: str
    groups: tuple[object, ...]
    estimate: Floats
    cov: Floats
    level: float = 0.95
    bounds: tuple[float, float] = field(default=(-np.inf, np.inf), repr=False)
    influence: Floats | None = field(default=None, repr=False, compare=False)
    note: str = ""

    @property
    def std_err(self) -> Floats:
        """Standard errors (k)."""
        return np.sqrt(np.maximum(np.diag(self.cov), 0.0))

    @property
    def lower(self) -> Floats:
        """Lower limits (k), clipped to ``bounds``."""
        return np.clip(self.estimate - self._margin, *self.bounds)

    @property
    def upper(self) -> Floats:
        """Upper limits (k), clipped to ``bounds``."""
        return np.clip(self.estimate + self._margin, *self.bounds)

    @property
    def _margin(self) -> Floats:
        return normal_quantile(self.level) * self.std_err

    def difference(self, group: object, against: object) -> Contrast:
        """Return ``group`` minus ``against``; raise OptionError for an unknown group."""
        i, j = self._position(group), self._position(against)
        estimate = float(self.estimate[i] - self.estimate[j])
        scales = (*self.estimate[[i, j]], *self.std_err[[i, j]])
        estimate = float(without_rounding(estimate, scales))
        error = float(without_rounding(self._error(i, j, np.array([1.0, -1.0])), scales))
        widest = self.bounds[1] - self.bounds[0]
        name = f"difference in {self.what}"
        return self._contrast(name, group, against, estimate, error, bounds=(-widest, widest))

    def ratio(self, group: object, against: object) -> Contrast:
        """Return ``group`` divided by ``against``, with an interval by the delta method."""
        i, j = self._position(group), self._position(against)
        top, bottom = float(self.estimate[i]), float(self.estimate[j])
        if top <= 0 or bottom <= 0:
            raise OptionError(
                f"ratio of {self.what}: {group!r} is {top:.4g} and {against!r} is {bottom:.4g}; "
                "a ratio needs both above zero, so use difference()"
            )
        logarithm = float(without_rounding(np.log(top / bottom), 1.0))
        gradient = np.array([1 / top, -1 / bottom])
        error = float(without_rounding(self._error(i, j, gradient), 1.0))
        return self._contrast(f"ratio of {self.what}", group, against, logarithm, error, log=True)

    def _contrast(
        self, what: str, group: object, against: object, value: float, error: float,
        *, log: bool = False, bounds: tuple[float, float] = (-np.inf, np.inf),
    ) -> Contrast:  # fmt: skip
        """Return a contrast with its interval; ``value`` is a logarithm if ``log``."""
        known = error > 0 or value == 0
        margin = normal_quantile(self.level) * error if known else np.nan
        limits = (max(value - margin, bounds[0]), min(value + margin, bounds[1]))
        with np.errstate(over="ignore"):
            estimate, low, high = (float(np.exp(x)) if log else x for x in (value, *limits))
        return Contrast(
            estimate=estimate, low=low, high=high, p=p_value(value, error), std_err=error,
            df=np.inf, log=log, bounds=bounds, what=what, group=group, against=against,
            level=self.level,
        )  # fmt: skip

    def _table(self) -> pd.DataFrame:
        """Return one row per group: estimate, std_err, lower, upper."""
        return pd.DataFrame(
            {"group": self.groups, **{name: getattr(self, name) for name in NUMBERS}}
        )

    def to_dict(self) -> dict[str, object]:
        """Return the estimates as a plain dictionary, ready for JSON."""
        plain = fields_of(self, "what", "level", "groups", *NUMBERS)
        return {**plain, **({"note": self.note} if self.note else {})}

    def __repr__(self) -> str:
        rows = zip(self.groups, self.estimate, self.lower, self.upper, strict=True)
        lines = [
            f"  {group}: {one:.4g} ({low:.4g} to {high:.4g})" for group, one, low, high in rows
        ]
        notes = [f"  {self.note}"] if self.note else []
        return "\n".join([f"{self.what} ({level_text(self.level)} intervals)", *lines, *notes])

    def _error(self, i: int, j: int, gradient: Floats) -> float:
        """Return the standard error of a contrast, from influence where it is known."""
        if self.influence is not None and np.isfinite(self.cov[[i, j], [i, j]]).all():
            moved = self.influence[:, [i, j]] @ gradient
            return float(np.sqrt(moved @ moved))
        variance = gradient @ self.cov[np.ix_([i, j], [i, j])] @ gradient
        return float(np.sqrt(np.maximum(variance, 0.0)))

    def _position(self, group: object) -> int:
        if group not in self.groups:
            allowed = ", ".join(map(repr, self.groups))
            raise OptionError(f"there is no group {group!r}; the groups are {allowed}")
        return self.groups.index(group)
