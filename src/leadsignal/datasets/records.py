"""Records of the customer's actions: behaviours, usage, results and tickets."""

from __future__ import annotations

import numpy as np

from leadsignal.datasets.history import AFTER_HANDOFF, AFTER_REDUCTION, NEVER, History, completion
from leadsignal.datasets.law import NAMES, Array, Law, draw_events, normal, poisson

Columns = dict[str, Array]
"""A table as arrays by column; ``row`` is the account's position, days are integers."""

BEHAVIORS: tuple[str, ...] = tuple(NAMES["behaviors"])
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


# What the vendor records --------------------------------------------------------------------------


def usage_ratio(amount: Array, started: Array) -> Array:
    """Return usage in the last four weeks over the best four of the last year; 1 if too young."""
    padded = np.where(started, amount, 0.0)
    total = np.cumsum(np.pad(padded, ((0, 0), (4, 0))), axis=1)
    four = total[:, 4:] - total[:, :-4]
    best = four.copy()
    for back in (1, 2, 4, 8, 16, 20):
        best[:, back:] = np.maximum(best[:, back:], best[:, :-back])
    young = np.cumsum(started, axis=1) < 12
    return np.where(young | (best <= 0), 1.0, four / np.maximum(best, 1e-9))


def health_scores(history: History, ratio: Array) -> Columns:
    """Return a monthly score based mostly on usage, as such scores are in practice."""
    first = (history.first_week + np.arange(ratio.shape[1])) % 4 == 0
    row, week = np.nonzero(np.broadcast_to(first, ratio.shape))
    score = 12 + 80 * np.minimum(1.0, ratio[row, week]) - 5 * history.state.trouble[row, week]
    score = np.clip(np.round(score + 5 * normal(history.u["health"][row, week])), 0, 100)
    # The score is computed on Monday morning from the weeks before.
    return {"row": row, "scored_on": history.mondays[week] + 7, "score": score}


def surveys(history: History) -> Columns:
    """Return answers to quarterly surveys, which reflect charm and calm more than success."""
    surveyed = (history.first_week + np.arange(history.activity.shape[1])) % 13 == 0
    row, week = np.nonzero(surveyed & (history.u["survey"] < 0.42))
    answer = 7.4 + 1.1 * history.who.charm[row] + 0.5 * history.who.activity[row]
    answer += 1.2 * normal(history.u["survey_score"][row, week])
    answer -= 1.0 * history.state.trouble[row, week]
    return {
        "row": row,
        "answered_on": history.mondays[week] + 3,
        "score": np.clip(np.round(answer), 0, 10),
    }


def flags(history: History, law: Law, ratio: Array) -> Columns:
    """Return the team's flags: often late, sometimes unfounded, cleared when things look well."""
    u, low = history.u, ratio < 0.6
    gone = leaving(history) if law.usage_end != "none" else np.zeros_like(ratio)
    chance = 0.0012 + 0.05 * low + 0.012 * history.state.trouble + 0.03 * (gone > 0.5)
    open_since = np.full(len(ratio), -1)
    rows, flagged, cleared = [], [], []
    for week in range(ratio.shape[1]):
        clear = (open_since >= 0) & (u["clear"][:, week] < np.where(low[:, week], 0.02, 0.09))
        which = np.flatnonzero(clear)
        rows.append(which)
        flagged.append(open_since[which])
        cleared.append(np.full(len(which), week))
        open_since[which] = -1
        raised = (open_since < 0) & ~clear & (u["flag"][:, week] < chance[:, week])
        raised &= history.mondays[week] >= history.who.start
        open_since[raised] = week
    still = np.flatnonzero(open_since >= 0)
    row = np.concatenate([*rows, still])
    since = np.concatenate([*flagged, open_since[still]])
    until = np.concatenate([*cleared, np.full(len(still), -1)])
    return {
        "row": row,
        "flagged_on": history.mondays[since] + np.floor(5 * u["flag_day"][row, since]).astype(int),
        "cleared_on": np.where(until >= 0, history.mondays[until] + 4, NEVER),
    }


def contract_changes(history: History) -> Columns:
    """Return renewals on their dates, expansions after success, and reductions."""
    who, state, u = history.who, history.state, history.u
    renewed = (who.renewals < history.known[:, None]) & (who.term > 1)[:, None]
    row, which = np.nonzero(renewed)
    parts = [_changes(row, who.renewals[row, which], "renewal", np.zeros(len(row)), who.term[row])]
    grown = u["expand"] < 0.004 * np.exp(2.0 * (state.success - 0.45))
    row, week = np.nonzero(grown)
    share = 0.08 + 0.22 * u["expand_size"][row, week]
    day = history.mondays[week] + np.floor(5 * u["expand_day"][row, week]).astype(int)
    parts.append(_changes(row, day, "expansion", share * who.arr[row], np.zeros(len(row))))
    row, week = np.nonzero(state.reduced == AFTER_REDUCTION)
    share = -(0.05 + 0.2 * u["reduce_size"][row, week])
    day = history.mondays[week]
    parts.append(_changes(row, day, "reduction", share * who.arr[row], np.zeros(len(row))))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _changes(row: Array, day: Array, kind: str, delta: Array, term: Array) -> Columns:
    kinds = np.full(len(row), kind, dtype=object)
    return {
        "row": row,
        "changed_at": day,
        "kind": kinds,
        "arr_delta": np.round(delta / 12) * 12,
        "term_months": term,
    }


def handoffs(history: History) -> Columns:
    """Return the days on which an account got a new sales rep."""
    row, week = np.nonzero(history.state.handed == AFTER_HANDOFF)
    rep = history.state.rep[row, week]
    return {"row": row, "changed_on": history.mondays[week], "rep": rep}


def plans(history: History) -> Columns:
    """Return consecutive success plans, each closed after some months."""
    u, who = history.u, history.who
    chance = 0.035 * np.exp(0.5 * who.readiness)
    left = np.zeros(len(who.slot))
    number = np.zeros(len(who.slot), dtype=int)
    found: list[tuple[Array, Array, Array, Array]] = []
    for week in range(u["plan"].shape[1]):
        left = np.maximum(left - 1, 0)
        new = (left == 0) & (u["plan"][:, week] < chance) & (history.mondays[week] >= who.start)
        rows = np.flatnonzero(new)
        length = 26 + np.floor(27 * u["plan_weeks"][rows, week])
        left[rows] = length
        number[rows] += 1
        found.append((rows, np.full(len(rows), week), length, number[rows]))
    row, which, length, ordinal = (np.concatenate(part) for part in zip(*found, strict=True))
    monday = history.mondays[which]
    agreed = monday + np.floor(5 * u["expand_day"][row, which]).astype(int)
    return {
        "row": row,
        "agreed_on": agreed,
        "week": which,
        "weeks": length.astype(int),
        "ordinal": ordinal,
        "target": target(history)[row],
        "target_on": agreed + 7 * np.floor(0.8 * length).astype(int),
        "closed_on": monday + 7 * length.astype(int) + 2,
    }


def commitments(history: History, law: Law, planned: Columns) -> Columns:
    """Return the commitments of customer and vendor while a plan was open, kept or not."""
    u, who = history.u, history.who
    running = np.zeros_like(u["customer"], dtype=bool)
    span = np.arange(running.shape[1])[None, :]
    for ordinal in range(1, int(planned["ordinal"].max(initial=0)) + 1):
        here = planned["ordinal"] == ordinal
        first, weeks = planned["week"][here, None], planned["weeks"][here, None]
        running[planned["row"][here]] |= (span > first) & (span < first + weeks)
    keen = 1 / (1 + np.exp(-(0.9 + 1.1 * who.diligence[:, None] + 0 * u["customer"])))
    if law.usage_end == "disengagement":
        keen = keen * usage_factor(history, law)
    parts = [
        _promises(history, running & (u["customer"] < 0.16), "customer", keen),
        _promises(history, running & (u["vendor"] < 0.09), "vendor", np.full(keen.shape, 0.85)),
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _promises(history: History, promised: Array, owner: str, keen: Array) -> Columns:
    row, week = np.nonzero(promised)
    due, kept, late = (history.u[f"{owner}_{part}"][row, week] for part in ("due", "kept", "late"))
    agreed = history.mondays[week] + 1 + (owner == "vendor")
    days = 10 + np.floor(35 * due).astype(int)
    chance = keen[row, week]
    delay = np.where(kept < chance, -np.floor(late * (days - 2)), 1 + np.floor(45 * late))
    never = kept > chance + 0.55 * (1 - chance)
    completed = agreed + days + delay.astype(int)
    return {
        "row": row,
        "agreed_on": agreed,
        "due_on": agreed + days,
        "owner": np.full(len(row), owner, dtype=object),
        "completed_on": np.where(never, NEVER, completed),
        "action": history.u["action"][row, week],
        "serial": 2 * week + (owner == "vendor"),
    }
