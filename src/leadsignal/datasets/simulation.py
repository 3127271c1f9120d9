"""Simulate a business: draw accounts, simulate their histories, and record them as tables."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.config.toml_files import one_of
from leadsignal.datasets import records
from leadsignal.datasets.history import History, join_histories, live, week_of
from leadsignal.datasets.law import (
    NAMES,
    PACKAGE,
    WORLDS,
    Array,
    Law,
    account_uniforms,
    draw_accounts,
    draw_return,
)
from leadsignal.datasets.oracle import ANALYSIS, PROCESSES, Truth
from leadsignal.datasets.tables import RECORDINGS, Period, as_recorded, build_tables, make_messy
from leadsignal.errors import OptionError
from leadsignal.files.outputs import SIMULATED
from leadsignal.files.writing import whole_files
from leadsignal.model.one_row.customer_totals import CustomerTotals
from leadsignal.package_data import packaged_text
from leadsignal.results import to_html

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


_STEP = 1327
"""Coprime to the number of names, so that none is repeated before all have been used."""
_PURPOSE = 11
CURRENCY = "EUR"


def with_names(accounts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the accounts with ``name``, ``owner`` and ``currency``, which have no effect.

    A customer that comes back keeps its name. Owners look after a region, and are drawn from a
    separate stream of each account.
    """
    draw = account_uniforms(accounts, seed, _PURPOSE)[:, 0]
    of_region = NAMES["account_owners"]
    owners = np.array([of_region[region] for region in accounts["region"]], dtype=object)
    out = accounts.copy()
    out.insert(1, "name", _company_names(accounts))
    out.insert(2, "owner", owners[np.arange(len(out)), np.floor(3 * draw).astype(np.int64)])
    out.insert(list(out.columns).index("arr") + 1, "currency", CURRENCY)
    return out


def _company_names(accounts: pd.DataFrame) -> Array:
    companies = NAMES["companies"]
    places, endings, trades = (companies[name] for name in ("places", "endings", "trades"))
    slots = accounts["customer_id"].str.removeprefix("C-").astype(int).to_numpy()
    rest, place = np.divmod(slots * _STEP, len(places))
    rest, ending = np.divmod(rest, len(endings))
    named = zip(place, ending, rest % 5, accounts["industry"], strict=True)
    names = [f"{places[p]}{endings[e]} {trades[industry][t]}" for p, e, t, industry in named]
    return np.array(names, dtype=object)


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


Floats = NDArray[np.float64]


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
