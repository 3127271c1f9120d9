"""Panels made by hand, whose hazard ratios are known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

import leadsignal as ls
from leadsignal.config.project import Project
from leadsignal.config.success import SuccessAnalysis
from leadsignal.indicators.declare import Fact, Indicator, ProcessState

EVERY = 28
FIRST = pd.Timestamp("2022-01-03")


def indicator(name: str, kind: str = "number", family: str = "plans") -> Indicator:
    rule = ProcessState(name) if family == "processes" else Fact(name)
    role = "context" if family == "context" else "leading"
    return Indicator(name, family, role, "units", f"what {name} is", rule, kind)  # type: ignore[arg-type]


def panel_of(frame: pd.DataFrame, *indicators: Indicator, **project: Any) -> ls.Panel:
    """A panel of rows that give at least account_id, start, stop, cause ("" for none)."""
    rows = frame.copy()
    cause = rows["cause"].astype(object)
    rows["cause"] = cause.mask(cause == "", None)
    not_churn = project.get("not_churn", ())
    rows["event"] = (rows["cause"].notna() & ~rows["cause"].isin(not_churn)).astype(int)
    rows["snapshot_on"] = FIRST + pd.to_timedelta(rows["start"], unit="D")
    defaults: dict[str, Any] = {
        "customer_id": rows["account_id"],
        "notice_given": False,
        "arr": 1000.0,
    }
    rows = rows.assign(**{name: defaults[name] for name in defaults if name not in rows})
    by_account = rows.groupby("account_id")
    rows["end_cause"] = by_account["cause"].transform("last")
    ended = by_account["stop"].transform("max").where(rows["end_cause"].notna())
    noticed = rows["start"].where(rows["notice_given"].astype(bool))
    noticed = noticed.groupby(rows["account_id"]).transform("min")
    rows["known_within"] = pd.concat([ended, noticed], axis=1).min(axis=1) - rows["start"]
    return ls.Panel(
        rows, indicators, date(2030, 1, 1), EVERY, Project(**project), SuccessAnalysis(())
    )


def lives(
    rng: np.random.Generator,
    accounts: int,
    columns: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]],
    log_hazard: Callable[[pd.DataFrame], np.ndarray],
    *,
    steps: int = 12,
    rate: float = 0.0015,
    causes: tuple[str, ...] = ("churn",),
) -> pd.DataFrame:
    """Rows of accounts that leave at ``rate`` a day times exp(``log_hazard``) of each row.

    ``columns`` gives the indicators from account and step; of several causes each is as likely.
    """
    account, step = (part.ravel() for part in np.indices((accounts, steps)))
    rows = pd.DataFrame({"account_id": [f"a{number:04d}" for number in account]})
    rows["start"], rows["stop"] = step * EVERY, (step + 1) * EVERY
    for name, values in columns(account, step).items():
        rows[name] = values
    time = rng.exponential(1 / (rate * np.exp(log_hazard(rows))))
    ended = time < EVERY
    rows["cause"] = np.where(ended, rng.choice(causes, len(rows)), "")
    rows.loc[ended, "stop"] = rows["start"] + np.maximum(1, np.ceil(time)).astype(int)
    gone = rows["cause"].ne("").groupby(rows["account_id"]).cumsum().to_numpy()
    kept: pd.DataFrame = rows[(gone == 0) | ((gone == 1) & ended)]
    return kept.reset_index(drop=True)
