"""Small groups, such as sales reps and reasons to buy: rates drawn towards the average.

A group's ends are Poisson with mean θ·E, E those expected from its accounts' context without the
group; θ is gamma with mean 1 and variance τ². The spread τ is not known: it is integrated over,
with weights from what all groups say of it (their negative binomial likelihoods, Clayton & Kaldor
1987) and a half-normal prior of scale 0.5, so that an interval never pretends to know it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammainc, gammaln

from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.survival import fit_cox, nelson_aalen
from leadsignal.survival.inputs import ArrayValidator, Floats

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SPREADS = np.linspace(0.01, 2.0, 120)
SPREAD_SCALE = 0.5
SUPPRESSED = 5


@dataclass(frozen=True)
class SmallGroup:
    """One group: ``ended`` against ``expected``; its ``rate`` relative to the average.

    ``rate`` is shrunken, from ``low`` to ``high``; ``raw`` is ended over expected; ``better`` is
    the probability that it loses fewer than the average.
    """

    name: str
    accounts: int
    ended: int
    expected: float
    raw: float
    rate: float
    low: float
    high: float
    better: float


@dataclass(frozen=True, repr=False)
class SmallGroups:
    """All groups in the order of their names; also by iteration. ``spread`` is the mean of τ."""

    groups: tuple[SmallGroup, ...]
    spread: float
    level: float

    def __iter__(self) -> Any:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a group; those with fewer than five accounts without their numbers."""
        import pandas as pd

        return pd.DataFrame(self.to_dict()["groups"])

    def to_dict(self) -> dict[str, Any]:
        """Return the groups as plain dictionaries, ready for JSON."""
        return {"spread": self.spread, "groups": [_plain(group) for group in self.groups]}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the funnel: ended over expected by size, with the limits of chance."""
        from leadsignal.cohorts.plots import funnel_picture

        return funnel_picture(self, ax)

    def __repr__(self) -> str:
        lines = [
            f"Churn by group, relative to the average of 1 ({self.level:.0%} intervals; spread"
            f" between groups {self.spread:.2f})"
        ]
        for g in self.groups:
            if g.accounts < SUPPRESSED:
                lines.append(f"  {g.name}: fewer than {SUPPRESSED} accounts")
                continue
            lines.append(
                f"  {g.name}: {g.rate:.2f} ({g.low:.2f} to {g.high:.2f}), {g.ended} ended of"
                f" {g.expected:.1f} expected, better than average with {g.better:.0%}"
            )
        return "\n".join(lines)


def _plain(group: SmallGroup) -> dict[str, Any]:
    plain: dict[str, Any] = {**group.__dict__, "suppressed": group.accounts < SUPPRESSED}
    if plain["suppressed"]:
        plain |= {key: None for key in plain if key not in ("name", "suppressed")}
    if plain["raw"] is not None and not np.isfinite(plain["raw"]):
        plain["raw"] = None  # nobody was expected to end, so that there is no ratio
    return plain


def shrink(
    names: Sequence[str],
    ended: ArrayLike,
    expected: ArrayLike,
    *,
    accounts: Sequence[int] | None = None,
    level: float = 0.95,
) -> SmallGroups:
    """Return shrunken rates of groups from their ended and expected counts (k each).

    Raises OptionError with every fault of the counts.

    >>> few = shrink(["a", "b", "c"], [2, 10, 6], [6.0, 6.0, 6.0]).groups[1]
    >>> 1 < few.rate < few.raw
    True
    """
    door = ArrayValidator("shrink", len(names))
    N, E = door.numbers("ended", ended), door.numbers("expected", expected)
    if (N < 0).any() or (E < 0).any():
        door.refuse("ended or expected is negative; both are counts")
    door.level(level)
    door.close()
    shape = 1 / SPREADS**2
    log_weight = -0.5 * (SPREADS / SPREAD_SCALE) ** 2 + _log_likelihood(N, E, shape)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    counts = accounts if accounts is not None else [SUPPRESSED] * len(N)
    made = []
    for k, name in enumerate(names):
        a, b = shape + N[k], shape + E[k]
        low, high = (_quantile(q, a, b, weight) for q in (0.5 - level / 2, 0.5 + level / 2))
        made.append(
            SmallGroup(
                str(name), int(counts[k]), int(N[k]), float(E[k]),
                float(N[k] / E[k]) if E[k] > 0 else float("nan"), float(weight @ (a / b)),
                low, high, _below(1.0, a, b, weight),
            )
        )  # fmt: skip
    return SmallGroups(tuple(made), float(weight @ SPREADS), level)


def _log_likelihood(N: Floats, E: Floats, shape: Floats) -> Floats:
    """Return the negative binomial log-likelihood of all groups at each shape 1/τ²."""
    a = shape[:, None]
    each = (
        gammaln(a + N) - gammaln(a) - gammaln(N + 1)
        + a * np.log(a / (a + E)) + N * np.log(np.maximum(E, 1e-12) / (a + E))
    )  # fmt: skip
    total: Floats = each.sum(axis=1)
    return total


def _below(x: float, a: Floats, b: Floats, weight: Floats) -> float:
    return float(weight @ gammainc(a, b * x))


def _quantile(q: float, a: Floats, b: Floats, weight: Floats) -> float:
    """Return a quantile of the mixture of gammas, by bisection."""
    low, high = 0.0, float((a / b + 12 * np.sqrt(a) / b).max())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(middle, a, b, weight) < q else (low, middle)
    return (low + high) / 2


def expected_ends(cohorts: DatedCohorts, X: Floats | None = None) -> Floats:
    """Return the ends each level is expected to have (k), from tenure and ``X`` without the level.

    Their sum is the number of ends: the martingale form of Cox's model, of Nelson-Aalen without
    covariates.
    """
    event, start, stop = cohorts.row_cause == CHURN, cohorts.row_start, cohorts.row_stop
    levels = len(cohorts.levels)
    if X is not None and X.size and event.any():
        fit = fit_cox(X[cohorts.row_account], stop, event, start=start, ridge=1e-2)
        each = event - fit.residuals().martingale
    else:
        curve = nelson_aalen(stop, event, start=start)[0]
        hazard = np.concatenate(([0.0], curve.estimate))
        until, since = (hazard[np.searchsorted(curve.time, t, "right")] for t in (stop, start))
        each = until - since
    expected: Floats = np.bincount(cohorts.row_state, each, levels).astype(np.float64)
    return expected
