"""Convert histories to the twelve tables, with only what is known by as_of.

Recordings are named faults of the records. None of them changes which accounts leave and when, only
what the tables say about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import pandas as pd

from leadsignal.datasets import records
from leadsignal.datasets.history import NEVER, REASONS_TO_LEAVE, History
from leadsignal.datasets.law import (
    INDUSTRIES,
    NAMES,
    OWNERS,
    REASONS,
    REGIONS,
    REPS,
    SEGMENTS,
    Array,
    Law,
    account_uniforms,
)
from leadsignal.datasets.records import BEHAVIORS, METRIC, Columns


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
    ratio = records.usage_ratio(amount, started)
    planned = records.plans(history)
    number = np.array([name[2:] for name in history.who.account_id], dtype=object)
    cut = _Cut(history, period)
    return {
        "accounts": _accounts(history, law, period),
        "behaviors": _behaviors(cut, events),
        "tickets": _tickets(cut, records.tickets(history, law), number),
        "contract_changes": _contract_changes(cut, records.contract_changes(history)),
        "results": _results(cut, records.results(history, law)),
        "usage": cut.frame(records.usage(history, amount), "used_on"),
        "plans": _plans(cut, planned, number),
        "commitments": _commitments(cut, records.commitments(history, law, planned), number),
        "surveys": cut.frame(records.surveys(history), "answered_on"),
        "flags": cut.frame(records.flags(history, law, ratio), "flagged_on", "cleared_on"),
        "health_scores": _health_scores(cut, records.health_scores(history, ratio)),
        "account_changes": _account_changes(cut, records.handoffs(history)),
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


def _names(names: Sequence[str], index: Array) -> Array:
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
    columns["severity"] = _names(NAMES["severities"], columns["severity"])
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
        "objective": _names(NAMES["objectives"], np.floor(len(NAMES["objectives"]) * pick)),
        "target_on": planned["target_on"],
        "sponsor": _names(NAMES["sponsors"], np.floor(97 * pick) % len(NAMES["sponsors"])),
        "next_phase": _names(NAMES["phases"], (ordinal - 1) % len(NAMES["phases"])),
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
        for names in (NAMES["actions"]["customer"], NAMES["actions"]["vendor"])
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


# Recordings ---------------------------------------------------------------------------------------


Tables = dict[str, "pd.DataFrame"]
EXIT_CALL, TWIN = "exit_call", "reconciliation_approved"
LIST_DAYS = 365
"""Number of days for which a list of surviving accounts has been kept."""
LOSS_DAYS, LOSS_SHARE = 120, 0.6
"""A feed loses this share of its rows from this number of days before the end of the data."""


def as_recorded(tables: Tables, names: tuple[str, ...], seed: int, period: Period) -> Tables:
    """Return the tables after applying the named recordings in order."""
    out = dict(tables)
    for name in names:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7, len(name))))
        out |= RECORDINGS[name](out, rng, period)
    return out


def _survivors(tables: Tables, rng: np.random.Generator, period: Period) -> Tables:
    """Remove accounts that had ended when the list began."""
    ended = tables["accounts"]["ended_on"]
    kept = ended.isna() | (ended >= _day(period.as_of - LIST_DAYS))
    ids = set(tables["accounts"].loc[kept, "account_id"])
    return {name: frame[frame["account_id"].isin(ids)] for name, frame in tables.items()}


def _backfilled(tables: Tables, rng: np.random.Generator, period: Period) -> Tables:
    """Add calls with churned accounts, entered afterwards with earlier dates."""
    left = _ended(tables)
    called = left["ended_on"] - pd.to_timedelta(rng.integers(5, 120, len(left)), unit="D")
    calls = pd.DataFrame(
        {
            "account_id": left["account_id"].to_numpy(),
            "occurred_at": called.where(called >= left["started_on"], left["started_on"]),
            "behavior": EXIT_CALL,
            "user_id": "u01",
        }
    )
    return _with_rows(tables, "behaviors", "occurred_at", calls)


def _arr_today(tables: Tables, rng: np.random.Generator, period: Period) -> Tables:
    """Set the ARR of ended accounts to 0, as on the day of the export."""
    accounts = tables["accounts"]
    return {"accounts": accounts.assign(arr=accounts["arr"].where(accounts["ended_on"].isna(), 0))}


def _attribute_today(tables: Tables, rng: np.random.Generator, period: Period) -> Tables:
    """Set the region of most ended accounts to the one to which closed accounts are moved."""
    accounts = tables["accounts"]
    moved = accounts["ended_on"].notna() & (rng.random(len(accounts)) < 0.8)
    return {"accounts": accounts.assign(region=accounts["region"].mask(moved, "Archive"))}


def _closed_at_end(tables: Tables, rng: np.random.Generator, period: Period) -> Tables:
    """Close the last ticket of each ended account on the day of its end."""
    tickets = tables["tickets"].copy()
    ends = _ended(tables).set_index("account_id")["ended_on"]
    last = tickets.groupby("account_id")["opened_at"].transform("max") == tickets["opened_at"]
    chosen = last & tickets["account_id"].isin(ends.index)
    tickets.loc[chosen, "closed_at"] = tickets.loc[chosen, "account_id"].map(ends)
    return {"tickets": tickets}


def _exit_surveys(tables: Tables, rng: np.random.Generator, period: Period) -> Tables:
    """Keep only the surveys of ended accounts."""
    ids = set(_ended(tables)["account_id"])
    surveys = tables["surveys"]
    return {"surveys": surveys[surveys["account_id"].isin(ids)].reset_index(drop=True)}


def _export_day(tables: Tables, rng: np.random.Generator, period: Period) -> Tables:
    """Replace ends in the last half year by the day of the export."""
    accounts = tables["accounts"].copy()
    recent = accounts["ended_on"] >= _day(period.as_of - 182)
    accounts.loc[recent, "ended_on"] = _day(period.as_of - 1)
    accounts["end_known_on"] = accounts["end_known_on"].where(~recent)
    return {"accounts": accounts}


def _late_results(tables: Tables, rng: np.random.Generator, period: Period) -> Tables:
    """Add results of the first months that surviving accounts entered within the last year."""
    accounts = tables["accounts"]
    there = accounts[accounts["ended_on"].isna() & (rng.random(len(accounts)) < 0.6)]
    first = there["started_on"].where(there["started_on"] >= _day(period.first), _day(period.first))
    after = first + _days(rng.integers(10, 120, len(there)))
    last = _day(period.as_of - 1)
    results = tables["results"]
    rows = results.iloc[rng.integers(0, len(results), len(there))].reset_index(drop=True)
    rows = rows.assign(
        account_id=there["account_id"].to_numpy(),
        measured_on=after.where(after <= last, last).to_numpy(),
    )
    rows["shown_on"] = rows["shown_on"].where(rows["shown_on"] >= rows["measured_on"])
    late = _day(period.as_of - LIST_DAYS) + _days(rng.integers(0, LIST_DAYS, len(there)))
    rows["recorded_at"] = np.maximum(late, rows["measured_on"])
    on_time = results.assign(recorded_at=results["measured_on"])
    return _with_rows({"results": on_time}, "results", "measured_on", rows)


def _expansions(tables: Tables, rng: np.random.Generator, period: Period, days: int) -> Tables:
    """Add expansions this number of days before a renewal, only for accounts that renew."""
    changes = tables["contract_changes"]
    renewals = changes[changes["kind"] == "renewal"]
    chosen = renewals[rng.random(len(renewals)) < 0.4]
    signed = chosen.assign(
        changed_at=chosen["changed_at"] - pd.Timedelta(days=days),
        kind="expansion",
        arr_delta=1200,
        term_months=pd.array([pd.NA] * len(chosen), dtype="Int64"),
    )
    others = changes[changes["kind"] != "expansion"]
    return _with_rows({"contract_changes": others}, "contract_changes", "changed_at", signed)


def _twin(tables: Tables, rng: np.random.Generator, period: Period) -> Tables:
    """Follow each reconciliation by an approval of the same user on the same day."""
    behaviors = tables["behaviors"]
    mine = behaviors[behaviors["behavior"] == "reconciliation_completed"]
    return _with_rows(tables, "behaviors", "occurred_at", mine.assign(behavior=TWIN))


def _feed_loss(tables: Tables, rng: np.random.Generator, period: Period) -> Tables:
    """Drop most rows of behaviours from some day on."""
    behaviors = tables["behaviors"]
    late = (behaviors["occurred_at"] >= _day(period.as_of - LOSS_DAYS)).to_numpy()
    lost = late & (rng.random(len(behaviors)) < LOSS_SHARE)
    return {"behaviors": behaviors[~lost].reset_index(drop=True)}


RECORDINGS: Mapping[str, Callable[[Tables, np.random.Generator, Period], Tables]] = (
    MappingProxyType(
        {
            "survivors": _survivors,
            "backfilled": _backfilled,
            "arr_today": _arr_today,
            "attribute_today": _attribute_today,
            "closed_at_end": _closed_at_end,
            "exit_surveys": _exit_surveys,
            "export_day": _export_day,
            "late_results": _late_results,
            "expansion_at_renewal": partial(_expansions, days=0),
            "expansion_before_renewal": partial(_expansions, days=30),
            "twin": _twin,
            "feed_loss": _feed_loss,
        }
    )
)
"""Faults that the records can have, by name."""


def _ended(tables: Tables) -> pd.DataFrame:
    accounts = tables["accounts"]
    return accounts[accounts["ended_on"].notna()]


def _day(day: int) -> pd.Timestamp:
    return pd.Timestamp(dates(np.array([day]))[0])


def _days(count: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pd.TimedeltaIndex:
    return pd.to_timedelta(count, unit="D")


def _with_rows(tables: Tables, name: str, time: str, rows: pd.DataFrame) -> Tables:
    both = pd.concat([tables[name], rows[[c for c in tables[name] if c in rows]]])
    both = both.sort_values(["account_id", time], kind="stable")
    return {name: both.reset_index(drop=True)}


FEED_DELAYS = {"usage": 240, "surveys": 400, "results": 120}
"""Number of days after the start of the data at which the feed of a table starts."""
_LATE = {"behaviors": 0.04, "results": 0.15, "tickets": 0.02, "contract_changes": 0.10}
_DAY = np.timedelta64(1, "D")


def make_messy(tables: Tables, seed: int, period: Period) -> Tables:
    """Return the tables as a real company would have them, with delays in ``recorded_at``.

    Each account has its own random stream, so that histories remain independent.
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
    """Add today's values to accounts, as exports do: the latest rep, and seats, 0 once ended."""
    accounts, changes = tables["accounts"], tables["account_changes"]
    latest = changes.groupby("account_id")["value"].last()
    rep = accounts["account_id"].map(latest).fillna(accounts["sales_rep"])
    seats = 2 + np.floor(
        accounts["employees"] * (0.04 + 0.04 * account_uniforms(accounts, seed, 8)[:, 0])
    )
    return accounts.assign(
        sales_rep=rep, seats=seats.where(accounts["ended_on"].isna(), 0).astype("int64")
    )
