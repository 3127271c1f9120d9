"""Simulate account histories in weekly steps: practices, success and the decision to leave.

The state changes on Mondays and stays constant through the week. The decision to leave falls on a
day, with a hazard that depends on the state and on the proximity of renewals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from leadsignal.datasets.law import (
    NAMES,
    REP_LOG_HAZARD,
    REPS,
    SEGMENTS,
    AccountTraits,
    Array,
    Law,
    draw_weeks,
    map_arrays,
    normal,
    stacked,
)

MONDAY = 4
"""1970-01-05, in days since 1970-01-01."""
NEVER = 10**6
RENEWAL_SPREAD = 11.0
AFTER_REDUCTION, AFTER_HANDOFF = 26, 13
REMEMBERED = 26
"""Number of past weeks whose practice can affect the hazard; each is a bit of `State.past0`."""
_SUCCESS_PULL, _SUCCESS_NOISE = 0.14, 0.03


def week_of(day: Array) -> Array:
    """Return the number of the week, Monday to Sunday, that contains a day."""
    return np.asarray((day - MONDAY) // 7)


@dataclass
class State:
    """The state that changes weekly, as arrays that broadcast against each other."""

    practise0: Array
    practise1: Array
    past0: Array
    past1: Array
    success: Array
    trouble: Array
    reduced: Array
    handed: Array
    measured: Array
    rep: Array

    def at(self, rows: Array, week: Array) -> State:
        """Return the state of these accounts in these weeks, as columns of shape (rows, 1)."""
        return map_arrays(lambda array: array[rows, week][:, None], self)


def success_target(who: AccountTraits, practise0: Array, practise1: Array) -> Array:
    """Return the success that an account's practices lead to, lower if nobody owns the close."""
    gap = np.where((who.owner == 1) & (who.gap < 0.7), 0.4, 0.0).reshape(-1, 1)
    return np.asarray(0.12 + 0.4 * practise0 + 0.4 * practise1 - gap * (practise0 | practise1))


def rate_of_adoption(law: Law, who: AccountTraits) -> tuple[Array, Array]:
    """Return the weekly probabilities of adopting and of lapsing, each of shape (accounts, 1)."""
    readiness = who.readiness[:, None]
    adopt = np.minimum(law.adoption_rate / 52 * np.exp(0.9 * readiness - 0.35), 0.5)
    lapse = np.minimum(law.lapse_rate / 52 * np.exp(-0.3 * readiness), 0.5)
    return adopt, lapse


def step(
    law: Law, who: AccountTraits, rates: tuple[Array, Array], state: State, u: dict[str, Array]
) -> State:
    """Return the state one week later, given the week's uniforms."""
    adopt, lapse = rates
    lapse = lapse * (1 + (state.handed > 0))
    practise0 = np.where(state.practise0, u["practise0"] >= lapse, u["practise0"] < adopt)
    practise1 = np.where(state.practise1, u["practise1"] >= lapse, u["practise1"] < 0.8 * adopt)
    past0, past1 = _and_now(state.past0, practise0), _and_now(state.past1, practise1)
    target = success_target(who, practise0, practise1)
    success = state.success + _SUCCESS_PULL * (target - state.success)
    success = np.clip(success + _SUCCESS_NOISE * u["success"], 0.0, 1.0)
    trouble = np.where(state.trouble, u["trouble"] >= 0.09, u["trouble"] < 0.006)
    reduce = (u["reduce"] < 0.0035 * np.exp(1.2 - 2.4 * success)) & (state.reduced == 0)
    handoff = (u["handoff"] < 0.005) & (state.handed == 0)
    measuring = law.measuring_rate / 52 * np.exp(0.4 * who.readiness[:, None])
    measuring = measuring * (1 - law.slow_in_trouble * trouble)
    measured = state.measured | (u["measure"] < measuring)
    return State(
        practise0=practise0,
        practise1=practise1,
        past0=past0,
        past1=past1,
        success=success,
        trouble=trouble,
        reduced=np.where(reduce, AFTER_REDUCTION, np.maximum(state.reduced - 1, 0)),
        handed=np.where(handoff, AFTER_HANDOFF, np.maximum(state.handed - 1, 0)),
        measured=measured,
        rep=np.where(handoff, (u["rep"] * len(REPS)).astype(np.int8), state.rep),
    )


def _and_now(past: Array, practise: Array) -> Array:
    """Append this week to the bits of the remembered weeks."""
    return np.asarray((past << 1 | practise) & ((1 << REMEMBERED) - 1), dtype=np.int32)


def _practised(law: Law, state: State) -> Array:
    """Return the number of processes practised: now, or on average over the remembered weeks."""
    if not law.practice_counts_for_months:
        return np.asarray(state.practise0.astype(np.float32) + state.practise1)
    weeks = np.bitwise_count(state.past0).astype(np.float32) + np.bitwise_count(state.past1)
    return np.asarray(weeks / REMEMBERED)


def log_hazard(law: Law, who: AccountTraits, state: State, tenure_years: Array) -> Array:
    """Return the log of the yearly hazard of deciding to leave, apart from renewals."""
    return np.asarray(
        np.log(law.base_rate)
        + who.fixed[:, None]
        + _log_rate_change(law, who, tenure_years)
        - law.process_effect * _protects(law, who, tenure_years) * (_practised(law, state) - 0.9)
        - law.result_effect * (state.success - 0.45)
        + law.ticket_effect * state.trouble
        + law.contract_effect * (state.reduced > 0)
        + law.handoff_effect * (state.handed > 0)
        - law.measuring_effect * state.measured
        + law.rep_effect * REP_LOG_HAZARD[state.rep]
        - law.tenure_effect * np.log1p(tenure_years)
    )


def _protects(law: Law, who: AccountTraits, tenure_years: Array) -> Array | float:
    """Return 1 where the processes protect, -1 where they harm, and 0 where they have no effect."""
    sign: Array | float = 1.0
    if law.reversal_years is not None:
        sign = np.where(tenure_years > law.reversal_years, -1.0, 1.0)
    if law.process_segment is not None:
        sign = sign * (who.segment == SEGMENTS.index(law.process_segment))[:, None]
    return sign


def _log_rate_change(law: Law, who: AccountTraits, tenure_years: Array) -> Array | float:
    """Return the log of the factor on the hazard of all accounts on these days."""
    change: Array | float = 0.0
    day = who.start[:, None] + 365.25 * tenure_years
    for since, factor in law.rate_changes:
        first = np.datetime64(since, "D").astype(np.int64)
        change = change + np.where(day >= first, np.log(factor), 0.0)
    return change


def exposure(law: Law, who: AccountTraits, day: Array) -> Array:
    """Return the years of exposure from the start up to these days, with renewals weighted.

    A share of the hazard is concentrated, as normal densities, around the days on which a decision
    would take effect at a renewal; the rest is uniform. ``who`` and ``day`` are aligned, with shape
    (accounts, days).
    """
    from scipy.special import ndtr

    even = (day - who.start[:, None]) / 365.25
    bumps = np.zeros(even.shape)
    for k in range(who.renewals.shape[1]):
        centre = (who.renewals[:, k] - who.lag - who.notice)[:, None]
        bumps += ndtr((day - centre) / RENEWAL_SPREAD)
    share = np.where(who.term > 1, law.renewal_peak, 0.0)[:, None]
    return np.asarray((1 - share) * even + share * bumps * (who.term[:, None] / 12))


@dataclass(frozen=True)
class History:
    """The lives of some accounts; weekly arrays have shape (accounts, weeks).

    ``decided``, ``known`` and ``ended`` are days; NEVER if the event has not happened by the last
    week.
    """

    who: AccountTraits
    first_week: int
    state: State
    activity: Array
    decided: Array
    known: Array
    ended: Array
    reason: Array
    u: dict[str, Array]

    @property
    def mondays(self) -> Array:
        """The first day of each week."""
        weeks = self.state.success.shape[1]
        return MONDAY + 7 * (self.first_week + np.arange(weeks))

    def rows(self, where: Array) -> History:
        """Return the accounts at these positions, or where the mask is true."""
        changed: dict[str, Any] = {name: getattr(self, name)[where] for name in _ARRAYS}
        return replace(
            self,
            who=self.who.rows(where),
            state=map_arrays(lambda array: array[where], self.state),
            u={name: values[where] for name, values in self.u.items()},
            **changed,
        )


_ARRAYS = ("activity", "decided", "known", "ended", "reason")


def join_histories(parts: list[History]) -> History:
    """Concatenate groups of accounts simulated over the same weeks."""
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS
    }
    return replace(
        parts[0],
        who=map_arrays(stacked, *(part.who for part in parts)),
        state=map_arrays(stacked, *(part.state for part in parts)),
        u={name: np.concatenate([part.u[name] for part in parts]) for name in parts[0].u},
        **joined,
    )


def live(law: Law, seed: int, who: AccountTraits, first_week: int, weeks: int) -> History:
    """Simulate the weeks from ``first_week`` on."""
    begin = np.clip(week_of(who.start) - first_week, 0, weeks)
    u = draw_weeks(seed, who.slot, who.life, begin, weeks)
    u["success"] = normal(u["success"]).astype(np.float32)
    state, decided = _walk(law, who, u, begin, first_week)
    known, ended, reason = _leave(law, who, state, decided, first_week)
    activity = _activity(who, u)
    return History(who, first_week, state, activity, decided, known, ended, reason, u)


def _initial(who: AccountTraits) -> State:
    count = len(who.slot)
    ready = 0.10 * np.exp(0.6 * who.readiness)
    practise = [(who.initial0 < ready)[:, None], (who.initial1 < ready)[:, None]]
    # Accounts that practise at the start have always done so.
    past = [np.where(one, (1 << REMEMBERED) - 1, 0).astype(np.int32) for one in practise]
    none = np.zeros((count, 1), dtype=bool)
    return State(
        practise0=practise[0],
        practise1=practise[1],
        past0=past[0],
        past1=past[1],
        success=0.6 * success_target(who, practise[0], practise[1]).astype(np.float32),
        trouble=none,
        reduced=none.astype(np.int8),
        handed=none.astype(np.int8),
        measured=none,
        rep=who.rep[:, None].astype(np.int8),
    )


def _walk(
    law: Law, who: AccountTraits, u: dict[str, Array], begin: Array, first_week: int
) -> tuple[State, Array]:
    weeks = u["success"].shape[1]
    count = len(who.slot)
    rates = rate_of_adoption(law, who)
    state = _initial(who)
    states = []
    spent, decided = np.zeros(count), np.full(count, NEVER)
    mondays = MONDAY + 7 * (first_week + np.arange(weeks + 1))
    days = np.maximum(mondays[None, :], who.start[:, None])
    rise = np.diff(exposure(law, who, days), axis=1)
    for week in range(weeks):
        if law.usage_end == "disengagement":
            rates = _slowing(law, who, (decided < NEVER)[:, None])
        now = {name: u[name][:, week : week + 1] for name in STEP}
        state = _choose((begin < week)[:, None], step(law, who, rates, state, now), state)
        states.append(state)
        years = (days[:, week : week + 1] - who.start[:, None]) / 365.25
        rate = (np.exp(log_hazard(law, who, state, years)) + law.acquired_rate)[:, 0]
        crossing = (spent + rate * rise[:, week] >= who.threshold) & (decided == NEVER)
        rows = np.flatnonzero(crossing)
        need = (who.threshold - spent)[rows] / rate[rows]
        decided[rows] = _day_of(law, who.rows(rows), days[rows, week], need)
        spent += rate * rise[:, week]
    return map_arrays(lambda *weekly: np.concatenate(weekly, axis=1), *states), decided


STEP = ("practise0", "practise1", "success", "trouble", "reduce", "handoff", "rep", "measure")


def _day_of(law: Law, who: AccountTraits, first: Array, need: Array) -> Array:
    """Return the day, in the week that begins at ``first``, on which the exposure is reached."""
    days = first[:, None] + np.arange(8)
    days = np.minimum(days, (MONDAY + 7 * (week_of(first) + 1))[:, None])
    met = np.cumsum(np.diff(exposure(law, who, days), axis=1), axis=1)
    short = (met < need[:, None]).sum(axis=1)
    return np.asarray(np.minimum(first + short, days[:, -1] - 1))


def _slowing(law: Law, who: AccountTraits, left: Array) -> tuple[Array, Array]:
    adopt, lapse = rate_of_adoption(law, who)
    return np.where(left, 0.0, adopt), np.where(left, lapse + 0.06, lapse)


def _choose(mask: Array, yes: State, no: State) -> State:
    def choose(a: Array, b: Array) -> Array:
        return np.where(mask, a, b).astype(b.dtype)

    return map_arrays(choose, yes, no)


def _activity(who: AccountTraits, u: dict[str, Array]) -> Array:
    """Return log activity around 0: a slow random walk, with occasional dips of some weeks."""
    shocks = normal(u["activity"])
    activity = np.empty_like(shocks)
    level = np.zeros(len(who.slot))
    left = np.zeros(len(who.slot))
    for week in range(shocks.shape[1]):
        level = 0.93 * level + 0.05 * shocks[:, week]
        dip = (u["dip"][:, week] < 0.003) & (left == 0)
        left = np.where(dip, 4 + np.floor(9 * u["dip_weeks"][:, week]), np.maximum(left - 1, 0))
        activity[:, week] = level - 1.1 * (left > 0)
    return activity


def _leave(
    law: Law, who: AccountTraits, state: State, decided: Array, first_week: int
) -> tuple[Array, Array, Array]:
    known = np.where(decided < NEVER, decided + who.lag, NEVER)
    ended = np.where(decided < NEVER, np.maximum(known + who.notice, who.start + 1), NEVER)
    complete = completion(who)
    done = complete <= ended
    ended = np.where(done, complete, ended)
    known = np.where(done, complete - 30, np.minimum(known, ended))
    return known, ended, np.where(done, -1, _reason(law, who, state, decided, first_week))


def completion(who: AccountTraits) -> Array:
    """Return the day on which the contract is completed; NEVER if it continues."""
    return np.where(who.completes, who.renewals[:, 0], NEVER)


REASONS_TO_LEAVE: tuple[str, ...] = tuple(NAMES["reasons_to_leave"])


def _reason(law: Law, who: AccountTraits, state: State, decided: Array, first_week: int) -> Array:
    weeks = state.success.shape[1]
    week = np.clip(week_of(decided) - first_week, 0, weeks - 1)
    rows = np.arange(len(decided))
    now = state.at(rows, week)
    years = np.maximum(decided - who.start, 0)[:, None] / 365.25
    rate = np.exp(log_hazard(law, who, now, years))[:, 0]
    acquired = law.acquired_rate / (law.acquired_rate + rate)
    rest = (who.cause - acquired) / (1 - acquired)
    poor = 0.2 + 0.4 * (now.success[:, 0] < 0.4)
    edges = np.stack([poor, 0.3 + 0.7 * poor, 0.65 + 0.35 * poor, 0.93 + 0 * poor])
    return np.where(who.cause < acquired, 0, 1 + (rest > edges).sum(axis=0))
