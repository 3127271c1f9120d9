"""Satisfaction and usage as criteria for selecting accounts, compared with results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from leadsignal.results import Result
from leadsignal.stats.normal import normal_quantile
from leadsignal.stats.proportions import Share

CRITERIA = {"happiest": "latest survey score of the last year", "heaviest": "usage of 84 days"}
TENTH = 0.1


@dataclass(frozen=True, repr=False, eq=False)
class SelectionCriterion(Result):
    """Accounts selected by another criterion, compared with the selection by results.

    Among the ``among`` accounts that have a current result and a value of this criterion, each
    criterion selects the ``size`` best. ``overlap`` is the number of accounts in both selections,
    ``by_chance`` the number expected for two random selections. ``miss`` is the share of this
    selection that misses its target, ``miss_all`` the share of all accounts. ``correlation`` is
    Spearman's correlation of the criterion with the mean distance to target of the last three
    results (``mean_gap``), with limits ``low`` and ``high``. ``frame`` has account_id, value,
    mean_gap, chosen (by this criterion), successful (chosen by results), on_target.
    """

    name: str
    frame: pd.DataFrame
    overlap: int
    by_chance: float
    miss: Share
    miss_all: Share
    correlation: float
    low: float
    high: float

    @property
    def among(self) -> int:
        """Number of accounts with both values."""
        return len(self.frame)

    @property
    def size(self) -> int:
        """Number of accounts that each criterion selects."""
        return int(self.frame["chosen"].sum())

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison, ready for JSON."""
        numbers = {"correlation": self.correlation, "low": self.low, "high": self.high}
        return {
            "name": self.name,
            "by": CRITERIA[self.name],
            "among": self.among,
            "size": self.size,
            "overlap": self.overlap,
            "overlap_by_chance": self.by_chance,
            "miss_target": self.miss.to_dict(),
            "miss_target_all": self.miss_all.to_dict(),
            **{key: None if np.isnan(value) else value for key, value in numbers.items()},
        }

    def __repr__(self) -> str:
        if not self.size:
            return f"{self.name}: no account has both a result and a value"
        return (
            f"{self.name}, by {CRITERIA[self.name]}: {self.overlap} of the best {self.size} are"
            f" also among the {self.size} best by results (by chance {self.by_chance:.1f});"
            f" {self.miss} miss their target, of all {self.miss_all}; correlation"
            f" {self.correlation:.2f} ({self.low:.2f} to {self.high:.2f})"
        )


def compare_criterion(everyone: pd.DataFrame, name: str, at_least: int = 10) -> SelectionCriterion:
    """Compare the selection by another criterion with the selection by results.

    ``everyone`` has account_id, mean_gap, on_target, score (missing if the account does not
    qualify) and a column named after the criterion. Each selection is the best tenth of the
    accounts, but at least ``at_least`` of them and at most half.
    """
    frame = everyone[everyone[name].notna() & everyone["on_target"].notna()]
    frame = frame.sort_values("account_id", ignore_index=True)
    size = min(max(at_least, int(np.ceil(TENTH * len(frame)))), len(frame) // 2)
    chosen = best(frame[name], size)
    good = best(frame["score"], size)
    on = frame["on_target"].eq(True).to_numpy()
    compared = frame[["account_id", "mean_gap"]].assign(
        value=frame[name], chosen=chosen, successful=good, on_target=on
    )
    rho, low, high = spearman(compared["value"].to_numpy(), compared["mean_gap"].to_numpy())
    expected = chosen.sum() * good.sum() / len(frame) if len(frame) else 0.0
    return SelectionCriterion(
        name, compared, int((chosen & good).sum()), float(expected),
        Share(int((chosen & ~on).sum()), int(chosen.sum())), Share(int((~on).sum()), len(on)),
        rho, low, high,
    )  # fmt: skip


def best(values: Any, size: int) -> Any:
    """Return a mask (n) of the ``size`` highest values; ties go to the earlier row."""
    order = np.argsort(-np.asarray(values, dtype=float), kind="stable")[:size]
    chosen = np.zeros(len(values), dtype=bool)
    chosen[order] = True
    return chosen & np.isfinite(np.asarray(values, dtype=float))


def spearman(x: Any, y: Any) -> tuple[float, float, float]:
    """Return Spearman's correlation with its 95 % interval; NaN for fewer than ten pairs.

    The interval uses Fisher's transformation with the variance (1 + ρ²/2)/(n − 3) of Bonett &
    Wright (2000).
    """
    from scipy.stats import rankdata

    known = np.isfinite(x) & np.isfinite(y)
    n = int(known.sum())
    if n < 10 or len(set(x[known])) < 2 or len(set(y[known])) < 2:
        return float("nan"), float("nan"), float("nan")
    rho = float(np.corrcoef(rankdata(x[known]), rankdata(y[known]))[0, 1])
    reach = normal_quantile(0.95) * np.sqrt((1 + rho**2 / 2) / (n - 3))
    middle = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    return rho, float(np.tanh(middle - reach)), float(np.tanh(middle + reach))
