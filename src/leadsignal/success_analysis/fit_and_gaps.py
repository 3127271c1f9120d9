"""Customer fit, by reason to buy and by attribute; success gaps despite adopted processes.

A reason to buy is also a reason to stay if customers who gave it leave less often than others of
similar tenure. A discount or a temporary need attracts customers but does not keep them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal import plots
from leadsignal.arguments import Duration, checked, days_in
from leadsignal.as_of_context import AsOfContext
from leadsignal.cohorts.contrasts import MIN_ACCOUNTS
from leadsignal.cohorts.curves import SmallGroups, expected_ends, shrink
from leadsignal.cohorts.dated import CHURN, OTHER_END, DatedCohorts
from leadsignal.cohorts.from_tables import dated_cohorts
from leadsignal.cohorts.risk_intervals import columns_of
from leadsignal.config.success import SuccessAnalysis
from leadsignal.errors import ModelError, OptionError, one_of
from leadsignal.files.writing import json_fields
from leadsignal.formats import level_text, p_phrase, share_text
from leadsignal.indicators import Indicator
from leadsignal.results import Result
from leadsignal.stats import Share, auc_of, holm
from leadsignal.success_analysis.successful import (
    current_status,
    days_all_adopted,
    margin_of_three,
    off_target_since,
)
from leadsignal.survival.curves import aalen_johansen
from leadsignal.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes


REASON = "purchase_reason"
YEAR = 365
STAYS, LEAVES, OPEN, FEW = "stays longer", "leaves sooner", "not decided", "too few"
WORDS_OF_REASONS = {STAYS: "also a reason to stay", LEAVES: "no reason to stay"}
SUCCESS = (
    "reached", "expected_reached", "success", "success_low", "success_high", "reached_12m",
    "reached_low", "reached_high",
)  # fmt: skip
MAX_VALUES = 12
"""Text attributes with more values are left out by default."""


@dataclass(frozen=True, repr=False, eq=False)
class CustomerFit(Result):
    """Churn and success by attribute value, shrunken towards the attribute's average.

    ``frame`` has one row per value: ``attribute``, ``value``, ``accounts``, ``churned`` and
    ``expected`` (given tenure and the adjustment); ``churn``, the shrunken ratio of observed to
    expected churn, with limits ``churn_low`` and ``churn_high``, and ``raw``, the same without
    shrinkage; ``retention_12m`` with its limits; ``measured_from_start``, the number of accounts
    whose results are known from their start; ``reached`` and ``expected_reached``; ``success``, the
    shrunken ratio of how often accounts first get on target, with limits; ``reached_12m``, the
    probability of getting on target within a year (leaving first counts as failure), with limits;
    and ``verdict``. Values with fewer than five accounts have no numbers.
    """

    frame: pd.DataFrame
    by: tuple[str, ...]
    adjusted_for: tuple[str, ...]
    notes: tuple[str, ...]
    level: float
    as_of_date: date

    def values(self, verdict: str) -> tuple[str, ...]:
        """Return the values with this verdict: "stays longer", "leaves sooner", "not decided"."""
        return tuple(self.frame.loc[self.frame["verdict"] == verdict, "value"])

    @property
    def reasons_to_stay(self) -> tuple[str, ...]:
        """Values whose churn interval is entirely below the average."""
        return self.values(STAYS)

    @property
    def no_reasons_to_stay(self) -> tuple[str, ...]:
        """Values whose churn interval is entirely above the average."""
        return self.values(LEAVES)

    def to_dict(self) -> dict[str, Any]:
        """Return the rows, the notes and the settings, ready for JSON."""
        names = ("as_of", "by", "adjusted_for", "level", "values", "notes")
        return json_fields(self, *names, as_of="as_of_date", values="frame")

    def __repr__(self) -> str:
        adjusted = ", ".join(("tenure", *self.adjusted_for))
        lines = [
            f"Churn and success by {', '.join(self.by)}, relative to the average of 1, adjusted"
            f" for {adjusted} ({level_text(self.level)} intervals, shrunken); churn is dated by"
            " the day it was known"
        ]
        for row in self.frame.to_dict("records"):
            name = f"{row['attribute']} {row['value']}" if len(self.by) > 1 else row["value"]
            few = f"fewer than {MIN_ACCOUNTS} accounts"
            words = WORDS_OF_REASONS if row["attribute"] == REASON else {}
            verdict = words.get(row["verdict"], row["verdict"])
            text = few if verdict == FEW else f"{_rates(row)}; {verdict}"
            lines.append(f"  {name}: {text}")
        return "\n".join([*lines, *self.notes])

    def _notebook_table(self) -> pd.DataFrame:
        hidden = ["raw", "expected", "expected_reached"]
        return self.frame.drop(columns=hidden, errors="ignore").round(3)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot churn and success by value with intervals, best first, and return the Axes."""
        rows = self.frame[self.frame["churn"].notna()].reset_index(drop=True)
        axes = plots.axes_of(ax, (8.6, 1.7 + 0.42 * len(rows)))
        axes.axvline(1, color=plots.GREY, linewidth=1, linestyle="--", zorder=0)
        colours = {STAYS: plots.COLOURS[2], LEAVES: plots.COLOURS[1]}
        several = len(set(self.frame["attribute"])) > 1
        names = []
        for n, row in enumerate(rows.to_dict("records")):
            colour = colours.get(row["verdict"], plots.GREY)
            limits = plots.reach(row["churn"], row["churn_low"], row["churn_high"])
            axes.errorbar(row["churn"], n - 0.11, xerr=limits, fmt="s", markersize=6, color=colour,
                          elinewidth=2)  # fmt: skip
            plots.write_beside(axes, n, row["verdict"], fontsize=plots.LABEL, color=colour)
            name = f"{row['attribute']}: {row['value']}" if several else row["value"]
            names.append(plots.literal(name))
        if "success" in rows and rows["success"].notna().any():
            limits = plots.reach(*(rows[f"success{part}"] for part in ("", "_low", "_high")))
            axes.errorbar(
                rows["success"], np.arange(len(rows)) + 0.16, xerr=limits, fmt="o", markersize=4.5,
                color=plots.COLOURS[0], elinewidth=1, markerfacecolor="white",
                label="getting on target (above 1: more often)",
            )  # fmt: skip
        axes.plot([], [], "s", color=plots.GREY, label="churn (below 1: fewer leave)")
        plots.name_rows(axes, names, 0.45, 0.55)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"relative to the average, {level_text(self.level)} interval, shrunken")
        plots.legend_above(axes, **plots.CLOSE)
        return axes


def _rates(row: Mapping[Any, Any]) -> str:
    text = (
        f"churn {row['churn']:.2f} ({row['churn_low']:.2f} to {row['churn_high']:.2f}),"
        f" {row['churned']:.0f} of {row['accounts']:.0f} accounts"
    )
    if np.isfinite(row.get("success", np.nan)):
        limits = f"{row['success_low']:.2f} to {row['success_high']:.2f}"
        text += f"; success {row['success']:.2f} ({limits})"
    return text


@checked
def reasons_to_buy(
    tables: Tables,
    analysis: SuccessAnalysis | None = None,
    *,
    by: str = REASON,
    adjust: Sequence[str] = (),
    context: AsOfContext | None = None,
) -> CustomerFit:
    """Return which reasons to buy are also reasons to stay.

    Parameters
    ----------
    tables : Tables
        Checked tables, as of their ``as_of_date``.
    analysis : SuccessAnalysis, optional
        The success analysis, which names the success metrics.
    by : str, default "purchase_reason"
        Attribute that holds the reason to buy.
    adjust : sequence of str
        Attributes to adjust for.
    context : AsOfContext, optional
        Results already computed from the same tables and analysis.

    Returns
    -------
    CustomerFit
        One row per reason.

    Raises
    ------
    OptionError, ModelError
        As for `fit_by`.

    Examples
    --------
    >>> import leadsignal as ls
    >>> fit = ls.success_analysis.reasons_to_buy(ls.read_tables(ls.sample_folder()))
    >>> fit.no_reasons_to_stay
    ()
    """
    if by == REASON and by not in tables.attributes:
        raise OptionError(
            f"accounts have no attribute {REASON}",
            "Declare it in leadsignal.toml, or name the attribute with the reason in by=",
        )
    return fit_by(tables, by, analysis, adjust=adjust, context=context)


@checked
def fit_by(
    tables: Tables,
    by: str | Sequence[str] | None = None,
    analysis: SuccessAnalysis | None = None,
    *,
    adjust: Sequence[str] = (),
    level: float = 0.95,
    context: AsOfContext | None = None,
) -> CustomerFit:
    """Return churn and success by attribute value, shrunken towards the mean, with intervals.

    Parameters
    ----------
    tables : Tables
        Checked tables, as of their ``as_of_date``.
    by : str or sequence of str, optional
        Declared attributes. Default: all numeric ones, and text attributes with at most twelve
        values. Numeric attributes are split into thirds.
    analysis : SuccessAnalysis, optional
        The success analysis, which names the success metrics.
    adjust : sequence of str
        Attributes to adjust for.
    level : float, default 0.95
        Confidence level.
    context : AsOfContext, optional
        Results already computed from the same tables and analysis.

    Returns
    -------
    CustomerFit
        One row per attribute and value.

    Raises
    ------
    OptionError
        If an attribute is not declared.
    ModelError
        If no attribute has two values.

    Examples
    --------
    >>> import leadsignal as ls
    >>> fit = ls.success_analysis.fit_by(ls.read_tables(ls.sample_folder()), "segment")
    >>> sorted(fit.frame["value"])
    ['enterprise', 'mid', 'small']
    """
    names = _names(tables, by, tuple(adjust))
    context = AsOfContext.of(tables, analysis, context)
    first, notes = _first_on_target(context)
    frames = []
    for name in names:
        try:
            cohorts = dated_cohorts(tables, name, analysis, context=context)
        except ModelError:
            notes.append(f"{name} has one value only; left out")
            continue
        frames.append(_of_attribute(cohorts, name, tables, first, tuple(adjust), level))
    if not frames:
        raise ModelError("no attribute has two values", "Name another in by=")
    frame = pd.concat(frames, ignore_index=True)
    if not frame["verdict"].isin([STAYS, LEAVES]).any():
        notes.append("no value differs from the average beyond chance")
    return CustomerFit(frame, names, tuple(adjust), tuple(notes), level, tables.as_of_date)


def _names(
    tables: Tables, by: str | Sequence[str] | None, adjust: tuple[str, ...]
) -> tuple[str, ...]:
    if by is None:
        accounts = tables.frame("accounts")
        by = [
            name
            for name, kind in tables.attributes.items()
            if name not in adjust and (kind == "number" or accounts[name].nunique() <= MAX_VALUES)
        ]
    names = (by,) if isinstance(by, str) else tuple(by)
    unknown = [name for name in (*names, *adjust) if name not in tables.attributes]
    if unknown or not names:
        listed = ", ".join(map(repr, unknown)) or "nothing"
        allowed = one_of(tables.attributes, unknown[0] if unknown else "")
        remedy = allowed if tables.attributes else "Declare attributes in leadsignal.toml"
        raise OptionError(f"{listed} is not a declared attribute", remedy)
    if both := set(names) & set(adjust):
        raise OptionError(
            f"{', '.join(sorted(both))} is in by= and adjust=", "Adjust for another attribute"
        )
    return names


def _first_on_target(context: AsOfContext) -> tuple[pd.Series[Any] | None, list[str]]:
    """Return the day each account was first on target (None without results), and notes."""
    try:
        rows = context.results
    except OptionError:
        return None, ["there are no results against targets: success is unknown"]
    on = rows[rows["on_target"].eq(True)]
    return on.groupby("account_id")["measured_on"].min(), []


def _of_attribute(
    cohorts: DatedCohorts, name: str, tables: Tables, first: pd.Series[Any] | None,
    adjust: tuple[str, ...], level: float,
) -> pd.DataFrame:  # fmt: skip
    """Return the rows of one attribute, lowest churn first."""
    rows = []
    for k, group in enumerate(_relative(cohorts, adjust, level)):
        few = group.accounts < MIN_ACCOUNTS
        verdict = STAYS if group.high < 1 else LEAVES if group.low > 1 else OPEN
        left, least, most = _probability(cohorts, k)
        rows.append(
            {"attribute": name, "value": group.name, "accounts": group.accounts,
             "churned": group.ended, "expected": group.expected, "raw": group.raw,
             "churn": group.rate, "churn_low": group.low, "churn_high": group.high,
             "retention_12m": 1 - left, "retention_low": 1 - most, "retention_high": 1 - least,
             "verdict": FEW if few else verdict}
        )  # fmt: skip
    frame = pd.DataFrame(rows)
    reaching = None if first is None else _reaching(cohorts, tables, first)
    if reaching is not None:
        frame = frame.merge(_success(reaching, adjust, level), on="value", how="left")
    numbers = [str(c) for c in frame if c not in ("attribute", "value", "verdict")]
    frame[numbers] = frame[numbers].astype(float)
    frame.loc[frame["verdict"] == FEW, numbers] = np.nan
    return frame.sort_values(["churn", "value"], na_position="last", ignore_index=True)


def _relative(cohorts: DatedCohorts, adjust: tuple[str, ...], level: float) -> SmallGroups:
    """Return the shrunken ratio of observed to expected events by level of the attribute."""
    n = len(cohorts.levels)
    X = columns_of({name: cohorts.covariates[name] for name in adjust}) if adjust else None
    ended = np.bincount(cohorts.row_state, cohorts.row_cause == CHURN, n).astype(int)
    counts = [len(np.unique(cohorts.row_account[cohorts.row_state == k])) for k in range(n)]
    expected = expected_ends(cohorts, X)
    return shrink(cohorts.levels, ended, expected, accounts=counts, level=level)


def _probability(cohorts: DatedCohorts, k: int) -> tuple[float, float, float]:
    """Return the probability of churn by day 365 for a level, with limits; NaN if unobserved."""
    causes, mine = cohorts.row_cause, cohorts.row_state == k
    young = mine & (cohorts.row_start <= YEAR) & (cohorts.row_stop > cohorts.row_start)
    if young.sum() < MIN_ACCOUNTS or not (causes[mine] == CHURN).any():
        return np.nan, np.nan, np.nan  # A cause without events has no curve.
    curve = aalen_johansen(
        cohorts.row_stop[mine], causes[mine], start=cohorts.row_start[mine],
        cluster=cohorts.cluster[cohorts.row_account[mine]],
    ).of("all", CHURN)  # fmt: skip
    if curve.last < YEAR:
        return np.nan, np.nan, np.nan
    place = int(np.searchsorted(curve.time, YEAR, "right")) - 1
    if place < 0 or curve.estimate[place] == 0:
        # No event by then: use the limit of a proportion of 0 (Clopper & Pearson 1934).
        seen = int((cohorts.row_stop[mine] >= YEAR).sum())
        return 0.0, 0.0, 1 - 0.025 ** (1 / max(seen, 1))
    return curve.estimate[place], curve.lower[place], curve.upper[place]


def _reaching(cohorts: DatedCohorts, tables: Tables, first: pd.Series[Any]) -> DatedCohorts | None:
    """Return cohorts whose event is first being on target; leaving is a competing event.

    Accounts that started before results were recorded are left out, because their first time is not
    known.
    """
    accounts = tables.frame("accounts").set_index("account_id")
    started = pd.to_datetime(accounts["started_on"]).reindex(cohorts.accounts)
    since = tables.coverage["results"].complete_from
    if since is None:
        return None
    known = (cohorts.entry == 0) & (started >= pd.Timestamp(since)).to_numpy()
    on = (pd.to_datetime(first.reindex(cohorts.accounts)) - started.to_numpy()).dt.days
    day = np.where(on.notna(), np.maximum(on.fillna(0), 1), np.inf)
    stop = np.minimum(day, cohorts.stop)
    cause = np.where(day <= cohorts.stop, CHURN, np.where(cohorts.cause > 0, OTHER_END, 0))
    state = np.full(len(cohorts), -1)
    state[cohorts.row_account[::-1]] = cohorts.row_state[::-1]  # the first is set last
    kept = np.flatnonzero(known)
    if not len(kept) or len(np.unique(state[kept])) < 2:
        return None
    values: dict[str, NDArray[Any]] = {k: v[kept] for k, v in cohorts.covariates.items()}
    return DatedCohorts.from_changes(
        cohorts.name, cohorts.levels, cohorts.accounts[kept], stop[kept], cause[kept],
        (np.arange(len(kept)), np.zeros(len(kept)), state[kept]), cluster=cohorts.cluster[kept],
        covariates=values,
    )  # fmt: skip


def _success(reaching: DatedCohorts, adjust: tuple[str, ...], level: float) -> pd.DataFrame:
    """Return by value how often accounts first get on target, and the probability within a year."""
    rows = []
    for k, group in enumerate(_relative(reaching, adjust, level)):
        chance = _probability(reaching, k)
        numbers = [group.ended, group.expected, group.rate, group.low, group.high, *chance]
        known = [np.nan] * len(numbers) if group.accounts < MIN_ACCOUNTS else numbers
        rows.append((group.name, group.accounts, *known))
    return pd.DataFrame(rows, columns=["value", "measured_from_start", *SUCCESS])


GAP, REACHED, NEAR = "gap", "reached", "too near to tell"
MIN_IN_GROUP = 3
"""Minimum number of accounts in each group, and with a value, for a comparison."""
ALPHA = 0.05
NOT_COMPARED = (
    *("results", "processes", "behaviors", "metrics"),
    *("usage", "satisfaction", "flags", "health"),
)
"""Families of indicators that define the two groups or follow from them."""
COLUMNS = (
    "account_id", "customer_id", "metric", "value", "target", "mean_gap", "results", "trend",
    "off_since", "processes", "adopted_days", "usage_to_best", "tenure_days",
)  # fmt: skip


@dataclass(frozen=True, repr=False, eq=False)
class SuccessGaps(Result):
    """Accounts that use the product and have adopted the processes but miss their target.

    ``frame`` has one row per account, the widest gap first: metric, value and target of the latest
    result; ``mean_gap``, the mean distance to target of the last three results as a share of the
    target; ``trend``; ``off_since``; the ``processes`` adopted; and ``adopted_days``, the number of
    days since all of them have been adopted. Gaps no wider than ``margin``, which chance can
    produce in three results, are too near to tell. ``apart`` lists what distinguishes these
    accounts from accounts that have adopted the same processes and reach their target, the smallest
    p-value first: ``what`` and ``value``; the share of each group that has the value
    (``gap_share``, ``reached_share``) or, for numbers, the probability that an account with a gap
    has the higher number (``auc``, ``low``, ``high``); ``p``, and ``p_holm``, corrected for the
    number of comparisons. ``eligible`` has all accounts of both groups, and ``steps`` the number of
    accounts left after each condition.
    """

    frame: pd.DataFrame
    apart: pd.DataFrame
    eligible: pd.DataFrame
    steps: Mapping[str, int]
    margin: float
    notes: tuple[str, ...]
    as_of_date: date

    @property
    def share(self) -> Share:
        """Share of eligible accounts that miss their target."""
        return Share(len(self.frame), len(self.eligible))

    @property
    def sets_apart(self) -> pd.DataFrame:
        """The rows of ``apart`` that are significant at 5 % after Holm's correction."""
        return self.apart[self.apart["p_holm"] < ALPHA]

    def to_dict(self) -> dict[str, Any]:
        """Return the accounts, counts and differences, ready for JSON."""
        names = ("as_of", "accounts", "share", "steps", "margin", "apart", "notes")
        return json_fields(self, *names, as_of="as_of_date", accounts="frame")

    def __repr__(self) -> str:
        text = ", ".join(f"{count:,} {what}" for what, count in self.steps.items())
        lines = [
            f"{len(self)} success gaps on {self.as_of_date}: {self.share} of {len(self.eligible)}"
            f" that use the product and have adopted the processes miss their target ({text})"
        ]
        for row in self.sets_apart.to_dict("records"):
            lines.append(f"  {_difference(row)}, {p_phrase(row['p_holm'])} (corrected)")
        if not len(self.sets_apart) and len(self.apart):
            lines.append("  no difference is significant")
        return "\n".join([*lines, *self.notes])

    def _notebook_table(self) -> pd.DataFrame:
        return self.frame[["account_id", "value", "target", "mean_gap", "trend", "off_since"]]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the differences, smallest p-value first, and return the Axes."""
        if not len(self.apart):
            raise ModelError(
                "there is nothing to draw: too few accounts with a gap, or without",
                "See the accounts in frame",
            )
        rows = self.apart[self.apart["value"] != ""].head(8)
        gap, reached, y = rows["gap_share"], rows["reached_share"], np.arange(len(rows))
        axes = plots.axes_of(ax, (8.2, 1.7 + 0.42 * len(rows)))
        axes.hlines(y, reached, gap, color=plots.FAINT, linewidth=2.5, zorder=1)
        axes.scatter(gap, y, s=62, color=plots.COLOURS[1], marker="X", zorder=3,
                     label="success gap")  # fmt: skip
        axes.scatter(reached, y, s=48, color=plots.COLOURS[0], zorder=3,
                     label="does the same, on target")  # fmt: skip
        names = [f"{row['what']}: {row['value']}" for row in rows.to_dict("records")]
        plots.name_rows(axes, [*map(plots.literal, names)])
        axes.spines["left"].set_visible(True)
        labels = axes.get_yticklabels()
        for place, p in enumerate(rows["p_holm"]):
            labels[place].set_fontweight("bold" if p < 0.05 else "normal")
            plots.write_beside(axes, place, p_phrase(min(p, 1.0)))
        axes.set_xlim(-0.03, 1.03)
        plots.percent_axis(axes.xaxis)
        axes.set_xlabel("share of the group (p corrected for all comparisons)")
        plots.write_title(axes, f"What sets {len(self)} success gaps apart", room=22)
        plots.legend_above(axes, **plots.CLOSE)
        return axes


def _difference(row: Mapping[Any, Any]) -> str:
    if row["value"]:
        return (
            f"{row['what']} {row['value']}: {share_text(row['gap_share'])} of them,"
            f" {share_text(row['reached_share'])} of those on target"
        )
    side = "higher" if row["auc"] > 0.5 else "lower"
    return (
        f"{row['what']}: {side} (AUC {row['auc']:.2f}, {row['low']:.2f} to {row['high']:.2f};"
        f" medians {row['gap_median']:.3g} and {row['reached_median']:.3g})"
    )


@checked
def find_success_gaps(
    tables: Tables,
    analysis: SuccessAnalysis,
    *,
    settled: Duration = "90d",
    current: Duration = "120d",
    context: AsOfContext | None = None,
) -> SuccessGaps:
    """Return the accounts that have adopted all processes but miss their target.

    Eligible accounts are active, have not given notice, have a current result and no low usage, and
    have adopted every process that applies to them. An account has a gap if the mean of its last
    three results misses the target by more than chance (one-sided 95 %, from the variation between
    successive results of one account).

    Parameters
    ----------
    tables : Tables
        Checked tables, as of their ``as_of_date``.
    analysis : SuccessAnalysis
        The success analysis, which names the processes and their milestones.
    settled : Duration, default "90d"
        Minimum time since all processes were adopted.
    current : Duration, default "120d"
        Maximum age of the latest result.
    context : AsOfContext, optional
        Results already computed from the same tables and analysis.

    Returns
    -------
    SuccessGaps
        The accounts with a gap, and how they differ from those on target.

    Raises
    ------
    OptionError
        If the analysis names no process, or the tables have no results with targets.

    Examples
    --------
    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> analysis = ls.read_success_analysis(ls.sample_folder() / "success.toml")
    >>> gaps = ls.success_analysis.find_success_gaps(tables, analysis)
    >>> gaps.apart["what"][0], gaps.apart["value"][0]
    ('close_owner', 'shared')
    """
    if not analysis.processes:
        raise OptionError(
            "success gaps need essential processes, and the analysis names none",
            "Give an analysis with processes",
        )
    context = AsOfContext.of(tables, analysis, context)
    status = current_status(context, days_in(current))
    now, steps = status.frame, status.steps
    notes = []
    if "usage_low" in now:
        now = now[now["usage_low"] == 0]
        steps["use the product well"] = len(now)
    else:
        notes.append("there is no table usage: accounts with low usage are not left out")
    now = now.assign(adopted_days=days_all_adopted(now, [p.name for p in analysis.processes]))
    now = now[now["adopted_days"] >= days_in(settled)]
    steps["adopted every process"] = len(now)
    evaluated = now[now["on_target"].notna()].copy()
    rows = context.results
    margin = margin_of_three(rows)
    near = evaluated["mean_gap"] > -margin
    evaluated["group"] = np.select([evaluated["on_target"].eq(True), near], [REACHED, NEAR], GAP)
    steps["miss their target"] = int(evaluated["group"].eq(GAP).sum())
    evaluated["off_since"] = evaluated["account_id"].map(off_target_since(rows))
    evaluated = evaluated.sort_values(["mean_gap", "account_id"], ignore_index=True)
    apart = _apart(evaluated, status.indicators, tables)
    if not len(apart):
        notes.append(
            f"fewer than {MIN_IN_GROUP} accounts on a side: no comparison of what sets them apart"
        )
    columns = [name for name in COLUMNS if name in evaluated]
    frame = evaluated.loc[evaluated["group"] == GAP, columns].reset_index(drop=True)
    as_of = tables.as_of_date
    return SuccessGaps(frame, apart, evaluated, steps, margin, tuple(notes), as_of)


def _apart(
    evaluated: pd.DataFrame, indicators: tuple[Indicator, ...], tables: Tables
) -> pd.DataFrame:
    """Return the differences between the two groups, with p-values corrected for their number."""
    evaluated = evaluated[evaluated["group"] != NEAR]
    gap = evaluated["group"].eq(GAP).to_numpy()
    if min(gap.sum(), (~gap).sum()) < MIN_IN_GROUP:
        return pd.DataFrame(columns=["what", "value", "p", "p_holm"])
    differences = (*_values(evaluated, gap, tables), *_numbers(evaluated, gap, indicators, tables))
    apart = pd.DataFrame(differences)
    apart["p_holm"] = holm(apart["p"].to_numpy(dtype=float))
    keys, rising = ["p", "what", "value"], [True, True, False]
    return apart.sort_values(keys, ascending=rising, ignore_index=True)


def _values(evaluated: pd.DataFrame, gap: Any, tables: Tables) -> Iterator[dict[str, Any]]:
    """Yield Fisher's exact test for each value of each text attribute."""
    from scipy.stats import fisher_exact

    for name, kind in tables.attributes.items():
        if kind != "text":
            continue
        values = evaluated[name].astype(object).where(evaluated[name].notna(), "not given")
        counts = values.value_counts()
        # Of two values, only the rarer is reported; the other carries the same information.
        for value, count in (counts[1:] if len(counts) == 2 else counts).items():
            if not MIN_IN_GROUP <= count <= len(values) - 1:
                continue
            has = values.to_numpy() == value
            a, b = int((has & gap).sum()), int((has & ~gap).sum())
            c, d = int((~has & gap).sum()), int((~has & ~gap).sum())
            yield {
                "what": name, "value": str(value), "gap_count": a, "reached_count": b,
                "gap_share": a / (a + c), "reached_share": b / (b + d),
                "p": float(fisher_exact([[a, b], [c, d]])[1]),
            }  # fmt: skip


def _numbers(
    evaluated: pd.DataFrame, gap: Any, indicators: tuple[Indicator, ...], tables: Tables
) -> Iterator[dict[str, Any]]:
    """Yield a Mann-Whitney test for each numeric attribute and each comparable indicator."""
    from scipy.stats import mannwhitneyu

    names = [i.name for i in indicators if i.kind != "category" and i.family not in NOT_COMPARED]
    names += [name for name, kind in tables.attributes.items() if kind == "number"]
    for name in dict.fromkeys(names):
        if name not in evaluated or evaluated[name].dtype == object:
            continue
        x = evaluated[name].to_numpy(dtype=float)
        known = np.isfinite(x)
        yes, no = x[known & gap], x[known & ~gap]
        if min(len(yes), len(no)) < MIN_IN_GROUP or len(set(x[known])) < 2:
            continue
        auc = auc_of(gap[known], x[known])
        low, high = auc.interval(np.arange(known.sum()))
        yield {
            "what": name, "value": "", "gap_median": float(np.median(yes)),
            "reached_median": float(np.median(no)), "auc": auc.estimate,
            "low": low, "high": high,
            "p": float(mannwhitneyu(yes, no).pvalue),
        }  # fmt: skip
