"""Uncertainty of risks due to the sampling of training accounts, by the bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import clone

from leadsignal.arguments import checked
from leadsignal.errors import ModelError, OptionError
from leadsignal.model.churn_model import ChurnModel
from leadsignal.model.stacked_model import log_odds
from leadsignal.panel import Panel
from leadsignal.phrases import level_text, share_text
from leadsignal.results import MAX_ROWS, Result, rounded
from leadsignal.workers import each

Floats = NDArray[np.float64]

if TYPE_CHECKING:
    from matplotlib.axes import Axes


MIN_RESAMPLES = 10


@dataclass(frozen=True, eq=False)
class RiskBands(Result):
    """A band for each row's risk: ``risk``, ``low`` and ``high``, all of shape (rows,).

    The band covers the risk of accounts like this one, not whether this one leaves.
    """

    account_id: NDArray[Any]
    risk: Floats
    low: Floats
    high: Floats
    level: float
    resamples: int

    def _table(self) -> pd.DataFrame:
        """Return one row per account, in the order of the rows."""
        return pd.DataFrame(
            {
                "account_id": self.account_id,
                "risk": self.risk,
                "risk_low": self.low,
                "risk_high": self.high,
            }
        )

    def __repr__(self) -> str:
        return (
            f"Risk bands of {len(self.risk):,} rows, {level_text(self.level)} over {self.resamples}"
            f" resamples of accounts: their median limits are {share_text(np.median(self.low), 1)}"
            f" and {share_text(np.median(self.high), 1)}"
        )

    def _notebook_table(self) -> pd.DataFrame:
        return rounded(self._table().nlargest(MAX_ROWS, "risk"), 3)

    def plot(self, ax: Axes | None = None, *, most: int = 12) -> Axes:
        """Plot the ``most`` riskiest accounts with their bands."""
        from leadsignal.picture_style import COLOURS, SMALL, axes_of, percent_axis, write_title

        top = self._table().nlargest(most, "risk").iloc[::-1]
        axes = axes_of(ax, (6.4, 0.22 * len(top) + 1.2))
        at = np.arange(len(top))
        axes.hlines(at, top["risk_low"], top["risk_high"], color=COLOURS[0], linewidth=1.5)
        axes.plot(top["risk"], at, "o", color=COLOURS[0], markersize=4)
        axes.set_yticks(at, top["account_id"].astype(str), fontsize=SMALL)
        axes.set(xlabel="risk of churn within the horizon", xlim=(0, None))
        percent_axis(axes.xaxis)
        write_title(axes, f"The riskiest accounts, with {level_text(self.level)} bands")
        return axes


@checked
def risk_bands(
    model: ChurnModel,
    panel: Panel,
    rows: pd.DataFrame,
    *,
    resamples: int = 30,
    level: float = 0.9,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> RiskBands:
    """Return bootstrap bands of the risks, refitting the model on resampled accounts.

    The band is the log-odds of the risk plus and minus the normal quantile times its standard
    deviation over ``resamples`` refits (Efron 1979, by account: all rows of an account stay
    together). ``panel`` must be the one the model was fitted on. Raises OptionError for fewer than
    10 resamples, a level outside (0, 1), or a panel that is a sample of rows.
    """
    from leadsignal.stats.normal import normal_quantile

    panel.refuse_sample("a risk band")
    if resamples < MIN_RESAMPLES or not 0 < level < 1:
        raise OptionError(
            f"resamples is {resamples}, level is {level}",
            f"Give at least {MIN_RESAMPLES} resamples, and a level between 0 and 1",
        )
    risk = model.predict(rows).risk
    rng = np.random.default_rng(seed)
    # Accounts are drawn here, in a fixed order; only their numbers go to other processes.
    accounts = panel.frame["account_id"].nunique()
    draws = [(rng.integers(accounts, size=accounts),) for _ in range(resamples)]
    refit = partial(_refitted, model, panel, rows)
    values = resamples * panel.frame.size
    resampled = list(each(refit, draws, values=values, progress=progress))
    margin = normal_quantile(level) * np.std(resampled, axis=0, ddof=1)
    middle = log_odds(risk)
    return RiskBands(
        rows["account_id"].to_numpy(),
        risk,
        expit(middle - margin),
        expit(middle + margin),
        level,
        resamples,
    )


def _refitted(
    model: ChurnModel, panel: Panel, rows: pd.DataFrame, numbers: NDArray[np.int64]
) -> Floats:
    """Return the log-odds of the rows' risks from the model refitted on resampled accounts."""
    try:
        refit = clone(model).fit(_resampled(panel, numbers))
    except ModelError as error:
        raise ModelError(
            f"a resample of the accounts cannot be fitted: {error.problem}", error.remedy
        ) from None
    return log_odds(refit.predict(rows).risk)


def _resampled(panel: Panel, numbers: NDArray[np.int64]) -> Panel:
    """Return the panel of the resampled accounts, numbered in order of account_id.

    Copies become separate accounts of the same customer, so they are always in the same fold.
    """
    frame = panel.frame
    codes, names = pd.factorize(frame["account_id"], sort=True)
    copies = np.bincount(numbers, minlength=len(names))[codes]
    row = np.repeat(np.arange(len(frame)), copies)
    copy = np.arange(len(row)) - np.repeat(np.cumsum(copies) - copies, copies)
    rows = frame.iloc[row].reset_index(drop=True)
    rows["customer_id"] = rows["customer_id"].fillna(rows["account_id"])
    rows["account_id"] = rows["account_id"].astype(str) + "#" + copy.astype(str)
    return replace(panel, frame=rows)
