"""Churn change: whether lastingly more or fewer accounts end than the scores expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from leadsignal.monitoring.cusum import limit_for, run_cusum
from leadsignal.monitoring.lasting_change import LastingChange

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.monitoring.realised import Outcomes

REFERENCES = (("more than expected", 2.0), ("fewer than expected", 0.5))
"""The changes that the CUSUM is made for: churn that doubles, churn that halves."""
MIN_SHARE = 0.5
"""The shortest time ahead is used in which the churn expected a day is at least this share of that
over the whole horizon: where notice is given months ahead, few end in the next 30 days."""


def churn_changes(
    scores: pd.DataFrame, outcomes: Outcomes, alarms: float
) -> tuple[LastingChange, ...]:
    """Return whether lastingly more, or fewer, accounts end than the scores expected.

    At most ``alarms`` false alarms a year are expected, by the bound of `limit_for` for one step
    per window of days ahead. Nothing is returned while no such days are over.
    """
    runs = count_churn(scores, outcomes)
    if not len(runs):
        return ()
    limit = limit_for(alarms / len(REFERENCES), int(runs["days"].iloc[0]))
    return assess_churn(runs, accounts_a_customer(outcomes.frame), limit)


def active_columns(scores: pd.DataFrame) -> dict[int, str]:
    """Return the columns still_active_…d of scores by their days, the shortest first."""
    named = [str(name) for name in scores.columns if str(name).startswith("still_active_")]
    return dict(
        sorted((int(name.removeprefix("still_active_").removesuffix("d")), name) for name in named)
    )


def count_churn(scores: pd.DataFrame, outcomes: Outcomes) -> pd.DataFrame:
    """Return, by run whose next days are over, the ends expected and observed in these days.

    Columns: snapshot_on, days (ahead, those of the shortest still_active_…d that serves), expected,
    observed, model_version, and ``weight``: the share of the days that are no other run's, so
    that each churn or other end counts once. All ends count, as still_active_…d speaks of all.
    """
    import pandas as pd

    columns = active_columns(scores)
    days = _days_ahead(scores, columns)
    keys = ["account_id", "snapshot_on"]
    rows = scores[[*keys, columns[days], "model_version"]].merge(
        outcomes.frame[[*keys, "within"]], on=keys, how="inner"
    )
    over = rows["snapshot_on"] + pd.Timedelta(days=days) < pd.Timestamp(outcomes.as_of_date)
    rows = rows[over & rows[columns[days]].notna()]
    runs = (
        rows.assign(expected=1 - rows[columns[days]], observed=rows["within"] <= days)
        .groupby("snapshot_on")
        .agg(
            expected=("expected", "sum"),
            observed=("observed", "sum"),
            model_version=("model_version", "first"),
        )
        .reset_index()
    )
    day = runs["snapshot_on"].to_numpy().astype("datetime64[D]").astype(float)
    apart = np.diff(day) if len(day) > 1 else np.full(1, float(days))
    weight = np.minimum(np.append(apart[:1], apart)[: len(day)], days) / days
    return runs.assign(days=days, weight=weight)


def _days_ahead(scores: pd.DataFrame, columns: dict[int, str]) -> int:
    a_day = {days: float((1 - scores[name]).sum()) / days for days, name in columns.items()}
    usual = MIN_SHARE * a_day[max(a_day)]
    return next(days for days, rate in a_day.items() if rate >= usual)


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

    Notes
    -----
    Runs overlap: each weighs the days since the run before over its own days. The sum is then the
    mean of CUSUMs that count each end once, on one of the days ahead, and passes the limit no
    sooner than they do.
    """
    weight = runs["weight"].to_numpy(dtype=float)
    observed, expected = (
        runs[name].to_numpy(dtype=float) * weight for name in ("observed", "expected")
    )
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
