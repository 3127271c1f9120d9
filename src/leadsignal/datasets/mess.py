"""Realistic defects: late records, moved due dates, late feeds, today's values in attributes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from leadsignal.datasets.draws import Array, account_uniforms
from leadsignal.datasets.tables import Period

Tables = dict[str, "pd.DataFrame"]
FEED_DELAYS = {"usage": 240, "surveys": 400, "results": 120}
"""Days after the first by which the feed of a table starts."""
_LATE = {"behaviors": 0.04, "results": 0.15, "tickets": 0.02, "contract_changes": 0.10}
_DAY = np.timedelta64(1, "D")


def make_messy(tables: Tables, seed: int, period: Period) -> Tables:
    """Return the tables as a company would really have them; what is late is in ``recorded_at``.

    Chance comes from a stream an account, so that histories still do not depend on each other.
    """
    out = dict(tables)
    for number, (name, share) in enumerate(_LATE.items()):
        time = tables[name].columns[1]
        u = account_uniforms(tables[name], seed, number)
        out[name] = _recorded(tables[name], time, share, u, period)
    out["commitments"] = _moved(tables["commitments"], seed, period)
    for name, delay in FEED_DELAYS.items():
        begin = np.datetime64(period.first + delay, "D").astype("datetime64[ns]")
        frame = out[name]
        out[name] = frame[frame[frame.columns[1]] >= begin].reset_index(drop=True)
    out["accounts"] = _todays_values(tables, seed)
    return out


def _recorded(
    frame: pd.DataFrame, time: str, share: float, u: Array, period: Period
) -> pd.DataFrame:
    """Add ``recorded_at``: hours later for most rows, days or weeks for a share of them."""
    late = u[:, 0] < share
    hours = np.where(late, 24 + 24 * 30 * u[:, 1] ** 2, 24 * u[:, 1])
    seconds = (3600 * hours).astype("timedelta64[s]").astype("timedelta64[ns]")
    frame = frame.assign(recorded_at=frame[time] + seconds)
    return frame[frame["recorded_at"] < _moment(period.as_of)].reset_index(drop=True)


def _moment(day: int) -> Array:
    return np.asarray(day).astype("datetime64[D]").astype("datetime64[ns]")


def _moved(frame: pd.DataFrame, seed: int, period: Period) -> pd.DataFrame:
    """Give a third of the late commitments a second version, with a later due date."""
    u = account_uniforms(frame, seed, 9)
    done = frame["completed_on"].fillna(pd.Timestamp.max.normalize())
    moved = (u[:, 0] < 0.33) & (done > frame["due_on"]).to_numpy()
    due = frame["due_on"] - (1 + np.floor(4 * u[:, 1])).astype(np.int64) * _DAY
    due = due.where(due > frame["agreed_on"], frame["agreed_on"])
    moved &= (due < _moment(period.as_of)).to_numpy()
    morning, noon = pd.Timedelta(hours=9), pd.Timedelta(hours=12)
    first = frame.assign(recorded_at=frame["agreed_on"] + morning)
    first["completed_on"] = first["completed_on"].where(~moved)
    second = frame[moved].assign(recorded_at=(due + noon)[moved])
    second["due_on"] += (10 + np.floor(20 * u[moved, 1])).astype(np.int64) * _DAY
    both = pd.concat([first, second], ignore_index=True)
    return both.sort_values(
        ["account_id", "agreed_on", "commitment_id", "recorded_at"]
    ).reset_index(drop=True)


def _todays_values(tables: Tables, seed: int) -> pd.DataFrame:
    """Put what an export holds today into accounts: the latest rep, and seats, 0 once ended."""
    accounts, changes = tables["accounts"], tables["account_changes"]
    latest = changes.groupby("account_id")["value"].last()
    rep = accounts["account_id"].map(latest).fillna(accounts["sales_rep"])
    seats = 2 + np.floor(
        accounts["employees"] * (0.04 + 0.04 * account_uniforms(accounts, seed, 8)[:, 0])
    )
    return accounts.assign(
        sales_rep=rep, seats=seats.where(accounts["ended_on"].isna(), 0).astype("int64")
    )
