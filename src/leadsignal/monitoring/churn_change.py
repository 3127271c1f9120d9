"""Churn change: whether persistently more or fewer accounts end than the scores predicted."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.monitoring.lasting_change import LastingChange, limit_for, run_cusum
from leadsignal.monitoring.realised import Outcomes

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


def active_columns(scores: pd.DataFrame) -> dict[int, str]:
    """Return the columns still_active_…d of scores by number of days, the smallest first."""
    named = [str(name) for name in scores.columns if str(name).startswith("still_active_")]
    return dict(
        sorted((int(name.removeprefix("still_active_").removesuffix("d")), name) for name in named)
    )


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
    return (
        rows.assign(
            expected=1 - np.exp(-rows["rate"] * rows["days"]),
            observed=(ahead >= 0) & (ahead < rows["days"]),
        )
        .groupby("snapshot_on")
        .agg(
            model_version=("model_version", "first"),
            days=("days", "first"),
            expected=("expected", "sum"),
            observed=("observed", "sum"),
        )
        .reset_index()
    )


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
