"""Simulate a business as tables, and the truth behind its data."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.config.success import Process, SuccessAnalysis
from leadsignal.datasets import history as lives
from leadsignal.datasets import records
from leadsignal.datasets.history import MONDAY, NEVER, History, State, join_histories, live, week_of
from leadsignal.datasets.law import (
    PACKAGE,
    WORLDS,
    AccountTraits,
    Array,
    Law,
    draw_accounts,
    draw_return,
    normal,
    with_names,
)
from leadsignal.datasets.tables import (
    RECORDINGS,
    Period,
    as_recorded,
    build_tables,
    dates,
    make_messy,
)
from leadsignal.errors import OptionError, one_of
from leadsignal.files.outputs import SIMULATED
from leadsignal.files.writing import whole_files
from leadsignal.model.lifetime_model import CustomerTotals
from leadsignal.package_data import packaged_text
from leadsignal.results import to_html

Floats = NDArray[np.float64]


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


_ACCOUNTS_AT_ONCE = 500


@dataclass(frozen=True)
class Simulation:
    """A simulated business: its twelve tables, both TOML files, and the truth."""

    tables: Mapping[str, pd.DataFrame]
    analysis_toml: str
    project_toml: str
    as_of: date
    law: Law
    truth: Truth

    def __repr__(self) -> str:
        rows = ", ".join(f"{name} {len(table)}" for name, table in self.tables.items())
        return f"Simulation(as_of={self.as_of}, {rows})"

    def write(
        self, folder: str | Path, *, parquet: Collection[str] = (), force: bool = False
    ) -> Path:
        """Write the tables that have rows as CSV files, and both TOML files, to ``folder``.

        Tables named in ``parquet`` are written as Parquet. Either all files are written or none.
        Raises OptionError for an unknown table, and if a file exists with other content; ``force``
        replaces it, unless it has been read as an input.
        """
        unknown = [name for name in parquet if name not in self.tables]
        if unknown:
            raise OptionError(
                f"parquet names {', '.join(map(repr, unknown))}", one_of(self.tables, unknown[0])
            )
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        contents = dict(self._contents(place, parquet))
        new = [file for file, content in contents.items() if not _holds(file, content)]
        if new:
            with whole_files(new, [SIMULATED] * len(new), force=force) as parts:
                for part, file in zip(parts, new, strict=True):
                    part.write_bytes(contents[file])
        return place

    def _contents(self, place: Path, parquet: Collection[str]) -> Iterator[tuple[Path, bytes]]:
        for name, table in self.tables.items():
            file = place / f"{name}.{'parquet' if name in parquet else 'csv'}"
            # An empty table is written only to replace an old file, which would otherwise be read.
            if len(table) or os.path.lexists(file):
                yield file, _parquet(table) if name in parquet else _csv(table)
        yield place / "success.toml", self.analysis_toml.encode()
        yield place / "leadsignal.toml", self.project_toml.encode()

    def _repr_html_(self) -> str:
        rows = {"table": list(self.tables), "rows": [len(one) for one in self.tables.values()]}
        return to_html(f"Simulation as of {self.as_of}", pd.DataFrame(rows))


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _parquet(table: pd.DataFrame) -> bytes:
    """Return the table as Parquet, without pandas metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata()
    sink = pa.BufferOutputStream()
    pq.write_table(plain, sink, compression="zstd", compression_level=15)
    return bytes(sink.getvalue())


def _holds(file: Path, content: bytes) -> bool:
    return file.is_file() and file.read_bytes() == content


def simulate(
    accounts: int = 2000,
    *,
    seed: int = 0,
    world: str = "leading",
    start: str | date = "2021-01-04",
    days: int = 1460,
    **law: object,
) -> Simulation:
    """Simulate a subscription business with known truth.

    ``accounts`` customers start between ``law.before_days`` before ``start`` and
    ``law.intake_days`` after it. Those that have not started by the end are not in the tables,
    those that come back have two accounts, and none has ended before ``start``. Further
    arguments override fields of the world's ``Law``. Raises OptionError for an unknown world or
    field.

    >>> simulation = simulate(5, days=60, world="no_effect")
    >>> simulation.as_of
    datetime.date(2021, 3, 5)
    """
    chosen = _law(world, law)
    if accounts < 1 or days < 1:
        raise OptionError("accounts and days must be at least 1")
    first = int(np.datetime64(start, "D").astype(np.int64))
    period = Period(first, first + days)
    parts: list[dict[str, pd.DataFrame]] = []
    lives: list[_Life] = []
    for begin in range(0, accounts, _ACCOUNTS_AT_ONCE):
        slots = np.arange(begin, min(begin + _ACCOUNTS_AT_ONCE, accounts))
        for history in _lives(chosen, seed, slots, period):
            events = records.behaviors(history, chosen, seed)
            parts.append(build_tables(history, chosen, events, period))
            lives.append(_Life.of(history, events))
    tables = {name: _join([part[name] for part in parts]) for name in parts[0]}
    if chosen.messy:
        tables = make_messy(tables, seed, period)
    tables = as_recorded(tables, chosen.recording, seed, period)
    if chosen.named:
        tables |= {"accounts": with_names(tables["accounts"], seed)}
    as_of = date.fromisoformat(str(np.datetime64(period.as_of, "D")))
    return Simulation(
        tables=tables,
        analysis_toml=ANALYSIS,
        project_toml=_project(chosen, period, as_of),
        as_of=as_of,
        law=chosen,
        truth=_truth(chosen, seed, period, lives),
    )


def _law(world: str, changes: Mapping[str, object]) -> Law:
    if world not in WORLDS:
        raise OptionError(f"world {world!r} is not one of {', '.join(WORLDS)}")
    allowed = Law.__dataclass_fields__
    wrong = [name for name in changes if name not in allowed]
    if wrong:
        raise OptionError(f"{', '.join(wrong)}: not a field of Law; it has {', '.join(allowed)}")
    chosen = replace(WORLDS[world], **changes)  # type: ignore[arg-type]
    unknown = [name for name in chosen.recording if name not in RECORDINGS]
    if unknown:
        raise OptionError(
            f"{', '.join(map(repr, unknown))} is not a kind of recording",
            f"Choose from {', '.join(RECORDINGS)}",
        )
    return chosen


def _lives(law: Law, seed: int, slots: Array, period: Period) -> list[History]:
    """Simulate the accounts of these slots, and the second accounts of those that come back.

    Accounts that would have ended before the start of the data are drawn again, so that all earlier
    accounts are survivors.
    """
    earliest = week_of(np.array(period.first - law.before_days))
    first_week = int(earliest)
    weeks = int(week_of(np.array(period.as_of - 1))) - first_week + 1
    pending, settled = slots, []
    for attempt in range(50):
        who = draw_accounts(law, seed, pending, attempt, period.first)
        history = live(law, seed, who, first_week, weeks)
        gone = history.ended <= period.first
        settled.append(history.rows((~gone) & (who.start < period.as_of)))
        pending = pending[gone]
        if not len(pending):
            break
    lives = join_histories(settled)
    order = lives.who.slot.argsort(kind="stable")
    lives = lives.rows(order)
    return [lives, *_returned(law, seed, lives, period, weeks)]


def _returned(law: Law, seed: int, lives: History, period: Period, weeks: int) -> list[History]:
    """Simulate the second accounts of customers that ended for good reasons and came back."""
    wait = 60 + np.floor(400 * lives.who.returns / max(law.returning, 1e-9)).astype(np.int64)
    start = lives.ended + wait
    back = np.flatnonzero((lives.who.returns < law.returning) & (start < period.as_of))
    if not len(back):
        return []
    who = draw_return(law, seed, lives.who.rows(back), start[back])
    return [live(law, seed, who, lives.first_week, weeks)]


@dataclass(frozen=True)
class _Life:
    """The parts of a history that `Truth` needs."""

    history: History
    events: dict[str, Array]

    @classmethod
    def of(cls, history: History, events: records.Columns) -> _Life:
        kept = {}
        for (behavior,) in (process.behaviors for process in PROCESSES):
            mine = events["kind"] == records.BEHAVIORS.index(behavior)
            row, day, user = (events[name][mine] for name in ("row", "occurred_at", "user"))
            inside = (day >= history.who.start[row]) & (day < history.ended[row])
            kept[behavior] = np.stack([row, day, user])[:, inside]
        return cls(replace(history, u={}), kept)


def _truth(law: Law, seed: int, period: Period, lives: list[_Life]) -> Truth:
    joined = join_histories([life.history for life in lives])
    offsets = np.cumsum([0, *(len(life.history.who.slot) for life in lives)])
    events = {}
    for behavior in lives[0].events:
        parts = [life.events[behavior].copy() for life in lives]
        for part, offset in zip(parts, offsets[:-1], strict=True):
            part[0] += offset
        events[behavior] = np.concatenate(parts, axis=1)
    return Truth(
        law=law,
        seed=seed,
        as_of=period.as_of,
        who=joined.who,
        state=joined.state,
        first_week=joined.first_week,
        decided=joined.decided,
        known=joined.known,
        ended=joined.ended,
        events=events,
    )


def _join(frames: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)] or frames[:1]
    return pd.concat(filled, ignore_index=True)


def _project(law: Law, period: Period, as_of: date) -> str:
    not_churn = 'not_churn = ["completed"]\n' if law.messy else ""
    first = np.datetime64(period.first, "D")
    template = packaged_text(PACKAGE, "project_template.txt")
    return template.format(as_of=as_of, not_churn=not_churn, first=first)


# The sample ---------------------------------------------------------------------------------------


SEED, ACCOUNTS = 4, 1200
LARGE = ("behaviors", "usage", "health_scores")
"""Tables of the sample that are stored as Parquet files."""


def sample_folder() -> Path:
    """Return the folder of the packaged sample, with its tables and both TOML files.

    >>> (sample_folder() / "accounts.csv").exists()
    True
    """
    package = Path(__file__).resolve().parents[1]
    installed = package / "sample"
    return installed if installed.exists() else package.parents[1] / "data" / "sample"


def write_sample(
    folder: str | Path, *, seed: int = SEED, accounts: int = ACCOUNTS, force: bool = False
) -> Path:
    """Generate the packaged sample in ``folder``, with the same values every time.

    Another ``seed`` gives another business of the same kind; with fewer ``accounts``, only the
    first ones are kept. Existing files with other content are replaced only with ``force``, as in
    `Simulation.write`.
    """
    # As a team would score: on a Monday, 52 times four weeks after the first. Accounts start within
    # 42 months, so that most of them have a long history.
    simulation = simulate(
        accounts, seed=seed, days=52 * 28, named=True, before_days=365, intake_days=900
    )
    return simulation.write(folder, parquet=LARGE, force=force)


# Lifetimes ----------------------------------------------------------------------------------------


def simulated(customers: int, seed: int) -> CustomerTotals:
    """Return customers followed for 1 to 24 whole months, with the survival of `true_survival`.

    ``x`` is standard normal, ``plan`` is "trial" for four in ten, ``noise`` has no effect.

    >>> simulated(3, seed=0).columns.columns.tolist()
    ['x', 'plan', 'noise']
    """
    rng = np.random.default_rng(seed)
    x, trial = rng.normal(size=customers), rng.random(customers) < 0.4
    life = np.ceil(rng.exponential(1 / _hazard(x, trial)))
    followed = rng.integers(1, 25, size=customers).astype(float)
    plan = np.where(trial, "trial", "paid").astype(object)
    noise = rng.normal(size=customers)
    columns = pd.DataFrame({"x": x, "plan": plan, "noise": noise})
    ids = np.arange(1, customers + 1)
    return CustomerTotals(ids, np.minimum(life, followed), life <= followed, columns)


def true_survival(totals: CustomerTotals, months: int) -> Floats:
    """Return P(still active) of `simulated` customers after 1 to ``months`` months, (n, months)."""
    trial = (totals.columns["plan"] == "trial").to_numpy(dtype=bool)
    hazard = _hazard(totals.columns["x"].to_numpy(dtype=float), trial)
    survival: Floats = np.exp(-np.outer(hazard, np.arange(1, months + 1)))
    return survival


def _hazard(x: Floats, trial: NDArray[np.bool_]) -> Floats:
    """Return the constant monthly hazard: e^−2.5, times e^0.8 per unit of x, e^0.7 on trial."""
    hazard: Floats = np.exp(-2.5 + 0.8 * x + 0.7 * trial)
    return hazard
