"""Outcomes of past scores: calibration, recall, alerts per run, the hold-out, lasting changes.

The log-likelihood ratio of a lasting change is accumulated and never falls below 0 (Page 1954,
Biometrika 41, 100-115; for counts, Lucas 1985, Technometrics 27, 129-144). For Poisson counts
O with expectation E and a change of E by the factor r, a step adds

    (O log(r) - E (r - 1)) / dispersion.

A change is found once the sum reaches a limit h. Whatever the expectations, the average time to a
false alarm is at least e^h steps (Lorden 1971, Annals of Mathematical Statistics 42, 1897-1908),
from which ``limit_for`` follows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from math import log, sqrt
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
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

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


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
        return np.nan, np.nan, np.nan
    (low, high), (other_low, other_high) = one.interval, other.interval
    p, q = one.estimate, other.estimate
    down = sqrt((p - low) ** 2 + (other_high - q) ** 2)
    up = sqrt((high - p) ** 2 + (q - other_low) ** 2)
    return p - q, p - q - down, p - q + up


@dataclass(frozen=True, eq=False)
class Cusum:
    """The sum after each step, the step at which its current rise began, and whether it is found.

    All have shape (steps,). A change stays found until the sum is back at 0.
    """

    level: Floats
    since: NDArray[np.int64]
    found: Bools


def limit_for(alarms: float, every: float) -> float:
    """Return the limit at which at most ``alarms`` false alarms are expected per year.

    ``every`` is the number of days between steps. For one alarm in ten years and weekly steps:

    >>> round(limit_for(0.1, 7), 3)
    6.257
    """
    return log(365.25 / every / alarms)


def run_cusum(
    observed: Floats,
    expected: Floats,
    ratio: float,
    limit: float,
    *,
    dispersion: float = 1.0,
    max_step: float = np.inf,
    renewed: Bools | None = None,
) -> Cusum:
    """Accumulate the evidence that ``expected`` is now multiplied by ``ratio``.

    ``dispersion`` is the variance of the counts over that of Poisson counts; no single step adds
    more than ``max_step``. A change that was found ends where ``renewed`` (steps,) is true, as with
    a new model.

    >>> found = run_cusum(np.array([1., 4, 4, 4]), np.ones(4), 2.0, limit=3.0)
    >>> found.level.round(2).tolist(), found.found.tolist(), int(found.since[-1])
    ([0.0, 1.77, 3.0, 3.0], [False, False, True, True], 1)
    """
    steps = (observed * log(ratio) - expected * (ratio - 1)) / dispersion
    steps = np.minimum(steps, max_step)
    level, since, found = np.zeros(len(steps)), np.zeros(len(steps), dtype=np.int64), False
    now, begun, flags = 0.0, 0, np.zeros(len(steps), dtype=bool)
    for at, step in enumerate(steps.tolist()):
        if found and renewed is not None and renewed[at]:
            now, begun, found = 0.0, at, False
        now = min(max(now + step, 0.0), limit)
        if now == 0:
            begun, found = at + 1, False
        found = found or now >= limit
        level[at], since[at], flags[at] = now, begun, found
    return Cusum(level, since, flags)


@dataclass(frozen=True)
class LastingChange:
    """The result of a CUSUM for one series of counts, on one day.

    ``level`` is the evidence so far for a change of the expectation by the factor ``reference``;
    the change is ``found`` from ``limit`` on. ``observed`` and ``expected`` are counted since
    ``since``, when the current rise of the evidence began. A change by the reference is found after
    ``detected_after`` weeks on average; None if that was not computed.
    """

    kind: Literal["churn", "feed_loss"]
    subject: str
    reference: float
    level: float
    limit: float
    found: bool
    since: date
    observed: float
    expected: float
    detected_after: int | None = None

    @property
    def ratio(self) -> float:
        """Observed over expected since ``since``; NaN if nothing was expected."""
        return self.observed / self.expected if self.expected else float("nan")

    def __str__(self) -> str:
        if self.kind == "feed_loss":
            return (
                f"{self.subject}: {share_text(self.ratio)} of the usual records per active account"
                f" since {self.since}"
            )
        return (
            f"since {self.since}, {self.observed:,.0f} accounts ended where {self.expected:,.1f}"
            " were expected"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a plain dictionary, ready for JSON."""
        return {**asdict(self), "since": self.since.isoformat()}


REFERENCES = (("more than expected", 2.0), ("fewer than expected", 0.5))
"""Changes that the CUSUM is designed to detect: churn that doubles, or halves."""
MAX_DAYS = 30
"""Maximum number of days after a run that are counted; fewer if the next run is earlier."""
MIN_ACTIVE = 1e-9
"""Lower limit of probabilities of being active, before their logarithms are taken."""


def churn_changes(
    scores: pd.DataFrame, outcomes: Outcomes, alarms: float
) -> tuple[LastingChange, ...]:
    """Return whether persistently more, or fewer, accounts end than the scores predicted.

    At most ``alarms`` false alarms are expected per year, by the bound of `limit_for`. Returns
    nothing if no day after a run has passed yet.
    """
    runs = count_churn(scores, outcomes)
    if not len(runs):
        return ()
    limit = limit_for(alarms / len(REFERENCES), float(runs["days"].median()))
    return assess_churn(runs, accounts_a_customer(outcomes.frame), limit)


def count_churn(scores: pd.DataFrame, outcomes: Outcomes) -> pd.DataFrame:
    """Return the expected number of ends of each run, and those known before the next run.

    Columns: snapshot_on, model_version, ``days`` counted (up to 30), expected, observed. Ends from
    all causes count, since still_active_…d includes all.

    Notes
    -----
    Scores predict the end of contracts, which notice makes known earlier: hardly any account
    without notice ends in the next 30 days. Once the time from notice to end has passed, as many
    accounts end per day as become known. The expected rate of an account is therefore that of its
    ends in the second half of the horizon.
    """
    keys = ["account_id", "snapshot_on"]
    rate = scores[[*keys, "model_version"]].assign(rate=_rate_a_day(scores)).dropna()
    rows = rate.merge(outcomes.frame[[*keys, "known_on"]], on=keys, how="inner")
    runs = pd.DataFrame({"snapshot_on": np.sort(rows["snapshot_on"].unique())})
    until = [*runs["snapshot_on"].iloc[1:], pd.Timestamp(outcomes.as_of_date)]
    gap = (pd.Series(until, dtype="datetime64[ns]") - runs["snapshot_on"]).dt.days
    runs["days"] = gap.clip(upper=MAX_DAYS).to_numpy()
    rows = rows.merge(runs[runs["days"] > 0], on="snapshot_on")
    ahead = (rows["known_on"] - rows["snapshot_on"]).dt.days
    expected = 1 - np.exp(-rows["rate"] * rows["days"])
    rows = rows.assign(expected=expected, observed=(ahead >= 0) & (ahead < rows["days"]))
    how = {"model_version": "first", "days": "first", "expected": "sum", "observed": "sum"}
    return rows.groupby("snapshot_on", as_index=False)[list(how)].agg(how)


def _rate_a_day(scores: pd.DataFrame) -> NDArray[np.float64]:
    """Return the rate of ends per day of each account in the second half of the horizon."""
    columns = active_columns(scores)
    horizon = max(columns)
    middle = max((days for days in columns if days <= horizon / 2), default=0)
    active = {days: scores[name].to_numpy(dtype=float) for days, name in columns.items()}
    active[0] = np.ones(len(scores))
    begin, end = (np.maximum(active[days], MIN_ACTIVE) for days in (middle, horizon))
    rate: NDArray[np.float64] = np.maximum(np.log(begin / end), 0.0) / (horizon - middle)
    return rate


def assess_churn(
    runs: pd.DataFrame, accounts_a_customer: float, limit: float
) -> tuple[LastingChange, ...]:
    """Return whether there are persistently more, or fewer, ends than the runs expected.

    Parameters
    ----------
    runs : DataFrame
        As returned by `count_churn`. A new model ends a change that was found.
    accounts_a_customer : float
        Overdispersion of the counts, since accounts of one customer end together.
    limit : float
        Limit of the CUSUM, from `limit_for`.
    """
    observed, expected = (runs[name].to_numpy(dtype=float) for name in ("observed", "expected"))
    versions = runs["model_version"].to_numpy()
    renewed = np.append(False, versions[1:] != versions[:-1])
    changes = []
    for subject, ratio in REFERENCES:
        found = run_cusum(
            observed, expected, ratio, limit, dispersion=accounts_a_customer, renewed=renewed
        )
        at = int(found.since[-1])
        day = runs["snapshot_on"].iloc[min(at, len(runs) - 1)].date()
        changes.append(
            LastingChange(
                "churn", subject, ratio, float(found.level[-1]), limit, bool(found.found[-1]),
                day, float(observed[at:].sum()), float(expected[at:].sum()),
            )
        )  # fmt: skip
    return tuple(changes)


def accounts_a_customer(rows: pd.DataFrame) -> float:
    """Return the mean number of accounts of an account's customer: Σ n² / Σ n over customers.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"account_id": ["1", "2", "3", "3"], "customer": list("abbb")})
    >>> accounts_a_customer(rows)
    1.6666666666666667
    """
    sizes = rows.groupby("customer")["account_id"].nunique().to_numpy(dtype=float)
    return float((sizes**2).sum() / sizes.sum()) if len(sizes) else 1.0
