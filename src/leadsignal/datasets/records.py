"""Records of the customer's actions: behaviours, usage, results and tickets."""

from __future__ import annotations

import numpy as np

from leadsignal.datasets.draws import Array, draw_events, normal, poisson
from leadsignal.datasets.history import NEVER, History, completion
from leadsignal.datasets.law import Law

Columns = dict[str, Array]
"""A table as arrays by column; ``row`` is the account's position, days are integers."""

BEHAVIORS = (
    "reconciliation_completed",
    "close_review_held",
    "sponsor_meeting",
    "diary_kept",
    "report_exported",
    "dashboard_viewed",
    "comment_added",
    "login_shared",
    "template_copied",
    "filter_saved",
)
NOISE_A_WEEK = (1.0, 1.2, 0.8, 0.5, 0.45, 0.6)
LOADINGS = (1.0, 0.65, 1.35, 0.8, 1.2, 1.0)
"""Loading of each of the other behaviours on an account's unobserved quality."""
METRIC = "days_to_close"


def leaving(history: History) -> Array:
    """Return the progress of each account from decision (0) to announcement (1), by week."""
    week_end = history.mondays[None, :] + 7
    gone = week_end - history.decided[:, None]
    span = np.maximum(history.who.lag, 1)[:, None]
    done = (completion(history.who) <= history.ended)[:, None]
    return np.where(done | (history.who.lag == 0)[:, None], 0.0, np.clip(gone / span, 0.0, 1.0))


def usage_factor(history: History, law: Law) -> Array:
    """Return the fraction of usage that remains; a late fall is steep, a slow one steady."""
    gone = leaving(history)
    if law.usage_end == "quiet":
        return np.where(gone > 0, 0.0, 1.0)
    if law.usage_end == "late":
        return np.asarray(1 - 0.85 * np.minimum(1.0, 2.5 * gone))
    return np.asarray(1 - 0.85 * gone)


def behaviors(history: History, law: Law, seed: int) -> Columns:
    """Draw the behaviour events, in the order account, week, kind."""
    counts = _behavior_counts(history, law)
    row, week, kind = np.nonzero(counts)
    many = counts[row, week, kind]
    row, week, kind = (np.repeat(index, many) for index in (row, week, kind))
    an_account = np.bincount(row, minlength=len(history.who.slot))
    u = draw_events(seed, history.who.slot, history.who.life, an_account)
    # Nobody reviews a close on a weekend, and there is little other activity.
    day = history.mondays[week] + np.floor(5.35 * u[:, 0]).astype(np.int64)
    pool = np.where(kind == 0, 4, history.who.users[row])
    # Square roots are identical on all processors; powers are not.
    share = np.where(kind == 0, u[:, 1], u[:, 1] * np.sqrt(u[:, 1]))
    user = np.floor(pool * share).astype(np.int64)
    # A review involves two or three different people.
    place = np.arange(len(row)) - np.repeat(np.cumsum(many) - many, many)
    user = np.where(kind == 1, (history.first_week + week + place) % 5, user)
    columns = {"row": row, "occurred_at": day, "kind": kind, "user": user}
    return before_notice(columns, "occurred_at", history, law)


def before_notice(columns: Columns, time: str, history: History, law: Law) -> Columns:
    """Drop the rows that no longer occur after notice was given."""
    if not law.stops_at_notice:
        return columns
    kept = columns[time] < history.known[columns["row"]]
    return {name: values[kept] for name, values in columns.items()}


def _behavior_counts(history: History, law: Law) -> Array:
    state, u = history.state, history.u
    shape = state.success.shape
    busy = np.exp(0.6 * history.activity + 0.35 * history.who.activity[:, None])
    left = usage_factor(history, law)
    slow = left if law.usage_end in ("disengagement", "quiet") else np.ones(shape)
    counts = np.zeros((*shape, len(BEHAVIORS)), dtype=np.int64)
    weekly = 1 + (u["reconcile"] > 0.1) + (u["reconcile"] > 0.7)
    thinned = np.floor(weekly * slow + 0.999 * (1 - slow) * u["reconcile"])
    counts[:, :, 0] = np.where(
        state.practise0, thinned, poisson(u["reconcile"], 0.12 * busy * left)
    )
    first_monday = (history.mondays.astype("datetime64[D]") - _month(history)).astype(int) < 7
    guests = 2 + np.floor(2 * u["review_size"]).astype(np.int64)
    completed = np.where(state.practise1, u["review"] < 0.985 * slow, u["review"] < 0.06 * left)
    counts[:, :, 1] = np.where(completed & first_monday, guests, 0)
    meeting = np.exp(0.3 * history.who.readiness)[:, None]
    counts[:, :, 2] = poisson(u["sponsor"], 0.10 * meeting * slow)
    counts[:, :, 3] = poisson(u["diary"], 0.16 * meeting * busy * slow)
    for k, rate in enumerate(NOISE_A_WEEK):
        shows = np.exp(law.quality_shows * LOADINGS[k] * history.who.readiness / 0.8)
        rates = law.noise_rate * rate * busy * left * shows[:, None]
        counts[:, :, 4 + k] = poisson(u[f"noise{k}"], rates)
    alive = history.mondays[None, :] + 7 > history.who.start[:, None]
    alive &= history.mondays[None, :] < history.ended[:, None]
    return counts * alive[:, :, None]


def _month(history: History) -> Array:
    month = history.mondays.astype("datetime64[D]").astype("datetime64[M]")
    return np.asarray(month.astype("datetime64[D]"))


def weekly_usage(history: History, law: Law) -> Array:
    """Return the usage of each account in each week, shape (accounts, weeks)."""
    who, state = history.who, history.state
    size = 14 * who.users * np.exp(0.35 * who.activity)
    adopted = 0.05 * (state.practise0.astype(float) + state.practise1)
    wander = history.activity + 0.12 * normal(history.u["usage"]) + adopted
    tenure = np.maximum(history.mondays[None, :] - who.start[:, None], 0)
    ramp = 1 - 0.6 * np.exp(-tenure / 30)
    amount = np.asarray(size[:, None] * ramp * np.exp(wander) * usage_factor(history, law))
    if law.stops_at_notice:
        amount[history.mondays[None, :] + 6 >= history.known[:, None]] = 0.0
    return amount


def usage(history: History, amount: Array) -> Columns:
    """Return one usage row per week, dated on its last day."""
    row, week = np.nonzero(np.ones_like(amount, dtype=bool))
    used_on = history.mondays[week] + 6
    return {"row": row, "used_on": used_on, "amount": np.round(amount[row, week], 1)}


def results(history: History, law: Law) -> Columns:
    """Return the monthly results of accounts that measure them; lower is better."""
    u, state = history.u, history.state
    second_monday = (history.mondays.astype("datetime64[D]") - _month(history)).astype(int)
    monthly = (second_monday >= 7) & (second_monday < 14)
    chance = np.full(state.success.shape, 0.92)
    if law.usage_end in ("disengagement", "quiet"):
        chance = chance * usage_factor(history, law)
    row, week = np.nonzero(state.measured & monthly & (u["result"] < chance))
    noise = 0.45 * normal(u["result_value"][row, week])
    value = np.round(np.maximum(1.0, 11.5 - 7.5 * state.success[row, week] + noise), 1)
    measured_on = history.mondays[week] + np.floor(5 * u["result_day"][row, week]).astype(int)
    wait = np.floor(25 * u["shown"][row, week]).astype(int)
    columns = {
        "row": row,
        "measured_on": measured_on,
        "value": value,
        "target": target(history)[row],
        "shown_on": np.where(wait < 14, measured_on + wait, NEVER),
    }
    return before_notice(columns, "measured_on", history, law)


def target(history: History) -> Array:
    """Return each account's target for the metric, in days."""
    return np.asarray(5.5 + np.floor(3 * history.who.plan_target) * 0.5)


def tickets(history: History, law: Law) -> Columns:
    """Return the tickets, more frequent and more severe while an account is in trouble."""
    parts = []
    still = usage_factor(history, law) if law.usage_end == "quiet" else 1.0
    in_trouble = history.state.trouble & law.tickets_in_trouble
    busy = 0.06 * np.exp(0.5 * history.activity)
    for k, (calm, bad) in enumerate(((1.0, 0.75), (0.35, 0.35))):
        u = {name: history.u[f"ticket{k}{name}"] for name in ("", "_day", "_severity", "_close")}
        row, week = np.nonzero(u[""] < still * np.where(in_trouble, bad, calm * busy))
        trouble = in_trouble[row, week]
        opened = history.mondays[week] + np.floor(5 * u["_day"][row, week]).astype(int)
        severity = np.floor(np.minimum(u["_severity"][row, week] * 1.1 + 0.7 * trouble, 2.99))
        days = np.floor(-np.log(u["_close"][row, week]) * (3 + 6 * trouble)).astype(int)
        part = {"row": row, "opened_at": opened, "severity": severity, "closed_at": opened + days}
        parts.append(part | {"serial": 2 * week + k})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
