"""The truth behind simulated data: adoption, hazards, and the true risk on any day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from leadsignal.config.success import Process, SuccessAnalysis
from leadsignal.datasets import history as lives
from leadsignal.datasets.history import MONDAY, NEVER, State, week_of
from leadsignal.datasets.law import PACKAGE, AccountTraits, Array, Law, normal
from leadsignal.datasets.tables import dates
from leadsignal.package_data import packaged_text

_ROWS_AT_ONCE = 2048


ANALYSIS = packaged_text(PACKAGE, "success.toml")
PROCESSES = SuccessAnalysis.from_toml(ANALYSIS).processes
"""The essential processes of every simulated business."""


@dataclass(frozen=True)
class Truth:
    """The truth behind the tables, unknown to an analyst."""

    law: Law
    seed: int
    as_of: int
    who: AccountTraits
    state: State
    first_week: int
    decided: Array
    known: Array
    ended: Array
    events: Mapping[str, Array]

    @cached_property
    def episodes(self) -> pd.DataFrame:
        """Return true adoption, by day and from all events, as the success analysis defines it.

        Columns account_id, process, adopted_on, lapsed_on (NaT while it lasts). Unlike in the
        tables, events before the start of the data count.
        """
        parts = [self._episodes(process) for process in PROCESSES]
        return pd.concat(parts, ignore_index=True)

    def _episodes(self, process: Process) -> pd.DataFrame:
        row, day, user = self.events[process.behaviors[0]]
        first = int(self.who.start.min())
        adopted = np.zeros((len(self.who.slot), self.as_of - first + 2), dtype=bool)
        adopted[:, 1:-1] = _adopted(process, row, day - first, user, adopted.shape)[:, :-2]
        # An account is observed from its start to its end.
        days = first + np.arange(-1, adopted.shape[1] - 1)
        last = np.minimum(self.ended, self.as_of)[:, None]
        adopted &= (days >= self.who.start[:, None]) & (days < last)
        change = np.diff(adopted.astype(np.int8), axis=1)
        account, begin = np.nonzero(change == 1)
        _, end = np.nonzero(change == -1)
        lapsed = np.where(days[end + 1] >= last[account, 0], NEVER, days[end + 1])
        return pd.DataFrame(
            {
                "account_id": self.who.account_id[account],
                "process": process.name,
                "adopted_on": dates(days[begin + 1]),
                "lapsed_on": dates(lapsed),
            }
        )

    @cached_property
    def practices(self) -> pd.DataFrame:
        """Return the latent practice behind the hazard, by account and Monday, while active.

        Columns account_id, monday, one per process, success (0 to 1), trouble.
        """
        monday = MONDAY + 7 * (self.first_week + np.arange(self.state.success.shape[1]))
        last = np.minimum(self.ended, self.as_of)[:, None]
        row, week = np.nonzero((monday + 6 >= self.who.start[:, None]) & (monday < last))
        return pd.DataFrame(
            {
                "account_id": self.who.account_id[row],
                "monday": dates(monday[week]),
                PROCESSES[0].name: self.state.practise0[row, week],
                PROCESSES[1].name: self.state.practise1[row, week],
                "success": self.state.success[row, week],
                "trouble": self.state.trouble[row, week],
            }
        )

    def hazards(self, account_days: pd.DataFrame) -> Array:
        """Return the hazard of deciding to leave on each day.

        ``account_days`` has columns account_id and day; the result has shape (rows,), and is 0
        once an account has decided. The end follows the decision after the account's own lag and
        notice period.
        """
        row, day = self._locate(account_days["account_id"], account_days["day"])
        who = self.who.rows(row)
        now = self.state.at(row, week_of(day) - self.first_week)
        years = (day - who.start)[:, None] / 365.25
        rate = np.exp(lives.log_hazard(self.law, who, now, years)) + self.law.acquired_rate
        rise = np.diff(lives.exposure(self.law, who, day[:, None] + np.arange(2)), axis=1)
        return np.asarray(np.where(self.decided[row] < day, 0.0, (rate * rise)[:, 0]))

    def oracle_risk(self, snapshots: pd.DataFrame, horizon_days: int, draws: int = 128) -> Array:
        """Return the true P(churn within the horizon | the state at each snapshot), by the law.

        ``snapshots`` has columns account_id and snapshot_on (midnight); the result has shape
        (rows,). The law is simulated forward from the state at the snapshot, ``draws`` times,
        without using what happened afterwards. For accounts that have already decided, the end is
        known. The result depends only on account, day, horizon, draws and seed. Raises KeyError
        for an unknown account, and ValueError for a day outside its lifetime.
        """
        row, day = self._locate(snapshots["account_id"], snapshots["snapshot_on"])
        risk = np.empty(len(row))
        u = self._futures(horizon_days, draws)
        for begin in range(0, len(row), _ROWS_AT_ONCE):
            part = slice(begin, begin + _ROWS_AT_ONCE)
            risk[part] = self._forward(row[part], day[part], horizon_days, u)
        certain = (self.decided[row] < day) & (lives.completion(self.who)[row] > self.ended[row])
        return np.where(certain, (self.ended[row] <= day + horizon_days) * 1.0, risk)

    def _locate(
        self, account_id: pd.Series[str], day: pd.Series[pd.Timestamp]
    ) -> tuple[Array, Array]:
        row = pd.Index(self.who.account_id).get_indexer(pd.Index(account_id))
        if (row < 0).any():
            unknown = account_id[row < 0].iloc[0]
            raise KeyError(f"no account {unknown!r} in this simulation")
        number = pd.to_datetime(day).to_numpy().astype("datetime64[D]").astype(np.int64)
        outside = (number < self.who.start[row]) | (number > self.as_of)
        if outside.any():
            raise ValueError("a day is before the account's start or after as_of")
        return row, number

    def _futures(self, horizon_days: int, draws: int) -> list[dict[str, Array]]:
        """Draw weekly uniforms shared by all rows, stratified to reduce the variance."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(2**31,)))
        strata = np.arange(draws)
        weeks: list[dict[str, Array]] = []
        for _ in range(horizon_days // 7 + 2):
            # A random point of the stratum, since rare changes are rarer than one in ``draws``.
            u = {n: ((rng.permutation(strata) + rng.random(draws)) / draws) for n in lives.STEP}
            u["success"] = normal(u["success"])
            weeks.append({n: values.astype(np.float32)[None, :] for n, values in u.items()})
        return weeks

    def _forward(self, row: Array, day: Array, horizon: int, u: list[dict[str, Array]]) -> Array:
        who, law = self.who.rows(row), self.law
        state = self.state.at(
            row, np.minimum(week_of(day), week_of(np.array(self.as_of - 1))) - self.first_week
        )
        adopt, lapse = lives.rate_of_adoption(law, who)
        rates = (adopt.astype(np.float32), lapse.astype(np.float32))
        last = np.minimum(day + horizon + 1, lives.completion(who)) - who.lag - who.notice
        edges = (MONDAY + 7 * (week_of(day)[:, None] + np.arange(len(u) + 1))).clip(day[:, None])
        edges = np.minimum(edges, np.maximum(last, day)[:, None])
        rise = np.diff(lives.exposure(law, who, edges), axis=1).astype(np.float32)
        years = ((edges - who.start[:, None]) / 365.25).astype(np.float32)
        spent = np.zeros((len(row), u[0]["trouble"].shape[1]), dtype=np.float32)
        for week, draw in enumerate(u):
            if week:
                state = lives.step(law, who, rates, state, draw)
            rate = np.exp(lives.log_hazard(law, who, state, years[:, week : week + 1]))
            spent += (rate + law.acquired_rate) * rise[:, week : week + 1]
        return np.asarray((1 - np.exp(-spent.astype(np.float64))).mean(axis=1))


def _adopted(
    process: Process, row: Array, day: Array, user: Array, shape: tuple[int, int]
) -> Array:
    """Return whether the process is adopted before each day t; shape (accounts, days)."""
    width = process.within
    total = np.zeros(shape, dtype=np.int32)
    people = np.zeros(shape, dtype=np.int32)
    keep = day < shape[1]
    row, day, user = row[keep], day[keep], user[keep]
    for one in np.unique(user):
        mine = user == one
        count = np.zeros(shape, dtype=np.int32)
        np.add.at(count, (row[mine], day[mine]), 1)
        window = _trailing(count, width)
        total += window
        people += window > 0
    filled = (total >= process.at_least) & (people >= process.by_users)
    adopted = filled.copy()
    for back in range(1, process.sustained_for):
        adopted[:, back * width :] &= filled[:, : -back * width]
        adopted[:, : back * width] = False
    return adopted


def _trailing(count: Array, width: int) -> Array:
    """Return the sum over [t - width, t) for each day t."""
    total = np.cumsum(np.pad(count, ((0, 0), (1, 0))), axis=1)[:, :-1]
    total[:, width:] -= total[:, :-width].copy()
    return total
