"""The ready comparisons: for each, which records change an account's cohort, and when.

A first event moves an account into its cohort for good; a trailing window moves it in and out.
All read the tables as of ``as_of``, and return the day from which a state is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from leadsignal.as_of_context import AsOfContext
from leadsignal.config.success import Process, SuccessAnalysis, applies
from leadsignal.errors import Fault, OptionError, TablesError, near
from leadsignal.schema import ACCOUNT, Column, Table
from leadsignal.sources.parts import literals, quoted
from leadsignal.tables import Tables, queried
from leadsignal.targets import EVER, attributes_over_time, newest_known, status_changes

RESULT_DAYS, KEPT_DAYS, DIARY_DAYS, SURVEY_DAYS = 90, 180, 90, 365
"""Number of days for which a result, commitment, diary entry and survey count."""
BEFORE, NOT_MEANT = "before", "not meant for it"
STATES_TABLE = Table(
    "by_frame",
    "dated events of the caller's own",
    time="on",
    columns=(
        ACCOUNT,
        Column("on", "day", "the day of the event", required=True),
        Column("state", "text", "the cohort from that day on"),
    ),
    repeats="warning",
)


@dataclass(frozen=True, eq=False)
class Changes:
    """Dated changes of state: a frame of account_id, on, and state (a position in ``levels``).

    ``table`` is the source table, ``window`` the number of days until a state is known.
    ``for_good`` says that a state is permanent, so that events before the table is complete matter
    forever. ``landmark`` is the default day of the landmark, ``away`` the level that counts as time
    away.
    """

    levels: tuple[str, ...]
    frame: pd.DataFrame
    table: str | None
    window: int = 0
    for_good: bool = True
    landmark: int = 90
    meaning: str = ""
    away: str | None = None

    def later(self, days: int) -> Changes:
        """Return the changes shifted by ``days``: the state is the one of ``days`` before."""
        if not days:
            return self
        on = self.frame["on"] + pd.Timedelta(days=days)
        return replace(self, frame=self.frame.assign(on=on), window=self.window + days)


Maker = Callable[[AsOfContext], Changes]


def ready_comparisons(tables: Tables, analysis: SuccessAnalysis) -> dict[str, Maker]:
    """Return, by name, the ready comparisons for which these tables have the columns."""
    ready: dict[str, Maker] = {}
    if "results" in tables.names:
        ready["measured"] = partial(_first, "results", "measured_on", "unmeasured", "measured")
        if "shown_on" in tables.columns("results"):
            ready["shown"] = partial(_first, "results", "shown_on", "not shown", "shown")
        if "target" in tables.columns("results"):
            ready["results"] = _results
    if "tickets" in tables.names:
        ready["complained"] = partial(_first, "tickets", "opened_at", "no ticket", "complained")
    if "contract_changes" in tables.names:
        ready["contract"] = _contract
    ready |= _tracked(tables, analysis)
    if "plans" in tables.names:
        ready["planned"] = partial(_first, "plans", "agreed_on", "no plan", "planned", landmark=30)
    if "commitments" in tables.names and "completed_on" in tables.columns("commitments"):
        ready["commitments"] = partial(_commitments, None)
        for owner in ("customer", "vendor"):
            ready[f"{owner}_commitments"] = partial(_commitments, owner)
    if "surveys" in tables.names:
        ready["satisfied"] = _satisfied
    if "flags" in tables.names:
        ready["rescued"] = partial(_first, "flags", "cleared_on", "flagged", "rescued")
    ready |= {_free(a, "attribute", ready): partial(_attribute, a) for a in tables.attributes}
    processes = analysis.processes if "adopted" in ready else ()
    adopted = {_free(p.name, "process", ready): partial(adopted_changes, p.name) for p in processes}
    listed = [
        {name: maker} | (adopted if name == "adopted" else {}) for name, maker in ready.items()
    ]
    return {name: maker for part in listed for name, maker in part.items()}


def _free(name: str, kind: str, taken: Mapping[str, Maker]) -> str:
    """Return the name, prefixed by its kind if another comparison has the same name."""
    return f"{kind}:{name}" if name in taken else name


def _tracked(tables: Tables, analysis: SuccessAnalysis) -> dict[str, Maker]:
    ready: dict[str, Maker] = {}
    if "behaviors" not in tables.names:
        return ready
    if analysis.processes:
        ready["adopted"] = partial(adopted_changes, None)
    tracking = analysis.tracking
    for name, behaviors, without in (
        ("sponsor_seen", tracking.sponsor, "sponsor not seen"),
        ("handed_off", tracking.handoff, "not handed off"),
    ):
        if behaviors:
            ready[name] = partial(
                _first, "behaviors", "occurred_at", without, name.replace("_", " "),
                where=_among("behavior", behaviors),
            )  # fmt: skip
    if tracking.diary:
        ready["diary"] = partial(_diary, tracking.diary)
    return ready


def changes_of(context: AsOfContext, by: str) -> Changes:
    """Return the dated changes of a comparison; raises OptionError for an unknown name.

    ``behavior:NAME`` is the first event of any behaviour. ``process:NAME`` and ``attribute:NAME``
    tell a process or attribute from another comparison of the same name. The changes are computed
    once per context.
    """
    return context.once(("changes", by), lambda: _changes_of(context, by))


def _changes_of(context: AsOfContext, by: str) -> Changes:
    tables, ready = context.tables, ready_comparisons(context.tables, context.analysis)
    if by in ready:
        return ready[by](context)
    kind, _, of = by.partition(":")
    processes = [p.name for p in context.analysis.processes] if "adopted" in ready else []
    if kind == "process" and of in processes:
        return adopted_changes(of, context)
    if kind == "attribute" and of in tables.attributes:
        return _attribute(of, context)
    if by.startswith("behavior:") and "behaviors" in tables.names:
        name = by.removeprefix("behavior:")
        return _first(
            "behaviors", "occurred_at", f"no {name}", name, context,
            where=_among("behavior", (name,)),
        )  # fmt: skip
    if "accounts" in tables.names and by in (
        *tables.columns("accounts"),
        *tables.unread("accounts"),
    ):
        raise OptionError(
            f"{by} is a column of accounts that is not declared as an attribute",
            "Declare it in leadsignal.toml, if its values have not changed since the start",
        )
    names = ", ".join([*ready, "behavior:NAME"])
    meant = near(by, ready)
    hint = f"Did you mean {meant!r}? " if meant else ""
    raise OptionError(
        f"there is no comparison by {by!r}",
        f"{hint}Choose from {names}, or give a frame of account_id, on, state",
    )


def changes_from_frame(tables: Tables, frame: Any) -> Changes:
    """Return changes from a frame of account_id, on and, for several cohorts, state.

    The frame is checked in the same way as a table. All accounts begin in the state ``before``.
    Raises TablesError with all faults.
    """
    rows = tables.read_beside(STATES_TABLE, frame)
    if "state" not in rows:
        return Changes(("before event", "event"), rows.assign(state=1), None)
    _refuse_two_states(rows)
    names = sorted(set(rows["state"]) - {BEFORE})
    levels = (f"{BEFORE} {names[0]}" if len(names) == 1 else BEFORE, *names)
    place = {BEFORE: 0} | {name: k + 1 for k, name in enumerate(names)}
    return Changes(levels, rows.assign(state=rows["state"].map(place)), None)


def _refuse_two_states(rows: pd.DataFrame) -> None:
    """Raise an error if an account has two states on one day, as neither is known to be later."""
    states = rows.groupby(["account_id", "on"])["state"].transform("nunique")
    first = ~rows.duplicated(["account_id", "on"])
    faults = [
        Fault(
            None, STATES_TABLE.name, row + 1, "state", account,
            f"the account is in several states from {day:%Y-%m-%d} on",
            "Keep the one that it was in at the end of the day.",
        )
        for row, account, day in rows[["account_id", "on"]].itertuples()
        if states[row] > 1 and first[row]
    ]  # fmt: skip
    if faults:
        raise TablesError(faults)


def _among(column: str, values: tuple[str, ...]) -> str:
    return f"{quoted(column)} IN ({literals(values)})"


def event_day(day: str) -> str:
    """Return SQL for the day from which an event counts: the later of its day and its recording."""
    return f"greatest(CAST({day} AS DATE), CAST(known_on AS DATE))"


def _first(
    table: str, day: str, without: str, within: str, context: AsOfContext,
    *, where: str = "TRUE", landmark: int = 90,
) -> Changes:  # fmt: skip
    tables = context.tables
    # If a row has several versions, the first one with the event counts.
    frame = queried(
        tables,
        f'SELECT account_id, CAST(min({event_day(day)}) AS DATE) AS "on", 1 AS state'
        f" FROM ({tables.history(table)}) AS t WHERE {day} IS NOT NULL AND {where}"
        " GROUP BY account_id",
    )
    return Changes((without, within), frame, table, landmark=landmark)


def _results(context: AsOfContext) -> Changes:
    frame = status_changes(context.tables, context.analysis, days=RESULT_DAYS)
    return Changes(
        ("no results", "poor", "good"), frame, "results", RESULT_DAYS,
        for_good=False, landmark=180,
        meaning="the latest result of the last 90 days against its target",
    )  # fmt: skip


def _contract(context: AsOfContext) -> Changes:
    tables = context.tables
    frame = queried(
        tables,
        f'SELECT account_id, CAST(changed_at AS DATE) AS day, {event_day("changed_at")} AS "on",'
        " min(CASE WHEN kind = 'expansion' THEN 1 ELSE 2 END) AS state"
        f" FROM ({tables.sql('contract_changes')}) AS t"
        " WHERE kind IN ('expansion', 'reduction') GROUP BY ALL"
        " ORDER BY account_id, day, state DESC",
    )
    frame = newest_known(frame, ["account_id"])
    return Changes(("no change", "expansion", "reduction"), frame, "contract_changes", landmark=365,
                   meaning="the latest change of the contract")  # fmt: skip


def _commitments(owner: str | None, context: AsOfContext) -> Changes:
    """Return whether half of the commitments due in the last 180 days were completed by their date.

    A due date counts until it is moved. If it is moved later, the commitment was due on the old day
    until then; otherwise accounts that stay long enough to move a date would never miss one.
    """
    tables, mine = context.tables, "TRUE" if owner is None else _among("owner", (owner,))
    listed = queried(
        tables,
        "SELECT account_id, CAST(greatest(due_on, known_on) AS DATE) + 1 AS comes,"
        f" CAST(least(due_on + {KEPT_DAYS}, coalesce(superseded_on, DATE '9999-01-01')) AS DATE)"
        " + 1 AS goes, CAST(completed_on IS NOT NULL AND completed_on <= due_on AS INTEGER) AS kept"
        f" FROM ({tables.history('commitments')}) AS t"
        f" WHERE greatest(due_on, known_on) < DATE '{tables.as_of_date}' AND {mine}",
    )
    listed = listed[listed["comes"] < listed["goes"]].assign(due=1)
    coming = listed.rename(columns={"comes": "on"})[["account_id", "on", "due", "kept"]]
    going = listed.assign(due=-1, kept=-listed["kept"]).rename(columns={"goes": "on"})
    both = pd.concat([coming, going[coming.columns]])
    both = both.groupby(["account_id", "on"], as_index=False).sum()
    running = both.groupby("account_id")[["due", "kept"]].cumsum()
    kept = 2 * running["kept"] >= running["due"]
    state = (1 + kept.astype(int)).where(running["due"] > 0, 0)
    whose = f"the {owner}'s" if owner else "the"
    return Changes(
        ("none due", "missed", "kept"), both[["account_id", "on"]].assign(state=state),
        "commitments", KEPT_DAYS, for_good=False,
        meaning=f"half or more of {whose} commitments due in the last 180 days done by their date",
    )  # fmt: skip


def _diary(behaviors: tuple[str, ...], context: AsOfContext) -> Changes:
    tables = context.tables
    frame = queried(
        tables,
        "SELECT DISTINCT account_id, CAST(occurred_at AS DATE) AS day,"
        f' {event_day("occurred_at")} AS "on", 1 AS state'
        f" FROM ({tables.sql('behaviors')}) AS t WHERE {_among('behavior', behaviors)}",
    )
    return Changes(
        ("no diary", "diary kept"), _lapsing(frame, DIARY_DAYS), "behaviors", DIARY_DAYS,
        for_good=False, meaning="a diary entry within the last 90 days",
    )  # fmt: skip


def _satisfied(context: AsOfContext) -> Changes:
    tables, known = context.tables, event_day("answered_on")
    frame = queried(
        tables,
        f'SELECT DISTINCT account_id, CAST(answered_on AS DATE) AS day, {known} AS "on",'
        f" avg(score) OVER (PARTITION BY account_id, answered_on ORDER BY {known}) AS score"
        f" FROM ({tables.sql('surveys')}) AS t",
    )
    middle = float(frame["score"].median()) if len(frame) else 0.0
    frame["state"] = 1 + (frame["score"] >= middle).astype(int)
    return Changes(
        ("not asked", "dissatisfied", "satisfied"), _lapsing(frame, SURVEY_DAYS), "surveys",
        SURVEY_DAYS, for_good=False,
        meaning=f"the latest survey of the last 365 days at {middle:g}, the median, or above",
    )  # fmt: skip


def adopted_changes(name: str | None, context: AsOfContext) -> Changes:
    """Return changes into and out of adoption of one process, or of any process that applies."""
    chosen = [p for p in context.analysis.processes if name in (None, p.name)]
    turns = pd.concat([_turns_of(process, context) for process in chosen], ignore_index=True)
    # Group by numbers, which is much faster than by text.
    turns["account_id"], ids = pd.factorize(turns["account_id"], sort=True)
    turns = turns.groupby(["account_id", "on"], as_index=False).last()
    since = turns.groupby("account_id")
    adopted, meant = np.zeros(len(turns), dtype=bool), np.zeros(len(turns), dtype=bool)
    for process in chosen:
        applies = since[f"meant {process.name}"].ffill()
        mine = applies.fillna(float(not process.applies_to)).astype(bool)
        meant |= mine.to_numpy()
        adopted |= (mine & (since[process.name].ffill().fillna(0) > 0)).to_numpy()
    state = np.where(meant, adopted.astype(int), 2)
    always = all(not process.applies_to for process in chosen)
    window = max((p.within * p.sustained_for for p in chosen), default=0)
    due = max((p.adopt_by or 90 for p in chosen), default=90) if name else 90
    return Changes(
        ("not adopted", "adopted", *(() if always else (NOT_MEANT,))),
        turns[["on"]].assign(account_id=ids[turns["account_id"]], state=state), "behaviors",
        window, for_good=False, landmark=due,
        meaning=f"{name or 'any essential process'} adopted; a lapse ends it",
        away=None if always else NOT_MEANT,
    )  # fmt: skip


def _turns_of(process: Process, context: AsOfContext) -> pd.DataFrame:
    """Return when accounts adopt a process, when it lapses, and when it begins to apply."""
    found = context.once(("episodes by process",), lambda: context.episodes.groupby("process"))
    episodes = context.episodes.iloc[found.indices.get(process.name, [])]
    lapsed = episodes[episodes["lapsed_on"].notna()]
    turns = pd.DataFrame(
        {
            "account_id": pd.concat([lapsed["account_id"], episodes["account_id"]]),
            "on": pd.concat([lapsed["lapsed_on"], episodes["adopted_on"]]),
            process.name: np.repeat([0, 1], [len(lapsed), len(episodes)]),
        }
    )
    meant = f"meant {process.name}"
    if not process.applies_to:
        return turns.assign(**{meant: 1})
    values = attributes_over_time(
        context.tables, sorted(process.applies_to), partial(applies, process.applies_to)
    )
    values = values.assign(**{meant: values.pop("value").astype(int)})
    return pd.concat([turns, values], ignore_index=True)


def _lapsing(frame: pd.DataFrame, days: int) -> pd.DataFrame:
    """Add a return to state 0 wherever no newer change comes within ``days``.

    Changes recorded after they have lapsed, or after a newer one, are ignored.
    """
    # An event on day d is in the last `days` days until midnight of d + days.
    frame = frame.assign(end=frame["day"] + pd.Timedelta(days=days))
    frame = frame[frame["on"] < frame["end"]].sort_values(["account_id", "day"])
    frame = newest_known(frame, ["account_id"])
    following, end = frame.groupby("account_id")["on"].shift(-1), frame["end"]
    lapses = following.isna() | (following > end)
    back = frame.loc[lapses, ["account_id"]].assign(on=end[lapses], state=0)
    return pd.concat([frame[["account_id", "on", "state"]], back], ignore_index=True)


def _attribute(name: str, context: AsOfContext) -> Changes:
    """Return an attribute at the start, with its dated changes if account_changes has them."""
    tables = context.tables
    if tables.attributes[name] == "number":
        values = _thirds(context.accounts[name])
        frame = context.accounts[["account_id"]].assign(on=pd.Timestamp(EVER), value=values)
    else:
        frame = attributes_over_time(tables, [name], lambda values: values[name])
    values = frame["value"].astype("object").where(frame["value"].notna(), "not given").astype(str)
    counts = values.value_counts()
    levels = sorted(counts.index, key=lambda value: (-counts[value], value))
    place: Mapping[str, int] = {value: k for k, value in enumerate(levels)}
    frame = frame[["account_id", "on"]].assign(state=values.map(place).astype(int))
    return Changes(tuple(levels), frame, None)


def _thirds(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return the third that each number falls into, as a label."""
    cuts = np.unique(np.nanquantile(values.astype(float), [0, 1 / 3, 2 / 3, 1]))
    if len(cuts) < 3:
        return values.astype(str)
    names = [f"{low:g} to {high:g}" for low, high in pairwise(cuts.tolist())]
    return pd.cut(values, cuts.tolist(), labels=names, include_lowest=True).astype("object")
