"""Convert histories to the twelve tables, with only what is known by as_of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from leadsignal.datasets import records, vendor
from leadsignal.datasets.draws import Array
from leadsignal.datasets.history import NEVER, REASONS_TO_LEAVE, History
from leadsignal.datasets.law import Law
from leadsignal.datasets.population import INDUSTRIES, OWNERS, REASONS, REGIONS, REPS, SEGMENTS
from leadsignal.datasets.records import BEHAVIORS, METRIC, Columns

OBJECTIVES = (
    "Close the month in five days",
    "One close calendar for all entities",
    "No surprises at the audit",
    "Reconcile every account before review",
)
_SPONSORS = (
    "Claire Dubois",
    "Martin Vogel",
    "Grace Adeyemi",
    "Peter Halvorsen",
    "Irene Castellano",
    "Samuel Brandt",
    "Yuki Tanabe",
    "Rosalind Pike",
)
_PHASES = ("Roll out to the subsidiaries", "Automate bank feeds", "Flux analysis", "Group close")
_ACTIONS = {
    "customer": (
        "Name an owner for each balance sheet account",
        "Upload the close calendar",
        "Train two more reviewers",
        "Agree cut-off dates with sales",
        "Bring the controller to the next review",
    ),
    "vendor": (
        "Configure matching rules",
        "Deliver reviewer training",
        "Prepare the benchmark report",
        "Connect the bank feed",
    ),
}
_SEVERITIES = ("low", "normal", "high")


@dataclass(frozen=True)
class Period:
    """The period of the data: events from ``first`` on that are known before ``as_of``."""

    first: int
    as_of: int


def build_tables(
    history: History, law: Law, events: Columns, period: Period
) -> dict[str, pd.DataFrame]:
    """Return the twelve tables of these accounts, without faults."""
    amount = records.weekly_usage(history, law)
    started = history.mondays[None, :] + 6 >= history.who.start[:, None]
    ratio = vendor.usage_ratio(amount, started)
    planned = vendor.plans(history)
    number = np.array([name[2:] for name in history.who.account_id], dtype=object)
    cut = _Cut(history, period)
    return {
        "accounts": _accounts(history, law, period),
        "behaviors": _behaviors(cut, events),
        "tickets": _tickets(cut, records.tickets(history, law), number),
        "contract_changes": _contract_changes(cut, vendor.contract_changes(history)),
        "results": _results(cut, records.results(history, law)),
        "usage": cut.frame(records.usage(history, amount), "used_on"),
        "plans": _plans(cut, planned, number),
        "commitments": _commitments(cut, vendor.commitments(history, law, planned), number),
        "surveys": cut.frame(vendor.surveys(history), "answered_on"),
        "flags": cut.frame(vendor.flags(history, law, ratio), "flagged_on", "cleared_on"),
        "health_scores": _health_scores(cut, vendor.health_scores(history, ratio)),
        "account_changes": _account_changes(cut, vendor.handoffs(history)),
    }


def dates(day: Array) -> Array:
    """Convert day numbers to dates; NEVER and later become NaT."""
    day = np.asarray(day, dtype=np.int64)
    date = day.astype("datetime64[D]")
    date[day >= NEVER] = np.datetime64("NaT", "D")
    return np.asarray(date.astype("datetime64[ns]"))


@dataclass(frozen=True)
class _Cut:
    """Keeps the rows within an account's life and the data's period, by account and day."""

    history: History
    period: Period

    def frame(self, columns: Columns, time: str, *later: str) -> pd.DataFrame:
        """Return the rows whose ``time`` is observed; unobserved ``later`` dates are blank."""
        row, day = columns["row"], columns[time]
        who = self.history.who
        last = np.minimum(self.history.ended, self.period.as_of)[row]
        seen = (day >= np.maximum(who.start[row], self.period.first)) & (day < last)
        keep = np.flatnonzero(seen)
        keep = keep[np.lexsort((day[keep], row[keep]))]
        out: dict[str, Array] = {"account_id": who.account_id[row[keep]], time: dates(day[keep])}
        for name, values in columns.items():
            if name in later:
                out[name] = dates(np.where(values < last, values, NEVER)[keep])
            elif name not in ("row", time):
                out[name] = values[keep]
        return pd.DataFrame(out)


def _blank(values: Array, where: Array) -> Array:
    values = values.copy()
    values[where] = None
    return values


def _names(names: tuple[str, ...], index: Array) -> Array:
    return np.array(names, dtype=object)[np.asarray(index, dtype=np.int64)]


def _accounts(history: History, law: Law, period: Period) -> pd.DataFrame:
    who = history.who
    ended = np.where(history.ended < period.as_of, history.ended, NEVER)
    recorded = (history.known < period.as_of) & law.notice_recorded
    known = np.where(recorded, history.known, NEVER)
    reason = _names((*REASONS_TO_LEAVE, "completed"), history.reason)
    return pd.DataFrame(
        {
            "account_id": who.account_id,
            "started_on": dates(who.start),
            "ended_on": dates(ended),
            "end_known_on": dates(known),
            "end_reason": _blank(reason, ended == NEVER),
            "term_months": who.term,
            "arr": who.arr,
            "customer_id": np.array([f"C-{10001 + k}" for k in who.slot.tolist()], dtype=object),
            "segment": _names(SEGMENTS, who.segment),
            "industry": _names(INDUSTRIES, who.industry),
            "region": _names(REGIONS, who.region),
            "employees": who.employees.astype(np.int64),
            "close_owner": _names(OWNERS, who.owner),
            "sales_rep": _names(REPS, who.rep),
            "purchase_reason": _names(REASONS, who.reason),
        }
    )


def _behaviors(cut: _Cut, columns: Columns) -> pd.DataFrame:
    columns = dict(columns)
    columns["behavior"] = _names(BEHAVIORS, columns.pop("kind"))
    columns["user_id"] = _names(tuple(f"u{k + 1:02d}" for k in range(30)), columns.pop("user"))
    return cut.frame(columns, "occurred_at")


def _tickets(cut: _Cut, columns: Columns, number: Array) -> pd.DataFrame:
    columns = dict(columns)
    columns["ticket_id"] = _serial("T", number[columns["row"]], columns.pop("serial"))
    columns["severity"] = _names(_SEVERITIES, columns["severity"])
    return cut.frame(columns, "opened_at", "closed_at")


def _serial(letter: str, number: Array, serial: Array) -> Array:
    pairs = zip(number.tolist(), serial.tolist(), strict=True)
    return np.array([f"{letter}-{account}-{k}" for account, k in pairs], dtype=object)


def _contract_changes(cut: _Cut, columns: Columns) -> pd.DataFrame:
    frame = cut.frame(columns, "changed_at")
    frame["term_months"] = frame["term_months"].where(frame["term_months"] > 0).astype("Int64")
    return frame


def _results(cut: _Cut, columns: Columns) -> pd.DataFrame:
    frame = cut.frame(columns, "measured_on", "shown_on")
    frame["metric"] = METRIC
    frame["higher_is_better"] = False
    return frame


def _plans(cut: _Cut, planned: Columns, number: Array) -> pd.DataFrame:
    row, ordinal = planned["row"], planned["ordinal"]
    pick = cut.history.who.objective[row]
    columns = {name: planned[name] for name in ("row", "agreed_on", "target", "closed_on")}
    columns |= {
        "plan_id": _serial("P", number[row], ordinal),
        "objective": _names(OBJECTIVES, np.floor(len(OBJECTIVES) * pick)),
        "target_on": planned["target_on"],
        "sponsor": _names(_SPONSORS, np.floor(97 * pick) % len(_SPONSORS)),
        "next_phase": _names(_PHASES, (ordinal - 1) % len(_PHASES)),
    }
    frame = cut.frame(columns, "agreed_on", "closed_on")
    frame["metric"] = METRIC
    frame["target_on"] = dates(frame["target_on"].to_numpy())
    return frame


def _commitments(cut: _Cut, columns: Columns, number: Array) -> pd.DataFrame:
    columns = dict(columns)
    columns["commitment_id"] = _serial("K", number[columns["row"]], columns.pop("serial"))
    draw, owner = columns["action"], columns["owner"]
    mine, theirs = (
        _names(names, np.floor(draw * len(names)))
        for names in (_ACTIONS["customer"], _ACTIONS["vendor"])
    )
    columns["action"] = np.where(owner == "customer", mine, theirs)
    frame = cut.frame(columns, "agreed_on", "completed_on")
    frame["due_on"] = dates(frame["due_on"].to_numpy())
    return frame


def _health_scores(cut: _Cut, columns: Columns) -> pd.DataFrame:
    band = np.where(columns["score"] < 50, 2, np.where(columns["score"] < 70, 1, 0))
    return cut.frame(columns | {"band": _names(("green", "yellow", "red"), band)}, "scored_on")


def _account_changes(cut: _Cut, columns: Columns) -> pd.DataFrame:
    value = _names(REPS, columns["rep"])
    frame = cut.frame(
        {"row": columns["row"], "changed_on": columns["changed_on"]} | {"value": value},
        "changed_on",
    )
    frame.insert(2, "attribute", "sales_rep")
    return frame
