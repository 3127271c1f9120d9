"""Records of the vendor: plans, commitments, contracts, surveys, flags and health scores."""

from __future__ import annotations

import numpy as np

from leadsignal.datasets.draws import Array, normal
from leadsignal.datasets.history import AFTER_HANDOFF, AFTER_REDUCTION, NEVER, History
from leadsignal.datasets.law import Law
from leadsignal.datasets.records import Columns, leaving, target, usage_factor


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
