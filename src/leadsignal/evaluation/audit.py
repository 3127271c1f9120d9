"""The audit: how many days before churn each indicator changes, so whether it leads or lags.

In matched sets (``leadsignal.evaluation.matched_sets``) the AUC of an indicator is the probability
that its value for the account that churned is above that of a similar account on the same day
before the churn. Intervals resample customers, who appear in several sets: resampled by set, they
would be a quarter too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from leadsignal.account_sample import AccountSample
from leadsignal.arguments import checked, reads_weights
from leadsignal.durations import Duration, days_in
from leadsignal.errors import ModelError, OptionError
from leadsignal.evaluation.audit_text import strongest_table, verdict_counts
from leadsignal.evaluation.health_score import HealthAudit, audit_health
from leadsignal.evaluation.matched_sets import MatchedSets, match_ends
from leadsignal.indicators import Indicator
from leadsignal.indicators.declare import ProcessState
from leadsignal.ingestion.data_warnings import DataWarning, affecting, warning_lines
from leadsignal.panel import Panel
from leadsignal.progress import Progress
from leadsignal.results import Result
from leadsignal.stats.multiple_testing import holm
from leadsignal.stats.normal import normal_quantile, without_rounding

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

if TYPE_CHECKING:
    from matplotlib.axes import Axes


LEADING, LAGGING, NEITHER, UNDECIDED = "leading", "lagging", "neither", "undecided"
MARGIN = 0.53
"""Beyond this an indicator leads; adoption lifts usage a little, which is not worth the word."""
NOTHING = 0.55
"""An indicator whose upper bound stays below this says nothing that matters."""
LEVEL = 0.95
RESAMPLES = 500
MIN_EVENTS = 20
BANDS = {"green": 0.0, "yellow": 1.0, "red": 2.0}


@dataclass(frozen=True, repr=False, eq=False)
class Audit(Result):
    """A verdict on each indicator that is not context, and its AUC by days before churn.

    ``frame`` has, by indicator: name, family, role, verdict; ``auc`` at ``warning_time`` days
    before, with ``low`` and ``high``; ``p`` of not lying beyond 0.53 and ``p_holm``, corrected for
    the number of indicators; ``auc_last`` at the last snapshot, and ``rise`` from the one to the
    other with its paired interval; ``ends``, and ``ends_to_decide`` where undecided. An AUC below
    0.5 means that low values precede churn. ``curves`` has the AUC by lead on one set of churns.
    ``warnings`` say what is odd in the tables. ``sample`` is the sample of customers that was
    audited; None for all.
    """

    frame: pd.DataFrame
    curves: pd.DataFrame
    warning_time: int
    sets: int
    unmatched: int
    matched_on_risk: bool
    health: HealthAudit | None
    warnings: tuple[DataWarning, ...] = ()
    sample: AccountSample | None = None

    def names(self, verdict: str) -> list[str]:
        """Return the indicators with a verdict, the strongest first."""
        return list(self.frame.loc[self.frame["verdict"] == verdict, "name"])

    @property
    def usage_declines(self) -> bool | None:
        """Whether usage changes before churn, early or late; None where there is no usage."""
        usage = self.frame[self.frame["family"] == "usage"]
        return bool(usage["verdict"].isin([LEADING, LAGGING]).any()) if len(usage) else None

    def to_dict(self) -> dict[str, Any]:
        """Return verdicts and curves, ready for JSON; what cannot be said is None."""
        curves = {
            name: {str(int(lead)): _or_none(auc) for lead, auc in zip(of["lead"], of["auc"])}  # noqa: B905
            for name, of in self.curves.groupby("name")
        }
        indicators = [
            {
                **{str(key): _or_none(value) for key, value in row.items()},
                "auc_by_lead": curves.get(row["name"], {}),
            }
            for row in self.frame.to_dict("records")
        ]
        return {
            "warning_time_days": self.warning_time,
            "ends": self.sets,
            "ends_without_match": self.unmatched,
            "usage_declines": self.usage_declines,
            "indicators": indicators,
            "health_score": self.health.to_dict() if self.health else None,
            "sample": self.sample.to_dict() if self.sample else None,
            "warnings": [one.to_dict() for one in self.warnings],
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the AUC by days before churn, one line per indicator, families in colour."""
        from leadsignal.evaluation.plots import audit_curves

        return audit_curves(self.frame, self.curves, self.warning_time, ax)

    def _head(self) -> list[str]:
        """Return the warnings, and how many indicators and ends were compared."""
        return [
            *warning_lines(self.warnings),
            f"Audit of {len(self.frame)} indicators on {self.sets:,} ends matched to accounts of"
            f" similar tenure{', term and context' if self.matched_on_risk else ' and term'};",
            f"{self.unmatched:,} ends found none",
            *([self.sample.line] if self.sample else []),
        ]

    def __repr__(self) -> str:
        lines = self._head()
        lines += [
            verdict_counts(self.frame, self.warning_time),
            strongest_table(self.frame, self.warning_time),
        ]
        if self.usage_declines is False:
            lines.append("no decline of usage before churn was found")
        if self.health:
            lines.append(repr(self.health))
        return "\n".join(lines)

    def _notebook_text(self) -> str:
        counts = self.frame["verdict"].value_counts()
        shown = ", ".join(f"{counts.get(one, 0):,} {one}" for one in _ORDER)
        return "\n".join([*self._head(), shown, *([repr(self.health)] if self.health else [])])

    def _notebook_table(self) -> pd.DataFrame:
        columns = ["name", "family", "verdict", "auc", "low", "high", "auc_last", "p_holm"]
        return self.frame[columns]


@checked
@reads_weights
def audit_indicators(
    panel: Panel,
    *,
    warning_time: Duration | None = None,
    leads: Sequence[int] = tuple(range(0, 361, 30)),
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
) -> Audit:
    """Classify every indicator except context as leading, lagging, neither or undecided.

    *Leading*: at ``warning_time`` (default: the project's) its AUC is beyond 0.53 to either
    side, one-sided, corrected over indicators (Holm 1979). *Lagging*: not leading, its AUC at the
    last snapshot differs from 0.5 and from that at the warning time, by paired intervals.
    *Neither*: at no lead does the bound reach 0.55. Else *undecided*. ``leads`` are days. Raises
    OptionError for leads that are not allowed, ModelError where no end finds a match
    or there is nothing but context.

    >>> import leadsignal as ls
    >>> panel = ls.build_panel(ls.read_tables(ls.sample_folder()))
    >>> ls.audit_indicators(panel, resamples=50).warning_time
    90
    """
    panel.refuse_sample("an audit", of_rows=True)
    time = panel.project.warning_time if warning_time is None else days_in(warning_time)
    if not len(leads) or min(leads) < 0:
        raise OptionError(f"leads are {list(leads)!r}", "Give days before the end, 0 or more")
    indicators = [one for one in panel.indicators if one.role != "context"]
    if not indicators:
        raise ModelError(
            "there are only context indicators, which are not audited",
            "Add tables such as behaviors or usage",
        )
    sets = match_ends(panel, seed=seed)
    values = [coded(one, sets.rows) for one in indicators]
    bootstrap = Resampling.of_sets(sets, resamples, seed)
    tested = _Compared(sets, values)
    early, last = tested.at(time), tested.at(0)
    everyone = np.ones(len(sets), dtype=bool)
    confirmed = bootstrap.auc(early, everyone)
    now = bootstrap.auc(last, everyone)
    rise = bootstrap.rise(last, early)
    curves = _curves(tested, bootstrap, indicators, sorted({*map(int, leads)}), progress)
    frame = _verdicts(indicators, confirmed, now, rise, curves)
    return Audit(
        frame, curves, time, len(sets), sets.without, sets.on_risk,
        audit_health(panel, warning_time=f"{time}d"), affecting(panel.warnings, "audit"),
        panel.sample,
    )  # fmt: skip


def coded(indicator: Indicator, rows: pd.DataFrame) -> Floats:
    """Return an indicator's values as numbers: adopted 1, else 0; green 0, yellow 1, red 2.

    Categories without an order, and missing values, are NaN.
    """
    values = rows[indicator.name]
    if isinstance(indicator.rule, ProcessState):
        known = ~values.isin(["unknown", "not applicable"]) & values.notna()
        found = np.where(known, values == "adopted", np.nan)
        return np.asarray(found, dtype=np.float64)
    if indicator.kind == "category":
        values = values.map(BANDS).astype("Float64")
    return np.asarray(values.to_numpy(dtype=float, na_value=np.nan), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Estimates:
    """AUC by indicator (k) with standard errors and the number of ends that could be read."""

    auc: Floats
    std_err: Floats
    ends: Ints


@dataclass(frozen=True, eq=False)
class Resampling:
    """Weights of pairs: ``own`` (pairs), each set one in all, and ``resampled`` (resamples, pairs).

    A resample draws customers with replacement; a pair counts as often as its end's customer times
    its control's.
    """

    own: Floats
    resampled: NDArray[np.float32]
    of: Ints

    @classmethod
    def of_sets(cls, sets: MatchedSets, resamples: int, seed: int) -> Resampling:
        """Draw the customers of matched sets."""
        customers = int(sets.customer.max(initial=0)) + 1
        rng = np.random.default_rng(seed)
        draws = rng.multinomial(customers, np.full(customers, 1 / customers), size=resamples)
        own = 1 / np.bincount(sets.of)[sets.of]
        light = own.astype(np.float32)
        mine, other = sets.customer[sets.case[sets.of]], sets.customer[sets.control]
        pairs = np.empty((resamples, len(own)), dtype=np.float32)
        # Row by row: one resample's customers fit into the processor's cache.
        for row, times in zip(pairs, draws.astype(np.float32), strict=True):
            np.multiply(times[mine], times[other], out=row)
            row *= light
        return cls(own, pairs, sets.of)

    def auc(self, pairs: Floats, kept: NDArray[np.bool_]) -> Estimates:
        """Return the mean of ``pairs`` (pairs, k), NaN left out, over the sets that are kept."""
        known = ~np.isnan(pairs) & kept[self.of][:, None]
        value = np.where(known, pairs, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            estimate = (self.own @ value) / (self.own @ known)
            light = known.astype(np.float32)
            resampled = (self.resampled @ value.astype(np.float32)) / (self.resampled @ light)
        resampled = np.where(np.isfinite(resampled), resampled, estimate)
        first = np.flatnonzero(np.append(True, self.of[1:] != self.of[:-1]))
        ends = (np.add.reduceat(known, first, axis=0) > 0).sum(axis=0)
        return Estimates(estimate, resampled.std(axis=0, ddof=1, dtype=np.float64), ends)

    def rise(self, last: Floats, early: Floats) -> Estimates:
        """Return how much further from 0.5 the AUC is at the last snapshot, on the same pairs."""
        both = last - early
        side = np.sign(np.nan_to_num(np.where(np.isnan(both), 0.0, last - 0.5)).T @ self.own)
        found = self.auc(both, np.ones(int(self.of.max()) + 1, dtype=bool))
        return Estimates(side * found.auc, found.std_err, found.ends)


@dataclass(frozen=True, eq=False)
class _Compared:
    """The pairs of matched sets, compared in each indicator a number of days before the end."""

    sets: MatchedSets
    values: Sequence[Floats]

    def at(self, lead: int) -> Floats:
        """Return (pairs, k): 1 if the churned account's value is higher, 0.5 equal, 0 lower."""
        case, control = self.sets.rows_at(lead)
        there = (case[self.sets.of] >= 0) & (control >= 0)
        columns = []
        for values in self.values:
            mine, other = values[case][self.sets.of], values[control]
            higher = np.where(mine == other, 0.5, mine > other)
            columns.append(np.where(there & ~np.isnan(mine) & ~np.isnan(other), higher, np.nan))
        return np.column_stack(columns)


def _curves(
    compared: _Compared,
    bootstrap: Resampling,
    indicators: Sequence[Indicator],
    leads: Sequence[int],
    progress: Progress | None,
) -> pd.DataFrame:
    """Return the AUC by lead on the churns whose accounts existed at the longest of the leads.

    Leads for which fewer than 20 ends were there are left out.
    """
    there = {lead: compared.sets.rows_at(lead)[0] >= 0 for lead in leads}
    used = [lead for lead in leads if there[lead].sum() >= MIN_EVENTS] or list(leads[:1])
    fixed = there[used[-1]]
    margin, parts = normal_quantile(LEVEL), []
    for number, lead in enumerate(used):
        found = bootstrap.auc(compared.at(lead), fixed)
        parts.append(
            pd.DataFrame(
                {
                    "name": [one.name for one in indicators],
                    "family": [one.family for one in indicators],
                    "lead": lead,
                    "auc": found.auc,
                    "low": np.maximum(found.auc - margin * found.std_err, 0),
                    "high": np.minimum(found.auc + margin * found.std_err, 1),
                    "std_err": found.std_err,
                    "ends": found.ends,
                }
            )
        )
        if progress:
            progress(number + 1, len(used))
    return pd.concat(parts, ignore_index=True)


def _verdicts(
    indicators: Sequence[Indicator],
    early: Estimates,
    last: Estimates,
    rise: Estimates,
    curves: pd.DataFrame,
) -> pd.DataFrame:
    """Return one row per indicator: by verdict, then the furthest from 0.5 first."""
    margin = normal_quantile(LEVEL)
    away = np.abs(early.auc - 0.5)
    p = _p(away - (MARGIN - 0.5), early.std_err)
    p_holm = holm(p)
    frame = pd.DataFrame(
        {
            "name": [one.name for one in indicators],
            "family": [one.family for one in indicators],
            "role": [one.role for one in indicators],
            "auc": early.auc,
            "low": np.maximum(early.auc - margin * early.std_err, 0),
            "high": np.minimum(early.auc + margin * early.std_err, 1),
            "p": p,
            "p_holm": p_holm,
            "auc_last": last.auc,
            "rise": rise.auc,
            # Further from 0.5 by 0.5 at most: from 0.5 to 0 or 1.
            "rise_low": np.maximum(rise.auc - margin * rise.std_err, -0.5),
            "rise_high": np.minimum(rise.auc + margin * rise.std_err, 0.5),
            "ends": early.ends,
        }
    )
    leads = (p_holm < 1 - LEVEL) & (early.ends >= MIN_EVENTS)
    seen_last = np.abs(last.auc - 0.5) > margin * last.std_err
    lags = seen_last & (frame["rise_low"].to_numpy() > 0) & (last.ends >= MIN_EVENTS)
    nothing = _says_nothing(curves).reindex(frame["name"]).eq(True).to_numpy()
    verdict = np.select([leads, lags, nothing], [LEADING, LAGGING, NEITHER], default=UNDECIDED)
    needed = _ends_to_decide(away, early, len(indicators), curves, list(frame["name"]))
    frame["ends_to_decide"] = np.where(verdict == UNDECIDED, needed, np.nan)
    frame.insert(3, "verdict", verdict)
    order = np.lexsort((-np.nan_to_num(away), np.array([_ORDER[v] for v in verdict])))
    return frame.iloc[order].reset_index(drop=True)


_ORDER = {LEADING: 0, LAGGING: 1, UNDECIDED: 2, NEITHER: 3}


def _p(beyond: Floats, std_err: Floats) -> Floats:
    """Return the one-sided p of ``beyond`` not lying above 0; certain where nothing varies."""
    beyond = without_rounding(beyond, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(std_err > 0, beyond / std_err, np.where(beyond > 0, np.inf, -np.inf))
    return np.where(np.isnan(beyond), np.nan, ndtr(-z))


def _room_below(curves: pd.DataFrame) -> Floats:
    """Return how far each AUC lies inside 0.45 to 0.55, in margins of a one-sided bound."""
    margin = normal_quantile(2 * LEVEL - 1) * curves["std_err"]
    inside = (NOTHING - 0.5) - (curves["auc"] - 0.5).abs()
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(margin > 0, inside / margin, np.where(inside > 0, np.inf, -np.inf))


def _says_nothing(curves: pd.DataFrame) -> pd.Series[Any]:
    """Return, by indicator, whether at every lead the one-sided bounds stay within 0.45 to 0.55."""
    known = (curves["ends"] >= MIN_EVENTS).to_numpy()
    return _by_name(known & (_room_below(curves) > 1), curves["name"]).groupby(level=0).all()


def _ends_to_decide(
    away: Floats, early: Estimates, tests: int, curves: pd.DataFrame, names: Sequence[str]
) -> Floats:
    """Return the number of ends at which the present estimates would be decided.

    The standard error falls with the square root of the churns. NaN where no number would decide.
    """
    strict = normal_quantile(1 - 2 * (1 - LEVEL) / tests)
    beyond = away - (MARGIN - 0.5)
    room = _room_below(curves)
    with np.errstate(invalid="ignore", divide="ignore"):
        lead = np.where(beyond > 0, (strict * early.std_err / beyond) ** 2 * early.ends, np.inf)
        each = np.where(room > 0, curves["ends"] / room**2, np.inf)
    nothing = _by_name(each, curves["name"]).groupby(level=0).max().reindex(list(names)).to_numpy()
    fewest = np.ceil(np.fmin(lead, nothing))
    return np.where(np.isfinite(fewest), np.maximum(fewest, early.ends + 1), np.nan)


def _by_name(values: NDArray[Any], names: pd.Series[Any]) -> pd.Series[Any]:
    """Return values indexed by indicator."""
    return pd.Series(values, index=names.to_numpy())


def _or_none(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(value)
    return int(value) if isinstance(value, np.integer) else value
