"""The temporal order of adoption, results, growing usage, expansion and renewal.

There are two questions for each pair: among accounts that reached both, which came first; and does
reaching one raise the rate of reaching the other. The second compares accounts of the same tenure
and term, so that what usually happens early is not mistaken for a cause. Neither shows that one
causes the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.accounts import at_risk
from leadsignal.arguments import checked
from leadsignal.errors import LeadsignalError, ModelError
from leadsignal.evaluation.evaluation_rows import named_interval
from leadsignal.files.writing import json_rows
from leadsignal.indicators.declare import ProcessState
from leadsignal.panel import Panel
from leadsignal.results import Result, to_html
from leadsignal.stats import mean_of, normal_quantile
from leadsignal.survival.cox import fit_cox
from leadsignal.survival.curves import kaplan_meier

Floats = NDArray[np.float64]
Ratio = tuple[float, float, float]
"""A hazard ratio with its 95 % interval."""


GROWTH = 1.2
"""Usage has grown if the mean of the last weeks exceeds its previous best by a fifth."""
LEAST = 20
"""Minimum number of accounts that reached the later of two milestones."""
CANNOT = "undetermined"


@dataclass(frozen=True, repr=False, eq=False)
class OrderInTime(Result):
    """The order of milestones, for accounts observed from their start.

    ``pairs`` has one row per pair: ``first``, ``second``, ``both`` (number of accounts that reached
    both at different snapshots), ``share`` of them in the given order, with interval; ``forward``,
    the hazard ratio for the second after the first is reached, and ``backward``, for the first
    after the second, both with intervals; ``verdict``. ``times`` has one row per milestone:
    accounts, reached, and the median days from the start to it, with interval (missing if fewer
    than half reach it).
    """

    pairs: pd.DataFrame
    times: pd.DataFrame
    accounts: int

    def _table(self) -> pd.DataFrame:
        return self.pairs

    def to_dict(self) -> dict[str, Any]:
        """Return pairs and times, ready for JSON; undefined values are None."""
        return {
            "accounts": self.accounts,
            "pairs": json_rows(self.pairs.replace(np.inf, np.nan)),
            "times": json_rows(self.times.replace(np.inf, np.nan)),
        }

    def __repr__(self) -> str:
        lines = [f"Order in time of {len(self.times)} milestones, {self.accounts:,} accounts"]
        lines += [
            f"  {row.milestone}: {row.reached:,} reached it, half within {row.median_days:.0f} days"
            if row.median_days < np.inf  # type: ignore[operator]
            else f"  {row.milestone}: {row.reached:,} reached it, fewer than half"
            for row in self.times.itertuples()
        ]
        lines += [
            f"  {row.first} → {row.second}: {row.verdict} (×{row.forward:.2f},"
            f" {row.forward_low:.2f} to {row.forward_high:.2f}; back ×{row.backward:.2f},"
            f" {row.backward_low:.2f} to {row.backward_high:.2f})"
            for row in self.pairs.itertuples()
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        columns = ["first", "second", "both", "share", "forward", "backward", "verdict"]
        head = f"Order in time of {len(self.times)} milestones, {self.accounts:,} accounts"
        return to_html(head, self.times) + to_html(
            "Which raises the rate of which", self.pairs[columns]
        )


@checked
def order_in_time(panel: Panel) -> OrderInTime:
    """Return which milestones come before which, and how long each takes from the start.

    Milestones are read at snapshots: an adopted process, a result that meets its target, usage a
    fifth above its previous best, an expansion, a renewal. Those that the panel cannot show are
    left out. Verdicts are based on hazard ratios (Cox, tenure scale, strata by term, errors
    clustered by customer). Raises ModelError if fewer than two milestones can be observed.

    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> ls.evaluation.order_in_time(ls.build_panel(tables)).times["milestone"].tolist()
    ['result met', 'usage grown', 'expansion', 'renewal']
    """
    panel.refuse_sample("the order in time")
    frame = panel.frame.sort_values(["account_id", "snapshot_on"])
    begun = frame.loc[frame["start"] == 0, "account_id"]
    rows = frame[frame["account_id"].isin(begun)].reset_index(drop=True)
    milestones = _milestones(panel, rows)
    if len(milestones) < 2:
        raise ModelError(
            "fewer than two milestones can be seen in this panel",
            "Give essential processes, results, usage or contract changes",
        )
    rows = rows.assign(stop=rows["start"] + at_risk(rows)[0])
    here = ~(rows["known_within"] <= 0)
    reached = {name: _since(rows, on & here) for name, on in milestones.items()}
    pairs = [_pair(rows, reached, *names) for names in combinations(reached, 2)]
    times = [_time(rows, name, day) for name, day in reached.items()]
    accounts = int(rows["account_id"].nunique())
    return OrderInTime(pd.DataFrame(pairs), pd.DataFrame(times), accounts)


def _milestones(panel: Panel, rows: pd.DataFrame) -> dict[str, Any]:
    """Return, by milestone, the rows at which it has been reached."""
    states = [one.name for one in panel.indicators if isinstance(one.rule, ProcessState)]
    found: dict[str, Any] = {}
    if states:
        found["adoption"] = (rows[states] == "adopted").any(axis=1)
    if "result_gap" in rows:
        found["result met"] = rows["result_gap"] >= 0
    if "usage_to_best" in rows:
        found["usage grown"] = rows["usage_to_best"] >= GROWTH
    if "contract_days_since_expansion" in rows:
        since = rows["contract_days_since_expansion"]
        found["expansion"] = since.notna() & (since <= rows["start"])
    if "days_to_renewal" in rows:
        left = rows["days_to_renewal"]
        found["renewal"] = (left.diff() > 0) & rows["account_id"].eq(rows["account_id"].shift())
    return found


def _since(rows: pd.DataFrame, on: Any) -> Floats:
    """Return, by row, the tenure at which the account first satisfied ``on``; infinite if never."""
    first = rows["start"].where(on.to_numpy()).groupby(rows["account_id"]).transform("min")
    return first.fillna(np.inf).to_numpy(dtype=float)


def _pair(rows: pd.DataFrame, reached: dict[str, Floats], a: str, b: str) -> dict[str, Any]:
    last = ~rows["account_id"].duplicated(keep="last").to_numpy()
    first, second = reached[a][last], reached[b][last]
    both = np.isfinite(first) & np.isfinite(second) & (first != second)
    share = mean_of((first < second)[both].astype(float))
    customer = pd.factorize(rows["customer_id"][last][both])[0].astype(np.int64)
    low, high = share.interval(customer)
    forward = _ratio(rows, reached[a], reached[b])
    backward = _ratio(rows, reached[b], reached[a])
    return {
        "first": a,
        "second": b,
        "both": int(both.sum()),
        "share": share.estimate,
        "share_low": low,
        "share_high": high,
        **named_interval("forward", forward),
        **named_interval("backward", backward),
        "verdict": _verdict(a, b, forward, backward),
    }


def _ratio(rows: pd.DataFrame, cause: Floats, event: Floats) -> Ratio:
    """Return the hazard ratio of ``event`` after ``cause`` is reached, with its 95 % interval."""
    nan = (np.nan, np.nan, np.nan)
    start, stop = rows["start"].to_numpy(dtype=float), rows["stop"].to_numpy(dtype=float)
    # An event is first seen at a snapshot, and ends the row before it.
    happens = (event > start) & (event <= stop)
    there = (event > start) & (stop > start)
    reached = (cause <= start).astype(float)
    if happens.sum() < LEAST or len(np.unique(reached[there])) < 2:
        return nan
    strata = rows["term_months"].fillna(-1).to_numpy() if "term_months" in rows else None
    try:
        fit = fit_cox(
            reached[there, None], stop[there], happens[there], start=start[there],
            strata=None if strata is None else strata[there],
            cluster=rows["customer_id"].to_numpy()[there],
        )  # fmt: skip
    except LeadsignalError:
        return nan
    beta = float(fit.coef[0])
    spread = fit.robust_cov if fit.robust_cov is not None else fit.cov
    margin = normal_quantile(0.95) * float(np.sqrt(spread[0, 0]))
    estimate, low, high = np.exp([beta, beta - margin, beta + margin]).tolist()
    return estimate, low, high


def _verdict(a: str, b: str, forward: Ratio, backward: Ratio) -> str:
    """Return a verdict from the two ratios: one comes first, each raises the other, or unclear."""
    if np.isnan(forward[0]) or np.isnan(backward[0]):
        return CANNOT
    ahead, behind = forward[1] > 1, backward[1] > 1
    if ahead and behind:
        return "each raises the rate of the other"
    if ahead:
        return f"{a} comes before {b}"
    return f"{b} comes before {a}" if behind else CANNOT


def _time(rows: pd.DataFrame, name: str, reached: Floats) -> dict[str, Any]:
    last = ~rows["account_id"].duplicated(keep="last").to_numpy()
    day, followed = reached[last], rows["stop"].to_numpy(dtype=float)[last]
    seen = followed > 0
    event = np.isfinite(day)[seen] & (day[seen] > 0)
    stop = np.where(event, day[seen], followed[seen])
    found = kaplan_meier(stop, event).quantiles(0.5)[0]
    return {
        "milestone": name,
        "accounts": int(seen.sum()),
        "reached": int(event.sum()),
        "median_days": float(found.estimate),
        "low": float(found.lower),
        "high": float(found.upper),
    }
