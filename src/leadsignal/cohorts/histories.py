"""Weights of a target trial, from the history of each account up to each day.

The hazard of the event is modelled by Cox regression on the dated states before each day. Along
the path of account i, Λ_i(t) = Σ e^{xβ} ΔH and G_i = e^{−Λ_i}. The strategy "by L" keeps the timing
of all accounts: F from Kaplan-Meier, with jumps f. A clone with its event on day s has the weight
f(s)/F(L) divided by ΔH(s) e^{xβ} G_i(s−); a clone still without it, (F(L) − F(t−))/F(L) divided by
G_i(t−).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from leadsignal.cohorts.dated import DatedCohorts
from leadsignal.cohorts.risk_intervals import RiskIntervals, with_states_of
from leadsignal.survival.cox import fit_cox
from leadsignal.survival.curves import kaplan_meier
from leadsignal.survival.inputs import Bools, Floats, Ints


@dataclass(frozen=True, eq=False)
class HistoryWeights:
    """Weights of the n accounts of a trial.

    ``without`` and ``waiting`` (n × k) are the weights of clones not yet through their event, just
    before each cut, in the arms "not by L" and "by L".

    ``after`` (n) is the weight from day L on of clones without an event, ``started`` (n) that of
    clones from their event on. ``by_day`` (n) is 1 − G_i(L).
    """

    without: Floats
    after: Floats
    waiting: Floats
    started: Floats
    by_day: Floats


def weights_from_history(
    cohorts: DatedCohorts,
    seen: Ints,
    event: Floats,
    day: float,
    cuts: Floats,
    X: Floats | None,
    history: Sequence[DatedCohorts],
) -> HistoryWeights:
    """Return the weights of the accounts ``seen``; ``event`` is the day of each one's event."""
    paths = _paths(cohorts, seen, event, day, X, history)
    last = np.nextafter(cuts, -np.inf)
    before, at_day = (
        np.exp(-paths.cumulative_hazard(last)),
        np.exp(-paths.cumulative_hazard(np.array([day]))[:, 0]),
    )
    until = np.minimum(np.minimum(event, cohorts.stop[seen]), day)
    F = _all_by(until, event, cohorts.weights[seen])
    whole = max(float(F(np.array([day]))[0]), 1e-9)
    left = np.clip(whole - F(last), 0, None) / whole
    started = np.full(len(seen), 1 / whole)
    account, on = paths.account[paths.happened], paths.stop[paths.happened]
    jump = F(on) - F(np.nextafter(on, -np.inf))
    started[account] = jump / whole / paths.density()
    return HistoryWeights(1 / before, 1 / at_day, left / before, started, 1 - at_day)


@dataclass(frozen=True, eq=False)
class _Paths:
    """Rows before the event: the relative risk e^{xβ} of each, and the baseline hazard as steps."""

    account: Ints
    start: Floats
    stop: Floats
    happened: Bools
    risk: Floats
    time: Floats
    hazard: Floats
    accounts: int

    def cumulative(self, moments: Floats) -> Floats:
        """Return the cumulative baseline hazard at each moment."""
        steps = np.concatenate(([0.0], self.hazard))
        return steps[np.searchsorted(self.time, moments, side="right")]

    def cumulative_hazard(self, moments: Floats) -> Floats:
        """Return Λ of every account at each moment (n × k), accumulated along its path."""
        total = np.zeros((self.accounts, len(moments)))
        for column, moment in enumerate(moments):
            gone = self.cumulative(np.minimum(moment, self.stop)) - self.cumulative(self.start)
            part = np.maximum(gone, 0.0) * self.risk
            total[:, column] = np.bincount(self.account, part, self.accounts)
        return total

    def density(self) -> Floats:
        """Return ΔH(s) e^{xβ} G(s−) for each event, in the order of the rows."""
        last = np.nextafter(self.stop, -np.inf)
        before = self.risk * (self.cumulative(last) - self.cumulative(self.start))
        whole = np.bincount(self.account, before, self.accounts)
        # A row without an event adds its hazard up to and including its last day.
        step = self.cumulative(self.stop) - self.cumulative(last)
        whole += np.bincount(self.account, self.risk * step * ~self.happened, self.accounts)
        seen = self.happened
        return step[seen] * self.risk[seen] * np.exp(-whole[self.account[seen]])


def _paths(
    cohorts: DatedCohorts,
    seen: Ints,
    event: Floats,
    day: float,
    X: Floats | None,
    history: Sequence[DatedCohorts],
) -> _Paths:
    """Return the rows before the event up to L, split where a state changes, and their hazard."""
    until = np.minimum(np.minimum(event, cohorts.stop[seen]), day)
    lasts = until > 0
    zero = np.zeros(int(lasts.sum()))
    rows = RiskIntervals(
        "target_trial", seen[lasts], zero, until[lasts], (event <= until)[lasts].astype(np.intp),
        zero.astype(np.intp), zero + 1, 0.0,
    )  # fmt: skip
    for states in history:
        rows, _ = with_states_of(rows, states)
    blocks = [] if X is None else [X[rows.account]]
    for states in history:
        rows, state = with_states_of(rows, states)
        blocks.append((state[:, None] == np.arange(1, len(states.levels))).astype(np.float64))
    columns, happened = np.hstack(blocks), rows.cause == 1
    fit = fit_cox(
        columns, rows.stop, happened, start=rows.start, weights=cohorts.weights[rows.account],
        ridge=1e-6 * len(seen),
    )  # fmt: skip
    baseline = fit.baseline()
    hazard = np.cumsum(baseline.reference_hazard)
    place = np.full(len(cohorts), -1)
    place[seen] = np.arange(len(seen))
    risk = np.exp(fit.linear_predictor(columns - baseline.reference))
    return _Paths(
        place[rows.account], rows.start, rows.stop, happened, risk, baseline.time, hazard,
        len(seen),
    )  # fmt: skip


def _all_by(until: Floats, event: Floats, own: Floats) -> Callable[[Floats], Floats]:
    """Return F(t), the Kaplan-Meier probability of an event by t, weighted by ``own``."""
    at_start = until <= 0
    share, later = np.average(at_start, weights=own), ~at_start
    curve = kaplan_meier(until[later], event[later] <= until[later], weights=own[later])[0]
    left = np.concatenate(([1.0], curve.estimate))

    def by(moments: Floats) -> Floats:
        return 1 - (1 - share) * left[np.searchsorted(curve.time, moments, side="right")]

    return by
