"""Outcomes of past scores: calibration, recall, alerts per run, and the hold-out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import bdtr

from leadsignal.accounts import known_ends
from leadsignal.errors import ModelError
from leadsignal.evaluation.evaluation_rows import by_quarter
from leadsignal.files.writing import json_fields
from leadsignal.formats import share_between, share_text
from leadsignal.scoring.feeds import HELD_OUT
from leadsignal.stats import Share, mean_of
from leadsignal.survival.horizon_risks import calibration
from leadsignal.tables import Tables

JUDGED_DAYS = 365
"""Number of days over which outcomes are evaluated: runs whose horizon has passed, and ends."""
LATEST_DAYS = 35
"""An end is evaluated by the last run early enough, if that is at most this many days older."""


@dataclass(frozen=True)
class Realised:
    """Expected and observed churns of the rows whose horizon has passed.

    There are ``rows`` of ``accounts`` on ``runs`` days. ``low`` and ``high`` are the 95 % interval
    of the observed churns, clustered by customer, since rows of one account are dependent.
    ``slope`` (estimate, low, high) is that of logit(observed) on logit(risk), where 1 is perfect;
    None if it cannot be fitted. ``caught`` counts the churned accounts alerted at the last run at
    least the warning time before their end became known; ``alert_share`` is the share of accounts
    alerted, which random alerts would catch. ``precision`` counts alerted rows that churned.
    ``std_err`` is the standard error of observed minus expected.
    """

    arm: str
    rows: int
    accounts: int
    runs: int
    expected: float
    observed: int
    low: float
    high: float
    std_err: float
    slope: tuple[float, float, float] | None
    caught: Share
    alert_share: float
    precision: Share

    @property
    def ratio(self) -> float:
        """Observed over expected."""
        return self.observed / self.expected if self.expected else float("nan")

    def __str__(self) -> str:
        slope = "" if self.slope is None else f", slope {self.slope[0]:.2f}"
        return (
            f"{self.arm}: {self.observed:,} churns in {self.rows:,} scores of {self.runs} runs"
            f" ({max(self.low, 0):,.0f} to {self.high:,.0f}), {self.expected:,.1f} expected{slope};"
            f" {self.caught!r} of the churners had an alert in time, {share_text(self.alert_share)}"
            " by chance"
        )

    def chance_of_catch(self) -> float:
        """Return the probability of this few catches or fewer if alerts were random."""
        return float(bdtr(self.caught.count, self.caught.of, self.alert_share))

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        slope = self.slope or (None, None, None)
        names = ("arm", "rows", "accounts", "runs", "expected", "observed", "observed_low",
                 "observed_high", "ratio")  # fmt: skip
        return {
            **json_fields(self, *names, observed_low="low", observed_high="high"),
            "slope": dict(zip(("estimate", "low", "high"), slope, strict=True)),
            **json_fields(self, "caught", "alert_share", "precision"),
        }


@dataclass(frozen=True)
class Arms:
    """Accounts from their first alert on: held-out accounts compared with the others.

    ``churned`` counts accounts that churned within the horizon of the first alert, by arm as
    assigned, contacted or not (intention to treat). ``difference`` is the share of the held-out
    accounts minus that of the others, with its 95 % interval (Newcombe 1998, method 10): the churn
    that acting on alerts prevents.
    """

    held_out: Share
    acted_on: Share
    difference: float
    low: float
    high: float
    contacted: Share | None
    contacted_though_held_out: Share | None

    def __str__(self) -> str:
        text = (
            f"hold-out: {self.held_out!r} of {self.held_out.of:,} alerted accounts held out"
            f" churned, {self.acted_on!r} of {self.acted_on.of:,} others: "
            f"{share_between(self.difference, self.low, self.high, signed=True)}"
        )
        if self.contacted is None or self.contacted_though_held_out is None:
            return f"{text}; who was contacted is not recorded"
        return (
            f"{text}; contacted were {self.contacted.count:,} of the others and"
            f" {self.contacted_though_held_out.count:,} held out"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        names = ("held_out", "acted_on", "contacted", "contacted_though_held_out")
        difference = {"estimate": self.difference, "low": self.low, "high": self.high}
        known = difference if self.held_out.of else None
        return {**json_fields(self, *names), "difference": known}


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Scores with the outcomes of their accounts, as far as known on ``as_of_date``.

    ``frame`` has the rows of the scores with ``within`` (days from the snapshot to the end, NaN
    while active), ``churned`` (within the horizon), ``passed`` (whether the horizon has passed),
    ``known_on`` and ``arm``. ``strangers`` counts rows of accounts that are not in the tables.
    """

    frame: pd.DataFrame
    horizon: int
    as_of_date: date
    strangers: int = 0


def horizon_of(scores: pd.DataFrame) -> int:
    """Return the horizon of scores in days, from the largest of the columns still_active_…d."""
    return max(active_columns(scores))


def active_columns(scores: pd.DataFrame) -> dict[int, str]:
    """Return the columns still_active_…d of scores by number of days, the smallest first."""
    named = [str(name) for name in scores.columns if str(name).startswith("still_active_")]
    days = {int(name.removeprefix("still_active_").removesuffix("d")): name for name in named}
    return dict(sorted(days.items()))


def find_outcomes(tables: Tables, scores: pd.DataFrame) -> Outcomes:
    """Return scores with the outcomes that are known at the tables' as_of."""
    accounts = tables.frame("accounts")
    horizon, today = horizon_of(scores), pd.Timestamp(tables.as_of_date)
    ends = pd.DataFrame(
        {
            "account_id": accounts["account_id"].astype(str),
            "customer": accounts["customer_id"].fillna(accounts["account_id"]).astype(str),
            "ended_on": pd.to_datetime(accounts["ended_on"]),
        }
    ).join(known_ends(tables, accounts))
    kept = ["account_id", "snapshot_on", "risk", "alert", "model_version"]
    kept += [HELD_OUT] if HELD_OUT in scores else []
    frame = scores[kept].merge(ends, on="account_id", how="inner")
    frame["within"] = (frame["ended_on"] - frame["snapshot_on"]).dt.days
    frame["churned"] = (frame["within"] <= horizon) & frame["is_churn"]
    frame["passed"] = frame["snapshot_on"] + pd.Timedelta(days=horizon) < today
    held_out = frame[HELD_OUT].eq(True) if HELD_OUT in frame else False
    frame["arm"] = np.where(held_out, "held out", "acted on")
    return Outcomes(frame, horizon, tables.as_of_date, len(scores) - len(frame))


def evaluate_outcomes(outcomes: Outcomes, warning_time: int) -> tuple[Realised, ...]:
    """Return expected and observed churns of all accounts, and of held-out ones if any."""
    frame = outcomes.frame
    arms = ["all", *(["held out"] if (frame["arm"] == "held out").any() else [])]
    found = [
        _realised(arm, frame[(frame["arm"] == arm) | (arm == "all")], outcomes, warning_time)
        for arm in arms
    ]
    return tuple(one for one in found if one is not None)


def outcomes_by_quarter(outcomes: Outcomes) -> pd.DataFrame:
    """Return expected and observed churn by quarter of the run, in the form of `by_quarter`."""
    rows = outcomes.frame[outcomes.frame["passed"]]
    return by_quarter(rows["snapshot_on"], rows["risk"], rows["churned"], rows["customer"])


def _realised(
    arm: str, frame: pd.DataFrame, outcomes: Outcomes, warning_time: int
) -> Realised | None:
    rows = frame[frame["passed"]]
    if not len(rows):
        return None
    rows = rows[rows["snapshot_on"] > rows["snapshot_on"].max() - pd.Timedelta(days=JUDGED_DAYS)]
    churned = rows["churned"].to_numpy(dtype=float)
    risk = rows["risk"].to_numpy(dtype=float)
    customer = pd.factorize(rows["customer"])[0].astype(np.int64)
    apart = mean_of(churned - risk)
    low, high = apart.interval(customer)
    expected, size = float(risk.sum()), len(rows)
    alerted = rows["alert"].to_numpy(dtype=bool)
    accounts, runs = (int(rows[name].nunique()) for name in ("account_id", "snapshot_on"))
    limits = max(0.0, expected + size * low), min(float(size), expected + size * high)
    slope = _slope(rows, risk, customer, outcomes.horizon)
    right = Share(int(churned[alerted].sum()), int(alerted.sum()))
    return Realised(
        arm, size, accounts, runs, expected, int(churned.sum()), *limits,
        size * apart.std_err(customer), slope, _caught(frame, outcomes, warning_time),
        float(frame["alert"].mean()), right,
    )  # fmt: skip


def _slope(
    rows: pd.DataFrame, risk: Any, customer: Any, horizon: int
) -> tuple[float, float, float] | None:
    stop = np.minimum(rows["within"].fillna(np.inf).to_numpy(dtype=float), horizon + 1)
    cause = np.where(rows["churned"], 1, 2 * (stop <= horizon)).astype(int)
    stop = np.maximum(stop, 0.5)
    try:
        slope = calibration(stop, cause, risk, horizon, cluster=customer).slope
    except ModelError:
        return None
    return slope if all(np.isfinite(slope)) else None


def _caught(frame: pd.DataFrame, outcomes: Outcomes, warning_time: int) -> Share:
    """Count the churned accounts of the last year alerted at the last run early enough."""
    today = pd.Timestamp(outcomes.as_of_date)
    ahead = (frame["known_on"] - frame["snapshot_on"]).dt.days
    recent = frame["known_on"] >= today - pd.Timedelta(days=JUDGED_DAYS)
    early = ahead.between(warning_time, warning_time + LATEST_DAYS)
    rows = frame[recent & early & frame["is_churn"]].sort_values("snapshot_on")
    last = rows.groupby("account_id", sort=True).tail(1)
    return Share(int(last["alert"].sum()), len(last))


def alert_volume(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the accounts, alerts, share alerted, new alerts and expected churns of each run."""
    rows: list[dict[str, Any]] = []
    before: set[str] = set()
    for day, mine in scores.sort_values("snapshot_on").groupby("snapshot_on"):
        alerted = set(mine.loc[mine["alert"].astype(bool), "account_id"])
        new = len(alerted - before) if rows else float("nan")
        rows.append(
            {"snapshot_on": day, "accounts": len(mine), "alerts": len(alerted),
             "share": len(alerted) / len(mine), "new_alerts": new,
             "expected_churns": float(mine["risk"].sum()),
             "model_version": str(mine["model_version"].iloc[0])}
        )  # fmt: skip
        before = alerted
    return pd.DataFrame(rows)


def evaluate_arms(outcomes: Outcomes, contacts: pd.DataFrame | None) -> Arms | None:
    """Return the results of the hold-out; None if the scores have none.

    Each account counts once, from its first alert whose horizon has passed. A contact counts from
    that day until the horizon.
    """
    frame = outcomes.frame
    if HELD_OUT not in frame:
        return None
    alerts = frame[frame["alert"].astype(bool) & frame[HELD_OUT].notna()]
    first = alerts.sort_values("snapshot_on").groupby("account_id", sort=True).head(1)
    first = first[first["passed"]]
    in_holdout = (first["arm"] == "held out").to_numpy(dtype=bool)
    churned = first["churned"].to_numpy(dtype=bool)
    one, other = (
        Share(int(churned[mine].sum()), int(mine.sum())) for mine in (in_holdout, ~in_holdout)
    )
    shares: list[Share | None] = [None, None]
    if contacts is not None:
        met = _contacted(first, contacts, outcomes.horizon)
        shares = [
            Share(int(met[mine].sum()), int(mine.sum())) for mine in (~in_holdout, in_holdout)
        ]
    return Arms(one, other, *difference_of(one, other), shares[0], shares[1])


def _contacted(first: pd.DataFrame, contacts: pd.DataFrame, horizon: int) -> Any:
    joined = first[["account_id", "snapshot_on"]].merge(contacts, on="account_id")
    after = (joined["contacted_on"] - joined["snapshot_on"]).dt.days
    met = joined.loc[after.between(0, horizon), "account_id"]
    return first["account_id"].isin(met).to_numpy(dtype=bool)


def difference_of(one: Share, other: Share) -> tuple[float, float, float]:
    """Return the difference of two shares with its 95 % interval; NaN if one is of no accounts.

    Newcombe (1998), Statistics in Medicine 17, 873-890, method 10.

    >>> [round(value, 4) for value in difference_of(Share(56, 70), Share(48, 80))]
    [0.2, 0.0524, 0.3339]
    """
    if not one.of or not other.of:
        return float("nan"), float("nan"), float("nan")
    (low, high), (other_low, other_high) = one.interval, other.interval
    p, q = one.estimate, other.estimate
    down = sqrt((p - low) ** 2 + (other_high - q) ** 2)
    up = sqrt((high - p) ** 2 + (q - other_low) ** 2)
    return p - q, p - q - down, p - q + up
