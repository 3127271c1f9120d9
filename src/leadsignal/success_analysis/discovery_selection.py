"""Forward selection of essential processes, each given those named before.

Each is checked against its twins and against the other behaviours as negative controls: an
unobserved quality of accounts that shows in everything they do makes every behaviour look
protective. The mean effect of the other behaviours estimates this bias, and their spread its
uncertainty.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from leadsignal.errors import ModelError, OptionError
from leadsignal.ingestion.dialect import day_number
from leadsignal.panel import Panel
from leadsignal.stats import MIN_CONTROLS, EmpiricalNull, Estimate, empirical_null, normal_quantile
from leadsignal.success_analysis.discovery_candidates import (
    AtRisk,
    Candidate,
    Definitions,
    Events,
    KnownBefore,
    adoption_states,
    in_order,
    rows_at_risk,
    whose,
)
from leadsignal.success_analysis.discovery_evidence import (
    MIN_INFORMATION,
    Chances,
    Evidence,
    Exposures,
    Ratio,
    Rising,
    chances_of,
    crossed,
    folds_of,
    gather,
    hazard_ratio,
    matched_sets,
    measured_results,
    rising,
    stays_if_ever,
)
from leadsignal.survival.inputs import Bools, Floats, Ints
from leadsignal.tables import Tables
from leadsignal.workers import Progress

# What can be compared -----------------------------------------------------------------------------


MIN_CHURNS = 20
"""Minimum number of churn events for a discovery."""


MIN_EXPECTED = 10.0
"""Minimum expected number of churn events both with and without a definition met."""


COMMON = 0.03
"""Minimum share of rows at risk with, and without, a definition met."""


def exposures_of(
    tables: Tables, panel: Panel, events: Mapping[str, Events], grid: Definitions,
    warning_time: int, rules: Rules, match: Sequence[str],
) -> tuple[Exposures, int]:  # fmt: skip
    """Return the exposures of the definitions worth trying, and the number of all definitions."""
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


# Controls and twins -------------------------------------------------------------------------------


def null_of(
    exposures: Exposures, chances: Chances, place: int, excluded: Collection[str]
) -> EmpiricalNull | None:
    """Return the null distribution estimated from the other behaviours as negative controls.

    Each control is taken under the definition whose share is closest to the candidate's, regardless
    of outcomes. ``excluded`` behaviours are not controls. None with fewer than five controls.
    """
    row, share = exposures.at_risk.row, exposures.share
    own = exposures.candidates[place].behavior
    chosen = [
        exposures.of(behavior)[np.abs(share[exposures.of(behavior)] - share[place]).argmin()]
        for behavior in exposures.behaviors
        if behavior != own and behavior not in excluded
    ]
    if len(chosen) < MIN_CONTROLS:
        return None
    places = np.array(chosen, dtype=np.int64)
    score, information = chances.scores(exposures.states[row[:, None], places]).totals()
    known = information > MIN_INFORMATION
    if known.sum() < MIN_CONTROLS:
        return None
    return empirical_null(score[known] / information[known], 1 / np.sqrt(information[known]))


MIN_CORRELATION = 0.95
"""Correlation above which two states cannot be distinguished.

One then explains 90 % of the other, and adjusting for it more than triples the standard error.
"""


@dataclass(frozen=True)
class Twin:
    """A behaviour whose adoption cannot be distinguished from that of another.

    Parameters
    ----------
    behavior : str
        Name of the behaviour.
    together : float
        Share of the account-days at risk with either of the two that have both.
    """

    behavior: str
    together: float


def twins_of(exposures: Exposures, place: int) -> tuple[Twin, ...]:
    """Return the other behaviours that a candidate cannot be distinguished from.

    A behaviour is a twin if its state under any definition has a correlation of at least
    ``MIN_CORRELATION`` with the candidate's over the rows at risk.
    """
    row, own = exposures.at_risk.row, exposures.candidates[place].behavior
    mine = exposures.states[row, place]
    possible = _highest_correlations(exposures.share, place) >= MIN_CORRELATION
    found = []
    for behavior in exposures.behaviors:
        places = exposures.of(behavior)
        places = places[possible[places]]
        if behavior == own or not len(places):
            continue
        theirs = exposures.states[row[:, None], places]
        correlations = _correlations(mine, theirs)
        best = int(correlations.argmax())
        if correlations[best] >= MIN_CORRELATION:
            other = theirs[:, best]
            found.append(Twin(behavior, float((mine & other).sum() / (mine | other).sum())))
    return tuple(found)


def _highest_correlations(share: Floats, place: int) -> Floats:
    """Return the highest possible correlation, given the shares, with the state at ``place``."""
    low, high = np.minimum(share, share[place]), np.maximum(share, share[place])
    found: Floats = np.sqrt(low * (1 - high) / (high * (1 - low)))
    return found


def _correlations(state: Bools, others: Bools) -> Floats:
    """Return the correlation of a state (n) with each of the other states (n × k)."""
    n, a, b = len(state), float(state.sum()), others.sum(axis=0).astype(np.float64)
    both = others[state].sum(axis=0)
    found: Floats = (n * both - a * b) / np.sqrt(a * (n - a) * b * (n - b))
    return found


# Rounds -------------------------------------------------------------------------------------------


ESSENTIAL = "essential"
NOT_SHOWN = "not shown to keep accounts"
MARKS_LEAVING = "dropped by those about to leave"
NO_RESULTS = "results are not shown to rise with it"
WEAK = "too weak"
UNSTABLE = "not in most resamples"
TWIN = "cannot be distinguished from"
BESIDE = "beside those named"
RESAMPLES = 100

Tick = Callable[[], None]


@dataclass(frozen=True)
class Rules:
    """Criteria for naming a process as essential.

    ``level`` is the error rate over the whole grid, ``floor`` the highest hazard ratio, ``most``
    the maximum number of processes, ``draws`` the number of permutations, and ``stable`` the
    minimum share of resamples.
    """

    level: float = 0.02
    floor: float = 0.7
    most: int = 2
    draws: int = 1000
    stable: float = 0.5
    seed: int = 0


def checked_rules(level: float, floor: float, most: int, draws: int, seed: int) -> Rules:
    """Return the rules; raise OptionError for a value out of range."""
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
class Steps:
    """Count the steps done, for a progress bar."""

    progress: Progress | None
    done: int = 0
    total: int = 20

    def tick(self) -> None:
        """Count one step."""
        self.done += 1
        if self.progress:
            self.progress(min(self.done, self.total), self.total)

    def finish(self) -> None:
        """Count all steps that are left."""
        self.done = self.total - 1
        self.tick()


@dataclass(frozen=True)
class RatedCandidate:
    """A behaviour under its best definition, and the verdict on it.

    ``ratio`` is cross-fitted if there are enough accounts. Only essential processes have
    ``as_chosen``, the hazard ratio without cross-fitting, and ``calibrated``, corrected for the
    bias of the other behaviours (None with fewer than five). ``twins`` are the behaviours it cannot
    be distinguished from; ``effect`` is the effect on results in standard deviations (None if
    results were not tested); ``ever`` is the hazard ratio of ever having adopted; ``stability`` is
    the share of resamples of customers in which it passes again.
    """

    candidate: Candidate
    share: float
    verdict: str
    p: float
    ratio: Ratio
    as_chosen: Ratio | None
    effect: Ratio | None
    ever: float
    stability: float
    calibrated: Estimate | None = None
    twins: tuple[Twin, ...] = ()


@dataclass(frozen=True, eq=False)
class Search:
    """State of a search: exposures, evidence from results, and rules."""

    exposures: Exposures
    results: Rising | None
    rules: Rules
    found_twins: dict[int, tuple[Twin, ...]] = field(default_factory=dict)

    def chances(self, at: Sequence[int]) -> Chances:
        """Return the probabilities given the adjusters and the candidates at positions ``at``."""
        states = np.column_stack([np.zeros((len(self.exposures.at_risk), 0)), *map(self.state, at)])
        return chances_of(self.exposures.sets, self.exposures.at_risk, states)

    def evidence(self, behaviors: Sequence[str], chances: Chances, round_: int) -> Evidence:
        """Return the evidence for these behaviours, given what ``chances`` adjust for."""
        place = np.concatenate([self.exposures.of(behavior) for behavior in behaviors])
        rules, seed = self.rules, 1000 * self.rules.seed + round_
        return gather(
            self.exposures, chances, self.results, place,
            level=rules.level, draws=rules.draws, seed=seed,
        )  # fmt: skip

    def state(self, place: int) -> Floats:
        """Return a candidate's state in the rows at risk, 0 or 1."""
        states = self.exposures.states[self.exposures.at_risk.row, place]
        return np.asarray(states, dtype=np.float64)

    def ratio(self, evidence: Evidence, n: int, at: Sequence[int]) -> Ratio:
        """Return the cross-fitted hazard ratio, or the ratio as chosen with too few accounts."""
        place = int(evidence.place[n])
        folds = folds_of(self.exposures, seed=self.rules.seed)
        if folds is None:
            return self.ratio_as_chosen(place, at)
        state = crossed(self.exposures, evidence, self.behavior(place), folds)
        return hazard_ratio(self.exposures, state, [self.state(k) for k in at])

    def ratio_as_chosen(self, place: int, at: Sequence[int]) -> Ratio:
        """Return the hazard ratio of the chosen definition on the data it was chosen on."""
        return hazard_ratio(self.exposures, self.state(place), [self.state(k) for k in at])

    def calibrated(
        self, place: int, ratio: Ratio, chances: Chances, named: Sequence[int]
    ) -> Estimate | None:
        """Return a ratio corrected by the other behaviours, except named ones and twins."""
        excluded = {self.behavior(k) for k in named} | self.twins((place, *named)).keys()
        null = null_of(self.exposures, chances, place, excluded)
        if null is None:
            return None
        std_err = np.log(ratio.high / ratio.low) / (2 * normal_quantile(0.95))
        return null.calibrate(float(np.log(ratio.estimate)), float(std_err))

    def twins(self, places: Iterable[int]) -> dict[str, int]:
        """Return the twins of the candidates at ``places``, each with the place of its twin."""
        return {twin.behavior: k for k in places for twin in self.twins_of(k)}

    def twins_of(self, place: int) -> tuple[Twin, ...]:
        """Return the behaviours that a candidate cannot be distinguished from."""
        if place not in self.found_twins:
            self.found_twins[place] = twins_of(self.exposures, place)
        return self.found_twins[place]

    def behavior(self, place: int) -> str:
        """Return the behaviour of a candidate."""
        return self.exposures.candidates[place].behavior

    def stability(self, evidence: Evidence, n: int) -> float:
        """Return the share of resamples of customers in which the behaviour passes again."""
        customers = int(self.exposures.at_risk.customers.max()) + 1
        rng = np.random.default_rng(self.rules.seed)
        counts = rng.multinomial(customers, np.full(customers, 1 / customers), size=RESAMPLES)
        mine = evidence.only(self.exposures.of(self.behavior(int(evidence.place[n]))))
        stay, rise, together = mine.together(counts.astype(float))
        best, draws = together.argmax(axis=1), np.arange(RESAMPLES)
        return float(evidence.passes(stay[draws, best], rise[draws, best]).mean())


def name_processes(
    exposures: Exposures, rules: Rules, tick: Tick = lambda: None
) -> tuple[list[RatedCandidate], Evidence]:
    """Return a verdict on each behaviour, named ones first, and the evidence of the first round.

    In each round, the strongest candidate that may be named is named, and all others are then
    tested again given it.
    """
    search = Search(exposures, rising(exposures, draws=rules.draws, seed=rules.seed), rules)
    named: dict[str, tuple[int, float]] = {}
    refused: dict[str, str] = {}
    first: Evidence | None = None
    while True:
        at = [place for place, _ in named.values()]
        left = [b for b in exposures.behaviors if b not in named]
        chances = search.chances(at)
        evidence = search.evidence(left, chances, len(named))
        first = first or evidence
        tick()
        closed = refused.keys() | search.twins(at)
        open_behaviors = [b for b in left if b not in closed] if len(named) < rules.most else []
        n = _next(search, evidence, chances, open_behaviors, at, refused)
        if n is None:
            break
        place = int(evidence.place[n])
        named[search.behavior(place)] = place, float(evidence.p[n])
        if not set(exposures.behaviors) - set(named):
            break
    rated = []
    for behavior in exposures.behaviors:
        rated.append(_judge(search, evidence, chances, behavior, named, refused))
        tick()
    rated.sort(key=lambda one: (one.verdict != ESSENTIAL, one.p, one.ratio.estimate))
    return rated, first


def _next(
    search: Search, evidence: Evidence, chances: Chances, behaviors: Sequence[str],
    at: Sequence[int], refused: dict[str, str],
) -> int | None:  # fmt: skip
    """Return the strongest candidate that may be named; record why stronger ones may not."""
    best = [evidence.best(search.exposures.of(behavior)) for behavior in behaviors]
    for n in sorted(best, key=lambda n: -evidence.together()[2][n]):
        if not evidence.passes(evidence.stay, evidence.rise)[n]:
            continue
        why = _why_not(search, evidence, chances, n, at)
        if why is None:
            return n
        refused[search.behavior(int(evidence.place[n]))] = why
    return None


def _why_not(
    search: Search, evidence: Evidence, chances: Chances, n: int, at: Sequence[int]
) -> str | None:
    """Return the reason why a significant candidate must not be named; None if it may."""
    z, _ = stays_if_ever(search.exposures, chances, int(evidence.place[n]))
    # A single test of one candidate, so a one-sided quantile is enough.
    if z < normal_quantile(1 - 2 * search.rules.level):
        return MARKS_LEAVING
    if search.ratio(evidence, n, at).estimate > search.rules.floor:
        return WEAK
    return UNSTABLE if search.stability(evidence, n) < search.rules.stable else None


def _judge(
    search: Search, last: Evidence, chances: Chances, behavior: str,
    named: dict[str, tuple[int, float]], refused: dict[str, str],
) -> RatedCandidate:  # fmt: skip
    """Return the verdict on a behaviour, given the other named behaviours."""
    twin_of = search.twins(place for place, _ in named.values()).get(behavior)
    at = [place for name, (place, _) in named.items() if name != behavior and place != twin_of]
    evidence = last
    if behavior in named or twin_of is not None:
        chances = search.chances(at)
        evidence = search.evidence([behavior], chances, len(named))
    if behavior in named:
        n = int(np.flatnonzero(evidence.place == named[behavior][0])[0])
    else:
        n = evidence.best(search.exposures.of(behavior))
    place = int(evidence.place[n])
    freed = search.ratio(evidence, n, at)
    verdict = _verdict(evidence, n, refused.get(behavior))
    if twin_of is not None:
        verdict = f"{TWIN} {search.behavior(twin_of)}"
    ever = stays_if_ever(search.exposures, chances, place)[1]
    # The critical values are those of the whole grid, not of this behaviour's part of it.
    stability = search.stability(replace(evidence, critical=last.critical), n)
    rated = RatedCandidate(
        search.exposures.candidates[place], float(search.state(place).mean()), verdict,
        float(evidence.p[n]), freed, None, _effect(evidence, n), ever, stability,
        twins=search.twins_of(place),
    )  # fmt: skip
    if behavior not in named:
        return rated
    return replace(
        rated,
        verdict=ESSENTIAL,
        p=named[behavior][1],
        as_chosen=search.ratio_as_chosen(place, at),
        calibrated=search.calibrated(place, freed, chances, at),
    )


def _effect(evidence: Evidence, n: int) -> Ratio | None:
    if evidence.rises is None:
        return None
    effect, error = float(evidence.rises.effect[n]), float(evidence.rises.std_err[n])
    margin = normal_quantile(0.95) * error
    return Ratio(effect, effect - margin, effect + margin)


def _verdict(evidence: Evidence, n: int, refused: str | None) -> str:
    if evidence.stay[n] < evidence.critical[0]:
        return refused or NOT_SHOWN
    if not evidence.passes(evidence.stay, evidence.rise)[n]:
        return NO_RESULTS
    return refused or BESIDE
