"""Rows, columns and strata of Cox models, with churn dated by the day it became known."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.accounts import NO_REASON, rows_at_risk
from leadsignal.engine.build import SAMPLE_WEIGHT
from leadsignal.errors import ModelError, OptionError
from leadsignal.formats import share_text
from leadsignal.indicators import Indicator
from leadsignal.indicators.behaviors import PROCESSES, process_columns
from leadsignal.indicators.declare import DaysSince, Latest, ProcessState, Trailing
from leadsignal.panel import Panel
from leadsignal.survival.cox import CoxFit, fit_cox
from leadsignal.survival.inputs import Bools, Floats, Labels
from leadsignal.survival.partial_likelihood import PartialLikelihood
from leadsignal.survival.risk_sets import RiskSets

Causes = str | Sequence[str] | None
MIN_CHURNS = 10
"""Minimum number of churns for hazard ratios."""


@dataclass(frozen=True, eq=False)
class CoxDesign:
    """Rows before the end was known, at risk on (start, stop] in days of tenure.

    ``frame`` has the panel rows; ``event`` (n) marks the requested churns and ``churn`` (n) all
    churns, each on the day it was known; ``customer`` (n) are the clusters; ``weight`` (n) is the
    number of rows that each represents: 1, unless the customers are a sample. ``pending`` is the
    number of accounts that have given notice and whose contract still runs: churns whose reason is
    not yet known. ``unseen`` is the number of accounts whose end was known before their first row.
    """

    frame: pd.DataFrame
    start: Floats
    stop: Floats
    event: Bools
    churn: Bools
    customer: NDArray[Any]
    weight: Floats
    causes: tuple[str, ...]
    left_out: tuple[str, ...]
    pending: int
    unseen: int

    @property
    def days(self) -> Floats:
        """Days at risk of each row (n)."""
        return self.stop - self.start

    @property
    def sampled(self) -> bool:
        """Whether rows represent different numbers of rows."""
        return bool((self.weight != 1).any())

    @property
    def churns(self) -> int:
        """Number of the requested churns."""
        return int(self.event.sum())


def decisions_of(panel: Panel, cause: Causes = None, without: Causes = None) -> CoxDesign:
    """Return the rows at risk until the day the end was known, which is the event time.

    Rows after notice are left out, so dating churn by the end of the contract would lose almost all
    events. Raises OptionError for an unknown cause, and ModelError if fewer than 10 churns are
    left.
    """
    panel.refuse_sample("a hazard ratio", of_rows=True)
    every = _churn_causes(panel)
    causes = _causes_to_keep(every, cause, without)
    frame, stop, ended = rows_at_risk(panel.frame)
    event, churn = (np.isin(ended, list(names)) for names in (causes, every))
    if event.sum() < MIN_CHURNS:
        named = f" ({', '.join(causes)})" if causes else ""
        raise ModelError(
            f"the panel holds {int(event.sum())} churns{named} before {panel.as_of_date}; "
            f"hazard ratios need {MIN_CHURNS}",
            "Give a longer history or a later as_of, or group causes in leadsignal.toml",
        )
    customer = frame["customer_id"].fillna(frame["account_id"]).astype(str)
    known = panel.frame[panel.frame["known_within"].notna()]
    return CoxDesign(
        frame,
        frame["start"].to_numpy(dtype=float),
        stop,
        event,
        churn,
        customer.to_numpy(),
        np.ones(len(frame)) if panel.weight is None else frame[SAMPLE_WEIGHT].to_numpy(float),
        causes,
        tuple(name for name in every if name not in causes),
        known.loc[known["end_cause"].isna(), "account_id"].nunique(),
        int((~known["account_id"].drop_duplicates().isin(frame["account_id"])).sum()),
    )


def _churn_causes(panel: Panel) -> tuple[str, ...]:
    frame = panel.frame
    seen = set(frame["end_cause"].dropna().unique()) | set(panel.project.causes)
    if (frame["known_within"].notna() & frame["end_cause"].isna()).any():
        seen.add(NO_REASON)
    return tuple(sorted(seen - set(panel.project.not_churn)))


def _causes_to_keep(every: tuple[str, ...], cause: Causes, without: Causes) -> tuple[str, ...]:
    if cause is not None and without is not None:
        raise OptionError("cause and without are both given", "Name the causes to keep, or to drop")
    kept, dropped = names_of(cause), names_of(without)
    unknown = sorted({*kept, *dropped} - set(every))
    if unknown:
        raise OptionError(
            f"there is no churn by cause {', '.join(map(repr, unknown))}; "
            f"the causes are {', '.join(map(repr, every))}",
            "Name one of them, or group end reasons under [causes] in leadsignal.toml",
        )
    return tuple(name for name in every if name not in dropped and (not kept or name in kept))


def names_of(causes: Causes) -> tuple[str, ...]:
    """Return one or several names as a tuple; empty for None."""
    if causes is None:
        return ()
    return (causes,) if isinstance(causes, str) else tuple(causes)


MIN_EXPECTED = 5.0
"""A state is rare if fewer churns are expected from its days at risk. Observed churns are not used,
because selecting by outcome would bias the remaining estimates."""
MIN_SHARE = 0.01
SKEWED = 1.0
NO_VALUE = "no value"
RARE = "rarer states"
SPREADS = ((25, 75), (10, 90), (5, 95), (1, 99), (0, 100))
"""Percentiles that one step of a number spans; the first pair with different values is used."""


@dataclass(frozen=True, eq=False)
class Column:
    """One column: the values ``coded`` (n), the ``indicator``, and what its ratio compares.

    ``step`` describes one unit and ``reference`` what it is compared with; ``state`` is the
    category or "no value", and empty for a number. A column that is not ``shown`` is only adjusted
    for.
    """

    indicator: Indicator
    state: str
    step: str
    reference: str
    coded: Floats
    shown: bool = True

    @property
    def name(self) -> str:
        """Name of the indicator, with its state if it has one."""
        return f"{self.indicator.name}: {self.state}" if self.state else self.indicator.name


@dataclass(frozen=True)
class LeftOut:
    """A column, state or cause without a ratio of its own, and the reason."""

    name: str
    reason: str


Coded = Column | LeftOut


class DesignEncoder:
    """Encode the indicators of the rows of ``decisions``."""

    def __init__(self, decisions: CoxDesign) -> None:
        self.frame = decisions.frame
        self.weight = decisions.weight if decisions.sampled else None
        self.days = decisions.days * decisions.weight
        self.churns = decisions.churns

    def code(self, indicator: Indicator) -> Iterator[Coded]:
        """Yield the columns of one indicator, and the parts of it that are left out."""
        values = self.frame[indicator.name]
        if values.isna().all():
            yield LeftOut(indicator.name, "it has no value in any row")
        elif indicator.kind == "category":
            yield from self._states(indicator, values)
        else:
            yield from self._number(indicator, values.to_numpy(dtype=float, na_value=np.nan))

    def expected(self, rows: Bools) -> float:
        """Return the number of churns expected in ``rows``, in proportion to days at risk."""
        return self.churns * float(self.days[rows].sum() / self.days.sum())

    def _why_rare(self, rows: Bools) -> str | None:
        share, expected = float(np.average(rows, weights=self.weight)), self.expected(rows)
        if share >= MIN_SHARE and expected >= MIN_EXPECTED:
            return None
        return f"{share_text(share, 1)} of rows, {expected:.1f} churns expected there"

    def _number(self, indicator: Indicator, values: Floats) -> Iterator[Coded]:
        known = ~np.isnan(values)
        # Sort once, because many quantiles are needed.
        ordered = in_order(values[known], None if self.weight is None else self.weight[known])
        distinct, counts = np.unique(ordered, return_counts=True)
        usual = distinct[counts.argmax()]
        rare = self._why_rare(known & (values != usual))
        if rare is not None:
            why = f"it is {usual:g} or {NO_VALUE} nearly everywhere (otherwise: {rare})"
            yield LeftOut(
                indicator.name, "it is the same everywhere" if len(distinct) == 1 else why
            )
        else:
            yield scaled(indicator, values, known, ordered)
        if not known.all():
            against = f"the median, {number(_middle(ordered))} {indicator.unit}"
            yield from self._state(indicator, NO_VALUE, ~known, against)

    def _state(
        self, indicator: Indicator, state: str, rows: Bools, against: str
    ) -> Iterator[Coded]:
        rare = self._why_rare(rows)
        column = Column(indicator, state, state, against, rows.astype(float), rare is None)
        yield column
        if rare is not None:
            yield LeftOut(column.name, f"rare: {rare}; adjusted for, not shown")

    def _states(self, indicator: Indicator, values: pd.Series[Any]) -> Iterator[Coded]:
        codes, states = pd.factorize(values.astype("object").fillna(NO_VALUE), sort=True)
        rows = {str(state): codes == code for code, state in enumerate(states)}
        common = [state for state in rows if self._why_rare(rows[state]) is None]
        if len(rows) == 1:
            yield LeftOut(indicator.name, f"it is {str(states[0])!r} everywhere")
            return
        if not common:
            yield LeftOut(indicator.name, f"each of its {len(rows)} states is rare")
            return
        reference = self._reference(indicator, {state: rows[state] for state in common})
        for state in common:
            if state != reference:
                yield from self._state(indicator, state, rows[state], reference)
        yield from self._rarer(indicator, {s: rows[s] for s in rows if s not in common}, reference)

    def _rarer(
        self, indicator: Indicator, rows: dict[str, Bools], reference: str
    ) -> Iterator[Coded]:
        """Yield the rare states as one column, so that they are not part of the reference."""
        if len(rows) == 1:
            for state, where in rows.items():
                yield from self._state(indicator, state, where, reference)
            return
        for state, where in rows.items():
            reason = f"rare: {self._why_rare(where)}; counted under {RARE}"
            yield LeftOut(f"{indicator.name}: {state}", reason)
        if rows:
            together = np.logical_or.reduce(list(rows.values()))
            yield from self._state(indicator, RARE, together, reference)

    def _reference(self, indicator: Indicator, rows: dict[str, Bools]) -> str:
        if indicator.family == "processes" and "adopted" in rows:
            return "adopted"
        # NO_VALUE is the reference only if no other state is common.
        return max(rows, key=lambda state: (state != NO_VALUE, float(self.days[rows[state]].sum())))


def in_order(values: Floats, weight: Floats | None) -> Floats:
    """Return sorted values; with weights, each as often as in all rows, in proportion.

    >>> in_order(np.array([2.0, 1.0, 3.0, 1.0]), np.array([6.0, 1.0, 1.0, 1.0]))
    array([1., 2., 2., 2.])
    """
    order = np.argsort(values)
    if weight is not None:
        running = np.cumsum(weight[order])
        places = (np.arange(len(values)) + 0.5) / len(values) * running[-1]
        order = order[np.searchsorted(running, places)]
    found: Floats = values[order]
    return found


def _middle(ordered: Floats) -> float:
    """Return the median of sorted values."""
    return float(ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1].mean())


def scaled(indicator: Indicator, values: Floats, known: Bools, ordered: Floats) -> Column:
    """Return a number scaled by its interquartile range, with the lower quartile as zero.

    If it is skewed and never negative, log(1 + x/m) is scaled instead, where m is the median of the
    positive values, so the result does not depend on the currency. Missing values are replaced by
    the median. ``ordered`` are the sorted known values.
    """
    low, high = next(
        (low, high)
        for low, high in (np.percentile(ordered, pair) for pair in SPREADS)
        if high > low
    )
    filled = np.where(known, values, _middle(ordered))
    log = ordered[0] >= 0 and skewness(ordered) > SKEWED and len(np.unique(ordered)) > 2
    middle = _middle(ordered[ordered > 0]) if log else 1.0
    at = [np.log1p(part / middle) if log else part for part in (filled, low, high)]
    step = f"{number(low)} to {number(high)} {indicator.unit}" + (", log scale" if log else "")
    start = f"{number(low)} {indicator.unit}"
    return Column(indicator, "", step, start, (at[0] - at[1]) / (at[2] - at[1]))


def skewness(values: Floats) -> float:
    """Return the skewness; 0 for a constant."""
    spread = values.std()
    if not spread > 0:
        return 0.0
    away = (values - values.mean()) / spread
    return float((away * away * away).mean())  # ** 3 is ten times slower


def number(value: float) -> str:
    """Return a number as readable text.

    >>> number(34864.2), number(0.125), number(12.0)
    ('34,864', '0.125', '12')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def with_careful_errors(fit: CoxFit) -> CoxFit:
    """Return the fit with the larger of robust and model-based standard errors by column.

    The robust (sandwich) error by customer is right with many churns but too small with few. With
    43 churns and a state of 8 % of accounts, its 95 % intervals covered the truth 83 % of the time,
    and those of the larger error 95 %. Correlations are those of the sandwich.
    """
    if fit.robust_cov is None:
        return fit
    robust = np.sqrt(np.diag(fit.robust_cov))
    larger = np.maximum(robust, fit.se)
    scale = np.divide(larger, robust, out=np.ones_like(robust), where=robust > 0)
    cov = fit.robust_cov * scale[:, None] * scale
    np.fill_diagonal(cov, larger**2)
    return replace(fit, robust_cov=cov)


@dataclass(frozen=True, eq=False)
class Design:
    """The columns of one Cox model with their risk intervals, ready to fit."""

    decisions: CoxDesign
    columns: tuple[Column, ...]
    strata: Labels | None
    ridge: float

    def fit(self, event: Bools | None = None) -> CoxFit:
        """Fit the columns to the requested churns, or to another ``event`` in the same rows."""
        fit = fit_cox(
            np.column_stack([column.coded for column in self.columns]),
            self.decisions.stop,
            self.decisions.event if event is None else event,
            start=self.decisions.start,
            strata=None if self.strata is None else self.strata.codes,
            weights=self.decisions.weight,
            cluster=self.decisions.customer,
            ridge=self.ridge,
            names=[column.name for column in self.columns],
        )
        return with_careful_errors(fit)


def _stratum(decisions: CoxDesign, strata: tuple[str, ...]) -> Labels | None:
    if not strata:
        return None
    values = decisions.frame[list(strata)].astype(object).fillna(NO_VALUE).astype(str)
    return Labels.of(values.agg(" / ".join, axis=1).to_numpy(dtype=str))


BEST_WINDOW = 90
"""Of several windows over the same rows, the one closest to this number of days is used."""


def one_of_each(indicators: Sequence[Indicator]) -> tuple[list[Indicator], list[LeftOut]]:
    """Return the indicators to use, and those that duplicate another, with its name.

    A ratio holds the other columns constant, and with its own count of events held constant, a
    lapsed process is no longer lapsed. So only the state of a process is used, and only one
    trailing window for each kind of row. Results are used relative to their target, because values
    of different metrics have no common unit. Naming indicators overrides this.
    """
    stands_for = _states(indicators) | _windows(indicators) | _against_targets(indicators)
    kept = [indicator for indicator in indicators if indicator.name not in stands_for]
    left_out = [
        LeftOut(name, f"it counts the same events as {other}; name it in indicators= to use it")
        for name, other in stands_for.items()
    ]
    return kept, left_out


def _states(indicators: Sequence[Indicator]) -> dict[str, str]:
    """Return the detail indicators of processes, each with its state indicator."""
    states = {i.name: i.rule.process for i in indicators if isinstance(i.rule, ProcessState)}
    return {
        i.name: state
        for i in indicators
        for state, process in states.items()
        if i.family == PROCESSES and i.name != state and i.name in process_columns(process)
    }


def _windows(indicators: Sequence[Indicator]) -> dict[str, str]:
    """Return windows and days-since over rows that another window counts, with that window."""
    best: dict[Hashable, Indicator] = {}
    for indicator in indicators:
        if isinstance(indicator.rule, Trailing) and indicator.family != PROCESSES:
            key = _rows(indicator.rule)
            if key not in best or _off(indicator) < _off(best[key]):
                best[key] = indicator
    return {
        i.name: best[_rows(i.rule)].name
        for i in indicators
        if isinstance(i.rule, Trailing | DaysSince)
        and i.family != PROCESSES
        and best.get(_rows(i.rule), i) is not i
    }


def _against_targets(indicators: Sequence[Indicator]) -> dict[str, str]:
    """Return latest values of rows whose distance to the target is used as well."""
    latest = [(i, i.rule) for i in indicators if isinstance(i.rule, Latest)]
    gaps = {_rows(rule): i.name for i, rule in latest if rule.column == "gap"}
    return {
        i.name: gaps[_rows(rule)]
        for i, rule in latest
        if rule.column == "value" and _rows(rule) in gaps
    }


def _rows(rule: Trailing | DaysSince | Latest) -> Hashable:
    return (rule.table, rule.day, rule.where)


def _off(indicator: Indicator) -> int:
    window = indicator.rule.window if isinstance(indicator.rule, Trailing) else 0
    return abs(window - BEST_WINDOW)


MAX_SHARED = 0.8
"""Maximum R² of a column on earlier ones (a variance inflation factor of 5)."""


MIN_WITHIN = 0.05
"""Minimum share of a column's variance that is between accounts of equal tenure."""


def without_collinear(
    columns: Sequence[Column], decisions: CoxDesign, strata: Labels | None
) -> tuple[list[Column], list[LeftOut]]:
    """Return the columns with information of their own, in order, and those left out.

    The criterion is the information at hazard ratios of one, that is, within risk sets, where a Cox
    model makes its comparisons. Of a collinear set, the first columns are kept.
    """
    kept: list[int] = []
    left_out = []
    information = information_at_one(columns, decisions, strata)
    variance = np.diag(information)
    for j, column in enumerate(columns):
        away = column.coded - np.average(column.coded, weights=decisions.weight)
        overall = float(np.average(away**2, weights=decisions.weight)) * decisions.churns
        if variance[j] <= MIN_WITHIN * overall:
            left_out.append(LeftOut(column.name, "accounts of equal tenure (and stratum) share it"))
            continue
        share, weights = _explained_by(information, kept, j)
        if share > MAX_SHARED:
            most = [columns[kept[k]].name for k in np.argsort(-weights)[:3] if weights[k] > 0.2]
            by = ", ".join(most) or "the others together"
            reason = f"{share_text(share, 1)} of its variance is explained by {by}"
            left_out.append(LeftOut(column.name, f"collinear: {reason}"))
            continue
        kept.append(j)
    return [columns[j] for j in kept], left_out


def information_at_one(
    columns: Sequence[Column], decisions: CoxDesign, strata: Labels | None
) -> Floats:
    """Return the information (p × p) of the columns at hazard ratios of one."""
    X = np.column_stack([column.coded for column in columns])
    sets = RiskSets.of(decisions.stop, decisions.event, decisions.start, strata)
    likelihood = PartialLikelihood(X, sets, decisions.weight, None, True)
    information: Floats = likelihood.evaluate(np.zeros(len(columns))).information
    return information


def _explained_by(information: Floats, kept: list[int], j: int) -> tuple[float, Floats]:
    """Return the R² of column j on the kept columns, and the weight of each of these."""
    if not kept:
        return 0.0, np.zeros(0)
    scale = 1 / np.sqrt(np.diag(information)[kept])
    inside = information[np.ix_(kept, kept)] * scale[:, None] * scale
    shared = information[kept, j] * scale / np.sqrt(information[j, j])
    weights = np.linalg.solve(inside, shared)
    return float(shared @ weights), np.abs(weights)


def design_of(
    decisions: CoxDesign, chosen: list[Indicator], strata: tuple[str, ...], ridge: float
) -> tuple[Design, list[LeftOut]]:
    """Return the design of the chosen indicators, and what is left out of it."""
    encoder = DesignEncoder(decisions)
    coded = [part for indicator in chosen for part in encoder.code(indicator)]
    columns = [part for part in coded if isinstance(part, Column)]
    left_out = [part for part in coded if isinstance(part, LeftOut)]
    stratum = _stratum(decisions, strata)
    kept: list[Column] = []
    if columns:
        # "No value" comes last, because an equivalent state has the better name.
        ordered = sorted(columns, key=lambda column: column.state == NO_VALUE)
        kept, collinear = without_collinear(ordered, decisions, stratum)
        hidden = {column.name for column in columns if not column.shown}
        left_out += [part for part in collinear if part.name not in hidden]
    if not any(column.shown for column in kept):
        reasons = "; ".join(f"{part.name}: {part.reason}" for part in left_out)
        raise ModelError(
            f"no indicator is left to estimate ({reasons or 'none was named'})",
            "Name other indicators or roles, or give a longer history",
        )
    return Design(decisions, tuple(sorted(kept, key=columns.index)), stratum, ridge), left_out
