"""Churn change: whether lastingly more or fewer accounts end than the scores expected."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.monitoring.lasting_change import LastingChange, limit_for, run_cusum
from leadsignal.monitoring.realised import Outcomes

REFERENCES = (("more than expected", 2.0), ("fewer than expected", 0.5))
"""The changes that the CUSUM is made for: churn that doubles, churn that halves."""
MAX_DAYS = 30
"""Days after a run that are counted, unless the next run comes first."""
MIN_ACTIVE = 1e-9
"""Probabilities of being active are not below this before their logarithms are taken."""


def churn_changes(
    scores: pd.DataFrame, outcomes: Outcomes, alarms: float
) -> tuple[LastingChange, ...]:
    """Return whether lastingly more, or fewer, accounts end than the scores expected.

    At most ``alarms`` false alarms a year are expected, by the bound of `limit_for`. Nothing is
    returned while no day after a run is over.
    """
    runs = count_churn(scores, outcomes)
    if not len(runs):
        return ()
    limit = limit_for(alarms / len(REFERENCES), float(runs["days"].median()))
    return assess_churn(runs, accounts_a_customer(outcomes.frame), limit)


def active_columns(scores: pd.DataFrame) -> dict[int, str]:
    """Return the columns still_active_…d of scores by their days, the shortest first."""
    named = [str(name) for name in scores.columns if str(name).startswith("still_active_")]
    return dict(
        sorted((int(name.removeprefix("still_active_").removesuffix("d")), name) for name in named)
    )


def count_churn(scores: pd.DataFrame, outcomes: Outcomes) -> pd.DataFrame:
    """Return, by run, the ends expected and those that became known until the next run.

    Columns: snapshot_on, model_version, ``days`` counted (up to 30), expected, observed. All ends
    count, as still_active_…d speaks of all.

    Notes
    -----
    Scores speak of the end of contracts, which notice makes known before: hardly any account
    without notice ends in the next 30 days. Once the time from notice to end is over, as many end a
    day as become known. The rate expected of an account is therefore that of its ends in the
    second half of the horizon.
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
    """Return the ends a day of each account in the second half of the horizon."""
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
    """Return whether lastingly more, or fewer, ends come than runs expected.

    Parameters
    ----------
    runs : DataFrame
        As `count_churn` returns them. After a change that was found, a new model begins anew.
    accounts_a_customer : float
        By which counts are overdispersed: accounts of one customer end together.
    limit : float
        As of `limit_for`.
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
    """Return the accounts of the customer of a mean account: Σ n² / Σ n over the customers.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"account_id": ["1", "2", "3", "3"], "customer": list("abbb")})
    >>> accounts_a_customer(rows)
    1.6666666666666667
    """
    sizes = rows.groupby("customer")["account_id"].nunique().to_numpy(dtype=float)
    return float((sizes**2).sum() / sizes.sum()) if len(sizes) else 1.0
