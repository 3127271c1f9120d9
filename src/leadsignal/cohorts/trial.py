"""Emulate a target trial, "event by day L" against "not by day L", by clone, censor and weight.

Every account observed from day 0 is in both arms. Let E be the day of its first event, F(t) the
probability of E ≤ t if no account left (given its covariates), and G = 1 − F.

- *Not by L*: the clone is censored at an event by L. At t ≤ L it has the weight 1/G(t−), after L
  1/G(L). Accounts whose event comes after L stay in this arm.
- *By L*: the clone is censored at L without an event. The strategy is "an event by day L, timed as
  among those who have one by then", with density f(s)/F(L). So a clone after its event has the
  weight 1/F(L), and one still without it at t ≤ L has (F(L) − F(t−)) / (F(L) G(t−)).

Both weights are ratios of the strategy's density to the observed density (Cain et al. 2010, with
another density), which keeps them bounded on the last day. Events after L are ignored, as in an
intention-to-treat analysis.

Weights of a target trial, from the history of each account up to each day.

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
from leadsignal.cohorts.risk_intervals import (
    RiskIntervals,
    WeightModel,
    WeightSlopes,
    hazard_influence,
    with_states_of,
)
from leadsignal.errors import ModelError
from leadsignal.survival.cox import CoxFit, fit_cox
from leadsignal.survival.curves import kaplan_meier
from leadsignal.survival.inputs import Bools, Floats, Ints, sums_by_code
from leadsignal.survival.risk_sets import from_the_first


@dataclass(frozen=True, eq=False)
class HistoryWeights:
    """Weights of the n accounts of a trial.

    ``without`` and ``waiting`` (n × k) are the weights of clones not yet through their event, just
    before each cut, in the arms "not by L" and "by L".

    ``after`` (n) is the weight from day L on of clones without an event, ``started`` (n) that of
    clones from their event on. ``by_day`` (n) is 1 − G_i(L). ``model`` has the parameters that the
    weights depend on; None if they are taken as known.
    """

    without: Floats
    after: Floats
    waiting: Floats
    started: Floats
    by_day: Floats
    model: WeightModel | None = None


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


PRIOR = 1.0
"""Penalty on log hazard ratios of the event: a normal prior with variance 1.

Without it, weights far from the middle of a covariate vary so much that in samples of customers the
mean days of those with an event lay 0.15 standard errors apart, and with it 0.06."""
PIECES = 13
"""Maximum number of days before L at which weights change; all are days on which accounts end."""


@dataclass(frozen=True, eq=False)
class Weighting:
    """Summary of the weights of the clones.

    ``by_day`` (n) is F(L) of each account in the trial. ``effective`` is the effective number of
    accounts after L in each arm (not by L, by L), ``highest`` the highest weight divided by the
    mean weight there.
    """

    by_day: Floats
    effective: tuple[float, float]
    highest: tuple[float, float]


def clone_and_weight(
    cohorts: DatedCohorts,
    level: int,
    day: float,
    X: Floats | None = None,
    history: Sequence[DatedCohorts] = (),
) -> tuple[RiskIntervals, Weighting]:
    """Return weighted clones of both arms (groups 0 and ``level``), and a summary of the weights.

    ``X`` (n × p) holds covariates at time zero for F; without them F is a Kaplan-Meier estimate.
    ``history`` holds states over time, of which the weights use those before each day. Accounts are
    followed until they are first away, as later events may be unrecorded. Raises ModelError if too
    few accounts have an event by ``day``, or too few have none.
    """
    cohorts = cohorts.until_away()
    seen = np.flatnonzero(cohorts.entry <= 0)
    first = cohorts.first_day(level)[seen]
    stop, cause = cohorts.stop[seen], cohorts.cause[seen]
    event = np.where(first <= day, np.maximum(first, 0.0), np.inf)
    _refuse_one_arm(cohorts, level, day, event, stop)
    cuts = _cuts(stop, cause, day)
    own = cohorts.weights[seen]
    weights = (
        weights_from_history(cohorts, seen, event, day, cuts, X, history)
        if history
        else _weights(
            cuts, event, stop, day, None if X is None else X[seen], own, cohorts.weight is not None
        )
    )
    until = np.minimum(event, stop)  # the clone has no event before this day
    start = np.full(len(seen), float(day))
    parts = [
        _waiting(seen, until, stop, cause, day, cuts, weights.without, 0),
        _rest(seen, (event > day) & (stop > day), start, stop, cause, weights.after, 0),
        _waiting(seen, until, stop, cause, day, cuts, weights.waiting, level),
        _rest(seen, event < stop, event, stop, cause, weights.started, level),
    ]
    account, start, end, ended, group, weight = (
        np.concatenate(column) for column in list(zip(*parts, strict=True))[:6]
    )
    clones = RiskIntervals(
        "target_trial", account, start, end, ended, group, weight, 0.0,
        slopes=_slopes(weights, parts, seen, len(cohorts)),
    )  # fmt: skip
    after = clones.where(clones.stop > day)
    after = after.weighted(after.weight * cohorts.weights[after.account])
    weighting = _diagnosed(after, level, weights.by_day)
    return clones.where(clones.weight > 0), weighting


def _weights(
    cuts: Floats, event: Floats, stop: Floats, day: float, X: Floats | None, own: Floats,
    sampled: bool,
) -> HistoryWeights:  # fmt: skip
    """Return the weights of clones, with F estimated from covariates at time zero."""
    F, model = _event_by(np.append(cuts, day), event, stop, day, X, own, sampled)
    by_day, before = F[:, -1], F[:, :-1]
    left = np.clip(1 - before, 1e-9, None)
    whole = np.clip(by_day, 1e-9, None)
    waiting = np.clip(by_day[:, None] - before, 0, None) / (whole[:, None] * left)
    after = 1 / np.clip(1 - by_day, 1e-9, None)
    return HistoryWeights(1 / left, after, waiting, 1 / whole, by_day, model)


Part = tuple[Ints, Floats, Floats, Ints, Ints, Floats, Ints]
"""Account, start, stop, cause, group, weight, and number of the cut before which the weight holds
(0 for weights that hold to the end)."""


def _slopes(
    weights: HistoryWeights, parts: Sequence[Part], seen: Ints, accounts: int
) -> WeightSlopes | None:
    """Return the derivatives of log weights by log G at the cuts and, in the last column, at L."""
    if weights.model is None:
        return None
    before, after = 1 / weights.without, 1 / weights.after
    between = np.maximum(before - after[:, None], 1e-12)
    started = after / np.maximum(1 - after, 1e-12)
    place = [np.searchsorted(seen, part[0]) for part in parts]
    piece = [part[-1] for part in parts]
    zero, one = ([np.full(len(part[0]), value) for part in parts] for value in (0.0, 1.0))
    waiting = place[2], piece[2]
    own = [-one[0], zero[1], (before / between - 1)[waiting], zero[3]]
    last = [
        zero[0], -one[1], (started[:, None] - after[:, None] / between)[waiting],
        started[place[3]],
    ]  # fmt: skip
    return WeightSlopes(
        np.concatenate(piece), np.concatenate(own), np.concatenate(last),
        weights.model.of(seen, accounts),
    )  # fmt: skip


def _refuse_one_arm(
    cohorts: DatedCohorts, level: int, day: float, event: Floats, stop: Floats
) -> None:
    name = cohorts.levels[level]
    with_event = int(np.sum((event <= day) & (stop > day)))
    without = int(np.sum((event > day) & (stop > day)))
    if min(with_event, without) < 2:
        raise ModelError(
            f"target trial of {cohorts.name}: of the accounts seen from day 0 and there after day"
            f" {day:g}, {with_event} were {name} by then and {without} were not",
            "Choose another landmark, or leave this method out",
        )


def _cuts(stop: Floats, cause: Ints, day: float) -> Floats:
    """Return the days up to L at which weights change: account ends, thinned if there are many."""
    ends = np.unique(stop[(cause > 0) & (stop <= day)])
    if len(ends) > PIECES:
        ends = ends[np.unique(np.linspace(0, len(ends) - 1, PIECES).round().astype(int))]
    return ends if len(ends) and ends[-1] == day else np.append(ends, day)


def _event_by(
    times: Floats, event: Floats, stop: Floats, day: float, X: Floats | None, own: Floats,
    sampled: bool,
) -> tuple[Floats, WeightModel | None]:  # fmt: skip
    """Return P(E < t) for each account and time (n × k); for the last time, P(E ≤ L).

    ``own`` (n) is the number of accounts that each represents. In a sample, it is also returned how
    the probabilities depend on all accounts.
    """
    until = np.minimum(np.minimum(event, stop), day)
    happened = event <= until
    at_start = until <= 0  # the event is on day 0
    share = float(np.average(at_start, weights=own))
    later = ~at_start
    moments = np.append(np.nextafter(times[:-1], -np.inf), times[-1])
    fit, risk = None, np.ones(len(own))
    if X is None:
        curve = kaplan_meier(until[later], happened[later], weights=own[later])[0]
        time, total = curve.time, -np.log(np.maximum(curve.estimate, 1e-300))
    else:
        fit = fit_cox(X[later], until[later], happened[later], weights=own[later], ridge=PRIOR)
        baseline = fit.baseline()
        time, total = baseline.time, np.cumsum(baseline.reference_hazard)
        X = X - baseline.reference
        risk = np.exp(fit.linear_predictor(X))
    cumulative = np.append(0.0, total)[np.searchsorted(time, moments, side="right")]
    by = 1 - (1 - share) * np.exp(-risk[:, None] * cumulative)
    if not sampled:
        return by, None
    influence = np.zeros((len(own), 1 + len(moments) + (0 if X is None else X.shape[1])))
    influence[:, 0] = own * (at_start - share) / own.sum()
    rows = until[later], happened[later], own[later], risk[later]
    influence[later, 1:] = _influence(rows, moments, fit)

    def slope(by: Floats) -> Floats:
        """Return slopes of log G = log(1 − share) − risk · hazard, with risk = exp(X β)."""
        moved = risk[:, None] * by
        beta = [] if X is None else (moved @ cumulative) @ X
        return -np.concatenate(([by.sum() / (1 - share)], moved.sum(axis=0), beta))

    return by, WeightModel(influence, len(moments), slope)


def _influence(
    rows: tuple[Floats, Bools, Floats, Floats], moments: Floats, fit: CoxFit | None
) -> Floats:
    """Return the influence of accounts on the cumulative hazards at moments, and on β.

    ``rows`` are the ends of accounts, whether they have the event, weights and relative risks.
    """
    until, happened, own, risk = rows
    time = np.unique(until[happened])
    events = sums_by_code(np.searchsorted(time, until[happened]), own[happened], len(time))
    if fit is None:
        order = np.argsort(until)
        left = own.sum() - from_the_first(own[order])[np.searchsorted(until[order], time)]
        steps = time, events / left, 1 / np.maximum(left - events, 1e-300)
        return hazard_influence(until, happened, own, risk, moments, steps)
    baseline = fit.baseline()
    steps = time, baseline.reference_hazard, baseline.reference_hazard / events
    mean = from_the_first(baseline.mean_increment)[np.searchsorted(time, moments, side="right")]
    beta = fit.residuals().influence
    hazard = hazard_influence(until, happened, own, risk, moments, steps)
    return np.hstack((hazard - beta @ mean.T, beta))


def _waiting(
    seen: Ints, without: Floats, stop: Floats, cause: Ints, day: float, cuts: Floats,
    weight: Floats, group: int,
) -> Part:  # fmt: skip
    """Return rows of clones up to L and their event, split at ``cuts``."""
    begin = np.concatenate(([0.0], cuts[:-1]))
    last = np.minimum(without, day)
    account, piece = np.nonzero(begin < last[:, None])
    end = np.minimum(cuts[piece], last[account])
    ended = np.where(end == stop[account], cause[account], 0)
    groups = np.full(len(account), group)
    return seen[account], begin[piece], end, ended, groups, weight[account, piece], piece


def _rest(
    seen: Ints, mine: Bools, start: Floats, stop: Floats, cause: Ints, weight: Floats, group: int
) -> Part:
    """Return the rows of some clones from a day on until they end."""
    zero = np.zeros(int(mine.sum()), dtype=np.intp)
    return seen[mine], start[mine], stop[mine], cause[mine], zero + group, weight[mine], zero


def _diagnosed(after: RiskIntervals, level: int, by_day: Floats) -> Weighting:
    effective, highest = [], []
    for group in (0, level):
        weight = after.weight[after.group == group]
        effective.append(float(weight.sum() ** 2 / (weight @ weight)))
        highest.append(float(weight.max() / weight.mean()))
    return Weighting(by_day, (effective[0], effective[1]), (highest[0], highest[1]))
