"""What a score depends on besides its model: late feeds, the holdout, and hindsight.

A score is made in hindsight if its model was trained on days after the date that it scores.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from leadsignal.errors import Fault, InputError, ModelError, OptionError
from leadsignal.files.writing import json_ready, plain_frame
from leadsignal.indicators.declare import DaysInState
from leadsignal.ingestion.feed_health import (
    FeedHealth,
    assess_feed,
    chance_of_silence,
    daily_counts,
    detected_after,
    lateness,
)
from leadsignal.model.provenance import tables_of
from leadsignal.panel import Panel, build_snapshot

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.tables import Tables


MAX_UNKNOWN = 0.5
"""Scoring is refused if more than this share of the model's indicators has no feed. It is the mean
over indicator families, so that a family with one column per behaviour does not dominate."""

MAX_LATE = 14
"""Days overdue after which the last state of a late table is no longer used."""


@dataclass(frozen=True)
class Feed:
    """A table used to fit the model that is missing, empty or late.

    ``indicators`` is the number of the model's indicators that depend on it. A late table has had
    no records for ``silent_days``. Scores use its state on ``state_as_of``, the day after its last
    record, for up to 14 days beyond its usual gap. After that, and when fitting, its indicators are
    unknown.
    """

    table: str
    state: Literal["missing", "empty", "late"]
    last_record: date | None
    usual_gap_days: int | None
    indicators: int
    silent_days: int | None = None
    state_as_of: date | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether a late table is treated as complete only up to its last record."""
        return self.state == "late" and self.state_as_of is None

    def __str__(self) -> str:
        if self.state != "late":
            what = "is missing" if self.state == "missing" else "has no rows"
            return f"{self.table} {what}: {self.indicators} indicators count as unknown"
        day = self.state_as_of
        done = f"its state of {day} is used" if day else "its indicators are unknown"
        return f"{lateness(self.table, self.last_record, self.usual_gap_days)}; {done}"

    def to_dict(self) -> dict[str, Any]:
        """Return the feed as a plain dictionary, ready for JSON."""
        return {name: json_ready(value) for name, value in vars(self).items()}


def find_feeds(model: ChurnModel, tables: Tables) -> tuple[Feed, ...]:
    """Return the feeds of a model that are missing, empty or late on the as_of date of the tables.

    A table with ``complete_through`` is not checked, as it declares where its records end. Raises
    ModelError if essential processes or metrics of behaviours need a missing behaviors table, or if
    too many of the model's indicators have no feed.
    """
    of = model.origin_.indicators
    read = Counter(table for name in model.features_.names for table in of.get(name, ()))
    found = [_feed(tables, table, count) for table, count in sorted(read.items())]
    feeds = tuple(feed for feed in found if feed is not None)
    _refuse_blindness(model, feeds)
    return feeds


def _feed(tables: Tables, table: str, count: int) -> Feed | None:
    if table not in tables.names:
        return Feed(table, "missing", None, None, count)
    if table == "accounts":
        return None
    health = feed_health(tables, table)
    if health.state == "empty":
        return Feed(table, "empty", None, None, count)
    late = _late(health, count)
    return late and _held(late)


def _late(health: FeedHealth, count: int) -> Feed | None:
    if not health.stopped:
        return None
    silent = health.silent_days
    return Feed(health.table, "late", health.last_record, health.usual_days, count, silent)


def _held(late: Feed) -> Feed:
    """Keep the last state of a late feed, unless it is overdue for too long."""
    last, silent, usual = late.last_record, late.silent_days or 0, late.usual_gap_days or 1
    if last is None or silent - (usual - 1) > MAX_LATE:
        return late
    return replace(late, state_as_of=last + timedelta(days=1))


def feed_health(
    tables: Tables, name: str, chance: float | None = None, *, detection: bool = False
) -> FeedHealth:
    """Return the health of a table at the tables' as_of, by the rules of weekly monitoring.

    With ``detection``, it says after how many days a stop is detected, which takes longer.
    """
    source = tables.project.tables.get(name)
    if source is not None and source.complete_through is not None:
        return FeedHealth(name, "ended", source.complete_through)
    first, counts = daily_records(tables, name)
    if first is None:
        return FeedHealth(name, "empty")
    chance = chance_of_silence(len(tables.names) - 1) if chance is None else chance
    health = assess_feed(name, first, counts, chance)
    after = detected_after(first, counts, chance) if detection else None
    return replace(health, detected_after=after)


def daily_records(tables: Tables, name: str) -> tuple[date | None, NDArray[np.float64]]:
    """Return the first day of a table, and the number of records that became known each day since.

    The last day is the one before as_of. Every version of a record counts, on the day it was known.
    """
    counts = (
        "SELECT CAST(known_on AS DATE) AS day, count(*) FROM"
        f" ({tables.history(name)}) GROUP BY day ORDER BY day"
    )
    rows = tables.connection.cursor().execute(counts).fetchall()
    return daily_counts(rows, tables.as_of_date)


def without_late_feeds(tables: Tables) -> tuple[Tables, tuple[Feed, ...]]:
    """Treat late tables as complete only up to their last record; also return the late feeds.

    This is used for fitting, before it is known how many indicators depend on each table.
    """
    names = [name for name in tables.names if name != "accounts"]
    found = [_late(feed_health(tables, name), 0) for name in names]
    late = tuple(feed for feed in found if feed is not None)
    return without_late_days(tables, late), late


def _refuse_blindness(model: ChurnModel, feeds: tuple[Feed, ...]) -> None:
    gone = {feed.table for feed in feeds if feed.state == "missing"}
    lost = unknown_indicators(model, feeds)
    total = len(model.features_.names)
    names = ", ".join(sorted(gone))
    analysis = model.analysis_
    if "behaviors" in gone and (analysis.processes or analysis.metrics):
        what = "essential processes" if analysis.processes else "metrics of behaviours"
        raise ModelError(
            f"the model reads {what}, and there is no table behaviors",
            "Give the tables that the model was fitted with, or fit the model again",
        )
    if _mean_share(model, lost) > MAX_UNKNOWN:
        raise ModelError(
            f"the model needs indicators that the panel does not have: {len(lost)} of {total}, of"
            f" the tables {names}",
            "Give the tables that the model was fitted with, or fit the model again",
        )


def _mean_share(model: ChurnModel, lost: list[str]) -> float:
    """Return the share of indicators lost, averaged over the indicator families."""
    read = Counter(model.families_[name] for name in model.features_.names)
    gone = Counter(model.families_[name] for name in lost)
    return sum(gone[family] / count for family, count in read.items()) / max(len(read), 1)


def unknown_indicators(model: ChurnModel, feeds: tuple[Feed, ...]) -> list[str]:
    """Return the model's indicators that cannot be computed because a table is missing."""
    gone = {feed.table for feed in feeds if feed.state == "missing"}
    of = model.origin_.indicators
    return [name for name in model.features_.names if gone.intersection(of.get(name, ()))]


def without_late_days(tables: Tables, feeds: tuple[Feed, ...]) -> Tables:
    """Treat tables that are late and unknown as complete only up to their last record.

    Other late tables keep their last state (`last_known.hold_late`): dropping a whole table for a
    delay of a few days would change the risks more than the delay does.
    """
    late = {feed.table: feed.last_record for feed in feeds if feed.is_unknown and feed.last_record}
    return tables.complete_through(late) if late else tables


def with_unknown(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return panel rows with empty columns for indicators without a feed."""
    absent = [name for name in names if name not in rows.columns]
    return rows.assign(**dict.fromkeys(absent, float("nan"))) if absent else rows


def hold_late(snapshot: Panel, tables: Tables, feeds: tuple[Feed, ...]) -> Panel:
    """Compute the indicators of late feeds as of the day after the last record of the feed.

    Otherwise, days without records would count as days without events, for all accounts at once.
    The number of days in a state still increases. Accounts that did not exist on that day keep
    their values.
    """
    late: dict[date, set[str]] = {}
    for feed in feeds:
        if feed.state_as_of:
            late.setdefault(feed.state_as_of, set()).add(feed.table)
    for day, names in sorted(late.items()):
        snapshot = _with_last_state(snapshot, tables, day, names)
    return snapshot


def _with_last_state(snapshot: Panel, tables: Tables, day: date, names: set[str]) -> Panel:
    then = build_snapshot(
        tables.as_of(day).with_behaviors(snapshot.behaviors), snapshot.analysis
    ).frame.set_index("account_id")
    frame = snapshot.frame.copy()
    there = frame["account_id"].isin(then.index).to_numpy()
    for one in snapshot.indicators:
        if names.intersection(tables_of(one)):
            values = then[one.name].reindex(frame["account_id"])
            if isinstance(one.rule, DaysInState):
                values = values + (tables.as_of_date - day).days
            frame.loc[there, one.name] = values.to_numpy()[there]
    return replace(snapshot, frame=frame)


HELD_OUT = "held_out"
"""Column of scores that marks the accounts not to be contacted."""
COLUMNS = ("account_id", "contacted_on")
LISTED = 100


def hold_out(customers: Iterable[Any], share: float, seed: int = 0) -> NDArray[np.bool_]:
    """Return which customers are held out (shape (customers,)), the same on every day and machine.

    A customer is held out if `chance_of` is below ``share``. All its accounts are, because
    contacting one affects the others. Raises OptionError unless the share is between 0 and 0.5.

    >>> hold_out(["a", "b", "c", "d"], 0.5).tolist()
    [False, False, False, True]
    """
    if not 0 <= share <= 0.5:
        raise OptionError(f"holdout = {share!r} is not between 0 and 0.5", "Write 0.1 for a tenth")
    return np.array([chance_of(one, seed) < share for one in customers], dtype=bool)


def chance_of(customer: object, seed: int) -> float:
    """Return a pseudo-random number in [0, 1) for a customer, from SHA-256 of ``seed:customer``.

    Both holdouts and experiment arms use it: customers with the lowest numbers are left alone.
    """
    text = f"{seed}:{customer}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def read_contacts(path: str | Path) -> pd.DataFrame:
    """Return the log of contacted accounts: account_id, contacted_on, one row per contact.

    Raises InputError with the line of every fault.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise OptionError(
            f"there is no file {path}",
            "Give a CSV file with the columns account_id and contacted_on",
        )
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise _refused(path, "cannot be read as CSV", "Save it as CSV in UTF-8.") from error
    # Contacts are copied from tables of scores, in which text is escaped for spreadsheets.
    frame = plain_frame(frame)
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        remedy = "Name the columns account_id and contacted_on."
        raise _refused(path, f"has no column {' and no '.join(missing)}", remedy)
    return check_contacts(frame, path.name)


def _refused(path: Path, problem: str, remedy: str) -> InputError:
    return InputError([Fault(path.name, "contacts", None, None, None, problem, remedy)])


def check_contacts(frame: pd.DataFrame, file: str | None = None) -> pd.DataFrame:
    """Return contacts with parsed dates, sorted by account and day.

    Raises OptionError if a column is missing, and InputError for invalid cells.
    """
    import pandas as pd

    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise OptionError(f"contacts have no column {' and no '.join(missing)}", "Add it")
    days = pd.to_datetime(frame["contacted_on"], errors="coerce", format="ISO8601")
    blank = frame["account_id"].isna() | (frame["account_id"].astype(str).str.strip() == "")
    faults = [
        Fault(file, "contacts", row + 2, column, value, problem, remedy)
        for column, wrong, problem, remedy in (
            ("account_id", blank, "is empty", "Say which account was contacted."),
            ("contacted_on", days.isna(), "is not a day", "Write it as 2025-12-31."),
        )
        for row, value in _cells(frame[column], wrong.to_numpy(dtype=bool))
    ]
    if faults:
        raise InputError(faults)
    contacts = pd.DataFrame(
        {"account_id": frame["account_id"].astype(str), "contacted_on": days.dt.normalize()}
    )
    return contacts.sort_values(list(COLUMNS), ignore_index=True)


def _cells(column: pd.Series[Any], wrong: NDArray[np.bool_]) -> list[tuple[int, str]]:
    rows = np.flatnonzero(wrong)[:LISTED]
    return [(int(row), str(column.iloc[row])[:40]) for row in rows]


HINDSIGHT = "hindsight"


def in_hindsight(snapshot_on: pd.Series, trained_through: date) -> pd.Series:
    """Return, for each snapshot date, whether the model was trained on later days."""
    import pandas as pd

    return pd.to_datetime(snapshot_on) < pd.Timestamp(trained_through)


def with_hindsight(scores: pd.DataFrame) -> pd.DataFrame:
    """Return scores with the column ``hindsight``, derived from the model version if missing.

    A version begins with the last day of the training data. If it has another form, the scores are
    assumed not to be made in hindsight.
    """
    if HINDSIGHT in scores or not {"model_version", "snapshot_on"} <= set(scores):
        return scores
    marked = scores.assign(**{HINDSIGHT: False})
    for version, rows in scores.groupby("model_version"):
        through = _trained_through(str(version))
        if through is not None:
            marked.loc[rows.index, HINDSIGHT] = in_hindsight(rows["snapshot_on"], through)
    return marked


def _trained_through(version: str) -> date | None:
    try:
        return datetime.strptime(version.partition("-")[0], "%Y%m%d").date()
    except ValueError:
        return None
