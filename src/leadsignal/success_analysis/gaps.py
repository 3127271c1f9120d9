"""Success gaps: accounts that have adopted every process but miss their target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal import plots
from leadsignal.arguments import Duration, checked, days_in
from leadsignal.as_of_context import AsOfContext
from leadsignal.config.success import SuccessAnalysis
from leadsignal.errors import ModelError, OptionError
from leadsignal.files.writing import json_fields
from leadsignal.formats import p_phrase, share_text
from leadsignal.indicators import Indicator
from leadsignal.results import Result
from leadsignal.stats import Share, auc_of, holm
from leadsignal.success_analysis.successful import (
    current_status,
    days_all_adopted,
    margin_of_three,
    off_target_since,
)
from leadsignal.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
