"""The audit: how many days before churn each indicator changes, and so whether it leads or lags.

In matched sets (``leadsignal.evaluation.past_rows``), the AUC of an indicator is the probability
that it is higher for the account that churned than for a similar account on the same day before the
churn. Standard errors allow for customers that appear in several sets
(``leadsignal.evaluation.past_rows``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from leadsignal import plots
from leadsignal.account_sample import AccountSample
from leadsignal.arguments import Duration, checked, days_in, reads_weights
from leadsignal.errors import ModelError, OptionError
from leadsignal.evaluation.health_score import BANDS, HealthAudit, audit_health
from leadsignal.evaluation.past_rows import (
    LEVEL,
    Estimates,
    MatchedPairs,
    MatchedSets,
    match_ends,
)
from leadsignal.files.writing import json_fields, json_ready, json_rows
from leadsignal.indicators import Indicator
from leadsignal.indicators.declare import ProcessState
from leadsignal.ingestion.check_report import DataWarning, affecting, warning_lines
from leadsignal.panel import Panel
from leadsignal.results import Result, or_dash, text_table
from leadsignal.stats import holm, normal_quantile, without_rounding
from leadsignal.workers import Progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEADING, LAGGING, UNDECIDED, NEITHER = "leading", "lagging", "undecided", "neither"
MEANING = {
    LEADING: "differs {days} days before churn",
    LAGGING: "differs only later",
    UNDECIDED: "too few churns to say",
    NEITHER: "no difference that matters",
}
VERDICTS = tuple(MEANING)
MAX_STRONGEST = 8
"""Maximum number of indicators that are named; the table has all."""


def verdict_counts(indicators: pd.DataFrame, warning_time: int) -> str:
    """Return the number of indicators with each verdict, as a table."""
    counts = indicators["verdict"].value_counts()
    rows = {
        "verdict": list(VERDICTS),
        "indicators": [int(counts.get(verdict, 0)) for verdict in VERDICTS],
        "meaning": [MEANING[verdict].format(days=warning_time) for verdict in VERDICTS],
    }
    return text_table(pd.DataFrame(rows))


def strongest(indicators: pd.DataFrame) -> pd.DataFrame:
    """Return the strongest leading or lagging indicator of each family, up to a maximum."""
    named = indicators[indicators["verdict"].isin(["leading", "lagging"])]
    auc = named["auc"].where(named["verdict"] == "leading", named["auc_last"])
    order = named.assign(far=(auc - 0.5).abs(), late=named["verdict"] == "lagging")
    order = order.sort_values(["late", "far"], ascending=[True, False], kind="stable")
    kept = order.drop_duplicates(["family", "verdict"]).head(MAX_STRONGEST)
    return kept.drop(columns=["far", "late"])


def strongest_table(indicators: pd.DataFrame, warning_time: int) -> str:
    """Return a table of the strongest indicators with their AUC, or a note that there are none."""
    named = strongest(indicators)
    if not len(named):
        return "no indicator leads or lags beyond chance"
    early = [
        f"{or_dash(auc, '.2f')} ({or_dash(low, '.2f')} to {or_dash(high, '.2f')})"
        for auc, low, high in zip(named["auc"], named["low"], named["high"], strict=True)
    ]
    rows = {
        "verdict": list(named["verdict"]),
        f"AUC {warning_time} days before": early,
        "at the last": [or_dash(auc, ".2f") for auc in named["auc_last"]],
        "family": list(named["family"]),
        "strongest indicator of the family": list(named["name"]),
    }
    return text_table(pd.DataFrame(rows))


Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


MARGIN = 0.53
"""AUC beyond which an indicator leads; adoption lifts usage slightly, which should not count."""
NOTHING = 0.55
"""An indicator is uninformative if the upper bound of its AUC stays below this."""
MIN_EVENTS = 20


@dataclass(frozen=True, repr=False, eq=False)
class Audit(Result):
    """A verdict on each indicator except context, and its AUC by days before churn.

    ``frame`` has, by indicator: name, family, role, verdict; ``auc`` at ``warning_time`` days
    before churn, with ``low`` and ``high``; ``p``, the p-value of an AUC within 0.53, and
    ``p_holm``, corrected for the number of indicators; ``auc_last`` at the last snapshot, and
    ``rise`` from one to the other, with a paired interval; ``ends``, the number of churns, and
    ``ends_to_decide``, the number needed if undecided. An AUC below 0.5 means that low values
    precede churn. ``curves`` has the AUC by lead time for a fixed set of churns. ``warnings`` are
    data warnings. ``sample`` is the sample of customers that was audited; None for all customers.
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
        """Whether usage changes before churn, early or late; None without usage indicators."""
        usage = self.frame[self.frame["family"] == "usage"]
        return bool(usage["verdict"].isin([LEADING, LAGGING]).any()) if len(usage) else None

    def to_dict(self) -> dict[str, Any]:
        """Return verdicts and curves, ready for JSON; undefined values are None."""
        curves = {
            name: json_ready(dict(zip(of["lead"].astype(int), of["auc"], strict=True)))
            for name, of in self.curves.groupby("name")
        }
        indicators = [
            {**row, "auc_by_lead": curves.get(row["name"], {})} for row in json_rows(self.frame)
        ]
        numbers = {"warning_time_days": "warning_time", "ends": "sets",
                   "ends_without_match": "unmatched"}  # fmt: skip
        return {
            **json_fields(self, *numbers, "usage_declines", **numbers),
            "indicators": indicators,
            **json_fields(self, "health_score", "sample", "warnings", health_score="health"),
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the AUC by days before churn, with one line per indicator and families in colour."""
        named, curves = strongest(self.frame), self.curves
        axes = plots.axes_of(ax, (9.2, 5.4))
        families = dict(zip(named["family"].unique(), cycle(plots.COLOURS), strict=False))
        ends = []
        for row in named.to_dict("records"):
            curve = curves[curves["name"] == row["name"]]
            colour, style = families[row["family"]], "-" if row["verdict"] == "leading" else "--"
            axes.plot(curve["lead"], curve["auc"], color=colour, linestyle=style, linewidth=1.7)
            plots.band(axes, curve["lead"], curve["low"], curve["high"], colour, 0.1)
            ends.append((float(curve["auc"].iloc[0]), row["name"].replace("_", " "), colour))
        plots.name_ends(axes, ends, 0.022, (6, 0), fontsize=plots.SMALL)
        axes.set_xlim(float(curves["lead"].max()), 0)
        self._write_around(axes, families)
        return axes

    def _write_around(self, axes: Axes, families: dict[str, str]) -> None:
        """Write what the lines and colours of the plot mean."""
        from matplotlib.lines import Line2D

        axes.axhspan(0.47, 0.53, color=plots.GREY, alpha=0.12, linewidth=0)
        axes.axvline(self.warning_time, color=plots.GREY, linestyle=":", linewidth=1.2)
        words = f"warning time, {self.warning_time} days"
        plots.write_at(axes, words, (self.warning_time, 1), (-4, -4), color=plots.GREY,
                       xycoords=("data", "axes fraction"), ha="right", va="top",
                       fontsize=plots.SMALL)  # fmt: skip
        leading, lagging = (len(self.names(verdict)) for verdict in ("leading", "lagging"))
        plots.write_title(
            axes,
            f"{leading} of {len(self.frame)} indicators change {self.warning_time} days before"
            f" churn, {lagging} only later",
        )
        axes.set(
            xlabel="days before churn was known",
            ylabel="AUC against matched accounts\n(below 0.5: low values precede churn)",
        )
        handles = [Line2D([], [], color=colour, label=name) for name, colour in families.items()]
        handles.append(Line2D([], [], color="black", linestyle="-", label="leading"))
        handles.append(Line2D([], [], color="black", linestyle="--", label="lagging"))
        axes.legend(handles=handles, frameon=False, fontsize=plots.SMALL, ncols=5,
                    loc="upper center", bbox_to_anchor=(0.5, -0.11))  # fmt: skip

    def _head(self) -> list[str]:
        """Return the warnings, and the numbers of compared indicators and churns."""
        return [
            *warning_lines(self.warnings),
            f"Audit of {len(self.frame)} indicators on {self.sets:,} ends matched to accounts of"
            f" similar tenure{', term and context' if self.matched_on_risk else ' and term'};",
            f"{self.unmatched:,} ends found none",
            *([self.sample.line] if self.sample else []),
        ]

    def __repr__(self) -> str:
        time = self.warning_time
        lines = self._head()
        lines += [verdict_counts(self.frame, time), strongest_table(self.frame, time)]
        if self.usage_declines is False:
            lines.append("no decline of usage before churn was found")
        if self.health:
            lines.append(repr(self.health))
        return "\n".join(lines)

    def _notebook_text(self) -> str:
        counts = self.frame["verdict"].value_counts()
        shown = ", ".join(f"{counts.get(one, 0):,} {one}" for one in VERDICTS)
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
    seed: int = 0,
    progress: Progress | None = None,
) -> Audit:
    """Classify every indicator except context as leading, lagging, neither or undecided.

    *Leading*: at ``warning_time`` (default: the project's), the AUC is more than 0.03 away from
    0.5, by one-sided tests corrected for the number of indicators (Holm 1979). *Lagging*: not
    leading, but the AUC at the last snapshot differs from 0.5 and from that at the warning time, by
    paired intervals. *Neither*: at every lead, the one-sided bounds are within 0.45 to 0.55.
    Otherwise *undecided*. ``leads`` are in days. Raises OptionError for leads that are not allowed,
    and ModelError if no churn has a match or there are only context indicators.

    >>> import leadsignal as ls
    >>> panel = ls.build_panel(ls.read_tables(ls.sample_folder()))
    >>> ls.audit_indicators(panel).warning_time
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
    pairs = MatchedPairs.of_sets(sets)
    early, last = (_compared(sets, values, lead) for lead in (time, 0))
    everyone = np.ones(len(sets), dtype=bool)
    confirmed = pairs.auc(early, everyone)
    now = pairs.auc(last, everyone)
    rise = pairs.rise(last, early)
    curves = _curves(sets, values, pairs, indicators, sorted({*map(int, leads)}), progress)
    frame = _verdicts(indicators, confirmed, now, rise, curves)
    return Audit(
        frame, curves, time, len(sets), sets.without, sets.on_risk,
        audit_health(panel, warning_time=f"{time}d"), affecting(panel.warnings, "audit"),
        panel.sample,
    )  # fmt: skip


def coded(indicator: Indicator, rows: pd.DataFrame) -> Floats:
    """Return an indicator's values as numbers: adopted 1, else 0; green 0, yellow 1, red 2.

    Unordered categories and missing values are NaN.
    """
    values = rows[indicator.name]
    if isinstance(indicator.rule, ProcessState):
        known = ~values.isin(["unknown", "not applicable"]) & values.notna()
        found = np.where(known, values == "adopted", np.nan)
        return np.asarray(found, dtype=np.float64)
    if indicator.kind == "category":
        values = values.map(BANDS).astype("Float64")
    return np.asarray(values.to_numpy(dtype=float, na_value=np.nan), dtype=np.float64)


def _compared(sets: MatchedSets, values: Sequence[Floats], lead: int) -> Floats:
    """Return (pairs, k): 1 where the churned account has the higher value, 0.5 if equal.

    The values are those of each indicator, ``lead`` days before the churn.
    """
    case, control = sets.rows_at(lead)
    there = (case[sets.of] >= 0) & (control >= 0)
    columns = []
    for one in values:
        mine, other = one[case][sets.of], one[control]
        higher = np.where(mine == other, 0.5, mine > other)
        columns.append(np.where(there & ~np.isnan(mine) & ~np.isnan(other), higher, np.nan))
    return np.column_stack(columns)


def _curves(
    sets: MatchedSets,
    values: Sequence[Floats],
    pairs: MatchedPairs,
    indicators: Sequence[Indicator],
    leads: Sequence[int],
    progress: Progress | None,
) -> pd.DataFrame:
    """Return the AUC by lead for the churned accounts that already existed at the longest lead.

    Leads with fewer than 20 churns are left out.
    """
    there = {lead: sets.rows_at(lead)[0] >= 0 for lead in leads}
    used = [lead for lead in leads if there[lead].sum() >= MIN_EVENTS] or list(leads[:1])
    fixed = there[used[-1]]
    parts = []
    for number, lead in enumerate(used):
        found = pairs.auc(_compared(sets, values, lead), fixed)
        low, high = found.within(0, 1)
        columns = {
            "name": [one.name for one in indicators],
            "family": [one.family for one in indicators],
            "lead": lead, "auc": found.auc, "low": low, "high": high, "std_err": found.std_err,
            "ends": found.ends,
        }  # fmt: skip
        parts.append(pd.DataFrame(columns))
        if progress:
            progress(number + 1, len(used))
    return pd.concat(parts, ignore_index=True)


def _verdicts(
    indicators: Sequence[Indicator], early: Estimates, last: Estimates, rise: Estimates,
    curves: pd.DataFrame,
) -> pd.DataFrame:  # fmt: skip
    """Return one row per indicator, sorted by verdict, then by distance from 0.5."""
    margin = normal_quantile(LEVEL)
    away = np.abs(early.auc - 0.5)
    p = _p(away - (MARGIN - 0.5), early.std_err)
    p_holm = holm(p)
    low, high = early.within(0, 1)
    # The distance from 0.5 can rise by at most 0.5: from 0.5 to 0 or 1.
    rise_low, rise_high = rise.within(-0.5, 0.5)
    columns = {
        "name": [one.name for one in indicators],
        "family": [one.family for one in indicators],
        "role": [one.role for one in indicators],
        "auc": early.auc, "low": low, "high": high, "p": p, "p_holm": p_holm,
        "auc_last": last.auc, "rise": rise.auc, "rise_low": rise_low, "rise_high": rise_high,
        "ends": early.ends,
    }  # fmt: skip
    frame = pd.DataFrame(columns)
    leads = (p_holm < 1 - LEVEL) & (early.ends >= MIN_EVENTS)
    seen_last = np.abs(last.auc - 0.5) > margin * last.std_err
    lags = seen_last & (rise_low > 0) & (last.ends >= MIN_EVENTS)
    nothing = _says_nothing(curves).reindex(frame["name"]).eq(True).to_numpy()
    verdict = np.select([leads, lags, nothing], [LEADING, LAGGING, NEITHER], default=UNDECIDED)
    needed = _ends_to_decide(away, early, len(indicators), curves, list(frame["name"]))
    frame["ends_to_decide"] = np.where(verdict == UNDECIDED, needed, np.nan)
    frame.insert(3, "verdict", verdict)
    order = np.lexsort((-np.nan_to_num(away), np.array([VERDICTS.index(one) for one in verdict])))
    return frame.iloc[order].reset_index(drop=True)


def _p(beyond: Floats, std_err: Floats) -> Floats:
    """Return the one-sided p-value of ``beyond`` not exceeding 0; 0 or 1 without variance."""
    beyond = without_rounding(beyond, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(std_err > 0, beyond / std_err, np.where(beyond > 0, np.inf, -np.inf))
    return np.where(np.isnan(beyond), np.nan, ndtr(-z))


def _room_below(curves: pd.DataFrame) -> Floats:
    """Return how far each AUC lies within 0.45 to 0.55, in units of the one-sided margin."""
    margin = normal_quantile(2 * LEVEL - 1) * curves["std_err"]
    inside = (NOTHING - 0.5) - (curves["auc"] - 0.5).abs()
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(margin > 0, inside / margin, np.where(inside > 0, np.inf, -np.inf))


def _says_nothing(curves: pd.DataFrame) -> pd.Series[Any]:
    """Return, by indicator, whether the one-sided bounds stay within 0.45 to 0.55 at every lead."""
    known = (curves["ends"] >= MIN_EVENTS).to_numpy()
    return _by_name(known & (_room_below(curves) > 1), curves["name"]).groupby(level=0).all()


def _ends_to_decide(
    away: Floats, early: Estimates, tests: int, curves: pd.DataFrame, names: Sequence[str]
) -> Floats:
    """Return the number of churns at which the verdict would be decided at the same estimates.

    The standard error falls with the square root of the churns. NaN if no number would suffice.
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
