"""Discover essential processes: from tables to a verdict on every behaviour.

Adoption is defined as for episodes: an event of day d, known on day r, is in window k at day t if t
− (k+1)w ≤ d < t − kw and r < t. A test checks that this agrees with ``engine.episodes`` to the day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from leadsignal.arguments import Duration, checked, days_in
from leadsignal.errors import ModelError, OptionError
from leadsignal.ingestion.dialect import day_number
from leadsignal.panel import Panel, build_narrow
from leadsignal.success_analysis.discovery.at_risk import (
    NO_USER,
    SPAN,
    AtRisk,
    Candidate,
    Definitions,
    Events,
    KnownBefore,
    definitions_of,
    in_order,
    is_compared,
    matched_sets,
    read_events,
    rows_at_risk,
    whose,
)
from leadsignal.success_analysis.discovery.evidence import Exposures, measured_results
from leadsignal.success_analysis.discovery.findings import Discovery, findings
from leadsignal.success_analysis.discovery.selection import Rules, name_processes
from leadsignal.survival.inputs import Bools, Floats, Ints
from leadsignal.tables import Tables
from leadsignal.workers import Progress

ROWS_AT_ONCE = 20_000


def adoption_states(
    events: Mapping[str, Events], candidates: Sequence[Candidate], account: Ints, day: Ints
) -> Bools:
    """Return whether each candidate is adopted (rows × candidates) for these accounts and days."""
    adopted = np.ones((len(candidates), len(day)), dtype=bool)
    for behavior, of in events.items():
        mine = [n for n, one in enumerate(candidates) if one.behavior == behavior]
        for within, again in sorted({(candidates[n].within, k) for n in mine
                                     for k in range(candidates[n].sustained_for)}):  # fmt: skip
            using = [n for n in mine if candidates[n].within == within
                     and candidates[n].sustained_for > again]  # fmt: skip
            people = max(candidates[n].by_users for n in using) > 1
            total, users = _in_window(of, account, day, within, again, people)
            for n in using:
                adopted[n] &= total >= candidates[n].at_least
                if candidates[n].by_users > 1:
                    adopted[n] &= users >= candidates[n].by_users
    return adopted.T


def _in_window(
    events: Events, account: Ints, day: Ints, within: int, again: int, people: bool
) -> tuple[Floats, Ints]:
    """Return each row's quantity and, if ``people``, number of users in window ``again``."""
    total, users = np.zeros(len(day)), np.zeros(len(day), dtype=np.int64)
    begins, stops = day - (again + 1) * within, day - again * within
    first = np.searchsorted(events.key, account * SPAN + begins)
    after = np.searchsorted(events.key, account * SPAN + stops)
    if not events.late:
        running = np.concatenate(([0.0], np.cumsum(events.quantity)))
        total = np.round(running[after] - running[first], 6)
        if not people:
            return total, users
    for begin in range(0, len(day), ROWS_AT_ONCE):
        rows = slice(begin, min(begin + ROWS_AT_ONCE, len(day)))
        row, event = _pairs(first[rows], after[rows])
        size = rows.stop - rows.start
        if events.late:
            seen = events.known[event] < day[rows][row]
            row, event = row[seen], event[seen]
            total[rows] = np.round(np.bincount(row, events.quantity[event], size), 6)
            users[rows] = _distinct(row, events.user[event], size)
        else:
            fresh = events.before[event] < begins[rows][row]
            users[rows] = np.bincount(row[fresh], minlength=size)
    return total, users


def _pairs(first: Ints, after: Ints) -> tuple[Ints, Ints]:
    """Return all pairs of a row and an event from ``first`` up to but excluding ``after``."""
    many = after - first
    row = np.repeat(np.arange(len(many)), many)
    begins = np.concatenate(([0], np.cumsum(many)[:-1])) if len(many) else many
    return row, np.arange(many.sum()) - (begins - first)[row]


def _distinct(row: Ints, user: Ints, size: int) -> Ints:
    """Return the number of distinct users of each row."""
    named = user != NO_USER
    pairs = np.unique(row[named] * (user.max(initial=0) + 2) + user[named])
    return np.bincount(pairs // (user.max(initial=0) + 2), minlength=size)


MIN_CHURNS = 20
"""Minimum number of churn events for a discovery."""
MIN_EXPECTED = 10.0
"""Minimum expected number of churn events both with and without a definition met."""
COMMON = 0.03
"""Minimum share of rows at risk with, and without, a definition met."""


@checked
def discover_processes(
    tables: Tables,
    *,
    warning_time: Duration | None = None,
    at_least: Sequence[int] | None = None,
    by_users: Sequence[int] | None = None,
    within: Sequence[str] | None = None,
    sustained_for: Sequence[int] | None = None,
    match: Sequence[str] = (),
    level: float = 0.02,
    floor: float = 0.7,
    most: int = 2,
    draws: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Discovery:
    """Find which behaviours, and at what frequency, distinguish accounts that succeed and stay.

    Every behaviour that has indicators of its own in a panel (the 20 most common among accounts, or
    those in ``[behaviors] keep``) is tested under a grid of definitions: all combinations of the
    values below.

    Parameters
    ----------
    tables : Tables
        Tables with behaviors.
    warning_time : Duration, optional
        Time between a behaviour and the outcome. Default: the project's.
    at_least, by_users, sustained_for : sequence of int, optional
        Values to try for the minimum number of events, of users, and of consecutive windows.
    within : sequence of str, optional
        Window lengths to try. Default: a third, half and the whole of ``warning_time``.
    match : sequence of str
        Attributes to match on: a churn is compared only with accounts that have equal values.
    level : float, default 0.02
        Family-wise error rate over the whole grid.
    floor : float, default 0.7
        Highest hazard ratio of an essential process; 1 means no effect.
    most : int, default 2
        Maximum number of essential processes, 1 to 3.
    draws : int, default 1000
        Number of permutations.
    seed : int, default 0
        Seed of the permutations.
    progress : callable, optional
        Called with the number of steps done and the total.

    Returns
    -------
    Discovery
        The processes found, with their evidence.

    Raises
    ------
    OptionError
        If there is no behaviors table, or an argument is out of range.
    ModelError
        If fewer than 20 churns can be compared, or no behaviour varies.

    Examples
    --------
    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> found = ls.discover_processes(tables, at_least=[2, 4], by_users=[2], within=["45d"])
    >>> found.cross_fitted
    False
    """
    rules = _rules(level, floor, most, draws, seed)
    time = tables.project.warning_time if warning_time is None else days_in(warning_time)
    grid = definitions_of(time, at_least, by_users, within, sustained_for)
    steps = _Steps(progress)
    if "behaviors" not in tables.names:
        read_events(tables, np.zeros(0))
    panel = build_narrow(tables, is_compared)
    steps.tick()
    done = read_events(tables, whose(in_order(panel))[1])
    kept = () if panel.behaviors is None else panel.behaviors.keep
    events = {name: one for name, one in done.items() if name in kept}
    exposures, tried = _exposures(tables, panel, events, grid, time, rules, match)
    steps.total = 5 + rules.most + len(exposures.behaviors)
    steps.tick()
    rated, first = name_processes(exposures, rules, steps.tick)
    steps.finish()
    return findings(
        panel, exposures, rated, first, rules, time,
        tried=tried, behaviors=tuple(events), not_kept=len(done) - len(events),
    )  # fmt: skip


def _rules(level: float, floor: float, most: int, draws: int, seed: int) -> Rules:
    if not 0 < level < 0.5:
        raise OptionError(f"level = {level!r}", "Give a share between 0 and 0.5, as in 0.02")
    if not 0 < floor <= 1:
        raise OptionError(f"floor = {floor!r}", "Give a hazard ratio above 0, up to 1, as in 0.7")
    if most not in (1, 2, 3):
        raise OptionError(
            f"most = {most!r}", "Choose 1, 2 or 3 processes: more are too many to act on"
        )
    if draws < 2 / level:
        raise OptionError(
            f"draws = {draws!r} cannot show a level of {level:g}",
            f"Draw at least {int(np.ceil(2 / level))} times",
        )
    return Rules(level=level, floor=floor, most=most, draws=draws, seed=seed)


@dataclass
class _Steps:
    """Count the steps done, for a progress bar."""

    progress: Progress | None
    done: int = 0
    total: int = 20

    def tick(self) -> None:
        self.done += 1
        if self.progress:
            self.progress(min(self.done, self.total), self.total)

    def finish(self) -> None:
        self.done = self.total - 1
        self.tick()


def _exposures(
    tables: Tables, panel: Panel, events: Mapping[str, Events], grid: Definitions,
    warning_time: int, rules: Rules, match: Sequence[str],
) -> tuple[Exposures, int]:  # fmt: skip
    account, _, day = whose(in_order(panel))
    whole = tables.coverage["behaviors"]
    known_before = KnownBefore(
        0 if whole.complete_from is None else day_number(whole.complete_from),
        grid.longest,
        None if whole.complete_through is None else day_number(whole.complete_through) + 1,
    )
    at_risk = rows_at_risk(panel, warning_time, known_before, match=match)
    if at_risk.event.sum() < MIN_CHURNS:
        raise ModelError(
            f"only {int(at_risk.event.sum())} churns have data from {warning_time} days earlier; at"
            f" least {MIN_CHURNS} are needed",
            "Give more accounts, a longer history or a shorter warning_time",
        )
    users = "user_id" in tables.columns("behaviors")
    listed = [c for behavior in events for c in grid.of(behavior, users=users)]
    states = adoption_states(events, listed, account, day)
    kept = _worth_trying(states, at_risk, listed)
    if not len(kept):
        raise ModelError(
            "no behaviour, under any definition, varies enough between accounts",
            "Give other numbers for at_least, by_users, within or sustained_for",
        )
    states = states[:, kept]
    sets = matched_sets(at_risk, seed=rules.seed)
    if len(sets) < MIN_CHURNS:
        raise ModelError(
            f"only {len(sets)} of {int(at_risk.event.sum())} churns can be compared with an account"
            " of the same tenure, term and matched columns",
            "Match fewer columns, or give more accounts",
        )
    measured = measured_results(tables, panel, at_risk.accounts, warning_time)
    chosen = tuple(listed[n] for n in kept)
    return Exposures(chosen, at_risk, sets, measured, states, _ever(states, account)), len(listed)


def _worth_trying(states: Bools, at_risk: AtRisk, candidates: Sequence[Candidate]) -> Ints:
    """Return the positions of the candidates that are neither too rare nor too common.

    Of definitions of a behaviour that are met at the same snapshots, only the simplest is kept.
    """
    rows = states[at_risk.row]
    share = rows.mean(axis=0)
    expected = np.minimum(share, 1 - share) * at_risk.event.sum()
    varied = np.flatnonzero((np.minimum(share, 1 - share) >= COMMON) & (expected >= MIN_EXPECTED))
    first: dict[tuple[str, bytes], int] = {}
    for n in varied.tolist():
        first.setdefault((candidates[n].behavior, np.packbits(states[:, n]).tobytes()), n)
    return np.array(sorted(first.values()), dtype=np.int64)


def _ever(states: Bools, account: Ints) -> Bools:
    """Return whether each state was true at this row or an earlier row of the same account."""
    rows = np.arange(len(account), dtype=np.int32)[:, None]
    begins = np.searchsorted(account, account).astype(np.int32)[:, None]
    last = np.maximum.accumulate(np.where(states, rows, np.int32(-1)), axis=0)
    return last >= begins
